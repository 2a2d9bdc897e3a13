// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_pins.c - names of maps below /sys/fs/bpf: who may have them, and that none stays.
 *
 * Each test has a directory of its own there, which is gone when it ends.
 */
#include "test.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "kernel/pins.h"
#include "splicing.h"

#define BPFFS "/sys/fs/bpf"

static const char *const names[] = { "sessions", "sockets", "slots", "totals" };

struct rig {
	char dir[64];
	int map;
};

static void open_rig(struct rig *rig)
{
	struct statfs fs;

	splicing_need();
	if (statfs(BPFFS, &fs) < 0 || fs.f_type != BPF_FS_MAGIC)
		test_skip(BPFFS " is no bpffs");
	snprintf(rig->dir, sizeof(rig->dir), BPFFS "/g5x-test-%d", getpid());
	rig->map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "pinned", 4, 8, 1, NULL);
	assert_true(rig->map >= 0);
}

static bool exists(const char *dir, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void close_rig(struct rig *rig)
{
	close(rig->map);
	assert_false(exists(rig->dir, ""));
}

static __u32 map_id(int fd)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	assert_ok(bpf_obj_get_info_by_fd(fd, &info, &len));
	return info.id;
}

static __u32 pinned_id(const char *dir, const char *name)
{
	char path[128];
	auto_close int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	return map_id(fd);
}

/* ---- pins ------------------------------------------------------------------ */

static void a_pinned_map_can_be_opened_by_its_name(void **state)
{
	struct pins pins = { 0 };
	struct rig rig;

	(void)state;
	open_rig(&rig);
	const struct pin wanted[] = { { "one", rig.map }, { "two", rig.map } };

	assert_ok(pins_make(&pins, rig.dir, wanted, 2));

	assert_int_equal(pinned_id(rig.dir, "one"), map_id(rig.map));
	assert_int_equal(pinned_id(rig.dir, "two"), map_id(rig.map));
	pins_remove(&pins);
	assert_false(exists(rig.dir, ""));
	pins_remove(&pins); /* once more does nothing */
	close_rig(&rig);
}

static void directories_above_are_made_as_well(void **state)
{
	struct pins pins = { 0 };
	struct rig rig;
	char below[96];

	(void)state;
	open_rig(&rig);
	const struct pin wanted[] = { { "one", rig.map } };
	snprintf(below, sizeof(below), "%s/a/b", rig.dir);

	assert_ok(pins_make(&pins, below, wanted, 1));

	assert_int_equal(pinned_id(below, "one"), map_id(rig.map));
	pins_remove(&pins);
	assert_false(exists(below, ""));
	snprintf(below, sizeof(below), "%s/a", rig.dir);
	rmdir(below);
	rmdir(rig.dir);
	close_rig(&rig);
}

static void a_directory_has_one_user_at_a_time(void **state)
{
	struct pins first = { 0 }, second = { 0 };
	struct rig rig;

	(void)state;
	open_rig(&rig);
	const struct pin wanted[] = { { "one", rig.map } };
	const struct pin others[] = { { "two", rig.map } };
	assert_ok(pins_make(&first, rig.dir, wanted, 1));

	assert_int_equal(pins_make(&second, rig.dir, others, 1), -EBUSY);

	assert_null(second.dir);
	assert_true(exists(rig.dir, "one"));
	assert_false(exists(rig.dir, "two"));
	pins_remove(&first);
	assert_ok(pins_make(&second, rig.dir, others, 1));
	pins_remove(&second);
	close_rig(&rig);
}

