# Every target does all the set-up it needs; a second run finds it done and starts at once.
#   make demo MODE=monitor        make test ARGS="-k redact"        make run POLICY=my.yaml        PYTHON=/path/to/python3.12
MODE ?= enforce
POLICY ?= deploy/sekisho.yaml
ARGS ?=
EXAMPLES ?= 2000
SECONDS_OF_FUZZ ?= 60
MINUTES ?= 10

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# One virtual environment: two pips at work in it at once (make -j) would break it.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help dashboards prometheusrule demo run test lint format types bench bench-inspect soak reloads score fuzz check clean lock image-proof unit-proof compose-proof

help:
	@echo "make demo     the whole story on this machine, in one minute (MODE=monitor: the same without enforcement)"
	@echo "make run      the sidecar, with POLICY=deploy/sekisho.yaml"
	@echo "make test     the test suite (ARGS=... goes to pytest)"
	@echo "make lint     ruff, and the formatter's check          make format   mend what ruff can"
	@echo "make types    mypy --strict                            make bench    requests per second, beside others"
	@echo "make reloads  200 reloads and 10 ends of a sidecar under load: what was lost (ARGS=\"--workers 2\")"
	@echo "make soak     MINUTES=10 of mixed traffic with faults: leaks, false blocks, lost messages, memory"
	@echo "make bench-inspect   what an inspection costs, beside others and at its worst"
	@echo "make fuzz     the detectors' properties with EXAMPLES=2000 fresh examples, then SECONDS_OF_FUZZ=60 of atheris"
	@echo "make dashboards  the Grafana dashboards, from their code    make prometheusrule   deploy/kustomize's, from the rules"
	@echo "make lock     the image's Python packages, by version and hash      make image-proof   the image, without an engine"
	@echo "make unit-proof  the systemd unit, under a real systemd    make compose-proof   deploy/compose.yaml, without an engine"
	@echo "make score    recall and false alarms of the detectors, by group, beside Presidio's and a plain regex's"

demo: $(VENV)/.runtime
	@$(BIN)/sekisho demo --mode "$(MODE)" $(ARGS)

run: $(VENV)/.runtime deploy/secrets/fingerprint.key
	@$(BIN)/sekisho run -c "$(POLICY)" $(ARGS)

check: $(VENV)/.runtime deploy/secrets/fingerprint.key
	@$(BIN)/sekisho check "$(POLICY)"

# A closed standard input (some CI runners) would fail libraries that look at it.
test: $(VENV)/.test
	@[ -t 0 ] || exec </dev/null; $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile $(ARGS)

lint: $(VENV)/.lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.lint
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(VENV)/.lint
	@$(BIN)/mypy

bench: $(VENV)/.test
	@$(BIN)/python benchmarks/http_throughput.py $(ARGS)

reloads: $(VENV)/.test
	@$(BIN)/python benchmarks/reloads.py $(ARGS)

soak: $(VENV)/.test
	@$(BIN)/python benchmarks/soak.py --minutes $(MINUTES) $(ARGS)

bench-inspect: $(VENV)/.test
	@$(BIN)/python benchmarks/inspect_bodies.py $(ARGS)

# More examples of the properties, drawn anew, then a coverage-guided minute; atheris is not part of the test set.
fuzz: $(VENV)/.test
	@SEKISHO_FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -q tests/detectors/properties $(ARGS)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(PIP) atheris
	@$(BIN)/python fuzz/inspect_bytes.py -max_total_time=$(SECONDS_OF_FUZZ)

dashboards: $(VENV)/.test
	@$(BIN)/python -m deploy.grafana.dashboards

prometheusrule: $(VENV)/.runtime
	@$(BIN)/python -m deploy.kustomize.prometheusrule

score: $(VENV)/.test
	@$(BIN)/python -m tests.corpus.score

# The image's Python packages: the newest that pyproject.toml allows for the Python of the Dockerfile's base, with hashes.
# Then whether the oldest Python that is promised has a set of packages that agree with each other at all.
LOCK = $(BIN)/uv pip compile --quiet --upgrade --python-version 3.13 --python-platform linux --generate-hashes \
    --no-annotate --custom-compile-command "make lock"
BUILD_REQUIRES = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
lock: $(VENV)/.runtime
	@test -x $(BIN)/uv || $(PIP) uv
	@$(LOCK) --override deploy/docker/left-out.txt pyproject.toml -o deploy/docker/requirements.lock >/dev/null
	@$(BIN)/python -c '$(BUILD_REQUIRES)' | $(LOCK) - -o deploy/docker/build.lock >/dev/null
	@$(BIN)/uv pip compile --quiet --python-version 3.12 pyproject.toml >/dev/null

# The Dockerfile's own lines in a Debian tree of their own, and the sidecar from that tree; needs root and debootstrap.
image-proof: $(VENV)/.test
	@$(BIN)/python -m tests.deploy.docker.prove $(ARGS)

# The systemd unit under a real systemd in namespaces of its own, from the tree that image-proof has made.
unit-proof: $(VENV)/.test
	@$(BIN)/python -m tests.deploy.systemd.prove $(ARGS)

# deploy/compose.yaml in network namespaces, from the same tree, with this machine's Prometheus and Alertmanager.
compose-proof: $(VENV)/.test
	@$(BIN)/python -m tests.deploy.docker.prove_compose $(ARGS)

# For a first try of the example policy. A deployment brings its own key: fingerprints and audit chain rest on it.
deploy/secrets/fingerprint.key:
	@mkdir -p deploy/secrets && umask 077 && head -c 48 /dev/urandom | base64 > $@

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A virtual environment that was made elsewhere (the tree was moved: its scripts name the old place) or whose
# interpreter is gone (its pyenv version was removed) counts as none.
ifneq ($(shell test "$$(cat $(VENV)/.made-in 2>/dev/null)" = "$$(pwd -P)" && $(BIN)/python -c 'print(1)' 2>/dev/null),1)
.PHONY: $(BIN)/python $(VENV)/.runtime $(VENV)/.test $(VENV)/.lint
endif
$(BIN)/python:
	@python="$$(PYTHON='$(PYTHON)' sh .ci/find-python)" && \
	    echo "Sekisho: making $(VENV) with $$("$$python" --version)" && \
	    "$$python" -m venv --clear $(VENV) && \
	    pwd -P > $(VENV)/.made-in

# The project itself is installed editable: changes to the code take effect at once.
$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	@echo "Sekisho: installing what it needs to run (once, about a minute) ..."
	@$(call install,-e .)

$(VENV)/.test: $(VENV)/.runtime
	@echo "Sekisho: installing what the tests need ..."
	@$(call install,-e '.[test]')

$(VENV)/.lint: $(VENV)/.runtime
	@echo "Sekisho: installing the linters ..."
	@$(call install,-e '.[lint]')

define install
$(PIP) $(1) && touch $@ || { \
    echo "Sekisho: the installation failed; pip's own words are above." >&2; \
    echo "It needs the Python package index (or a mirror: PIP_INDEX_URL), Linux x86-64 or aarch64 and about 500 MB of disk." >&2; \
    echo "After mending it, run the same make again; 'make clean' starts from nothing." >&2; \
    exit 1; }
endef
