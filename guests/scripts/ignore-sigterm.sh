#!/bin/bash
# Right, but stubborn: it and its children ignore SIGTERM and SIGINT.
. "$(dirname "$0")/saves.sh"

if [ "$1" = check ]; then check; exit; fi

trap '' TERM INT
for number in 1 2 3 4; do
    save "note-$number" "text-$number"
    sleep 0.05
done
