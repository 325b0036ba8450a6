# Each target prepares what it needs, from a fresh clone on, and takes no time when nothing changed.

PYTHON := .venv/bin/python
LOCKED := uv.lock pyproject.toml .python-version scripts/setup.sh

.PHONY: dev ingest test check format eval-retrieval

dev: .venv/local.stamp  ## everything on http://127.0.0.1:$PORT (8000), its data in $DATA_DIR (.data)
	@exec $(PYTHON) -m local.dev

ingest: .venv/local.stamp  ## the files and folders PATHS into what `make dev` searches, while it runs
	@exec $(PYTHON) -m local.beside scripts/ingest.py $(PATHS)

test: .venv/dev.stamp  ## every test, or those of ARGS
	@$(PYTHON) -m pytest $(ARGS)

check: .venv/dev.stamp  ## format, lint, types
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m pyright

format: .venv/dev.stamp
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

eval-retrieval: .venv/dev.stamp  ## how well the search finds the right passages, as a table
	@$(PYTHON) bench/retrieval.py

.venv/%.stamp: $(LOCKED)
	@sh scripts/setup.sh $*
