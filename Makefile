# The few words of this house. Each sets up what it needs; needs only python3 (3.11 or newer), make and a package index.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.ready
# uv does not read pip's variable for a company's certificates.
export SSL_CERT_FILE ?= $(PIP_CERT)
ifeq ($(SSL_CERT_FILE),)
unexport SSL_CERT_FILE
endif

.PHONY: demo test check bench crash fuzz docs clean

demo: $(SETUP)            ## play a real governed run, no key and no server needed
	@$(BIN)/interlock demo

test: $(SETUP) check      ## everything that must pass: lint, types, layers, tests
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -q

check: $(SETUP)           ## style, types and the one-way doors, without the tests
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(SETUP)           ## ratios against peers and physical limits, into bench/results/
	@$(BIN)/python -m bench

crash: $(SETUP)           ## kill -9 before and after every fact, at full size
	@INTERLOCK_CRASH=all $(BIN)/python -m pytest tests/crash -q -n 2 --timeout 1800

fuzz: $(SETUP)            ## shell text, SQL and secrets at random, so often as FUZZ says for each property
	@INTERLOCK_FUZZ=$(or $(FUZZ),100000) $(BIN)/python -m pytest tests/fuzz -q -n 2 --timeout 36000

docs: $(SETUP)            ## write the generated reference pages again
	@$(BIN)/python docs/generate.py

$(SETUP): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "interlock needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install -q 'uv>=0.9'
	@$(BIN)/python -m uv sync -q --frozen --all-extras --inexact
	@touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
