# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# Makefile - builds, tests and installs G5X. `make help` lists the targets.
#
# Variables: CC=clang   another compiler              SAN=1    ASan and UBSan, in build/san
#            V=1        show the commands             BPF=0    a daemon without BPF
#            OUT=DIR    build there                   CONF=F   rule file of `make run`
#            PREFIX, DESTDIR  of `make install`       FUZZ_SECONDS=60  per fuzz target
#            SOAK_SESSIONS=1000000  of `make soak`, which ends after SOAK_SECONDS=3600
#            APPS="-k redis"  options of pytest for `make test-apps`
#
# Everything that is made goes to $(OUT). Sources are found by folder: a new file in
# user/*/ or a new tests/unit/test_X.c needs no line here.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.SECONDEXPANSION:
MAKEFLAGS += --no-builtin-rules

ifeq ($(SAN),1)
OUT ?= build/san
else
OUT ?= build
endif
ifeq ($(origin CC),default)
CC := gcc
endif
BPF          ?= 1
PREFIX       ?= /usr/local
MANDIR       ?= $(PREFIX)/share/man
UNITDIR      ?= $(PREFIX)/lib/systemd/system
FUZZ_SECONDS ?= 60
SOAK_SESSIONS ?= 1000000
SOAK_SECONDS ?= 3600
LAYERS       ?= base rules kernel forward control
JOBS         ?= $(shell nproc)

# bpftool and others are not on everybody's path
export PATH := $(PATH):/usr/sbin:/sbin
export PYTHONDONTWRITEBYTECODE := 1

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-6s %s\n'
endif

# ---- flags ------------------------------------------------------------------------

CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	    -Wpointer-arith -Wcast-qual -Wundef -Wvla -Wunused-function -Werror
HARDEN   := -fstack-protector-strong -fPIE
INCLUDES := -Iinclude -Iuser -Itests/lib -isystem $(OUT)/bpf
LINK     := -pie -Wl,-z,relro,-z,now

ifeq ($(FUZZ),1)
HARDEN += -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
	  -fno-omit-frame-pointer
LINK   += -fsanitize=address,undefined
else ifeq ($(SAN),1)
HARDEN += -fsanitize=address,undefined -fno-sanitize-recover=all \
	  -fno-omit-frame-pointer
