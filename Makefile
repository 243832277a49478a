# make demo   the whole point, in minutes: plain CLIP and SafeCLIP on poisoned pictures, and a page that shows it
# make bench-small   attacks x methods x seeds on the built-in pictures and RSICD (RSICD=FILE); hours, goes on where it
#             stopped; JOBS=2 runs at once; QUICK=1 takes the short form
# make prove  plain CLIP and SafeCLIP, three seeds: every attack that plants on the built-in pictures, five on RSICD and
#             on Flickr8k (RSICD=FILE, FLICKR8K=FILE)
# make prove-gpu   the same on COCO at full size, for a GPU (COCO=dataset_coco.json beside its pictures)
# make test   the default test suite
# make lint   formatting, lint, types, and the direction of imports

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

.PHONY: demo bench-small prove prove-gpu test lint clean
demo: $(VENV)/.installed
	$(BIN)/safeclip demo --out runs/demo

RSICD ?= ../shared/data/rsicd-64px.parquet
SHORT := $(if $(QUICK),-short)
JOBS ?= 2
BENCH := $(if $(wildcard $(RSICD)),small --data parquet:$(RSICD) --out runs/bench$(SHORT),emoji --out runs/bench$(SHORT)/emoji$(SHORT))
bench-small: $(VENV)/.installed
	$(if $(wildcard $(RSICD)),,@echo "RSICD is left out: no file $(RSICD); name it with RSICD=FILE")
	$(BIN)/safeclip bench --preset $(BENCH) --jobs $(JOBS) $(if $(QUICK),--quick,--results bench/results)

FLICKR8K ?= ../shared/data/flickr8k-64px.parquet
on = $(if $(wildcard $(1)),$(2) --data parquet:$(1),@echo "left out: no file $(1) (docs/bench.md says how to make it)")
PROVE := $(BIN)/safeclip bench --jobs $(JOBS) --results bench/results --out runs/prove
prove: $(VENV)/.installed
	$(PROVE)/emoji --preset prove-emoji
	$(call on,$(RSICD),$(PROVE)/rsicd --preset prove-rsicd)
	$(call on,$(FLICKR8K),$(PROVE)/flickr8k --preset prove-flickr8k)

COCO ?= dataset_coco.json
prove-gpu: $(VENV)/.installed
	$(PROVE)/coco --preset prove-coco --data coco:$(COCO) --jobs 1

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	touch $@ $(VENV)/.installed $(VENV)/.installed-test

clean:
	rm -rf $(VENV) runs dist .pytest_cache .ruff_cache .mypy_cache
