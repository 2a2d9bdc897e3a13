// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_connect.c - user/forward/connect.c, accept.c: how a client finds its server. */
#include "test.h"

#include <poll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "rig.h"

#define BUFFER 4096

static struct rig rig;

static int start(void **state)
{
	(void)state;

	rig_start(&rig, RULE_MODE_RR, BUFFER);
	return 0;
}

static int end(void **state)
{
	(void)state;

	rig_stop(&rig);
	return 0;
}

static uint64_t n_closed(enum close_reason reason)
{
	return rig.worker.n_closed[reason];
}

static bool is_over(void)
{
	return session_n_live(&rig.forward.table) == 0;
}

static void add_server(int listen_fd)
{
	struct addr addr = tcp_local(listen_fd);
	char text[ADDR_TEXT_LEN];

	ruleset_add_server(rig.rule, addr_format(&addr, text), 1, 0);
}

/* One that refuses. */
static void add_dead_server(void)
{
	int fd = tcp_listen();

	add_server(fd);
	close(fd);
}

/* The first server of the rule takes no more part. */
static void only_others(void)
{
	rig.rule->servers[0].maxconns = 1;
	__atomic_add_fetch(&rig.rule->servers[0].state->n_sessions, 1,
	                   __ATOMIC_RELAXED);
}

static void first_server_is_free_again(void)
{
	__atomic_sub_fetch(&rig.rule->servers[0].state->n_sessions, 1,
	                   __ATOMIC_RELAXED);
}

/* A server whose queue is full: it answers no SYN. Closes with close_all(). */
struct mute_server {
	int listen_fd, clients[8];
};

static struct mute_server add_mute_server(void)
{
	struct mute_server m = { .listen_fd = tcp_listen() };
	struct addr addr = tcp_local(m.listen_fd);

	assert_ok(listen(m.listen_fd, 0));
	for (size_t i = 0; i < ARRAY_SIZE(m.clients); i++) {
		m.clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(m.clients[i], &addr.sa, addr_len(&addr));
	}
	add_server(m.listen_fd);
	return m;
}

static void close_all(struct mute_server *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(m->clients); i++)
		close(m->clients[i]);
	close(m->listen_fd);
}

/* A client whose session is connecting to a server that does not answer. */
static int start_connecting(struct session **ret_session)
{
	int client = tcp_connect(rig.port);
	uint32_t number;

	rig_until(&rig, (number = rig_find(&rig, client)) != 0);
	*ret_session = &rig.forward.table.sessions[number];
	rig_settle(&rig);
	assert_int_equal((*ret_session)->state, SESSION_CONNECTING);
	return client;
}

static void a_server_that_refuses_is_followed_by_the_next(void **state)
{
	(void)state;
	add_dead_server();
	add_dead_server();

	for (int i = 0; i < 3; i++) {
		struct rig_session rs = rig_connect(&rig);

		tcp_send(rs.client, "x", 1);
		rig_settle(&rig);
		tcp_expect(rs.server, "x", 1);
		assert_int_equal(rs.s->tried, 0); /* its list is free for others */
		rig_close(&rs);
		rig_until(&rig, is_over());
	}
	assert_true(rig.rule->servers[1].state->n_failures > 0);
	assert_int_equal(rig.rule->servers[0].state->n_failures, 0);
}

static void when_every_server_refuses_the_client_is_reset(void **state)
{
	int client;

	(void)state;
	add_dead_server();
	add_dead_server();
	only_others();
	rig.rule->servers[0].weight = 0;

	client = tcp_connect(rig.port);
	rig_until(&rig, n_closed(CLOSE_NO_SERVER) == 1);
	tcp_expect_reset(client);
	for (int i = 1; i <= 2; i++)
		assert_int_equal(rig.rule->servers[i].state->n_failures, 1);
	close(client);
	first_server_is_free_again();
}

static void when_all_servers_are_full_the_client_is_reset(void **state)
{
	int client;

	(void)state;
	only_others();

	client = tcp_connect(rig.port);
	rig_until(&rig, n_closed(CLOSE_SERVERS_FULL) == 1);
	tcp_expect_reset(client);
	close(client);
	first_server_is_free_again();
}

static void a_server_that_does_not_answer_is_given_up_after_its_time(void **state)
{
	struct mute_server mute;
	struct session *s;
	int client, server;

	(void)state;
	mute = add_mute_server();
	rig.rule->connect_timeout_s = 3600;
	only_others();
	client = start_connecting(&s);
	assert_int_equal(rig.rule->servers[1].state->n_sessions, 1);

	first_server_is_free_again();
	s->deadline_ms = 0;
	wheel_set(&rig.worker.wheel, worker_number(&rig.worker, s), 0);
	rig_until(&rig, s->state == SESSION_RELAYING);
	server = tcp_accept(rig.server_fd);
	assert_int_equal(rig.rule->servers[1].state->n_failures, 1);
	assert_int_equal(rig.rule->servers[1].state->n_sessions, 0);
	close(client);
	close(server);
	close_all(&mute);
}

