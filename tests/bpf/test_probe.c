// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_probe.c - bpf/probe.bpf.c on real loopback sockets, and kernel_probe().
 *
 *      client <----> near   [slot 0 of g5x_probe_sk]
 */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "g5x_abi.h"
#include "kernel/kernel.h"
#include "probe.skel.h"

static const struct g5x_slot first = { .index = 0 };

struct rig {
	struct probe_bpf *skel;
	int client, near;
};

static void connect_pair(int *client, int *near)
{
	struct sockaddr_in in4 = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(in4);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_ok(bind(listener, (struct sockaddr *)&in4, len));
	assert_ok(listen(listener, 1));
	assert_ok(getsockname(listener, (struct sockaddr *)&in4, &len));
	*client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_ok(connect(*client, (struct sockaddr *)&in4, len));
	*near = accept(listener, NULL, NULL);
	assert_true(*near >= 0);
	close(listener);
}

static void need_bpf(void)
{
	char reason[KERNEL_REASON_LEN];

	int r = kernel_probe(reason, sizeof(reason));

	if (r == -EPERM || r == -ENOSYS || r == -ENOENT)
		test_skip("%s", reason);
}

static void open_rig(struct rig *rig)
{
	need_bpf();
	rig->skel = probe_bpf__open_and_load();
	assert_non_null(rig->skel);
	assert_ok(bpf_prog_attach(bpf_program__fd(rig->skel->progs.g5x_probe),
	                          bpf_map__fd(rig->skel->maps.g5x_probe_sk),
	                          BPF_SK_SKB_STREAM_VERDICT, 0));
	connect_pair(&rig->client, &rig->near);
}

static void close_rig(struct rig *rig)
{
	close(rig->client);
	close(rig->near);
	probe_bpf__destroy(rig->skel);
}

static void put_into_map(const struct rig *rig, int fd)
{
	struct g5x_socket value = { .fd_or_cookie = (__u64)fd };

	assert_ok(bpf_map_update_elem(bpf_map__fd(rig->skel->maps.g5x_probe_sk), &first,
	                              &value, BPF_ANY));
}

static struct g5x_probe_seen seen_by(const struct rig *rig)
{
	struct g5x_probe_seen seen;

	assert_ok(bpf_map_lookup_elem(bpf_map__fd(rig->skel->maps.g5x_probe_seen),
	                              &first, &seen));
	return seen;
}

static void assert_arrives(const struct rig *rig, const char *text)
{
	struct pollfd readable = { .fd = rig->near, .events = POLLIN };
	char got[64] = "";

	assert_int_equal(send(rig->client, text, strlen(text), 0), strlen(text));
	assert_int_equal(poll(&readable, 1, 10000), 1);
	assert_int_equal(recv(rig->near, got, sizeof(got) - 1, 0), strlen(text));
	assert_string_equal(got, text);
}

static void the_verdict_lets_bytes_up_and_counts_them(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig);
	put_into_map(&rig, rig.near);

	assert_arrives(&rig, "request");
	assert_arrives(&rig, "more");

	assert_int_equal(seen_by(&rig).bytes, strlen("request") + strlen("more"));
	assert_int_equal(seen_by(&rig).chunks, 2);
	close_rig(&rig);
}

static void a_socket_outside_the_map_is_not_seen(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig);

	assert_arrives(&rig, "request");

	assert_int_equal(seen_by(&rig).chunks, 0);
	close_rig(&rig);
}

static void a_lookup_gives_the_cookie_of_the_socket(void **state)
{
	struct g5x_socket value;
	struct rig rig;
	__u64 cookie;
	socklen_t len = sizeof(cookie);

	(void)state;
	open_rig(&rig);
	put_into_map(&rig, rig.near);

	assert_ok(getsockopt(rig.near, SOL_SOCKET, SO_COOKIE, &cookie, &len));
	assert_ok(bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.g5x_probe_sk), &first,
	                              &value));
	assert_int_equal(value.fd_or_cookie, cookie);
	close_rig(&rig);
}

static void a_closed_socket_leaves_the_map(void **state)
{
	struct g5x_socket value;
	struct rig rig;

	(void)state;
	open_rig(&rig);
	put_into_map(&rig, rig.near);

	close(rig.near);
	rig.near = -1;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.g5x_probe_sk),
	                                     &first, &value),
	                 -ENOENT);
	close_rig(&rig);
}

static unsigned int n_open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void the_probe_says_yes_and_leaves_no_fd_open(void **state)
{
	char reason[KERNEL_REASON_LEN] = "";
	unsigned int n_before = n_open_fds();

	(void)state;
	need_bpf();

	assert_ok(kernel_probe(reason, sizeof(reason)));
	assert_non_null(strstr(reason, "possible"));
	assert_int_equal(n_open_fds(), n_before);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_verdict_lets_bytes_up_and_counts_them),
		cmocka_unit_test(a_socket_outside_the_map_is_not_seen),
		cmocka_unit_test(a_lookup_gives_the_cookie_of_the_socket),
		cmocka_unit_test(a_closed_socket_leaves_the_map),
		cmocka_unit_test(the_probe_says_yes_and_leaves_no_fd_open),
	};

	return test_run("probe.bpf", tests, argc, argv);
}
