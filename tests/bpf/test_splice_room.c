// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_splice_room.c - bpf/splice_room.bpf.h: nothing is redirected that the destination
 * has no room for, so that whoever does not read costs no more than its buffers.
 */
#include "test.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "splicing.h"

#define SKB_COST 1536 /* as in bpf/splice_room.bpf.h */

/* ---- limits ---------------------------------------------------------------- */

static void the_limit_is_the_send_buffer_of_each_end(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICE_LIMIT_DEFAULT);

	for (int i = 0; i < 2; i++)
		assert_int_equal(tcp_option(s.end[i], SOL_SOCKET, SO_SNDBUF),
		                 SPLICE_LIMIT_DEFAULT);
	splicing_stop(&s);
}

static void a_reader_that_never_reads_stops_the_sender(void **state)
{
	const uint64_t many = 256U << 20;
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	s.is_held_up = true;

	assert_true(splicing_fill(&s, 0, many) < many / 4);

	s.is_held_up = false;
	splicing_receive(&s, 0);
	splicing_stop(&s);
}

/* A socket has one queue for what it is to send and for what it passes up. */
static void two_readers_that_never_read_stop_both_senders(void **state)
{
	const uint64_t many = 256U << 20;
	struct splicing_session s;
	struct splicing in;
	uint64_t n[2] = { 0, 0 };

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	s.is_held_up = true;
	for (int i = 0; i < 8; i++) {
		n[i & 1] += splicing_fill(&s, i & 1, many / 8);
		assert_true(n[i & 1] < many / 4);
	}

	s.is_held_up = false;
	splicing_receive(&s, 0);
	splicing_receive(&s, 1);
	splicing_assert_whole(&s);
	splicing_stop(&s);
}

static void a_send_buffer_is_doubled_once_for_what_does_not_get_in(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);

	for (int i = 0; i < 3; i++)
		splice_make_room(in.sp, s.number, s.end[1]);

	assert_int_equal(tcp_option(s.end[1], SOL_SOCKET, SO_SNDBUF),
	                 2 * SPLICING_LIMIT);
	assert_int_equal(tcp_option(s.end[0], SOL_SOCKET, SO_SNDBUF), SPLICING_LIMIT);
	assert_int_equal(splice_totals(in.sp)->room_made, 1);
	splicing_stop(&s);
}

/* I5 */
static void nothing_stays_queued_although_nobody_reads(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	s.is_held_up = true;
	splicing_fill(&s, 0, 4U << 20);
	splicing_fill(&s, 1, 4U << 20);

	for (int from = 0; from < 2; from++) {
		assert_true(splice_n_passed(in.sp, 1, from) > 0);
		splicing_until(&s, splice_is_drained(in.sp, 1, from, s.end[!from]));
	}
	splicing_stop(&s);
}

static void nothing_is_redirected_into_a_full_send_buffer(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_open(&in);
	splicing_connect(&in, &s, 1);
	splicing_block(&s, 0);
	splicing_insert(&s, SPLICING_LIMIT);

	splicing_send(&s, 0, 1);

	splicing_until(&s, splicing_n_seen(&s, 0) == 1);
	assert_int_equal(splice_n_passed(in.sp, 1, 0), 1);
	splicing_receive(&s, 0);
	splicing_stop(&s);
}

/* I6 */
static void both_directions_are_passed_up_while_one_is(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_open(&in);
	splicing_connect(&in, &s, 1);
	splicing_block(&s, 0);
	splicing_insert(&s, SPLICING_LIMIT);
	splicing_send(&s, 1, 1);
	splicing_receive(&s, 1);
	assert_int_equal(splice_n_redirected(in.sp, 1, 1), 1);

	splicing_send(&s, 0, 1); /* there is no room for it */
	splicing_until(&s, splicing_n_seen(&s, 0) == 1);
	splicing_send(&s, 1, 1);
	splicing_receive(&s, 1);
	assert_int_equal(splice_n_passed(in.sp, 1, 1), 1);

	splicing_receive(&s, 0);
	splicing_send(&s, 1, 1);
	splicing_receive(&s, 1);
	assert_int_equal(splice_n_redirected(in.sp, 1, 1), 2);
	splicing_stop(&s);
}

/* ---- what is queued: as if the kernel worker had not come yet --------------- */

static void what_is_redirected_and_not_written_is_queued(void **state)
{
	static const char bytes[700];
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	splicing_send(&s, 0, 5000);
	splicing_receive(&s, 0);
	assert_int_equal(splice_n_queued(in.sp, 1, 0, s.end[1]), 0);

	splice_session(in.sp, 1)->flow[0].redirected += 700;

	assert_int_equal(splice_n_queued(in.sp, 1, 0, s.end[1]), 700);
	assert_false(splice_is_drained(in.sp, 1, 0, s.end[1]));
	assert_true(splice_is_drained(in.sp, 1, 1, s.end[0]));
	tcp_send(s.end[1], bytes, 699);
	assert_int_equal(splice_n_queued(in.sp, 1, 0, s.end[1]), 1);
	tcp_send(s.end[1], bytes, 1);
	assert_true(splice_is_drained(in.sp, 1, 0, s.end[1]));
	splicing_stop(&s);
}

