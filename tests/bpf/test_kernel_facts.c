// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_kernel_facts.c - this kernel behaves so: what bpf/splice.bpf.c and splice.c take
 * for granted about sockmaps and TCP, without either of them.
 *
 *      a <──TCP──> b [sources]        c [sinks] <──TCP──> d
 *
 * Both maps have one slot. A verdict program of a few instructions notes what it sees of
 * each chunk of b and returns what the test wants: to pass it, to drop it when it has no
 * bytes, or what a redirect to c returned. What c gets itself is passed up.
 */
#include "test.h"

#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "dice.h"
#include "g5x_abi.h"
#include "splicing.h"

/* ---- a verdict program ----------------------------------------------------- */

/* Value of the map `seen`: the last chunk, as the program saw it. */
struct seen {
	__u32 seq, end_seq; /* skb->cb[0] and [1] */
	__u32 len;
	__u32 n_chunks;
	__u64 n_bytes;
};

#define INSN(c, d, s, o, i)                                                         \
	{                                                                           \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
	}
#define COPY(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, n) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, n)
#define ADD(d, n) INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, n)
#define LOAD(d, s, o) INSN(BPF_LDX | BPF_MEM | BPF_W, d, s, o, 0)
#define STORE(d, o, s) INSN(BPF_STX | BPF_MEM | BPF_W, d, s, o, 0)
#define ADD_TO_32(d, o, s) INSN(BPF_STX | BPF_ATOMIC | BPF_W, d, s, o, BPF_ADD)
#define ADD_TO_64(d, o, s) INSN(BPF_STX | BPF_ATOMIC | BPF_DW, d, s, o, BPF_ADD)
#define MAP(d, fd)                                                    \
	INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), \
	        INSN(0, 0, 0, 0, 0)
#define CALL(f) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define SKIP_IF_0(r, n) INSN(BPF_JMP | BPF_JEQ | BPF_K, r, 0, n, 0)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

#define SKB(field) ((__s16)offsetof(struct __sk_buff, field))
#define SEEN(field) ((__s16)offsetof(struct seen, field))

enum what { PASS_ALL, DROP_EMPTY, REDIRECT_ALL };

struct rig {
	int sources, sinks, seen; /* maps */
	int prog, pass_prog;
	int a, b, c, d;
};

static int load(const struct rig *rig, enum what what)
{
	const struct bpf_insn insns[] = {
		COPY(6, 1),
		INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0),
		MAP(1, rig->seen),
		COPY(2, 10),
		ADD(2, -4),
		CALL(BPF_FUNC_map_lookup_elem),
		SKIP_IF_0(0, 9),
		LOAD(1, 6, SKB(cb[0])),
		STORE(0, SEEN(seq), 1),
		LOAD(1, 6, SKB(cb[1])),
		STORE(0, SEEN(end_seq), 1),
		LOAD(1, 6, SKB(len)),
		STORE(0, SEEN(len), 1),
		ADD_TO_64(0, SEEN(n_bytes), 1),
		SET(1, 1),
		ADD_TO_32(0, SEEN(n_chunks), 1),
		SET(0, what == REDIRECT_ALL),
		SKIP_IF_0(0, 7),
		COPY(1, 6),
		MAP(2, rig->sinks),
		SET(3, 0),
		SET(4, 0),
		CALL(BPF_FUNC_sk_redirect_map),
		EXIT(),
		SET(0, what == DROP_EMPTY ? SK_DROP : SK_PASS),
		LOAD(1, 6, SKB(len)),
		SKIP_IF_0(1, 1),
		SET(0, SK_PASS),
		EXIT(),
	};

	return bpf_prog_load(BPF_PROG_TYPE_SK_SKB, "verdict", "GPL", insns,
	                     ARRAY_SIZE(insns), NULL);
}

static int load_pass_all(void)
{
	const struct bpf_insn insns[] = { SET(0, SK_PASS), EXIT() };

	return bpf_prog_load(BPF_PROG_TYPE_SK_SKB, "pass", "GPL", insns,
	                     ARRAY_SIZE(insns), NULL);
}

/* Into the only slot; 0 or -errno. */
static int put(int map, int fd)
{
	struct g5x_slot key = { .index = 0 };
	struct g5x_socket value = { .fd_or_cookie = (__u64)fd };

	return bpf_map_update_elem(map, &key, &value, BPF_NOEXIST);
}

static int make_sockmap(int prog)
{
	int map = bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "sockets", 4, 8, 1, NULL);

	assert_true(map >= 0 && prog >= 0);
	assert_ok(bpf_prog_attach(prog, map, BPF_SK_SKB_STREAM_VERDICT, 0));
	return map;
}

