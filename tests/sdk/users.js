// User notifications: who comes and who goes.
'use strict';

const assert = require('assert');
const { Inbox, connect, main } = require('./common');

main(async () => {
  const [stays, goes, third] = [await connect(), await connect(), await connect()];
  const inbox = new Inbox();
  const users = notification => notification.type === 'user' && inbox.push(notification);
  await stays.realtime.subscribe('i', 'users', {}, users, { users: 'all' });

  const room = await goes.realtime.subscribe('i', 'users', {}, () => {}, { users: 'none', volatile: { who: 'goes' } });
  await inbox.until(1, 'somebody comes');
  await goes.realtime.unsubscribe(room);
  await inbox.until(2, 'somebody goes');
  await third.realtime.subscribe('i', 'users', {}, () => {}, { volatile: { who: 'third' } });
  await inbox.until(3, 'the third comes');
  third.disconnect();
  await inbox.until(4, 'the third disconnects');

  const seen = inbox.items.map(({ user, action, result, volatile }) => [user, action, result.count, volatile.who]);
  assert.deepStrictEqual(seen, [
    ['in', 'subscribe', 2, 'goes'],
    ['out', 'unsubscribe', 1, 'goes'],
    ['in', 'subscribe', 2, 'third'],
    ['out', 'unsubscribe', 1, 'third'],
  ]);
});
