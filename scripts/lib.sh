# shellcheck shell=bash
# What quickstart, test and check share: packages, steps with visible progress, building.
# Sourced, not run. Debian and its kin by apt, macOS by Homebrew.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
system=$(uname -s)

# Packages by package manager and purpose. docs/architecture.md says what each library is for.
packages_of() { # MANAGER:PURPOSE
    case $1 in
    apt:build)
        echo gcc libc6-dev cmake ninja-build pkg-config libuv1-dev libssh2-1-dev libjansson-dev \
            liblua5.4-dev libssl-dev libzstd-dev libplist-dev libexpat1-dev libyaml-dev libsqlite3-dev \
            libcurl4-openssl-dev libwebsockets-dev libwebsockets-evlib-uv lua-unit
        ;;
    apt:guest)
        case $(uname -m) in
        aarch64 | arm64) echo qemu-system-arm qemu-utils cpio lz4 zstd xz-utils ;;
        *) echo qemu-system-x86 qemu-utils cpio lz4 zstd xz-utils ;;
        esac
        ;;
    apt:image) # what the recipes beside "small" need, and guests that boot by EFI
        echo mmdebstrap debian-archive-keyring e2fsprogs mtools fdisk xorriso qemu-utils
        case $(uname -m) in
        aarch64 | arm64) echo qemu-efi-aarch64 ;;
        *) echo ovmf ;;
        esac
        ;;
    apt:test)
        echo libcmocka-dev lua5.4 python3 openssh-client openssh-server openssh-sftp-server \
            dropbear-bin openssl curl procps nbdkit qemu-guest-agent iproute2 scep jq python3-yaml
        # the vz helper over a fake of Apple's framework
        echo clang libclang-rt-14-dev libobjc-12-dev libgnustep-base-dev
        # NanoMDM, MicroMDM and scepserver, which the tests build
        command -v go >/dev/null || [[ -x /usr/local/go/bin/go ]] || echo golang-go
        # arm64 guests on an x86-64 host, and their agent
        [[ $(uname -m) != x86_64 ]] ||
            echo qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross
        ;;
    apt:bench) echo haproxy ;; # TLS for NanoMDM, a peer
    apt:check) echo clang clang-format clang-tidy libclang-rt-14-dev llvm-14 shellcheck gcovr ;;
    brew:build) # scripts/homebrew/vmtest.rb names the same; its "lua" is a later one than 5.4
        echo cmake ninja pkgconf libuv libssh2 jansson lua@5.4 openssl@3 zstd libplist expat libyaml sqlite curl \
            libwebsockets luarocks
        ;;
    brew:guest) echo qemu ;;
    brew:test)
        echo cmocka dropbear jq
        command -v go >/dev/null || echo go # for NanoMDM and MicroMDM
        ;;
    brew:bench) echo haproxy ;;
    brew:check) echo llvm clang-format shellcheck gcovr ;;
    esac
}

