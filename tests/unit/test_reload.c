// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_reload.c - user/control/file.c and reload.c: the rule file on disk, and what a
 * bad one does to the configuration in force: nothing.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "control/control.h"
#include "control/file.h"
#include "control/reload.h"
#include "control/settings.h"
#include "rules/config.h"

static const char good[] = "# mine\nweb RR *:* - 127.0.0.1:19080 > 127.0.0.1:19091 ;\n";
static const char good_dumped[] =
        "# mine\r\nweb RR *:* - 127.0.0.1:19080 > 127.0.0.1:19091 ;\r\n";

struct folder {
	char path[64];
	char file[80], link[80];
	struct settings settings;
};

static void write_text(const char *path, const char *text, size_t len)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
}

static int a_folder_with_a_rule_file(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->path, sizeof(f->path), "/tmp/g5x-test-reload-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	snprintf(f->file, sizeof(f->file), "%s/web.conf", f->path);
	snprintf(f->link, sizeof(f->link), "%s/link", f->path);
	write_text(f->file, good, strlen(good));
	f->settings.file = f->file;
	*state = f;
	return 0;
}

static int removed(void **state)
{
	struct folder *f = *state;

	unlink(f->link);
	unlink(f->file);
	assert_ok(rmdir(f->path)); /* so nothing else was left in it */
	free(f);
	return 0;
}

static struct config *read_config(const struct folder *f)
{
	struct diag_list diags = { 0 };
	struct config *config;

	assert_ok(reload_read(&f->settings, NULL, &diags, &config));
	diag_list_fini(&diags);
	return config;
}

static void assert_text(const char *path, const char *text)
{
	auto_free char *found = NULL;
	size_t len;

	assert_ok(file_read(path, &found, &len));
	assert_int_equal(len, strlen(text));
	assert_memory_equal(found, text, len);
}

static void a_file_of_many_buffers_is_read_whole(void **state)
{
	struct folder *f = *state;
	auto_free char *text = NULL, *expected = NULL;
	size_t len, expected_len = 100003;

	expected = malloc(expected_len);
	assert_non_null(expected);
	memset(expected, 'x', expected_len);
	expected[expected_len - 1] = 'y';
	write_text(f->file, expected, expected_len);

	assert_ok(file_read(f->file, &text, &len));
	assert_int_equal(len, expected_len);
	assert_memory_equal(text, expected, len);
}

static void folders_and_pipes_are_not_rule_files(void **state)
{
	struct folder *f = *state;
	char *text = NULL;
	size_t len;

	assert_int_equal(file_read(f->path, &text, &len), -EISDIR);
	assert_ok(mkfifo(f->link, 0600));
	assert_int_equal(file_read(f->link, &text, &len), -ENOTSUP);
	assert_int_equal(file_read("/nonexistent/file", &text, &len), -ENOENT);
	assert_null(text);
}

static void an_empty_file_is_a_configuration_without_rules(void **state)
{
	struct folder *f = *state;
	struct config *config;

	write_text(f->file, "", 0);
	config = read_config(f);
	assert_int_equal(config->n_rules, 0);
	config_free(config);
}

static void a_dump_keeps_comments_and_mode(void **state)
{
	struct folder *f = *state;
	struct config *config = read_config(f);
	struct stat st;

	assert_ok(chmod(f->file, 0640));
	assert_ok(file_write(f->file, config));
	config_free(config);

	assert_text(f->file, good_dumped);
	assert_ok(stat(f->file, &st));
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void a_dump_keeps_the_owner(void **state)
{
	struct folder *f = *state;
	struct config *config;
	struct stat st;

	if (chown(f->file, 12345, 54321) < 0)
		test_skip("files cannot be given away here");
	config = read_config(f);
	assert_ok(file_write(f->file, config));
	config_free(config);

	assert_ok(stat(f->file, &st));
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, 54321);
}

static void a_dump_replaces_what_a_link_points_to(void **state)
{
	struct folder *f = *state;
	struct config *config = read_config(f);
	struct stat st;

	assert_ok(symlink("web.conf", f->link));
	assert_ok(file_write(f->link, config));
	config_free(config);

	assert_ok(lstat(f->link, &st));
	assert_true(S_ISLNK(st.st_mode));
	assert_text(f->file, good_dumped);
}