static void names_that_a_killed_program_left_are_replaced(void **state)
{
	struct pins pins = { 0 };
	struct rig rig;
	int status;
	pid_t pid;

	(void)state;
	open_rig(&rig);
	const struct pin wanted[] = { { "one", rig.map } };
	pid = fork();
	if (pid == 0) {
		int stale = bpf_map_create(BPF_MAP_TYPE_ARRAY, "stale", 4, 8, 1, NULL);
		const struct pin old[] = { { "one", stale } };

		_exit(pins_make(&pins, rig.dir, old, 1) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(pinned_id(rig.dir, "one") != map_id(rig.map));

	assert_ok(pins_make(&pins, rig.dir, wanted, 1));

	assert_int_equal(pinned_id(rig.dir, "one"), map_id(rig.map));
	pins_remove(&pins);
	close_rig(&rig);
}

static void what_others_have_in_the_directory_stays(void **state)
{
	struct pins pins = { 0 };
	struct rig rig;
	char path[96];

	(void)state;
	open_rig(&rig);
	const struct pin wanted[] = { { "one", rig.map } };
	assert_ok(pins_make(&pins, rig.dir, wanted, 1));
	snprintf(path, sizeof(path), "%s/theirs", rig.dir);
	assert_ok(bpf_obj_pin(rig.map, path));

	pins_remove(&pins);

	assert_false(exists(rig.dir, "one"));
	assert_true(exists(rig.dir, "theirs"));
	assert_ok(unlink(path));
	assert_ok(rmdir(rig.dir));
	close_rig(&rig);
}

static void when_one_name_fails_none_stays(void **state)
{
	struct pins pins = { 0 };
	struct rig rig;

	(void)state;
	open_rig(&rig);
	const struct pin wanted[] = { { "one", rig.map }, { "two", -1 } };

	assert_true(pins_make(&pins, rig.dir, wanted, 2) < 0);

	assert_null(pins.dir);
	close_rig(&rig);
}

static void a_directory_that_is_not_on_a_bpffs_is_refused_and_not_made(void **state)
{
	char top[] = "/tmp/g5x-test-XXXXXX", dir[64];
	struct pins pins = { 0 };
	struct rig rig;

	(void)state;
	open_rig(&rig);
	const struct pin wanted[] = { { "one", rig.map } };
	assert_non_null(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/a/b", top);

	assert_int_equal(pins_make(&pins, dir, wanted, 1), -EMEDIUMTYPE);
	assert_int_equal(pins_make(&pins, top, wanted, 1), -EMEDIUMTYPE);
	assert_int_equal(pins_make(&pins, "/g5x-test-none/x", wanted, 1), -EMEDIUMTYPE);

	assert_false(exists(top, "a"));
	assert_ok(rmdir(top));
	close_rig(&rig);
}

/* ---- splice_pin() ---------------------------------------------------------- */

static void the_maps_of_a_splice_have_names_until_it_is_closed(void **state)
{
	struct g5x_session seen;
	struct g5x_slot key = { .index = 1 };
	struct splicing_session s;
	struct splicing in;
	struct rig rig;
	char path[96];

	(void)state;
	open_rig(&rig);
	splicing_start(&in, &s, SPLICING_LIMIT);
	assert_ok(splice_pin(in.sp, rig.dir));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_true(exists(rig.dir, names[i]));

	splicing_send(&s, 0, 100);
	splicing_receive(&s, 0);
	snprintf(path, sizeof(path), "%s/sessions", rig.dir);
	auto_close int sessions = bpf_obj_get(path);
	assert_true(sessions >= 0);
	assert_ok(bpf_map_lookup_elem(sessions, &key, &seen));
	assert_memory_equal(&seen, splice_session(in.sp, 1), sizeof(seen));
	assert_int_equal(seen.flow[0].redirected, 100);

	splicing_stop(&s);
	close_rig(&rig);
}

static void two_splices_do_not_share_a_directory(void **state)
{
	struct splicing first, second;
	struct rig rig;
	__u32 id;

	(void)state;
	open_rig(&rig);
	splicing_open(&first);
	splicing_open(&second);
	assert_ok(splice_pin(first.sp, rig.dir));
	id = pinned_id(rig.dir, "sockets");

	assert_int_equal(splice_pin(second.sp, rig.dir), -EBUSY);

	splicing_close(&second);
	assert_int_equal(pinned_id(rig.dir, "sockets"), id);
	splicing_close(&first);
	close_rig(&rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pinned_map_can_be_opened_by_its_name),
		cmocka_unit_test(directories_above_are_made_as_well),
		cmocka_unit_test(a_directory_has_one_user_at_a_time),
		cmocka_unit_test(names_that_a_killed_program_left_are_replaced),
		cmocka_unit_test(what_others_have_in_the_directory_stays),
		cmocka_unit_test(when_one_name_fails_none_stays),
		cmocka_unit_test(
		        a_directory_that_is_not_on_a_bpffs_is_refused_and_not_made),
		cmocka_unit_test(the_maps_of_a_splice_have_names_until_it_is_closed),
		cmocka_unit_test(two_splices_do_not_share_a_directory),
	};

	return test_run("pins", tests, argc, argv);
}
