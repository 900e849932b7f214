/* SPDX-License-Identifier: MIT */
/*
 * The one door to malloc, and the switch that lets a test close any door to the system.
 *
 * Before each thing the system may refuse, the library asks asi_fault("malloc") and the like; a
 * test that set asi_fault_hook decides.  Without a hook this is one predictable branch.
 */
#ifndef ASI_BASE_MEMORY_H
#define ASI_BASE_MEMORY_H

#include "base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns whether the WHAT that comes now shall fail: "malloc", "mmap", "guard" (the light ones),
 * "thread", "eventfd", "base", "pipe", "spawn", "pidfd", "epoll".  Called by any thread.  Set it
 * before the library's first use. */
extern bool (*asi_fault_hook)(const char *what);

static inline bool asi_fault(const char *what)
{
    return ASI_UNLIKELY(asi_fault_hook) && asi_fault_hook(what);
}

/* SIZE bytes, on a boundary of 64, all zero for _zero; NULL when there are none.  asi_free() them.
 */
void *asi_allocate(size_t size);
void *asi_allocate_zero(size_t size);
void asi_free(void *memory);

/* The most bytes that one argument, value or item may have: all ones, so that an "or" of several
 * can be compared; fits 32 bits; and a few of them added up fit a size_t. */
#define ASI_MOST_BYTES (SIZE_MAX / 16 < UINT32_MAX ? SIZE_MAX / 16 : UINT32_MAX)

#endif
