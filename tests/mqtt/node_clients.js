// The package `mqtt` of npm in MQTT 3.1, 3.1.1 and 5.0 against a host: arguments are its address and port.
'use strict';

const assert = require('node:assert');
const mqtt = require('mqtt');

const [host, port] = process.argv.slice(2);
const VERSIONS = [
  { protocolId: 'MQIsdp', protocolVersion: 3 },
  { protocolId: 'MQTT', protocolVersion: 4 },
  { protocolId: 'MQTT', protocolVersion: 5 },
];

/** A client that is connected, and keeps its messages in order. */
async function connect(clientId, version, options = {}) {
  const client = await mqtt.connectAsync({
    host, port: Number(port), clientId, reconnectPeriod: 0, ...version, ...options,
  });
  const messages = [];
  const waiting = [];
  client.on('message', (topic, payload, packet) => {
    const message = { topic, text: payload.toString(), packet };
    if (waiting.length > 0) waiting.shift()(message);
    else messages.push(message);
  });
  client.message = () => new Promise((resolve) => {
    if (messages.length > 0) resolve(messages.shift());
    else waiting.push(resolve);
  });
  return client;
}

async function talk(one, other) {
  const publisher = await connect('publisher', one);
  const subscriber = await connect('subscriber', other);
  const granted = await subscriber.subscribeAsync('talk/+', { qos: 2 });
  assert.strictEqual(granted[0].qos, 2);
  const sent = [];
  for (let number = 0; number < 100; number++) {
    sent.push(publisher.publishAsync(`talk/${number % 7}`, String(number), { qos: number % 3 }));
  }
  await Promise.all(sent);
  const got = [[], [], []];
  for (let number = 0; number < 100; number++) {
    const message = await subscriber.message();
    got[message.packet.qos].push(Number(message.text));
  }
  for (const qos of [0, 1, 2]) {
    const expected = Array.from({ length: 100 }, (_, number) => number).filter((number) => number % 3 === qos);
    assert.deepStrictEqual(got[qos], expected);
  }
  await publisher.endAsync();
  await subscriber.endAsync();
}

async function comeBack(version) {
  const kept = { clean: false, ...(version.protocolVersion === 5 && { properties: { sessionExpiryInterval: 600 } }) };
  const away = await connect('away', version, kept);
  await away.subscribeAsync('away', { qos: 2 });
  await away.endAsync(true);
  const publisher = await connect('publisher', version, {
    will: { topic: 'will', payload: 'gone', qos: 1, retain: false },
  });
  for (let number = 0; number < 20; number++) await publisher.publishAsync('away', String(number), { qos: 2 });
  const back = await connect('away', version, kept);
  for (let number = 0; number < 20; number++) assert.strictEqual((await back.message()).text, String(number));
  // A will.
  await back.subscribeAsync('will', { qos: 1 });
  publisher.stream.destroy();
  assert.strictEqual((await back.message()).text, 'gone');
  await back.endAsync();
  await (await connect('away', version)).endAsync();
}

async function ask(version) {
  const client = await connect('asker', version);
  const request = (body) => client.publishAsync('Kuzzle/request', JSON.stringify(body), { qos: 1 });
  const where = { controller: 'realtime', index: 'i', collection: 'c' };
  await request({ ...where, action: 'subscribe', body: {} });
  const { channel } = JSON.parse((await client.message()).text).result;
  await client.subscribeAsync(channel);
  await request({ ...where, action: 'publish', body: { a: 1 } });
  const notification = await client.message();
  assert.strictEqual(notification.topic, channel);
  assert.strictEqual(JSON.parse(notification.text).result._source.a, 1);
  assert.strictEqual((await client.message()).topic, 'Kuzzle/response');
  await client.endAsync();
}

async function version5() {
  const client = await connect('newer', VERSIONS[2], { properties: { topicAliasMaximum: 10 } });
  await client.publishAsync('Kuzzle/request', '{"controller":"server","action":"now"}', {
    qos: 1, properties: { responseTopic: 'answers/here', correlationData: Buffer.from([0, 255]) },
  });
  const answer = await client.message();
  assert.strictEqual(answer.topic, 'answers/here');
  assert.deepStrictEqual([...answer.packet.properties.correlationData], [0, 255]);
  await client.subscribeAsync('tagged/#', { qos: 1, properties: { subscriptionIdentifier: 42 } });
  for (let number = 0; number < 3; number++) {
    await client.publishAsync('tagged/x', String(number), { qos: 1, properties: { userProperties: { k: 'v' } } });
    const message = await client.message();
    assert.strictEqual(message.topic, 'tagged/x');
    assert.strictEqual(message.packet.properties.subscriptionIdentifier, 42);
    assert.strictEqual(message.packet.properties.userProperties.k, 'v');
  }
  // A refusal is told, and the connection stays.
  await assert.rejects(client.subscribeAsync('Kuzzle/request'));
  await assert.rejects(client.publishAsync('Kuzzle/response', 'x', { qos: 1 }));
  await client.endAsync();
}

async function main() {
  for (const one of VERSIONS) {
    for (const other of VERSIONS) await talk(one, other);
    await comeBack(one);
    await ask(one);
  }
  await version5();
  console.log('done');
  process.exit(0);
}

setTimeout(() => { console.error('it takes too long'); process.exit(1); }, 60_000).unref();
main().catch((error) => { console.error(error); process.exit(1); });
