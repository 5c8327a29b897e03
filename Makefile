# make demo      builds the library and shows a page fetched over it, packet by packet
# make test      the whole suite
# make check     what CI asks besides: format, lints, header, ABI, documentation, licences, architecture
# make requirements  writes docs/rfc9293.md, docs/requirements.md and docs/attacks.md from the labels of the tests
# make attacks   measures the figures of docs/attacks.md anew
# make mutations  takes rules out of the code, one at a time, and sees their tests fail (20 minutes)
# make differential  records Linux's answers to the scripts of tests/differential (root), compares ours: docs/differential.md
# make test-programs  real programs (curl, nginx, postgres, ...) with ustcp in place of the kernel's TCP; WRITE=1 writes docs/programs.md
# make bench     speed, side by side with the kernel
# make bench-programs  nginx, redis and iperf3 on an engine, side by side with the kernel's veth
# make goodput   goodput over a lossy line of 100 Mbit/s, side by side with the kernel (25 minutes)
# make flood     100,000 SYNs a second at a listener, while a flow runs and clients connect
# make sim       100,000 seeds of the network simulation (USTCP_SIM_SEEDS=... for more), 64 MiB each way through each fault
# make install   DESTDIR= PREFIX=; make examples; make header: see crates/ustcp-capi/install.mk

SHELL  := /bin/bash
CARGO  ?= cargo
VENV   := .venv
PYTHON := $(VENV)/bin/python

# Debian packages: what `make demo` needs, and what the tests need besides.
APT_DEMO := gcc make pkg-config python3
# The interpreter's own tests, which run on the Python package, are a package of their own in Debian.
PYTHON_TESTS := $(shell python3 -c 'import sys; from importlib.util import find_spec as find; \
	find("test") and find("test.test_socket") or print("libpython%d.%d-testsuite" % sys.version_info[:2])' 2>/dev/null)
APT_TEST := $(APT_DEMO) binutils g++ iproute2 iptables libc6-dev nftables openssl python3-venv tshark util-linux $(PYTHON_TESTS)

# Themes or scripts for make differential; all of them when empty.
DIFFERENTIAL ?=

# Debian packages besides the programs themselves, which tests/programs names.
APT_PROGRAMS := iproute2 python3 util-linux

# Programs of the kernel's sockets, which tests/test_preload_*.py run on an engine. The linked one has the preloaded library
# although the loader ignores LD_PRELOAD where it has rights that its user has not.
PRELOAD_TESTS := build/preload/calls build/preload/signals build/preload/frugal build/preload/linked build/preload/front.so

.PHONY: demo test check check-python test-programs requirements check-requirements attacks mutations differential bench bench-programs goodput flood sim clean
.PHONY: apt-demo apt-test rust-tests python-module pytest

demo: apt-demo
	@echo "== building libustcp, the example and the command (release; from a cold cache a few minutes)"
	@$(MAKE) --no-print-directory examples
	@echo "== a C program on libustcp.so fetches a page from a server on the kernel's TCP, over a TUN device"
	build/prefix/bin/ustcp demo -- build/examples/http_get http://10.77.0.1/

test: apt-test rust-tests pytest check-requirements

rust-tests:
	@echo "== Rust: unit tests, the state table, 10,000 seeds of simulated weather"
	USTCP_SECRET=none $(CARGO) test --locked --workspace --exclude ustcp-python

pytest: examples c-tests $(PRELOAD_TESTS) build/tests/puppet-kernel build/tests/puppet-ustcp python-module \
		build/bench/flow-kernel build/bench/flow-ustcp
	@echo "== C and Python programs against the kernel's TCP, in network namespaces"
	$(PYTHON) -m pytest tests -n 2 --dist loadfile $(PYTEST)

requirements:
	python3 tests/rfc/pages.py write

attacks:
	python3 tests/rfc/pages.py measure

mutations:
	python3 tests/rfc/mutate.py run

check-requirements: $(VENV)/ready
	@echo "== every requirement has a test that runs, and docs/rfc9293.md says which"
	$(PYTHON) tests/rfc/pages.py check

check: apt-test $(VENV)/ready
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(MAKE) --no-print-directory check-header check-abi
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	$(PYTHON) tests/policy.py
	$(MAKE) --no-print-directory check-python
	$(PYTHON) tests/rfc/mutate.py check

# The stubs tell the truth, by mypy's stubtest, name by name; then the package must type-check, and a program that uses it.
check-python: python-module
	$(PYTHON) -m mypy.stubtest ustcp._ustcp
	$(PYTHON) -m mypy --strict bindings/python/python/ustcp
	$(PYTHON) -m mypy --strict tests/python_types

# DIFFERENTIAL="theme ..." for some of it. `make test` compares too, with what was recorded and committed.
differential: apt-test python-module
	cd tests && ../$(PYTHON) -m differential record $(DIFFERENTIAL)
	cd tests && ../$(PYTHON) -m differential compare $(DIFFERENTIAL)

