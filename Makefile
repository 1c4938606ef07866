# Each target works as the first command on a fresh machine with Python >= 3.11:
# what it needs is set up by itself, in .venv, from the pinned and hashed requirements.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test lint docs bench bench-quick lock clean

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	UV_COMPILE_BYTECODE=1 $(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.txt
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	touch $(READY)

demo: $(READY)
	$(BIN)/cytolens demo --out demo --overwrite

test: $(READY)
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/python scripts/write_reference.py

bench: $(READY)
	$(BIN)/cytolens bench --out bench

bench-quick: $(READY)
	$(BIN)/cytolens bench --quick --out bench

lock:
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --universal \
		--python-version 3.11 --extra test -o requirements.txt pyproject.toml

clean:
	rm -rf $(VENV) demo runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
