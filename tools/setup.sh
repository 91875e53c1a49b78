#!/bin/sh
# Usage: setup.sh [demo|test]. Set up this checkout: .venv with a Python >= 3.12 that really runs, the locked packages
# and this package, and the programs that the demo calls (with `test`, the default, also those that only tests call).
# Quick when nothing changed. Needs sh and some python3 >= 3.8, or uv; what else is missing comes through apt where that
# is allowed, or is named in one sentence.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
here=$(pwd -P)
for_what=${1:-test}
case $for_what in demo | test) ;; *)
    echo "setup: '$for_what' is not known; say demo, test or nothing" >&2
    exit 2 ;;
esac

log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' HUP INT TERM

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
die_with_log() { tail -n 5 "$log" >&2; die "$@"; }

# One at a time in a checkout: `make demo` and `make test` may start together.
if command -v flock >/dev/null 2>&1; then exec 9<tools/setup.sh; flock 9; fi

may_apt() {
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" = 0 ]; then as_root=; return 0; fi
    as_root='sudo -n'
    sudo -n true >/dev/null 2>&1 </dev/null
}

# The words to type for packages that only a person may install.
words_for() {
    if ! command -v apt-get >/dev/null 2>&1; then printf 'install with your package manager: %s' "$*"
    elif [ "$(id -u)" = 0 ]; then printf 'type: apt-get install %s' "$*"
    elif command -v sudo >/dev/null 2>&1; then printf 'type: sudo apt-get install %s' "$*"
    else printf 'as root, type: apt-get install %s' "$*"; fi
}

listed=
apt_install() {
    say "installing with apt: $*"
    # A list that is out of reach need not matter: the install itself tells.
    [ -n "$listed" ] || $as_root apt-get update -q >"$log" 2>&1 </dev/null || :
    listed=yes
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "$@" >>"$log" 2>&1 </dev/null
}

