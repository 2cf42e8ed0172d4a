#!/bin/bash
# What interception costs: both mechanisms beside the bare program and strace, in one run.
#
#   benches/mechanisms.sh [ROUNDS [WRITES]]
#
# Every way is run ROUNDS times in turn, so that load falls on all alike. Printed are the least wall
# time and the least processor time (of the recorder or strace and the program together), in seconds;
# processor time is what can be compared on a machine that is not idle. Needs strace and sqlite3. The
# state lies in memory, and for the last rows on the disk under TMPDIR.
set -euo pipefail
rounds=${1:-5}
writes=${2:-200000}
cd "$(dirname "$0")/../../.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release -p killpoint-engine --example record
cargo build --quiet --release -p guests --bin many-writes
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
cat > "$memory/transactions.sh" <<END
exec sqlite3 -batch -init /dev/null "\$KILLPOINT_STATE/db" < $memory/transactions.sql
END
chmod +x "$memory/transactions.sh"

names=()
commands=()
way() {
    names+=("$1")
    commands+=("$2")
}

calls=write,pwrite64,openat,unlink,fsync,fdatasync,ftruncate
traced="strace -f --seccomp-bpf -e trace=$calls -o $memory/strace"
for place in pinned floating; do
    pin="taskset -c $last" flag=
    if [ $place = floating ]; then pin='' flag=--no-pin; fi
    way "writes, $place: bare" "$pin $guest $writes 512"
    way "writes, $place: strace" "$pin $traced $guest $writes 512"
    for mechanism in ptrace notify; do
        for flags in "" --outside; do
            way "writes ${flags:---inside}, $place: $mechanism" \
                "$record $flag --mechanism $mechanism $flags -- $guest $writes 512"
        done
    done
done
for place in memory disk; do
    sqlite="sh $memory/transactions.sh"
    state=${!place}/state
    way "SQLite, $place: bare" "env KILLPOINT_STATE=$state $sqlite"
    way "SQLite, $place: strace" "env KILLPOINT_STATE=$state $traced $sqlite"
    for mechanism in ptrace notify; do
        way "SQLite, $place: $mechanism" \
            "$record --mechanism $mechanism --state $state -- $sqlite"
    done
done

# Wall and processor time of one run in fresh directories. The recorder works in a process that its
# starter cannot account for, and tells its own.
TIMEFORMAT='%R %U %S'
seconds() {
    rm -rf "$memory/state" "$disk/state"
    mkdir "$memory/state" "$disk/state"
    local spent
    spent=$({ time KILLPOINT_STATE=$memory/state $1 > "$memory/said" 2>&1; } 2>&1)
    awk -v told="$(sed -n 's/.* s, \([0-9.]*\) s of processor time.*/\1/p' "$memory/said")" \
        '{ print $1, told == "" ? $2 + $3 : told }' <<< "$spent"
}

for ((round = 0; round < rounds; round++)); do
    for index in "${!commands[@]}"; do
        seconds "${commands[index]}" >> "$memory/times-$index"
    done
done

echo "$(uname -r), $(nproc) processors, $rounds rounds, load $(cut -d' ' -f1-3 /proc/loadavg) at the end"
for index in "${!names[@]}"; do
    awk -v name="${names[index]}" '
        NR == 1 || $1 < wall { wall = $1 }
        NR == 1 || $2 < busy { busy = $2 }
        END { printf "%-40s wall %7.3f  processor %7.3f\n", name, wall, busy }' \
        "$memory/times-$index"
done
