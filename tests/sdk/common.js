// What the scripts share. Each script ends with status 0 if everything is as it should be.
'use strict';

const { Kuzzle, WebSocket, Http } = require('kuzzle-sdk');

const host = process.env.KUZZLE_HOST;
const port = Number(process.env.KUZZLE_PORT);
const LIMIT = 20000;

process.on('unhandledRejection', error => {
  console.error(error);
  process.exit(1);
});

/** A connected SDK; what it complains of fails the script. */
async function connect(options = {}) {
  const Protocol = options.http ? Http : WebSocket;
  const kuzzle = new Kuzzle(new Protocol(options.host || host, { port: options.port || port, ...options.protocol }));
  for (const event of options.expected ? [] : ['networkError', 'queryError', 'discarded']) {
    kuzzle.on(event, (error, ...rest) => {
      console.error(event, error, ...rest);
      process.exit(1);
    });
  }
  await within(kuzzle.connect(), 'connect');
  return kuzzle;
}

/** The promise, or a failure that names what was waited for. */
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} does not come in time`)), LIMIT);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A list that can be waited for. */
class Inbox {
  constructor() {
    this.items = [];
    this.waiting = [];
    this.push = item => {
      this.items.push(item);
      this.waiting = this.waiting.filter(({ count, resolve }) => this.items.length < count || resolve());
    };
  }

  /** Waits until there are so many. */
  async until(count, what) {
    if (this.items.length < count) {
      await within(new Promise(resolve => this.waiting.push({ count, resolve })), what);
    }
    return this.items;
  }
}

/** Runs the script. */
function main(script) {
  script().then(() => process.exit(0), error => {
    console.error(error);
    process.exit(1);
  });
}

module.exports = { Inbox, connect, host, main, port, within };
