# SPDX-License-Identifier: MIT
# Files are found by their place and name; everything made lies below build/, in one directory for
# each kind of build.
#
#   make                 the library, static and shared
#   make tls, dns        optional libraries, for <anysync/tls.h>, which needs OpenSSL, and <anysync/dns.h>
#   make test            dependencies, house rules, all tests, examples, scripts
#   make test CC=clang SAN=thread   another kind: CC=gcc|clang, SAN=address|thread, RACE=1, DEBUG=1;
#                        and, for checking tools: CC=clang SAN=memory, SAN=helgrind (docs/tools.md)
#   make test T=mailbox  only tests whose file name contains this; also TEST_SCALE=300 (percent)
#   make test-real       tests with other people's libraries and servers, which it installs
#   make bench-real      benchmarks with them
#   make check           make test in every kind of build
#   make repeat N=100    the stress tests, N times, under clang's thread sanitizer (ONLY= takes all)
#   make schedules       the library on virtual threads, in millions of orders (test/virtual/virtual.h)
#   make reliability     the scoreboard of docs/reliability.md, 25 min; ONLY=faults: one of its checks
#   make reliability-full   the same with hours of work
#   make bench           benchmarks        make demo URL=... ARGS=...          the demo program
#   make bench-peers     install and build what make bench compares us with
#   make bench-docs      make bench, and put its figures and plots into docs/performance.md;
#                        bench-real-docs does so with the others
#   make tidy, format    house rules       make deps, clean
#   make install PREFIX= DESTDIR=         WITH="tls dns": also these
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
BUILD := build/$(compiler)$(SAN:%=-%)$(RACE:%=-race)$(DEBUG:%=-debug)$(subst $(empty) ,,$(filter-out -O2,$(OPT)))
# Percent of work for the stress tests; gcc's thread sanitizer takes 1 ms for each coroutine.
scale_gcc-thread := 5
TEST_SCALE ?= $(or $(scale_$(firstword $(subst -, ,$(compiler)))-$(SAN)),$(if $(SAN)$(RACE),25,100))