say() { printf '%s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    shift
    (($# == 0)) || printf '  %s\n' "$@" >&2
    exit 1
}

# step TITLE COMMAND... : runs it with its output in a log, shows what happens and how long it
# takes, and the log's end where it fails.
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
steps=0
step() {
    local title=$1 log start=$SECONDS shown=$SECONDS pid code=0
    shift
    steps=$((steps + 1))
    log=$logs/$steps.log
    "$@" >"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if [[ -t 2 ]]; then
            printf '\r\033[K==> %s … %ds  %.50s' "$title" $((SECONDS - start)) \
                "$(tail -n 1 "$log" | tr -d '\000-\037\177')" >&2
        elif ((SECONDS - shown >= 15)); then
            shown=$SECONDS
            say "==> $title … $((SECONDS - start))s"
        fi
    done
    wait "$pid" || code=$?
    [[ ! -t 2 ]] || printf '\r\033[K' >&2
    if ((code)); then
        say "==> $title: failed after $((SECONDS - start))s. The end of its output:"
        tail -n 25 "$log" | sed 's/^/    /' >&2
        exit "$code"
    fi
    say "==> $title: done ($((SECONDS - start))s)"
}

as_root() { # runs a command as root
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

can_be_root() {
    ((EUID == 0)) || sudo -n true 2>/dev/null ||
        { command -v sudo >/dev/null && [[ -t 0 ]] && sudo -p 'sudo asks for your password: ' true; }
}

apt_install() {
    # Services that packages bring (an SSH server) are not started: the tests start their own.
    local policy=/usr/sbin/policy-rc.d made=no code=0
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        made=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update &&
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends "$@" || code=$?
    [[ $made == no ]] || as_root rm -f "$policy"
    # … nor at the next boot
    if ((code == 0)) && [[ " $* " == *" openssh-server "* ]] && [[ -d /run/systemd/system ]]; then
        as_root systemctl disable ssh.service ssh.socket || true
    fi
    return "$code"
}

need_apt() {
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    can_be_root || die "these packages are missing, and there is neither root nor sudo to install them:" \
        "apt-get install --no-install-recommends ${missing[*]}"
    step "installing ${#missing[@]} packages (${missing[0]} …)" apt_install "${missing[@]}"
}

need_brew() {
    local package dir missing=() rocks=()
    ((EUID != 0)) || die "Homebrew refuses to work for root" "run this as a user who may administer this Mac"
    xcode-select --print-path >/dev/null 2>&1 ||
        die "Apple's command line tools are missing (compiler, git, python3)" "run: xcode-select --install"
    command -v brew >/dev/null || die "Homebrew is needed on macOS" "its site shows the one line that installs it"
    for package in "$@"; do
        brew list --versions "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    ((${#missing[@]} == 0)) || step "installing ${missing[*]}" brew install "${missing[@]}"
    # Some are kept out of where pkg-config looks, for macOS has others of that name.
    for package in "$@"; do
        dir=$(brew --prefix "$package")/lib/pkgconfig
        [[ ! -d $dir ]] || PKG_CONFIG_PATH=$dir:${PKG_CONFIG_PATH-}
    done
    export PKG_CONFIG_PATH
    rocks=(luarocks --lua-version=5.4 "--lua-dir=$(brew --prefix lua@5.4)")
    "${rocks[@]}" show luaunit >/dev/null 2>&1 || step "installing luaunit" "${rocks[@]}" install luaunit
}

# need PURPOSE... : build, guest, image, test, check
need() {
    local purpose manager packages=()
    case $system in
    Linux)
        manager=apt
        command -v apt-get >/dev/null ||
            die "this script installs packages by apt, which is not here" \
                "on another Linux, install what scripts/lib.sh names and call cmake yourself"
        ;;
    Darwin) manager=brew ;;
    *) die "vmtest runs on Linux and macOS, not on $system" ;;
    esac
    for purpose; do
        # shellcheck disable=SC2207 # words without spaces or globs
        packages+=($(packages_of "$manager:$purpose"))
    done
    "need_$manager" "${packages[@]}"
}

configure_and_build() {
    (cd "$root" && cmake --preset "$1" && cmake --build --preset "$1")
}

# build PRESET
build() {
    step "building vmtest ($1)" configure_and_build "$1"
    local helper=$root/build/$1/shim/vz/vmtest-vz
    if [[ $system == Darwin && -x $helper ]]; then
        step "signing the helper for Apple's virtualization" "$root/scripts/mac/sign" "$helper"
    fi
}

# has_image NAME
has_image() {
    local store=${VMTEST_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/vmtest}/images
    [[ -n ${VMTEST_HOME-} || $system != Darwin ]] ||
        store="$HOME/Library/Application Support/vmtest/images"
    [[ -e $store/$1/latest/image.json ]]
}

# need_image PRESET NAME [RECIPE SETTINGS…]: builds the image unless it is there, by the recipe of that
# name or by another one
need_image() {
    local preset=$1 name=$2
    shift 2
    has_image "$name" ||
        step "building the guest image \"$name\"" "$root/build/$preset/vmtest" image build -v "${1-$name}" \
            "$name" "${@:2}"
}
