// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_bypass_ends.c - how bypassed sessions end: FINs and resets in their place, readers
 * that are gone, and what stays when the daemon is.
 */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "bypassing.h"

/* As bpf/meet.bpf.c makes a send buffer. */
#define SMALL_BUFFER (2 * 53248)

/* Some bytes by the short way, some by the long one, which the daemon has not seen. */
static void send_both_ways(struct bypassing_session *s, int from)
{
	uint64_t direct = bypass_n_direct(s->in->bp, s->number, from);

	bypassing_limit(s, BYPASSING_TINY);
	bypassing_send(s, from, 3000);
	bypassing_send(s, from, 2000);
	bypassing_limit(s, BYPASSING_LIMIT);
	bypassing_send(s, from, 1000);
	assert_int_equal(bypass_n_direct(s->in->bp, s->number, from), direct + 3000);
	assert_true(tcp_wait(s->end[from], POLLIN));
}

/* ---- FIN ------------------------------------------------------------------- */

static void a_fin_comes_after_all_bytes(void **state)
{
	(void)state;
	for (int from = 0; from < 2; from++) {
		struct bypassing_session s;
		struct bypassing in;

		bypassing_start(&in, &s);
		send_both_ways(&s, from);
		shutdown(s.app[from], SHUT_WR);
		bypassing_receive_end(&s, from);
		assert_int_equal(s.stream[from].n_received, 6000);
		bypassing_stop(&s);
	}
}

static void a_fin_stays_behind_bytes_in_the_queue(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	for (int from = 0; from < 2; from++) {
		bypassing_send(&s, from, 5000);
		shutdown(s.app[from], SHUT_WR);
		bypassing_until(&s, s.held[from].has_ended);
		assert_true(tcp_wait(s.app[!from], POLLRDHUP));

		for (int n = 0; n < 5000; n += 100) /* none takes the end for now */
			assert_true(bypassing_receive_some(&s, from, 100) > 0);
		bypassing_receive_end(&s, from);
	}
	bypassing_stop(&s);
}

static void the_answer_comes_after_the_question_has_ended(void **state)
{
	(void)state;
	for (int from = 0; from < 2; from++) {
		struct bypassing_session s;
		struct bypassing in;

		bypassing_start(&in, &s);
		send_both_ways(&s, from);
		shutdown(s.app[from], SHUT_WR);
		bypassing_receive_end(&s, from);
		for (int i = 0; i < 50; i++) {
			bypassing_send(&s, !from, 20000);
			bypassing_receive(&s, !from);
		}
		shutdown(s.app[!from], SHUT_WR);
		bypassing_receive_end(&s, !from);
		bypassing_stop(&s);
	}
}

static void after_a_fin_from_us_an_application_goes_the_long_way(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	s.is_held_up = true;
	for (int from = 0; from < 2; from++) {
		shutdown(s.end[from], SHUT_WR);
		assert_true(tcp_wait(s.app[from], POLLRDHUP));

		bypassing_send(&s, from, 1000);

		assert_int_equal(bypassing_flow(&s, from)->n_closed, 1);
		assert_int_equal(bypass_n_direct(in.bp, 1, from), 0);
		assert_true(tcp_wait(s.end[from], POLLIN));
		assert_int_equal(bypassing_n_waiting(s.end[from]), 1000);
	}
	bypassing_stop(&s);
}

/* ---- resets ---------------------------------------------------------------- */

static void a_reset_from_us_comes_after_the_bytes_before_it(void **state)
{
	char bytes[4096];

	(void)state;
	for (int from = 0; from < 2; from++) {
		struct bypassing_session s;
		struct bypassing in;

		bypassing_start(&in, &s);
		s.is_held_up = true;
		bypassing_send(&s, from, 3000);
		tcp_reset(s.app[from]);
		s.app[from] = -1;
		assert_true(tcp_wait(s.end[from], POLLIN));
		assert_int_equal(recv(s.end[from], bytes, 1, 0), -1);
		assert_int_equal(errno, ECONNRESET);
		tcp_reset(s.end[!from]); /* as the daemon passes it on */
		s.end[!from] = -1;
		assert_true(tcp_wait(s.app[!from], POLLRDHUP));

		bypassing_receive(&s, from);

		assert_int_equal(s.stream[from].n_received, 3000);
		tcp_expect_reset(s.app[!from]);
		bypassing_stop(&s);
	}
}

/* ---- readers that are gone ------------------------------------------------- */

static void a_reader_that_is_gone_sends_the_bytes_the_long_way(void **state)
{
	(void)state;
	for (int from = 0; from < 2; from++) {
		struct bypassing_session s;
		struct bypassing in;

		bypassing_start(&in, &s);
		s.is_held_up = true;
		bypassing_send(&s, from, 100);
		bypassing_receive(&s, from);
		close(s.app[!from]);
		s.app[!from] = -1;
		assert_true(tcp_wait(s.end[!from], POLLRDHUP));

		bypassing_send(&s, from, 1000);

		assert_int_equal(bypassing_flow(&s, from)->n_closed, 1);
		assert_int_equal(bypass_n_direct(in.bp, 1, from), 100);
		assert_true(tcp_wait(s.end[from], POLLIN));
		assert_int_equal(bypassing_n_waiting(s.end[from]), 1000);
		tcp_reset(s.end[from]);
		s.end[from] = -1;
		assert_true(tcp_wait(s.app[from], POLLHUP));
		assert_int_equal(send(s.app[from], "x", 1, MSG_NOSIGNAL), -1);
		assert_true(errno == ECONNRESET || errno == EPIPE);
		bypassing_stop(&s);
	}
}

