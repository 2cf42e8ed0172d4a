#!/bin/sh
# What interception costs: both mechanisms beside the bare program and strace, in one run.
#
#   benches/mechanisms.sh [ROUNDS [WRITES]]
#
# Every way is run ROUNDS times in turn, so that load falls on all alike; the least and the median of
# the wall time are printed, in seconds. Needs strace and sqlite3; the state lies in memory, and for
# the last rows on the disk under TMPDIR.
set -eu
rounds=${1:-5}
writes=${2:-200000}
cd "$(dirname "$0")/../../.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release -p killpoint-engine --example record
cargo build --quiet --release -p guests --bins
record=$target/release/examples/record
guest=$target/release/many-writes
memory=$(mktemp -d /dev/shm/killpoint-bench.XXXXXX)
disk=$(mktemp -d "${TMPDIR:-/tmp}/killpoint-bench.XXXXXX")
trap 'rm -rf "$memory" "$disk"' EXIT
last=$(($(nproc) - 1))

{
    echo 'pragma journal_mode=delete; pragma synchronous=full; create table t(k integer, v text);'
    seq 500 | sed "s/.*/insert into t values(&, printf('%.100c', 'x'));/"
} > "$memory/transactions.sql"

# seconds COMMAND...: wall time of one run in a fresh directory.
seconds() {
    rm -rf "$memory/state" "$disk/state"
    mkdir "$memory/state" "$disk/state"
    start=$(date +%s%N)
    "$@" > "$memory/said" 2>&1 || { cat "$memory/said" >&2; exit 1; }
    echo $(($(date +%s%N) - start))
}

row=0
# way NAME COMMAND...: keeps it for the table.
way() {
    row=$((row + 1))
    eval "name_$row=\$1"
    shift
    eval "command_$row=\$*"
}

sqlite='sqlite3 -batch -init /dev/null $KILLPOINT_STATE/db'
traced="strace -f --seccomp-bpf -o $memory/strace"
for place in pinned floating; do
    pin="taskset -c $last"; flag=
    [ $place = floating ] && { pin=; flag=--no-pin; }
    way "writes, $place: bare" "$pin $guest $writes 512"
    way "writes, $place: strace" "$pin $traced $guest $writes 512"
    for mechanism in ptrace notify; do
        way "writes in the state, $place: $mechanism" \
            "$record $flag --mechanism $mechanism -- $guest $writes 512"
        way "writes outside, $place: $mechanism" \
            "$record $flag --mechanism $mechanism --outside -- $guest $writes 512"
    done
done
for place in memory disk; do
    eval "directory=\$$place/state"
    way "SQLite, 500 transactions, $place: bare" \
        "env KILLPOINT_STATE=$directory sh -c '$sqlite < $memory/transactions.sql'"
    way "SQLite, 500 transactions, $place: strace" \
        "env KILLPOINT_STATE=$directory $traced sh -c '$sqlite < $memory/transactions.sql'"
    for mechanism in ptrace notify; do
        way "SQLite, 500 transactions, $place: $mechanism" \
            "$record --mechanism $mechanism --state $directory -- sh -c '$sqlite < $memory/transactions.sql'"
    done
done

export KILLPOINT_STATE="$memory/state"
round=0
while [ $round -lt "$rounds" ]; do
    round=$((round + 1))
    number=0
    while [ $number -lt $row ]; do
        number=$((number + 1))
        eval "command=\$command_$number"
        eval "seconds $command" >> "$memory/times-$number"
    done
done

echo "$(uname -r), $(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg) at the end, $rounds rounds"
number=0
while [ $number -lt $row ]; do
    number=$((number + 1))
    eval "name=\$name_$number"
    sort -n "$memory/times-$number" | awk -v name="$name" '{ t[NR] = $1 / 1e9 }
        END { printf "%-50s least %7.3f  median %7.3f\n", name, t[1], t[int((NR + 1) / 2)] }'
done
