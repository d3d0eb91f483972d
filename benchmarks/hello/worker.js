// Hello for workerd.
export default {
  async fetch(request) {
    const event = await request.json();
    return Response.json({ message: `hello, ${event.name}` });
  },
};
