/* SPDX-License-Identifier: MIT */
/*
 * Coroutines.
 *
 * To the compiler a switch is a piece of code that changes all registers and memory; nothing else
 * has to be saved (swap.h).  Coroutines never change their thread, so an address of a thread-local
 * variable that the compiler keeps across a switch stays right.
 *
 * ADDRESS SANITIZER wants to know before a switch where it leads, and after it that it happened; a
 * host's bounds are learned from it at the first switch away.  THREAD SANITIZER has a fiber for
 * each stack, made with it and not for each task (gcc's cost a millisecond).
 */
#include "coro/coro.h"

#include "base/assert.h"
#include "coro/stack.h"

#include <stdint.h>

_Thread_local struct asi_coro *asi_coro_running __attribute__((tls_model("initial-exec")));

/* first.c */
void asi_coro_first(struct asi_coro *coro, void (*begin)(struct asi_coro *coro));

#if ASI_TOOLS
_Thread_local struct asi_coro *asi_coro_came_from __attribute__((tls_model("initial-exec")));
#endif

static void begin(struct asi_coro *coro)
{
    void *argument = coro->argument; /* its place is needed at the first switch away */

    if (ASI_HAS_ASAN)
        asi_coro_arrived_told(NULL);
    coro->entry(argument);
    ASI_ASSERT(false, "a coroutine's entry function returned");
}

void asi_coro_init_host(struct asi_coro *host)
{
    *host = (struct asi_coro){.sp = NULL};
#ifdef ASI_TSAN
    host->fiber = __tsan_get_current_fiber();
#endif
}

struct asi_coro *asi_coro_new(size_t size, const char **ret_why)
{
    return asi_stack_take(size, ret_why);
}

void asi_coro_free(struct asi_coro *coro)
{
    asi_stack_give(coro);
}

void asi_coro_prepare(struct asi_coro *coro, void (*entry)(void *argument), void *argument)
{
    coro->entry = entry;
    coro->argument = argument;
#ifdef ASI_TSAN
    /* Frames that never returned are still on the fiber's own record of calls. */
    if (coro->began) {
        __tsan_destroy_fiber(coro->fiber);
        coro->fiber = __tsan_create_fiber(0);
    }
    coro->began = true;
#endif
    asi_stack_forget(coro);
    asi_coro_first(coro, begin);
}

void asi_coro_leave(struct asi_coro *from, struct asi_coro *to)
{
    if (ASI_HAS_ASAN)
        asi_coro_departs_told(from, to, true);
    asi_coro_goes_to(to);
    asi_coro_swap(from, to);
    asi_stop(__FILE__, __LINE__, "a coroutine that had left for good was resumed");
}
