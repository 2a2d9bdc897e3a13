// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* guarding.c - see guarding.h. */
#include "control/guarding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/commands.h"
#include "control/datapaths.h"
#include "control/guard_blocks.h"
#include "control/guard_config.h"
#include "control/guard_rules.h"
#include "control/settings.h"
#include "forward/blocks.h"
#include "forward/forward.h"
#include "rules/config.h"

/* For interfaces that another program guards still, such as the one we replace. */
#define RETRY_MS 2000

#define LINE_MS 1000 /* between two lines about drops */

#define LISTED_AT_ONCE 64

static const char *const mode_names[] = {
	[GUARD_NATIVE] = "native",
	[GUARD_GENERIC] = "generic",
};

static const char *const reasons[] = {
	[G5X_DROP_BLOCKED] = "blocked",
	[G5X_DROP_NO_RULE] = "no rule for it",
	[G5X_DROP_SESSIONS] = "it has maxsessions_per_ip",
	[G5X_DROP_SOURCE_RATE] = "faster than syn_rate",
	[G5X_DROP_LISTENER_RATE] = "all are faster than listener_syn_rate",
};
_Static_assert(ARRAY_SIZE(reasons) == G5X_DROP_N, "every reason has its words");

/* ---- what the log is told --------------------------------------------------------- */

static const char *address_text(const struct g5x_guard_address *a,
                                char text[static ADDR_TEXT_LEN])
{
	struct addr addr = { 0 };

	if (a->ip.family == 4) {
		addr.in4.sin_family = AF_INET;
		memcpy(&addr.in4.sin_addr, a->ip.address, sizeof(addr.in4.sin_addr));
	} else {
		addr.in6.sin6_family = AF_INET6;
		memcpy(&addr.in6.sin6_addr, a->ip.address, sizeof(addr.in6.sin6_addr));
	}
	addr_set_port(&addr, (uint16_t)a->port);
	return addr_format(&addr, text);
}

/* One line a second for each reason; the numbers add up all the same. */
static void on_drop(void *ctx, const struct g5x_guard_event *event)
{
	struct guarding *g = ctx;
	char source[ADDR_TEXT_LEN], listener[ADDR_TEXT_LEN], name[IF_NAMESIZE];
	const uint64_t now_ms = clock_ms();
	struct guarding_told *told;

	if (event->reason >= G5X_DROP_N)
		return;
	told = &g->told[event->reason];
	told->n_untold += event->n_untold;
	if (now_ms < told->next_ms) {
		told->n_untold++;
		return;
	}
	log_warning(
	        "guard %s [%s] - [%s] on %s: %s (and %llu more since the last line)",
	        event->is_dry_run ? "would drop" : "dropped",
	        address_text(&event->source, source),
	        address_text(&event->listener, listener),
	        if_indextoname(event->ifindex, name) ? name : "?",
	        reasons[event->reason], (unsigned long long)told->n_untold);
	*told = (struct guarding_told){ .next_ms = now_ms + LINE_MS };
}

static void on_events(struct source *source, uint32_t events)
{
	struct guarding *g = container_of(source, struct guarding, events);

	(void)events;
	guard_read_events(g->guard, on_drop, g);
}

/* ---- interfaces ------------------------------------------------------------------- */

/* Does what comes by @link come by another one that is guarded, and was counted there? */
static bool is_above_another(const struct guarding *g, const struct guarded_link *link,
                             unsigned int ifindex)
{
	for (size_t i = 0; i < g->n_interfaces; i++) {
		unsigned int other = if_nametoindex(g->interfaces[i].name);

		if (&g->interfaces[i] != link && other != 0 && other != ifindex &&
		    links_is_above(ifindex, other))
			return true;
	}
	return false;
}

static void tell_failure(struct guarded_link *link, int error)
{
	if (link->error != error)
		log_warning("guard: not on %s: %s", link->name,
		            error == -ENODEV ? "there is no such interface; it is "
		                               "guarded when there is"
		            : error == -EALREADY
		                    ? "its packets come by another one that is guarded"
		            : error == -EBUSY
		                    ? "another XDP program is there; trying again"
		                    : strerrordesc_np(-error));
	link->error = error;
}

static void detach(struct guarding *g, struct guarded_link *link)
{
	if (link->ifindex != 0)
		guard_detach(g->guard, link->ifindex);
	link->ifindex = 0;
}

/* Before a rule set is in force that asks for another mode. */
static void detach_unsuitable(struct guarding *g)
{
	for (size_t i = 0; i < g->n_interfaces; i++)
		if (!guard_suits(g->guard, g->interfaces[i].ifindex,
		                 g->config->guard.rejects))
			detach(g, &g->interfaces[i]);
}