static void open_rig(struct rig *rig, enum what what)
{
	splicing_need();
	rig->seen = bpf_map_create(BPF_MAP_TYPE_ARRAY, "seen", 4, sizeof(struct seen),
	                           1, NULL);
	assert_true(rig->seen >= 0);
	rig->pass_prog = load_pass_all();
	rig->sinks = make_sockmap(rig->pass_prog);
	rig->prog = load(rig, what);
	rig->sources = make_sockmap(rig->prog);
	tcp_pair(&rig->a, &rig->b);
	tcp_pair(&rig->c, &rig->d);
}

/* Both ends in, and no room in c for what is redirected. */
static void block_sink(struct rig *rig)
{
	tcp_set_option(rig->c, SOL_SOCKET, SO_SNDBUF, 16384);
	tcp_fill(rig->c);
	assert_ok(put(rig->sources, rig->b));
	assert_ok(put(rig->sinks, rig->c));
}

static void close_rig(struct rig *rig)
{
	const int fds[] = { rig->a,    rig->b,     rig->c,
		            rig->d,    rig->prog,  rig->pass_prog,
		            rig->seen, rig->sinks, rig->sources };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static struct seen seen_by(const struct rig *rig)
{
	struct g5x_slot first = { .index = 0 };
	struct seen seen;

	assert_ok(bpf_map_lookup_elem(rig->seen, &first, &seen));
	return seen;
}

#define wait_until(condition)                                       \
	do {                                                        \
		uint64_t give_up_ms = clock_ms() + TCP_PATIENCE_MS; \
		while (!(condition)) {                              \
			assert_true(clock_ms() < give_up_ms);       \
			poll(NULL, 0, 1);                           \
		}                                                   \
	} while (0)

/* ---- the end of a stream --------------------------------------------------- */

static void a_fin_reaches_the_verdict_as_a_chunk_without_bytes(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, PASS_ALL);
	assert_ok(put(rig.sources, rig.b));
	tcp_send(rig.a, "request", 7);
	wait_until(seen_by(&rig).n_chunks == 1);

	shutdown(rig.a, SHUT_WR);

	wait_until(seen_by(&rig).n_chunks == 2);
	assert_int_equal(seen_by(&rig).len, 0);
	assert_int_equal(seen_by(&rig).n_bytes, 7);
	tcp_expect(rig.b, "request", 7);
	tcp_expect_end(rig.b);
	close_rig(&rig);
}

static void a_fin_that_is_redirected_breaks_the_destination(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, REDIRECT_ALL);
	assert_ok(put(rig.sources, rig.b));
	assert_ok(put(rig.sinks, rig.c));
	tcp_send(rig.a, "request", 7);
	tcp_expect(rig.d, "request", 7);

	shutdown(rig.a, SHUT_WR);

	wait_until(send(rig.c, "x", 1, MSG_NOSIGNAL) < 0);
	assert_int_equal(errno, EPIPE);
	close_rig(&rig);
}

static void a_fin_that_is_dropped_is_seen_by_the_reader_all_the_same(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, DROP_EMPTY);
	assert_ok(put(rig.sources, rig.b));
	tcp_send(rig.a, "request", 7);
	shutdown(rig.a, SHUT_WR);
	wait_until(seen_by(&rig).n_chunks == 2);

	assert_true(tcp_wait(rig.b, POLLRDHUP));
	tcp_expect(rig.b, "request", 7);
	tcp_expect_end(rig.b);
	tcp_send(rig.b, "answer", 6);
	tcp_expect(rig.a, "answer", 6);
	close_rig(&rig);
}

/* What is to be sent and what is passed up wait in one queue, and there a chunk that
 * moves no bytes is taken for a broken pipe. */
