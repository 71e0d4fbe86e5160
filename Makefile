# Everything here prepares what it needs by itself, under .build/. `make` alone lists the targets.
#   make run PYTHON=/path/to/python3     name the interpreter instead of having one found
#   make test ARGS="tests/unit -k book"  pass arguments to pytest

SHELL = /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run venues sor chaos load cost bench explore fuzz openapi test lint format types validate check-template audit licences sbom lock build deploy clean

# $(call with,ENVIRONMENTS,COMMAND): make the environments, then become `python COMMAND` in the first of them.
# `exec`, so that a signal to make's child is one to the program itself.
find = python=$$(PYTHON="$(PYTHON)" sh local/find_python.sh)
with = @$(find) && exec "$$python" -m local.environments $(1) -- $(2)
# $(call resolve,NAME): lock NAME.in as NAME.txt, for every platform and Python that we run on.
resolve = $(call with,test,-m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS) $(1).in -o $(1).txt)

export SAM_CLI_TELEMETRY = 0
PYTHON ?=
ARGS ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

run: ## start the whole stack on http://127.0.0.1:8007, until Ctrl-C
	$(call with,run aws,-m local)

venues: ## start the simulated venues alone on http://127.0.0.1:8006, until Ctrl-C
	$(call with,run,-m local.venues)

sor: ## the command line: make sor ARGS="route BTC/USDT --side buy --amount 0.5"
	$(call with,cli,-m cli $(ARGS))

chaos: ## orders through venues that fail and processes that die: make chaos ARGS="--orders 60 --seed 3"
	$(call with,run aws,-m local.chaos $(ARGS))

load: ## 50 clients at once for a minute: make load ARGS="--clients 20 --seconds 30 --mix route=50,execute=50"
	$(call with,run aws,-m local.load $(ARGS))

cost: ## count what a route and an execution cost, and write it into docs/cost.md
	$(call with,test,-m benchmarks.cost $(ARGS))

bench: ## how fast it is, written into docs/performance.md: make bench ARGS="--only warm" prints only
	$(call with,test aws sam,-m benchmarks $(ARGS))

explore: ## every interleaving of an order's processes, venues and faults, deep: a quarter of an hour, some GB
	$(call with,run,-m tests.explorer --deep $(ARGS))

fuzz: ## requests by the thousand, made from openapi/openapi.json: make fuzz ARGS="--seed 7 --examples 1000"
	$(call with,test run aws,-m tests.fuzz $(ARGS))

openapi: ## write openapi/openapi.json anew
	$(call with,run,-m local.openapi)

test: ## run every test, in two halves side by side
	$(call with,test run aws sam supply,-m pytest -n 2 $(ARGS))

lint: ## ruff, and whether it would format anything
	$(call with,test,-m ruff check .)
	$(call with,test,-m ruff format --check .)

format: ## format the sources
	$(call with,test,-m ruff format .)

types: ## mypy, strict
	$(call with,test,-m mypy)
	$(call with,test,-m mypy functions/route/app.py)
	$(call with,test,-m mypy functions/execute/app.py)
	$(call with,test,-m mypy functions/health_probe/app.py)

validate: ## sam validate, with cfn-lint
	$(call with,sam,-m samcli validate --lint --region us-east-1)

# No rules of a platform's, no update looked for: nothing but the template is read, and nobody asked.
check-template: ## checkov on template.yaml and ops/egress.yaml: what is not as it advises says why in its Metadata
	$(call with,checks,-m checkov.main --file template.yaml ops/egress.yaml --framework cloudformation --skip-download --compact --quiet $(ARGS))

audit: ## known vulnerabilities of all we depend on; Error 3: the service did not answer (ARGS=--strict)
	$(call with,supply,-m local.supply.audit $(ARGS))

licences: ## write docs/licences.md, and hold the layer to the policy (ARGS=--check compares only)
	$(call with,supply run aws sam checks cli test,-m local.supply.licences $(ARGS))

sbom: ## the layer's bill of materials (CycloneDX) under .build/
	$(call with,supply run,-m local.supply.sbom $(ARGS))

build: ## sam build: what goes to AWS (needs Python 3.13; LAYER_TARGET=x86_64 for x86_64)
	@$(find) && PATH="$$(dirname "$$python"):$$PATH" exec "$$python" -m local.environments sam -- -m samcli build $(ARGS)

deploy: ## sam build, then sam deploy to your AWS account (ARGS=--guided asks for every parameter)
	@$(MAKE) --no-print-directory build ARGS=
	$(call with,run,-m local.release .aws-sam/build/template.yaml)
	$(call with,sam,-m samcli deploy $(ARGS))

lock: ## resolve the requirements.in files anew (ARGS=--upgrade for newer releases)
	$(call resolve,layers/sor_core/requirements)
	$(call resolve,local/requirements)
	$(call resolve,local/requirements-aws)
	$(call resolve,local/requirements-sam)
	$(call resolve,local/requirements-checks)
	$(call resolve,local/requirements-supply)
	$(call resolve,cli/requirements)
	$(call resolve,tests/requirements)

clean: ## remove everything that was built
	rm -rf .build .aws-sam
