// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* clients.c - see clients.h. */
#include "control/clients.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/wheel.h"
#include "control/manage.h"
#include "forward/forward.h"
#include "rules/state.h"

#define LINGER_MS 1000

struct client {
	struct source source;
	struct clients *clients;
	uint32_t number; /* its place, and its timer's */
	struct manage_client info;
	struct manage manage;
	uint64_t last_active_ms;
	bool has_eof; /* the client sends no more */
	bool is_lingering;
};

struct clients {
	struct loop *loop;
	const struct commands *commands;

	pthread_mutex_t lock; /* guards the mailbox */
	struct manage_client mailbox[CLIENTS_MAX];
	size_t n_mailed;
	struct source wake;

	/* by number, from 1 */
	struct client *clients[CLIENTS_MAX + 1]; /* owned */
	struct wheel_timer timers[CLIENTS_MAX + 1];
	struct wheel wheel;
};

/* The client no longer counts against maxclients. */
static void leave_rule(struct manage_client *info)
{
	struct client_state *state;

	if (info->client == STATE_NONE)
		return;
	state = state_get(STATE_CLIENT, info->client);
	client_state_leave(state);
	state_unref(&state->state);
	info->client = STATE_NONE;
}

static void client_free(struct client *client)
{
	struct clients *c = client->clients;

	loop_remove(c->loop, &client->source);
	wheel_clear(&c->wheel, client->number);
	c->clients[client->number] = NULL;
	close(client->source.fd);
	leave_rule(&client->info);
	manage_fini(&client->manage);
	free(client);
}