static void attach(struct guarding *g, struct guarded_link *link)
{
	unsigned int ifindex = if_nametoindex(link->name);
	bool is_above = ifindex != 0 && is_above_another(g, link, ifindex);
	int r = -ENODEV;

	if (link->ifindex != 0 && link->ifindex == ifindex && !is_above &&
	    guard_is_attached(g->guard, ifindex))
		return;
	detach(g, link);
	if (is_above)
		r = -EALREADY;
	else if (ifindex != 0)
		r = guard_attach(g->guard, ifindex, g->config->guard.rejects,
		                 &link->mode);
	if (r < 0) {
		tell_failure(link, r);
		if (r != -ENODEV &&
		    r != -EALREADY) /* of their end on_links() is told */
			g->retry_ms = clock_ms() + RETRY_MS;
		return;
	}
	link->error = 0;
	link->ifindex = ifindex;
	log_info("guard on %s: %s%s", link->name, mode_names[link->mode],
	         g->config->guard.is_dry_run ? ", dry run" : "");
}

/* While it drops what is too fast, workers see less of that: see forward.h. */
static void tell_workers(const struct guarding *g)
{
	bool is_attached = false;

	for (size_t i = 0; i < g->n_interfaces; i++)
		is_attached |= g->interfaces[i].ifindex != 0;
	forward_set_guarded(g->forward,
	                    is_attached && g->config && !g->config->guard.is_dry_run);
}

static void attach_all(struct guarding *g)
{
	g->retry_ms = 0;
	for (size_t i = 0; i < g->n_interfaces; i++)
		attach(g, &g->interfaces[i]);
	tell_workers(g);
}

static void detach_all(struct guarding *g)
{
	g->retry_ms = 0;
	for (size_t i = 0; i < g->n_interfaces; i++)
		detach(g, &g->interfaces[i]);
	tell_workers(g);
}

static struct guarded_link *find(struct guarded_link *links, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(links[i].name, name) == 0)
			return &links[i];
	return NULL;
}

/* Those that stay are not let go for a moment. */
static int take_interfaces(struct guarding *g)
{
	const struct config_guard *wanted = &g->config->guard;
	struct guarded_link *links = calloc(wanted->n_interfaces, sizeof(*links));

	if (!links)
		return -ENOMEM;
	for (size_t i = 0; i < wanted->n_interfaces; i++) {
		struct guarded_link *old = find(g->interfaces, g->n_interfaces,
		                                wanted->interfaces[i]);

		if (old)
			links[i] = *old;
		else
			snprintf(links[i].name, sizeof(links[i].name), "%s",
			         wanted->interfaces[i]);
	}
	for (size_t i = 0; i < g->n_interfaces; i++)
		if (!find(links, wanted->n_interfaces, g->interfaces[i].name))
			detach(g, &g->interfaces[i]);
	free(g->interfaces);
	g->interfaces = links;
	g->n_interfaces = wanted->n_interfaces;
	return 0;
}

/* ---- the rule set ----------------------------------------------------------------- */

static int publish(struct guarding *g)
{
	struct guard_rules rules;
	struct guard_set set;
	int r;

	guard_rules_init(&rules);
	guard_config_collect(&rules, g->config, g->forward, g->addresses,
	                     g->n_addresses);
	set = guard_rules_set(&rules);
	r = guard_publish(g->guard, &set);
	guard_rules_fini(&rules);
	return r;
}

/* Whatever it drops by now may be wanted. */
static void let_go(struct guarding *g, const char *what, int r)
{
	detach_all(g);
	g->has_let_go = true;
	snprintf(g->text, sizeof(g->text), "off: %s: %s", what, strerrordesc_np(-r));
	log_warning("guard %s; rules are enforced without it", g->text);
}

static void note_full(void *ctx, const struct addr *addr, bool is_full)
{
	/* On each link the same address is another host's; the program does not look. */
	if (addr->sa.sa_family == AF_INET6 && addr->in6.sin6_scope_id != 0)
		return;
	guard_set_full(ctx, addr, is_full);
}

/* Return: has this host other addresses than before, by *ret_r 0? */
static bool read_addresses(struct guarding *g, int *ret_r)
{
	struct addr *addresses;
	size_t n;
	bool has_changed;

	*ret_r = links_addresses(&addresses, &n);
	if (*ret_r < 0)
		return false;
	has_changed = n != g->n_addresses || !g->addresses ||
	              memcmp(addresses, g->addresses, n * sizeof(*addresses)) != 0;
	free(g->addresses);
	g->addresses = addresses;
	g->n_addresses = n;
	return has_changed;
}

static void on_links(void *ctx)
{
	struct guarding *g = ctx;
	int r;

	if (!g->config || g->has_let_go)
		return;
	if (read_addresses(g, &r))
		r = publish(g);
	if (r < 0) {
		let_go(g, "the addresses of this host have changed", r);
		return;
	}
	attach_all(g);
}

/* ---- on and off ------------------------------------------------------------------- */

static int start(struct guarding *g, const char **ret_step)
{
	int r = guard_open(&g->guard, ret_step);

	if (r < 0)
		return r;
	*ret_step = "cannot watch its events";
	g->events = (struct source){
		.on_event = on_events,
		.fd = guard_events_fd(g->guard),
	};
	r = loop_add(g->loop, &g->events, EPOLLIN);
	if (r < 0)
		return r;
	*ret_step = "cannot watch interfaces";
	return links_watch(&g->links, g->loop, on_links, g);
}