# Every Python there is, one path a line, the preferred first: each on PATH (a shim may hide a good one), Debian's, pyenv's.
candidates() (
    set -f
    IFS=:
    for name in python3.13 python3.12 python3.14 python3 python; do
        for folder in $PATH /usr/local/bin /usr/bin; do
            if [ -x "$folder/$name" ]; then printf '%s\n' "$folder/$name"; fi
        done
    done
    set +f
    pyenv=$(command -v pyenv || :)
    for root in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv" "${pyenv%/*/*}"; do
        for minor in 13 12 14; do
            for python in "$root/versions/3.$minor"*/bin/python; do
                if [ -x "$python" ]; then printf '%s\n' "$python"; fi
            done
        done
    done
)

# Print the first candidate (its own path, not a shim's nor an environment's) that runs the Python test in $1.
first_that() {
    candidates | while IFS= read -r candidate; do
        if probe "$candidate" "$1"; then break; fi
    done
}
probe() {
    real=$("$1" -I -c "$2
print(getattr(sys, '_base_executable', None) or sys.executable)" 2>/dev/null </dev/null) || return 1
    [ -x "$real" ] && printf '%s\n' "$real"
}

# Fit for .venv: vspipe also loads it as a shared library.
fit='
import sys
assert (3, 12) <= sys.version_info[:2] < (3, 15) and sys.implementation.name == "cpython"
import ctypes, os, ssl, sysconfig, zlib
ask = sysconfig.get_config_var
assert not ask("Py_GIL_DISABLED") and ".so" in ask("INSTSONAME")
assert any(os.path.isfile(os.path.join(ask(key) or "", ask("INSTSONAME"))) for key in ("LIBDIR", "LIBPL", "srcdir"))'
# Fit to fetch uv.
has_pip='
import sys
assert sys.version_info >= (3, 8)
import ssl, importlib.util
assert importlib.util.find_spec("pip") or importlib.util.find_spec("ensurepip")'

# Set $uv to one that stands ready.
uv_ready() {
    found=$(command -v uv || :)
    case $found in "$here/.venv/"*) found= ;; esac # on PATH in an activated .venv, which may be about to go
    for uv in "$here/.venv-uv/bin/uv" "$found" "${HOME:-}/.local/bin/uv"; do
        if [ -x "$uv" ] && "$uv" --version >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

# Set $uv to the locked one, in .venv-uv.
fetch_uv() {
    uv=$here/.venv-uv/bin/uv
    python=$(first_that "$has_pip")
    [ -n "$python" ] || die "no python3 >= 3.8 with pip runs, not even Debian's; install one, or uv"
    say "fetching uv with $python"
    rm -rf .venv-uv
    pin=$(grep '^uv==' requirements.lock)
    if "$python" -I -m pip --version >/dev/null 2>&1; then
        env PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 "$python" -I -m pip install --quiet --disable-pip-version-check \
            --target .venv-uv "$pin" >"$log" 2>&1 </dev/null
    else
        "$python" -I -m venv .venv-uv >"$log" 2>&1 &&
            .venv-uv/bin/python -I -m pip install --quiet --disable-pip-version-check "$pin" >>"$log" 2>&1 </dev/null
    fi || die_with_log "pip could not install uv; its reason stands above"
    "$uv" --version >"$log" 2>&1 || die_with_log "the uv that pip installed does not run; install uv another way"
}

uv_python() {
    path=$(UV_PYTHON_PREFERENCE=only-managed "$uv" python find --system '>=3.12,<3.15' 2>/dev/null) && probe "$path" "$fit"
}

# Set $python.
find_python() {
    python=$(first_that "$fit")
    [ -z "$python" ] || return 0
    library=$(/usr/bin/python3 -I -c 'import sys
if (3, 12) <= sys.version_info[:2] < (3, 15): print("libpython3.%d" % sys.version_info[1])' 2>/dev/null || :)
    if [ -n "$library" ] && may_apt && apt_install "$library"; then
        python=$(first_that "$fit")
        [ -z "$python" ] || return 0
    fi
    python=$(uv_python || :)
    [ -z "$python" ] || return 0
    say "no Python >= 3.12 with its shared library is here; asking uv to download 3.13"
    if "$uv" python install 3.13 >"$log" 2>&1 </dev/null; then python=$(uv_python || :); fi
    [ -z "$python" ] || return 0
    if [ -n "$library" ]; then die_with_log "Python's shared library is missing and uv could not fetch a Python that has it; $(words_for "$library")"; fi
    die_with_log "no Python >= 3.12 that runs and has its shared library was found, and uv could not download one; install one" \
        "(Debian 13 or newer: apt-get install python3 libpython3.13; older: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install 3.13)"
}

healthy() {
    probe .venv/bin/python "$fit
import importlib.util, vapoursynth
assert importlib.util.find_spec('ds9vs')" >/dev/null
}

# All that Debian's packages bring and that has no other source, asked for at once.
programs() {
    wanted='ffmpeg:ffmpeg ffprobe:ffmpeg x265:x265 mkvmerge:mkvtoolnix dvdauthor:dvdauthor spumux:dvdauthor
        genisoimage:genisoimage'
    [ "$for_what" = demo ] || wanted="$wanted mediainfo:mediainfo mpeg2enc:mjpegtools mplex:mjpegtools"
    set --
    for pair in $wanted; do
        command -v "${pair%%:*}" >/dev/null 2>&1 && continue
        case " $* " in *" ${pair##*:} "*) ;; *) set -- "$@" "${pair##*:}" ;; esac
    done
    # A compiler without the C library's headers, as Debian's minimal installs have it, compiles nothing.
    if [ "$for_what" != demo ] && ! printf '#include <stdint.h>\n' | gcc -E - >/dev/null 2>&1; then
        set -- "$@" gcc libc6-dev
    fi
    [ -n "$had" ] || uv_ready || [ -n "$(first_that "$has_pip")" ] || set -- "$@" python3-venv
    [ $# -gt 0 ] || return 0
    may_apt || die "something is missing; $(words_for "$@")"
    apt_install "$@" || die_with_log "apt-get failed, its last lines stand above; mend that or $(words_for "$@")"
}

# The stamp is there only when all was installed, and names the folder, which scripts in .venv/bin also name.
stamp=.venv/.ds9vs-setup
now="$(cat pyproject.toml requirements.lock tools/setup.sh | cksum) in $here"
had=$(cat "$stamp" 2>/dev/null || :)
case $had in
*" in $here") healthy || had= ;;
*) had= ;;
esac

programs
if [ "$had" = "$now" ]; then exit 0; fi
uv_ready || fetch_uv
if [ -z "$had" ]; then
    find_python
    say "making .venv with $python ($("$python" -V 2>&1))"
    rm -rf .venv
    "$uv" venv --quiet --seed --python "$python" .venv || die "uv could not make .venv; its reason stands above"
fi
rm -f "$stamp"
say "installing the locked packages into .venv (about 650 MB; a minute or two)"
"$uv" pip install --quiet --python .venv/bin/python -r requirements.lock ||
    die "the locked packages could not be installed; the reason stands above"
"$uv" pip install --quiet --python .venv/bin/python --no-deps --build-constraint requirements.lock -e . ||
    die "this checkout could not be installed; the reason stands above"
PATH=$here/.venv/bin:$PATH
export PATH
vapoursynth config >"$log" 2>&1 || :
vspipe --version >>"$log" 2>&1 </dev/null || die_with_log "vspipe does not run in .venv; its reason stands above"
printf '%s\n' "$now" >"$stamp"
say "done: .venv/bin holds ds9vs, vspipe and python"
