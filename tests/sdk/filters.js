// Subscriptions with filters of every keyword: who gets which of the messages.
'use strict';

const assert = require('assert');
const { Inbox, connect, main } = require('./common');

// Filter, messages that match, messages that do not.
const paris = { lat: 48.8566, lon: 2.3522 };
const london = { lat: 51.5074, lon: -0.1278 };
const CASES = {
  everything: [{}, [{ a: 1 }, {}], []],
  equals: [{ equals: { name: 'Ada' } }, [{ name: 'Ada' }], [{ name: 'Bob' }, {}]],
  nested: [{ equals: { 'a.b': 1 } }, [{ a: { b: 1 } }], [{ a: { b: 2 } }, { a: 1 }]],
  in: [{ in: { name: ['Ada', 'Bob'] } }, [{ name: 'Ada' }, { name: 'Bob' }], [{ name: 'Eve' }]],
  exists: [{ exists: 'name' }, [{ name: null }, { name: 0 }], [{ other: 1 }]],
  missing: [{ missing: 'name' }, [{ other: 1 }], [{ name: 1 }]],
  range: [{ range: { age: { gte: 18, lt: 65 } } }, [{ age: 18 }, { age: 64 }], [{ age: 17 }, { age: 65 }, {}]],
  regexp: [{ regexp: { name: { value: '^a.*a$', flags: 'i' } } }, [{ name: 'Ada' }], [{ name: 'Adam' }]],
  ids: [{ ids: { values: ['one', 'two'] } }, [{ _id: 'one' }], [{ _id: 'three' }]],
  and: [{ and: [{ equals: { a: 1 } }, { equals: { b: 2 } }] }, [{ a: 1, b: 2 }], [{ a: 1 }, { b: 2 }]],
  or: [{ or: [{ equals: { a: 1 } }, { equals: { b: 2 } }] }, [{ a: 1 }, { b: 2 }], [{ a: 2, b: 1 }]],
  not: [{ not: { equals: { a: 1 } } }, [{ a: 2 }, {}], [{ a: 1 }]],
  bool: [
    { bool: { must: [{ exists: 'a' }], must_not: [{ equals: { a: 1 } }], should: [{ equals: { b: 1 } }, { equals: { b: 2 } }] } },
    [{ a: 2, b: 1 }, { a: 3, b: 2 }],
    [{ a: 1, b: 1 }, { a: 2, b: 3 }, { b: 1 }],
  ],
  nothing: [{ nothing: 'x' }, [], [{ a: 1 }, {}]],
  geoBoundingBox: [
    { geoBoundingBox: { position: { topLeft: { lat: 49, lon: 2 }, bottomRight: { lat: 48, lon: 3 } } } },
    [{ position: paris }], [{ position: london }],
  ],
  geoDistance: [{ geoDistance: { position: paris, distance: '10km' } }, [{ position: paris }], [{ position: london }]],
  geoDistanceRange: [
    { geoDistanceRange: { position: paris, from: '100km', to: '500km' } },
    [{ position: london }], [{ position: paris }],
  ],
  geoPolygon: [
    { geoPolygon: { position: { points: [[49, 2], [49, 3], [48, 3], [48, 2]] } } },
    [{ position: paris }], [{ position: london }],
  ],
};

main(async () => {
  const subscriber = await connect();
  const publisher = await connect();
  for (const [name, [filter, matching, others]] of Object.entries(CASES)) {
    const inbox = new Inbox();
    const room = await subscriber.realtime.subscribe('filters', name, filter, inbox.push);
    const end = new Inbox();
    await subscriber.realtime.subscribe('filters', `${name}-end`, {}, end.push);
    for (const { _id, ...body } of [...others, ...matching, ...others]) {
      await publisher.realtime.publish('filters', name, body, _id ? { _id } : {});
    }
    // The order is kept, so nothing more comes after this.
    await publisher.realtime.publish('filters', `${name}-end`, {});
    await end.until(1, `the end of ${name}`);
    const got = inbox.items.map(({ result }) => {
      const { _kuzzle_info, ...source } = result._source;
      return result._id ? { _id: result._id, ...source } : source;
    });
    assert.deepStrictEqual(got, matching, name);
    await subscriber.realtime.unsubscribe(room);
  }
  const asker = await connect({ expected: true });
  await assert.rejects(asker.realtime.subscribe('filters', 'bad', { equals: {} }, () => {}), error => {
    return error.id === 'api.assert.koncorde_dsl_error';
  });
});