/* A client that has not got all of its answers shall not take them for complete. */
static void client_reset(struct client *client)
{
	const struct linger hard = { .l_onoff = 1 };

	setsockopt(client->source.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	client_free(client);
}

static void client_linger(struct client *client)
{
	struct clients *c = client->clients;

	leave_rule(&client->info);
	client->is_lingering = true;
	if (shutdown(client->source.fd, SHUT_WR) < 0 || client->has_eof ||
	    loop_modify(c->loop, &client->source, EPOLLIN) < 0)
		client_free(client);
	else
		wheel_set(&c->wheel, client->number, clock_ms() + LINGER_MS);
}

static void client_discard(struct client *client)
{
	char nowhere[16384];
	ssize_t n = recv(client->source.fd, nowhere, sizeof(nowhere), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		client_free(client);
}

static int client_receive(struct client *client)
{
	size_t room;
	char *to = manage_room(&client->manage, &room);
	ssize_t n;

	if (room == 0 || client->has_eof)
		return 0;
	n = recv(client->source.fd, to, room, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	client->has_eof = n == 0;
	client->last_active_ms = clock_ms();
	manage_filled(&client->manage, (size_t)n);
	return 0;
}

static int client_send(struct client *client)
{
	size_t len;
	const char *data = manage_output(&client->manage, &len);
	ssize_t n;

	if (len == 0)
		return 0;
	n = send(client->source.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	client->last_active_ms = clock_ms();
	manage_sent(&client->manage, (size_t)n);
	return 0;
}

/* Work that is left waits for the socket to take more: one turn, one share. */
static int client_wait(struct client *client)
{
	uint32_t events = 0;
	size_t room, n_waiting;

	manage_room(&client->manage, &room);
	manage_output(&client->manage, &n_waiting);
	if (room > 0 && n_waiting < MANAGE_PAUSE && !client->has_eof)
		events |= EPOLLIN;
	if (n_waiting > 0 || manage_has_work(&client->manage))
		events |= EPOLLOUT;
	return loop_modify(client->clients->loop, &client->source, events);
}

static bool has_more_to_do(const struct client *client)
{
	size_t n_waiting;

	manage_output(&client->manage, &n_waiting);
	if (n_waiting > 0)
		return true;
	if (client->manage.is_ended)
		return false;
	return !client->has_eof || manage_has_work(&client->manage);
}

static void client_work(struct client *client)
{
	if (manage_run(&client->manage) < 0)
		client_reset(client);
	else if (client_send(client) < 0)
		client_free(client);
	else if (!has_more_to_do(client))
		client_linger(client);
	else if (client_wait(client) < 0)
		client_reset(client);
}

static void on_client_event(struct source *source, uint32_t events)
{
	struct client *client = container_of(source, struct client, source);

	if (events & EPOLLERR)
		client_free(client);
	else if (client->is_lingering)
		client_discard(client);
	else if ((events & (EPOLLIN | EPOLLHUP)) && client_receive(client) < 0)
		client_free(client);
	else
		client_work(client);
}

static void set_idle_timer(struct client *client)
{
	if (client->info.timeout_s > 0)
		wheel_set(&client->clients->wheel, client->number,
		          client->last_active_ms + client->info.timeout_s * 1000ULL);
}

static void on_timer(void *ctx, uint32_t number)
{
	struct clients *c = ctx;
	struct client *client = c->clients[number];
	uint64_t due_ms = client->last_active_ms + client->info.timeout_s * 1000ULL;
	size_t n_waiting;

	manage_output(&client->manage, &n_waiting);
	if (client->is_lingering)
		client_free(client);
	else if (clock_ms() < due_ms)
		set_idle_timer(client);
	else if (n_waiting > 0)
		client_reset(client);
	else
		client_linger(client);
}

static uint32_t free_place(const struct clients *c)
{
	for (uint32_t i = 1; i <= CLIENTS_MAX; i++)
		if (!c->clients[i])
			return i;
	return 0;
}

/* Takes over @info whatever the result. */
static void client_open(struct clients *c, const struct manage_client *info)
{
	auto_close int fd = info->fd;
	struct manage_client refused = *info;
	uint32_t number = free_place(c);
	struct client *client = number ? calloc(1, sizeof(*client)) : NULL;
	const int on = 1;

	if (!client) {
		log_warning("no room for one more management client");
		leave_rule(&refused);
		return;
	}
	*client = (struct client){
		.source = { .on_event = on_client_event, .fd = take_fd(fd) },
		.clients = c,
		.number = number,
		.info = *info,
		.last_active_ms = clock_ms(),
	};
	c->clients[number] = client;
	manage_init(&client->manage, c->commands, &info->addr);

	/* A client whose host died must not hold its place for ever. */
	setsockopt(client->source.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (loop_add(c->loop, &client->source, EPOLLIN) < 0) {
		client_reset(client);
		return;
	}
	set_idle_timer(client);
	client_work(client);
}

static bool take_mail(struct clients *c, struct manage_client *ret_info)
{
	bool is_there;

	pthread_mutex_lock(&c->lock);
	is_there = c->n_mailed > 0;
	if (is_there) {
		*ret_info = c->mailbox[0];
		memmove(c->mailbox, c->mailbox + 1,
		        --c->n_mailed * sizeof(c->mailbox[0]));
	}
	pthread_mutex_unlock(&c->lock);
	return is_there;
}

static void on_mail(struct source *source, uint32_t events)
{
	struct clients *c = container_of(source, struct clients, wake);
	struct manage_client info;
	eventfd_t n;

	(void)events;
	eventfd_read(source->fd, &n);
	while (take_mail(c, &info))
		client_open(c, &info);
}

void clients_hand_over(struct clients *c, const struct manage_client *client)
{
	struct manage_client refused = *client;
	bool has_room;

	pthread_mutex_lock(&c->lock);
	has_room = c->n_mailed < CLIENTS_MAX;
	if (has_room)
		c->mailbox[c->n_mailed++] = *client;
	pthread_mutex_unlock(&c->lock);

	if (has_room) {
		eventfd_write(c->wake.fd, 1);
		return;
	}
	close(refused.fd);
	leave_rule(&refused);
}

int clients_new(struct loop *loop, const struct commands *commands,
                struct clients **ret_clients)
{
	auto_close int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	auto_free struct clients *c = calloc(1, sizeof(*c));
	struct iarray timers;
	int r;

	if (fd < 0)
		return -errno;
	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->commands = commands;
	timers.base = (char *)&c->timers[0].link;
	timers.stride = sizeof(c->timers[0]);
	wheel_init(&c->wheel, timers, clock_ms());
	c->wake = (struct source){ .on_event = on_mail, .fd = fd };
	r = loop_add(loop, &c->wake, EPOLLIN);
	if (r < 0)
		return r;
	pthread_mutex_init(&c->lock, NULL);
	take_fd(fd);
	*ret_clients = take_ptr(c);
	return 0;
}

void clients_free(struct clients *c)
{
	struct manage_client info;

	while (take_mail(c, &info)) {
		close(info.fd);
		leave_rule(&info);
	}
	for (uint32_t i = 1; i <= CLIENTS_MAX; i++)
		if (c->clients[i])
			client_free(c->clients[i]);
	loop_remove(c->loop, &c->wake);
	close(c->wake.fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void clients_run_timers(struct clients *c)
{
	wheel_run(&c->wheel, clock_ms(), on_timer, c);
}

int clients_wait_ms(const struct clients *c)
{
	return wheel_wait_ms(&c->wheel, clock_ms());
}

const struct manage_client *clients_get(const struct clients *c, uint32_t nth)
{
	const struct client *client = c->clients[nth + 1];

	return client && !client->is_lingering ? &client->info : NULL;
}
