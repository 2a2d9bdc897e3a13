// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* control.c - see control.h. */
#include "control/control.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/clients.h"
#include "control/file.h"
#include "control/reload.h"
#include "control/resolve.h"
#include "control/settings.h"
#include "control/signals.h"
#include "control/startup.h"
#include "forward/blocks.h"
#include "forward/forward.h"
#include "rules/config.h"

#define DRAIN_LOOK_MS 50

static void put_failure(const struct control *c, int r, const struct addr *failed,
                        char reason[COMMANDS_REASON_LEN])
{
	char text[ADDR_TEXT_LEN];

	if (failed->sa.sa_family != AF_UNSPEC)
		snprintf(reason, COMMANDS_REASON_LEN, "cannot listen on %s: %s",
		         addr_format(failed, text), strerror(-r));
	else if (r == -ENOSPC)
		snprintf(reason, COMMANDS_REASON_LEN,
		         "with those of commands there are more than %d blocks",
		         BLOCKS_MAX);
	else
		snprintf(reason, COMMANDS_REASON_LEN, "%s",
		         c->is_draining ? "the program is about to end" : strerror(-r));
}

int control_apply(struct control *c, struct config *config,
                  char reason[COMMANDS_REASON_LEN])
{
	struct addr failed = { 0 };
	int r = -ESHUTDOWN;

	if (!c->is_draining) {
		datapaths_prepare(&c->datapaths, c->settings, c->forward, config);
		r = forward_publish(c->forward, config, &failed);
	}
	if (r < 0) {
		if (c->config) /* what is in force stays, also for the kernel */
			datapaths_prepare(&c->datapaths, c->settings, c->forward,
			                  c->config);
		put_failure(c, r, &failed, reason);
		config_free(config);
		return r;
	}
	config_publish_versions(config, c->config);
	forwards_learn(&c->forwards, config);
	if (c->config)
		config_free(c->config);
	c->config = config;
	blocking_changed(&c->blocking);
	guarding_apply(&c->guarding, config);
	return 0;
}

/* ---- what commands can do ----------------------------------------------------- */

static const struct config *get_config(void *ctx)
{
	const struct control *c = ctx;

	return c->config;
}

static int apply(void *ctx, struct config *config, char reason[COMMANDS_REASON_LEN])
{
	return control_apply(ctx, config, reason);
}

static int dump(void *ctx)
{
	const struct control *c = ctx;

	return file_write(c->settings->file, c->config);
}

static void clean(void *ctx)
{
	struct control *c = ctx;

	log_info("%zu sessions of changed rules closed", forward_clean(c->forward));
}

static bool list_forwards(void *ctx, FILE *out, struct listing *at)
{
	const struct control *c = ctx;

	return forwards_list(&c->forwards, out, at);
}

static int block(void *ctx, const struct network *network, unsigned int seconds)
{
	struct control *c = ctx;

	return blocking_block(&c->blocking, network, seconds);
}

static int unblock(void *ctx, const struct network *network)
{
	struct control *c = ctx;

	return blocking_unblock(&c->blocking, network);
}

/* What the guard does, and then what is blocked, guard or not. */
static bool list_guard(void *ctx, FILE *out, struct listing *at)
{
	const struct control *c = ctx;

	if (at->stage > 0)
		return blocking_list(&c->blocking, out, at);
	if (!guarding_list(&c->guarding, out, at))
		*at = (struct listing){ .stage = 1 };
	return true;
}

static const char *get_splice_text(void *ctx)
{
	const struct control *c = ctx;

	return c->datapaths.splice_text;
}

static const char *get_bypass_text(void *ctx)
{
	const struct control *c = ctx;

	return c->datapaths.bypass_text;
}

static const char *get_guard_text(void *ctx)
{
	const struct control *c = ctx;

	return c->guarding.text;
}

static const struct commands_ops commands_ops = {
	.get_config = get_config,
	.apply = apply,
	.dump = dump,
	.clean = clean,
	.list_forwards = list_forwards,
	.block = block,
	.unblock = unblock,
	.list_guard = list_guard,
	.get_splice_text = get_splice_text,
	.get_bypass_text = get_bypass_text,
	.get_guard_text = get_guard_text,
};

/* On a worker's thread. */
static void on_manage(void *ctx, const struct manage_client *client)
{
	struct control *c = ctx;

	clients_hand_over(c->clients, client);
}

/* ---- signals -------------------------------------------------------------------- */

static void start_draining(struct control *c)
{
	if (c->is_draining) {
		log_info("asked to end a second time");
		c->is_over = true;
		return;
	}
	c->is_draining = true;
	c->drained_by_ms = clock_ms() + c->config->grace_s * 1000ULL;
	guarding_release(&c->guarding);
	forward_stop_accepting(c->forward);
	log_info("ending: %u sessions left, they have %u seconds",
	         session_n_live(forward_sessions(c->forward)), c->config->grace_s);
}

