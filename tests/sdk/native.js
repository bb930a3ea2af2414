// Node's own WebSocket, as browsers have it.
'use strict';

const assert = require('assert');
const { Inbox, host, main, port, within } = require('./common');

main(async () => {
  const socket = new globalThis.WebSocket(`ws://${host}:${port}/any/path?and=query`, ['first', 'second']);
  const inbox = new Inbox();
  socket.onmessage = ({ data }) => inbox.push(JSON.parse(data));
  await within(new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  }), 'open');
  assert.strictEqual(socket.protocol, 'first');
  socket.send('{"p":1}');
  assert.deepStrictEqual((await inbox.until(1, 'pong'))[0], { p: 2 });
  socket.send(JSON.stringify({ controller: 'server', action: 'now', requestId: 'text' }));
  socket.send(new TextEncoder().encode(JSON.stringify({ controller: 'server', action: 'now', requestId: 'binary' })));
  const [, text, binary] = await inbox.until(3, 'answers');
  assert.deepStrictEqual([text.room, binary.room], ['text', 'binary']);
  const closed = new Promise(resolve => { socket.onclose = resolve; });
  socket.close(1000, 'bye');
  assert.strictEqual((await within(closed, 'close')).code, 1000);
});
