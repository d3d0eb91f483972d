// Hello as a Lambda handler in JavaScript.
exports.handler = async (event) => ({ message: `hello, ${event.name}` });
