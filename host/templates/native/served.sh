#!/bin/sh
# served.sh NAME: loads dist/NAME into a real host and asks it for the time.
set -eu
name=$1
host=${KUZZLE_HOST:-kuzzle-host}
home=$(mktemp -d)
pid=
stop() {
  [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
  rm -rf "$home"
}
trap stop EXIT
trap 'exit 1' INT TERM

fail() {
  echo "FAILED: $1" >&2
  [ ! -f "$home/log" ] || cat "$home/log" >&2
  exit 1
}

# An installation: the protocol in `available`, a link to it in `enabled`, and port 0, so that the
# system chooses one.
mkdir -p "$home/protocols/available" "$home/protocols/enabled"
cp -R "dist/$name" "$home/protocols/available/$name"
ln -s "../available/$name" "$home/protocols/enabled/$name"
echo "{ \"server\": { \"protocols\": { \"$name\": { \"port\": 0 } } } }" >"$home/.kuzzlerc"

"$host" check "dist/$name" || fail "check refuses dist/$name"
"$host" --home "$home" start --ready-file "$home/ready.json" 2>"$home/log" &
pid=$!
waited=0
while [ ! -f "$home/ready.json" ]; do
  kill -0 "$pid" 2>/dev/null || fail "the host has ended"
  [ "$waited" -lt 300 ] || fail "the host does not serve within 30 seconds"
  sleep 0.1
  waited=$((waited + 1))
done
port=$(sed -n 's/.*"127\.0\.0\.1:\([0-9]*\)".*/\1/p' "$home/ready.json")
[ -n "$port" ] || fail "no listener was reported"

expect() {
  answer=$(build/client "$port" "$1") || fail "no answer to $1"
  case $answer in
    *"$2"*) echo "ok: $answer" ;;
    *) fail "expected $2 in $answer" ;;
  esac
}
expect '{"controller":"server","action":"now","requestId":"a"}' '"room":"a"'
expect '{"controller":"server","action":"now"}' '"status":200'
expect 'no JSON' '"status":400'

kill -TERM "$pid"
wait "$pid" || fail "the host did not end well"
pid=
echo "passed"
