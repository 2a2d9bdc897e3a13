// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * wire.c - making and checking what goes over the wire.
 *
 * Cheap on purpose: 4 KiB cost about a tenth of a microsecond, a stream one compare
 * for each 512 bytes, so that the measurement is of the forwarder and not of this.
 */
#include "wire.h"

#include <assert.h>
#include <string.h>

bool hello_is_valid(const struct hello *hello)
{
	return hello->magic == WIRE_MAGIC && hello->kind < WIRE_KIND_N &&
	       hello->size >= WIRE_SIZE_MIN && hello->size <= WIRE_SIZE_MAX &&
	       hello->size % sizeof(uint64_t) == 0;
}

static uint64_t first_word(uint32_t session, uint32_t sequence)
{
	return (uint64_t)session << 32 | sequence;
}

/* Spread out, so that neighbouring words of one message have no byte in common. */
static uint64_t word_at(uint64_t first, size_t i)
{
	return first + i * 0x9e3779b97f4a7c15u;
}

void message_fill(void *message, size_t size, uint32_t session, uint32_t sequence)
{
	const uint64_t first = first_word(session, sequence);
	uint64_t *words = message;

	assert(size % sizeof(*words) == 0);
	for (size_t i = 0; i < size / sizeof(*words); i++)
		words[i] = word_at(first, i);
}

bool message_is(const void *message, size_t size, uint32_t session, uint32_t sequence)
{
	const uint64_t first = first_word(session, sequence);
	const uint64_t *words = message;
	uint64_t wrong = 0;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		wrong |= words[i] ^ word_at(first, i);
	return wrong == 0;
}

static uint64_t stamp(uint32_t session, uint64_t position)
{
	return (uint64_t)session << 48 ^ position;
}

void stream_fill(void *buffer, size_t size, uint32_t session, uint64_t position)
{
	assert(position % WIRE_BLOCK == 0 && size % WIRE_BLOCK == 0);
	for (size_t at = 0; at < size; at += WIRE_BLOCK) {
		const uint64_t value = stamp(session, position + at);

		memcpy((char *)buffer + at, &value, sizeof(value));
	}
}

bool stream_is(const void *buffer, size_t size, uint32_t session, uint64_t position)
{
	uint64_t wrong = 0;

	assert(position % WIRE_BLOCK == 0 && size % WIRE_BLOCK == 0);
	for (size_t at = 0; at < size; at += WIRE_BLOCK) {
		uint64_t value;

		memcpy(&value, (const char *)buffer + at, sizeof(value));
		wrong |= value ^ stamp(session, position + at);
	}
	return wrong == 0;
}
