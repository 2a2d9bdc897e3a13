// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_splice_events.c - what the daemon is told: events, response times, when bytes
 * came; and what a session leaves behind.
 */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "splicing.h"

/* ---- events ---------------------------------------------------------------- */

static void an_event_tells_the_slot_and_the_generation(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_open(&in);
	splicing_connect(&in, &s, 7);
	splicing_insert(&s, SPLICING_TINY);
	for (int from = 0; from < 2; from++) {
		splicing_send(&s, from, SPLICING_BIG);
		splicing_receive(&s, from);

		assert_int_equal(in.n_events, from + 1);
		assert_int_equal(in.event.slot, 2 * 7 + from);
		assert_int_equal(in.event.generation, s.id);
	}
	splicing_stop(&s);
}

static void bytes_that_are_redirected_make_no_event(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	for (int i = 0; i < 50; i++) {
		splicing_send(&s, 0, 100);
		splicing_receive(&s, 0);
	}

	assert_int_equal(in.n_events, 0);
	assert_int_equal(splicing_flow(&s, 0)->n_switches, 0);
	splicing_stop(&s);
}

static void count(void *ctx, const struct g5x_event *event)
{
	unsigned int *n = ctx;

	(void)event;
	(*n)++;
}

/* One event, and the daemon does not read it. */
static void switch_once(struct splicing_session *s)
{
	char bytes[SPLICING_BIG];

	splicing_send(s, 0, SPLICING_BIG);
	for (size_t n = 0; n < SPLICING_BIG;) {
		ssize_t r;

		assert_true(tcp_wait(s->end[0], POLLIN));
		r = recv(s->end[0], bytes, SPLICING_BIG, 0);
		assert_true(r > 0);
		n += (size_t)r;
	}
	splice_relayed(s->in->sp, s->number, 0, SPLICING_BIG);
}

static void lost_events_are_reported_once(void **state)
{
	static struct splicing_session s[SPLICING_SESSIONS];
	const unsigned int n_switches = 5008;
	unsigned int n = 0;
	struct splicing in;

	(void)state;
	splicing_open(&in);
	for (uint32_t i = 0; i < SPLICING_SESSIONS; i++) {
		splicing_connect(&in, &s[i], i + 1);
		splicing_insert(&s[i], SPLICING_TINY);
	}
	for (unsigned int i = 0; i < n_switches; i++)
		switch_once(&s[i % SPLICING_SESSIONS]);

	assert_true(splice_totals(in.sp)->events_lost > 0);
	assert_false(splice_read_events(in.sp, 0, count, &n));
	assert_int_equal(n + splice_totals(in.sp)->events_lost, n_switches);
	assert_true(n >= 4000);
	assert_true(splice_read_events(in.sp, 0, count, &n));
	switch_once(&s[3]);
	n = 0;
	assert_true(splice_read_events(in.sp, 0, count, &n));
	assert_int_equal(n, 1);
	for (int i = 0; i < SPLICING_SESSIONS; i++)
		splicing_end(&s[i]);
	splicing_close(&in);
}

static void each_worker_has_a_ring_of_its_own(void **state)
{
	const struct splice_options options = { .n_sessions = 4, .n_workers = 3 };
	struct splicing_session s;
	struct splicing in = { 0 };
	struct splice_pair pair;
	unsigned int n[3] = { 0, 0, 0 };
	const char *step;
	bool is_in[2];

	(void)state;
	splicing_need();
	assert_ok(splice_open(&options, &in.sp, &step));
	splicing_connect(&in, &s, 2);
	pair = splicing_pair(&s);
	pair.worker = 1;
	pair.limit = SPLICING_TINY;
	assert_ok(splice_insert(in.sp, &pair, is_in));

	switch_once(&s);

	for (unsigned int i = 0; i < 3; i++)
		assert_true(splice_read_events(in.sp, i, count, &n[i]));
	assert_int_equal(n[0], 0);
	assert_int_equal(n[1], 1);
	assert_int_equal(n[2], 0);
	splicing_stop(&s);
}

