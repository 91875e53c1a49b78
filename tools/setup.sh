#!/bin/sh
# Set up this checkout: a Python >= 3.12 that really runs, .venv with the locked packages, and the programs that the
# demo and the tests call. Does nothing, quickly, when nothing changed. Needs no more than sh and some python3.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Runs, is new enough, and can make a virtual environment: a shim may exist and do none of these.
usable() {
    "$1" -c 'import sys, venv, ensurepip, ssl; sys.exit(not (3, 12) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1
}

find_python() {
    for name in python3.13 python3.12 python3.14 python3 python; do
        if command -v "$name" >/dev/null 2>&1 && usable "$name"; then command -v "$name"; return; fi
    done
    for python in $(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python 2>/dev/null | sort -r); do
        if usable "$python"; then printf '%s\n' "$python"; return; fi
    done
    uv=$(command -v uv) || {
        python3 -m venv .venv-uv >/dev/null 2>&1 && .venv-uv/bin/pip install --quiet uv >/dev/null 2>&1 && uv=.venv-uv/bin/uv
    } || return 0
    "$uv" python find '>=3.12' 2>/dev/null || { "$uv" python install 3.13 >&2 && "$uv" python find 3.13; } || return 0
}

programs() {
    missing=
    for pair in ffmpeg:ffmpeg ffprobe:ffmpeg x265:x265 mkvmerge:mkvtoolnix mediainfo:mediainfo dvdauthor:dvdauthor \
        genisoimage:genisoimage; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
    done
    [ -n "$missing" ] || return 0
    missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
    if command -v apt-get >/dev/null 2>&1; then
        if [ "$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root=sudo
        else die "install these, then come again: sudo apt-get install $missing"; fi
        say "installing $missing"
        # shellcheck disable=SC2086
        { $as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing; } \
            >/dev/null 2>&1 || die "apt-get could not install them; type: sudo apt-get install $missing"
    else
        die "install these with your package manager, then come again: $missing"
    fi
}

programs
stamp=.venv/.ds9vs-setup
now=$(cat pyproject.toml requirements.lock tools/setup.sh | cksum; pwd)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ] && .venv/bin/python -c 'import ds9vs' >/dev/null 2>&1; then exit 0; fi

if ! { [ -x .venv/bin/python ] && usable .venv/bin/python; }; then
    python=$(find_python)
    [ -n "$python" ] || die "no Python >= 3.12 was found; install one (Debian: apt-get install python3.13 where offered, or pyenv install 3.13, or uv python install 3.13)"
    say "using $python ($("$python" -V 2>&1))"
    rm -rf .venv
    "$python" -m venv .venv
fi
say "installing the locked packages into .venv (about 650 MB; a minute or two)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check "$(grep '^uv==' requirements.lock)" ||
    die "pip could not install uv; its reason stands above"
.venv/bin/uv pip install --quiet --python .venv/bin/python -r requirements.lock ||
    die "the locked packages could not be installed; the reason stands above"
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e . ||
    die "this checkout could not be installed; the reason stands above"
.venv/bin/vapoursynth config >/dev/null 2>&1 || true
printf '%s' "$now" >"$stamp"
say "done: .venv/bin holds ds9vs, vspipe and python"
