# `make` alone lists what there is. Needs GNU make and Python 3.11 or newer, no root.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,\
  $(if $(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo yes),$(p))))

# Everything runs in the virtual environment, whose bin may also hold node.
export VIRTUAL_ENV := $(CURDIR)/.venv
export PATH := $(VIRTUAL_ENV)/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1

CONTRACTS := openapi/customers.json openapi/orders.json openapi/orchestrator.json
COLLECTIONS := $(CONTRACTS:openapi/%.json=postman/%.postman_collection.json)
# The last of the files that are copied there.
SWAGGER_UI := common/docs/swagger-ui/swagger-ui.css
TEST_TOOLS := .local/nginx/nginx .local/chromium/chromium .local/prometheus/prometheus
BENCH_TOOLS := .local/wrk/wrk .local/sysbench/sysbench
INSTALLED := .venv/installed node_modules/.installed $(CONTRACTS) $(SWAGGER_UI)

.PHONY: help demo run test mutants faults contract lint lock audit migrate seed normalise adopt expire purge verify backup restore verify-backup secrets operator offline postman clients package deploy db bench bench-cold-start bench-size clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 26

demo: $(INSTALLED) ## From nothing to an order created and confirmed, then stop everything
	@exec python -m dev.stack demo

run: $(INSTALLED) ## Run the three programs with demo data until Ctrl-C
	@exec python -m dev.stack run

test: $(INSTALLED) .venv/lambda/installed $(TEST_TOOLS) ## Run every test on a real MySQL (ARGS="-k name" for some)
	@exec python -m dev.stack test $(if $(ARGS),$(ARGS),--numprocesses=2 --dist=loadgroup)

mutants: $(INSTALLED) ## Put deliberate faults into the code; the tests must notice each (ONLY="part of a name" for some)
	@exec python -m dev.stack mutants $(if $(ONLY),"$(ONLY)")

faults: $(INSTALLED) .venv/lambda/installed .local/nginx/nginx ## One fault after the other under load, and an account of every order (FAULTS=name,name SECONDS=20)
	@exec python -m tests.faults $(if $(FAULTS),--only=$(FAULTS)) $(if $(SECONDS),--seconds=$(SECONDS))

contract: $(INSTALLED) ## Test the running programs against their documents for longer: EXAMPLES=1000
	@export EXAMPLES=$${EXAMPLES:-1000}
	exec python -m dev.stack test tests/system/test_fuzzing.py -rP

lint: $(INSTALLED) ## Check the documents, the code, its types, the scripts and the container files (ONLY=types for some)
	@exec python -m dev.lint $(ONLY)

# For every Python from 3.11 on and every platform, with the hashes of all files of a release.
lock: .venv/installed ## Pin with hashes what the *.in files name and what that needs (ARGS=--upgrade for newer versions)
	@for name in requirements requirements-dev aws/requirements dev/requirements-node; do
	  uv pip compile --quiet --no-cache --universal --python-version 3.11 --generate-hashes --annotation-style line \
	    --custom-compile-command "make lock" $(ARGS) $$name.in --output-file $$name.txt >/dev/null
	done

audit: $(INSTALLED) ## Ask whether anything pinned has a known weakness
	@exec python -m dev.audit

migrate: $(INSTALLED) ## Apply the missing migrations
	@sql/mysql-server start
	@exec python -m sql.migrate

seed: migrate ## Add the demo data, operators included; refused in production
	@exec python -m sql.seed

normalise: $(INSTALLED) ## Bring stored texts to the form in which they are looked for, and add missing search entries
	@sql/mysql-server start
	@exec python -m sql.normalise

adopt: $(INSTALLED) ## After an upgrade, once no old instance runs: bring what is older than the events into them
	@sql/mysql-server start
	@exec python -m sql.adopt

expire: $(INSTALLED) ## Cancel unconfirmed orders that are overdue, and restore their stock; one pass
	@sql/mysql-server start >&2
	@exec python -m orders.jobs expire

