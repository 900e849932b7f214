/* SPDX-License-Identifier: MIT */
/*
 * Coroutines: a stack each, and the switch from one to another.  Knows nothing of loops or tasks.
 *
 * A coro is a stack with a place to go on from.  It starts in its entry function, which never
 * returns. A thread's own stack takes part as a "host".  Everything here happens on one thread: a
 * coro is resumed only by the thread that it was first resumed by (except when it is at its very
 * beginning).
 */
#ifndef ASI_CORO_CORO_H
#define ASI_CORO_CORO_H

#include "coro/sanitize.h"
#include "coro/swap.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef ASI_UCONTEXT
#include <ucontext.h>
#endif

struct asi_slab;

struct asi_coro {
    void *sp;  /* where it goes on, while it does not run */
    char *low; /* its stack is [low, low + size); for a host: known to the sanitizer only */
    size_t size;
    struct asi_coro *next; /* for its holder: a list of idle ones */
    struct asi_slab *slab; /* [pool] NULL for a host */
    unsigned index;        /* [pool] in the slab */
    unsigned tool_stack;   /* [pool] what valgrind calls it */
    void (*entry)(void *argument);
    union {
        void *argument;   /* until it begins */
        void *fake_stack; /* while it does not run: the address sanitizer's second stack */
    };
#ifdef ASI_UCONTEXT
    ucontext_t context;
#endif
#ifdef ASI_TSAN
    void *fiber;
    bool began; /* it was prepared before */
#endif
};

/* What the record takes up at the top of its stack. */
#define ASI_CORO_ROOM ((sizeof(struct asi_coro) + 63) & ~(size_t)63)

/* The coro that runs on this thread, NULL before the first switch: for the overflow handler. */
extern _Thread_local struct asi_coro *asi_coro_running __attribute__((tls_model("initial-exec")));

/* Make HOST stand for the calling thread's own stack. */
void asi_coro_init_host(struct asi_coro *host);

/*
 * A coro with SIZE bytes of stack, not prepared yet; NULL when there is none, and then RET_WHY says
 * which limit was hit, as half a sentence (a literal).
 */
struct asi_coro *asi_coro_new(size_t size, const char **ret_why);

/* The bytes its stack and record take up together: what was asked for, in whole pages. */
static inline size_t asi_coro_whole_size(const struct asi_coro *coro)
{
    return coro->size + ASI_CORO_ROOM;
}

/* Give the stack back (consumed).  It does not run; what its frames hold is forgotten. */
void asi_coro_free(struct asi_coro *coro);

/* Let CORO begin in ENTRY(ARGUMENT) at its next resume, whatever it did before. */
void asi_coro_prepare(struct asi_coro *coro, void (*entry)(void *argument), void *argument);

/* Go on in TO; returns when somebody switches back to FROM, the running one. */
static inline void asi_coro_switch(struct asi_coro *from, struct asi_coro *to);

/* Go on in TO, and never come back to FROM, which must be prepared again or freed by somebody
 * else. */
void asi_coro_leave(struct asi_coro *from, struct asi_coro *to) __attribute__((noreturn));

/* --- the switch: inline, see swap.h ----------------------------------------------------------- */

#if ASI_TOOLS
/* Under the address sanitizer, where a switch came from: it tells those bounds when the switch has
 * happened. */
extern _Thread_local struct asi_coro *asi_coro_came_from __attribute__((tls_model("initial-exec")));
#endif

/* About to go from FROM to TO; FOR_GOOD: and never back. */
static inline void asi_coro_departs_told(
        struct asi_coro *from, const struct asi_coro *to, bool for_good)
{
#if ASI_TOOLS
    asi_coro_came_from = from;
    asi_asan_start_switch(for_good ? NULL : &from->fake_stack, to->low, to->size);
#else
    (void)from;
    (void)to;
    (void)for_good;
#endif
}

/* Just arrived where FAKE_STACK is the second stack. */
static inline void asi_coro_arrived_told(void *fake_stack)
{
#if ASI_TOOLS
    const void *low;
    size_t size;

    asi_asan_finish_switch(fake_stack, &low, &size);
    if (!asi_coro_came_from->slab) { /* a host: these are the bounds of the thread's stack */
        asi_coro_came_from->low = (char *)(size_t)low;
        asi_coro_came_from->size = size;
    }
#else
    (void)fake_stack;
#endif
}

/* Always inline: the thread sanitizer would book its entry on the one fiber and its return on the
 * other. */
static inline __attribute__((always_inline)) void asi_coro_goes_to(struct asi_coro *to)
{
#ifdef ASI_TSAN
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
    asi_coro_running = to;
}

/* The switch of a program with the address sanitizer: out of the way of all others. */
static __attribute__((noinline, cold, unused)) void asi_coro_switch_told(
        struct asi_coro *from, struct asi_coro *to)
{
    asi_coro_departs_told(from, to, false);
    asi_coro_goes_to(to);
    asi_coro_swap(from, to);
    asi_coro_arrived_told(from->fake_stack);
}

static inline void asi_coro_switch(struct asi_coro *from, struct asi_coro *to)
{
    if (ASI_UNLIKELY(ASI_HAS_ASAN)) {
        asi_coro_switch_told(from, to);
        return;
    }
    asi_coro_goes_to(to);
    asi_coro_swap(from, to);
}

#endif
