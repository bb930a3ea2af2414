// The other half of the comparison: the same filters and documents in the npm package `koncorde`, and the ratio.
"use strict";

const fs = require("fs");
const path = require("path");

const [folder, modules] = process.argv.slice(2);
const { Koncorde } = require(path.join(modules, "koncorde"));

const SECONDS = 1;

console.log("mix-filters".padEnd(20) + "npm/s".padStart(12) + "crate/s".padStart(12) + "ratio".padStart(9) + "  matches");
for (const file of fs.readdirSync(folder).filter((name) => name.endsWith(".result")).sort()) {
  const name = file.slice(0, -".result".length);
  const lines = (part) => fs.readFileSync(path.join(folder, `${name}.${part}`), "utf8").split("\n");
  const koncorde = new Koncorde({ maxConditions: 100, regExpEngine: "js" });
  for (const filter of lines("filters")) {
    koncorde.register(JSON.parse(filter));
  }
  const documents = lines("documents");
  let tested = 0;
  let matches = 0;
  const start = process.hrtime.bigint();
  const elapsed = () => Number(process.hrtime.bigint() - start) / 1e9;
  // Every document once, for the number of matches, and then again while there is time.
  while (tested < documents.length || elapsed() < SECONDS) {
    const found = koncorde.test(JSON.parse(documents[tested % documents.length])).length;
    matches += tested < documents.length ? found : 0;
    tested++;
  }
  const own = tested / elapsed();
  const [wanted, crate] = lines("result")[0].split(" ").map(Number);
  const agreement = matches === wanted ? `${matches}` : `${matches}, but ${wanted} in the crate`;
  console.log(
    name.padEnd(20) +
      own.toFixed(0).padStart(12) +
      crate.toFixed(0).padStart(12) +
      (crate / own).toFixed(1).padStart(9) +
      `  ${agreement}`,
  );
}
