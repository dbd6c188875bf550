/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside the fake device: what its registers do, wherever the transport has them. */
#ifndef TESTS_SUPPORT_FAKE_DEVICE_H
#define TESTS_SUPPORT_FAKE_DEVICE_H

#include "fake_virtio.h"

/* Notes of what the driver did, and of what it may not do. */
void fake_violation(struct fake *f, const char *what, uint32_t at);
void fake_note(struct fake *f, int write, enum fake_space space, uint32_t at, uint32_t width,
               uint32_t value);

/* Little-endian numbers, and half of an address. */
uint32_t fake_load(const void *p, uint32_t width);
void fake_store(void *p, uint32_t width, uint32_t value);
void fake_half(uint64_t *addr, int high, uint32_t value);

/* Registers of the device. */
uint32_t fake_status_read(struct fake *f);
void fake_status_write(struct fake *f, uint32_t value);
void fake_accept_bits(struct fake *f, uint32_t bits);
uint32_t fake_offered_bits(struct fake *f);
uint32_t fake_space_read(struct fake *f, uint32_t at, uint32_t width);
void fake_space_write(struct fake *f, uint32_t at, uint32_t width, uint32_t value);

/* Registers of the queue that is selected. fake_queue_register() is for those that stay while it is enabled. */
struct fake_queue *fake_queue(struct fake *f);
uint32_t fake_queue_reset_read(struct fake *f, struct fake_queue *q);
void fake_queue_reset_write(struct fake *f, struct fake_queue *q, uint32_t value);
void fake_queue_register(struct fake *f, struct fake_queue *q, uint32_t at);
void fake_size_write(struct fake *f, struct fake_queue *q, uint32_t value);

/* What a driver calls between two looks. */
void fake_wait(void *ctx);

#endif
