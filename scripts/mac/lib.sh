# shellcheck shell=bash
# What the scripts for macOS share. Sourced, not run. For the bash 3.2 that macOS has.

# shellcheck disable=SC2034 # for those who source this
mac=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    shift
    (($# == 0)) || printf '  %s\n' "$@" >&2
    exit 1
}

need_mac() {
    [[ $(uname -s) == Darwin ]] ||
        die "this needs a Mac: it uses what only macOS has, and this is $(uname -s)"
}

# A name that an account may have, and that is one plain word to every shell and plist.
is_user_name() { [[ $1 =~ ^[a-z_][a-z0-9_-]{0,30}$ ]]; }
