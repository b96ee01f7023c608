# Two commands matter: `make demo` and `make test`. Both create .venv themselves and need only Python >= 3.11.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test check docs bench bench-peers bench-peers-npm soak faults validators package mcpb site clean

.venv/.created:
	$(PYTHON) -c 'import sys; sys.exit("swarmtally needs Python 3.11 or newer; set PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	touch $@

.venv/.local: pyproject.toml | .venv/.created
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[local]'
	touch $@

.venv/.dev: pyproject.toml | .venv/.created
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ .venv/.local

demo: .venv/.local
	$(BIN)/swarmtally demo

# What runs the embedded model runs by itself: its threads wait for each other, and beside other tests that takes six times
# as long. So does what counts a process's descriptors and connections, and without being traced: that takes half as long
# again.
ALONE := tests/backends/test_local.py tests/e2e/test_embedded_model.py
UNTRACED := tests/mcp/test_http_process.py
# One more than there are processors: tests that start processes wait for them a quarter of the time.
WORKERS = $(shell $(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 1)')
test: .venv/.dev
	$(BIN)/swarmtally model pull smollm2
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n $(WORKERS) $(addprefix --ignore=,$(ALONE) $(UNTRACED))
	$(BIN)/python -m coverage run -m pytest $(ALONE)
	$(BIN)/python -m pytest -n 2 $(UNTRACED)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.dev
	$(BIN)/python -m swarmtally_tools.pages docs/tools

bench: .venv/.dev
	$(BIN)/python -m benchmarks $(BENCH)

# The systems beside which `benchmarks.peers` puts us, in an environment of their own: nothing else needs it.
.venv-peers/.made: benchmarks/peers/requirements.txt
	rm -rf .venv-peers
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers/requirements.txt
	touch $@

bench-peers: .venv/.dev .venv-peers/.made
	$(BIN)/python -m benchmarks.peers $(ROUNDS)

# Hours: 10,000,000 tasks are a day at 116 a second.
soak: .venv/.dev
	$(BIN)/python -m benchmarks.soak $(TASKS)

# kill -9 500 times, and every other fault of docs/reliability.md; about half an hour. FAULTS="--rounds 20" for fewer.
faults: .venv/.dev
	$(BIN)/python -m tests.faults $(FAULTS)

# The validators of others, each with its figure (docs/compatibility.md); their programs are kept in .validators.
validators: .venv/.dev
	$(BIN)/python -m tests.validators $(VALIDATORS)

# The wheel in dist/, tried as a stranger would: from the archive, in a new environment, by a client (docs/packaging.md).
package: .venv/.dev
	$(BIN)/python -m release

# The documentation as a site, in site/; a warning, such as a link to nothing, is an error.
site: .venv/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The bundle for Claude Desktop, with the tool of its makers, which comes with the validators.
mcpb: .venv/.dev
	$(BIN)/python -m release.bundle

# Servers of others, from npm: a folder of their own, needed by nothing else. Of what they bring only SQLite is built: it is
# all that is measured.
bench-peers-npm: .venv/.dev
	npm install --prefix benchmarks/peers/npm --ignore-scripts --no-audit --no-fund --loglevel=error
	npm rebuild --prefix benchmarks/peers/npm better-sqlite3
	$(BIN)/python -m benchmarks.npm_memory $(BENCH)

clean:
	rm -rf .venv .venv-peers .validators .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
