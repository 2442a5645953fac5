# Everything sets itself up: python3, make and git are all that must be there.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: setup demo test test-all outcomes lint docs wheel bench lock clean
setup: $(STAMP)

$(STAMP): requirements.lock requirements-uv.lock pyproject.toml .ci/setup
	@.ci/setup $(VENV)
	@touch $@

demo: $(STAMP)
	@$(VENV)/bin/zkprov lab demo

# A seeded sample of each matrix, 25 minutes at most on two cores; ZKPROV_SEED repeats one.
test: $(STAMP)
	@.ci/test

# The whole of each matrix.
test-all: $(STAMP)
	@.ci/test --whole

# Every known way to a second ensemble, broken, seen and healed: the table of docs/incidents.md.
outcomes: $(STAMP)
	@rm -f .outcomes
	@ZKPROV_OUTCOMES=.outcomes CI=true $(PY) -m pytest tests/incidents/test_ways_out.py tests/incidents/test_no_other_side.py --whole -n 2 -q
	@$(PY) -m tests.incidents.outcomes .outcomes docs/incidents.md
	@rm -f .outcomes

lint: $(STAMP)
	@.ci/lint

docs: $(STAMP)
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

# For machines that have no checkout: dist/zkprov-<version>-py3-none-any.whl
wheel: $(STAMP)
	@$(PY) -m hatchling build -t wheel

bench: $(STAMP)
	@$(PY) -m bench

# After a change of dependencies: what is locked stays as it is, unless it must change.
lock: $(STAMP)
	@$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --extra lab --extra report --group dev pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV)
