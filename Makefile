# Everything from nothing: each target makes the environment that it needs. `make` alone lists the targets.
PYTHON ?= python3
SIMULATE ?= --weeks 20 --seeds 5 --regression-rates 30,300,3000
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := instrumentation examples dashboards/source dashboards/simulation tests noxfile.py bench

.DEFAULT_GOAL := help
.PHONY: help demo stack dashboards simulate test test-victoria-metrics check format lint types imports test-matrix test-clients bench clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-26s %s\n", $$1, $$2 }'

$(VENV)/.made: pyproject.toml
	@echo "Making $(VENV) (once) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Python 3.10 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); name another with PYTHON=..."; exit 2; }
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip >= 25.1"
	@$(BIN)/python -m pip install --quiet --editable ".[demo,otlp,prices]"
	@touch $@

$(VENV)/.developed: $(VENV)/.made
	@echo "Adding what tests and checks need (once) ..."
	@$(BIN)/python -m pip install --quiet --editable ".[demo,otlp,prices]" --group test --group servers --group codecs --group clients --group check --group dashboards
	@touch $@

demo: $(VENV)/.made ## a chat application and its telemetry, live in the terminal
	@cd examples && ../$(BIN)/python -m demo

stack: $(VENV)/.made ## Prometheus and Alertmanager notice a release that breaks its cache (KEEP=1 leaves them running)
	@cd examples && ../$(BIN)/python -m stack $(if $(KEEP),--keep)

dashboards: $(VENV)/.developed ## make boards and rules anew from their source
	@cd dashboards && ../$(BIN)/python -m source
	@$(BIN)/xai-otel alerts --out dashboards/generated/xai-alerts.yaml > /dev/null

simulate: $(VENV)/.developed ## weeks of traffic on a real Prometheus: false alarms and delays of the rules
	@cd dashboards && ../$(BIN)/python -m simulation --rules generated/xai-alerts.yaml $(SIMULATE)

test: $(VENV)/.developed ## the whole test suite (of SDKs: `make test-clients`): what measures time alone, then the rest on all cores
	@$(BIN)/python -m pytest --quiet -m timing $$(grep --recursive --files-with-matches 'mark\.timing' tests --include='*.py')
	@$(BIN)/python -m pytest -m "not timing" --ignore=tests/sdks --numprocesses auto

.victoria-metrics/bin/victoria-metrics:
	@tests/dashboards/get-victoria-metrics.sh .victoria-metrics

test-victoria-metrics: $(VENV)/.developed .victoria-metrics/bin/victoria-metrics ## the boards on VictoriaMetrics, over OTLP
	@VICTORIA_METRICS=$(CURDIR)/.victoria-metrics/bin/victoria-metrics \
	  $(BIN)/python -m pytest tests/dashboards/test_victoria_metrics.py

check: format lint types imports test-matrix ## what CI runs beside `make test`

format: $(VENV)/.developed ## is everything formatted?
	@$(BIN)/ruff format --check $(PACKAGES)

lint: $(VENV)/.developed ## style, and a docstring for every test
	@$(BIN)/ruff check $(PACKAGES)
	@$(BIN)/interrogate --quiet tests

types: $(VENV)/.developed ## strict types
	@$(BIN)/mypy instrumentation examples bench
	@$(BIN)/mypy --python-version 3.11 dashboards # the boards' library needs it

imports: $(VENV)/.developed ## no file imports from a floor above its own
	@PYTHONPATH=instrumentation $(BIN)/lint-imports --no-cache

test-matrix: $(VENV)/.developed ## the suite on oldest and newest clients, on every Python that is installed
	@$(BIN)/nox --non-interactive --error-on-external-run

test-clients: $(VENV)/.developed ## the SDKs, unmodified, in environments of their own; renews the README's table of clients
	@rm -f .nox/clients.json
	@$(BIN)/nox --non-interactive --error-on-external-run --tags clients; status=$$?; \
	  if [ -f .nox/clients.json ]; then $(BIN)/python tests/sdks/table.py .nox/clients.json; fi; exit $$status

bench: $(VENV)/.developed ## what a call, a chunk and an import cost
	@$(BIN)/python -m bench

clean: ## remove what the other targets have made
	@rm -rf $(VENV) .nox .hypothesis .pytest_cache .mypy_cache .ruff_cache
