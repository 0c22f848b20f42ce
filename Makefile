# `make` lists what there is. Everything lives in .venv; nothing is installed outside of it, except
# what `make system` may fetch for the tests when it is root on Debian.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
TESTERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test crash explore dev lint types imports unit bench format docs messages golden system clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.run ## the main job on sample content, then stay up (ARGS=--exit ends after it)
	@$(BIN)/mailer demo $(ARGS)

test: dev system lint types imports ## everything: rules, types and all tests with real servers and a browser
	@$(BIN)/pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder

crash: dev ## the long crash tests: every pair of steps, 20 seeds of kill -9, minutes of frozen parts
	@$(BIN)/pytest tests/crash -n $(TESTERS) --dist worksteal -m "long or not long"

explore: dev ## the tests that make up their own input, with other inputs every time
	@HYPOTHESIS_PROFILE=explore $(BIN)/pytest tests/unit -n $(TESTERS)

dev: .venv/.dev ## make .venv with everything, for .venv/bin/mailer and .venv/bin/pytest

lint: .venv/.dev ## style and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/.dev ## mypy, strict
	@$(BIN)/mypy

imports: .venv/.dev ## who may import whom
	@$(BIN)/lint-imports

unit: .venv/.dev ## the pure tests, in seconds
	@$(BIN)/pytest tests/unit

bench: .venv/.dev ## the sender beside smtp-source and the plain recipe (ARGS="--messages 50000")
	@$(BIN)/python -m bench.send --database both $(ARGS)

format: .venv/.dev ## put the code in order
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

docs: .venv/.dev ## write the generated references anew
	@$(BIN)/python -m mailer.cli.reference

messages: .venv/.dev ## gather the sentences that readers see into the catalogues
	@$(BIN)/python -m mailer.locales.extract

golden: .venv/.dev ## write the mails that the tests compare with anew; look at the diff
	@$(BIN)/python tests/golden/mails.py

system: ## what the tests need beside Python: a browser, Postfix, OpenDKIM, SpamAssassin, fonts (apt, when root)
	@missing=""; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	test -x /usr/sbin/smtp-sink || missing="$$missing postfix"; \
	test -x /usr/sbin/opendkim-testmsg || missing="$$missing opendkim-tools"; \
	command -v spamassassin >/dev/null || missing="$$missing spamassassin"; \
	fc-list 2>/dev/null | grep -qi "NotoSansArabic" || missing="$$missing fonts-noto-core"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing for the tests:$$missing"; \
	  (apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing) >/dev/null 2>&1 \
	    || echo "Could not install$$missing: the tests that need them are skipped and say so."; \
	else echo "Missing$$missing: the tests that need them are skipped and say so."; fi

clean: ## remove .venv and caches
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (make PYTHON=…)"; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.run: pyproject.toml | .venv/bin/python
	@echo "Setting up .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	@echo "Setting up .venv with the developers' tools …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch .venv/.run $@
