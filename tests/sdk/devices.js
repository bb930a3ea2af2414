// A dashboard among devices of other protocols: hears what they publish, and tells them something.
'use strict';

const assert = require('assert');
const { Inbox, connect, main } = require('./common');

main(async () => {
  const kuzzle = await connect();
  const inbox = new Inbox();
  await kuzzle.realtime.subscribe('i', 'devices', { exists: 'text' }, inbox.push);
  await kuzzle.realtime.publish('i', 'dashboards', { text: 'here I am' });
  await inbox.until(3, 'what the devices publish');
  const seen = inbox.items.map(({ protocol, result }) => [protocol, result._source.text]).sort();
  assert.deepStrictEqual(seen, [['line', 'from line'], ['mqtt', 'from mqtt'], ['udp', 'from udp']]);
  await kuzzle.realtime.publish('i', 'dashboards', { text: 'thank you' });
});
