// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_splice.c - user/kernel/splice.c and bpf/splice.bpf.c: sessions that go in, and
 * what of their bytes is redirected and what is passed up.
 */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "splicing.h"

/* ---- insertion ------------------------------------------------------------- */

static void bytes_go_both_ways_and_the_daemon_sees_none(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	s.is_held_up = true;
	for (int i = 0; i < 100; i++) {
		splicing_send(&s, i & 1, 1 + 100 * (size_t)i);
		splicing_receive(&s, i & 1);
	}

	for (int from = 0; from < 2; from++) {
		assert_int_equal(splice_n_redirected(in.sp, 1, from),
		                 s.stream[from].n_sent);
		assert_int_equal(splice_n_passed(in.sp, 1, from), 0);
		assert_int_equal(splice_n_relayed(in.sp, 1, from), 0);
		tcp_expect_silence(s.end[from]);
	}
	splicing_assert_whole(&s);
	splicing_stop(&s);
}

static void bytes_that_came_before_the_insertion_are_forwarded(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_open(&in);
	splicing_connect(&in, &s, 1);
	for (int from = 0; from < 2; from++) {
		splicing_send(&s, from, 3000);
		assert_true(tcp_wait(s.end[from], POLLIN));
	}
	s.is_held_up = true; /* nobody else reads */
	splicing_insert(&s, SPLICING_LIMIT);

	splicing_receive(&s, 0);
	splicing_receive(&s, 1);

	assert_int_equal(splicing_n_seen(&s, 0), 3000);
	assert_int_equal(splicing_n_seen(&s, 1), 3000);
	splicing_stop(&s);
}

static void bytes_that_the_daemon_forwarded_before_are_not_repeated(void **state)
{
	static char bytes[32768];
	struct splicing_session s;
	struct splicing in;
	size_t n_taken[] = { 100, 20000 }; /* of a chunk that is larger */

	(void)state;
	splicing_open(&in);
	splicing_connect(&in, &s, 1);
	for (int from = 0; from < 2; from++) {
		splicing_send(&s, from, sizeof(bytes));
		assert_true(tcp_wait(s.end[from], POLLIN));
		assert_int_equal(recv(s.end[from], bytes, n_taken[from], 0),
		                 n_taken[from]);
		tcp_send(s.end[!from], bytes, n_taken[from]);
	}
	splicing_insert(&s, SPLICING_LIMIT);

	for (int from = 0; from < 2; from++) {
		splicing_receive(&s, from);
		splicing_send(&s, from, 5000);
		splicing_receive(&s, from);
		assert_int_equal(splicing_n_seen(&s, from),
		                 s.stream[from].n_sent - n_taken[from]);
		assert_int_equal(splicing_flow(&s, from)->n_gaps, 0);
	}
	splicing_stop(&s);
}

static void one_end_alone_is_inserted_when_the_other_has_ended(void **state)
{
	struct splicing_session s;
	struct splicing in;
	struct splice_pair pair;
	bool is_in[2] = { true, false };

	(void)state;
	splicing_open(&in);
	splicing_connect(&in, &s, 1);
	splicing_send(&s, 0, 1000);
	shutdown(s.app[0], SHUT_WR);
	assert_true(tcp_wait(s.end[0], POLLRDHUP));
	pair = splicing_pair(&s);

	assert_ok(splice_insert(in.sp, &pair, is_in));

	assert_false(is_in[0]);
	assert_true(is_in[1]);
	splicing_send(&s, 1, 2000);
	splicing_receive(&s, 1);
	assert_int_equal(splice_n_passed(in.sp, 1, 1), 2000);
	assert_int_equal(splicing_n_seen(&s, 0), 0);
	splicing_stop(&s);
}

