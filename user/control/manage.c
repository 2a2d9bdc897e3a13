// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* manage.c - see manage.h. */
#include "control/manage.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

#define PROMPT "> "

enum { TELNET_SE = 240, TELNET_SB = 250, TELNET_WILL = 251, TELNET_IAC = 255 };

void manage_init(struct manage *m, const struct commands *commands,
                 const struct addr *client)
{
	*m = (struct manage){ .commands = commands };
	addr_format(client, m->peer);
}

void manage_fini(struct manage *m)
{
	free(m->output);
	m->output = NULL;
}

char *manage_room(struct manage *m, size_t *ret_len)
{
	if (m->input_at > 0) {
		memmove(m->input, m->input + m->input_at, m->input_len);
		m->input_at = 0;
	}
	*ret_len = m->is_ended ? 0 : sizeof(m->input) - m->input_len;
	return m->input + m->input_len;
}

void manage_filled(struct manage *m, size_t len)
{
	assert(m->input_at + m->input_len + len <= sizeof(m->input));
	m->input_len += len;
}

const char *manage_output(const struct manage *m, size_t *ret_len)
{
	*ret_len = m->output_len;
	return m->output ? m->output + m->output_at : "";
}

void manage_sent(struct manage *m, size_t len)
{
	assert(len <= m->output_len);
	m->output_at += len;
	m->output_len -= len;
	if (m->output_len == 0) {
		manage_fini(m);
		m->output_at = 0;
	}
}

static const char *find_line_end(const struct manage *m)
{
	return memchr(m->input + m->input_at, '\n', m->input_len);
}

static bool is_too_long(const struct manage *m)
{
	return m->input_len == sizeof(m->input) && !find_line_end(m);
}

bool manage_has_work(const struct manage *m)
{
	if (m->is_ended || m->output_len >= MANAGE_PAUSE)
		return false;
	return !m->is_greeted || m->is_running || is_too_long(m) || find_line_end(m);
}

/* Bytes of one telnet command at @s, or 0. */
static size_t telnet_command_len(const unsigned char *s, size_t len)
{
	if (len < 2 || s[0] != TELNET_IAC)
		return 0;
	if (s[1] == TELNET_SB) {
		for (size_t i = 2; i + 1 < len; i++)
			if (s[i] == TELNET_IAC && s[i + 1] == TELNET_SE)
				return i + 2;
		return len;
	}
	if (s[1] < TELNET_WILL)
		return 2;
	return len < 3 ? len : 3;
}

/* A telnet client negotiates before the user types: that is not part of the line. */
static struct command_line clean_line(const struct manage *m, size_t len)
{
	struct command_line line = {
		.peer = m->peer,
		.text = m->input + m->input_at,
		.len = len,
	};
	size_t n;

	if (line.len > 0 && line.text[line.len - 1] == '\r')
		line.len--;
	while ((n = telnet_command_len((const unsigned char *)line.text, line.len))) {
		line.text += n;
		line.len -= n;
	}
	return line;
}

static enum command_result execute_line(struct manage *m, size_t len, FILE *out)
{
	struct command_line line = clean_line(m, len);
	enum command_result result;

	result = commands_execute(m->commands, &line, &m->run, out);
	m->input_at += len + 1;
	m->input_len -= len + 1;
	return result;
}

/* One line, or the next part of a long answer. */
static void step(struct manage *m, FILE *out)
{
	const char *end = find_line_end(m);
	enum command_result result = COMMAND_DONE;

	if (m->is_running) {
		result = commands_continue(m->commands, &m->run, out);
	} else if (m->is_greeted && end) {
		result = execute_line(m, (size_t)(end - m->input) - m->input_at, out);
	} else if (m->is_greeted) {
		m->is_ended = true; /* too long */
		return;
	}
	m->is_greeted = true;
	m->is_running = result == COMMAND_MORE;
	m->is_ended = result == COMMAND_QUIT;
	if (result == COMMAND_DONE)
		fputs(PROMPT, out); /* M1 */
}

/* Takes over what commands wrote while nothing waited, which is nearly always. */
static int append_output(struct manage *m, char **text, size_t len)
{
	char *larger;

	if (m->output_len == 0) {
		free(m->output);
		m->output = take_ptr(*text);
		m->output_at = 0;
		m->output_len = len;
		return 0;
	}
	larger = malloc(m->output_len + len);
	if (!larger)
		return -ENOMEM;
	memcpy(larger, m->output + m->output_at, m->output_len);
	memcpy(larger + m->output_len, *text, len);
	free(m->output);
	m->output = larger;
	m->output_at = 0;
	m->output_len += len;
	return 0;
}

int manage_run(struct manage *m)
{
	auto_free char *text = NULL;
	size_t len = 0;
	FILE *out;
	bool is_lost;

	if (!manage_has_work(m))
		return 0;
	out = open_memstream(&text, &len);
	if (!out)
		return -ENOMEM;
	do {
		step(m, out);
		fflush(out); /* brings len up to date */
	} while (manage_has_work(m) && m->output_len + len < MANAGE_PAUSE); /* M3 */
	is_lost = ferror(out);
	if (fclose(out) != 0 || is_lost)
		return -ENOMEM;
	return append_output(m, &text, len);
}
