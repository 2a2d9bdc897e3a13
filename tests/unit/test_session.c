// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_session.c - user/forward/session.c: the table of sessions and their states. */
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "forward/session.h"

#define CAPACITY 8
#define N_WORKERS 2
#define N_THREADS 2
#define ROUNDS 20000

static struct session_table table;

static int start_empty(void **state)
{
	(void)state;

	assert_ok(session_table_init(&table, CAPACITY, N_WORKERS));
	return 0;
}

static int end(void **state)
{
	(void)state;

	session_table_fini(&table);
	session_table_fini(&table); /* nothing is left to free */
	return 0;
}

static void go(uint32_t number, enum session_state state)
{
	session_set_state(&table, number, state);
}

static void close_and_free(uint32_t number)
{
	if (table.sessions[number].state != SESSION_CLOSED)
		go(number, SESSION_CLOSED);
	session_free(&table, number);
}

static void a_new_session_is_accepted_zeroed_and_has_no_sockets(void **state)
{
	uint32_t number = session_alloc(&table, 1);
	const struct session *s = &table.sessions[number];

	(void)state;

	assert_int_equal(number, 1);
	assert_int_equal(s->state, SESSION_ACCEPTED);
	assert_int_equal(s->worker, 1);
	assert_int_equal(s->end[CLIENT].fd, -1);
	assert_int_equal(s->end[SERVER].fd, -1);
	assert_int_equal(s->flow[CLIENT].n_bytes, 0);
	assert_int_equal(s->timer.link.prev, 0);
}

static void what_a_session_left_behind_is_gone(void **state)
{
	uint32_t number = session_alloc(&table, 1);
	struct session *s = &table.sessions[number], *again;

	(void)state;
	s->datapath = 1;
	s->rule = s->server = s->client = s->tried = s->rule_version = 7;
	s->flow[SERVER].n_bytes = s->request_us = s->connected_us = 7;
	s->flow[CLIENT].has_eof = s->end[CLIENT].has_error = s->measures_response =
	        true;
	close_and_free(number);

	assert_int_equal(session_alloc(&table, 0), number);
	again = calloc(1, sizeof(*again));
	again->generation = s->generation;
	again->state = SESSION_ACCEPTED;
	again->end[CLIENT].fd = again->end[SERVER].fd = -1;
	assert_memory_equal(s, again, sizeof(*again));
	free(again);
}

static void the_last_freed_is_the_first_used_again(void **state)
{
	(void)state;
	for (uint32_t i = 1; i <= 4; i++)
		assert_int_equal(session_alloc(&table, 0), i);

	close_and_free(2);
	close_and_free(4);
	close_and_free(1);
	assert_int_equal(session_alloc(&table, 0), 1);
	assert_int_equal(session_alloc(&table, 0), 4);
	assert_int_equal(session_alloc(&table, 0), 2);
	assert_int_equal(session_alloc(&table, 0), 5);
	assert_int_equal(session_n_touched(&table), 5);
}

static void a_generation_is_odd_while_live_and_never_the_same_again(void **state)
{
	uint32_t last = 0;

	(void)state;

	for (int i = 0; i < 100; i++) {
		uint32_t number = session_alloc(&table, 0);
		const struct session *s = &table.sessions[number];

		assert_int_equal(number, 1);
		assert_int_equal(s->generation % 2, 1);
		assert_true(s->generation > last);
		last = s->generation;
		close_and_free(number);
		assert_int_equal(s->generation % 2, 0);
		assert_true(s->generation > last);
	}
}

static void there_are_as_many_sessions_as_the_capacity(void **state)
{
	(void)state;

	for (uint32_t i = 0; i < CAPACITY; i++)
		assert_int_not_equal(session_alloc(&table, 0), 0);
	assert_int_equal(session_alloc(&table, 0), 0);
	assert_int_equal(session_n_live(&table), CAPACITY);
	close_and_free(3);
	assert_int_equal(session_alloc(&table, 1), 3);
	assert_int_equal(session_alloc(&table, 1), 0);
}

static void a_large_table_takes_no_memory_until_it_is_used(void **state)
{
	struct session_table large;
	struct rusage before, after;

	(void)state;
	getrusage(RUSAGE_SELF, &before);
	assert_ok(session_table_init(&large, 4000000, 64));
	assert_int_equal(session_alloc(&large, 63), 1);
	getrusage(RUSAGE_SELF, &after);
	session_table_fini(&large);

	assert_true(after.ru_maxrss - before.ru_maxrss < 16 * 1024); /* KiB */
}

static void states_are_counted_over_all_workers(void **state)
{
	uint32_t a = session_alloc(&table, 0), b = session_alloc(&table, 1);

	(void)state;

	assert_int_equal(session_count(&table, SESSION_ACCEPTED), 2);
	go(a, SESSION_CONNECTING);
	go(b, SESSION_CONNECTING);
	go(b, SESSION_RELAYING);
	assert_int_equal(session_count(&table, SESSION_ACCEPTED), 0);
	assert_int_equal(session_count(&table, SESSION_CONNECTING), 1);
	assert_int_equal(session_count(&table, SESSION_RELAYING), 1);
	close_and_free(a);
	close_and_free(b);
	for (enum session_state s = 0; s < SESSION_STATE_N; s++)
		assert_int_equal(session_count(&table, s), 0);
	assert_int_equal(session_n_live(&table), 0);
}