/* Memory of the send buffer for @n bytes in @n_chunks, each begins an sk_buff. */
static uint64_t cost(int fd, uint64_t n, unsigned int n_chunks)
{
	uint64_t mss = (uint64_t)tcp_option(fd, IPPROTO_TCP, TCP_MAXSEG);

	return n + (n_chunks + n / mss) * SKB_COST;
}

/* Is a chunk of @n bytes redirected behind @n_chunks of @n_queued bytes, with so much
 * room for all of them, and @more? */
static bool is_redirected(unsigned int n_chunks, uint64_t n_queued, size_t n, int more)
{
	struct splicing_session s;
	struct splicing in;
	struct g5x_flow *flow;
	bool is;

	splicing_start(&in, &s, SPLICING_LIMIT);
	flow = &splice_session(in.sp, 1)->flow[0];
	splicing_send(&s, 0, 1);
	splicing_receive(&s, 0);
	assert_int_equal(flow->redirected, 1);
	splicing_until(&s, splicing_n_unsent(s.end[1]) == 0);
	flow->redirected += n_queued;
	flow->n_after = n_chunks;
	flow->mark = 1U << 30; /* none of them has left */
	tcp_set_option(s.end[1], SOL_SOCKET, SO_SNDBUF,
	               ((int)cost(s.end[1], n_queued + n, n_chunks + 1) + more) / 2);

	splicing_send(&s, 0, n);
	splicing_until(&s, splicing_n_seen(&s, 0) == 1 + n_queued + n);
	is = flow->passed == 0;
	assert_true(is || flow->passed == n);
	splicing_stop(&s);
	return is;
}

static void a_chunk_needs_room_for_itself_and_for_what_is_queued(void **state)
{
	(void)state;
	assert_true(is_redirected(1, 30000, 100, 0));
	assert_false(is_redirected(1, 30000, 100, -2));
	assert_true(is_redirected(1, 100, 30000, 0));
	assert_false(is_redirected(1, 100, 30000, -2));
	assert_true(is_redirected(1, 100000, 30000, 0)); /* segments */
	assert_false(is_redirected(1, 100000, 30000, -2));
}

static void each_chunk_that_is_queued_needs_an_sk_buff(void **state)
{
	(void)state;
	assert_true(is_redirected(40, 40, 2, 0));
	assert_false(is_redirected(40, 40, 2, -2));
}

static void each_chunk_that_is_redirected_is_counted(void **state)
{
	struct splicing_session s;
	struct splicing in;
	struct g5x_flow *flow;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	flow = &splice_session(in.sp, 1)->flow[0];
	splicing_send(&s, 0, 1);
	splicing_receive(&s, 0);
	flow->redirected++;    /* something is queued from now on, */
	flow->mark = 1U << 30; /* and nothing has left since */
	flow->n_before = 3;
	flow->n_after = 0;
	for (int i = 0; i < 10; i++) {
		splicing_send(&s, 0, 100);
		splicing_receive(&s, 0);
	}

	assert_int_equal(flow->n_before, 3);
	assert_int_equal(flow->n_after, 10);
	splicing_stop(&s);
}

/* The queue is never empty, and never long, while many chunks go through. */
static void chunks_that_have_left_the_queue_need_no_room(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	splicing_send(&s, 0, 1);
	splicing_receive(&s, 0);
	splice_session(in.sp, 1)->flow[0].redirected++;
	for (int i = 0; i < 1000; i++) {
		splicing_send(&s, 0, 1);
		splicing_receive(&s, 0);
	}

	assert_int_equal(splicing_flow(&s, 0)->n_switches, 0);
	splicing_stop(&s);
}

/* ... and so it is after gigabytes that the daemon relayed. */
static void chunks_are_counted_right_after_much_was_relayed(void **state)
{
	struct splicing_session s;
	struct splicing in;
	struct g5x_session *entry;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	entry = splice_session(in.sp, 1);
	entry->flow[0].passed = entry->relayed[0] = 3ULL << 30;
	splicing_send(&s, 0, 1);
	splicing_receive(&s, 0);
	entry->flow[0].redirected++;
	for (int i = 0; i < 1000; i++) {
		splicing_send(&s, 0, 1);
		splicing_receive(&s, 0);
	}

	assert_int_equal(entry->flow[0].n_switches, 0);
	splicing_stop(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_limit_is_the_send_buffer_of_each_end),
		cmocka_unit_test(a_reader_that_never_reads_stops_the_sender),
		cmocka_unit_test(two_readers_that_never_read_stop_both_senders),
		cmocka_unit_test(
		        a_send_buffer_is_doubled_once_for_what_does_not_get_in),
		cmocka_unit_test(nothing_stays_queued_although_nobody_reads),
		cmocka_unit_test(nothing_is_redirected_into_a_full_send_buffer),
		cmocka_unit_test(both_directions_are_passed_up_while_one_is),
		cmocka_unit_test(what_is_redirected_and_not_written_is_queued),
		cmocka_unit_test(a_chunk_needs_room_for_itself_and_for_what_is_queued),
		cmocka_unit_test(each_chunk_that_is_queued_needs_an_sk_buff),
		cmocka_unit_test(each_chunk_that_is_redirected_is_counted),
		cmocka_unit_test(chunks_that_have_left_the_queue_need_no_room),
		cmocka_unit_test(chunks_are_counted_right_after_much_was_relayed),
	};

	return test_run("splice room", tests, argc, argv);
}