/* Nobody will ever read what is in that queue. */
static void a_reader_that_closes_with_a_full_queue_does_not_hold_us_up(void **state)
{
	(void)state;
	for (int from = 0; from < 2; from++) {
		struct bypassing_session s;
		struct bypassing in;

		bypassing_start(&in, &s);
		s.is_held_up = true;
		send_both_ways(&s, from);
		assert_false(bypass_may_send(in.bp, 1, from, BYPASSING_LIMIT));
		close(s.app[!from]);
		s.app[!from] = -1;
		assert_true(tcp_wait(s.end[!from], POLLRDHUP));

		s.is_held_up = false;
		/* It learns from TCP that nobody is there. */
		bypassing_until(&s, bypass_may_send(in.bp, 1, from, BYPASSING_LIMIT));
		bypassing_until(&s, s.stream[from].n_relayed == 3000 ||
		                            tcp_option(s.end[!from], SOL_SOCKET,
		                                       SO_ERROR) != 0);
		bypassing_stop(&s);
	}
}

static bool is_reset(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

/* It ends with a reset, or with a FIN where a verdict program has taken the bytes. */
static void a_reader_that_closes_while_tcp_is_unread_does_not_hold_us_up(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_open(&in);
	bypassing_connect(&in, &s, 1);
	bypassing_send(&s, 0, 3000);
	bypassing_until(&s, s.stream[0].n_relayed == 3000);
	assert_true(tcp_wait(s.app[1], POLLIN));
	bypassing_pair(&s);
	bypassing_send(&s, 0, 1000);
	assert_true(tcp_wait(s.end[0], POLLIN));
	assert_false(bypass_may_send(in.bp, 1, 0, 1000));
	close(s.app[1]);
	s.app[1] = -1;
	assert_true(tcp_wait(s.end[1], POLLRDHUP));

	/* At once: the kernel may give the memory of the socket to another, or never. */
	assert_true(is_reset(s.end[1]) || bypass_may_send(in.bp, 1, 0, 1000));
	bypassing_stop(&s);
}

/* A reset that comes after a FIN. */
static bool has_hung_up(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

/* Its FIN went out before, so nothing at all tells us that it is gone. */
static void a_reader_that_ended_and_closes_does_not_hold_us_up(void **state)
{
	(void)state;
	for (int from = 0; from < 2; from++) {
		struct bypassing_session s;
		struct bypassing in;

		bypassing_start(&in, &s);
		s.is_held_up = true;
		shutdown(s.app[!from], SHUT_WR);
		assert_true(tcp_wait(s.end[!from], POLLRDHUP));
		send_both_ways(&s, from);
		assert_false(bypass_may_send(in.bp, 1, from, BYPASSING_LIMIT));
		close(s.app[!from]);
		s.app[!from] = -1;

		assert_true(bypass_may_send(in.bp, 1, from, BYPASSING_LIMIT));
		s.is_held_up = false;
		bypassing_until(&s, has_hung_up(s.end[!from]));
		bypassing_stop(&s);
	}
}

/* ---- what stays ------------------------------------------------------------ */

static void a_session_goes_on_by_tcp_when_it_is_unpaired(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	for (int from = 0; from < 2; from++)
		bypassing_send(&s, from, 5000);
	bypassing_receive(&s, 0);
	bypassing_receive(&s, 1);
	bypass_unpair(in.bp, 1);
	s.is_paired = false;

	for (int from = 0; from < 2; from++) {
		bypassing_send(&s, from, 3000);
		assert_true(tcp_wait(s.end[from], POLLIN));
		assert_int_equal(bypassing_n_waiting(s.end[from]), 3000);
		bypassing_receive(&s, from);
		assert_int_equal(s.stream[from].n_relayed, 3000);
	}
	bypass_unpair(in.bp, 1); /* nothing for who is not paired */
	bypassing_stop(&s);
}

static bool has_map(__u32 id)
{
	auto_close int fd = bpf_map_get_fd_by_id(id);

	return fd >= 0;
}

static __u32 applications_id(void)
{
	for (__u32 id = 0; bpf_map_get_next_id(id, &id) == 0;) {
		struct bpf_map_info info = { 0 };
		__u32 len = sizeof(info);
		auto_close int fd = bpf_map_get_fd_by_id(id);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 &&
		    !strcmp(info.name, "g5x_application") &&
		    info.max_entries == 4 * (BYPASSING_SESSIONS + 1))
			return id;
	}
	return 0;
}

static void what_was_not_read_survives_bypass_close(void **state)
{
	struct bypassing_session s;
	struct bypassing in;
	__u32 id;

	(void)state;
	bypassing_start(&in, &s);
	id = applications_id();
	assert_true(id != 0);
	for (int from = 0; from < 2; from++)
		for (int i = 0; i < 10; i++)
			bypassing_send(&s, from, 5000);
	bypass_unpair(in.bp, 1);
	s.is_paired = false;
	for (int i = 0; i < 2; i++)
		close(s.end[i]);
	bypassing_close(&in);
	s.is_held_up = true;
	s.end[0] = s.end[1] = -1;
	/* The kernel empties the map some time after it has forgotten its number. */
	for (int i = 0; i < 100 || (i < 1000 && has_map(id)); i++)
		poll(NULL, 0, 5);

	for (int from = 0; from < 2; from++) {
		bypassing_receive_end(&s, from);
		assert_int_equal(s.stream[from].n_received, 50000);
	}
	close(s.app[0]);
	close(s.app[1]);
}

/* ---- send buffers ---------------------------------------------------------- */

static void the_long_way_makes_a_send_buffer_small(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	for (int from = 0; from < 2; from++) {
		int size = tcp_option(s.app[from], SOL_SOCKET, SO_SNDBUF);

		assert_int_not_equal(size, SMALL_BUFFER);
		bypassing_send(&s, from, 5000);
		bypassing_receive(&s, from);
		assert_int_equal(tcp_option(s.app[from], SOL_SOCKET, SO_SNDBUF), size);
		send_both_ways(&s, from);
		bypassing_receive(&s, from);
		bypassing_until(&s, tcp_option(s.app[from], SOL_SOCKET, SO_SNDBUF) ==
		                            SMALL_BUFFER);
	}
	bypassing_stop(&s);
}

static void who_has_chosen_a_send_buffer_keeps_it(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	for (int from = 0; from < 2; from++) {
		tcp_set_option(s.app[from], SOL_SOCKET, SO_SNDBUF, 100000);
		for (int i = 0; i < 20; i++) {
			send_both_ways(&s, from);
			bypassing_receive(&s, from);
			bypassing_until(&s, bypassing_n_unsent(s.app[from]) == 0);
		}
		assert_int_equal(tcp_option(s.app[from], SOL_SOCKET, SO_SNDBUF),
		                 200000);
	}
	bypassing_stop(&s);
}

static void what_we_have_sent_may_be_unread_whatever_was_known_before(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	bypassing_send(&s, 0, 100);
	assert_true(bypassing_flow(&s, 0)->has_read);

	bypass_relayed(in.bp, 1, 0, 0);

	assert_false(bypassing_flow(&s, 0)->has_read);
	bypassing_send(&s, 0, 100); /* asks the sockets again */
	assert_int_equal(bypass_n_direct(in.bp, 1, 0), 200);
	bypassing_receive(&s, 0);
	bypassing_stop(&s);
}

static void a_reader_that_leaves_tcps_bytes_unread_may_get_more_by_tcp(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_open(&in);
	bypassing_connect(&in, &s, 1);
	bypassing_send(&s, 0, 3000);
	bypassing_until(&s, s.stream[0].n_relayed == 3000);
	assert_true(tcp_wait(s.app[1], POLLIN));
	bypassing_pair(&s);

	assert_false(bypass_may_send(in.bp, 1, 0, 1));
	assert_true(bypass_n_by_tcp(in.bp, 1, 0) > 4096);
	bypassing_receive(&s, 0);
	assert_true(bypass_may_send(in.bp, 1, 0, 1));
	assert_int_equal(bypass_n_by_tcp(in.bp, 1, 0), 0);
	bypassing_stop(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fin_comes_after_all_bytes),
		cmocka_unit_test(a_fin_stays_behind_bytes_in_the_queue),
		cmocka_unit_test(the_answer_comes_after_the_question_has_ended),
		cmocka_unit_test(after_a_fin_from_us_an_application_goes_the_long_way),
		cmocka_unit_test(a_reset_from_us_comes_after_the_bytes_before_it),
		cmocka_unit_test(a_reader_that_is_gone_sends_the_bytes_the_long_way),
		cmocka_unit_test(
		        a_reader_that_closes_with_a_full_queue_does_not_hold_us_up),
		cmocka_unit_test(
		        a_reader_that_closes_while_tcp_is_unread_does_not_hold_us_up),
		cmocka_unit_test(a_reader_that_ended_and_closes_does_not_hold_us_up),
		cmocka_unit_test(a_session_goes_on_by_tcp_when_it_is_unpaired),
		cmocka_unit_test(what_was_not_read_survives_bypass_close),
		cmocka_unit_test(the_long_way_makes_a_send_buffer_small),
		cmocka_unit_test(who_has_chosen_a_send_buffer_keeps_it),
		cmocka_unit_test(
		        what_we_have_sent_may_be_unread_whatever_was_known_before),
		cmocka_unit_test(
		        a_reader_that_leaves_tcps_bytes_unread_may_get_more_by_tcp),
	};

	return test_run("bypass ends", tests, argc, argv);
}
