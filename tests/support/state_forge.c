/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "state_forge.h"

struct forge forge;

void forge_fresh(void)
{
	forge.b = forge.good;
	forge.b.stream.ctx = &forge.b;
	forge.b.pos = 0;
}

void forge_begin(void)
{
	memset(&forge, 0, sizeof(forge));
	fixture_init(&forge.f, LAYOUT_SPLIT, 2);
	fixture_start(&forge.f);
	fixture_echo(&forge.f, 0);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(forge.f.v)), 0);
	ck_assert_int_eq(vdev_function_save(vdev_function(forge.f.v), state_buffer_init(&forge.good)),
	                 0);
	forge_fresh();
}

uint8_t *forge_body(unsigned id)
{
	uint8_t *at = forge.b.bytes + STATE_HEADER_BYTES + SECTION_HEADER_BYTES;

	while (at < forge.b.bytes + forge.b.len && at[0] != id)
		at += 16 + ((uint32_t)at[8] | (uint32_t)at[9] << 8);
	ck_assert(at < forge.b.bytes + forge.b.len);
	return at + SECTION_HEADER_BYTES;
}

void forge_put(uint8_t *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

uint8_t *forge_grow(unsigned id, uint32_t n)
{
	uint8_t *at = forge_body(id);
	uint32_t len = (uint32_t)at[-8] | (uint32_t)at[-7] << 8;

	ck_assert_uint_le(forge.b.len + n, sizeof(forge.b.bytes));
	memmove(at + len + n, at + len, (size_t)(forge.b.bytes + forge.b.len - (at + len)));
	memset(at + len, 0, n);
	forge_put(at - 8, len + n, 4);
	forge.b.len += n;
	return at + len;
}

int forge_load(void)
{
	state_reseal(forge.b.bytes, forge.b.len);
	forge.b.pos = 0;
	return vdev_function_load(vdev_function(forge.f.v), &forge.b.stream);
}

void forge_refused(void)
{
	ck_assert_int_lt(forge_load(), 0);
	forge_fresh();
}

void forge_end(void)
{
	ck_assert_int_eq(vdev_function_resume(vdev_function(forge.f.v)), 0);
	fixture_echo(&forge.f, 0);
	fixture_echo(&forge.f, 1);
	fixture_fini(&forge.f);
}
