// A peer that speaks JSON-RPC by the library of language servers and editors. It calls, and is called.
// It ends with 77 where there is no such library.
'use strict';

let rpc;
try {
  rpc = require('vscode-jsonrpc/node');
} catch {
  process.exit(77);
}
const socket = require('net').connect(process.argv[2]);
const connection = rpc.createMessageConnection(
  new rpc.StreamMessageReader(socket), new rpc.StreamMessageWriter(socket));

const told = [];
connection.onRequest('node/double', (number) => 2 * number);
connection.onRequest('node/fail', () => { throw new rpc.ResponseError(-31000, 'as it was asked to'); });
connection.onRequest('node/wait', (...all) => new Promise((_, reject) => {
  told.push('waiting');
  const token = all[all.length - 1];
  token.onCancellationRequested(() => {
    told.push('cancelled');
    reject(new rpc.ResponseError(-32800, 'cancelled'));
  });
}));
connection.onNotification('node/tell', (text) => told.push(text));
connection.onRequest('node/told', () => told.splice(0));
connection.listen();

function same(is, wanted) {
  const text = JSON.stringify(is);
  if (text !== JSON.stringify(wanted)) {
    throw new Error(`${text}, and not ${JSON.stringify(wanted)}`);
  }
}

async function code(request) {
  try {
    return await request;
  } catch (error) {
    return error.code;
  }
}

(async () => {
  same(await connection.sendRequest('sum/of', 2, 3), 5);
  same(await connection.sendRequest('sum/of', { a: 4, b: 5 }), 9);
  same(await connection.sendRequest('point/move', { x: 1, y: 2 }), { x: 2, y: 1 });
  same(await connection.sendRequest('nothing'), null);
  const many = [...Array(200).keys()].map((n) => connection.sendRequest('sum/of', n, n));
  same(await Promise.all(many), [...Array(200).keys()].map((n) => 2 * n));
  // It calls this side back.
  same(await connection.sendRequest('back', 21), 42);

  await connection.sendNotification('note', 'one');
  await connection.sendNotification('note', 'two');
  same(await connection.sendRequest('notes'), ['one', 'two']);

  same(await code(connection.sendRequest('no/such')), -32601);
  same(await code(connection.sendRequest('sum/of', 'text', 1)), -32602);
  same(await code(connection.sendRequest('panic')), -32603);
  same(await connection.sendRequest('rename', { x: 2, y: 1 }), { x: 2, y: 1 });
  same(await code(connection.sendRequest('rename', { x: 0, y: 1 })), -32803);

  const source = new rpc.CancellationTokenSource();
  const slow = connection.sendRequest('slow', source.token);
  setTimeout(() => source.cancel(), 20); // both ways are tried: before it has begun, and after
  same(await code(slow), -32800);
  same(await connection.sendRequest('cancelled'), true);

  // The token is the number of the request, which this library counts from 0.
  const type = new rpc.ProgressType();
  const steps = [];
  for (let id = 0; id < 1000; id++) {
    connection.onProgress(type, id, (step) => steps.push(step));
  }
  same(await connection.sendRequest('count', 5), 5);
  same(steps, [0, 1, 2, 3, 4]);

  await connection.sendRequest('done');
  console.log('all is well');
  socket.end();
})().catch((error) => {
  console.log(`${error}`);
  process.exit(1);
});