LINK   += -fsanitize=address,undefined
else ifneq ($(filter -O1 -O2 -O3 -Os,$(CFLAGS)),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif

COMPILE = $(CC) -std=gnu11 -D_GNU_SOURCE -pthread $(CFLAGS) $(WARNINGS) $(HARDEN) \
	  $(INCLUDES)
LIBS    = -ljson-c
ifeq ($(BPF),1)
LIBS   += -lbpf -lelf -lz
KERNEL_OTHER := user/kernel/kernel_none.c
else
KERNEL_OTHER := $(filter-out user/kernel/kernel_none.c,$(wildcard user/kernel/*.c))
endif

# ---- what there is ----------------------------------------------------------------

LIB_SRC   := $(filter-out $(KERNEL_OTHER),$(foreach d,$(LAYERS),$(wildcard user/$(d)/*.c))) \
	     user/options.c
UNIT      := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
BPF_TESTS := $(if $(filter 1,$(BPF)),$(patsubst tests/bpf/%.c,%,$(wildcard tests/bpf/test_*.c)))
FUZZERS   := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

LIB      := $(OUT)/libg5x.a
LIB_OBJ  := $(LIB_SRC:%.c=$(OUT)/%.o)
TEST_LIB := $(OUT)/libtest.a
HELP_OBJ := $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/lib/*.c))
ALL_OBJ  := $(LIB_OBJ) $(HELP_OBJ) $(patsubst %.c,$(OUT)/%.o,user/g5x.c user/demo.c \
	    $(wildcard tests/unit/*.c tests/bpf/*.c tests/fuzz/*.c tests/soak/*.c \
	    tests/flood/*.c))
TESTS    := $(UNIT:%=$(OUT)/tests/%) $(BPF_TESTS:%=$(OUT)/tests/bpf/%) \
	    $(FUZZERS:%=$(OUT)/tests/replay_%)

MAN      := $(wildcard conf/*.5 conf/*.8)

# ---- programs ---------------------------------------------------------------------

all: $(OUT)/g5x ## build the daemon

$(OUT)/g5x: $(OUT)/user/g5x.o $(LIB)
	$(say) LINK $@
	$(Q)$(COMPILE) $(LINK) $^ $(LIBS) -o $@

$(OUT)/g5x-demo: $(OUT)/user/demo.o
	$(say) LINK $@
	$(Q)$(COMPILE) $(LINK) $^ -lmicrohttpd -o $@

$(LIB): $(LIB_OBJ) $(OUT)/names
$(TEST_LIB): $(HELP_OBJ) $(OUT)/names
$(OUT)/lib%.a:
	$(say) AR $@
	$(Q)rm -f $@ && ar rcs $@ $(filter %.o,$^)

$(OUT)/%.o: %.c $(OUT)/flags
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) -MMD -MP -c $< -o $@

# Other flags than last time: all objects are made anew. Other files: the libraries.
$(OUT)/flags: TEXT = $(COMPILE) $(LIBS)
$(OUT)/names: TEXT = $(LIB_OBJ) $(HELP_OBJ)
$(OUT)/flags $(OUT)/names: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(TEXT)' | cmp -s - $@ || echo '$(TEXT)' > $@

-include $(ALL_OBJ:.o=.d)

# ---- tests ------------------------------------------------------------------------

$(OUT)/tests/bpf/test_%: $(OUT)/tests/bpf/test_%.o $(TEST_LIB) $(LIB)
	$(say) LINK $@
	$(Q)$(COMPILE) $(LINK) $^ $(LIBS) -lcmocka -o $@

$(OUT)/tests/test_%: $(OUT)/tests/unit/test_%.o $(TEST_LIB) $(LIB)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) $(LINK) $^ $(LIBS) -lcmocka -o $@

$(OUT)/tests/replay_%: $(OUT)/tests/fuzz/fuzz_%.o $(OUT)/tests/fuzz/replay.o $(LIB)
	$(say) LINK $@
	$(Q)$(COMPILE) $(LINK) $^ $(LIBS) -o $@

$(OUT)/g5x-soak: $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/soak/*.c))
	$(say) LINK $@
	$(Q)$(COMPILE) $(LINK) $^ -o $@

$(OUT)/g5x-flood: $(OUT)/tests/flood/flood.o
	$(say) LINK $@
	$(Q)$(COMPILE) $(LINK) $^ -o $@

tests: $(OUT)/g5x $(OUT)/g5x-demo $(OUT)/g5x-soak $(OUT)/g5x-flood $(TESTS) ## build everything that `make test` runs

# ---- BPF --------------------------------------------------------------------------
# bpf/X.bpf.c -> X.bpf.o -> (bpftool gen object) X.o -> X.skel.h. A skeleton made of
# several programs gets a line of its own, such as: SKEL_relay := splice track maps

SKELS := probe splice bypass guard
SKEL_bypass := bypass meet

SKEL_HEADERS := $(SKELS:%=$(OUT)/bpf/%.skel.h)

ifeq ($(BPF),1)
$(filter $(OUT)/user/kernel/%,$(LIB_OBJ)) $(BPF_TESTS:%=$(OUT)/tests/bpf/%.o): $(SKEL_HEADERS)
endif

$(OUT)/bpf/%.bpf.o: bpf/%.bpf.c vmlinux/vmlinux.h $(wildcard bpf/*.h include/*.h)
	$(say) BPF $@
	$(Q)mkdir -p $(@D)
	$(Q)clang -g -O2 -Wall -Wextra -Werror -target bpf -Iinclude -Ibpf \
	    -Ivmlinux -c $< -o $@

$(OUT)/bpf/%.o: $$(addprefix $(OUT)/bpf/,$$(addsuffix .bpf.o,$$(or $$(SKEL_$$*),$$*)))
	$(say) BPFLD $@
	$(Q)bpftool gen object $@ $^

$(OUT)/bpf/%.skel.h: $(OUT)/bpf/%.o
	$(say) SKEL $@
	$(Q)bpftool gen skeleton $< name $*_bpf > $@

# ---- targets for people -----------------------------------------------------------

PACKAGES := gcc libc6-dev make clang llvm libclang-rt-14-dev clang-format \
	    libbpf-dev libelf-dev zlib1g-dev bpftool libjson-c-dev uthash-dev \
	    libcmocka-dev libmicrohttpd-dev python3 python3-pytest python3-pytest-xdist \
	    python3-pytest-timeout iproute2 ethtool curl netcat-openbsd man-db

# Real programs; pgbench is part of postgresql.
APP_PACKAGES := redis-server redis-tools postgresql nginx wrk openssl openssh-server \
		openssh-client iperf3 curl

SUBMAKE := $(MAKE) --no-print-directory $(if $(filter 1,$(V)),,-s) -j$(JOBS)
PYTEST  := /usr/bin/python3 -m pytest -n $(shell expr 2 '*' $(JOBS)) --ignore tests/apps \
	   $(if $(filter 1,$(BPF)),,--ignore tests/bpf)
# Sanitizers of 2022 do not expect as much ASLR as some kernels do.
PLAIN_LAYOUT = $(shell setarch -R true 2>/dev/null && echo setarch -R)

setup: ## install the Debian packages needed (as root; nothing to do: says nothing)
	$(Q).ci/setup $(PACKAGES)

run: setup ## build and run the demo, or with CONF=file the daemon on that rule file
	$(Q)$(SUBMAKE) $(OUT)/g5x $(if $(CONF),,$(OUT)/g5x-demo)
	$(Q)$(if $(CONF),$(OUT)/g5x -f '$(CONF)',$(OUT)/g5x-demo)

test: setup ## every test, plain and under the sanitizers, and lint; then a summary
	$(Q)$(SUBMAKE) SAN=0 OUT=$(OUT) tests
	$(Q)$(SUBMAKE) SAN=1 OUT=$(OUT)/san tests
	$(Q)rm -f $(OUT)/junit-*.xml
	$(Q)$(PYTEST) tests --build $(OUT) --junitxml $(OUT)/junit-plain.xml || true
	$(Q)$(PLAIN_LAYOUT) $(PYTEST) tests --ignore tests/lint --build $(OUT)/san \
	    --junitxml $(OUT)/junit-san.xml || true
	$(Q)/usr/bin/python3 tests/lib/summary.py $(OUT)/junit-plain.xml $(OUT)/junit-san.xml

lint: ## layers, format, licence lines, file sizes, clang and BPF=0 builds
	$(Q)bad=0; for check in tests/lint/*.sh; do $$check || bad=1; done; exit $$bad

format: ## let clang-format write every C file
	$(Q)clang-format -i $$(find $(wildcard bpf include user tests bench) -name '*.[ch]')

fuzz: setup ## run each fuzz target for FUZZ_SECONDS, starting from its corpus
	$(Q)$(SUBMAKE) FUZZ=1 CC=clang BPF=0 OUT=$(OUT)/fuzz fuzzers
	$(Q)set -e; for x in $(FUZZERS); do \
	    mkdir -p $(OUT)/fuzz/corpus/$$x; \
	    if [ -d tests/fuzz/corpus/$$x ]; then \
	        cp -R tests/fuzz/corpus/$$x/. $(OUT)/fuzz/corpus/$$x; fi; \
	    echo "fuzz_$$x, $(FUZZ_SECONDS) seconds"; \
	    $(PLAIN_LAYOUT) $(OUT)/fuzz/fuzz_$$x -max_total_time=$(FUZZ_SECONDS) -verbosity=0 \
	        -print_final_stats=1 -artifact_prefix=$(OUT)/fuzz/$$x- \
	        $(OUT)/fuzz/corpus/$$x; done

soak: setup ## a million short sessions, copied and spliced; SOAK_SESSIONS of them; minutes
	$(Q)$(SUBMAKE) $(OUT)/g5x $(OUT)/g5x-soak
	$(Q)/usr/bin/python3 tests/soak/run.py --build $(OUT) --sessions $(SOAK_SESSIONS) \
	    --seconds $(SOAK_SECONDS)

setup-apps: setup ## install the programs of `make test-apps`; starts none of them
	$(Q).ci/setup-idle $(APP_PACKAGES)

# One after the other: figures are taken.
test-apps: setup-apps ## real programs (Redis, PostgreSQL, ...) on copy and bypass; a table
	$(Q)$(SUBMAKE) $(OUT)/g5x
	$(Q)/usr/bin/python3 -m pytest tests/apps --timeout 600 --build $(OUT) $(APPS)

fuzzers: $(FUZZERS:%=$(OUT)/fuzz_%)

$(OUT)/fuzz_%: $(OUT)/tests/fuzz/fuzz_%.o $(LIB)
	$(say) LINK $@
	$(Q)$(COMPILE) $(LINK) -fsanitize=fuzzer $^ $(LIBS) -o $@

install: all ## to PREFIX (/usr/local) below DESTDIR; keeps an existing /etc/g5x/g5x.conf
	install -D -m 755 $(OUT)/g5x $(DESTDIR)$(PREFIX)/sbin/g5x
	for page in $(MAN); do \
	    install -D -m 644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/} || exit; done
	for unit in $(wildcard conf/g5x.service); do install -d $(DESTDIR)$(UNITDIR) && \
	    sed -E 's,=/usr(/local)?/sbin/g5x,=$(PREFIX)/sbin/g5x,' $$unit \
	        > $(DESTDIR)$(UNITDIR)/g5x.service || exit; done
	for conf in $(wildcard conf/g5x.conf); do [ -e $(DESTDIR)/etc/g5x/g5x.conf ] || \
	    install -D -m 644 $$conf $(DESTDIR)/etc/g5x/g5x.conf || exit; done

uninstall: ## remove what install put there, except /etc/g5x
	rm -f $(DESTDIR)$(PREFIX)/sbin/g5x $(DESTDIR)$(UNITDIR)/g5x.service
	for page in $(MAN); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done

clean: ## remove everything that was built
	$(Q)rm -rf $(OUT)

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(filter %Makefile %.mk,$(MAKEFILE_LIST)) | expand -t 14
	@echo 'Variables (CC SAN V BPF OUT CONF PREFIX DESTDIR FUZZ_SECONDS): top of the Makefile'

FORCE:
.PHONY: all tests setup run test lint format fuzz soak setup-apps test-apps fuzzers \
	install uninstall clean help FORCE

# ---- comparison with others ---------------------------------------------------------

-include bench/bench.mk
