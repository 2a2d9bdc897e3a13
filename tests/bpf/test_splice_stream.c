// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_splice_stream.c - long and awkward streams through spliced sessions, every byte
 * compared; and sessions that come and go in the same slots.
 */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dice.h"
#include "splicing.h"

/* ---- long streams ---------------------------------------------------------- */

static void catch_up(struct splicing_session *s)
{
	splicing_receive(s, 0);
	splicing_receive(s, 1);
}

/* The send buffer of the destination, as if it were full, and as if it were not. */
static void set_room(struct splicing_session *s, int from, bool has_room)
{
	tcp_set_option(s->end[!from], SOL_SOCKET, SO_SNDBUF,
	               has_room ? SPLICING_LIMIT / 2 : 1);
}

static void both_directions_switch_thousands_of_times_without_a_fault(void **state)
{
	struct dice dice = { 11 };
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	for (int i = 0; i < 10000; i++) {
		for (uint64_t n = dice_roll(&dice, 8); n > 0; n--) {
			int from = (int)dice_roll(&dice, 2);

			set_room(&s, from, dice_roll(&dice, 2));
			splicing_send_some(&s, from, 1 + dice_roll(&dice, 7000));
		}
		for (int from = 0; from < 2; from++) {
			splicing_receive_some(&s, from, 1 + dice_roll(&dice, 9000));
			set_room(&s, from, true);
		}
		if (dice_roll(&dice, 3))
			splicing_turn(&s);
		else
			catch_up(&s);
	}
	catch_up(&s);

	for (int from = 0; from < 2; from++) {
		assert_true(splicing_flow(&s, from)->n_switches > 1000);
		assert_true(splice_n_redirected(in.sp, 1, from) > 1U << 20);
		assert_int_equal(splicing_n_seen(&s, from), s.stream[from].n_sent);
	}
	splicing_turn(&s);
	assert_int_equal(in.n_events, splicing_flow(&s, 0)->n_switches +
	                                      splicing_flow(&s, 1)->n_switches);
	splicing_assert_whole(&s);
	splicing_stop(&s);
}

/* A sender of chunks of random sizes, and a reader that stops and goes. */
struct mood {
	bool is_reading;
	size_t max;
};

static void send_and_receive(struct splicing_session *s, int from, struct mood *mood,
                             struct dice *dice)
{
	size_t n = 1 + dice_roll(dice, dice_roll(dice, 3) ? 300 : 20000);

	if (dice_roll(dice, 200) == 0) {
		mood->is_reading = !mood->is_reading;
		mood->max = dice_roll(dice, 2) ? 1500 : 32768;
	}
	splicing_send_some(s, from, n);
	if (mood->is_reading)
		splicing_receive_some(s, from, 1 + dice_roll(dice, mood->max));
}

static void a_reader_that_stops_and_goes_gets_every_byte(void **state)
{
	struct mood moods[2] = { { true, 1500 }, { true, 32768 } };
	struct dice dice = { 17 };
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	for (int i = 0; i < 20000; i++) {
		send_and_receive(&s, 0, &moods[0], &dice);
		send_and_receive(&s, 1, &moods[1], &dice);
		if (i % 4 == 0)
			splicing_turn(&s);
		if (i % 1000 == 0)
			catch_up(&s);
	}
	catch_up(&s);

	for (int from = 0; from < 2; from++) {
		assert_true(splice_n_passed(in.sp, 1, from) > 1U << 20);
		assert_true(splice_n_redirected(in.sp, 1, from) > 1U << 20);
		assert_int_equal(splicing_n_seen(&s, from), s.stream[from].n_sent);
	}
	splicing_assert_whole(&s);
	splicing_stop(&s);
}

