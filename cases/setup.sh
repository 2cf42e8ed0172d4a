#!/bin/bash
# Installs the programs that the cases drive: setup.sh [ENV_DIR]
#
# About two minutes on a fresh Debian machine, a second where all is there. Without ENV_DIR it is $CASES_ENV, else
# ~/.cache/killpoint-cases. Debian's packages need root; for anybody else it says which are missing.
set -euo pipefail

cases=$(cd "$(dirname "$0")" && pwd)
environment=${1:-${CASES_ENV:-$HOME/.cache/killpoint-cases}}

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

# What a command or a module is needed for, and the Debian package that has it.
packages=()
need() { say "$1 is missing (Debian package $2)"; packages+=("$2"); }
for pair in python3:python3 node:nodejs npm:npm git:git strace:strace gdbmtool:gdbmtool task:taskwarrior; do
    command -v "${pair%:*}" >/dev/null || need "${pair%:*}" "${pair#*:}"
done
if ! python3 -c 'import ensurepip, venv' 2>/dev/null && [ ! -x "$environment/py/bin/pip" ]; then
    need 'the module venv of python3' python3-venv
fi

if [ ${#packages[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "install ${packages[*]}, then run this again"
    [ "$(id -u)" = 0 ] || fail "run as root: apt-get install ${packages[*]}; then run this again"
    export DEBIAN_FRONTEND=noninteractive
    if ! apt-cache show "${packages[@]}" >/dev/null 2>&1; then
        say "fetching the package lists"
        apt-get update -q >/dev/null
    fi
    say "installing ${packages[*]}"
    apt-get install -y -q --no-install-recommends "${packages[@]}" >/dev/null
fi
command -v cargo >/dev/null || fail "cargo is missing: install Rust (https://rustup.rs), then run this again"

# Several runs at once wait for each other.
mkdir -p "$environment"
exec {lock}>"$environment/.lock"
flock "$lock"

if ! cmp -s "$cases/requirements.txt" "$environment/requirements.txt"; then
    say "installing into $environment/py: $(tr '\n' ' ' <"$cases/requirements.txt")"
    [ -x "$environment/py/bin/pip" ] || python3 -m venv "$environment/py"
    "$environment/py/bin/pip" install -q --disable-pip-version-check -r "$cases/requirements.txt"
    cp "$cases/requirements.txt" "$environment/requirements.txt"
fi

if ! cmp -s "$cases/package.json" "$environment/.installed-package.json"; then
    say "installing into $environment/node_modules: what package.json names"
    cp -f "$cases/package.json" "$environment/package.json"
    (cd "$environment" && npm install --silent --no-audit --no-fund)
    cp -f "$cases/package.json" "$environment/.installed-package.json"
fi

# Cargo knows by itself what is up to date.
say "building $environment/rs/cases-rs"
(cd "$cases/rs" && CARGO_TARGET_DIR="$environment/rs-target" cargo build -q --release --locked)
mkdir -p "$environment/rs"
cmp -s "$environment/rs-target/release/cases-rs" "$environment/rs/cases-rs" ||
    cp -f "$environment/rs-target/release/cases-rs" "$environment/rs/cases-rs"

say "all is in $environment"
