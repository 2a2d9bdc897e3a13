// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * bypass.bpf.c - what one application sends goes straight to the other.
 *
 * Hook: sk_msg of g5x_applications and g5x_ours, attached by user/kernel/bypass.c. It
 * runs for each message that a socket in the maps is given to send, under that socket's
 * lock.
 *
 *               ┌───────────── direct: into the receive queue ─────────────┐
 *               │                                            ┌─ injected ──┤
 *     from's application ──TCP──> our socket, the daemon, our socket ──TCP──> to's
 *
 * A reader gets its queue before what came by TCP. The queue is charged to its receive
 * buffer (6.1.123, 6.12.8), but nobody is stopped by that. Hence the rules, for each
 * message, whoever of the two sends it:
 *
 * B1: into the queue only while nothing earlier is elsewhere. For the application: all
 *     that it sent by TCP was relayed by the daemon. For both: all that came to the reader
 *     by TCP was read.
 * B2: into the queue only as much as the rule's limit allows, with what a message costs
 *     beside its bytes; but one message always.
 * B3: otherwise the application's message goes by TCP to the daemon, the long way, and
 *     there TCP stops the application. The daemon asks before it sends (g5x_ask) and waits
 *     rather than send by TCP, where its bytes would be dropped while the receive buffer
 *     is full, and then wait for a timer. (It cannot be told by SK_DROP: once dropped, the
 *     kernel drops whatever that socket sends and asks no more, 6.18.) But a reader that
 *     leaves what came by TCP unread for long waits for more: then some follows by TCP.
 * B4: a message goes to the socket whose cookie was noted with the sender's own.
 *
 * A message goes one way as a whole: once a part of it was redirected the kernel redirects
 * the rest, whatever the program says then (6.18, sk_psock_msg_verdict() keeps sk_redir).
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bypass_maps.bpf.h"
#include "bypass_room.bpf.h"
#include "bypass_time.bpf.h"
#include "g5x_abi.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * B4. A session can end and its entry become another's while we look: then the sender's
 * cookie is not there any more. (That takes so much longer than these loads that their
 * order on the processor does not matter.) A reader that is gone is not in the map of
 * sockets. Its memory stays a tcp_sock's, so what is read there does no harm.
 */
static __always_inline bool is_valid(const struct message *m)
{
	volatile const __u64 *cookie = m->is_ours ? &m->flow->our_cookie
	                                          : &m->flow->from.cookie;

	asm volatile("" ::: "memory"); /* who the reader is was read before */
	return *cookie == m->sender_cookie;
}

/*
 * After a FIN from us an application sends by TCP only, so that it learns when we are
 * gone. One that has the kernel encrypt (kTLS) sends plain text here.
 */
static __always_inline bool is_closed(const struct message *m)
{
	return (!m->is_ours &&
	        m->sender->inet_conn.icsk_inet.sk.sk_shutdown & RCV_SHUTDOWN) ||
	       m->sender->inet_conn.icsk_ulp_ops || has_ulp(m->reader);
}

/* B1. */
static __always_inline bool is_in_order(const struct message *m)
{
	struct g5x_bypass_flow *flow = m->flow;
	struct tcp_sock *reader = m->reader, *ours;
	__u32 sent;

	if (!m->is_ours) {
		sent = m->sender->write_seq - flow->from.sent_from;
		if (sent != (__u32) * (volatile __u64 *)&flow->relayed) {
			flow->n_behind++;
			return false;
		}
	}
	if (*(volatile __u32 *)&flow->has_read)
		return true;
	ours = (struct tcp_sock *)flow->our_sock;
	/* The same connection, so the same numbers. */
	flow->has_read = BPF_CORE_READ(ours, write_seq) ==
	                 BPF_CORE_READ(reader, copied_seq);
	if (!flow->has_read)
		flow->n_unread++;
	return flow->has_read;
}

/* B1, B2: now, and to whom? */
static __always_inline bool may_go(const struct message *m, __u32 limit, __u32 n)
{
	if (!is_in_order(m))
		return false;
	if (has_room(m, limit, n))
		return true;
	m->flow->n_full++;
	return false;
}

/* Return: false when the reader is gone. */
static __always_inline bool redirect(struct sk_msg_md *msg, const struct message *m)
{
	struct g5x_cookie to = { .cookie = m->reader_cookie };

	if (bpf_msg_redirect_hash(msg, &g5x_applications, &to, BPF_F_INGRESS) !=
	    SK_PASS) {
		m->flow->n_closed++;
		return false;
	}
	m->flow->n_after++;
	if (m->is_ours)
		m->flow->injected += msg->size;
	else
		m->flow->direct += msg->size;
	return true;
}

SEC("sk_msg")
int g5x_bypass(struct sk_msg_md *msg)
{
	struct bpf_sock *sk = msg->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	struct message m = { .sender = tp };
	struct g5x_bypass_session *s;
	struct g5x_cookie key;
	struct g5x_way *way;

	if (!tp)
		return SK_PASS;
	key.cookie = (__u64)tp->inet_conn.icsk_inet.sk.__sk_common.skc_cookie.counter;
	m.sender_cookie = key.cookie;
	way = bpf_map_lookup_elem(&g5x_ways, &key);
	if (!way)
		return SK_PASS;
	s = bpf_map_lookup_elem(&g5x_bypassed, &way->session);
	if (!s)
		return SK_PASS;
	m.is_ours = way->is_ours;
	m.flow = &s->flow[way->from & 1];
	m.reader = (struct tcp_sock *)m.flow->to.tcp_sock;
	m.reader_cookie = m.flow->to.cookie;
	if (!is_valid(&m))
		return SK_PASS;
	note_time(s, way->from);
	if (is_closed(&m))
		m.flow->n_closed++;
	else if (may_go(&m, s->limit, msg->size) && redirect(msg, &m))
		return SK_PASS;
	if (m.is_ours)
		m.flow->has_read = false;
	return SK_PASS;
}

/* Run by the daemon. Return: 0 for not now; 1, also when sending would fail. */
SEC("syscall")
int g5x_ask(struct g5x_question *question)
{
	__u32 number = question->session;
	struct g5x_bypass_session *s = bpf_map_lookup_elem(&g5x_bypassed, &number);
	struct message m = { .is_ours = true };

	if (!s)
		return 1;
	m.flow = &s->flow[question->from & 1];
	m.reader = (struct tcp_sock *)m.flow->to.tcp_sock;
	if (cookie_of(m.reader) != m.flow->to.cookie)
		return 1;
	question->n_queued = n_charged(m.reader);
	/* Of no bytes: only the queue is asked for, and the application may be sending. */
	if (question->n_bytes == 0 || is_closing(m.reader) || has_ulp(m.reader))
		return 1;
	if (may_go(&m, s->limit, question->n_bytes))
		return 1;
	if (!m.flow->has_read)
		question->n_by_tcp = tcp_room(m.reader);
	return 0;
}

/*
 * For kernels on which FIONREAD counts the queue only (6.6.128, 6.12.75, 6.18.14 and
 * newer): with this what comes by TCP goes into the queue as well.
 */
SEC("sk_skb/stream_verdict")
int g5x_pass(struct __sk_buff *skb __attribute__((unused)))
{
	return SK_PASS;
}
