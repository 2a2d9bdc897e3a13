/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * clients.h - the sockets of management clients.
 *
 * Workers accept and admit them, then hand them over through a mailbox; from there on
 * they belong to the main thread and its loop. What a client does wrong, it does to
 * its own connection.
 *
 *     mailbox ──> OPEN ──> LINGERING ──> gone
 *
 * OPEN ends by quit, by a line that is too long, or by the rule's timeout. LINGERING
 * has sent its FIN and throws away what still comes, for a short time: closing at once
 * would reset the connection, and the client could lose the last answers.
 */
#ifndef G5X_CONTROL_CLIENTS_H
#define G5X_CONTROL_CLIENTS_H

#include <stdint.h>

struct clients;
struct commands;
struct loop;
struct manage_client;

#define CLIENTS_MAX 1024 /* a backstop; a rule's maxclients is the limit to set */

/** clients_new() - @loop and @commands must outlive it; 0 or -errno */
int clients_new(struct loop *loop, const struct commands *commands,
                struct clients **ret_clients);

/** clients_free() - closes all, those in the mailbox too; no more may be handed over */
void clients_free(struct clients *c);

/** clients_hand_over() - from any thread; takes over what @client stands for */
void clients_hand_over(struct clients *c, const struct manage_client *client);

/** clients_run_timers() - after each turn of the loop */
void clients_run_timers(struct clients *c);

/** clients_wait_ms() - how long the loop may sleep; -1 for ever */
int clients_wait_ms(const struct clients *c);

/** clients_get() - the @nth place, from 0 to CLIENTS_MAX - 1; NULL: nobody has it */
const struct manage_client *clients_get(const struct clients *c, uint32_t nth);

#endif /* G5X_CONTROL_CLIENTS_H */