static void nothing_is_inserted_when_both_have_ended(void **state)
{
	struct splicing_session s;
	struct splicing in;
	struct splice_pair pair;
	bool is_in[2] = { true, false };
	char byte;

	(void)state;
	splicing_open(&in);
	splicing_connect(&in, &s, 1);
	for (int i = 0; i < 2; i++) {
		tcp_send(s.app[i], "x", 1);
		shutdown(s.app[i], SHUT_WR);
		assert_true(tcp_wait(s.end[i], POLLRDHUP));
	}
	pair = splicing_pair(&s);

	assert_int_equal(splice_insert(in.sp, &pair, is_in), -EOPNOTSUPP);

	assert_true(is_in[0] && !is_in[1]); /* untouched */
	assert_true(splicing_is_forgotten(&in, 1));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(recv(s.end[i], &byte, 1, 0), 1);
		tcp_expect_end(s.end[i]);
	}
	splicing_stop(&s);
}

static void a_number_beyond_the_table_is_refused_and_counted(void **state)
{
	const uint32_t numbers[] = { 0, SPLICING_SESSIONS + 1, UINT32_MAX };
	struct splicing_session s;
	struct splicing in;
	bool is_in[2];

	(void)state;
	splicing_open(&in);
	assert_int_equal(splice_n_sessions(in.sp), SPLICING_SESSIONS);
	splicing_connect(&in, &s, SPLICING_SESSIONS);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct splice_pair pair = splicing_pair(&s);

		pair.number = numbers[i];
		assert_int_equal(splice_insert(in.sp, &pair, is_in), -ENOSPC);
		assert_int_equal(splice_totals(in.sp)->table_full, i + 1);
	}

	splicing_insert(&s, SPLICING_LIMIT); /* the last one that there is */
	splicing_send(&s, 0, 10);
	splicing_receive(&s, 0);
	splicing_stop(&s);
}

static void whoever_reads_the_map_finds_names_that_are_cut_to_fit(void **state)
{
	const struct g5x_session *entry;
	struct splicing_session s;
	struct splicing in;
	struct splice_pair pair;
	char name[201];
	bool is_in[2];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	splicing_open(&in);
	splicing_connect(&in, &s, 1);
	pair = splicing_pair(&s);
	pair.rule = name;
	pair.server = name;
	assert_ok(splice_insert(in.sp, &pair, is_in));

	entry = splice_session(in.sp, 1);
	assert_int_equal(strlen(entry->rule), G5X_RULE_LEN - 1);
	assert_int_equal(strlen(entry->server), G5X_ADDRESS_LEN - 1);
	assert_string_equal(entry->client, "client");
	assert_string_equal(entry->listener, "listener");
	assert_int_equal(entry->state, G5X_RELAYING);
	assert_int_equal(entry->generation, s.id);
	splice_set_state(in.sp, 1, G5X_CLIENT_ENDED);
	assert_int_equal(entry->state, G5X_CLIENT_ENDED);
	splicing_stop(&s);
}

/* ---- what is passed up ----------------------------------------------------- */

static void every_byte_is_redirected_or_passed(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	s.is_held_up = true;
	splicing_fill(&s, 0, 4U << 20); /* nobody reads */

	s.is_held_up = false;
	splicing_receive(&s, 0);

	assert_true(splice_n_redirected(in.sp, 1, 0) > 0);
	assert_true(splice_n_passed(in.sp, 1, 0) > 0);
	assert_int_equal(splicing_n_seen(&s, 0), s.stream[0].n_sent);
	assert_int_equal(splice_n_relayed(in.sp, 1, 0), splice_n_passed(in.sp, 1, 0));
	splicing_assert_whole(&s);
	splicing_stop(&s);
}

