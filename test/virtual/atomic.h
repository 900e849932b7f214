/* SPDX-License-Identifier: MIT */
/*
 * The seam for atomics in a virtual build: lib/thread/atomic.h includes it in the place of
 * <stdatomic.h>.  Each access is a call that says what, how large, in which order, and where.
 */
#ifndef VIRTUAL_ATOMIC_H
#define VIRTUAL_ATOMIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum virtual_order {
    VIRTUAL_relaxed,
    VIRTUAL_acquire,
    VIRTUAL_release,
    VIRTUAL_acq_rel,
    VIRTUAL_seq_cst
};

enum virtual_change { VIRTUAL_EXCHANGE, VIRTUAL_ADD, VIRTUAL_SUB, VIRTUAL_OR, VIRTUAL_AND };

uint64_t virtual_load(
        const volatile void *object, size_t size, enum virtual_order order, const char *where);
void virtual_store(volatile void *object, size_t size, uint64_t value, enum virtual_order order,
        const char *where);
/* Returns the value before. */
uint64_t virtual_change(volatile void *object, size_t size, enum virtual_change change,
        uint64_t value, enum virtual_order order, const char *where);
bool virtual_cas(volatile void *object, size_t size, void *expected, uint64_t desired,
        enum virtual_order success, enum virtual_order failure, const char *where);
void virtual_pause(const char *where);

#define VIRTUAL_TEXT_OF(line) #line
#define VIRTUAL_TEXT(line) VIRTUAL_TEXT_OF(line)
#define VIRTUAL_WHERE __FILE__ ":" VIRTUAL_TEXT(__LINE__)

#define VIRTUAL_BITS(object, value) ((uint64_t)(uintptr_t)(__typeof__(*(object)))(value))
#define VIRTUAL_VALUE(object, bits) __extension__({ (__typeof__(*(object)))(uintptr_t)(bits); })
#define VIRTUAL_CHANGE(object, change, value, order)                                               \
    VIRTUAL_VALUE(object, virtual_change(object, sizeof(*(object)), change,                        \
                                  VIRTUAL_BITS(object, value), VIRTUAL_##order, VIRTUAL_WHERE))

#define asi_atomic(type) __typeof__(type)

#define asi_load(object, order)                                                                    \
    VIRTUAL_VALUE(object, virtual_load(object, sizeof(*(object)), VIRTUAL_##order, VIRTUAL_WHERE))
#define asi_store(object, value, order)                                                            \
    virtual_store(object, sizeof(*(object)), VIRTUAL_BITS(object, value), VIRTUAL_##order,         \
            VIRTUAL_WHERE)
#define asi_exchange(object, value, order) VIRTUAL_CHANGE(object, VIRTUAL_EXCHANGE, value, order)
#define asi_add(object, value, order) VIRTUAL_CHANGE(object, VIRTUAL_ADD, value, order)
#define asi_sub(object, value, order) VIRTUAL_CHANGE(object, VIRTUAL_SUB, value, order)
#define asi_or(object, value, order) VIRTUAL_CHANGE(object, VIRTUAL_OR, value, order)
#define asi_and(object, value, order) VIRTUAL_CHANGE(object, VIRTUAL_AND, value, order)
#define asi_cas_strong(object, expected, desired, success, failure)                                \
    virtual_cas(object, sizeof(*(object)), expected, VIRTUAL_BITS(object, desired),                \
            VIRTUAL_##success, VIRTUAL_##failure, VIRTUAL_WHERE)
#define asi_cas_weak asi_cas_strong
#define asi_spin_pause() virtual_pause(VIRTUAL_WHERE)

#endif
