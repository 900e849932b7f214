/* SPDX-License-Identifier: MIT */
/* A gate that orders nothing: who passes it comes later, and has learned nothing by that.  So the
 * thread sanitizer sees whether what is tested orders by itself. */
#ifndef TEST_UNORDERED_H
#define TEST_UNORDERED_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

static inline void unordered_wait(atomic_bool *gate)
{
    while (!atomic_load_explicit(gate, memory_order_relaxed))
        sched_yield();
}

static inline void unordered_open(atomic_bool *gate)
{
    atomic_store_explicit(gate, true, memory_order_relaxed);
}

#endif
