# The C library as its users see it: the header, the installation, the examples and the guards of the ABI.
# Included by the top-level Makefile; runs from the top of the repository.

CARGO   ?= cargo
CC      ?= cc
CXX     ?= c++
NM      ?= nm
READELF ?= readelf
INSTALL ?= install
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
DESTDIR ?=

CAPI         := crates/ustcp-capi
CAPI_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
CAPI_SONAME  := libustcp.so.0
CAPI_RELEASE := $(or $(CARGO_TARGET_DIR),target)/release
CAPI_PREFIX  := $(CURDIR)/build/prefix
CAPI_CFLAGS  := -std=c11 -D_GNU_SOURCE -O2 -g -pedantic -Wall -Wextra -Werror

# pkg-config as a user has it whose installation is under build/prefix.
CAPI_PKG_CONFIG := PKG_CONFIG_PATH=$(CAPI_PREFIX)/lib/pkgconfig pkg-config

.PHONY: header check-header check-abi install examples c-tests capi-build capi-prefix

# ---- the header

header:
	$(CARGO) run --quiet --locked -p ustcp-capi --example generate_header -- include/ustcp.h

check-header:
	$(CARGO) run --quiet --locked -p ustcp-capi --example generate_header -- --check include/ustcp.h
	$(CC) -std=c99 -pedantic -Wall -Wextra -Werror -Iinclude -fsyntax-only $(CAPI)/abi/header.c
	$(CXX) -std=c++17 -pedantic -Wall -Wextra -Werror -Iinclude -fsyntax-only -x c++ $(CAPI)/abi/header.c

# ---- the ABI: symbols, SONAME, layouts

check-abi: capi-prefix
	$(NM) -D --defined-only $(CAPI_RELEASE)/libustcp.so | sed 's/^[0-9a-f]* //' | LC_ALL=C sort \
		| diff -u $(CAPI)/abi/symbols.txt -
	$(READELF) -d $(CAPI_RELEASE)/libustcp.so | grep -q 'SONAME.*\[$(CAPI_SONAME)\]'
	$(READELF) -d $(CAPI_RELEASE)/libustcp.so | grep -q 'Flags:.*NODELETE'
	$(CC) $(CAPI_CFLAGS) -Iinclude -fsyntax-only $(CAPI)/abi/layout.c

# ---- the installation

# The command looks for the preload library where it is installed.
capi-build:
	USTCP_LIBDIR=$(LIBDIR) $(CARGO) build --quiet --locked --release -p ustcp-capi -p ustcp-cli -p ustcp-preload

install: capi-build
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR)/pkgconfig
	$(INSTALL) -m 644 include/ustcp.h $(DESTDIR)$(PREFIX)/include/ustcp.h
	$(INSTALL) -m 755 $(CAPI_RELEASE)/libustcp.so $(DESTDIR)$(LIBDIR)/libustcp.so.$(CAPI_VERSION)
	ln -sf libustcp.so.$(CAPI_VERSION) $(DESTDIR)$(LIBDIR)/$(CAPI_SONAME)
	ln -sf $(CAPI_SONAME) $(DESTDIR)$(LIBDIR)/libustcp.so
	$(INSTALL) -m 644 $(CAPI_RELEASE)/libustcp.a $(DESTDIR)$(LIBDIR)/libustcp.a
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(CAPI_VERSION)|' \
		$(CAPI)/ustcp.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/ustcp.pc
	$(INSTALL) -m 755 $(CAPI_RELEASE)/ustcp $(DESTDIR)$(PREFIX)/bin/ustcp
	$(INSTALL) -d $(DESTDIR)$(LIBDIR)/ustcp
	$(INSTALL) -m 755 $(CAPI_RELEASE)/libustcp_preload.so $(DESTDIR)$(LIBDIR)/ustcp/libustcp_preload.so

# ---- C programs, built as a user would

capi-prefix:
	$(MAKE) --no-print-directory install DESTDIR= PREFIX=$(CAPI_PREFIX) LIBDIR=$(CAPI_PREFIX)/lib

CAPI_EXAMPLES := $(patsubst examples/%.c,build/examples/%,$(wildcard examples/*.c))
CAPI_TESTS    := $(patsubst tests/c/%.c,build/tests/%,$(wildcard tests/c/*.c))

examples: $(CAPI_EXAMPLES)

# The rpath lets them run from here without LD_LIBRARY_PATH.
build/examples/%: examples/%.c capi-prefix
	@mkdir -p $(@D)
	$(CC) $(CAPI_CFLAGS) $$($(CAPI_PKG_CONFIG) --cflags ustcp) $< -o $@ \
		$$($(CAPI_PKG_CONFIG) --libs ustcp) -Wl,-rpath,$(CAPI_PREFIX)/lib

# The programs of tests/c; the same on the kernel's sockets, where Linux judges them; and under build/tests/planted the
# library that panics on demand: see tests/c/panic.c.
c-tests: $(CAPI_TESTS) build/tests/api-kernel build/tests/options-kernel build/tests/threads-kernel build/tests/planted/$(CAPI_SONAME)

build/tests/%: tests/c/%.c $(wildcard tests/c/*.h) capi-prefix
	@mkdir -p $(@D)
	$(CC) $(CAPI_CFLAGS) $$($(CAPI_PKG_CONFIG) --cflags ustcp) $< -o $@ \
		$$($(CAPI_PKG_CONFIG) --libs ustcp) -Wl,--enable-new-dtags,-rpath,$(CAPI_PREFIX)/lib -pthread

# libc declares what must not be null or too long, which is what these programs pass.
build/tests/%-kernel: tests/c/%.c $(wildcard tests/c/*.h)
	@mkdir -p $(@D)
	$(CC) $(CAPI_CFLAGS) -DKERNEL -Wno-nonnull -Wno-stringop-overflow -Wno-stringop-overread $< -o $@ -pthread

.PHONY: build/tests/planted/$(CAPI_SONAME)
build/tests/planted/$(CAPI_SONAME):
	$(CARGO) build --quiet --locked --release -p ustcp-capi --example ustcp_testing
	@mkdir -p $(@D)
	cp $(CAPI_RELEASE)/examples/libustcp_testing.so $@
