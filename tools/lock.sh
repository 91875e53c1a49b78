#!/bin/sh
# Write requirements.lock anew from pyproject.toml: newest versions within its ranges, for every platform, no addresses.
set -eu
cd "$(dirname "$0")/.."
exec .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.12 --no-header --no-annotate --no-emit-package pip \
    --group dev pyproject.toml -o requirements.lock