static void a_copy_is_only_had_of_a_live_session(void **state)
{
	uint32_t number = session_alloc(&table, 0);
	struct session copy = { .rule = 99 };

	(void)state;

	assert_false(session_copy(&table, number + 1, &copy));
	assert_int_equal(copy.rule, 99);
	table.sessions[number].rule = 5;
	assert_true(session_copy(&table, number, &copy));
	assert_int_equal(copy.rule, 5);
	copy.rule = 99;
	go(number, SESSION_CLOSED);
	assert_false(session_copy(&table, number, &copy));
	session_free(&table, number);
	assert_false(session_copy(&table, number, &copy));
	assert_int_equal(copy.rule, 99);
}

/* ---- the drawing in session.h ------------------------------------------------ */

static const enum session_state path_to[][4] = {
	[SESSION_ACCEPTED] = { SESSION_FREE },
	[SESSION_CONNECTING] = { SESSION_CONNECTING },
	[SESSION_RELAYING] = { SESSION_CONNECTING, SESSION_RELAYING },
	[SESSION_CLIENT_ENDED] = { SESSION_CONNECTING, SESSION_RELAYING,
	                           SESSION_CLIENT_ENDED },
	[SESSION_SERVER_ENDED] = { SESSION_CONNECTING, SESSION_RELAYING,
	                           SESSION_SERVER_ENDED },
	[SESSION_CLOSED] = { SESSION_CLOSED },
};

static uint32_t session_in(enum session_state state)
{
	uint32_t number = session_alloc(&table, 0);

	for (size_t i = 0; i < ARRAY_SIZE(path_to[0]); i++)
		if (path_to[state][i] != SESSION_FREE)
			go(number, path_to[state][i]);
	assert_int_equal(table.sessions[number].state, state);
	return number;
}

static bool is_edge(enum session_state from, enum session_state to)
{
	static const bool edge[SESSION_STATE_N][SESSION_STATE_N] = {
		[SESSION_ACCEPTED][SESSION_CONNECTING] = true,
		[SESSION_ACCEPTED][SESSION_CLOSED] = true,
		[SESSION_CONNECTING][SESSION_ACCEPTED] = true,
		[SESSION_CONNECTING][SESSION_RELAYING] = true,
		[SESSION_CONNECTING][SESSION_CLOSED] = true,
		[SESSION_RELAYING][SESSION_CLIENT_ENDED] = true,
		[SESSION_RELAYING][SESSION_SERVER_ENDED] = true,
		[SESSION_RELAYING][SESSION_CLOSED] = true,
		[SESSION_CLIENT_ENDED][SESSION_CLOSED] = true,
		[SESSION_SERVER_ENDED][SESSION_CLOSED] = true,
		[SESSION_CLOSED][SESSION_FREE] = true,
	};

	return edge[from][to];
}

/* How a child ends that does @fn: 0, or the number of the signal. */
static int end_of_child(void (*fn)(uint32_t number, enum session_state to),
                        uint32_t number, enum session_state to)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit no_core = { 0 };

		signal(SIGABRT, SIG_DFL); /* cmocka has its own */
		setrlimit(RLIMIT_CORE, &no_core);
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		fn(number, to);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void the_edges_of_the_drawing_and_no_others_can_be_gone(void **state)
{
	(void)state;

	for (enum session_state from = SESSION_ACCEPTED; from < SESSION_STATE_N;
	     from++) {
		uint32_t number = session_in(from);

		for (enum session_state to = 0; to < SESSION_STATE_N; to++) {
			assert_int_equal(end_of_child(go, number, to),
			                 is_edge(from, to) ? 0 : SIGABRT);
			/* the record is shared memory: the child's too */
			table.sessions[number].state = from;
		}
		close_and_free(number);
	}
}

static void free_only(uint32_t number, enum session_state to)
{
	(void)to;

	session_free(&table, number);
}

static void a_session_that_still_holds_something_cannot_be_freed(void **state)
{
	uint32_t number = session_in(SESSION_CLOSED);
	struct session *s = &table.sessions[number];

	(void)state;

	s->end[SERVER].fd = 5;
	assert_int_equal(end_of_child(free_only, number, 0), SIGABRT);
	s->end[SERVER].fd = -1;
	s->flow[CLIENT].buffer = 1;
	assert_int_equal(end_of_child(free_only, number, 0), SIGABRT);
	s->flow[CLIENT].buffer = 0;
	s->timer.link.prev = 1;
	assert_int_equal(end_of_child(free_only, number, 0), SIGABRT);
	s->timer.link.prev = 0;
	s->ready.prev = 1;
	assert_int_equal(end_of_child(free_only, number, 0), SIGABRT);
	s->ready.prev = 0;
	assert_int_equal(end_of_child(free_only, number, 0), 0);
}

