/* SPDX-License-Identifier: MIT */
/*
 * Coroutines.
 *
 * A switch saves what the calling convention says a function keeps (callee-saved registers, and the
 * control words of the floating-point units), stores the stack pointer, takes the other's and returns.  To
 * the compiler it is a function call; nothing else has to be saved.  Coroutines never change their
 * thread, so an address of a thread-local variable that the compiler keeps across the call stays right.
 *
 * All switches go through one call of asi_coro_swap: coroutines that suspend in the same place then return
 * to the same addresses, which is what the processor's return predictor expects.
 *
 * ADDRESS SANITIZER wants to know before a switch where it leads, and after it that it happened; a host's
 * bounds are learned from it at the first switch away.  THREAD SANITIZER has a fiber for each stack, made
 * with it and not for each task (gcc's cost a millisecond).
 */
#include "coro/coro.h"

#include "base/assert.h"
#include "coro/stack.h"

#include <stdint.h>

_Thread_local struct asi_coro *asi_coro_running __attribute__((tls_model("initial-exec")));

/* switch_*.S and switch_ucontext.c */
void asi_coro_swap(struct asi_coro *from, struct asi_coro *to);
void asi_coro_first(struct asi_coro *coro, void (*begin)(struct asi_coro *coro));

/* Where a switch came from: the sanitizer tells its bounds when it has happened. [thread] */
#ifdef ASI_ASAN
static _Thread_local struct asi_coro *came_from;
#endif

static void before_switch(struct asi_coro *from, struct asi_coro *to, bool for_good)
{
#ifdef ASI_ASAN
    came_from = from;
    __sanitizer_start_switch_fiber(for_good ? NULL : &from->fake_stack, to->low, to->size);
#else
    (void)from;
    (void)for_good;
#endif
#ifdef ASI_TSAN
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
    asi_coro_running = to;
}

static void after_switch(struct asi_coro *self)
{
#ifdef ASI_ASAN
    const void *low;
    size_t size;
    __sanitizer_finish_switch_fiber(self->fake_stack, &low, &size);
    if (!came_from->slab) { /* a host: these are the bounds of the thread's stack */
        came_from->low = (char *)(uintptr_t)low;
        came_from->size = size;
    }
#else
    (void)self;
#endif
}

static void begin(struct asi_coro *coro)
{
    after_switch(coro);
    coro->entry(coro->argument);
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
#ifdef ASI_ASAN
    coro->fake_stack = NULL;
    __asan_unpoison_memory_region(coro->low, coro->size); /* frames that never returned */
#endif
    asi_coro_first(coro, begin);
}

void asi_coro_switch(struct asi_coro *from, struct asi_coro *to)
{
    before_switch(from, to, false);
    asi_coro_swap(from, to);
    after_switch(from);
}

void asi_coro_leave(struct asi_coro *from, struct asi_coro *to)
{
    before_switch(from, to, true);
    asi_coro_swap(from, to);
    asi_stop(__FILE__, __LINE__, "a coroutine that had left for good was resumed");
}