/* I1: as long as the daemon has bytes of it, the kernel sends none past them. */
static void nothing_is_redirected_before_the_passed_bytes_are_relayed(void **state)
{
	struct splicing_session s;
	struct splicing in;
	char bytes[SPLICING_BIG];

	(void)state;
	splicing_start(&in, &s, SPLICING_TINY);
	s.is_held_up = true;
	splicing_send(&s, 0, SPLICING_BIG);
	assert_true(tcp_wait(s.end[0], POLLIN));
	assert_int_equal(recv(s.end[0], bytes, SPLICING_BIG, 0), SPLICING_BIG);
	splicing_send(&s, 0, 200); /* small enough, and too early */
	splicing_until(&s, splicing_n_seen(&s, 0) == SPLICING_BIG + 200);
	assert_int_equal(splice_n_redirected(in.sp, 1, 0), 0);

	tcp_send(s.end[1], bytes, SPLICING_BIG);
	splice_relayed(in.sp, 1, 0, SPLICING_BIG);
	assert_int_equal(recv(s.end[0], bytes, 200, 0), 200);
	tcp_send(s.end[1], bytes, 199);
	splice_relayed(in.sp, 1, 0, 199); /* one is missing still */
	splicing_send(&s, 0, 1);
	assert_true(tcp_wait(s.end[0], POLLIN));
	assert_int_equal(splice_n_redirected(in.sp, 1, 0), 0);

	tcp_send(s.end[1], bytes + 199, 1);
	splice_relayed(in.sp, 1, 0, 1);
	s.is_held_up = false;
	splicing_receive(&s, 0);
	splicing_until(&s, splicing_n_unsent(s.end[1]) == 0);
	splicing_send(&s, 0, 50);
	splicing_receive(&s, 0);
	assert_int_equal(splice_n_redirected(in.sp, 1, 0), 50);
	splicing_stop(&s);
}

static void relayed_tells_whether_more_is_waiting(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_TINY);
	splicing_send(&s, 0, SPLICING_BIG);
	assert_true(tcp_wait(s.end[0], POLLIN));
	assert_int_equal(splice_n_passed(in.sp, 1, 0), SPLICING_BIG);

	assert_true(splice_relayed(in.sp, 1, 0, SPLICING_BIG - 40));
	assert_int_equal(splice_n_relayed(in.sp, 1, 0), SPLICING_BIG - 40);
	assert_true(splice_relayed(in.sp, 1, 0, 39));
	assert_false(splice_relayed(in.sp, 1, 0, 1));
	assert_int_equal(splice_n_relayed(in.sp, 1, 0), SPLICING_BIG);
	assert_int_equal(splice_n_relayed(in.sp, 1, 1), 0);
	splicing_stop(&s);
}

static void bytes_for_an_end_that_is_closed_are_passed_up(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	s.is_held_up = true;
	close(s.end[1]);
	s.end[1] = -1;

	splicing_send(&s, 0, 500);

	assert_true(tcp_wait(s.end[0], POLLIN));
	assert_int_equal(splice_n_passed(in.sp, 1, 0), 500);
	assert_int_equal(splice_n_redirected(in.sp, 1, 0), 0);
	splicing_stop(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_go_both_ways_and_the_daemon_sees_none),
		cmocka_unit_test(bytes_that_came_before_the_insertion_are_forwarded),
		cmocka_unit_test(
		        bytes_that_the_daemon_forwarded_before_are_not_repeated),
		cmocka_unit_test(one_end_alone_is_inserted_when_the_other_has_ended),
		cmocka_unit_test(nothing_is_inserted_when_both_have_ended),
		cmocka_unit_test(a_number_beyond_the_table_is_refused_and_counted),
		cmocka_unit_test(whoever_reads_the_map_finds_names_that_are_cut_to_fit),
		cmocka_unit_test(every_byte_is_redirected_or_passed),
		cmocka_unit_test(
		        nothing_is_redirected_before_the_passed_bytes_are_relayed),
		cmocka_unit_test(relayed_tells_whether_more_is_waiting),
		cmocka_unit_test(bytes_for_an_end_that_is_closed_are_passed_up),
	};

	return test_run("splice", tests, argc, argv);
}
