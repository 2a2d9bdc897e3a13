// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_bypass_stream.c - many bytes through bypassed sessions, in every mode that this
 * kernel can: whichever way each message takes, they come in order and once.
 */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bypassing.h"
#include "dice.h"

typedef void with(struct bypassing *in);

/* Where none of the modes works there is nothing to be tried. */
static void in_each_mode(with *try)
{
	int n_modes = 0;

	for (int has_verdict = 0; has_verdict < 2; has_verdict++) {
		struct bypassing in;

		if (!bypassing_open_mode(&in, has_verdict))
			continue;
		n_modes++;
		try(&in);
		bypassing_close(&in);
	}
	if (n_modes == 0)
		test_skip("this kernel cannot bypass");
}

static uint32_t n_long(const struct bypassing_session *s, int from)
{
	const struct g5x_bypass_flow *flow = bypassing_flow(s, from);

	return flow->n_behind + flow->n_unread + flow->n_full + flow->n_closed;
}

/* Of 64 KiB at the most, mostly small. */
static size_t any_size(struct dice *dice)
{
	size_t most = (size_t)1 << dice_roll(dice, 17);

	return 1 + dice_roll(dice, most);
}

/* ---- one thread ------------------------------------------------------------ */

static void try_sizes(struct bypassing *in)
{
	const uint64_t many = 32U << 20;
	struct bypassing_session s;
	struct dice dice = { 1 };
	uint64_t n_switches[2] = { 0 };
	uint32_t n_last[2] = { 0 };

	bypassing_connect(in, &s, 1);
	bypassing_pair(&s);
	while (s.stream[0].n_sent < many || s.stream[1].n_sent < many) {
		int from = (int)dice_roll(&dice, 2);
		uint64_t direct = bypass_n_direct(in->bp, 1, from);

		if (dice_roll(&dice, 50) == 0) /* now there is much room, now little */
			bypassing_limit(&s, (uint32_t)any_size(&dice) * 8);
		bypassing_send_some(&s, from, any_size(&dice));
		/* Once direct after the long way was taken: two switches. */
		if (bypass_n_direct(in->bp, 1, from) > direct &&
		    n_long(&s, from) != n_last[from]) {
			n_switches[from] += 2;
			n_last[from] = n_long(&s, from);
		}
		if (dice_roll(&dice, 5) > 0)
			bypassing_receive_some(&s, from, any_size(&dice));
		if (dice_roll(&dice, 2) == 0)
			bypassing_turn(&s);
		/* A stream may stay on the long way as long as it never stops. */
		if (dice_roll(&dice, 50) == 0)
			bypassing_receive(&s, from);
	}
	for (int from = 0; from < 2; from++) {
		shutdown(s.app[from], SHUT_WR);
		bypassing_receive_end(&s, from);
		assert_true(bypass_n_direct(in->bp, 1, from) > 0);
		assert_true(s.stream[from].n_relayed > 0);
		assert_int_equal(bypass_n_direct(in->bp, 1, from) +
		                         s.stream[from].n_relayed,
		                 s.stream[from].n_sent);
		assert_true(n_switches[from] > 20);
	}
	bypassing_end(&s);
}

static void bytes_of_all_sizes_come_in_order_both_ways_at_once(void **state)
{
	(void)state;
	in_each_mode(try_sizes);
}

/* Each message the other way than the last. */
static void try_switches(struct bypassing *in)
{
	struct bypassing_session s;
	struct dice dice = { 2 };

	bypassing_connect(in, &s, 1);
	bypassing_pair(&s);
	bypassing_limit(&s, BYPASSING_TINY);
	for (int i = 0; i < 3000; i++) {
		int from = i & 1;
		struct g5x_bypass_flow *flow = bypassing_flow(&s, from);
		uint64_t direct = flow->direct;
		size_t n = 1 + dice_roll(&dice, 3000);

		bypassing_send(&s, from, n);
		assert_int_equal(flow->direct, direct + n);
		bypassing_send(&s, from, 1 + dice_roll(&dice, 3000));
		assert_int_equal(flow->direct, direct + n);
		bypassing_receive(&s, from);
	}
	bypassing_end(&s);
}

static void both_ways_switch_thousands_of_times_without_a_fault(void **state)
{
	(void)state;
	in_each_mode(try_switches);
}

static void try_side_by_side(struct bypassing *in)
{
	static struct bypassing_session s[BYPASSING_SESSIONS];
	struct dice dice = { 3 };

	for (uint32_t i = 0; i < BYPASSING_SESSIONS; i++) {
		bypassing_connect(in, &s[i], i + 1);
		bypassing_pair(&s[i]);
		bypassing_limit(&s[i], 65536);
	}
	for (int i = 0; i < 20000; i++) {
		struct bypassing_session *one =
		        &s[dice_roll(&dice, BYPASSING_SESSIONS)];
		int from = (int)dice_roll(&dice, 2);

		bypassing_send_some(one, from, any_size(&dice));
		bypassing_receive_some(one, from, any_size(&dice));
		if (dice_roll(&dice, 8) == 0)
			bypassing_turn(one);
		if (dice_roll(&dice, 100) == 0) {
			uint32_t number = one->number;

			bypassing_end(one);
			bypassing_connect(in, one, number);
			bypassing_pair(one);
		}
	}
	for (int i = 0; i < BYPASSING_SESSIONS; i++) {
		bypassing_receive(&s[i], 0);
		bypassing_receive(&s[i], 1);
		bypassing_end(&s[i]);
	}
}