static void a_client_that_resets_while_connecting_ends_its_session(void **state)
{
	struct mute_server mute;
	struct session *s;
	int client;

	(void)state;
	mute = add_mute_server();
	only_others();
	client = start_connecting(&s);

	tcp_reset(client);
	rig_until(&rig, n_closed(CLOSE_CLIENT_LEFT) == 1);
	assert_true(is_over());
	first_server_is_free_again();
	close_all(&mute);
}

static void a_client_that_ends_after_a_request_keeps_waiting(void **state)
{
	struct mute_server mute;
	struct session *s;
	uint64_t deadline_ms;
	int client;

	(void)state;
	mute = add_mute_server();
	rig.rule->connect_timeout_s = 3600;
	only_others();
	client = start_connecting(&s);
	deadline_ms = s->deadline_ms;

	tcp_send(client, "question", 8);
	assert_ok(shutdown(client, SHUT_WR));
	rig_settle(&rig);
	assert_int_equal(s->state, SESSION_CONNECTING);
	assert_int_equal(s->deadline_ms, deadline_ms);
	close(client);
	first_server_is_free_again();
	close_all(&mute);
}

static void a_client_that_ends_without_a_byte_has_a_little_time_left(void **state)
{
	struct mute_server mute;
	struct session *s;
	int client;

	(void)state;
	mute = add_mute_server();
	rig.rule->connect_timeout_s = 3600;
	only_others();
	client = start_connecting(&s);

	assert_ok(shutdown(client, SHUT_WR));
	rig_until(&rig, s->deadline_ms < rig.worker.now_ms + 60000);
	assert_int_equal(s->state, SESSION_CONNECTING);
	rig_until(&rig, n_closed(CLOSE_CLIENT_LEFT) == 1);
	tcp_expect_reset(client);
	close(client);
	first_server_is_free_again();
	close_all(&mute);
}

static void a_client_over_its_limit_is_closed_and_leaves_nothing(void **state)
{
	struct rig_session first;
	int second;

	(void)state;
	rig.rule->clients[0].maxclients = 1;
	first = rig_connect(&rig);

	second = tcp_connect(rig.port);
	rig_settle(&rig);
	tcp_expect_end(second);
	assert_int_equal(session_n_live(&rig.forward.table), 1);
	close(second);
	rig_close(&first);
	rig_until(&rig, is_over());
	first = rig_connect(&rig);
	rig_close(&first);
}

static void an_address_over_its_limit_is_closed_and_leaves_nothing(void **state)
{
	struct rig_session first;
	int second;

	(void)state;
	rig.config->maxsessions_per_ip = 1;
	first = rig_connect(&rig);

	second = tcp_connect(rig.port);
	rig_settle(&rig);
	tcp_expect_end(second);
	assert_int_equal(session_n_live(&rig.forward.table), 1);
	assert_int_equal(rig.rule->clients[0].state->n_sessions, 1);
	close(second);
	rig_close(&first);
}

static void over_the_capacity_clients_are_reset(void **state)
{
	struct rig_session sessions[RIG_CAPACITY];
	int one_more;

	(void)state;
	for (int i = 0; i < RIG_CAPACITY; i++)
		sessions[i] = rig_connect(&rig);

	one_more = tcp_connect(rig.port);
	rig_settle(&rig);
	tcp_expect_reset(one_more);
	close(one_more);
	for (int i = 0; i < RIG_CAPACITY; i++)
		rig_close(&sessions[i]);
	rig_until(&rig, is_over());
	sessions[0] = rig_connect(&rig);
	rig_close(&sessions[0]);
}

static void without_descriptors_for_it_a_client_waits_until_a_session_ends(void **state)
{
	struct rig_session first = rig_connect(&rig);
	int second, server;

	(void)state;
	rig.forward.fd_sessions = 1;

	second = tcp_connect(rig.port);
	rig_until(&rig, rig.worker.first_paused != NULL);
	assert_int_equal(rig_find(&rig, second), 0);
	tcp_expect_silence(second);
	rig_close(&first);
	rig_until(&rig, rig_find(&rig, second) != 0);
	server = tcp_accept(rig.server_fd);
	close(second);
	close(server);
}

#define CONNECT_TEST(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CONNECT_TEST(a_server_that_refuses_is_followed_by_the_next),
		CONNECT_TEST(when_every_server_refuses_the_client_is_reset),
		CONNECT_TEST(when_all_servers_are_full_the_client_is_reset),
		CONNECT_TEST(a_server_that_does_not_answer_is_given_up_after_its_time),
		CONNECT_TEST(a_client_that_resets_while_connecting_ends_its_session),
		CONNECT_TEST(a_client_that_ends_after_a_request_keeps_waiting),
		CONNECT_TEST(a_client_that_ends_without_a_byte_has_a_little_time_left),
		CONNECT_TEST(a_client_over_its_limit_is_closed_and_leaves_nothing),
		CONNECT_TEST(an_address_over_its_limit_is_closed_and_leaves_nothing),
		CONNECT_TEST(over_the_capacity_clients_are_reset),
		CONNECT_TEST(
		        without_descriptors_for_it_a_client_waits_until_a_session_ends),
	};

	return test_run("connect", tests, argc, argv);
}
