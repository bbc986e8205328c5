# The two commands of this repository are `make demo` and `make test`; both set everything up by themselves.

PYTHON ?= python3
BROKER ?= embedded
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test lint bench bench-serving bench-learning torture helm kafka requirements clean

help:
	@echo "make demo    see the main job on embedded defaults (BROKER=kafka: on a real Apache Kafka; KEEP=1: stay up)"
	@echo "make test    every test, a real Kafka, a real MLflow server and Helm included"
	@echo "make lint    ruff, mypy strict and the import layers"
	@echo "make bench   the figures of the README, side by side, into bench/"
	@echo "make bench-serving   how fast a replica answers, swaps included (PEERS=1: MLServer and KServe beside it)"
	@echo "make bench-learning  the table of docs/learning.md: how well it learns (PEERS=1: other libraries beside it)"
	@echo "make torture KILLS=300  every fault of docs/reliability.md, many times (ONLY=\"3 4\", SEED=7, TRIES=5, MINUTES=60)"

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with PYTHON=python3.12."; exit 1; }
	@echo "Installing Penstock and what it needs into $(VENV) (a few minutes the first time) …"
	@$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv does not work here; on Debian: apt-get install python3-venv."; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

demo: setup
	@exec $(BIN)/penstock demo --broker $(BROKER) $(if $(KEEP),--keep)

test: setup helm kafka
	@$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: setup
	@$(BIN)/ruff check --no-cache . && $(BIN)/ruff format --no-cache --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: setup
	@$(BIN)/python tests/bench/run.py $(ARGS)

torture: setup kafka
	@exec $(BIN)/python tests/torture/run.py $(ONLY) $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(TRIES),--tries $(TRIES)) $(if $(MINUTES),--minutes $(MINUTES))

bench-serving: setup
	@exec $(BIN)/python tests/bench_serving/run.py $(if $(PEERS),--peers) $(ARGS)

bench-learning: setup
	@exec $(BIN)/python tests/bench_learning/run.py $(if $(PEERS),--peers) $(ARGS)

# Helm is built from its Go module once, unless it is installed.
helm: setup
	@echo "Looking for Helm (built once if it is not installed, about two minutes) …"
	@$(BIN)/python tests/helm_binary.py

# Tests run side by side (JOBS=2), and Maven does not bear to resolve the same thing twice at once.
kafka: setup
	@echo "Looking for Apache Kafka's jars (resolved by Maven once) …"
	@$(BIN)/python tests/kafka_jars.py

# The pins carry no index lines, so they are the same wherever they are installed from.
requirements:
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--extra demo --extra dev pyproject.toml -o requirements.txt

clean:
	@rm -rf $(VENV) .cache build bench demo