static void a_fin_that_waits_behind_redirected_bytes_breaks_its_socket(void **state)
{
	char bytes[65536];
	struct rig rig;

	(void)state;
	open_rig(&rig, REDIRECT_ALL);
	block_sink(&rig);
	tcp_send(rig.a, "request", 7);
	wait_until(seen_by(&rig).n_bytes == 7);
	shutdown(rig.d, SHUT_WR);
	assert_true(tcp_wait(rig.c, POLLRDHUP));

	wait_until(recv(rig.d, bytes, sizeof(bytes), 0) != 0 &&
	           send(rig.c, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	close_rig(&rig);
}

static void a_socket_whose_fin_has_come_cannot_be_inserted(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, PASS_ALL);
	shutdown(rig.a, SHUT_WR);
	assert_true(tcp_wait(rig.b, POLLIN));

	assert_int_equal(put(rig.sources, rig.b), -EOPNOTSUPP);

	tcp_expect_end(rig.b);
	close_rig(&rig);
}

/* ---- the beginning --------------------------------------------------------- */

static void early_bytes_are_stranded_until_somebody_peeks_at_one(void **state)
{
	char byte;
	struct rig rig;

	(void)state;
	open_rig(&rig, PASS_ALL);
	tcp_send(rig.a, "early", 5);
	assert_true(tcp_wait(rig.b, POLLIN));
	assert_ok(put(rig.sources, rig.b));
	assert_int_equal(seen_by(&rig).n_chunks, 0);

	recv(rig.b, &byte, 0, MSG_PEEK | MSG_DONTWAIT);
	assert_int_equal(seen_by(&rig).n_chunks, 0);
	recv(rig.b, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	assert_int_equal(seen_by(&rig).n_chunks, 1);
	assert_int_equal(seen_by(&rig).n_bytes, 5);
	tcp_expect(rig.b, "early", 5);
	close_rig(&rig);
}

static void bytes_that_were_read_before_the_insertion_are_seen_again(void **state)
{
	char byte;
	struct rig rig;

	(void)state;
	open_rig(&rig, PASS_ALL);
	tcp_send(rig.a, "abcde", 5);
	tcp_expect(rig.b, "abc", 3);
	assert_ok(put(rig.sources, rig.b));

	recv(rig.b, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	assert_int_equal(seen_by(&rig).n_bytes, 5);
	close_rig(&rig);
}

static void a_closed_socket_leaves_its_slot_empty(void **state)
{
	struct g5x_slot first = { .index = 0 };
	struct g5x_socket value;
	struct rig rig;

	(void)state;
	open_rig(&rig, PASS_ALL);
	assert_ok(put(rig.sources, rig.b));
	assert_int_equal(put(rig.sources, rig.c), -EEXIST);

	close(rig.b);
	rig.b = -1;

	assert_int_equal(bpf_map_lookup_elem(rig.sources, &first, &value), -ENOENT);
	assert_ok(put(rig.sources, rig.c));
	close_rig(&rig);
}

/* ---- chunks ---------------------------------------------------------------- */

static void a_chunk_tells_its_sequence_numbers(void **state)
{
	static const char bytes[30000];
	struct dice dice = { 1 };
	uint64_t n_sent = 1;
	__u32 first, seen_to;
	struct rig rig;

	(void)state;
	open_rig(&rig, PASS_ALL);
	assert_ok(put(rig.sources, rig.b));
	tcp_send(rig.a, bytes, 1);
	tcp_expect(rig.b, bytes, 1);
	first = seen_by(&rig).seq;
	seen_to = first + 1;

	for (int i = 0; i < 300; i++) {
		size_t n = 1 + dice_roll(&dice, i % 3 ? sizeof(bytes) : 4);
		__u32 chunk = seen_by(&rig).n_chunks;

		tcp_send(rig.a, bytes, n);
		tcp_expect(rig.b, bytes, n);
		n_sent += n;
		if (seen_by(&rig).n_chunks == chunk + 1)
			assert_int_equal(seen_by(&rig).seq, seen_to);
		assert_int_equal(seen_by(&rig).end_seq,
		                 seen_by(&rig).seq + seen_by(&rig).len);
		seen_to = seen_by(&rig).end_seq;
		assert_int_equal(seen_to, first + (__u32)n_sent);
	}
	close_rig(&rig);
}

static void a_refused_redirect_drops_what_the_sender_thinks_has_arrived(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, REDIRECT_ALL);
	assert_ok(put(rig.sources, rig.b)); /* and c is not in */

	tcp_send(rig.a, "request", 7);

	wait_until(seen_by(&rig).n_chunks == 1 && splicing_n_unsent(rig.a) == 0);
	tcp_expect_silence(rig.b);
	close_rig(&rig);
}

static void a_redirect_takes_more_than_tcp_would(void **state)
{
	const uint64_t many = 64U << 20;
	static const char bytes[65536];
	uint64_t n_sent = 0;
	struct rig rig;

	(void)state;
	open_rig(&rig, REDIRECT_ALL);
	tcp_set_option(rig.c, SOL_SOCKET, SO_SNDBUF, 16384);
	tcp_set_option(rig.d, SOL_SOCKET, SO_RCVBUF, 16384);
	assert_ok(put(rig.sources, rig.b));
	assert_ok(put(rig.sinks, rig.c));

	while (n_sent < many) {
		tcp_send(rig.a, bytes, sizeof(bytes));
		n_sent += sizeof(bytes);
	}

	wait_until(splicing_n_unsent(rig.a) == 0);
	assert_int_equal(seen_by(&rig).n_bytes, n_sent);
	close_rig(&rig);
}

static void bytes_that_are_passed_up_stop_the_sender(void **state)
{
	const uint64_t many = 64U << 20;
	static const char bytes[65536];
	uint64_t n_sent = 0;
	struct rig rig;

	(void)state;
	open_rig(&rig, PASS_ALL);
	tcp_set_option(rig.a, SOL_SOCKET, SO_SNDBUF, 65536);
	tcp_set_option(rig.b, SOL_SOCKET, SO_RCVBUF, 65536);
	assert_ok(put(rig.sources, rig.b));

	while (n_sent < many) {
		struct pollfd p = { .fd = rig.a, .events = POLLOUT };
		ssize_t n = send(rig.a, bytes, sizeof(bytes), MSG_NOSIGNAL);

		if (n > 0)
			n_sent += (uint64_t)n;
		else if (poll(&p, 1, 50) == 0)
			break;
	}

	assert_true(n_sent < 4U << 20);
	assert_true(seen_by(&rig).n_bytes < 1U << 20);
	close_rig(&rig);
}

/* They wait, charged to nobody, behind the chunk that c cannot send. */
static void bytes_passed_up_behind_redirected_ones_stop_nobody(void **state)
{
	const uint64_t many = 64U << 20;
	static const char bytes[65536];
	struct rig rig;

	(void)state;
	open_rig(&rig, REDIRECT_ALL);
	block_sink(&rig);
	tcp_set_option(rig.c, SOL_SOCKET, SO_RCVBUF, 65536);
	tcp_send(rig.a, "request", 7);
	wait_until(seen_by(&rig).n_bytes == 7);

	for (uint64_t n_sent = 0; n_sent < many; n_sent += sizeof(bytes))
		tcp_send(rig.d, bytes, sizeof(bytes));

	wait_until(splicing_n_unsent(rig.d) == 0);
	tcp_expect_silence(rig.c);
	close_rig(&rig);
}

static void a_close_loses_what_was_redirected_and_not_sent_yet(void **state)
{
	static char bytes[65536];
	uint64_t n_sent = 0, n_read = 0;
	ssize_t n;
	struct rig rig;

	(void)state;
	open_rig(&rig, REDIRECT_ALL);
	tcp_set_option(rig.c, SOL_SOCKET, SO_SNDBUF, 16384);
	tcp_set_option(rig.d, SOL_SOCKET, SO_RCVBUF, 16384);
	assert_ok(put(rig.sources, rig.b));
	assert_ok(put(rig.sinks, rig.c));
	for (; n_sent < 4U << 20; n_sent += sizeof(bytes))
		tcp_send(rig.a, bytes, sizeof(bytes));
	wait_until(seen_by(&rig).n_bytes == n_sent);

	close(rig.c);
	rig.c = -1;

	do {
		assert_true(tcp_wait(rig.d, POLLIN));
		n = recv(rig.d, bytes, sizeof(bytes), 0);
		n_read += n > 0 ? (uint64_t)n : 0;
	} while (n > 0);
	assert_int_equal(n, 0); /* as if it were whole */
	assert_true(n_read < n_sent);
	close_rig(&rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fin_reaches_the_verdict_as_a_chunk_without_bytes),
		cmocka_unit_test(a_fin_that_is_redirected_breaks_the_destination),
		cmocka_unit_test(
		        a_fin_that_is_dropped_is_seen_by_the_reader_all_the_same),
		cmocka_unit_test(
		        a_fin_that_waits_behind_redirected_bytes_breaks_its_socket),
		cmocka_unit_test(a_socket_whose_fin_has_come_cannot_be_inserted),
		cmocka_unit_test(early_bytes_are_stranded_until_somebody_peeks_at_one),
		cmocka_unit_test(
		        bytes_that_were_read_before_the_insertion_are_seen_again),
		cmocka_unit_test(a_closed_socket_leaves_its_slot_empty),
		cmocka_unit_test(a_chunk_tells_its_sequence_numbers),
		cmocka_unit_test(
		        a_refused_redirect_drops_what_the_sender_thinks_has_arrived),
		cmocka_unit_test(a_redirect_takes_more_than_tcp_would),
		cmocka_unit_test(bytes_that_are_passed_up_stop_the_sender),
		cmocka_unit_test(bytes_passed_up_behind_redirected_ones_stop_nobody),
		cmocka_unit_test(a_close_loses_what_was_redirected_and_not_sent_yet),
	};

	return test_run("kernel facts", tests, argc, argv);
}