/* ---- times ----------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void the_first_and_the_last_byte_have_their_time(void **state)
{
	const struct g5x_flow *flow;
	struct splicing_session s;
	struct splicing in;
	uint64_t before, between, after;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	flow = splicing_flow(&s, 0);
	assert_int_equal(flow->first_ns, 0);

	before = now_ns();
	splicing_send(&s, 0, 10);
	splicing_receive(&s, 0);
	between = now_ns();
	assert_int_equal(flow->last_ns, flow->first_ns);
	splicing_send(&s, 0, 10);
	splicing_receive(&s, 0);
	after = now_ns();

	assert_in_range(flow->first_ns, before, between);
	assert_in_range(flow->last_ns, between, after);
	assert_int_equal(splicing_flow(&s, 1)->first_ns, 0);
	splicing_stop(&s);
}

/* Requests and responses of several chunks each. */
static void ask_and_answer(struct splicing_session *s, int n)
{
	for (int i = 0; i < n; i++) {
		for (int from = 0; from < 2; from++) {
			for (int part = 0; part < 3; part++) {
				splicing_send(s, from, 100);
				splicing_receive(s, from);
			}
		}
	}
}

static void start_measuring(struct splicing *in, struct splicing_session *s)
{
	struct splice_pair pair;
	bool is_in[2];

	splicing_open(in);
	splicing_connect(in, s, 1);
	pair = splicing_pair(s);
	pair.wants_responses = true;
	assert_ok(splice_insert(in->sp, &pair, is_in));
}

static void a_response_is_counted_once_for_each_request(void **state)
{
	const struct g5x_session *entry;
	struct splicing_session s;
	struct splicing in;
	uint64_t start = now_ns();

	(void)state;
	start_measuring(&in, &s);
	entry = splice_session(in.sp, 1);

	ask_and_answer(&s, 40);

	assert_int_equal(entry->n_responses, 40);
	assert_in_range(entry->response_ns, 1, now_ns() - start);
	splicing_stop(&s);
}

static void what_the_server_says_unasked_is_no_response(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	start_measuring(&in, &s);

	splicing_send(&s, 1, 100);
	splicing_receive(&s, 1);
	assert_int_equal(splice_session(in.sp, 1)->n_responses, 0);
	ask_and_answer(&s, 2);

	assert_int_equal(splice_session(in.sp, 1)->n_responses, 2);
	splicing_stop(&s);
}

static void responses_are_not_counted_when_nobody_wants_them(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	ask_and_answer(&s, 3);

	assert_int_equal(splice_session(in.sp, 1)->n_responses, 0);
	assert_int_equal(splice_session(in.sp, 1)->response_ns, 0);
	splicing_stop(&s);
}

/* ---- what is left ---------------------------------------------------------- */

