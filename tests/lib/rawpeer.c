// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#include "rawpeer.h"

#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "tcp.h"

#define NEAR 0xc0000201 /* 192.0.2.1 */
#define FAR 0xc0000202
#define FAR_PORT 40000
#define FAR_SHIFT 7
#define FAR_WINDOW 65535
#define AGAIN_MS 200

/* Of a length that no buffer has, so that what is shifted does not look right. */
#define PATTERN 65521

struct packet {
	struct iphdr ip;
	struct tcphdr tcp;
	char rest[RAWPEER_MAX];
};
_Static_assert(offsetof(struct packet, rest) == 40, "headers as on the wire");

const char *rawpeer_bytes(uint32_t place)
{
	static char pattern[PATTERN + RAWPEER_MAX];
	static bool is_made;
	uint32_t x = 1;

	for (size_t i = 0; !is_made && i < sizeof(pattern); i++) {
		x = x * 1664525 + 1013904223; /* Knuth, TAOCP 2, 3.3.4 */
		pattern[i] = i < PATTERN ? (char)(x >> 24) : pattern[i - PATTERN];
	}
	is_made = true;
	return pattern + place % PATTERN;
}

/* ---- the network ----------------------------------------------------------- */

static int set_up(const char *name, uint32_t address)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	in4.sin_addr.s_addr = htonl(address);
	memcpy(&ifr.ifr_addr, &in4, sizeof(in4));
	if (ioctl(fd, SIOCSIFADDR, &ifr) < 0)
		return -errno;
	in4.sin_addr.s_addr = htonl(0xffffff00);
	memcpy(&ifr.ifr_netmask, &in4, sizeof(in4));
	if (ioctl(fd, SIOCSIFNETMASK, &ifr) < 0)
		return -errno;
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	return ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

/* Return: its fd or -errno. */
static int open_tun(void)
{
	struct ifreq ifr = { .ifr_name = "rawpeer" };
	auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	ifr.ifr_flags = IFF_TUN | IFF_NO_PI;
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -errno;
	r = set_up("lo", INADDR_LOOPBACK);
	if (r == 0)
		r = set_up(ifr.ifr_name, NEAR);
	return r < 0 ? r : take_fd(fd);
}

int rawpeer_open(struct rawpeer *p)
{
	auto_close int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd;

	if (home < 0 || unshare(CLONE_NEWNET) < 0)
		return -errno;
	fd = open_tun();
	if (fd < 0) {
		assert_ok(setns(home, CLONE_NEWNET));
		return fd;
	}
	*p = (struct rawpeer){ .tun_fd = fd };
	return 0;
}

void rawpeer_close(struct rawpeer *p)
{
	close(p->tun_fd);
}

/* ---- out ------------------------------------------------------------------- */

static uint32_t sum(const void *data, size_t len, uint32_t start)
{
	const unsigned char *at = data;
	uint64_t total = start;

	for (size_t i = 0; i + 1 < len; i += 2)
		total += (uint32_t)at[i] << 8 | at[i + 1];
	if (len % 2)
		total += (uint32_t)at[len - 1] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint32_t)total;
}

/* @tcp has what differs; @len bytes follow it, options included. */
static void send_packet(const struct rawpeer *p, struct tcphdr tcp, const void *rest,
                        size_t len)
{
	struct packet head = {
		.ip = { .version = 4,
		        .ihl = 5,
		        .tot_len = htons((uint16_t)(40 + len)),
		        .ttl = 64,
		        .protocol = IPPROTO_TCP,
		        .saddr = htonl(FAR),
		        .daddr = htonl(NEAR) },
	};
	const struct iovec parts[] = { { .iov_base = &head, .iov_len = 40 },
		                       { .iov_base = (void *)(uintptr_t)rest,
		                         .iov_len = len } };
	uint32_t total = sum(&head.ip.saddr, 8, IPPROTO_TCP + 20 + (uint32_t)len);

	tcp.source = htons(FAR_PORT);
	tcp.dest = htons(p->port);
	tcp.ack_seq = htonl(p->next_seq);
	tcp.window = htons(FAR_WINDOW);
	head.tcp = tcp;
	head.ip.check = htons((uint16_t)~sum(&head.ip, 20, 0));
	total = sum(rest, len, sum(&head.tcp, 20, total));
	head.tcp.check = htons((uint16_t)~total);
	assert_int_equal(writev(p->tun_fd, parts, 2), 40 + len);
}

void rawpeer_send(struct rawpeer *p, uint32_t from, uint32_t until, unsigned int flags)
{
	const struct tcphdr tcp = {
		.seq = htonl(p->first_seq + from),
		.doff = 5,
		.ack = 1,
		.psh = 1,
		.fin = !!(flags & RAWPEER_FIN),
		.urg = !!(flags & RAWPEER_URGENT),
		.urg_ptr = flags & RAWPEER_URGENT ? htons((uint16_t)(until - from)) : 0,
	};

	send_packet(p, tcp, rawpeer_bytes(from), until - from);
	if (p->n_sent < until)
		p->n_sent = until;
}

static void send_ack(const struct rawpeer *p)
{
	const struct tcphdr tcp = {
		.seq = htonl(p->first_seq + p->n_sent),
		.doff = 5,
		.ack = 1,
	};

	send_packet(p, tcp, "", 0);
}

