#!/bin/bash
. "$CASES/lib/one_shot.sh"

database=$KILLPOINT_STATE/g.db

put() { gdbmtool -q "$database" store "$1" "$2"; }

work() { exec gdbmtool -q "$database" store new0 alpha; }

dump() {
    listing=$(gdbmtool -q -r "$database" list 2>&1) || { echo "$listing"; exit 1; }
    printf '%s\n' "$listing" | sed 's/ /\t/' | rows_to_json
}

run_phase "$1"
