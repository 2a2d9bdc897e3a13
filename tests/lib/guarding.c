// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#include "guarding.h"

#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>

#include <bpf/bpf.h>

#include "rules/pattern.h"
#include "ruleset.h"

/* ---- rules ----------------------------------------------------------------- */

void guarding_open(struct guarding *in)
{
	const char *step = NULL;
	int r = guard_open(&in->g, &step);

	if (r == -EPERM || r == -ENOSYS)
		test_skip("%s: %s", step, strerror(-r));
	if (r < 0)
		fail_msg("%s: %s", step, strerror(-r));
	guard_rules_init(&in->rules);
}

void guarding_close(struct guarding *in)
{
	guard_rules_fini(&in->rules);
	guard_close(in->g);
}

void guarding_listen(struct guarding *in, const char *listener)
{
	struct addr a = ruleset_addr(listener);

	guard_rules_add_listener(&in->rules, &a, false);
	guard_rules_add_address(&in->rules, &a);
}

void guarding_take(struct guarding *in, const char *pattern)
{
	const char *reason = NULL;
	struct pattern p;

	assert_ok(pattern_parse(pattern, strlen(pattern), &p, &reason));
	assert_ok(guard_rules_add_client(&in->rules, &p));
	pattern_fini(&p);
}

void guarding_publish(struct guarding *in)
{
	struct guard_set set = guard_rules_set(&in->rules);

	assert_ok(guard_publish(in->g, &set));
}

void guarding_new_rules(struct guarding *in)
{
	guard_rules_fini(&in->rules);
}

/* ---- frames ---------------------------------------------------------------- */

struct guarding_frame guarding_frame(const char *from, const char *to)
{
	return (struct guarding_frame){
		.from = ruleset_addr(from),
		.to = ruleset_addr(to),
	};
}

static uint8_t *put(struct guarding_bytes *to, size_t n)
{
	uint8_t *at = to->at + to->len;

	assert_true(to->len + n <= sizeof(to->at));
	memset(at, 0, n);
	to->len += n;
	return at;
}

static void set16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put_ethernet(struct guarding_bytes *to, const struct guarding_frame *f)
{
	const unsigned int type = f->ether_type                     ? f->ether_type
	                          : f->from.sa.sa_family == AF_INET ? 0x0800
	                                                            : 0x86dd;
	uint8_t *eth = put(to, 12);

	memcpy(eth, "\x02\x11\x12\x13\x14\x15\x02\x21\x22\x23\x24\x25", 12);
	if (f->to_mac)
		eth[0] = f->to_mac;
	for (unsigned int i = 0; i < f->n_tags; i++) {
		uint8_t *tag = put(to, 4);

		set16(tag, i + 1 < f->n_tags ? 0x88a8
		           : f->inner_tag    ? f->inner_tag
		                             : 0x8100);
		set16(tag + 2, 100 + i);
	}
	set16(put(to, 2), type);
}

static unsigned int protocol_of(char extension)
{
	switch (extension) {
	case 'h':
		return 0;
	case 'd':
	case 'D':
		return 60;
	case 'r':
	case 'R':
		return 43;
	case 'a':
	case 'A':
		return 51;
	case 'f':
		return 44;
	default:
		return 135;
	}
}

static void put_extensions(struct guarding_bytes *to, const struct guarding_frame *f,
                           unsigned int protocol)
{
	for (const char *x = f->extensions ? f->extensions : ""; *x; x++) {
		size_t n = *x == 'D' ? 1024 : *x == 'a' ? 24 : *x == 'A' ? 12 : 8;
		uint8_t *at = put(to, n);

		at[0] = (uint8_t)(x[1] ? protocol_of(x[1]) : protocol);
		at[1] = (uint8_t)(strchr("aA", *x) ? n / 4 - 2 : n / 8 - 1);
		at[3] = *x == 'R';
	}
}

static void put_ip4(struct guarding_bytes *to, const struct guarding_frame *f,
                    unsigned int protocol, size_t n_tcp)
{
	uint8_t *ip = put(to, 20 + f->n_options);

	ip[0] = (uint8_t)(0x45 + f->n_options / 4);
	set16(ip + 2, (unsigned int)(20 + f->n_options + n_tcp));
	set16(ip + 6, f->fragment);
	ip[8] = 17;
	ip[9] = (uint8_t)protocol;
	memcpy(ip + 12, &f->from.in4.sin_addr, 4);
	memcpy(ip + 16, &f->to.in4.sin_addr, 4);
}

static void put_ip6(struct guarding_bytes *to, const struct guarding_frame *f,
                    unsigned int protocol, size_t n_tcp)
{
	uint8_t *ip = put(to, 40);

	ip[0] = 0x60;
	ip[6] = (uint8_t)(f->extensions ? protocol_of(*f->extensions) : protocol);
	ip[7] = 17;
	memcpy(ip + 8, &f->from.in6.sin6_addr, 16);
	memcpy(ip + 24, &f->to.in6.sin6_addr, 16);
	put_extensions(to, f, protocol);
	set16(ip + 4, (unsigned int)(to->len - to->ip_at - 40 + n_tcp));
}

void guarding_build(const struct guarding_frame *f, struct guarding_bytes *to)
{
	const unsigned int protocol = f->protocol ? f->protocol : IPPROTO_TCP;
	const size_t n_tcp = 20 + f->n_tcp_options + f->n_payload;
	uint8_t *tcp;

	to->len = 0;
	put_ethernet(to, f);
	to->ip_at = to->len;
	if (f->from.sa.sa_family == AF_INET)
		put_ip4(to, f, protocol, n_tcp);
	else
		put_ip6(to, f, protocol, n_tcp);
	to->tcp_at = to->len;
	tcp = put(to, n_tcp);
	set16(tcp, addr_port(&f->from));
	set16(tcp + 2, addr_port(&f->to));
	set16(tcp + 4, f->seq >> 16);
	set16(tcp + 6, f->seq & 0xffff);
	tcp[12] = (uint8_t)((5 + f->n_tcp_options / 4) << 4);
	tcp[13] = (uint8_t)(f->flags ? f->flags : GUARDING_SYN);
	set16(tcp + 14, 64240);
	put(to, f->n_padding);
}

/* ---- runs ------------------------------------------------------------------ */

uint32_t guarding_run(struct guarding *in, const uint8_t *bytes, size_t n)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = bytes, .data_size_in = (__u32)n,
	            .data_out = in->out.at, .data_size_out = sizeof(in->out.at),
	            .repeat = 1);

	assert_ok(bpf_prog_test_run_opts(guard_program_fd(in->g), &run));
	in->out.len = run.data_size_out;
	return run.retval;
}

uint32_t guarding_verdict(struct guarding *in, const struct guarding_frame *f)
{
	static struct guarding_bytes bytes;

	guarding_build(f, &bytes);
	return guarding_run(in, bytes.at, bytes.len);
}

bool guarding_syn(struct guarding *in, const char *from, const char *to)
{
	struct guarding_frame f = guarding_frame(from, to);
	uint32_t verdict = guarding_verdict(in, &f);

	assert_true(verdict == XDP_PASS || verdict == XDP_DROP);
	return verdict == XDP_PASS;
}

struct g5x_guard_counts guarding_counts(const struct guarding *in, const char *listener)
{
	struct addr a = ruleset_addr(listener);
	struct g5x_guard_address key = {
		.ip = guard_source(&a),
		.port = addr_port(&a),
	};
	struct g5x_guard_counts counts;

	guard_counts(in->g, &key, &counts);
	return counts;
}
