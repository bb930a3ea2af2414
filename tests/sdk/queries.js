// Requests and errors of the API. Argument: websocket or http.
'use strict';

const assert = require('assert');
const { connect, main } = require('./common');

main(async () => {
  const overHttp = process.argv[2] === 'http';
  const kuzzle = await connect({ http: overHttp, expected: true });

  const before = Date.now();
  const now = await kuzzle.server.now();
  assert(Math.abs(now - before) < 60000, `${now}`);

  const info = await kuzzle.server.info();
  assert(info.serverInfo.kuzzle.version, JSON.stringify(info));

  const answer = await kuzzle.query({ controller: 'server', action: 'publicApi' });
  assert.strictEqual(answer.status, 200);
  assert(answer.result.realtime.publish.http.length > 0);

  assert.deepStrictEqual(await kuzzle.realtime.publish('i', 'c', { a: 1 }), true);

  // Nobody is logged in.
  assert.strictEqual(await kuzzle.isAuthenticated(), false);
  const token = await kuzzle.auth.checkToken('no token');
  assert.strictEqual(token.valid, false);
  const user = await kuzzle.auth.getCurrentUser();
  assert.strictEqual(user._id, '-1');
  assert(Array.isArray(await kuzzle.auth.getStrategies()));

  await assert.rejects(kuzzle.auth.login('local', { username: 'u', password: 'p' }), error => {
    assert.strictEqual(error.status, 400);
    assert.strictEqual(error.id, 'security.credentials.unknown_strategy');
    return true;
  });
  if (!overHttp) {
    await assert.rejects(kuzzle.query({ controller: 'foo', action: 'bar' }), error => {
      assert.deepStrictEqual([error.status, error.id], [404, 'api.process.controller_not_found']);
      return true;
    });
    await assert.rejects(kuzzle.query({ controller: 'server', action: 'bar' }), error => {
      assert.deepStrictEqual([error.status, error.id], [404, 'api.process.action_not_found']);
      return true;
    });
  }
  await assert.rejects(kuzzle.realtime.publish('i', 'c', 'no object'));
  // And it still works.
  assert(await kuzzle.server.now() >= now);
  kuzzle.disconnect();
});
