# SPDX-License-Identifier: MIT
# Files are found by their place and name; everything made lies below build/, in one directory for
# each kind of build.
#
#   make                 the library, static and shared
#   make test            dependencies, house rules, all tests, examples, scripts
#   make test CC=clang SAN=thread   another kind of build: CC=gcc|clang, SAN=address|thread, RACE=1
#   make test T=mailbox  only tests whose file name contains this; also TEST_SCALE=300 (percent)
#   make check           make test in every kind of build
#   make repeat N=100    the stress tests, N times, under clang's thread sanitizer (ONLY= takes all)
#   make schedules       the library on virtual threads, in millions of orders (test/virtual/virtual.h)
#   make bench           benchmarks        make demo URL=... ARGS=...          the demo program
#   make bench-peers     install and build what make bench compares us with
#   make bench-docs      make bench, and put its figures and plots into docs/performance.md
#   make tidy, format    house rules       make install PREFIX= DESTDIR=       make deps, clean
#
# Each takes V=1, to see the commands.
VERSION := 0.1.0
ifeq ($(origin CC),default)
CC := gcc
endif
OPT ?= -O2
WERROR ?= -Werror
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
N ?= 100
ONLY ?= stress

compiler := $(notdir $(lastword $(CC)))
empty :=
BUILD := build/$(compiler)$(SAN:%=-%)$(RACE:%=-race)$(subst $(empty) ,,$(filter-out -O2,$(OPT)))
# Percent of work for the stress tests; gcc's thread sanitizer takes 1 ms for each coroutine.
scale_gcc-thread := 5
TEST_SCALE ?= $(or $(scale_$(firstword $(subst -, ,$(compiler)))-$(SAN)),$(if $(SAN)$(RACE),25,100))

try = $(shell $(CC) -Werror $(1) -c -x c /dev/null -o /dev/null 2>/dev/null && echo $(1))
sanitize_ :=
sanitize_address := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
sanitize_thread := -fsanitize=thread -fno-omit-frame-pointer
SANITIZE := $(if $(filter undefined,$(origin sanitize_$(SAN))),$(error SAN is address or thread))$(sanitize_$(SAN))
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes $(WERROR)
EVENT := libevent_core libevent_pthreads
EVENT_CFLAGS := $(shell pkg-config --cflags $(EVENT) 2>/dev/null)
LIBS := $(or $(shell pkg-config --libs $(EVENT) 2>/dev/null),-levent_core -levent_pthreads)
DEFINES := -D_POSIX_C_SOURCE=200809L $(if $(RACE),-DASI_RACE)
FLAGS := -std=c11 $(OPT) -g -pthread $(WARN) $(SANITIZE) $(EVENT_CFLAGS) -fvisibility=hidden \
	$(call try,-fstack-clash-protection) $(CFLAGS)
LINK := $(CC) $(OPT) -g -pthread $(SANITIZE) $(LDFLAGS)

# The library on virtual threads (VIRTUAL=plain), also with its plain accesses looked at (=races).
ifdef VIRTUAL
BUILD := build/virtual-$(VIRTUAL)
FLAGS := -std=gnu11 -O1 -g -fno-pie -fno-common -fno-stack-protector -fvisibility=hidden \
	-Wall -Wextra -Wno-attributes $(WERROR) -Itest/virtual
endif
virtual_flags := -DASI_VIRTUAL -DASI_RECYCLE_KEEPS=false -Itest '-Dtls_model(model)=unused' \
	'-D_Thread_local=__attribute__((section("asi_tls")))' \
	$(if $(filter races,$(VIRTUAL)),-fsanitize=thread -U__SANITIZE_THREAD__)

