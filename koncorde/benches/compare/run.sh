#!/bin/sh
# Compares the throughput of matching with that of the npm package koncorde. See README.md.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=${1:-$(mktemp -d)}
mkdir -p "$work/data"
cd "$work"

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "Node is not there: nothing to compare with."
  exit 0
fi
if [ ! -f built ]; then
  [ -f package.json ] || npm init -y >/dev/null
  npm install --ignore-scripts --no-audit --no-fund koncorde@4.7.0
  npm rebuild kuzzle-espresso-logic-minimizer boost-geospatial-index
  # RE2 takes long to build, and RegExp is no slower here.
  printf 'module.exports = RegExp;\n' >node_modules/re2/re2.js
  touch built
fi
cargo bench --quiet --manifest-path "$here/../../Cargo.toml" --bench compare -- "$work/data"
node "$here/compare.js" "$work/data" "$work/node_modules"
