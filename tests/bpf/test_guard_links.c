// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_guard_links.c - the guard on interfaces: lo, and a tap device that can do XDP itself.
 *
 * Each test has a network namespace of its own.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "guarding.h"
#include "ruleset.h"
#include "tcp.h"

static void set_up(const char *name)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq wanted = { .ifr_flags = IFF_UP };

	strcpy(wanted.ifr_name, name);
	assert_ok(ioctl(fd, SIOCSIFFLAGS, &wanted));
}

/* First in a test: what is skipped has opened nothing. Return: lo. */
static unsigned int enter_namespace(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		test_skip("no network namespace: %s", strerror(errno));
	set_up("lo");
	return if_nametoindex("lo");
}

static void a_guard_is_attached_until_it_is_detached(void **state)
{
	struct guarding in;
	enum guard_mode mode;
	unsigned int lo;

	(void)state;
	lo = enter_namespace();
	guarding_open(&in);
	assert_false(guard_is_attached(in.g, lo));
	assert_int_equal(guard_detach(in.g, lo), -ENOENT);

	assert_ok(guard_attach(in.g, lo, false, &mode));
	assert_int_equal(mode, GUARD_GENERIC);
	assert_true(guard_is_attached(in.g, lo));
	assert_int_equal(guard_attach(in.g, lo, false, &mode), -EBUSY);
	assert_true(guard_is_attached(in.g, lo));

	assert_ok(guard_detach(in.g, lo));
	assert_false(guard_is_attached(in.g, lo));
	assert_int_equal(guard_detach(in.g, lo), -ENOENT);
	assert_ok(guard_attach(in.g, lo, false, &mode));
	guarding_close(&in);
}

static void an_interface_has_one_guard(void **state)
{
	struct guarding first, second;
	enum guard_mode mode;
	unsigned int lo;

	(void)state;
	lo = enter_namespace();
	guarding_open(&first);
	guarding_open(&second);
	assert_ok(guard_attach(first.g, lo, false, &mode));

	assert_int_equal(guard_attach(second.g, lo, false, &mode), -EBUSY);
	assert_false(guard_is_attached(second.g, lo));
	assert_true(guard_is_attached(first.g, lo));

	guarding_close(&first); /* G2 */
	assert_ok(guard_attach(second.g, lo, false, &mode));
	guarding_close(&second);
}

static void an_interface_that_is_not_there_has_none(void **state)
{
	enum guard_mode mode;
	struct guarding in;

	(void)state;
	enter_namespace();
	guarding_open(&in);

	assert_int_equal(guard_attach(in.g, 4711, false, &mode), -ENODEV);
	assert_int_equal(guard_attach(in.g, 0, false, &mode), -ENODEV);
	assert_false(guard_is_attached(in.g, 4711));
	guarding_close(&in);
}

/* It is gone when the descriptor is closed. */
static int open_tap(const char *name)
{
	struct ifreq wanted = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		test_skip("no /dev/net/tun: %s", strerror(errno));
	strcpy(wanted.ifr_name, name);
	if (ioctl(fd, TUNSETIFF, &wanted) < 0) {
		close(fd);
		test_skip("no tap device: %s", strerror(errno));
	}
	return fd;
}

static void a_driver_that_can_runs_the_guard_itself(void **state)
{
	struct guarding first, second;
	enum guard_mode mode;
	unsigned int tap;
	int fd;

	(void)state;
	enter_namespace();
	fd = open_tap("tap0");
	guarding_open(&first);
	guarding_open(&second);
	tap = if_nametoindex("tap0");

	assert_ok(guard_attach(first.g, tap, false, &mode));
	assert_int_equal(mode, GUARD_NATIVE);
	assert_int_equal(guard_attach(second.g, tap, false, &mode), -EBUSY);
	close(fd);
	guarding_close(&second);
	guarding_close(&first);
}

