// Volatile data arrive as they were sent, and a client does not hear itself unless it wants to.
'use strict';

const assert = require('assert');
const { Inbox, connect, main } = require('./common');

main(async () => {
  const [one, other, overHttp] = [await connect(), await connect(), await connect({ http: true })];
  const [deaf, hears, others] = [new Inbox(), new Inbox(), new Inbox()];
  await one.realtime.subscribe('i', 'volatile', {}, deaf.push, { subscribeToSelf: false });
  await one.realtime.subscribe('i', 'volatile', {}, hears.push, { subscribeToSelf: true });
  await other.realtime.subscribe('i', 'volatile', {}, others.push);

  const volatile = { text: 'é "quoted" \u{1f600}', number: 1.5, nested: { list: [1, null, true] } };
  await one.realtime.publish('i', 'volatile', { from: 'one' }, { volatile });
  await overHttp.realtime.publish('i', 'volatile', { from: 'http' }, { volatile: { number: 2 } });
  await others.until(2, 'both messages');
  await hears.until(2, 'both messages');
  await deaf.until(1, 'the message of the other');

  const [first, second] = others.items;
  const { sdkInstanceId, sdkName, ...own } = first.volatile;
  assert.deepStrictEqual(own, volatile);
  assert.strictEqual(sdkInstanceId, one.protocol.id);
  assert(sdkName.startsWith('js@7.'), sdkName);
  assert.deepStrictEqual([first.protocol, second.protocol], ['websocket', 'http']);
  assert.strictEqual(second.volatile.number, 2);
  assert.deepStrictEqual(deaf.items.map(({ result }) => result._source.from), ['http']);
});
