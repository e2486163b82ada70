// Listens at PATH, answers each line of JSON with its number plus one, and ends its side when the client has.
const net = require('node:net');
const path = process.argv[2];

const server = net.createServer({ allowHalfOpen: true }, (client) => {
  let rest = '';
  client.setEncoding('utf8');
  client.on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const { number } = JSON.parse(line);
      client.write(JSON.stringify({ number: number + 1 }) + '\n');
    }
  });
  client.on('end', () => {
    // The client has finished, and still reads.
    client.end(JSON.stringify({ bye: true }) + '\n');
    server.close();
  });
});
server.listen(path, () => console.log('listening'));
