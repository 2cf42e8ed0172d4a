#!/bin/bash
. "$CASES/lib/one_shot.sh"

settings=$KILLPOINT_STATE/rc
data=$KILLPOINT_STATE/d

tasks() {
    task rc:"$settings" rc.data.location="$data" rc.confirmation=off rc.verbose=nothing rc.gc=on "$@"
}

create() {
    mkdir "$data"
    printf 'confirmation=off\nnews.version=2.6.0\n' >"$settings"
}

put() { tasks add "$1 $2"; }

work() {
    exec task rc:"$settings" rc.data.location="$data" rc.confirmation=off rc.verbose=nothing old1 done
}

dump() {
    exported=$(tasks export 2>&1) || { echo "$exported"; exit 1; }
    printf '%s\n' "$exported" | python3 -c '
import json, sys
text = sys.stdin.read()
held = {}
for task in json.loads(text[text.index("["):]):
    key, _, value = task["description"].partition(" ")
    held[key] = value + ("!done" if task["status"] == "completed" else "")
print(json.dumps(held))'
}

run_phase "$1"