purge: $(INSTALLED) ## Delete idempotency keys and counts of log-ins that are over; one pass
	@sql/mysql-server start >&2
	@exec python -m customers.jobs purge

verify: $(INSTALLED) ## Check that orders, lines, stock and events add up
	@sql/mysql-server start >&2
	@exec python -m orders.jobs verify

backup: $(INSTALLED) ## Write all of the database into a new file: FILE=… (.sql.gz), beside whatever runs
	@sql/mysql-server start >&2
	@exec python -m sql.backup backup "$(FILE)"

restore: $(INSTALLED) ## Load a backup into a schema that is empty or isn't there: FILE=…, while no service runs
	@sql/mysql-server start >&2
	@exec python -m sql.backup restore "$(FILE)"

verify-backup: $(INSTALLED) ## Restore a backup on the private server, compare and check it, and drop it: FILE=…
	@exec python -m sql.backup verify "$(FILE)"

secrets: ## Print a fresh value of each secret, as lines for .env
	@$(PYTHON) -c 'import secrets, sys; [print(f"{name}={secrets.token_urlsafe(32)}") for name in sys.argv[1:]]' \
	  JWT_SECRET SERVICE_TOKEN METRICS_TOKEN DB_PASSWORD CUSTOMERS_DB_PASSWORD ORDERS_DB_PASSWORD

operator: $(INSTALLED) ## Add or change an operator: USERNAME=… ROLE=viewer|operator|admin, and asks for the password; or ROLE=off
	@sql/mysql-server start >&2
	@exec python -m customers.operators "$(USERNAME)" "$(ROLE)"

offline: $(INSTALLED) ## Run the orchestrator alone, against CUSTOMERS_API_BASE and ORDERS_API_BASE
	@exec python -m dev.stack offline

