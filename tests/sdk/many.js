// Two hundred clients at once: everybody asks, everybody listens, everybody speaks.
'use strict';

const assert = require('assert');
const { Inbox, connect, main } = require('./common');

const COUNT = 200;

main(async () => {
  const clients = await Promise.all(Array.from({ length: COUNT }, () => connect()));
  const inboxes = clients.map(() => new Inbox());
  await Promise.all(clients.map((client, number) => {
    return client.realtime.subscribe('i', 'many', {}, inboxes[number].push, { subscribeToSelf: true });
  }));
  await Promise.all(clients.map((client, number) => client.realtime.publish('i', 'many', { number })));
  for (const [number, inbox] of inboxes.entries()) {
    const items = await inbox.until(COUNT, `everything for client ${number}`);
    const numbers = items.map(({ result }) => result._source.number).sort((a, b) => a - b);
    assert.deepStrictEqual(numbers, Array.from({ length: COUNT }, (_, index) => index));
  }
  const times = await Promise.all(clients.map(client => client.server.now()));
  assert.strictEqual(times.length, COUNT);
});
