// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_bypass.c - user/kernel/bypass.c, bpf/meet.bpf.c and bpf/bypass.bpf.c: whose
 * sockets are found, which way a message takes, and how much a queue holds.
 */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bypassing.h"

/* ---- who is found ---------------------------------------------------------- */

/* A session whose client asks for @client and whose server is at @server, paired, and
 * bytes both ways that we do not see. */
static void pair_between(const char *listen_ip, const char *client, const char *server)
{
	struct bypassing_session s;
	struct bypassing in;
	struct addr addr;

	bypassing_open(&in);
	close(in.listener[0]);
	close(in.listener[1]);
	in.listener[0] = bypassing_listen(listen_ip);
	in.listener[1] = bypassing_listen(server);
	addr = tcp_local(in.listener[0]);
	assert_ok(bypass_add_listener(in.bp, &addr));
	bypassing_connect(&in, &s, 1);
	if (client) { /* another way to the same listener */
		struct addr other;

		assert_ok(addr_parse_ip(client, &other));
		addr_set_port(&other, addr_port(&addr));
		close(s.app[0]);
		close(s.end[0]);
		s.app[0] = bypassing_reach(NULL, &other);
		s.end[0] = tcp_accept(in.listener[0]);
	}
	assert_true(bypass_is_local(in.bp, s.end[0]));
	bypassing_pair(&s);
	s.is_held_up = true;
	for (int from = 0; from < 2; from++) {
		assert_true(bypassing_is_noted(&in, s.app[from]));
		assert_false(bypassing_is_noted(&in, s.end[from]));
		bypassing_send(&s, from, 3000);
		bypassing_receive(&s, from);
		assert_int_equal(bypass_n_direct(in.bp, 1, from), 3000);
	}
	bypassing_stop(&s);
}

static void a_client_and_its_server_are_found_and_paired(void **state)
{
	(void)state;
	pair_between("127.0.0.1", NULL, "127.0.0.1");
}

static void both_ends_may_speak_ipv6(void **state)
{
	(void)state;
	if (access("/proc/sys/net/ipv6", F_OK) < 0)
		test_skip("no IPv6");
	pair_between("::1", NULL, "::1");
}

static void each_end_may_speak_another_ip(void **state)
{
	(void)state;
	if (access("/proc/sys/net/ipv6", F_OK) < 0)
		test_skip("no IPv6");
	pair_between("::1", NULL, "127.0.0.1");
	pair_between("127.0.0.1", NULL, "::1");
}

static int reach_mapped(const struct addr *to)
{
	struct sockaddr_in6 mapped = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(addr_port(to)),
		.sin6_addr.s6_addr = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
	};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_ok(connect(fd, (const struct sockaddr *)&mapped, sizeof(mapped)));
	return fd;
}

static void a_client_may_write_an_ipv4_address_as_ipv6(void **state)
{
	struct bypassing_session s;
	struct bypassing in;
	struct addr addr;

	(void)state;
	if (access("/proc/sys/net/ipv6", F_OK) < 0)
		test_skip("no IPv6");
	bypassing_open(&in);
	bypassing_connect(&in, &s, 1);
	close(s.app[0]);
	close(s.end[0]);
	addr = tcp_local(in.listener[0]);
	s.app[0] = reach_mapped(&addr);
	s.end[0] = tcp_accept(in.listener[0]);

	bypassing_pair(&s);

	s.is_held_up = true;
	for (int from = 0; from < 2; from++) {
		bypassing_send(&s, from, 3000);
		bypassing_receive(&s, from);
		assert_int_equal(bypass_n_direct(in.bp, 1, from), 3000);
	}
	bypassing_stop(&s);
}

static void a_client_of_a_wildcard_is_found(void **state)
{
	(void)state;
	pair_between("0.0.0.0", "127.0.0.1", "127.0.0.1");
}

static void a_client_that_connects_elsewhere_is_not_noted(void **state)
{
	struct bypassing in;
	struct addr theirs;
	int client, server;

	(void)state;
	bypassing_open(&in);
	theirs = tcp_local(in.listener[1]);
	client = bypassing_reach(NULL, &theirs);
	server = tcp_accept(in.listener[1]);

	assert_false(bypassing_is_noted(&in, client));
	assert_false(bypassing_is_noted(&in, server));
	assert_false(bypass_is_local(in.bp, server));
	tcp_send(client, "request", 7);
	tcp_expect(server, "request", 7);
	close(client);
	close(server);
	bypassing_close(&in);
}

