// Bursts of messages and requests, in order and complete.
'use strict';

const assert = require('assert');
const { Inbox, connect, main } = require('./common');

const COUNT = 2000;

main(async () => {
  const [subscriber, publisher] = [await connect(), await connect()];
  const inbox = new Inbox();
  await subscriber.realtime.subscribe('i', 'bursts', {}, inbox.push);
  const answers = [];
  for (let number = 0; number < COUNT; number++) {
    answers.push(publisher.realtime.publish('i', 'bursts', { number, text: 'x'.repeat(number) }));
  }
  await Promise.all(answers);
  const items = await inbox.until(COUNT, 'the whole burst');
  items.forEach(({ result }, number) => {
    assert.strictEqual(result._source.number, number);
    assert.strictEqual(result._source.text.length, number);
  });
});