try = $(shell $(CC) -Werror $(1) -c -x c /dev/null -o /dev/null 2>/dev/null && echo $(1))
sanitize_ :=
sanitize_address := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
sanitize_thread := -fsanitize=thread -fno-omit-frame-pointer
sanitize_memory := -fsanitize=memory -fsanitize-memory-track-origins -fno-omit-frame-pointer
# Tells helgrind what orders the library's atomics, for who runs the program under it.
sanitize_helgrind := -DASI_HELGRIND
SANITIZE := $(if $(filter undefined,$(origin sanitize_$(SAN))),$(error SAN is address, thread, memory or helgrind))$(sanitize_$(SAN))
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes $(WERROR)
EVENT := libevent_core libevent_pthreads
EVENT_CFLAGS := $(shell pkg-config --cflags $(EVENT) 2>/dev/null)
LIBS := $(or $(shell pkg-config --libs $(EVENT) 2>/dev/null),-levent_core -levent_pthreads)
DEFINES := -D_POSIX_C_SOURCE=200809L $(if $(RACE),-DASI_RACE) $(if $(DEBUG),-DASI_DEBUG)
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
# Optional libraries, each of a folder of its own, with the packages it needs.
extras := tls dns
packages_tls := libevent_openssl libssl libcrypto
about_tls := TLS for anysync, by OpenSSL and libevent
packages_dns := libevent_extra
about_dns := Name servers for anysync, by libevent
extra_objects = $(call objects,$(wildcard lib/$(1)/*.c))
extra_flags = $(subst -I,-isystem ,$(shell pkg-config --cflags $(packages_$(1)) 2>/dev/null))
library := $(call objects,$(filter-out $(extras:%=lib/%/%.c),$(wildcard lib/*/*.c lib/*/*.S)))
static := $(BUILD)/libanysync.a
shared := $(BUILD)/libanysync.so.0
tests := $(call programs,$(call chosen,$(wildcard test/test_*.c)))
checks := $(call programs,$(wildcard test/reliability/*.c))
# What works with other people's libraries says in its first lines which packages of pkg-config it
# needs, and a program which of our files it is made of: "Packages: libuv", "With: docs/examples/x.c".
reals := $(call programs,$(call chosen,$(wildcard test/real/test_*.c)))
says = $(shell sed -nE '1,30s/^ \* $(1): *//p' $(2))
packages = $(call says,Packages,$(1:$(BUILD)/%=%.c))
with = $(call objects,$(call says,With,$(1:$(BUILD)/%=%.c)))
real_examples := $(shell grep -lE '^ \* Packages:' docs/examples/*.c)
examples := $(call programs,$(call chosen,$(filter-out $(real_examples),$(wildcard docs/examples/*.c))))
real_examples := $(call programs,$(real_examples))
benches := $(call programs,$(wildcard bench/bench_*.c))
real_benches := $(call programs,$(wildcard bench/real/bench_*.c))
demo := $(BUILD)/demo
# In a build with a sanitizer only those scripts that run our programs are of interest.
scripts := $(call chosen,$(wildcard $(if $(SAN)$(RACE),test/test_demo.sh,test/tidy.sh test/test_*.sh)))
run_tests = CC='$(CC)' SAN='$(SAN)' BUILD=$(BUILD) TEST_SCALE=$(TEST_SCALE) sh test/run.sh

$(V).SILENT:
all: $(static) $(BUILD)/libanysync.so

# What deps installs is seen by the make that runs after it: pkg-config is asked when make starts.
test test-real bench bench-real demo: deps
	$(MAKE) --no-print-directory CC='$(CC)' run-$@
run-test: $(static) $(tests) $(examples) $(if $(findstring demo,$(scripts)),$(demo))
	CC_PUBLIC='$(CC) -Iinclude $(DEFINES) $(FLAGS)' LIBS='$(static) $(LIBS)' \
	$(run_tests) $(scripts) $(tests) $(examples)
run-test-real: $(reals) $(real_examples)
	EXAMPLES=$(BUILD)/docs/examples $(run_tests) $(reals)
run-bench: $(benches)
	sh bench/run.sh $(BUILD)
run-bench-real: $(real_benches)
	sh bench/run.sh $(BUILD) '' real
bench-peers:
	sh bench/peers/install.sh
bench-docs: bench
	python3 bench/document.py $(BUILD) docs
bench-real-docs: bench-real
	python3 bench/document.py $(BUILD)/real docs
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
	CC='$(CC)' sh test/deps.sh build $(if $(findstring clang,$(CC)),clang) $(filter test demo tls,$(MAKECMDGOALS:test-real=test) $(WITH)) $(if $(filter test-real bench-real,$(MAKECMDGOALS)),real)
tidy:
	CC='$(CC)' sh test/tidy.sh
format:
	clang-format -i $$(find include lib test bench docs -name '*.[ch]')
clean:
	rm -rf build
extra_headers := $(extras:%=include/anysync/%.h)
install: all $(WITH)
	install -d '$(DESTDIR)$(PREFIX)/include/anysync' '$(DESTDIR)$(LIBDIR)/pkgconfig'
	install -m 644 include/*.h '$(DESTDIR)$(PREFIX)/include'
	install -m 644 $(filter-out $(extra_headers),$(wildcard include/anysync/*.h*)) '$(DESTDIR)$(PREFIX)/include/anysync'
	install -m 644 $(static) '$(DESTDIR)$(LIBDIR)'
	install -m 755 $(shared) '$(DESTDIR)$(LIBDIR)'
	ln -sf $(notdir $(shared)) '$(DESTDIR)$(LIBDIR)/libanysync.so'
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$${prefix}/include' '' \
	'Name: anysync' 'Description: Call coroutines from plain C, and plain C from coroutines' \
	'Version: $(VERSION)' 'Requires.private: $(EVENT)' 'Cflags: -I$${includedir}' \
	'Libs: -L$${libdir} -lanysync' 'Libs.private: -pthread' >$(BUILD)/anysync.pc
	install -m 644 $(BUILD)/anysync.pc '$(DESTDIR)$(LIBDIR)/pkgconfig'
	for extra in $(WITH); do $(MAKE) --no-print-directory install-extra EXTRA=$$extra || exit; done
install-extra:
	install -m 644 include/anysync/$(EXTRA).h '$(DESTDIR)$(PREFIX)/include/anysync'
	install -m 644 $(BUILD)/libanysync_$(EXTRA).a '$(DESTDIR)$(LIBDIR)'
	install -m 755 $(BUILD)/libanysync_$(EXTRA).so.0 '$(DESTDIR)$(LIBDIR)'
	ln -sf libanysync_$(EXTRA).so.0 '$(DESTDIR)$(LIBDIR)/libanysync_$(EXTRA).so'
	printf '%s\n' 'libdir=$(LIBDIR)' '' 'Name: anysync_$(EXTRA)' \
	'Description: $(about_$(EXTRA))' 'Version: $(VERSION)' 'Requires: anysync' \
	'Requires.private: $(packages_$(EXTRA))' 'Libs: -L$${libdir} -lanysync_$(EXTRA)' >$(BUILD)/anysync_$(EXTRA).pc
	install -m 644 $(BUILD)/anysync_$(EXTRA).pc '$(DESTDIR)$(LIBDIR)/pkgconfig'

# What is a wrapper of system calls, around waits that the other files make, is of no interest to
# the virtual machine, which does not have them.
beyond_virtual := lib/thread/caught.c $(patsubst %,lib/api/%.c,address child command datagram \
	file net resolve signal stream)
# The machine below the virtual threads is built without any of this, and has its own switch.
scenes := $(wildcard test/virtual/scenes_*.c)
machine := $(filter-out $(scenes),$(wildcard test/virtual/*.c)) lib/coro/first.c lib/base/assert.c \
	lib/base/say.c
schedules:
	$(MAKE) --no-print-directory VIRTUAL=plain build/virtual-plain/virtual
	$(MAKE) --no-print-directory VIRTUAL=races build/virtual-races/virtual
	sh test/virtual/run.sh build/virtual-plain build/virtual-races $(ORDERS)
reliability reliability-full:
	sh test/deps.sh build clang test reliability
	sh test/reliability/run.sh $(if $(findstring full,$@),full,ci) $(filter-out stress,$(ONLY))
print-build:
	echo $(BUILD)
print-beyond-virtual:
	echo $(beyond_virtual)
$(BUILD)/virtual: $(patsubst %.c,$(BUILD)/machine/%.o,$(machine)) $(BUILD)/virtual.o
	echo "  LINK  $@" && $(CC) -no-pie -o $@ $^ $(filter %switch_$(shell uname -m).o,$(library))
$(BUILD)/virtual.o: $(filter-out $(call objects,$(beyond_virtual)),$(library)) $(call objects,$(scenes)) test/virtual/link.sh
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
of_packages = $(subst -I,-isystem ,$(if $(call packages,$(@:.o=)),$(shell pkg-config --cflags $(call packages,$(@:.o=)))))
$(BUILD)/test/real/%.o $(BUILD)/bench/real/%.o: OWN = -Ilib -Itest -Ibench -Itest/real -Idocs/examples/clients $(of_packages)
$(BUILD)/docs/examples/%.o: OWN = -Idocs/examples/clients $(of_packages)

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

# An optional library uses what anysync exports, and has the lowest layer again for itself.
$(extras): deps
	$(MAKE) --no-print-directory $(BUILD)/libanysync_$@.a $(BUILD)/libanysync_$@.so
$(foreach e,$(extras),$(eval $(BUILD)/libanysync_$(e).a $(BUILD)/libanysync_$(e).so.0: $(call extra_objects,$(e)) $(wildcard lib/$(e)/)))
$(foreach e,$(extras),$(eval $(BUILD)/lib/$(e)/%.o: OWN = -Ilib -fPIC $$(call extra_flags,$(e))))
$(BUILD)/libanysync_%.a:
	echo "  AR    $@" && rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)
$(BUILD)/libanysync_%.so.0: $(BUILD)/libanysync.so
	echo "  LINK  $@"
	$(LINK) -shared -Wl,-soname,$(@F) -Wl,-z,nodelete $(if $(SAN),,-Wl,-z,defs) -o $@ $(filter %.o,$^) \
	$(call objects,$(addprefix lib/base/,assert.c memory.c say.c)) -L$(BUILD) -lanysync $(shell pkg-config --libs $(packages_$*)) $(LIBS)
$(BUILD)/libanysync_%.so: $(BUILD)/libanysync_%.so.0
	ln -sf $(<F) $@

$(tests) $(checks) $(reals): $(call objects,test/harness.c test/fault.c)
$(benches) $(real_benches): $(call objects,$(filter-out bench/bench_%.c,$(wildcard bench/*.c)))
$(reals) $(real_benches): $(call objects,test/real/servers.c)
$(demo): $(call objects,$(wildcard docs/examples/demo/*.c))
foreign := $(reals) $(real_examples) $(real_benches)
programs_here := $(tests) $(checks) $(examples) $(benches) $(foreign)
$(foreach p,$(foreign),$(eval $(p): $(call with,$(p))))
$(programs_here): $(BUILD)/%: $(BUILD)/%.o
$(programs_here) $(demo): $(static)
	echo "  LINK  $@"
	$(LINK) -o $@ $(filter %.o,$^) $(static) $(if $(filter $(foreign),$@),$(shell pkg-config --libs $(sort $(foreach o,$@ $(patsubst %.o,%,$(call with,$@)),$(call packages,$(o)))))) $(LIBS) $(if $(filter $(demo),$@),-levent_extra) $(if $(filter $(benches) $(real_benches),$@),-lm)

.PHONY: all test test-real run-test-real schedules reliability reliability-full print-build print-beyond-virtual bench bench-real run-bench-real bench-peers bench-docs bench-real-docs demo repeat check deps tidy format clean install install-extra $(extras) run-test run-bench run-demo run-repeat
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
