// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_socket_facts.c - this kernel behaves so: how much a socket's TCP was given, and
 * what wakes whoever waits for spliced sockets and their events.
 */
#include "test.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dice.h"
#include "splicing.h"

/* ---- bytes_acked + SIOCOUTQ ------------------------------------------------ */

struct writer {
	int fd, peer;
	uint64_t base, n; /* written */
};

static void write_some(struct writer *w, size_t n)
{
	static const char bytes[65536];
	ssize_t r = send(w->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (r > 0)
		w->n += (uint64_t)r;
}

static struct tcp_info info_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	assert_ok(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info;
}

static uint64_t n_acknowledged(int fd)
{
	return info_of(fd).tcpi_bytes_acked;
}

static void assert_counted(const struct writer *w)
{
	struct tcp_info info = info_of(w->fd);

	assert_int_equal(splicing_n_written(w->fd) - w->base, w->n);
	if (info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0)
		assert_int_equal(info.tcpi_bytes_acked - w->base, w->n);
}

/* Random writes; the peer reads now and then, too little, then everything. */
static void try_writer(int fd, int peer)
{
	struct writer w = { .fd = fd, .peer = peer, .base = splicing_n_written(fd) };
	struct dice dice = { 7 };
	unsigned int n_partly = 0;
	char buffer[65536];

	tcp_set_option(peer, SOL_SOCKET, SO_RCVBUF, 32768);
	for (int i = 0; i < 3000; i++) {
		write_some(&w, 1 + dice_roll(&dice, i % 2 ? sizeof(buffer) : 20));
		assert_counted(&w);
		if (dice_roll(&dice, 4) == 0)
			recv(peer, buffer, 1 + dice_roll(&dice, sizeof(buffer)),
			     MSG_DONTWAIT);
		assert_counted(&w);
		n_partly += splicing_n_unsent(fd) > 0 &&
		            n_acknowledged(fd) > w.base + 100000;
	}
	assert_true(n_partly > 0);
	while (splicing_n_unsent(fd) > 0) {
		assert_true(tcp_wait(peer, POLLIN));
		assert_true(recv(peer, buffer, sizeof(buffer), MSG_DONTWAIT) > 0);
		assert_counted(&w);
	}
	assert_counted(&w);
}

static void what_the_connecting_end_was_given_can_be_counted(void **state)
{
	int a, b;

	(void)state;
	tcp_pair(&a, &b);
	try_writer(a, b);
	close(a);
	close(b);
}

static void what_the_accepting_end_was_given_can_be_counted(void **state)
{
	int a, b;

	(void)state;
	tcp_pair(&a, &b);
	try_writer(b, a);
	close(a);
	close(b);
}

static void the_count_holds_while_the_peer_never_reads(void **state)
{
	struct writer w;

	(void)state;
	tcp_pair(&w.fd, &w.peer);
	w.base = splicing_n_written(w.fd);
	w.n = tcp_fill(w.fd);

	assert_counted(&w);
	assert_true(splicing_n_unsent(w.fd) > 0);
	assert_true(n_acknowledged(w.fd) > w.base);
	close(w.fd);
	close(w.peer);
}

static void a_fin_counts_as_one(void **state)
{
	struct writer w = { 0 };

	(void)state;
	tcp_pair(&w.fd, &w.peer);
	w.base = splicing_n_written(w.fd);
	write_some(&w, 100);

	shutdown(w.fd, SHUT_WR);

	w.n++;
	assert_counted(&w);
	close(w.fd);
	close(w.peer);
}

static void *read_to_the_end(void *arg)
{
	const int *peer = arg;
	char buffer[65536];

	while (tcp_wait(*peer, POLLIN) && recv(*peer, buffer, sizeof(buffer), 0) != 0)
		;
	return NULL;
}

static void read_in_that_order_the_count_is_never_too_much(void **state)
{
	struct writer w = { 0 };
	pthread_t reader;

	(void)state;
	tcp_pair(&w.fd, &w.peer);
	w.base = splicing_n_written(w.fd);
	assert_ok(pthread_create(&reader, NULL, read_to_the_end, &w.peer));

	for (int i = 0; i < 20000; i++) {
		uint64_t n;

		write_some(&w, 1 + (size_t)i % 5000);
		n = n_acknowledged(w.fd);
		n += splicing_n_unsent(w.fd);
		assert_true(n - w.base <= w.n);
	}
	assert_counted(&w);
	shutdown(w.fd, SHUT_WR);
	assert_ok(pthread_join(reader, NULL));
	close(w.fd);
	close(w.peer);
}

static void what_the_kernel_sends_on_is_counted_as_well(void **state)
{
	struct splicing_session s;
	struct splicing in;
	uint64_t base[2];

	(void)state;
	splicing_open(&in);
	splicing_connect(&in, &s, 1);
	base[0] = splicing_n_written(s.end[0]);
	base[1] = splicing_n_written(s.end[1]);
	splicing_insert(&s, SPLICING_LIMIT);

	for (int i = 1; i < 200; i++) {
		splicing_send(&s, i & 1, (size_t)i * 50);
		splicing_receive(&s, i & 1);
	}

	for (int from = 0; from < 2; from++) {
		assert_int_equal(splicing_flow(&s, from)->redirected,
		                 s.stream[from].n_sent);
		assert_int_equal(splicing_n_written(s.end[!from]) - base[!from],
		                 s.stream[from].n_sent);
	}
	splicing_stop(&s);
}

/* ---- wake-ups -------------------------------------------------------------- */

static int watch_ends(const struct splicing_session *s, uint32_t events)
{
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	assert_true(epfd >= 0);
	for (int i = 0; i < 2; i++) {
		struct epoll_event event = { .events = events };

		assert_ok(epoll_ctl(epfd, EPOLL_CTL_ADD, s->end[i], &event));
	}
	return epfd;
}

struct sleeper {
	int epfd;
	atomic_uint n_woken;
	atomic_bool has_seen_end;
};

/* What the daemon would be woken for, until an end is reported. */
static void *sleep_and_count(void *arg)
{
	struct sleeper *sleeper = arg;
	struct epoll_event event;

	while (!sleeper->has_seen_end &&
	       epoll_wait(sleeper->epfd, &event, 1, TCP_PATIENCE_MS) == 1) {
		sleeper->n_woken++;
		sleeper->has_seen_end = event.events & EPOLLRDHUP;
	}
	return NULL;
}

static void redirected_messages_wake_nobody_who_waits_for_the_end(void **state)
{
	struct sleeper sleeper = { 0 };
	struct splicing_session s;
	struct splicing in;
	pthread_t thread;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	sleeper.epfd = watch_ends(&s, EPOLLRDHUP | EPOLLET);
	assert_ok(pthread_create(&thread, NULL, sleep_and_count, &sleeper));
	s.is_held_up = true;

	for (int i = 0; i < 5000; i++) {
		splicing_send(&s, i & 1, 64);
		splicing_receive(&s, i & 1);
	}
	assert_int_equal(sleeper.n_woken, 0);
	shutdown(s.app[0], SHUT_WR);

	assert_ok(pthread_join(thread, NULL));
	assert_true(sleeper.has_seen_end);
	assert_int_equal(sleeper.n_woken, 1);
	close(sleeper.epfd);
	splicing_stop(&s);
}

static void a_reset_wakes_whoever_waits_for_the_end(void **state)
{
	struct splicing_session s;
	struct splicing in;
	struct epoll_event event;
	int epfd;

	(void)state;
	splicing_start(&in, &s, SPLICING_LIMIT);
	epfd = watch_ends(&s, EPOLLRDHUP | EPOLLET);

	tcp_reset(s.app[0]);
	s.app[0] = -1;

	assert_int_equal(epoll_wait(epfd, &event, 1, TCP_PATIENCE_MS), 1);
	assert_true(event.events & EPOLLHUP);
	assert_true(event.events & EPOLLERR);
	tcp_expect_silence(s.app[1]); /* nobody tells the other end */
	close(epfd);
	splicing_stop(&s);
}

static void the_ring_is_readable_once_for_each_switch(void **state)
{
	struct splicing_session s;
	struct splicing in;

	(void)state;
	splicing_start(&in, &s, SPLICING_TINY);
	for (unsigned int i = 1; i <= 100; i++) {
		struct pollfd p = { .fd = splice_events_fd(in.sp, 0),
			            .events = POLLIN };

		assert_int_equal(poll(&p, 1, 0), 0);
		splicing_send(&s, 0, SPLICING_BIG);
		assert_int_equal(poll(&p, 1, TCP_PATIENCE_MS), 1);
		splicing_send(&s, 0, 10); /* passed up as well, and no switch */
		splicing_receive(&s, 0);
		assert_int_equal(in.n_events, i);
	}

	assert_int_equal(splicing_flow(&s, 0)->n_switches, 100);
	splicing_stop(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_connecting_end_was_given_can_be_counted),
		cmocka_unit_test(what_the_accepting_end_was_given_can_be_counted),
		cmocka_unit_test(the_count_holds_while_the_peer_never_reads),
		cmocka_unit_test(a_fin_counts_as_one),
		cmocka_unit_test(read_in_that_order_the_count_is_never_too_much),
		cmocka_unit_test(what_the_kernel_sends_on_is_counted_as_well),
		cmocka_unit_test(redirected_messages_wake_nobody_who_waits_for_the_end),
		cmocka_unit_test(a_reset_wakes_whoever_waits_for_the_end),
		cmocka_unit_test(the_ring_is_readable_once_for_each_switch),
	};

	return test_run("socket facts", tests, argc, argv);
}
