// Listens at PATH, answers with half of something, and closes with the request unread.
const fs = require('node:fs');
const net = require('node:net');
const path = process.argv[2];

const server = net.createServer({ pauseOnConnect: true }, (client) => {
  const poll = setInterval(() => {
    // What the client says stays unread.
    if (!fs.existsSync(path + '.asked')) return;
    clearInterval(poll);
    client.write('half', () => client.destroy());
    server.close();
  }, 1);
});
server.listen(path, () => console.log('listening'));