static void a_dump_makes_a_file_that_was_deleted(void **state)
{
	struct folder *f = *state;
	struct config *config = read_config(f);

	assert_ok(unlink(f->file));
	assert_ok(file_write(f->file, config));
	config_free(config);
	assert_text(f->file, good_dumped);
}

static void a_reader_has_the_old_text_until_the_new_one_is_whole(void **state)
{
	struct folder *f = *state;
	struct config *config = read_config(f);
	auto_close int fd = open(f->file, O_RDONLY);
	char text[256];

	assert_ok(file_write(f->file, config));
	config_free(config);
	assert_int_equal(read(fd, text, sizeof(text)), strlen(good));
	assert_memory_equal(text, good, strlen(good));
}

static void a_dump_that_fails_leaves_nothing_behind(void **state)
{
	struct folder *f = *state;
	struct config *config = read_config(f);

	assert_int_equal(file_write("/nonexistent/file", config), -ENOENT);
	/* A folder in the place of the file cannot be renamed over. */
	assert_ok(unlink(f->file));
	assert_ok(mkdir(f->file, 0700));
	assert_int_equal(file_write(f->file, config), -EISDIR);
	assert_ok(rmdir(f->file));
	config_free(config);
}

static void a_bad_file_leaves_the_configuration_in_force(void **state)
{
	static const char bad[] = "web XX *:* - 127.0.0.1:19080 > 127.0.0.1:19091 ;\n";
	struct folder *f = *state;
	struct config *config = read_config(f);
	struct control c = { .settings = &f->settings, .config = config };

	write_text(f->file, bad, strlen(bad));
	reload(&c);
	assert_ptr_equal(c.config, config);
	unlink(f->file);
	reload(&c);
	assert_ptr_equal(c.config, config);
	config_free(config);
}

static void a_log_that_cannot_be_opened_rejects_the_file(void **state)
{
	static const char text[] = "( log /nonexistent/log )\n";
	struct folder *f = *state;
	struct config *config = read_config(f);
	struct control c = { .settings = &f->settings, .config = config };

	write_text(f->file, text, strlen(text));
	reload(&c);
	assert_ptr_equal(c.config, config);
	config_free(config);
}

static void a_check_counts_rules_and_warnings(void **state)
{
	static const char text[] = "a RR - 127.0.0.1:19080 > 127.0.0.1:19091 ;\n"
	                           "b RR *:* - 127.0.0.1:19081 > 127.0.0.1:19091 ;\n";
	struct folder *f = *state;
	auto_free char *said = NULL;
	auto_free char *expected = NULL;
	size_t len;
	FILE *out = open_memstream(&said, &len);

	assert_non_null(out);
	write_text(f->file, text, strlen(text));
	assert_ok(reload_check(&f->settings, out));
	fclose(out);
	assert_true(asprintf(&expected, "%s: 2 rules, 1 warnings\n", f->file) > 0);
	assert_string_equal(said, expected);
}

static void a_check_of_a_bad_file_says_nothing_on_its_output(void **state)
{
	struct folder *f = *state;
	auto_free char *said = NULL;
	size_t len;
	FILE *out = open_memstream(&said, &len);

	assert_non_null(out);
	write_text(f->file, "web\n", 4);
	assert_int_equal(reload_check(&f->settings, out), -EINVAL);
	fclose(out);
	assert_int_equal(len, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_of_many_buffers_is_read_whole,
		                                a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(folders_and_pipes_are_not_rule_files,
		                                a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(
		        an_empty_file_is_a_configuration_without_rules,
		        a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(a_dump_keeps_comments_and_mode,
		                                a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(a_dump_keeps_the_owner,
		                                a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(a_dump_replaces_what_a_link_points_to,
		                                a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(a_dump_makes_a_file_that_was_deleted,
		                                a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(
		        a_reader_has_the_old_text_until_the_new_one_is_whole,
		        a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(a_dump_that_fails_leaves_nothing_behind,
		                                a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(
		        a_bad_file_leaves_the_configuration_in_force,
		        a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(
		        a_log_that_cannot_be_opened_rejects_the_file,
		        a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(a_check_counts_rules_and_warnings,
		                                a_folder_with_a_rule_file, removed),
		cmocka_unit_test_setup_teardown(
		        a_check_of_a_bad_file_says_nothing_on_its_output,
		        a_folder_with_a_rule_file, removed),
	};

	return test_run("reload", tests, argc, argv);
}
