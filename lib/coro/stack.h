/* SPDX-License-Identifier: MIT */
/*
 * Stacks: guarded, recycled, shared by all loops of the process.
 *
 * LIMITS  A stack below its guard cannot be reached by a frame of less than ASI_GUARD_SIZE bytes,
 *   whether or not it was compiled with -fstack-clash-protection.  Guards cost no mapping where
 *   the kernel has lightweight ones (Linux 6.13 and later); elsewhere two each, and the kernel's
 *   vm.max_map_count ends the number of stacks near 32,000.
 *
 * MEMORY  Pages are the kernel's until they are first touched.  Free stacks keep what they touched
 *   until they are trimmed: all but ASI_WARM_STACKS then lose their pages, and a slab of which no
 *   stack is in use is unmapped.  Loops see to it (sched/spare.h).
 *
 * Thread  any.
 */
#ifndef ASI_CORO_STACK_H
#define ASI_CORO_STACK_H

#include <stdbool.h>
#include <stddef.h>

enum { ASI_GUARD_SIZE = 128 * 1024, ASI_WARM_STACKS = 256 };

struct asi_coro;

/* A coro with at least SIZE bytes of stack, NULL with half a sentence in RET_WHY when there is
 * none. */
struct asi_coro *asi_stack_take(size_t size, const char **ret_why);

/* Give it back (consumed). */
void asi_stack_give(struct asi_coro *coro);

/* Nobody runs on it: frames that never returned are gone, for checking tools too. */
void asi_stack_forget(struct asi_coro *coro);

/* Whether there are more free stacks than are kept for good: a look without the lock. */
bool asi_stacks_spare(void);

/*
 * Give the memory of free stacks back: of those that nobody has needed since the last trim, or of
 * ALL that are spare; of each size about MOST (a multiple of 256 is as well), which bounds the time
 * this takes.  Returns whether there are more of them.
 */
bool asi_stacks_trim(bool all, unsigned most);

/* Whether ADDRESS lies in the guard below CORO's stack.  Async-signal-safe. */
bool asi_stack_guards(const struct asi_coro *coro, const void *address);

#endif
