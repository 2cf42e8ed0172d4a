# Shared by the cases whose workload is one command of an installed program. The case defines
#   create          makes the empty store (optional)
#   put KEY VALUE   stores one row, as part of the setup
#   prepare         what the setup does last (optional)
#   work            becomes the command that is struck, by exec
#   dump            prints what the reopened store holds
# and ends with `run_phase "$1"`.

create() { :; }
prepare() { :; }

# Reads lines of key and value, with a tab between them; prints one JSON object.
rows_to_json() {
    python3 -c '
import json, sys
rows = (line.rstrip("\n").split("\t", 1) for line in sys.stdin if "\t" in line)
print(json.dumps(dict(rows)))'
}

run_phase() {
    case $1 in
    setup)
        create
        for number in 0 1 2 3 4; do
            echo "I old$number value$number" >>"$KILLPOINT_JOURNAL"
            put "old$number" "value$number" >/dev/null </dev/null || exit 1
            echo "A old$number" >>"$KILLPOINT_JOURNAL"
        done
        prepare
        ;;
    work) work ;;
    check) dump ;;
    esac
}
