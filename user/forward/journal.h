/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* journal.h - one log line for each finished session. */
#ifndef G5X_FORWARD_JOURNAL_H
#define G5X_FORWARD_JOURNAL_H

#include "forward/session.h"

/**
 * journal_session() - the line of a session that ends now
 *
 * Text: "session rule=R client=A listener=A server=A in=N out=N connect_ms=X
 * first_byte_ms=X total_ms=X datapath=D reason="..."", with "-" for what never
 * happened. in is what the client sent and the server was given; out the reverse.
 * Milliseconds count from accept. JSON: the same names, null for "-".
 */
void journal_session(const struct session *s, enum close_reason reason);

#endif /* G5X_FORWARD_JOURNAL_H */