static void a_client_that_came_before_the_listener_was_known_is_not_noted(void **state)
{
	struct bypassing_session s;
	struct bypassing in;
	struct bypass_pair wanted;

	(void)state;
	bypassing_open(&in);
	bypass_forget_listeners(in.bp);
	bypassing_connect(&in, &s, 1);
	wanted = bypassing_wanted(&s);

	assert_false(bypass_is_local(in.bp, s.end[0]));
	assert_false(bypassing_is_noted(&in, s.app[0]));
	assert_int_equal(bypass_pair(in.bp, &wanted), -ENOENT);

	bypassing_send(&s, 0, 1000); /* not the worse for it */
	bypassing_receive(&s, 0);
	bypassing_stop(&s);
}

static void a_server_that_was_not_expected_is_not_noted(void **state)
{
	struct bypassing_session s;
	struct bypassing in;
	struct bypass_pair wanted;
	struct addr theirs;

	(void)state;
	bypassing_open(&in);
	bypassing_connect(&in, &s, 1);
	close(s.end[1]);
	close(s.app[1]);
	theirs = tcp_local(in.listener[1]);
	s.end[1] = bypassing_reach(NULL, &theirs);
	s.app[1] = tcp_accept(in.listener[1]);
	wanted = bypassing_wanted(&s);

	assert_false(bypassing_is_noted(&in, s.app[1]));
	assert_int_equal(bypass_pair(in.bp, &wanted), -EAGAIN);
	bypassing_stop(&s);
}

static void a_server_that_is_a_listener_of_ours_is_not_noted(void **state)
{
	struct bypassing_session s;
	struct bypassing in;
	struct bypass_pair wanted;
	struct addr theirs;

	(void)state;
	bypassing_open(&in);
	theirs = tcp_local(in.listener[1]);
	assert_ok(bypass_add_listener(in.bp, &theirs));
	bypassing_connect(&in, &s, 1);
	wanted = bypassing_wanted(&s);

	assert_false(bypassing_is_noted(&in, s.app[1]));
	assert_int_equal(bypass_pair(in.bp, &wanted), -EAGAIN);
	bypassing_stop(&s);
}

static void a_number_beyond_the_table_is_refused(void **state)
{
	struct bypassing_session s;
	struct bypassing in;
	struct bypass_pair wanted;

	(void)state;
	bypassing_open(&in);
	bypassing_connect(&in, &s, 1);
	wanted = bypassing_wanted(&s);
	wanted.number = BYPASSING_SESSIONS + 1;
	assert_int_equal(bypass_pair(in.bp, &wanted), -ENOSPC);
	wanted.number = 0;
	assert_int_equal(bypass_pair(in.bp, &wanted), -ENOSPC);

	wanted.number = BYPASSING_SESSIONS;
	assert_ok(bypass_pair(in.bp, &wanted));
	s.number = BYPASSING_SESSIONS;
	bypassing_stop(&s);
}

/* ---- the short way --------------------------------------------------------- */

static void a_message_goes_straight_into_the_readers_queue(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	for (int from = 0; from < 2; from++) {
		uint32_t n_before = bypassing_n_charged(s.app[!from]);

		bypassing_send(&s, from, 5000);

		/* At once: nobody has to do anything for it. */
		assert_int_equal(bypass_n_direct(in.bp, 1, from), 5000);
		assert_int_equal(bypassing_n_readable(s.app[!from]), 5000);
		assert_true(bypassing_n_charged(s.app[!from]) >= n_before + 5000);
		assert_int_equal(bypassing_n_unsent(s.app[from]), 0);
		tcp_expect_silence(s.end[from]);
		assert_true(tcp_wait(s.app[!from], POLLIN));
		s.is_held_up = true;
		bypassing_receive(&s, from);
		s.is_held_up = false;
		assert_int_equal(bypassing_n_readable(s.app[!from]), 0);
		assert_int_equal(bypassing_n_charged(s.app[!from]), n_before);
	}
	bypassing_stop(&s);
}

static void a_direction_tells_when_its_bytes_came(void **state)
{
	struct bypassing_session s;
	struct bypassing in;
	uint64_t first_us;

	(void)state;
	bypassing_start(&in, &s);
	assert_int_equal(bypass_first_us(in.bp, 1, 0), 0);
	assert_int_equal(bypass_last_ms(in.bp, 1, 0), 0);
	bypassing_send(&s, 0, 100);
	first_us = bypass_first_us(in.bp, 1, 0);
	assert_true(first_us > 0);
	assert_true(first_us / 1000 <= clock_ms());
	assert_int_equal(bypass_first_us(in.bp, 1, 1), 0);
	bypassing_until(&s, clock_ms() > first_us / 1000 + 30);
	bypassing_send(&s, 0, 100);
	assert_int_equal(bypass_first_us(in.bp, 1, 0), first_us);
	assert_true(bypass_last_ms(in.bp, 1, 0) > first_us / 1000);
	bypassing_receive(&s, 0);
	bypassing_stop(&s);
}

