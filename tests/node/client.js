// Connects to PATH, sends numbers as lines of JSON and then ends its side, and adds up what comes back.
const net = require('node:net');
const [, , path, count] = process.argv;

const server = net.connect({ path, allowHalfOpen: true }, () => {
  for (let number = 0; number < Number(count); number++) {
    server.write(JSON.stringify({ number }) + '\n');
  }
  server.end();
});

let text = '';
server.setEncoding('utf8');
server.on('data', (more) => { text += more; });
server.on('end', () => {
  const lines = text.trim().split('\n').map((line) => JSON.parse(line));
  const sum = lines.reduce((sum, line) => sum + (line.number ?? 0), 0);
  console.log(sum);
  process.exitCode = lines.at(-1).bye ? 0 : 1;
});
