# shellcheck shell=bash disable=SC2034 # what recipes use
# What the recipes here share: Debian packages unpacked without being installed, kernels, modules,
# initial RAM disks, keys, the agent, contents.json. Sourced, not run.

out=${VMTEST_IMAGE_DIR:?this is a recipe: run it by vmtest image build}
work=${VMTEST_WORK_DIR:?this is a recipe: run it by vmtest image build}
image=${VMTEST_IMAGE_NAME:?this is a recipe: run it by vmtest image build}
# The program's own home holds the cache of packages. Below HOME/images/NAME/STAGE.
cache=$(dirname "$(dirname "$(dirname "$out")")")/cache/packages

die() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    shift
    (($# == 0)) || printf '  %s\n' "$@" >&2
    exit 1
}

step_name='' step_start=0
step() { # ends the step before, prints what it took
    local now=${EPOCHREALTIME/[.,]/}
    if [[ $step_name ]]; then
        printf '  %-52s %6d ms\n' "$step_name" $(((now - step_start) / 1000))
    fi
    step_name=${1-} step_start=$now
}

# setting NAME DEFAULT VALUE...: sets the variable NAME to --set NAME=…; what is no VALUE is refused.
# Without any VALUE everything is taken.
setting() {
    local name=$1 given=VMTEST_SET_$1 value
    value=${!given-$2}
    known+=("$given")
    printf -v "$name" '%s' "$value"
    shift 2
    (($#)) || return 0
    [[ " $* " == *" $value "* ]] || die "--set $name=$value: it is to be one of: $*"
}

known=()
check_settings() { # after the last setting: refuses names that nobody asked for
    local name
    while read -r name; do
        [[ " ${known[*]} " == *" $name "* ]] ||
            die "there is no --set ${name#VMTEST_SET_}" \
                "this recipe knows: ${known[*]#VMTEST_SET_}"
    done < <(compgen -e VMTEST_SET_)
}

# need_tools TOOL:PACKAGE...
need_tools() {
    local tool missing=() PATH=$PATH:/usr/sbin:/sbin
    for tool; do
        command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
    done
    ((${#missing[@]} == 0)) || die "missing tools" "run: sudo apt-get install ${missing[*]}"
}

first() { # the first path that find tells
    find "$@" -print -quit
}

# --- packages ---

host_arch() { # Debian's name of it
    if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
        die "this host has no apt and dpkg: build the image on a Debian or Ubuntu host" \
            "and move it: vmtest image export, vmtest image import"
    fi
    dpkg --print-architecture
}

# use_arch DEBIAN_ARCH: what apt is asked from now on is of this architecture. Of another one than the
# host's it has lists of its own, in the cache; the host's configuration stays as it is.
use_arch() {
    local root=${cache%/*}/apt-$1
    unset APT_CONFIG
    [[ $1 != "$(host_arch)" ]] || return 0
    mkdir -p "$root/lists/partial" "$root/archives/partial"
    cat >"$root/apt.conf" <<END
APT::Architecture "$1";
APT::Architectures { "$1"; };
Dir::State "$root";
Dir::State::status "$root/status";
Dir::Cache "$root";
Acquire::Languages "none";
END
    : >>"$root/status"
    export APT_CONFIG=$root/apt.conf
    [[ $(first "$root/lists" -name '*Packages*' -mtime -1) ]] ||
        apt-get update -q >"$work/apt-update.log" 2>&1 ||
        die "apt-get could not fetch the lists for $1:" "$(tail -n 5 "$work/apt-update.log")"
}

# The packages `$@` and those called lib* or zlib* that they need, directly or through another.
with_libraries() {
    apt-cache depends --important --recurse "$@" 2>/dev/null | awk -v first="$*" '
        /^[^ ]/ { package = $1 }
        /Depends: / { needs[package] = needs[package] " " $NF }
        END {
            n = split(first, queue, " ")
            for (i = 1; i <= n; i++) {
                if (queue[i] in seen) continue
                seen[queue[i]] = 1
                print queue[i]
                m = split(needs[queue[i]], found, " ")
                for (j = 1; j <= m; j++)
                    if (found[j] ~ /^z?lib/) queue[++n] = found[j]
            }
        }' | sed 's/:any$//'
}

depends_on() { # PACKAGE PATTERN: its first dependency with such a name
    apt-cache depends --important "$1" 2>/dev/null |
        awk -v pattern="$2" '$1 == "Depends:" && $2 ~ pattern && !found { print $2; found = 1 }'
}

# find_kernel META...: sets `kernel` to the package that the first of them depends on that apt knows,
# and `kernel_packages` to all that its files lie in: some systems keep its modules apart.
find_kernel() {
    local meta
    for meta; do
        kernel=$(depends_on "$meta" '^linux-image-[0-9]')
        [[ $kernel ]] || continue
        mapfile -t kernel_packages < <(apt-cache depends --important --recurse "$kernel" 2>/dev/null |
            grep -E '^linux-[a-z-]*[a-z]-[0-9]')
        return 0
    done
    die "apt knows none of these kernels: $*" "run: sudo apt-get update"
}

# unpack TREE PACKAGE...: the packages stay in the cache for the next time
unpack() {
    local tree=$1 file
    local -a files
    shift
    (umask 077 && mkdir -p "$cache")
    # apt takes what is in the folder already and still has the right checksum
    if ! (cd "$cache" && apt-get download -q "$@") >"$work/apt.log" 2>&1; then
        die "apt-get could not download the packages:" "$(tail -n 5 "$work/apt.log")" \
            "where a file was not found, run: sudo apt-get update"
    fi
    mkdir -p "$work/empty"
    mapfile -t files < <(cd "$work/empty" && # an empty folder: apt tells only what is not there
        apt-get download --print-uris "$@" 2>/dev/null | awk '{print $2}')
    ((${#files[@]} == $#)) || die "apt named ${#files[@]} files for $# packages"
    mkdir -p "$tree"
    for file in "${files[@]}"; do
        dpkg-deb -x "$cache/$file" "$tree"
        # shellcheck disable=SC2016 # dpkg-deb's own variables
        packages+=("$(dpkg-deb -W --showformat='${Package}=${Version}' "$cache/$file")")
    done
}

packages=() # "NAME=VERSION" of all that was unpacked

# --- programs of an unpacked tree ---

# Sets `loader` and `libraries` of a tree of the host's own architecture.
find_loader() { # TREE
    local found
    found=$(first "$1" '(' -name ld-linux-x86-64.so.2 -o -name ld-linux-aarch64.so.1 ')')
    [[ $found ]] || die "the C library's package has no loader"
    libraries=$(library_dirs "$1" | paste -sd:)
    loader=$(readlink -f "$found")
}

library_dirs() { # merged and unmerged /usr: a library lies in either
    find "$1/lib" "$1/usr/lib" -maxdepth 1 -name '*-linux-gnu' 2>/dev/null
}

in_tree() { # runs a program of the tree with the tree's own libraries
    local program=$1
    shift
    "$loader" --library-path "$libraries" "$program" "$@"
}

# copy_program TREE ROOT PROGRAM DESTINATION: with the libraries that it needs, and those that they
# need. Works for any architecture.
copy_program() {
    local tree=$1 root=$2 name file
    local -a queue=("$3")
    install -D -m 755 "$3" "$root$4"
    while ((${#queue[@]})); do
        file=${queue[0]}
        queue=("${queue[@]:1}")
        while read -r name; do
            [[ ! -e $root/lib/$name ]] || continue
            file=$(library_dirs "$tree" | while read -r dir; do
                if [[ -e $dir/$name ]]; then echo "$dir/$name"; fi
            done | head -n 1)
            [[ $file ]] || die "no package has $name, which $3 needs"
            install -D -m 755 "$file" "$root/lib/$name"
            queue+=("$file")
        done < <(readelf -d -l "$file" 2>/dev/null | sed -n \
            -e 's/.*(NEEDED).*\[\(.*\)\]/\1/p' \
            -e 's|.*program interpreter: .*/\(.*\)\]|\1|p')
    done
}

# --- kernel ---

# The kernel without its self-unpacking wrapper, which is slow where the processor is emulated.
# Layout: "The Linux/x86 Boot Protocol", fields setup_sects, payload_offset and payload_length.
unpack_kernel() { # VMLINUZ OUT
    local setup offset length tool cut=4
    local number=(od -A n -t u4 -N 4)
    if [[ $(od -A n -t x1 -j 514 -N 4 "$1" | tr -d ' ') != 48647253 ]]; then
        if gzip -dc "$1" >"$2" 2>/dev/null; then return 0; fi # arm64: Image.gz, or Image as it is
        cp "$1" "$2"
        return 0
    fi
    setup=$(od -A n -t u1 -j 497 -N 1 "$1")
    offset=$("${number[@]}" -j 584 "$1")
    length=$("${number[@]}" -j 588 "$1")
    offset=$(((setup == 0 ? 4 : setup) * 512 + 512 + offset))
    case $(od -A n -t x1 -j "$offset" -N 4 "$1" | tr -d ' ') in
    02214c18) tool=lz4 ;;
    28b52ffd) tool=zstd ;;
    fd377a58) tool=xz ;;
    1f8b*) tool=gzip cut=0 ;; # the others have the unpacked size behind their data
    *) tool=none ;;
    esac
    if command -v "$tool" >/dev/null &&
        dd if="$1" bs=1M iflag=skip_bytes,count_bytes skip=$offset count=$((length - cut)) status=none |
        "$tool" -dc >"$2" 2>/dev/null &&
        [[ $(od -A n -t x1 -N 4 "$2" | tr -d ' ') == 7f454c46 ]]; then
        return 0
    fi
    cp "$1" "$2"
    printf '  note: the kernel stays packed (%s is not installed); the guest boots slower\n' "$tool"
}

# copy_modules TREE ROOT BUSYBOX MODULE...: those that the kernel has as modules, with what they need,
# into ROOT/lib/modules; prints their file names in an order in which they can be loaded.
copy_modules() {
    local tree=$1 root=$2 busybox=$3 base dep module all=$work/modules.dep
    shift 3
    base=$(first "$tree" -path '*/lib/modules/*' -prune)
    [[ $base ]] || die "the kernel's package has no modules"
    if [[ ! -e $work/modules.plain ]]; then
        find "$base" -name '*.ko.xz' -exec xz -d {} +
        find "$base" -name '*.ko.zst' -exec zstd -q -d --rm {} +
        : >"$work/modules.plain"
    fi
    [[ -s $all ]] ||
        "$busybox" depmod -n -b "${base%/lib/modules/*}" "${base##*/}" >"$all" 2>/dev/null
    mkdir -p "$root/lib/modules"
    for module; do
        # "path: dependency dependency …", the nearest first
        awk -v want="$module" '
            { file = $1; sub(/:$/, "", file); short = file; sub(/.*\//, "", short)
              gsub(/-/, "_", short); gsub(/-/, "_", want) }
            short == want ".ko" { for (i = NF; i > 1; i--) print $i; print file }' "$all"
    done | awk '!seen[$0]++' >"$work/order"
    while read -r dep; do
        cp "$base/$dep" "$root/lib/modules/"
        basename "$dep"
    done <"$work/order"
}

pack_initrd() { # ROOT OUT
    find "$1" -exec touch -h -d '2000-01-01T00:00:00Z' {} +
    (cd "$1" && find . -print0 | LC_ALL=C sort -z |
        cpio --quiet --null -o -H newc --owner=0:0 --reproducible) >"$2"
}

write_file() { # MODE PATH, text on standard input
    install -D -m "$1" /dev/stdin "$2"
}

# Kernel arguments that save time where the processor is emulated, and harm nowhere.
fast_boot() { # ARCH
    printf '%s' "quiet panic=-1 random.trust_cpu=on mitigations=off nokaslr audit=0" \
        " cryptomgr.notests rcupdate.rcu_expedited=1"
    [[ $1 != x86_64 ]] || printf '%s' " tsc=reliable no_timer_check" \
        " i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd"
}

# --- the agent ---

# What image.json says under "channels", without the agent and with it.
ways='"ssh"' agent_ways='"agent", "ssh"'

# Puts the agent for a guest's architecture (x86_64, aarch64) into a file: the one installed with
# vmtest, or compiled from its sources. False, with a note, where there is neither.
agent_binary() { # ARCH OUT
    local here compiler=${CC:-cc} sources installed
    here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
    sources=$here/../../shim/agent
    installed=$here/../../../libexec/vmtest/vmtest-agent
    [[ $1 == "$(uname -m)" ]] || compiler=$1-linux-gnu-gcc
    if [[ $1 == "$(uname -m)" && -x $installed ]]; then
        install -D -m 755 "$installed" "$2"
    elif [[ -e $sources/main.c ]] && command -v "$compiler" >/dev/null &&
        "$sources/build" "$compiler" "$work/vmtest-agent"; then
        install -D -m 755 "$work/vmtest-agent" "$2"
    else
        printf '  note: no agent for %s (%s is not there): the guest is reached by ssh alone\n' \
            "$1" "$compiler"
        return 1
    fi
}

# --- contents.json ---

json_text() { # as a JSON string
    local text=$1
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "${text//[$'\001'-$'\037']/ }"
}

write_contents() { # KERNEL SYSTEM, "NAME=VERSION" lines on standard input
    local line comma=''
    {
        printf '{\n  "kernel": %s,\n  "system": %s,\n  "packages": {' "$(json_text "$1")" "$(json_text "$2")"
        while IFS='=' read -r line; do
            printf '%s\n    %s: %s' "$comma" "$(json_text "${line%%=*}")" "$(json_text "${line#*=}")"
            comma=,
        done
        printf '\n  }\n}\n'
    } >"$out/contents.json"
}
