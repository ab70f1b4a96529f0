# Everything runs from .venv, made on the first call and whenever the requirements change.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := dev
CONSTRAINTS := constraints.txt
ALONE :=
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint $(CONSTRAINTS)
WIDE := .venv-wide
FLOWER := .venv-flower
FLOWER_TESTS := tests/engines/flower tests/federation src/varangian/engines/flower
# Those two pin what Flower pins otherwise; what is tested of them runs without what they would bring.
PEERS := nvflare openfl

# PyTorch waits politely, so that a shared machine stays fast.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help demo test page eager slow histories real-data wide netns flower flower-slow flower-made clean

help:
	@echo "make demo       train with liars among the workers, with and without a robust rule; draws demo.png"
	@echo "make test       the gate: format, lint, types, import contract, tests, doctests, README"
	@echo "make page       the audit's page in Chromium, which has to be there; the gate, too, where it is"
	@echo "make eager      the tests, as on a machine where no kernel can be compiled"
	@echo "make slow       the tests that take longer"
	@echo "make histories  a million seeded histories of the protocols, on two processes"
	@echo "make real-data  the tests on the published data files, in the folder named by VARANGIAN_DATA"
	@echo "make wide       the tests that need Ray, MLflow and Triton, in an environment of their own, $(WIDE)"
	@echo "make netns      the tests in network namespaces of their own; fails where these cannot be made (needs root)"
	@echo "make flower     the tests that need Flower, NVFlare and OpenFL, in an environment of their own, $(FLOWER)"
	@echo "make flower-slow   deployments of Flower beside its own strategies, in the same environment"
	@echo "make clean      remove what make made, the environment included"
	@echo
	@echo "The first call makes $(VENV) and installs into it. PYTHON=... picks the interpreter (3.11 or later)."

demo: $(STAMP)
	$(BIN)/varangian train --versus --plot demo.png

test: $(STAMP)
	@./scripts/gate

page: $(STAMP)
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { \
	    echo "There is no Chromium on the path; on Debian: apt-get install chromium"; exit 1; }
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet -m browser tests/audit/page

eager: $(STAMP)
	VARANGIAN_JIT=0 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --quiet

slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow and not real_data"

histories: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/varangian history all --count 1000000 --jobs 2

real-data: $(STAMP)
	$(BIN)/python -m pytest -m real_data

wide:
	@$(MAKE) --no-print-directory VENV=$(WIDE) EXTRAS=dev,mlflow,ray,triton $(WIDE)/.installed
	$(WIDE)/bin/python -m pytest -m "ray or mlflow or triton" tests

netns:
	@$(MAKE) --no-print-directory VENV=$(WIDE) EXTRAS=dev,fairshare,quic $(WIDE)/.installed
	$(WIDE)/bin/python -m pytest -s -m netns tests

flower: flower-made
	OMP_NUM_THREADS=1 $(FLOWER)/bin/python -m pytest --quiet -m "flower and not slow" $(FLOWER_TESTS)

flower-slow: flower-made
	OMP_NUM_THREADS=1 $(FLOWER)/bin/python -m pytest -s -m "flower and slow" tests/engines/flower

flower-made:
	@$(MAKE) --no-print-directory VENV=$(FLOWER) EXTRAS=dev-flower CONSTRAINTS=constraints-flower.txt \
	    ALONE="$(PEERS)" $(FLOWER)/.installed

clean:
	rm -rf $(VENV) $(WIDE) $(FLOWER) build dist demo.png .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The build backend is installed first, so that the constraints hold for it too.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "Varangian needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)."; \
	    echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)."
	@$(PYTHON) -m venv $(VENV) || { \
	    echo "'$(PYTHON) -m venv' failed; some systems ship it as a package of its own (python3-venv)."; exit 1; }
	@echo "Installing the pinned requirements; the first time this takes a few minutes."
	@$(PIP) hatchling
	@$(PIP) --no-build-isolation --editable '.[$(EXTRAS)]'
	@test -z "$(ALONE)" || $(PIP) --no-deps $(ALONE)
	@touch $@
	@echo "Installed."
