# The project's commands. Each sets up what it needs first, in .venv, and in seconds when nothing changed.
.PHONY: setup demo test check clean

# A bare service may run without it, and vspipe keeps its configuration there.
export HOME ?= $(shell getent passwd "$$(id -u)" | cut -d: -f6)

setup:
	@sh tools/setup.sh

demo:
	@sh tools/setup.sh demo
	@.venv/bin/ds9vs demo

test: setup
	@sh tools/test.sh

check: setup  ## ruff and mypy alone
	@.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/mypy

clean:
	rm -rf .venv .venv-uv demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
