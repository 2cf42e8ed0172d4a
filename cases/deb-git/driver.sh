#!/bin/bash
. "$CASES/lib/one_shot.sh"

export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@x GIT_AUTHOR_DATE='2026-01-01T00:00:00Z'
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@x GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=gc.auto GIT_CONFIG_VALUE_0=0

repository=$KILLPOINT_STATE/r

create() { git init -q "$repository"; }

put() {
    cd "$repository" || exit 1
    echo "$2" >"$1"
    git add "$1"
    git commit -qm "$1"
}

prepare() {
    cd "$repository" || exit 1
    echo alpha >new0
    git add new0
}

work() { exec git -C "$repository" commit -qm new0; }

dump() {
    cd "$repository" || exit 1
    complaint=$(git fsck --strict 2>&1) || { echo "${complaint%%$'\n'*}"; exit 1; }
    for file in $(git ls-tree --name-only HEAD); do
        printf '%s\t%s\n' "$file" "$(git show "HEAD:$file")"
    done | rows_to_json
}

run_phase "$1"
