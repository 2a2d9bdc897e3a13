// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * kernel_bpf.c - kernel.h with BPF.
 *
 * A step of the probe that fails leaves its name and its errno; explain() turns both
 * into the one line that an operator gets. All that is opened has an owner in the
 * scope that opened it, so nothing stays in the kernel.
 */
#include "kernel/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "g5x_abi.h"
#include "kernel/loopback.h"
#include "probe.skel.h"

#define auto_probe __attribute__((cleanup(cleanup_probe)))

static void cleanup_probe(struct probe_bpf **skel)
{
	probe_bpf__destroy(*skel);
}

static int on_libbpf_message(enum libbpf_print_level level, const char *fmt,
                             va_list args)
{
	char text[512];
	size_t len;

	(void)level;
	if (!log_is_debug())
		return 0;

	vsnprintf(text, sizeof(text), fmt, args);
	len = strlen(text);
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	log_debug("%s", text);
	return 0;
}

static int try_sockmap(struct probe_bpf *skel, const char **ret_step)
{
	int map = bpf_map__fd(skel->maps.g5x_probe_sk);
	struct g5x_slot slot = { .index = 0 };
	struct g5x_socket value;
	auto_close int near = -1;
	auto_close int far = -1;
	int r;

	*ret_step = "cannot attach a verdict program to a sockmap";
	r = bpf_prog_attach(bpf_program__fd(skel->progs.g5x_probe), map,
	                    BPF_SK_SKB_STREAM_VERDICT, 0);
	if (r)
		return r;

	*ret_step = "cannot connect over loopback";
	r = loopback_pair(&near, &far);
	if (r)
		return r;

	*ret_step = "cannot put a TCP socket into a sockmap";
	value.fd_or_cookie = (__u64)near;
	return bpf_map_update_elem(map, &slot, &value, BPF_ANY);
}

static int try_all(const char **ret_step)
{
	auto_probe struct probe_bpf *skel = NULL;
	int r;

	*ret_step = "no BTF of this kernel (/sys/kernel/btf/vmlinux)";
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return -errno;

	*ret_step = "cannot load a BPF program";
	skel = probe_bpf__open();
	if (!skel)
		return -errno;
	r = probe_bpf__load(skel);
	if (r)
		return r;
	return try_sockmap(skel, ret_step);
}

static void explain(int r, const char *step, char *reason, size_t len)
{
	struct utsname host;

	if (uname(&host))
		strcpy(host.release, "?");
	if (!r)
		snprintf(reason, len, "kernel datapaths: possible (Linux %s)",
		         host.release);
	else if (r == -EPERM)
		snprintf(reason, len,
		         "kernel datapaths: no, %s: needs root or CAP_BPF + "
		         "CAP_NET_ADMIN",
		         step);
	else
		snprintf(reason, len, "kernel datapaths: no, %s: %s (Linux %s)", step,
		         r == -EINVAL ? "not known to this kernel" : strerror(-r),
		         host.release);
}

int kernel_probe(char *reason, size_t len)
{
	const char *step = "";
	int r;

	libbpf_set_print(on_libbpf_message);
	r = try_all(&step);
	explain(r, step, reason, len);
	return r;
}
