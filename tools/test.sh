#!/bin/sh
# Everything that must hold before a change lands: style, types, tests (the built wheel in a clean environment among them).
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
export PATH
ruff format --check .
ruff check .
mypy
exec pytest -n auto --maxprocesses 4 --dist loadfile "$@"
