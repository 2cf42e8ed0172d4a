#!/bin/bash
# Right: its driver ends at once, and a child that it leaves behind goes on saving for a moment.
. "$(dirname "$0")/saves.sh"

if [ "$1" = check ]; then check; exit; fi

save early here
(
    for number in 1 2 3; do
        sleep 0.03
        save "late-$number" "text-$number"
    done
) </dev/null >/dev/null 2>&1 &