static void on_signal(struct source *source, uint32_t events)
{
	struct control *c = container_of(source, struct control, signals);
	int number;

	(void)events;
	while ((number = signals_next(source->fd)) != 0) {
		if (number != SIGHUP)
			start_draining(c);
		else if (c->is_draining)
			log_warning("no reload: the program is about to end");
		else
			reload(c);
	}
}

static void check_drained(struct control *c)
{
	uint32_t n_left = session_n_live(forward_sessions(c->forward));

	if (n_left > 0 && clock_ms() < c->drained_by_ms)
		return;
	if (n_left > 0)
		log_warning("time is over: %u sessions are reset", n_left);
	c->is_over = true;
}

/* ---- start, run, end ------------------------------------------------------------ */

static int start_loop(struct control *c)
{
	int r = loop_init(&c->loop, NULL, NULL);

	if (r < 0)
		return r;
	r = signals_open(&c->signals.fd);
	if (r < 0)
		return r;
	c->signals.on_event = on_signal;
	r = loop_add(&c->loop, &c->signals, EPOLLIN);
	if (r < 0)
		return r;
	c->commands = (struct commands){
		.ops = &commands_ops,
		.ctx = c,
		.settings = c->settings,
		.resolver = &resolve_with_libc,
	};
	return clients_new(&c->loop, &c->commands, &c->clients);
}

static int start_forward(struct control *c, const struct config *config)
{
	const struct forward_options options = {
		.n_workers = startup_n_workers(c->settings, config),
		.max_sessions = c->settings->max_sessions,
		.buffer_size = c->settings->buffer_size,
		.on_manage = on_manage,
		.ctx = c,
	};
	int r = forward_new(&options, &c->forward);

	if (r < 0)
		return r;
	c->guarding = (struct guarding){
		.loop = &c->loop,
		.forward = c->forward,
		.settings = c->settings,
	};
	c->blocking = (struct blocking){
		.forward = c->forward,
		.guarding = &c->guarding,
	};
	c->forwards.forward = c->forward;
	c->forwards.clients = c->clients;
	startup_log(c->settings, config, options.n_workers,
	            forward_sessions(c->forward)->capacity);
	return 0;
}

/* All but listening. @config: borrowed. The log may be a file, and this is for the
 * person who types the command: so failures go to stderr. */
static int prepare(struct control *c, const struct config *config)
{
	int r = log_start(reload_log_target(config), config->log_format,
	                  c->settings->is_debug);

	if (r < 0) {
		fprintf(stderr, "g5x: cannot open the log %s: %s\n",
		        reload_log_target(config), strerror(-r));
		return r;
	}
	c->first_workers = config->workers;
	r = start_loop(c);
	if (r == 0)
		r = start_forward(c, config);
	if (r < 0)
		fprintf(stderr, "g5x: cannot start: %s\n", strerror(-r));
	return r;
}

/* Takes @config over. Listeners are opened last: whoever can connect is served. */
static int start(struct control *c, struct config *config)
{
	char reason[COMMANDS_REASON_LEN] = "";
	int r = prepare(c, config);

	if (r < 0) {
		config_free(config);
		return r;
	}
	r = control_apply(c, config, reason);
	if (r < 0)
		fprintf(stderr, "g5x: %s\n", reason);
	else
		log_info("ready: %zu rules", config->n_rules);
	return r;
}

/* -1 is for ever. */
static int sooner(int a_ms, int b_ms)
{
	return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

static int wait_ms(const struct control *c)
{
	int ms = c->is_draining ? DRAIN_LOOK_MS : clients_wait_ms(c->clients);

	ms = sooner(ms, blocking_wait_ms(&c->blocking));
	return sooner(ms, guarding_wait_ms(&c->guarding));
}

static int run(struct control *c)
{
	while (!c->is_over) {
		int r = loop_turn(&c->loop, wait_ms(c), NULL);

		if (r < 0 && r != -EINTR)
			return log_errno(r, "cannot wait for events");
		clients_run_timers(c->clients);
		blocking_run_timers(&c->blocking);
		guarding_run_timers(&c->guarding);
		if (c->is_draining)
			check_drained(c);
	}
	log_info("ended");
	return 0;
}

/* Undoes as much of start() as was done. Workers end before what they call. */
static void stop(struct control *c)
{
	guarding_stop(&c->guarding);
	if (c->forward)
		forward_free(c->forward);
	datapaths_stop(&c->datapaths);
	if (c->clients)
		clients_free(c->clients);
	forwards_fini(&c->forwards);
	if (c->config)
		config_free(c->config);
	loop_fini(&c->loop);
	if (c->signals.fd >= 0)
		close(c->signals.fd);
	log_stop();
}

int control_run(const struct settings *settings)
{
	struct control c = {
		.settings = settings,
		.loop = { .epoll_fd = -1 },
		.signals = { .fd = -1 },
	};
	struct config *config;
	int r;

	startup_raise_fd_limit();
	r = signals_block();
	if (r == 0)
		r = reload_read_first(settings, &config);
	if (r < 0)
		return r;
	r = start(&c, config);
	if (r == 0)
		r = run(&c);
	stop(&c);
	return r;
}
