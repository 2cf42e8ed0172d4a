# Shared by the shell guests: each value lies in a file of its own, replaced atomically by children (sync, mv).
# A child that fails or is killed ends the shell; what it did is not acknowledged.

state=${KILLPOINT_STATE:-${!#}}
journal=${KILLPOINT_JOURNAL:-/dev/null}
mkdir -p "$state"

save() {
    echo "I $1 $2" >>"$journal"
    printf '%s' "$2" >"$state/$1.tmp" || exit 1
    sync "$state/$1.tmp" || exit 1
    mv -f "$state/$1.tmp" "$state/$1" || exit 1
    sync "$state" || exit 1
    echo "A! $1" >>"$journal"
}

# Prints the store as JSON; the values of these guests need no escapes.
check() {
    local separator='' path
    printf '{'
    for path in "$state"/*; do
        case $path in *.tmp | *'*') continue ;; esac
        printf '%s"%s":"%s"' "$separator" "${path##*/}" "$(cat "$path")"
        separator=,
    done
    printf '}\n'
}
