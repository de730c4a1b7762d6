# shellcheck shell=sh
# What handlers share: sourced, not run. See handlers.md.
set -eu
umask 022
# shellcheck disable=SC2034 # what handlers use
root=${VMTEST_ROOT-}
# shellcheck disable=SC2034
verb=${1-} key=${VMTEST_KEY-} state=${VMTEST_STATE-}
payload=$(cat)

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

not_here() { # this guest has nothing of the kind: stored, not enforced
    printf 'stored, not enforced on this guest: %s\n' "$*" >&2
    exit 3
}

# value JQ-FILTER: of the payload, nothing where it is null or missing. `.x == true` where a
# profile may say 1 for true: truth does that.
value() { printf '%s' "$payload" | jq -r "($1) // empty"; }
truth() { [ "$(printf '%s' "$payload" | jq -r "$1 == true or $1 == 1")" = true ]; }
given() { [ "$(printf '%s' "$payload" | jq -r "$1 != null")" = true ]; }

bytes() { # JQ-FILTER: of a data value
    printf '%s' "$payload" | jq -r "$1[\"\$data\"] // empty" | base64 -d
}

# The payload's keys that a handler gave no meaning to, separated by spaces.
others() { # KEY...
    printf '%s' "$payload" | jq -r --arg known "$*" '
        ($known / " ") as $k | [keys[] | select((startswith("Payload") | not) and
            (. as $x | $k | index($x) | not))] | join(" ")'
}

tell_others() { # KEY...: the handler's note, for `effects`
    rest=$(others "$@")
    [ -z "$rest" ] || printf 'stored, not enforced on this guest: %s\n' "$rest"
}

# write_file PATH [MODE]: standard input, whole or not at all
write_file() {
    mkdir -p "${1%/*}"
    (umask 077 && cat >"$1.new")
    chmod "${2:-644}" "$1.new"
    mv "$1.new" "$1"
}

identity_of() { # UUID: the PEM file of an identity payload of this profile
    printf '%s/identities/%s.pem' "$state" \
        "$(printf '%s\n%s' "${VMTEST_PROFILE-}" "$1" | sha256sum | cut -c 1-16)"
}
