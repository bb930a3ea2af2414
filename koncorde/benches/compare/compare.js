// The other half of the comparison: the same filters and documents in the npm package `koncorde`, and the ratios.
"use strict";

const fs = require("fs");
const path = require("path");

const [folder, modules] = process.argv.slice(2);
const { Koncorde } = require(path.join(modules, "koncorde"));

const SECONDS = 1;

// How many documents a second, and how often filters matched all of them.
function measure(documents, test) {
  let tested = 0;
  let matches = 0;
  const start = process.hrtime.bigint();
  const elapsed = () => Number(process.hrtime.bigint() - start) / 1e9;
  // Every document once, for the number of matches, and then again while there is time.
  while (tested < documents.length || elapsed() < SECONDS) {
    const found = test(documents[tested % documents.length]).length;
    matches += tested < documents.length ? found : 0;
    tested++;
  }
  return [tested / elapsed(), matches];
}

const columns = ["mix-filters", "npm match", "crate match", "ratio", "npm read+match", "crate read+match", "ratio"];
const row = (cells) => cells.map((cell, column) => (column ? `${cell}`.padStart(17) : cell.padEnd(18))).join("");

console.log(row(columns) + "  matches");
for (const file of fs.readdirSync(folder).filter((name) => name.endsWith(".result")).sort()) {
  const name = file.slice(0, -".result".length);
  const lines = (part) => fs.readFileSync(path.join(folder, `${name}.${part}`), "utf8").split("\n");
  const koncorde = new Koncorde({ maxConditions: 100, regExpEngine: "js" });
  for (const filter of lines("filters")) {
    koncorde.register(JSON.parse(filter));
  }
  const documents = lines("documents");
  const [reading, matches] = measure(documents, (document) => koncorde.test(JSON.parse(document)));
  const [matching] = measure(documents.map((document) => JSON.parse(document)), (document) => koncorde.test(document));
  const [wanted, crateReading, crateMatching] = lines("result")[0].split(" ").map(Number);
  const cells = [name, matching.toFixed(0), crateMatching.toFixed(0), (crateMatching / matching).toFixed(1)];
  cells.push(reading.toFixed(0), crateReading.toFixed(0), (crateReading / reading).toFixed(1));
  const agreement = matches === wanted ? `${matches}` : `${matches}, but ${wanted} in the crate`;
  console.log(`${row(cells)}  ${agreement}`);
}