static void an_answer_is_timed_only_where_it_is_asked_for(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	bypassing_send(&s, 0, 10);
	bypassing_send(&s, 1, 10);
	assert_int_equal(bypass_take_response_us(in.bp, 1), -1);

	bypass_session(in.bp, 1)->wants_responses = 1;
	bypassing_send(&s, 0, 10);
	bypassing_until(&s, clock_ms() > bypass_last_ms(in.bp, 1, 0) + 30);
	bypassing_send(&s, 1, 10);
	assert_true(bypass_take_response_us(in.bp, 1) >= 20000);
	assert_int_equal(bypass_take_response_us(in.bp, 1), -1);
	bypassing_stop(&s);
}

/* ---- B1: the order --------------------------------------------------------- */

static void bytes_sent_before_the_pair_come_first(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_open(&in);
	bypassing_connect(&in, &s, 1);
	for (int from = 0; from < 2; from++) {
		bypassing_send(&s, from, 3000); /* relayed, not read */
		bypassing_until(&s, s.stream[from].n_relayed == 3000);
		assert_true(tcp_wait(s.app[!from], POLLIN));
	}
	bypassing_pair(&s);
	s.is_held_up = true;

	for (int from = 0; from < 2; from++) {
		bypassing_send(&s, from, 4000);
		assert_int_equal(bypass_n_direct(in.bp, 1, from), 0);
		assert_int_equal(bypassing_flow(&s, from)->n_unread, 1);
		assert_int_equal(bypassing_n_readable(s.app[!from]), 3000);
	}
	s.is_held_up = false;
	bypassing_receive(&s, 0);
	bypassing_receive(&s, 1);
	for (int from = 0; from < 2; from++) {
		bypassing_send(&s, from, 500);
		assert_int_equal(bypass_n_direct(in.bp, 1, from), 500);
		bypassing_receive(&s, from);
	}
	bypassing_stop(&s);
}

static void bytes_that_the_daemon_has_not_read_at_the_pair_come_first(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_open(&in);
	bypassing_connect(&in, &s, 1);
	s.is_held_up = true;
	for (int from = 0; from < 2; from++) {
		bypassing_send(&s, from, 3000);
		assert_true(tcp_wait(s.end[from], POLLIN));
	}
	bypassing_pair(&s);

	for (int from = 0; from < 2; from++) {
		bypassing_send(&s, from, 1000);
		assert_int_equal(bypass_n_direct(in.bp, 1, from), 0);
		assert_int_equal(bypassing_flow(&s, from)->n_behind, 1);
	}
	s.is_held_up = false;
	bypassing_receive(&s, 0);
	bypassing_receive(&s, 1);
	bypassing_stop(&s);
}

static void
bytes_that_went_the_long_way_come_before_those_of_the_short_one(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	s.is_held_up = true;
	for (int from = 0; from < 2; from++) {
		struct g5x_bypass_flow *flow = bypassing_flow(&s, from);

		bypassing_send(&s, from, 100);
		bypassing_limit(&s, BYPASSING_TINY);
		bypassing_send(&s, from, 200);
		assert_int_equal(flow->n_full, 1);
		bypassing_limit(&s, BYPASSING_LIMIT);
		for (uint32_t i = 1; i <= 3; i++) { /* there would be room now */
			bypassing_send(&s, from, 300);
			assert_int_equal(flow->n_behind, i);
		}
		bypassing_receive_some(&s, from, 65536); /* ... or none queued */
		bypassing_send(&s, from, 300);
		assert_int_equal(flow->n_behind, 4);
		assert_int_equal(flow->direct, 100);
		assert_int_equal(s.stream[from].n_received, 100);

		s.is_held_up = false;
		bypassing_until(&s, s.stream[from].n_relayed == 1400);
		s.is_held_up = true;
		assert_int_equal(flow->injected, 1400);
		bypassing_send(&s, from, 700);
		assert_int_equal(flow->direct, 800);
		bypassing_receive(&s, from);
	}
	bypassing_stop(&s);
}

/* ---- B2: what a queue holds ------------------------------------------------ */

static void a_full_queue_sends_the_application_the_long_way(void **state)
{
	const uint32_t limit = 65536;
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	bypassing_limit(&s, limit);
	s.is_held_up = true;
	for (int from = 0; from < 2; from++) {
		struct g5x_bypass_flow *flow = bypassing_flow(&s, from);

		while (flow->n_full == 0) {
			bypassing_send(&s, from, 4000);
			assert_true(flow->direct <= limit);
		}
		assert_true(flow->direct >= limit / 2);
		assert_int_equal(bypassing_n_readable(s.app[!from]), flow->direct);
		assert_true(tcp_wait(s.end[from], POLLIN));
		assert_int_equal(bypassing_n_waiting(s.end[from]), 4000);
	}
	s.is_held_up = false;
	bypassing_receive(&s, 0);
	bypassing_receive(&s, 1);
	bypassing_stop(&s);
}