static void an_interface_that_goes_takes_the_guard_along(void **state)
{
	struct guarding in;
	enum guard_mode mode;
	unsigned int tap;
	int fd;

	(void)state;
	enter_namespace();
	fd = open_tap("tap0");
	guarding_open(&in);
	tap = if_nametoindex("tap0");
	assert_ok(guard_attach(in.g, tap, false, &mode));
	assert_true(guard_is_attached(in.g, tap));

	close(fd);

	assert_false(guard_is_attached(in.g, tap));
	assert_int_equal(guard_attach(in.g, tap, false, &mode), -ENODEV);
	assert_int_equal(guard_detach(in.g, tap), -ENOENT);
	guarding_close(&in);
}

/* ---- real connections ------------------------------------------------------- */

static int listen_on(const char *ip, struct addr *ret_addr)
{
	int fd;

	assert_ok(addr_parse_ip(ip, ret_addr));
	fd = socket(ret_addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_ok(bind(fd, &ret_addr->sa, addr_len(ret_addr)));
	assert_ok(listen(fd, 8));
	*ret_addr = tcp_local(fd);
	return fd;
}

static int connect_to(const struct addr *to)
{
	auto_close int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return connect(fd, &to->sa, addr_len(to)) < 0 ? -errno : 0;
}

static void assert_guarded(struct guarding *in, const char *ip, const char *pattern)
{
	char text[ADDR_TEXT_LEN];
	struct addr a;
	int fd = listen_on(ip, &a);

	addr_format(&a, text);
	guarding_new_rules(in);
	in->rules.settings.rejects = true;
	guarding_listen(in, text);
	guarding_publish(in);
	assert_int_equal(connect_to(&a), -ECONNREFUSED);
	assert_int_equal(connect_to(&a), -ECONNREFUSED);
	assert_int_equal(guarding_counts(in, text).reset, 2);

	guarding_take(in, pattern);
	guarding_publish(in);
	assert_ok(connect_to(&a));
	assert_int_equal(guarding_counts(in, text).passed, 1);
	assert_int_equal(guarding_counts(in, text).reset, 2);
	close(fd);
}

static void who_is_rejected_finds_the_port_closed(void **state)
{
	struct guarding in;
	enum guard_mode mode;
	unsigned int lo;

	(void)state;
	lo = enter_namespace();
	guarding_open(&in);
	assert_ok(guard_attach(in.g, lo, false, &mode));

	assert_guarded(&in, "127.0.0.1", "127.*:*");
	assert_guarded(&in, "::1", "[::?]:*");

	guarding_close(&in);
}

/* ---- pins ------------------------------------------------------------------ */

static void the_maps_of_a_guard_have_names_until_it_is_closed(void **state)
{
	static const char *const names[] = { "blocked", "full", "counts", "sources" };
	char dir[64], path[128];
	struct guarding in;
	struct statfs fs;

	(void)state;
	if (statfs("/sys/fs/bpf", &fs) < 0 || fs.f_type != BPF_FS_MAGIC)
		test_skip("/sys/fs/bpf is no bpffs");
	guarding_open(&in);
	snprintf(dir, sizeof(dir), "/sys/fs/bpf/g5x-test-guard-%d", getpid());

	assert_ok(guard_pin(in.g, dir));

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/guard/%s", dir, names[i]);
		auto_close int fd = bpf_obj_get(path);
		assert_true(fd >= 0);
	}
	guarding_close(&in);
	assert_int_equal(access(dir, F_OK), -1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guard_is_attached_until_it_is_detached),
		cmocka_unit_test(an_interface_has_one_guard),
		cmocka_unit_test(an_interface_that_is_not_there_has_none),
		cmocka_unit_test(a_driver_that_can_runs_the_guard_itself),
		cmocka_unit_test(an_interface_that_goes_takes_the_guard_along),
		cmocka_unit_test(who_is_rejected_finds_the_port_closed),
		cmocka_unit_test(the_maps_of_a_guard_have_names_until_it_is_closed),
	};

	return test_run("guard links", tests, argc, argv);
}