postman: $(INSTALLED) $(COLLECTIONS) ## Make a Postman collection out of each document in openapi/, beside the flow in postman/
	@ls postman/*

clients: $(INSTALLED) ## Make Python and TypeScript clients out of what make run serves, check them, and order with them
	@export B2B_CUSTOMERS=$${B2B_CUSTOMERS:-http://127.0.0.1:$${CUSTOMERS_PORT:-3001}}
	export B2B_ORDERS=$${B2B_ORDERS:-http://127.0.0.1:$${ORDERS_PORT:-3002}}
	export B2B_ORCHESTRATOR=$${B2B_ORCHESTRATOR:-http://127.0.0.1:$${ORCHESTRATOR_PORT:-3003}} PATH=$(CURDIR)/node_modules/.bin:$$PATH
	cd tests/clients
	spectral lint --ruleset spectral.yaml --fail-severity hint $$B2B_{CUSTOMERS,ORDERS,ORCHESTRATOR}/openapi.json
	out=../../.local/clients && rm -rf $$out
	for name in customers orders orchestrator; do
	  base=B2B_$${name^^} && document=$${!base}/openapi.json
	  openapi-python-client generate --config python.yaml --url $$document --output-path $$out/b2b_$$name --meta none --fail-on-warning
	  openapi-typescript $$document --output $$out/$$name.ts
	done
	MYPYPATH=$$out mypy --strict --cache-dir $$out/../mypy $$out/b2b_* order.py
	PYTHONPATH=$$out python order.py
	tsc --strict --skipLibCheck --target es2022 --module nodenext --outDir $$out/js order.mts
	node $$out/js/tests/clients/order.mjs
	echo "Both clients have ordered, confirmed and canceled."

package: $(INSTALLED) .venv/lambda/installed ## Build the Lambda functions' zips into dist/
	@exec python -m aws.package

deploy: $(INSTALLED) .venv/lambda/installed ## Deploy the functions to AWS: STAGE=prod, see docs/aws.md
	@test "$(STAGE)" = prod || { echo "deploy: say STAGE=prod (docs/aws.md); the stage dev is make offline" >&2; exit 2; }
	@exec aws/serverless deploy

bench: $(INSTALLED) $(BENCH_TOOLS) ## Measure everything under load, beside MySQL alone (OPERATIONS=… for some)
	@exec python -m bench.load $(OPERATIONS)

bench-cold-start: package ## Measure what the start of each Lambda function takes
	@exec python -m bench.cold_start

bench-size: $(INSTALLED) ## Measure lists, searches and orders among a million rows (CUSTOMERS=… PRODUCTS=… ORDERS=…)
	@exec python -m bench.size

db: ## Open a MySQL prompt on the private server
	@exec sql/mysql-server client

clean: ## Stop the private MySQL; remove it, its data and all that was installed
	@sql/mysql-server destroy
	@rm -rf .venv .local node_modules .serverless .pytest_cache .ruff_cache .hypothesis dist $(CONTRACTS) $(COLLECTIONS) $(dir $(SWAGGER_UI))

# --- installation ---------------------------------------------------------------------

# TERM to make ends the command too, which bash alone would leave at work; and hard, for npm would tidy up for 20 s.
run_to_end = trap 'kill -KILL $$!; exit 143' INT TERM; $(1) & wait $$!; trap - INT TERM

# The stamp comes last, so that an interrupted installation is done again.
.venv/installed: requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed (PYTHON=… names one)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: this Python can't make virtual environments; on Debian and Ubuntu install python3-venv" >&2; exit 1; }
	@echo "Installing the Python packages into .venv …"
	@$(PYTHON) -m venv --clear .venv
	@$(call run_to_end,.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt)
	@touch $@

# What the functions are compiled by, and what runs them in the tests: the runtime of serverless.yml where this
# machine has it, else our own, which will do for tests. A launcher of that name may stand for none, so it is asked.
.venv/lambda/installed: serverless.yml aws/requirements.txt .venv/installed
	@echo "Installing AWS's runtime client into .venv/lambda …"
	@name=$$(sed -n 's/^  runtime: //p' serverless.yml)
	for python in $${LAMBDA_PYTHON:-$$name $$(pyenv prefix $${name#python} 2>/dev/null)/bin/$$name \
	  $$(uv python find --no-python-downloads $${name#python} 2>/dev/null) .venv/bin/python}; do
	  ! "$$python" -c 'import ensurepip, venv' 2>/dev/null || break
	done
	"$$python" -m venv --clear .venv/lambda
	$(call run_to_end,.venv/lambda/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r aws/requirements.txt)
	touch $@

node_modules/.installed: package-lock.json .npmrc .venv/installed
	@dev/install node
	@echo "Installing the Node packages into node_modules …"
	@$(call run_to_end,npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
	@touch $@

# For the tests (nginx, chromium, prometheus) and for make bench. Each ends in a rename, so it needs no stamp.
$(TEST_TOOLS) $(BENCH_TOOLS): dev/install dev/unpack-debian
	@$(call run_to_end,dev/install $(@F))

# The documentation page's, so that the programs need no node_modules; the Dockerfile does the same.
$(SWAGGER_UI): node_modules/.installed
	@mkdir -p $(@D)
	@cp $(addprefix node_modules/swagger-ui-dist/,LICENSE NOTICE swagger-ui-bundle.js swagger-ui.css) $(@D)

$(CONTRACTS): openapi/%.json: openapi/%.yaml openapi/common.yaml common/contract.py .venv/installed
	@python -m common.contract $< > $@

# The command ends with 0 even when it fails.
$(COLLECTIONS): postman/%.postman_collection.json: openapi/%.json node_modules/.installed
	@rm -f $@
	@node_modules/.bin/openapi2postmanv2 -s $< -o $@ -p \
	  -O folderStrategy=Tags,parametersResolution=Example,enableOptionalParameters=false,stackLimit=50 >/dev/null
	@test -e $@