static bool is_map(int fd)
{
	char path[32], target[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	return !strcmp(target, "anon_inode:bpf-map");
}

/* An fd that this process has open, of the map of that name. */
static int map_of(const char *name)
{
	for (int fd = 0; fd < 256; fd++) {
		struct bpf_map_info info = { 0 };
		__u32 len = sizeof(info);

		if (is_map(fd) && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 &&
		    !strcmp(info.name, name))
			return fd;
	}
	fail_msg("no map is named %s", name);
	return -1;
}

static unsigned int n_entries(int map)
{
	struct g5x_cookie key, next;
	unsigned int n = 0;

	for (int r = bpf_map_get_next_key(map, NULL, &next); r == 0;
	     r = bpf_map_get_next_key(map, &key, &next)) {
		key = next;
		n++;
	}
	return n;
}

static bool is_slot_empty(int sockets, __u32 index)
{
	struct g5x_slot slot = { .index = index };
	struct g5x_socket value;

	return bpf_map_lookup_elem(sockets, &slot, &value) == -ENOENT;
}

static void a_session_that_is_gone_leaves_nothing_behind(void **state)
{
	struct splicing_session s[3];
	struct splicing in;
	int slots, sockets;

	(void)state;
	splicing_open(&in);
	slots = map_of("g5x_slots");
	sockets = map_of("g5x_sockets");
	for (uint32_t i = 0; i < 3; i++) {
		splicing_connect(&in, &s[i], i + 1);
		splicing_insert(&s[i], SPLICING_LIMIT);
	}
	assert_int_equal(n_entries(slots), 6);

	splicing_send(&s[1], 0, 100);
	splicing_receive(&s[1], 0);
	splicing_end(&s[1]);

	assert_int_equal(n_entries(slots), 4);
	assert_true(splicing_is_forgotten(&in, 2));
	for (__u32 i = 0; i < 8; i++)
		assert_int_equal(is_slot_empty(sockets, i), i < 2 || i / 2 == 2);
	splicing_end(&s[0]);
	splicing_end(&s[2]);
	assert_int_equal(n_entries(slots), 0);
	splicing_close(&in);
}

static void what_could_not_be_inserted_leaves_nothing_behind(void **state)
{
	struct splicing_session s;
	struct splicing in;
	struct splice_pair pair;
	bool is_in[2];

	(void)state;
	splicing_open(&in);
	splicing_connect(&in, &s, 1);
	for (int i = 0; i < 2; i++) {
		shutdown(s.app[i], SHUT_WR);
		assert_true(tcp_wait(s.end[i], POLLRDHUP));
	}
	pair = splicing_pair(&s);
	assert_int_equal(splice_insert(in.sp, &pair, is_in), -EOPNOTSUPP);

	assert_int_equal(n_entries(map_of("g5x_slots")), 0);
	splicing_stop(&s);
}

static void a_detached_session_counts_nothing_more(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	splice_detach(in.sp, 1);

	splicing_send(&s, 0, 100);

	assert_true(tcp_wait(s.end[0], POLLIN));
	assert_int_equal(splicing_n_seen(&s, 0), 0);
	tcp_expect_silence(s.app[1]);
	splicing_stop(&s);
}

static void closing_gives_back_every_descriptor(void **state)
{
	struct splicing_session s;
	struct splicing in;
	unsigned int n_fds;

	(void)state;
	splicing_need();
	n_fds = fd_count();

	splicing_start(&in, &s, SPLICING_LIMIT);
	splicing_send(&s, 0, 100);
	splicing_receive(&s, 0);
	splicing_stop(&s);

	assert_int_equal(fd_count(), n_fds);
}

/* ---- the self-test --------------------------------------------------------- */

static void the_self_test_passes_and_leaves_nothing_behind(void **state)
{
	struct splicing in;
	char reason[160] = "";
	unsigned int n_fds;
	int r = -ETIMEDOUT;

	(void)state;
	splicing_open(&in);
	n_fds = fd_count();

	/* It gives up soon; on a busy machine splice_start() has it try again, too. */
	for (int i = 0; i < 10 && r == -ETIMEDOUT; i++)
		r = splice_self_test(in.sp, reason, sizeof(reason));
	assert_ok(r);

	assert_non_null(strstr(reason, "self-test passed"));
	assert_int_equal(fd_count(), n_fds);
	assert_int_equal(n_entries(map_of("g5x_slots")), 0);
	assert_true(splicing_is_forgotten(&in, 1));
	splicing_close(&in);
}

static void starting_gives_a_splice_that_works_and_says_so(void **state)
{
	const struct splice_options options = { .n_sessions = 4, .n_workers = 1 };
	struct splicing_session s;
	struct splicing in = { 0 };
	char reason[160] = "";

	(void)state;
	splicing_need();
	assert_ok(splice_start(&options, &in.sp, reason, sizeof(reason)));
	assert_non_null(strstr(reason, "self-test passed"));

	splicing_connect(&in, &s, 1);
	splicing_insert(&s, SPLICING_LIMIT);
	splicing_send(&s, 0, 100);
	splicing_receive(&s, 0);
	splicing_stop(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_tells_the_slot_and_the_generation),
		cmocka_unit_test(bytes_that_are_redirected_make_no_event),
		cmocka_unit_test(lost_events_are_reported_once),
		cmocka_unit_test(each_worker_has_a_ring_of_its_own),
		cmocka_unit_test(the_first_and_the_last_byte_have_their_time),
		cmocka_unit_test(a_response_is_counted_once_for_each_request),
		cmocka_unit_test(what_the_server_says_unasked_is_no_response),
		cmocka_unit_test(responses_are_not_counted_when_nobody_wants_them),
		cmocka_unit_test(a_session_that_is_gone_leaves_nothing_behind),
		cmocka_unit_test(what_could_not_be_inserted_leaves_nothing_behind),
		cmocka_unit_test(a_detached_session_counts_nothing_more),
		cmocka_unit_test(closing_gives_back_every_descriptor),
		cmocka_unit_test(the_self_test_passes_and_leaves_nothing_behind),
		cmocka_unit_test(starting_gives_a_splice_that_works_and_says_so),
	};

	return test_run("splice events", tests, argc, argv);
}
