# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# bench.mk - the part of the Makefile that builds and runs the comparison; README.md
# says what it does. Variables: QUICK=1 (a rough table in two minutes), ROUNDS=N,
# ONLY="NAME..." (workloads by the start of their name), CONGESTION=reno (another
# congestion control than the machine's; a namespace has a choice of few).

BENCH_PACKAGES := haproxy nginx libnginx-mod-stream gnuplot-nox python3 iproute2 \
		  procps util-linux
BENCH_OBJ  := $(patsubst %.c,$(OUT)/%.o,$(wildcard bench/*.c))
BENCH_LOAD := $(OUT)/bench/g5x-load

setup-bench: setup ## install what `make bench` compares with, and gnuplot
	$(Q).ci/setup-idle $(BENCH_PACKAGES)

bench: setup-bench ## compare with HAProxy and nginx: table, page and data (QUICK=1)
	$(Q)$(SUBMAKE) $(OUT)/g5x $(BENCH_LOAD)
	$(Q)/usr/bin/python3 bench/run.py --build $(OUT) $(if $(filter 1,$(QUICK)),--quick) \
	    $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY)) \
	    $(if $(CONGESTION),--congestion $(CONGESTION))

# With ROUNDS=N; needs two CPUs.
bench-guard: setup ## what the guard takes from a flood of new connections, and what it costs
	$(Q)$(SUBMAKE) $(OUT)/g5x $(OUT)/g5x-flood $(BENCH_LOAD) $(OUT)/tests/bpf/test_guard_cost
	$(Q)/usr/bin/python3 bench/flood.py --build $(OUT) $(if $(ROUNDS),--rounds $(ROUNDS))
	$(Q)G5X_GUARD_COST=1 $(OUT)/tests/bpf/test_guard_cost

$(BENCH_LOAD): $(BENCH_OBJ)
	$(say) LINK $@
	$(Q)$(COMPILE) $(LINK) $^ -ljson-c -lm -o $@

# Built with the tests, so that it stays without warnings by both compilers.
tests: $(BENCH_LOAD)

-include $(BENCH_OBJ:.o=.d)

.PHONY: setup-bench bench bench-guard
