// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_bypass_facts.c - this kernel behaves so: what bpf/bypass.bpf.c takes for granted
 * about programs that look at messages, without it.
 *
 *      a [senders] <──TCP──> b        c [readers] <──TCP──> d
 *
 * Both maps have one slot. A program of a few instructions looks up what to do in the map
 * `what`, counts how often it has run, and does it: its verdict, or a redirect into the
 * queue of c, of a part of the message if wanted.
 */
#include "test.h"

#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "bypassing.h"
#include "kernel/kernel.h"

/* Value of the map `what`. */
struct what {
	__u32 verdict;
	__u32 n_redirects; /* that are to be made; the verdict when it is 0 */
	__u32 n_apply;     /* bytes that each is about; 0: the message */
	__u32 n_runs;
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
#define MAP(d, fd)                                                    \
	INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), \
	        INSN(0, 0, 0, 0, 0)
#define CALL(f) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define SKIP_IF_0(r, n) INSN(BPF_JMP | BPF_JEQ | BPF_K, r, 0, n, 0)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define WHAT(field) ((__s16)offsetof(struct what, field))

struct rig {
	int senders, readers, what; /* maps */
	int prog;
	int a, b, c, d;
};

static int load(const struct rig *rig)
{
	const struct bpf_insn insns[] = {
		COPY(6, 1),
		INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0),
		MAP(1, rig->what),
		COPY(2, 10),
		ADD(2, -4),
		CALL(BPF_FUNC_map_lookup_elem),
		COPY(7, 0),
		SKIP_IF_0(7, 20),
		LOAD(1, 7, WHAT(n_runs)),
		ADD(1, 1),
		STORE(7, WHAT(n_runs), 1),
		LOAD(1, 7, WHAT(n_redirects)),
		SKIP_IF_0(1, 13),
		ADD(1, -1),
		STORE(7, WHAT(n_redirects), 1),
		LOAD(2, 7, WHAT(n_apply)),
		SKIP_IF_0(2, 2),
		COPY(1, 6),
		CALL(BPF_FUNC_msg_apply_bytes),
		COPY(1, 6),
		MAP(2, rig->readers),
		SET(3, 0),
		SET(4, BPF_F_INGRESS),
		CALL(BPF_FUNC_msg_redirect_map),
		EXIT(),
		LOAD(0, 7, WHAT(verdict)),
		EXIT(),
		SET(0, SK_PASS),
		EXIT(),
	};

	return bpf_prog_load(BPF_PROG_TYPE_SK_MSG, "message", "GPL", insns,
	                     ARRAY_SIZE(insns), NULL);
}

static int open_sockmap(const char *name)
{
	return bpf_map_create(BPF_MAP_TYPE_SOCKMAP, name, sizeof(struct g5x_slot),
	                      sizeof(struct g5x_socket), 1, NULL);
}

static void put(int map, int fd)
{
	struct g5x_slot key = { .index = 0 };
	struct g5x_socket value = { .fd_or_cookie = (__u64)fd };

	assert_ok(bpf_map_update_elem(map, &key, &value, BPF_NOEXIST));
}

static void tell(const struct rig *rig, const struct what *what)
{
	const __u32 key = 0;

	assert_ok(bpf_map_update_elem(rig->what, &key, what, BPF_ANY));
}

static struct what heard(const struct rig *rig)
{
	const __u32 key = 0;
	struct what what;

	assert_ok(bpf_map_lookup_elem(rig->what, &key, &what));
	return what;
}

static void open_rig(struct rig *rig)
{
	char reason[KERNEL_REASON_LEN];
	int r = kernel_probe(reason, sizeof(reason));

	if (r == -EPERM || r == -ENOSYS || r == -ENOENT)
		test_skip("%s", reason);
	rig->senders = open_sockmap("senders");
	rig->readers = open_sockmap("readers");
	rig->what = bpf_map_create(BPF_MAP_TYPE_ARRAY, "what", sizeof(__u32),
	                           sizeof(struct what), 1, NULL);
	assert_true(rig->senders >= 0 && rig->readers >= 0 && rig->what >= 0);
	rig->prog = load(rig);
	assert_true(rig->prog >= 0);
	assert_ok(bpf_prog_attach(rig->prog, rig->senders, BPF_SK_MSG_VERDICT, 0));
	tcp_pair(&rig->a, &rig->b);
	tcp_pair(&rig->c, &rig->d);
	put(rig->senders, rig->a);
	put(rig->readers, rig->c);
}

