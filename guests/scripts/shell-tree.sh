#!/bin/bash
# Right: a shell that works through children and subshells, one after the other and in pipelines.
. "$(dirname "$0")/saves.sh"

if [ "$1" = check ]; then check; exit; fi

save first one
(save second "$(echo two | tr a-z A-Z)") || exit 1
seq 3 | while read -r number; do save "number-$number" "$((number * number))"; done || exit 1
save first uno