static void bulk_arrives_whole_at_the_limit_that_is_usual(void **state)
{
	const uint64_t n_bytes = 64U << 20;
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICE_LIMIT_DEFAULT);
	while (s.stream[0].n_sent < n_bytes || s.stream[1].n_sent < n_bytes) {
		bool has_moved = false;

		for (int from = 0; from < 2; from++) {
			uint64_t left = n_bytes - s.stream[from].n_sent;

			has_moved |= left > 0 && splicing_send_some(&s, from, left) > 0;
			has_moved |= splicing_receive_some(&s, from, 32768) > 0;
		}
		if (!has_moved || in.n_events > 0)
			splicing_turn(&s);
	}

	splicing_receive(&s, 0);
	splicing_receive(&s, 1);
	splicing_assert_whole(&s);
	splicing_stop(&s);
}

static void chunks_of_one_byte_arrive_whole(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	for (int i = 0; i < 20000; i++) {
		splicing_send_some(&s, i & 1, 1);
		if (i % 64 == 0)
			splicing_turn(&s);
		if (i % 16 == 0)
			splicing_receive_some(&s, i / 16 & 1, 100);
	}

	splicing_receive(&s, 0);
	splicing_receive(&s, 1);
	assert_int_equal(s.stream[0].n_received + s.stream[1].n_received, 20000);
	splicing_assert_whole(&s);
	splicing_stop(&s);
}

/* Its mark is lost, its place is not. */
static void urgent_bytes_arrive_in_their_place(void **state)
{
	static const char text[] = "abcdefghijklmnopqrstuvwxyz";
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	for (int i = 0; i < 500; i++) {
		const char *at = text + i % 20;

		assert_int_equal(send(s.app[0], at, 3, 0), 3);
		assert_int_equal(send(s.app[0], at + 3, 2, MSG_OOB), 2);
		assert_int_equal(send(s.app[0], at + 5, 1, 0), 1);
		tcp_expect(s.app[1], at, 6);
	}

	assert_int_equal(splicing_n_seen(&s, 0), 500 * 6);
	splicing_assert_whole(&s);
	splicing_stop(&s);
}

/* ---- ends ------------------------------------------------------------------ */

static void the_answer_comes_after_the_question_has_ended(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	splicing_send(&s, 0, 5000);
	shutdown(s.app[0], SHUT_WR);
	splicing_receive_end(&s, 0);

	for (int i = 0; i < 50; i++) {
		splicing_send(&s, 1, 10000);
		splicing_receive(&s, 1);
	}
	shutdown(s.app[1], SHUT_WR);
	splicing_receive_end(&s, 1);

	assert_int_equal(splice_n_redirected(in.sp, 1, 1), 500000);
	assert_true(s.held[0].has_ended && s.held[1].has_ended);
	splicing_stop(&s);
}

/* I2 */
static void a_fin_stays_behind_the_bytes_that_are_queued_and_passed_up(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	for (size_t n = 10000; n <= 90000; n += 20000) {
		splicing_open(&in);
		splicing_connect(&in, &s, 1);
		/* Linux 6.1 takes no FIN into a full buffer (6.12 does). */
		tcp_set_option(s.end[0], SOL_SOCKET, SO_RCVBUF, 4 * SPLICING_LIMIT);
		splicing_block(&s, 0);
		splicing_insert(&s, SPLICING_LIMIT);
		splicing_fill(&s, 0, n);
		assert_int_equal(s.stream[0].n_sent, n);
		shutdown(s.app[0], SHUT_WR);
		assert_true(tcp_wait(s.end[0], POLLRDHUP));
		for (int i = 0; i < 20; i++)
			splicing_turn(&s);
		assert_false(s.held[0].has_ended);

		splicing_receive_end(&s, 0);
		assert_int_equal(s.stream[0].n_received, n);
		splicing_stop(&s);
	}
}

static void a_fin_does_no_harm_to_the_other_direction(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	s.is_held_up = true; /* nobody passes it on */
	shutdown(s.app[0], SHUT_WR);
	assert_true(tcp_wait(s.end[0], POLLRDHUP));

	splicing_send(&s, 1, 1000);
	splicing_receive(&s, 1);
	tcp_send(s.end[1], "x", 1);
	tcp_expect(s.app[1], "x", 1);
	splicing_stop(&s);
}

