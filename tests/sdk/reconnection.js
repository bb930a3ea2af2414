// A connection is killed on its way: the SDK connects anew and its subscriptions live on.
'use strict';

const assert = require('assert');
const net = require('net');
const { Inbox, connect, host, main, port } = require('./common');

main(async () => {
  const pairs = new Set();
  const proxy = net.createServer(client => {
    const server = net.connect(port, host);
    const pair = [client, server];
    pairs.add(pair);
    client.pipe(server);
    server.pipe(client);
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.on('close', () => pair.forEach(one => one.destroy()));
    }
  });
  await new Promise(resolve => proxy.listen(0, '127.0.0.1', resolve));

  const publisher = await connect();
  const kuzzle = await connect({
    expected: true, host: '127.0.0.1', port: proxy.address().port, protocol: { reconnectionDelay: 50 },
  });
  const inbox = new Inbox();
  await kuzzle.realtime.subscribe('i', 'reconnection', { exists: 'number' }, inbox.push);
  await publisher.realtime.publish('i', 'reconnection', { number: 0 });
  await inbox.until(1, 'the first message');

  let reconnected = 0;
  kuzzle.on('reconnected', () => reconnected++);
  for (let number = 1; number <= 3; number++) {
    pairs.forEach(pair => pair.forEach(socket => socket.resetAndDestroy()));
    pairs.clear();
    // The subscription follows the connection; a message comes as soon as it is there.
    const heard = inbox.until(inbox.items.length + 1, `message ${number} over a new connection`);
    const again = setInterval(() => publisher.realtime.publish('i', 'reconnection', { number }), 20);
    await heard.finally(() => clearInterval(again));
    assert.strictEqual(inbox.items.at(-1).result._source.number, number);
    assert(await kuzzle.server.now());
    // The SDK does not notice what happens within 200 ms after the same.
    await new Promise(resolve => setTimeout(resolve, 250));
  }
  assert.strictEqual(reconnected, 3);
});