static void turn_off(struct guarding *g)
{
	if (!g->guard)
		return;
	forward_on_full(g->forward, NULL, NULL, 0);
	detach_all(g);
	links_close(&g->links);
	loop_remove(g->loop, &g->events);
	guard_close(g->guard);
	g->guard = NULL;
	free(g->interfaces);
	free(g->addresses);
	guard_blocks_fini(&g->blocks);
	g->interfaces = NULL;
	g->addresses = NULL;
	g->n_interfaces = g->n_addresses = 0;
}

static bool turn_on(struct guarding *g)
{
	const char *step = "";
	int r;

	if (g->guard)
		return true;
	g->links.source.fd = -1;
	r = start(g, &step);
	if (r < 0) {
		turn_off(g);
		snprintf(g->text, sizeof(g->text), "off: %s: %s", step,
		         strerrordesc_np(-r));
		log_warning("guard %s; rules are enforced without it", g->text);
		return false;
	}
	g->pinned = datapaths_report_pins(guard_pin(g->guard, g->settings->bpffs),
	                                  "guard", g->settings->bpffs);
	return true;
}

void guarding_apply(struct guarding *g, const struct config *config)
{
	int r;

	g->config = config->guard.n_interfaces > 0 ? config : NULL;
	if (!g->config) {
		turn_off(g);
		g->text[0] = '\0';
		return;
	}
	if (!turn_on(g))
		return;
	guard_forget_full(g->guard);
	forward_on_full(g->forward, note_full, g->guard, config->maxsessions_per_ip);
	r = guard_blocks_sync(&g->blocks, g->guard, forward_blocks(g->forward));
	if (r == 0)
		read_addresses(g, &r);
	detach_unsuitable(g);
	if (r == 0)
		r = publish(g);
	if (r == 0)
		r = take_interfaces(g);
	if (r < 0) {
		let_go(g, "cannot hand over the rules", r);
		return;
	}
	g->has_let_go = false;
	snprintf(g->text, sizeof(g->text), "on%s", g->pinned);
	attach_all(g);
}

void guarding_sync_blocks(struct guarding *g)
{
	int r = g->guard ? guard_blocks_sync(&g->blocks, g->guard,
	                                     forward_blocks(g->forward))
	                 : 0;

	if (r < 0)
		let_go(g, "cannot hand over what is blocked", r);
}

/* ---- what people ask for ---------------------------------------------------------- */

static void list_state(const struct guarding *g, FILE *out)
{
	fprintf(out, "guard %s%s", g->text[0] ? g->text : "off",
	        g->config && g->config->guard.is_dry_run ? ", dry run" : "");
	for (size_t i = 0; i < g->n_interfaces; i++) {
		const struct guarded_link *link = &g->interfaces[i];

		fprintf(out, "%s %s %s", i > 0 ? "," : ";", link->name,
		        link->ifindex != 0 ? mode_names[link->mode]
		        : link->error != 0 ? strerrordesc_np(-link->error)
		                           : "not attached");
	}
	fputs("\r\n", out);
}

static void put_drops(FILE *out, const char *title, const struct g5x_drops *d)
{
	fprintf(out,
	        " %s blocked=%llu no_rule=%llu sessions=%llu source_rate=%llu "
	        "listener_rate=%llu",
	        title, (unsigned long long)d->blocked, (unsigned long long)d->no_rule,
	        (unsigned long long)d->sessions, (unsigned long long)d->source_rate,
	        (unsigned long long)d->listener_rate);
}

static void list_listener(const struct guarding *g, FILE *out,
                          const struct addr *listener)
{
	const struct g5x_guard_address key = {
		.ip = guard_source(listener),
		.port = addr_port(listener),
	};
	struct g5x_guard_counts counts;
	char text[ADDR_TEXT_LEN];

	guard_counts(g->guard, &key, &counts);
	fprintf(out, "listener %s passed=%llu", addr_format(listener, text),
	        (unsigned long long)counts.passed);
	put_drops(out, "dropped:", &counts.dropped);
	fprintf(out, " reset=%llu", (unsigned long long)counts.reset);
	put_drops(out, "would drop:", &counts.would_drop);
	fputs("\r\n", out);
}

bool guarding_list(const struct guarding *g, FILE *out, struct listing *at)
{
	const struct addr *listener;
	int fd;

	if (at->next == 0)
		list_state(g, out);
	for (int i = 0; g->guard && i < LISTED_AT_ONCE; i++) {
		listener = forward_listener(g->forward, at->next, &fd);
		if (!listener)
			return false;
		at->next++;
		list_listener(g, out, listener);
	}
	return g->guard != NULL;
}

void guarding_release(struct guarding *g)
{
	if (g->guard)
		detach_all(g);
	g->has_let_go = true;
}

void guarding_run_timers(struct guarding *g)
{
	if (g->retry_ms != 0 && clock_ms() >= g->retry_ms)
		attach_all(g);
}

int guarding_wait_ms(const struct guarding *g)
{
	uint64_t now_ms = clock_ms();

	if (g->retry_ms == 0)
		return -1;
	return g->retry_ms > now_ms ? (int)(g->retry_ms - now_ms) : 0;
}

void guarding_stop(struct guarding *g)
{
	turn_off(g);
}
