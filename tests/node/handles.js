// A child of Node.js that passes a server to its parent, and takes one from it.
const net = require('net');

const server = net.createServer();
server.listen(0, '127.0.0.1', () => {
  process.send({ port: server.address().port }, server);
});
process.on('message', (message, theirs) => {
  if (message !== 'yours') return;
  process.send({ got: theirs.address().port });
  theirs.close();
  server.close();
});
process.on('disconnect', () => process.exit(0));