static void one_message_always_goes_into_an_empty_queue(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	bypassing_limit(&s, BYPASSING_TINY);
	s.is_held_up = true;
	for (int i = 0; i < 200; i++) {
		bypassing_send(&s, i & 1, 1 + 100 * (size_t)i);
		bypassing_receive(&s, i & 1);
	}
	for (int from = 0; from < 2; from++) {
		assert_int_equal(bypass_n_direct(in.bp, 1, from),
		                 s.stream[from].n_sent);
		assert_int_equal(bypassing_flow(&s, from)->n_full, 0);
	}
	bypassing_stop(&s);
}

static void small_messages_are_counted_with_their_cost(void **state)
{
	const uint32_t limit = 65536, most = limit / 1024 + 2;
	struct bypassing_session s;
	struct bypassing in;
	struct g5x_bypass_flow *flow;

	(void)state;
	bypassing_start(&in, &s);
	bypassing_limit(&s, limit);
	s.is_held_up = true;
	flow = bypassing_flow(&s, 0);
	while (flow->n_full == 0) {
		bypassing_send(&s, 0, 1);
		assert_true(flow->direct <= most);
	}
	assert_true(flow->direct >= limit / 1024 / 2);
	s.is_held_up = false;

	/* The same for a reader that takes some now and then. */
	for (int i = 0; i < 20000; i++) {
		bypassing_send_some(&s, 0, 1);
		if (i % 7 == 0)
			bypassing_receive_some(&s, 0, 1 + (size_t)i % 13);
		if (i % 5 == 0)
			bypassing_turn(&s);
		assert_true(bypassing_n_readable(s.app[1]) <= most * 1024);
		assert_true(flow->direct + flow->injected <=
		            s.stream[0].n_received + limit);
	}
	bypassing_receive(&s, 0);
	bypassing_stop(&s);
}

static void we_may_not_send_while_the_queue_is_full(void **state)
{
	struct bypassing_session s;
	struct bypassing in;

	(void)state;
	bypassing_start(&in, &s);
	bypassing_limit(&s, 8000);
	s.is_held_up = true;
	for (int from = 0; from < 2; from++) {
		bypassing_send(&s, from, 4000);
		bypassing_send(&s, from, 3000);
		assert_int_equal(bypass_n_direct(in.bp, 1, from), 4000);

		assert_false(bypass_may_send(in.bp, 1, from, 3000));
		assert_true(bypass_may_send(in.bp, 1, from, 100));
		assert_false(bypass_may_send(in.bp, 1, from, 3000));
		assert_true(bypassing_receive_some(&s, from, 3999) > 0);
		bypassing_receive_some(&s, from, 3999); /* in two, perhaps */
		assert_int_equal(s.stream[from].n_received, 4000);
		assert_true(bypass_may_send(in.bp, 1, from, 3000));
		assert_true(bypass_may_send(in.bp, 1, from, 1U << 20));
	}
	s.is_held_up = false;
	bypassing_receive(&s, 0);
	bypassing_receive(&s, 1);
	bypassing_stop(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_and_its_server_are_found_and_paired),
		cmocka_unit_test(both_ends_may_speak_ipv6),
		cmocka_unit_test(each_end_may_speak_another_ip),
		cmocka_unit_test(a_client_may_write_an_ipv4_address_as_ipv6),
		cmocka_unit_test(a_client_of_a_wildcard_is_found),
		cmocka_unit_test(a_client_that_connects_elsewhere_is_not_noted),
		cmocka_unit_test(
		        a_client_that_came_before_the_listener_was_known_is_not_noted),
		cmocka_unit_test(a_server_that_was_not_expected_is_not_noted),
		cmocka_unit_test(a_server_that_is_a_listener_of_ours_is_not_noted),
		cmocka_unit_test(a_number_beyond_the_table_is_refused),
		cmocka_unit_test(a_message_goes_straight_into_the_readers_queue),
		cmocka_unit_test(a_direction_tells_when_its_bytes_came),
		cmocka_unit_test(an_answer_is_timed_only_where_it_is_asked_for),
		cmocka_unit_test(bytes_sent_before_the_pair_come_first),
		cmocka_unit_test(
		        bytes_that_the_daemon_has_not_read_at_the_pair_come_first),
		cmocka_unit_test(
		        bytes_that_went_the_long_way_come_before_those_of_the_short_one),
		cmocka_unit_test(a_full_queue_sends_the_application_the_long_way),
		cmocka_unit_test(one_message_always_goes_into_an_empty_queue),
		cmocka_unit_test(small_messages_are_counted_with_their_cost),
		cmocka_unit_test(we_may_not_send_while_the_queue_is_full),
	};

	return test_run("bypass", tests, argc, argv);
}