/* ---- in -------------------------------------------------------------------- */

static void note_ack(struct rawpeer *p, const struct tcphdr *tcp)
{
	uint32_t n = ntohl(tcp->ack_seq) - p->first_seq;

	if (!tcp->ack || (int32_t)(n - p->n_acked) < 0)
		return;
	if (n > p->n_acked)
		p->acked_ms = clock_ms();
	p->n_acked = n;
	if (p->n_sent < n)
		p->n_sent = n;
	p->window = (uint32_t)ntohs(tcp->window) << (tcp->syn ? 0 : p->shift);
	if (p->window > p->most_window)
		p->most_window = p->window;
}

static void note_bytes(struct rawpeer *p, const struct tcphdr *tcp, uint32_t len)
{
	if (len == 0 && !tcp->fin)
		return;
	if (ntohl(tcp->seq) == p->next_seq && !p->has_fin) {
		p->n_received += len;
		p->has_fin = tcp->fin;
		p->next_seq += len + tcp->fin;
	}
	send_ack(p);
}

/* Only what a SYN brings: the shift of the windows. */
static void note_options(struct rawpeer *p, const unsigned char *at, size_t len)
{
	for (size_t i = 0; i < len && at[i] != TCPOPT_EOL;) {
		if (at[i] == TCPOPT_WINDOW)
			p->shift = at[i + 2];
		i += at[i] == TCPOPT_NOP ? 1 : at[i + 1];
	}
}

static bool read_packet(struct rawpeer *p)
{
	struct packet packet;
	ssize_t n = read(p->tun_fd, &packet, sizeof(packet));
	const struct tcphdr *tcp = &packet.tcp;

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return false;
	}
	if (n < 40 || packet.ip.version != 4 || packet.ip.protocol != IPPROTO_TCP ||
	    ntohs(tcp->dest) != FAR_PORT)
		return true; /* such as IPv6 looking for routers */
	p->has_reset |= tcp->rst;
	if (tcp->syn) {
		p->next_seq = ntohl(tcp->seq) + 1;
		note_options(p, (const unsigned char *)packet.rest,
		             tcp->doff * 4U - sizeof(*tcp));
	}
	note_ack(p, tcp);
	if (!tcp->syn)
		note_bytes(p, tcp, (uint32_t)n - 20 - tcp->doff * 4U);
	return true;
}

bool rawpeer_read(struct rawpeer *p)
{
	bool has_read = false;

	while (read_packet(p))
		has_read = true;
	return has_read;
}

/* ---- both ------------------------------------------------------------------ */

static void shake_hands(struct rawpeer *p)
{
	static const unsigned char options[] = { TCPOPT_NOP, TCPOPT_WINDOW,
		                                 TCPOLEN_WINDOW, FAR_SHIFT };
	const struct tcphdr tcp = {
		.seq = htonl(p->first_seq - 1),
		.doff = 5 + sizeof(options) / 4,
		.syn = 1,
	};
	struct pollfd readable = { .fd = p->tun_fd, .events = POLLIN };

	send_packet(p, tcp, options, sizeof(options));
	while (p->next_seq == 0) {
		assert_int_equal(poll(&readable, 1, TCP_PATIENCE_MS), 1);
		rawpeer_read(p);
	}
	p->first_window = p->window;
	send_ack(p);
}

int rawpeer_connect(struct rawpeer *p, uint32_t first_seq)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	socklen_t len = sizeof(in4);
	auto_close int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_ok(bind(listener, (struct sockaddr *)&in4, len));
	assert_ok(listen(listener, 1));
	assert_ok(getsockname(listener, (struct sockaddr *)&in4, &len));
	*p = (struct rawpeer){
		.tun_fd = p->tun_fd,
		.port = ntohs(in4.sin_port),
		.first_seq = first_seq,
		.acked_ms = clock_ms(),
	};
	shake_hands(p);
	return tcp_accept(listener);
}

bool rawpeer_feed(struct rawpeer *p, uint32_t until, uint32_t piece)
{
	bool has_moved = rawpeer_read(p);
	/* As of now, so that others get their turn before what is acknowledged below is
	 * followed by more. */
	uint32_t window_end = p->n_acked + p->window;

	if (p->n_acked < p->n_sent && clock_ms() > p->acked_ms + AGAIN_MS) {
		p->n_sent = p->n_acked;
		p->acked_ms = clock_ms();
	}
	while (p->n_sent < until) {
		uint32_t end = p->n_sent + piece < until ? p->n_sent + piece : until;

		if (end > window_end)
			break;
		rawpeer_send(p, p->n_sent, end, 0);
		/* A TUN queues 500 packets and drops what is too much. */
		rawpeer_read(p);
		has_moved = true;
	}
	return has_moved;
}

void rawpeer_wait_acked(struct rawpeer *p, uint32_t place)
{
	struct pollfd readable = { .fd = p->tun_fd, .events = POLLIN };

	while (p->n_acked < place) {
		assert_int_equal(poll(&readable, 1, TCP_PATIENCE_MS), 1);
		rawpeer_read(p);
	}
}
