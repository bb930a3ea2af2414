// The package `ws`: pings, fragments, compression, large messages. Argument: whether compression is on.
'use strict';

const assert = require('assert');
const WebSocket = require('ws');
const { Inbox, host, main, port, within } = require('./common');

main(async () => {
  const compression = process.argv[2] === 'true';
  const socket = new WebSocket(`ws://${host}:${port}`, { perMessageDeflate: { threshold: 0 } });
  const inbox = new Inbox();
  socket.on('message', (data, isBinary) => inbox.push([JSON.parse(data), isBinary]));
  await within(new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject)), 'open');
  assert.strictEqual(socket.extensions.includes('permessage-deflate'), compression);

  const pong = new Promise(resolve => socket.on('pong', data => resolve(data.toString())));
  socket.ping('payload');
  assert.strictEqual(await within(pong, 'pong'), 'payload');

  const request = { controller: 'server', action: 'now', requestId: 'fragments', volatile: { text: 'é'.repeat(1000) } };
  const bytes = Buffer.from(JSON.stringify(request));
  for (let at = 0; at < bytes.length; at += 100) {
    socket.send(bytes.subarray(at, at + 100), { fin: at + 100 >= bytes.length, binary: false });
  }
  const [[answer, isBinary]] = await inbox.until(1, 'an answer');
  assert.deepStrictEqual([answer.status, answer.room, isBinary], [200, 'fragments', false]);
  assert.deepStrictEqual(answer.volatile, request.volatile);

  const large = { controller: 'realtime', action: 'subscribe', index: 'i', collection: 'ws', body: {}, requestId: 's' };
  socket.send(JSON.stringify(large));
  const text = Array.from({ length: 40000 }, (_, number) => String(number)).join(' ');
  socket.send(JSON.stringify({ ...large, action: 'publish', body: { text }, requestId: 'p' }));
  const [, , [notification]] = await inbox.until(4, 'a notification');
  assert.strictEqual(notification.result._source.text, text);

  const closed = new Promise(resolve => socket.on('close', resolve));
  socket.close();
  assert.strictEqual(await within(closed, 'close'), 1005);
});
