// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* session.c - the table of sessions and the edges between their states. */
#include "forward/session.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

static const char *const state_names[] = {
	[SESSION_FREE] = "free",
	[SESSION_ACCEPTED] = "accepted",
	[SESSION_CONNECTING] = "connecting",
	[SESSION_RELAYING] = "relaying",
	[SESSION_CLIENT_ENDED] = "client ended",
	[SESSION_SERVER_ENDED] = "server ended",
	[SESSION_CLOSED] = "closed",
};
_Static_assert(ARRAY_SIZE(state_names) == SESSION_STATE_N, "every state needs a name");

static const char *const close_reasons[] = {
	[CLOSE_DONE] = "done",
	[CLOSE_CLIENT_RESET] = "reset by client",
	[CLOSE_SERVER_RESET] = "reset by server",
	[CLOSE_CLIENT_LEFT] = "client left while connecting",
	[CLOSE_NO_SERVER] = "no server left to try",
	[CLOSE_SERVERS_FULL] = "servers full",
	[CLOSE_RULE_REMOVED] = "rule removed while connecting",
	[CLOSE_IDLE_TIMEOUT] = "idle timeout",
	[CLOSE_FIN_TIMEOUT] = "fin timeout",
	[CLOSE_CLEANED] = "cleaned",
	[CLOSE_SHUTDOWN] = "shutdown",
	[CLOSE_NO_RESOURCES] = "out of resources",
	[CLOSE_KERNEL_FAULT] = "bytes lost in the kernel",
};
_Static_assert(ARRAY_SIZE(close_reasons) == CLOSE_N_REASONS,
               "every reason needs a text");

#define TO(state) (1U << (state))

/* The drawing in session.h. */
static const unsigned int edges[] = {
	[SESSION_FREE] = TO(SESSION_ACCEPTED),
	[SESSION_ACCEPTED] = TO(SESSION_CONNECTING) | TO(SESSION_CLOSED),
	[SESSION_CONNECTING] = TO(SESSION_ACCEPTED) | TO(SESSION_RELAYING) |
	                       TO(SESSION_CLOSED),
	[SESSION_RELAYING] = TO(SESSION_CLIENT_ENDED) | TO(SESSION_SERVER_ENDED) |
	                     TO(SESSION_CLOSED),
	[SESSION_CLIENT_ENDED] = TO(SESSION_CLOSED),
	[SESSION_SERVER_ENDED] = TO(SESSION_CLOSED),
	[SESSION_CLOSED] = TO(SESSION_FREE),
};
_Static_assert(ARRAY_SIZE(edges) == SESSION_STATE_N, "every state needs its edges");

int session_table_init(struct session_table *t, uint32_t capacity,
                       unsigned int n_workers)
{
	auto_free struct session_counts *counts = NULL;
	auto_close int fd = -1;
	void *mapped;
	size_t size = ((size_t)capacity + 1) * sizeof(struct session);

	counts = aligned_alloc(64, n_workers * sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	memset(counts, 0, n_workers * sizeof(*counts));
	fd = memfd_create("g5x-sessions", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	/* Pages come into being when a record is first used. */
	mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
	              fd, 0);
	if (mapped == MAP_FAILED)
		return -errno;

	*t = (struct session_table){
		.sessions = mapped,
		.counts = take_ptr(counts),
		.n_workers = n_workers,
		.capacity = capacity,
		.n_mapped = size,
		.memfd = take_fd(fd),
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	return 0;
}

void session_table_fini(struct session_table *t)
{
	if (!t->sessions)
		return;
	munmap(t->sessions, t->n_mapped);
	free(t->counts);
	close(t->memfd);
	pthread_mutex_destroy(&t->lock);
	*t = (struct session_table){ .memfd = -1 };
}

uint32_t session_alloc(struct session_table *t, unsigned int worker)
{
	uint32_t number = 0;
	struct session *s;

	pthread_mutex_lock(&t->lock);
	if (t->first_free) {
		number = t->first_free;
		t->first_free = t->sessions[number].ready.next;
	} else if (t->n_touched < t->capacity) {
		number = ++t->n_touched;
	}
	if (number)
		__atomic_store_n(&t->n_live, t->n_live + 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&t->lock);
	if (!number)
		return 0;

	s = &t->sessions[number];
	/* Not zeroed as a whole: in between it would seem to be of worker 0, which may
	 * be looking for its own right now. */
	__atomic_store_n(&s->worker, (uint16_t)worker, __ATOMIC_RELAXED);
	s->datapath = 0;
	memset(s->end, 0, sizeof(*s) - offsetof(struct session, end));
	s->end[CLIENT].fd = s->end[SERVER].fd = -1;
	session_set_state(t, number, SESSION_ACCEPTED);
	__atomic_store_n(&s->generation, s->generation + 1, __ATOMIC_RELEASE); /* odd */
	return number;
}

void session_free(struct session_table *t, uint32_t number)
{
	struct session *s = &t->sessions[number];

	assert(s->end[CLIENT].fd < 0 && s->end[SERVER].fd < 0);
	assert(s->flow[CLIENT].buffer == 0 && s->flow[SERVER].buffer == 0);
	assert(s->timer.link.prev == 0 && s->ready.prev == 0 &&
	       s->drain.link.prev == 0);
	session_set_state(t, number, SESSION_FREE);
	__atomic_store_n(&s->generation, s->generation + 1,
	                 __ATOMIC_RELEASE); /* even */

	pthread_mutex_lock(&t->lock);
	s->ready.next = t->first_free;
	t->first_free = number;
	__atomic_store_n(&t->n_live, t->n_live - 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&t->lock);
}

uint32_t session_n_live(const struct session_table *t)
{
	return __atomic_load_n(&t->n_live, __ATOMIC_RELAXED);
}

uint32_t session_n_touched(struct session_table *t)
{
	uint32_t n;

	pthread_mutex_lock(&t->lock);
	n = t->n_touched;
	pthread_mutex_unlock(&t->lock);
	return n;
}

bool session_copy(const struct session_table *t, uint32_t number,
                  struct session *ret_copy)
{
	const struct session *s = &t->sessions[number];
	uint32_t before = __atomic_load_n(&s->generation, __ATOMIC_ACQUIRE);
	struct session copy;

	if (before % 2 == 0)
		return false;
	copy = *s;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&s->generation, __ATOMIC_RELAXED) != before ||
	    copy.state == SESSION_FREE || copy.state == SESSION_CLOSED)
		return false;
	*ret_copy = copy;
	return true;
}

void session_set_state(struct session_table *t, uint32_t number,
                       enum session_state state)
{
	struct session *s = &t->sessions[number];
	struct session_counts *counts = &t->counts[s->worker];

	assert(edges[s->state] & TO(state));
	if (s->state != SESSION_FREE) {
		counts->n[s->state]--;
		log_debug("session %u: %s -> %s", number, state_names[s->state],
		          state_names[state]);
	}
	if (state != SESSION_FREE)
		counts->n[state]++;
	__atomic_store_n(&s->state, state, __ATOMIC_RELEASE);
}

uint32_t session_count(const struct session_table *t, enum session_state state)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < t->n_workers; i++)
		n += __atomic_load_n(&t->counts[i].n[state], __ATOMIC_RELAXED);
	return n;
}

const char *session_state_name(enum session_state state)
{
	assert(state < SESSION_STATE_N);
	return state_names[state];
}

const char *close_reason_text(enum close_reason reason)
{
	assert(reason < CLOSE_N_REASONS);
	return close_reasons[reason];
}
