// A function in JavaScript: an ES module with an async handler.
export const handler = async (event, context) => {
  console.log("adding", event.numbers);
  return {
    sum: event.numbers.reduce((a, b) => a + b, 0),
    request: context.awsRequestId,
  };
};
