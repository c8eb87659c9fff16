# make run    the drill: two sites on this machine, every part at work
# make test   the gate: style, types, structure, tests, the simulation, the drill in both modes
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
DEBIAN := libnbd-bin fuse3 rsync e2fsprogs iproute2 nftables util-linux etcd-server
PEERS  := pacemaker corosync pacemaker-cli-utils pacemaker-resource-agents fence-agents iputils-arping nbdkit fio restic borgbackup zstd
AGENTS := resource-agents fence-agents kmod nginx-light postgresql iputils-ping libxml2-utils qemu-utils fio btrfs-progs xfsprogs

.PHONY: run test check fuzz kill-points unit sim sim-gate drill packages agent-packages peer-packages docs man clean

run: $(BIN)/.run packages
	$(BIN)/holdfast drill

test: check unit sim-gate drill

check: $(BIN)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(BIN)/.test packages agent-packages
	$(BIN)/pytest -q -n 2 --dist loadfile tests --ignore tests/live/test_drill.py

# The cluster on simulated time, on every core: make sim SEEDS=10000. One seed's story: python -m holdfast.sim --seed N
SEEDS ?= 1000
FIRST ?= 1
FAULTY ?= 140
sim: $(BIN)/.run
	$(BIN)/python -m holdfast.sim --seeds $(SEEDS) --first $(FIRST) --faulty $(FAULTY)

# The gate's share: as many seeds, each with a shorter time in which things go wrong.
sim-gate:
	$(MAKE) --no-print-directory sim FAULTY=80

drill: $(BIN)/.test packages
	$(BIN)/pytest -q tests/live/test_drill.py -k "not sabotage"
	$(BIN)/pytest -q -n 2 tests/live/test_drill.py -k sabotage

bench-cluster bench-decision bench-copies bench-backup: peer-packages

bench-%: $(BIN)/.test packages
	$(BIN)/python -m bench.$(subst -,_,$*)

# Faults in a row on three systems with three etcd members in namespaces, as root: make chaos FAULTS=200 SEED=7
FAULTS ?= 200
chaos: $(BIN)/.test packages
	$(BIN)/python -m bench.chaos --faults $(FAULTS) $(if $(SEED),--seed $(SEED))

# Backup server and client killed at seeded system calls: make kill-points KILLS=1000 SEED=7. The gate does a few.
KILLS ?= 1000
kill-points: $(BIN)/.test
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(BIN)/python tests/live/killscenes.py --points $(KILLS) --seed $(or $(SEED),1) $$scratch

# Bad input, guided by coverage: make fuzz RUNS=1000000 SEED=3. The gate's share is in the tests.
RUNS ?= 100000
fuzz: $(BIN)/.test
	FUZZ_RUNS=$(RUNS) FUZZ_SEED=$(or $(SEED),1) $(BIN)/pytest -q -s -n 2 tests/fuzz

docs: $(BIN)/.docs
	$(BIN)/sphinx-build -q -W -b html docs docs/_build

man: $(BIN)/.run
	$(BIN)/holdfast man --into docs/_build/man

# As root the few distribution packages are installed; otherwise the one command that would is printed. Tests start etcd
# themselves: the service that its package brings is stopped and not started again, if it was this that installed it.
packages:
	@missing=$$(for p in $(DEBIAN); do dpkg-query -Wf '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing) >/dev/null || exit 1; \
	    case "$$missing" in *etcd-server*) \
	      systemctl disable --now etcd.service 2>/dev/null || invoke-rc.d --quiet etcd stop 2>/dev/null || true;; \
	    esac; \
	  else echo "for the full drill, as root: apt-get install -y $$missing"; fi; \
	fi

# What the tests run real agents against. No service of it may start, now (policy-rc.d) or at boot (disable).
agent-packages:
	@missing=$$(for p in $(AGENTS); do dpkg-query -Wf '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    policy=/usr/sbin/policy-rc.d; \
	    if [ ! -e $$policy ]; then trap 'rm -f /usr/sbin/policy-rc.d' EXIT; printf '#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; fi; \
	    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing) >/dev/null; \
	    for unit in $$(echo $$missing | sed 's/resource-agents/logd/; s/nginx-light/nginx/; s/kmod//; s/fence-agents//; s/iputils-ping//; s/libxml2-utils//; s/qemu-utils//; s/fio//; s/btrfs-progs//; s/xfsprogs//'); do \
	      systemctl disable --quiet $$unit 2>/dev/null || true; done; \
	  else echo "for the tests of agents, as root: apt-get install -y --no-install-recommends $$missing"; fi; \
	fi

# What the benchmarks measure against; none of it may start by itself.
peer-packages:
	@missing=$$(for p in $(PEERS); do dpkg-query -Wf '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    policy=/usr/sbin/policy-rc.d; \
	    if [ ! -e $$policy ]; then trap 'rm -f /usr/sbin/policy-rc.d' EXIT; printf '#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; fi; \
	    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing) >/dev/null; \
	    systemctl disable --quiet pacemaker corosync 2>/dev/null || true; \
	  else echo "for the benchmarks of the cluster, as root: apt-get install -y --no-install-recommends $$missing"; fi; \
	fi

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BIN)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes --only-binary :all: -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(BIN)/.test: requirements/test.txt $(BIN)/.run
	$(PIP) install --require-hashes --only-binary :all: -r requirements/test.txt
	@touch $@

$(BIN)/.docs: requirements/docs.txt $(BIN)/.run
	$(PIP) install --require-hashes --only-binary :all: -r requirements/docs.txt
	@touch $@

clean:
	rm -rf $(VENV) docs/_build