static void sessions_side_by_side_keep_their_bytes_apart(void **state)
{
	(void)state;
	in_each_mode(try_side_by_side);
}

/* ---- senders of their own -------------------------------------------------- */

struct sender {
	pthread_t thread;
	struct bypassing_session *s;
	int from;
	uint64_t many;
	size_t most; /* bytes in a message */
	atomic_bool has_to_stop;
};

static void *send_until_told(void *ctx)
{
	struct sender *sender = ctx;
	struct bypassing_session *s = sender->s;
	const struct bypassing_stream *stream = &s->stream[sender->from];
	struct dice dice = { s->id };

	while (!atomic_load(&sender->has_to_stop) && stream->n_sent < sender->many) {
		uint64_t left = sender->many - stream->n_sent;
		size_t n = 1 + dice_roll(&dice, sender->most);

		if (bypassing_send_some(s, sender->from, left < n ? left : n) == 0)
			sched_yield();
	}
	return NULL;
}

static void start_sender(struct sender *sender)
{
	sender->s->has_threads = true;
	assert_ok(pthread_create(&sender->thread, NULL, send_until_told, sender));
}

static void stop_sender(struct sender *sender)
{
	atomic_store(&sender->has_to_stop, true);
	assert_ok(pthread_join(sender->thread, NULL));
}

/* Readers that are slower than those who send, and rest. */
static void try_threads(struct bypassing *in)
{
	const uint64_t many = 16U << 20;
	static struct bypassing_session s;
	struct sender sender[2];
	struct dice dice = { 4 };
	uint64_t give_up_ms = clock_ms() + 6 * TCP_PATIENCE_MS;

	bypassing_connect(in, &s, 1);
	bypassing_pair(&s);
	bypassing_limit(&s, 65536);
	for (int from = 0; from < 2; from++) {
		sender[from] = (struct sender){
			.s = &s, .from = from, .many = many, .most = 40000
		};
		start_sender(&sender[from]);
	}
	while (s.stream[0].n_received < many || s.stream[1].n_received < many) {
		int from = (int)dice_roll(&dice, 2);

		assert_true(clock_ms() < give_up_ms);
		for (uint64_t i = dice_roll(&dice, 20); i > 0; i--)
			bypassing_receive_some(&s, from, any_size(&dice));
		bypassing_turn(&s);
	}
	for (int from = 0; from < 2; from++) {
		stop_sender(&sender[from]);
		assert_int_equal(s.stream[from].n_sent, many);
		assert_int_equal(bypass_n_direct(in->bp, 1, from) +
		                         s.stream[from].n_relayed,
		                 many);
		shutdown(s.app[from], SHUT_WR);
		bypassing_receive_end(&s, from);
	}
	bypassing_end(&s);
}

static void those_who_send_at_any_time_lose_nothing(void **state)
{
	(void)state;
	in_each_mode(try_threads);
}

/* Let it go both ways for a while, and compare. */
static void read_for_a_while(struct bypassing_session *s, uint64_t n)
{
	uint64_t until = s->stream[0].n_received + n;

	bypassing_until(s, bypassing_receive_some(s, 0, 3000) != 0 &&
	                           s->stream[0].n_received >= until);
}

static void close_all(struct bypassing_session *s)
{
	for (int i = 0; i < 2; i++) {
		close(s->app[i]);
		close(s->end[i]);
	}
}

static void try_numbers(struct bypassing *in)
{
	static struct bypassing_session s[2];
	struct sender sender[2];

	for (int i = 0; i < 200; i++) {
		struct bypassing_session *new = &s[i & 1], *old = &s[~i & 1];

		bypassing_connect(in, new, 1);
		if (i > 0) {
			/* Its client sends on. */
			bypass_unpair(in->bp, 1);
			old->is_paired = false;
		}
		bypassing_pair(new);
		bypassing_limit(new, 65536);
		sender[i & 1] = (struct sender){ .s = new,
			                         .many = UINT64_MAX,
			                         .most = 1 + (size_t)i * 20 };
		start_sender(&sender[i & 1]);
		read_for_a_while(new, 50000);
		if (i > 0) {
			stop_sender(&sender[~i & 1]);
			close_all(old);
		}
		read_for_a_while(new, 10000);
	}
	stop_sender(&sender[1]);
	bypassing_receive(&s[1], 0);
	bypassing_end(&s[1]);
}

static void a_number_used_again_belongs_to_the_new_session_only(void **state)
{
	(void)state;
	in_each_mode(try_numbers);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_of_all_sizes_come_in_order_both_ways_at_once),
		cmocka_unit_test(both_ways_switch_thousands_of_times_without_a_fault),
		cmocka_unit_test(sessions_side_by_side_keep_their_bytes_apart),
		cmocka_unit_test(those_who_send_at_any_time_lose_nothing),
		cmocka_unit_test(a_number_used_again_belongs_to_the_new_session_only),
	};

	return test_run("bypass streams", tests, argc, argv);
}
