// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * flood.c - begins TCP connections from many addresses and never goes on with them.
 *
 *     g5x-flood DEVICE MAC ADDRESS PORT FIRST_SOURCE N PER_SECOND
 *
 * N SYNs from 200 000 addresses by turns, by a packet socket, so that none of them needs to
 * be there. Only addresses of 10.0.0.0/8 are taken, and only a veth device: it is for tests
 * in namespaces. Prints how many were sent, and in what time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32
#define N_SOURCES 200000
#define N_MAX 2000000
#define NS_PER_S 1000000000ULL

struct packet {
	struct ether_header ether;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* RFC 1071, of an even number of bytes. */
static uint32_t sum(const void *data, size_t len)
{
	const uint8_t *bytes = data;
	uint32_t n = 0;

	for (size_t i = 0; i < len; i += 2)
		n += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	return n;
}

static uint16_t fold(uint32_t n)
{
	while (n >> 16)
		n = (n & 0xffff) + (n >> 16);
	return htons((uint16_t)~n);
}

static void set_source(struct packet *p, uint32_t first, uint32_t i)
{
	p->ip.saddr = htonl(first + i % N_SOURCES);
	p->tcp.source = htons((uint16_t)(1024 + i % 60000));
	p->tcp.seq = htonl(i * 2654435761U);
	p->ip.check = 0;
	p->ip.check = fold(sum(&p->ip, sizeof(p->ip)));
	p->tcp.check = 0;
	p->tcp.check = fold(sum(&p->tcp, sizeof(p->tcp)) + sum(&p->ip.saddr, 8) +
	                    IPPROTO_TCP + sizeof(p->tcp));
}

static bool is_veth(const char *device)
{
	struct {
		uint32_t command;
		char driver[32], rest[160];
	} info = { .command = 0x3 /* ETHTOOL_GDRVINFO */ };
	struct ifreq request = { .ifr_data = (char *)&info };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_one;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	is_one = fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0 &&
	         strcmp(info.driver, "veth") == 0;
	if (fd >= 0)
		close(fd);
	return is_one;
}

static int open_device(const char *device)
{
	const struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(device),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Return: how many were sent. */
static uint32_t flood(int fd, const struct packet *model, uint32_t first, uint32_t n,
                      uint64_t per_s)
{
	struct packet packets[BATCH];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH] = { 0 };
	uint64_t start_ns = now_ns();
	uint32_t n_sent = 0;

	for (int i = 0; i < BATCH; i++) {
		packets[i] = *model;
		parts[i] = (struct iovec){ &packets[i], sizeof(packets[i]) };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (n_sent < n) {
		unsigned int size = n - n_sent < BATCH ? n - n_sent : BATCH;
		int sent;

		while (now_ns() < start_ns + n_sent * NS_PER_S / per_s)
			usleep(200);
		for (unsigned int i = 0; i < size; i++)
			set_source(&packets[i], first, n_sent + i);
		sent = sendmmsg(fd, messages, size, 0);
		if (sent < 0 && errno != ENOBUFS && errno != EINTR)
			return n_sent;
		n_sent += sent > 0 ? (uint32_t)sent : 0;
	}
	return n_sent;
}

static bool read_mac(const char *text, uint8_t mac[ETH_ALEN])
{
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2],
	              &mac[3], &mac[4], &mac[5]) == ETH_ALEN;
}

int main(int argc, char **argv)
{
	struct packet p = {
		.ether.ether_type = htons(ETHERTYPE_IP),
		.ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP },
		.tcp = { .doff = 5, .syn = 1, .window = htons(65535) },
	};
	struct in_addr first;
	uint32_t n, n_sent;
	uint64_t per_s, start_ns;
	int fd;

	if (argc != 8 || !is_veth(argv[1]) || !read_mac(argv[2], p.ether.ether_dhost) ||
	    inet_pton(AF_INET, argv[3], &p.ip.daddr) != 1 ||
	    inet_pton(AF_INET, argv[5], &first) != 1 ||
	    ntohl(first.s_addr) >> 24 != 10) {
		fprintf(stderr, "usage: g5x-flood VETH MAC ADDRESS PORT FIRST_SOURCE N "
		                "PER_SECOND\n");
		return 2;
	}
	p.ip.tot_len = htons(sizeof(p.ip) + sizeof(p.tcp));
	p.tcp.dest = htons((uint16_t)atoi(argv[4]));
	n = (uint32_t)atoi(argv[6]);
	per_s = strtoull(argv[7], NULL, 10);
	fd = open_device(argv[1]);
	if (fd < 0 || n > N_MAX || per_s == 0) {
		perror("g5x-flood");
		return 1;
	}
	start_ns = now_ns();
	n_sent = flood(fd, &p, ntohl(first.s_addr), n, per_s);
	printf("%u %.3f\n", n_sent, (double)(now_ns() - start_ns) / 1e9);
	close(fd);
	return n_sent == n ? 0 : 1;
}
