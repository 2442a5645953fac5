# Everything sets itself up: python3, make and git are all that must be there.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: setup demo test test-all lint bench clean
setup: $(STAMP)

$(STAMP): requirements.lock requirements-uv.lock pyproject.toml .ci/setup
	@.ci/setup $(VENV)
	@touch $@

demo: $(STAMP)
	@$(VENV)/bin/zkprov lab demo

test: $(STAMP)
	@.ci/test

test-all: $(STAMP)
	@.ci/test --whole

lint: $(STAMP)
	@.ci/lint

bench: $(STAMP)
	@$(PY) -m bench

clean:
	rm -rf $(VENV)