static void close_rig(struct rig *rig)
{
	const int fds[] = { rig->a,       rig->b,       rig->c,    rig->d,
		            rig->senders, rig->readers, rig->what, rig->prog };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* ---- facts ----------------------------------------------------------------- */

static void what_is_redirected_in_part_is_redirected_as_a_whole(void **state)
{
	const struct what part = { .verdict = SK_PASS,
		                   .n_redirects = 1,
		                   .n_apply = 100 };
	static char bytes[300];
	struct rig rig;

	(void)state;
	open_rig(&rig);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	tell(&rig, &part);

	tcp_send(rig.a, bytes, sizeof(bytes));

	assert_true(heard(&rig).n_runs > 1);          /* it was asked about the rest */
	assert_int_equal(heard(&rig).n_redirects, 0); /* and passed it */
	tcp_expect(rig.c, bytes, sizeof(bytes));
	assert_int_equal(bypassing_n_unsent(rig.a), 0);
	tcp_expect_silence(rig.b);

	tcp_send(rig.a, bytes, sizeof(bytes)); /* the next message is another matter */
	tcp_expect(rig.b, bytes, sizeof(bytes));
	tcp_expect_silence(rig.c);
	close_rig(&rig);
}

static void who_was_told_to_drop_is_never_asked_again(void **state)
{
	const struct what drop = { .verdict = SK_DROP };
	const struct what pass = { .verdict = SK_PASS };
	struct rig rig;

	(void)state;
	open_rig(&rig);
	tell(&rig, &pass);
	tcp_send(rig.a, "before", 6);
	tcp_expect(rig.b, "before", 6);
	tell(&rig, &drop);
	assert_int_equal(send(rig.a, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(heard(&rig).n_runs, 1);

	tell(&rig, &pass);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(send(rig.a, "x", 1, MSG_NOSIGNAL), -1);
		assert_int_equal(errno, EACCES);
	}
	assert_int_equal(heard(&rig).n_runs, 0);
	close_rig(&rig);
}

static void a_reader_gets_its_queue_before_what_came_by_tcp(void **state)
{
	const struct what redirect = { .n_redirects = 1 };
	struct rig rig;

	(void)state;
	open_rig(&rig);
	tcp_send(rig.d, "by TCP", 6);
	assert_true(tcp_wait(rig.c, POLLIN));
	tell(&rig, &redirect);

	tcp_send(rig.a, "redirected", 10);

	tcp_expect(rig.c, "redirected", 10);
	tcp_expect(rig.c, "by TCP", 6);
	close_rig(&rig);
}

static void a_full_receive_buffer_stops_nobody_who_redirects(void **state)
{
	const uint32_t n = 1000, size = 10000;
	const struct what redirect = { .n_redirects = n };
	static const char bytes[10000];
	struct rig rig;

	(void)state;
	open_rig(&rig);
	tcp_set_option(rig.c, SOL_SOCKET, SO_RCVBUF, 16384);
	tell(&rig, &redirect);

	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(send(rig.a, bytes, size, MSG_NOSIGNAL), size);

	assert_int_equal(heard(&rig).n_redirects, 0);
	assert_true(bypassing_n_charged(rig.c) >= n * size);
	for (uint32_t i = 0; i < n; i++)
		tcp_expect(rig.c, bytes, size);
	assert_int_equal(bypassing_n_charged(rig.c), 0);
	tcp_expect_silence(rig.b);
	close_rig(&rig);
}

static void a_redirect_to_who_is_gone_is_refused(void **state)
{
	const struct what redirect = { .n_redirects = 1, .verdict = SK_PASS };
	const struct g5x_slot key = { .index = 0 };
	struct rig rig;

	(void)state;
	open_rig(&rig);
	close(rig.c); /* leaves the map */
	rig.c = dup(rig.d);
	assert_int_equal(bpf_map_delete_elem(rig.readers, &key), -EINVAL);
	tell(&rig, &redirect);

	/* What the helper returned is the verdict here: 0 is SK_DROP. */
	assert_int_equal(send(rig.a, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(heard(&rig).n_runs, 1);
	close_rig(&rig);
}

/* So our own socket may send by TCP what the program would have put into the queue. */
static void who_was_let_through_without_room_is_not_asked_for_the_next(void **state)
{
	const struct what pass = { .verdict = SK_PASS };
	static char bytes[1 << 20];
	uint32_t n_runs;
	struct rig rig;

	(void)state;
	open_rig(&rig);
	tell(&rig, &pass);
	while (send(rig.a, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	n_runs = heard(&rig).n_runs;
	do {
		while (recv(rig.b, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
	} while (send(rig.a, "next", 4, MSG_NOSIGNAL | MSG_DONTWAIT) < 0);
	assert_int_equal(heard(&rig).n_runs, n_runs);

	assert_int_equal(send(rig.a, "then", 4, MSG_NOSIGNAL | MSG_DONTWAIT), 4);
	assert_int_equal(heard(&rig).n_runs, n_runs + 1);
	close_rig(&rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_redirected_in_part_is_redirected_as_a_whole),
		cmocka_unit_test(who_was_told_to_drop_is_never_asked_again),
		cmocka_unit_test(
		        who_was_let_through_without_room_is_not_asked_for_the_next),
		cmocka_unit_test(a_reader_gets_its_queue_before_what_came_by_tcp),
		cmocka_unit_test(a_full_receive_buffer_stops_nobody_who_redirects),
		cmocka_unit_test(a_redirect_to_who_is_gone_is_refused),
	};

	return test_run("bypass facts", tests, argc, argv);
}