/* A chunk that is to be sent by a socket whose own FIN comes meanwhile. */
static void a_fin_does_no_harm_to_bytes_that_go_the_other_way(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_open(&in);
	for (int i = 0; i < 300; i++) {
		splicing_connect(&in, &s, 1);
		splicing_insert(&s, SPLICING_LIMIT);
		splicing_send(&s, 0, 1 + (size_t)i * 10);
		set_room(&s, 0, false); /* perhaps before it is sent */
		splicing_send(&s, 1, 500);
		shutdown(s.app[1], SHUT_WR);
		assert_true(tcp_wait(s.end[1], POLLRDHUP));
		set_room(&s, 0, true);

		splicing_receive_end(&s, 1);
		splicing_send(&s, 0, 700);
		shutdown(s.app[0], SHUT_WR);
		splicing_receive_end(&s, 0);
		splicing_end(&s);
	}
	splicing_close(&in);
}

/* ---- sessions that come and go --------------------------------------------- */

static void a_new_session_never_gets_bytes_of_the_one_before(void **state)
{
	struct dice dice = { 5 };
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_open(&in);
	for (int i = 0; i < 4000; i++) {
		splicing_connect(&in, &s, 1);
		splicing_insert(&s, SPLICING_LIMIT);
		for (int from = 0; from < 2; from++) {
			splicing_send(&s, from, 1 + dice_roll(&dice, 3000));
			splicing_receive(&s, from);
		}
		/* It ends with bytes on every leg of the way. */
		splicing_send(&s, 0, 1 + dice_roll(&dice, 3000));
		splicing_send(&s, 1, 1 + dice_roll(&dice, 3000));
		if (dice_roll(&dice, 2)) {
			tcp_reset(s.app[0]);
			s.app[0] = -1;
		}
		splicing_end(&s);
	}
	splicing_close(&in);
}

static void sessions_side_by_side_keep_their_bytes_apart(void **state)
{
	static struct splicing_session s[SPLICING_SESSIONS];
	struct dice dice = { 3 };
	struct splicing in;

	(void)state;
	splicing_open(&in);
	for (uint32_t i = 0; i < SPLICING_SESSIONS; i++) {
		splicing_connect(&in, &s[i], i + 1);
		splicing_insert(&s[i], SPLICING_LIMIT);
	}
	for (int i = 0; i < 20000; i++) {
		struct splicing_session *one = &s[dice_roll(&dice, SPLICING_SESSIONS)];
		int from = (int)dice_roll(&dice, 2);

		splicing_send_some(one, from, 1 + dice_roll(&dice, 9000));
		splicing_receive_some(one, from, 1 + dice_roll(&dice, 20000));
		if (dice_roll(&dice, 8) == 0)
			splicing_turn(one);
		if (dice_roll(&dice, 100) == 0) {
			uint32_t number = one->number;

			splicing_end(one);
			splicing_connect(&in, one, number);
			splicing_insert(one, SPLICING_LIMIT);
		}
	}
	for (int i = 0; i < SPLICING_SESSIONS; i++) {
		splicing_receive(&s[i], 0);
		splicing_receive(&s[i], 1);
		splicing_assert_whole(&s[i]);
		splicing_end(&s[i]);
	}
	splicing_close(&in);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		        both_directions_switch_thousands_of_times_without_a_fault),
		cmocka_unit_test(a_reader_that_stops_and_goes_gets_every_byte),
		cmocka_unit_test(bulk_arrives_whole_at_the_limit_that_is_usual),
		cmocka_unit_test(chunks_of_one_byte_arrive_whole),
		cmocka_unit_test(urgent_bytes_arrive_in_their_place),
		cmocka_unit_test(the_answer_comes_after_the_question_has_ended),
		cmocka_unit_test(
		        a_fin_stays_behind_the_bytes_that_are_queued_and_passed_up),
		cmocka_unit_test(a_fin_does_no_harm_to_the_other_direction),
		cmocka_unit_test(a_fin_does_no_harm_to_bytes_that_go_the_other_way),
		cmocka_unit_test(a_new_session_never_gets_bytes_of_the_one_before),
		cmocka_unit_test(sessions_side_by_side_keep_their_bytes_apart),
	};

	return test_run("splice streams", tests, argc, argv);
}