static void states_and_reasons_have_names_that_differ(void **state)
{
	(void)state;

	for (int i = 0; i < SESSION_STATE_N; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(session_state_name(i),
			                        session_state_name(j));
	for (int i = 0; i < CLOSE_N_REASONS; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(close_reason_text(i),
			                        close_reason_text(j));
}

/* ---- threads ---------------------------------------------------------------- */

/* Members of one session carry one number. */
static void stamp(struct session *s, uint32_t stamp)
{
	s->rule = s->server = s->client = s->tried = stamp;
}

/* A copy may be of the moment between: what has no stamp yet is 0. */
static bool is_of_one_session(const struct session *s)
{
	uint32_t all = s->rule | s->server | s->client | s->tried;

	return (s->rule == all || s->rule == 0) &&
	       (s->server == all || s->server == 0) &&
	       (s->client == all || s->client == 0) &&
	       (s->tried == all || s->tried == 0);
}

static void *live_and_die(void *arg)
{
	const unsigned int *worker = arg;

	for (uint32_t i = 1; i <= ROUNDS; i++) {
		uint32_t number = session_alloc(&table, *worker);

		if (number == 0)
			continue;
		stamp(&table.sessions[number], i * N_WORKERS + *worker);
		go(number, SESSION_CONNECTING);
		go(number, SESSION_RELAYING);
		close_and_free(number);
	}
	return NULL;
}

static void threads_share_the_table_and_the_counts_are_exact(void **state)
{
	pthread_t threads[N_THREADS];
	unsigned int workers[N_THREADS];

	(void)state;
	for (unsigned int i = 0; i < N_THREADS; i++) {
		workers[i] = i % N_WORKERS;
		assert_ok(pthread_create(&threads[i], NULL, live_and_die, &workers[i]));
	}
	for (unsigned int i = 0; i < N_THREADS; i++)
		assert_ok(pthread_join(threads[i], NULL));

	assert_int_equal(session_n_live(&table), 0);
	for (enum session_state s = 0; s < SESSION_STATE_N; s++)
		assert_int_equal(session_count(&table, s), 0);
	for (uint32_t i = 0; i < CAPACITY; i++)
		assert_int_not_equal(session_alloc(&table, 0), 0);
}

static bool is_over; /* atomic */

/* As the management port does. */
static void *copy_record_1(void *arg)
{
	unsigned int *n_mixed = arg;
	struct session copy;

	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		if (session_copy(&table, 1, &copy) && !is_of_one_session(&copy))
			++*n_mixed;
	return NULL;
}

/* As another worker does that looks for its own sessions. */
static void *watch_owner_of_record_1(void *arg)
{
	unsigned int *n_wrong = arg;

	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		*n_wrong += __atomic_load_n(&table.sessions[1].worker,
		                            __ATOMIC_RELAXED) != 1;
	return NULL;
}

/* Sessions of worker 1 come and go in record 1 while @reader looks at it. */
static void run_beside(void *(*reader)(void *), unsigned int *counter)
{
	unsigned int worker = 1;
	pthread_t thread;

	close_and_free(session_alloc(&table, worker));
	is_over = false;
	assert_ok(pthread_create(&thread, NULL, reader, counter));
	for (int i = 0; i < 20; i++)
		live_and_die(&worker);
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	assert_ok(pthread_join(thread, NULL));
}

static void a_copy_never_mixes_two_sessions(void **state)
{
	unsigned int n_mixed = 0;

	(void)state;

	run_beside(copy_record_1, &n_mixed);
	assert_int_equal(n_mixed, 0);
}

/* Each worker looks for its own sessions in records that others are using. */
static void a_record_never_seems_to_be_of_a_worker_that_did_not_take_it(void **state)
{
	unsigned int n_wrong = 0;

	(void)state;

	run_beside(watch_owner_of_record_1, &n_wrong);
	assert_int_equal(n_wrong, 0);
}

#define SESSION_TEST(test) cmocka_unit_test_setup_teardown(test, start_empty, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SESSION_TEST(a_new_session_is_accepted_zeroed_and_has_no_sockets),
		SESSION_TEST(what_a_session_left_behind_is_gone),
		SESSION_TEST(the_last_freed_is_the_first_used_again),
		SESSION_TEST(a_generation_is_odd_while_live_and_never_the_same_again),
		SESSION_TEST(there_are_as_many_sessions_as_the_capacity),
		SESSION_TEST(a_large_table_takes_no_memory_until_it_is_used),
		SESSION_TEST(states_are_counted_over_all_workers),
		SESSION_TEST(a_copy_is_only_had_of_a_live_session),
		SESSION_TEST(the_edges_of_the_drawing_and_no_others_can_be_gone),
		SESSION_TEST(a_session_that_still_holds_something_cannot_be_freed),
		SESSION_TEST(states_and_reasons_have_names_that_differ),
		SESSION_TEST(threads_share_the_table_and_the_counts_are_exact),
		SESSION_TEST(a_copy_never_mixes_two_sessions),
		SESSION_TEST(
		        a_record_never_seems_to_be_of_a_worker_that_did_not_take_it),
	};

	return test_run("session", tests, argc, argv);
}