# PROGRAMS="--only nginx curl" for some of it.
test-programs: capi-prefix
	@echo "== real programs, unchanged, on ustcp"
	tests/programs/install $(APT_PROGRAMS) $$(cd tests && python3 -m programs $(PROGRAMS) --packages)
	cd tests && python3 -m programs $(if $(WRITE),--write) $(PROGRAMS)

bench: examples build/bench/load build/bench/server python-module
	python3 tests/bench/run.py $(BENCH)
	tests/programs/install iperf3 slirp4netns
	python3 tests/bench/iperf3.py

bench-programs: capi-prefix
	tests/programs/install nginx redis-server redis-tools iperf3 wrk
	python3 tests/bench/programs.py $(BENCH)

goodput: capi-prefix build/bench/flow-kernel build/bench/flow-ustcp
	python3 tests/bench/goodput.py $(GOODPUT)

flood: examples build/flood/flood build/bench/server
	python3 tests/flood/run.py $(FLOOD)

sim:
	USTCP_SIM_SEEDS=$${USTCP_SIM_SEEDS:-100000} USTCP_SIM_MIB=$${USTCP_SIM_MIB:-64} \
		$(CARGO) test --locked -p ustcp-sim --test seeds --test carries -- --nocapture

clean:
	$(CARGO) clean
	rm -rf build $(VENV)

# ---- the tools around: Debian packages, the Python environment

apt-demo: PACKAGES = $(APT_DEMO)
apt-test: PACKAGES = $(APT_TEST)
apt-demo apt-test:
	@missing=$$(for p in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q ' installed$$' || echo $$p; done); \
	if [ -z "$$missing" ] || ! command -v dpkg-query >/dev/null; then exit 0; fi; \
	if [ -n "$$CI" ]; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	else \
		echo "Debian packages are missing. Install them with:" >&2; \
		echo "    sudo apt-get install" $$missing >&2; exit 1; \
	fi

$(VENV)/ready: tests/requirements.txt
	@echo "== Python tools into $(VENV)"
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

python-module: $(VENV)/ready
	@echo "== the Python module into $(VENV)"
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/maturin develop --quiet --release --locked -m bindings/python/Cargo.toml

# ---- programs of the tests and of the bench

HARNESS_CFLAGS := -std=gnu11 -O3 -g -Wall -Wextra -Werror -pthread

build/preload/linked: tests/preload/linked.c capi-prefix
	@mkdir -p $(@D)
	$(CC) $(HARNESS_CFLAGS) $< -o $@ -Wl,--no-as-needed $(CAPI_PREFIX)/lib/ustcp/libustcp_preload.so \
		-Wl,--enable-new-dtags,-rpath,$(CAPI_PREFIX)/lib/ustcp

build/preload/%.so: tests/preload/%.c
	@mkdir -p $(@D)
	$(CC) $(HARNESS_CFLAGS) -D_GNU_SOURCE -shared -fPIC $< -o $@

build/preload/%: tests/preload/%.c tests/c/tap.h tests/preload/sleeper.h
	@mkdir -p $(@D)
	$(CC) $(HARNESS_CFLAGS) -D_GNU_SOURCE $< -o $@

build/tests/puppet-kernel: tests/puppet/puppet.c tests/puppet/sha256.h
	@mkdir -p $(@D)
	$(CC) $(HARNESS_CFLAGS) $< -o $@

build/tests/puppet-ustcp: tests/puppet/puppet.c tests/puppet/sha256.h capi-prefix
	@mkdir -p $(@D)
	$(CC) $(HARNESS_CFLAGS) -DUSTCP $$($(CAPI_PKG_CONFIG) --cflags ustcp) $< -o $@ \
		$$($(CAPI_PKG_CONFIG) --libs ustcp) -Wl,-rpath,$(CAPI_PREFIX)/lib

build/bench/load: tests/bench/load.c
	@mkdir -p $(@D)
	$(CC) $(HARNESS_CFLAGS) $< -o $@

build/bench/flow-kernel: tests/bench/flow.c
	@mkdir -p $(@D)
	$(CC) $(HARNESS_CFLAGS) $< -o $@

build/bench/flow-ustcp: tests/bench/flow.c capi-prefix
	@mkdir -p $(@D)
	$(CC) $(HARNESS_CFLAGS) -DUSTCP $$($(CAPI_PKG_CONFIG) --cflags ustcp) $< -o $@ \
		$$($(CAPI_PKG_CONFIG) --libs ustcp) -Wl,-rpath,$(CAPI_PREFIX)/lib

build/flood/flood: tests/flood/flood.c
	@mkdir -p $(@D)
	$(CC) $(HARNESS_CFLAGS) $< -o $@

build/bench/server: tests/bench/server.c capi-prefix
	@mkdir -p $(@D)
	$(CC) $(HARNESS_CFLAGS) $$($(CAPI_PKG_CONFIG) --cflags ustcp) $< -o $@ \
		$$($(CAPI_PKG_CONFIG) --libs ustcp) -Wl,-rpath,$(CAPI_PREFIX)/lib

include crates/ustcp-capi/install.mk
