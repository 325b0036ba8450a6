# Each target prepares what it needs, from a fresh clone on, and takes no time when nothing changed.

PYTHON := .venv/bin/python
LOCKED := uv.lock pyproject.toml .python-version scripts/setup.sh

.PHONY: dev ingest doctor test test-long check chaos bench bench-cold bench-logins bench-growth bench-away bench-turn vercel-check lambda-check lambda-package lambda-deploy format eval-retrieval

dev: .venv/local.stamp  ## everything on http://127.0.0.1:$PORT (8000), its data in $DATA_DIR (.data)
	@exec $(PYTHON) -m local.dev

ingest: .venv/local.stamp  ## the files and folders PATHS into what `make dev` searches, while it runs
	@exec $(PYTHON) -m local.beside scripts/ingest.py $(PATHS)

doctor: .venv/local.stamp  ## checks an environment before a deploy; with DEV=1, what `make dev` runs
	@$(PYTHON) $(if $(DEV),-m local.beside) scripts/doctor.py $(ARGS)

# One process has started sooner than several, each with servers of its own: they are for all tests, not for some.
# Most tests wait more than they reckon, so there are more processes than cores.
test: PROCESSES = $(if $(ARGS),0,3)
test: .venv/dev.stamp  ## every test but the long ones in PROCESSES processes (3), or those of ARGS
	@$(PYTHON) -m pytest -n $(PROCESSES) --dist worksteal -m "not long" $(ARGS)

test-long: .venv/dev.stamp  ## the tests that take too long for every run
	@$(PYTHON) -m pytest -m long $(ARGS)

check: .venv/dev.stamp  ## format, lint, types
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m pyright

chaos: .venv/dev.stamp  ## SEEDS (200) seeds of traffic and faults, or SEED alone, of a build that BREAK breaks: what is lost
	@$(PYTHON) -m tests.chaos $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED)) $(if $(BREAK),--breakage $(BREAK))

vercel-check: .venv/platforms.stamp .tools/npm/stamp  ## what Vercel builds of this tree, and each function of it at work
	@$(PYTHON) -m pytest tests/platforms/vercel $(ARGS)

lambda-check: .venv/platforms.stamp .tools/npm/stamp  ## what goes to AWS, and each function invoked as Lambda does
	@$(PYTHON) -m pytest tests/platforms/aws $(ARGS)

lambda-package: .venv/scripts.stamp .tools/npm/stamp  ## what goes to AWS: .lambda/parley.zip, and the template in .serverless
	@sh scripts/aws/package.sh
	@.tools/npm/node_modules/.bin/serverless package $(ARGS)

lambda-deploy: lambda-package  ## all of it, to the account whose AWS_* variables are set
	@.tools/npm/node_modules/.bin/serverless deploy $(ARGS)

format: .venv/dev.stamp
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

bench: .venv/dev.stamp  ## every bar, or those of ONLY (streams,memory,turn,growth,cold), in ROUNDS (5): a table, and bench/results.json
	@$(PYTHON) bench/report.py

bench-cold: .venv/dev.stamp  ## what a cold start costs, against bare FastAPI + Mangum, as a table
	@$(PYTHON) bench/cold.py

bench-logins: .venv/dev.stamp  ## what everybody else waits while people sign in, as a table
	@$(PYTHON) bench/logins.py

bench-growth: .venv/dev.stamp  ## what an account costs that has much in it, against one with little, as a table
	@$(PYTHON) bench/growth.py

bench-away: .venv/dev.stamp  ## the first token without a database against usual, and what a spool costs, as a table
	@$(PYTHON) bench/away.py

bench-turn: .venv/dev.stamp  ## what a turn costs the database, in round trips and statements, as a table
	@$(PYTHON) bench/turn.py

eval-retrieval: .venv/dev.stamp  ## how well the search finds the right passages, as a table
	@$(PYTHON) bench/retrieval.py

.venv/%.stamp: $(LOCKED)
	@sh scripts/setup.sh $*

NPM := tests/platforms/package.json tests/platforms/package-lock.json

# Not `npm ci`: some optional packages of the CLI are for other systems and in no registry, so no lock file can hold them.
.tools/npm/stamp: $(NPM)
	@mkdir -p .tools/npm && cp $(NPM) .tools/npm && npm install --prefix .tools/npm --silent --no-audit --no-fund && touch $@