objects = $(patsubst %,$(BUILD)/%.o,$(basename $(1)))
programs = $(patsubst %.c,$(BUILD)/%,$(1))
chosen = $(if $(T),$(foreach f,$(1),$(if $(findstring $(T),$(notdir $(f))),$(f))),$(1))
library := $(call objects,$(wildcard lib/*/*.c lib/*/*.S))
static := $(BUILD)/libanysync.a
shared := $(BUILD)/libanysync.so.0
tests := $(call programs,$(call chosen,$(wildcard test/test_*.c)))
examples := $(call programs,$(call chosen,$(wildcard docs/examples/*.c)))
benches := $(call programs,$(wildcard bench/bench_*.c))
demo := $(BUILD)/demo
# In a build with a sanitizer only those scripts that run our programs are of interest.
scripts := $(call chosen,$(wildcard $(if $(SAN)$(RACE),test/test_demo.sh,test/tidy.sh test/test_*.sh)))
run_tests = CC='$(CC)' SAN='$(SAN)' BUILD=$(BUILD) TEST_SCALE=$(TEST_SCALE) sh test/run.sh

$(V).SILENT:
all: $(static) $(BUILD)/libanysync.so

# What deps installs is seen by the make that runs after it: pkg-config is asked when make starts.
test bench demo: deps
	$(MAKE) --no-print-directory CC='$(CC)' run-$@
run-test: $(static) $(tests) $(examples) $(if $(findstring demo,$(scripts)),$(demo))
	CC_PUBLIC='$(CC) -Iinclude $(DEFINES) $(FLAGS)' LIBS='$(static) $(LIBS)' \
	$(run_tests) $(scripts) $(tests) $(examples)
run-bench: $(benches)
	sh bench/run.sh $(BUILD)
bench-peers:
	sh bench/peers/install.sh
bench-docs: bench
	python3 bench/document.py $(BUILD) docs
run-demo: $(demo)
	$(demo) $(URL) $(ARGS)
repeat:
	sh test/deps.sh build clang
	$(MAKE) --no-print-directory CC=clang SAN=thread run-repeat
run-repeat: $(tests)
	TEST_ARGS='--repeat $(N) $(ONLY)' $(run_tests) $(tests)
check:
	bash .ci/run
deps:
	CC='$(CC)' sh test/deps.sh build $(if $(findstring clang,$(CC)),clang) $(filter test demo,$(MAKECMDGOALS))
tidy:
	CC='$(CC)' sh test/tidy.sh
format:
	clang-format -i $$(find include lib test bench docs -name '*.[ch]')
clean:
	rm -rf build
install: all
	install -d '$(DESTDIR)$(PREFIX)/include/anysync' '$(DESTDIR)$(LIBDIR)/pkgconfig'
	install -m 644 include/*.h '$(DESTDIR)$(PREFIX)/include'
	install -m 644 include/anysync/*.h '$(DESTDIR)$(PREFIX)/include/anysync'
	install -m 644 $(static) '$(DESTDIR)$(LIBDIR)'
	install -m 755 $(shared) '$(DESTDIR)$(LIBDIR)'
	ln -sf $(notdir $(shared)) '$(DESTDIR)$(LIBDIR)/libanysync.so'
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$${prefix}/include' '' \
	'Name: anysync' 'Description: Call coroutines from plain C, and plain C from coroutines' \
	'Version: $(VERSION)' 'Requires.private: $(EVENT)' 'Cflags: -I$${includedir}' \
	'Libs: -L$${libdir} -lanysync' 'Libs.private: -pthread' >$(BUILD)/anysync.pc
	install -m 644 $(BUILD)/anysync.pc '$(DESTDIR)$(LIBDIR)/pkgconfig'

# The machine below the virtual threads is built without any of this, and has its own switch.
scenes := $(wildcard test/virtual/scenes_*.c)
machine := $(filter-out $(scenes),$(wildcard test/virtual/*.c)) lib/coro/first.c lib/base/assert.c \
	lib/base/say.c
schedules:
	$(MAKE) --no-print-directory VIRTUAL=plain build/virtual-plain/virtual
	$(MAKE) --no-print-directory VIRTUAL=races build/virtual-races/virtual
	sh test/virtual/run.sh build/virtual-plain build/virtual-races $(ORDERS)
$(BUILD)/virtual: $(patsubst %.c,$(BUILD)/machine/%.o,$(machine)) $(BUILD)/virtual.o
	echo "  LINK  $@" && $(CC) -no-pie -o $@ $^ $(filter %switch_$(shell uname -m).o,$(library))
$(BUILD)/virtual.o: $(library) $(call objects,$(scenes)) test/virtual/link.sh
	echo "  LINK  $@" && sh test/virtual/link.sh $@ $(filter %.o,$^)

$(BUILD)/%.o: %.c Makefile
	echo "  CC    $<" && mkdir -p $(@D)
	$(CC) $(DEFINES) -Iinclude $(OWN) $(FLAGS) -MMD -MP -c $< -o $@
$(BUILD)/%.o: %.S Makefile
	echo "  AS    $<" && mkdir -p $(@D)
	$(CC) -g -Ilib -MMD -MP -Wa,--noexecstack -c $< -o $@
$(BUILD)/machine/%.o: %.c Makefile
	echo "  CC    $<" && mkdir -p $(@D)
	$(CC) $(DEFINES) -Iinclude -Ilib -Itest $(FLAGS) -MMD -MP -c $< -o $@
$(BUILD)/lib/%.o: OWN := -Ilib $(if $(VIRTUAL),$(virtual_flags),-fPIC)
$(call objects,$(scenes)): OWN := -Ilib $(virtual_flags)
$(BUILD)/test/%.o $(BUILD)/bench/%.o: OWN := -Ilib

# The folders are named so that the library also loses what a file that went away defined.
$(static) $(shared): $(library) $(wildcard lib/*/)
$(static):
	echo "  AR    $@" && mkdir -p $(@D)
	rm -f $@ && $(AR) rcs $@ $(library)
$(shared):
	echo "  LINK  $@"
	$(LINK) -shared -Wl,-soname,$(@F) -Wl,-z,nodelete $(if $(SAN),,-Wl,-z,defs) -o $@ $(library) $(LIBS)
$(BUILD)/libanysync.so: $(shared)
	ln -sf $(<F) $@

$(tests): $(call objects,test/harness.c test/fault.c)
$(benches): $(call objects,$(filter-out bench/bench_%.c,$(wildcard bench/*.c)))
$(demo): $(call objects,$(wildcard docs/examples/demo/*.c))
$(tests) $(examples) $(benches): $(BUILD)/%: $(BUILD)/%.o
$(tests) $(examples) $(benches) $(demo): $(static)
	echo "  LINK  $@"
	$(LINK) -o $@ $(filter %.o,$^) $(static) $(LIBS) $(if $(filter $(demo),$@),-levent_extra) $(if $(filter $(benches),$@),-lm)

.PHONY: all test schedules bench bench-peers bench-docs demo repeat check deps tidy format clean install run-test run-bench run-demo run-repeat
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
