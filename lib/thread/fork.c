/* SPDX-License-Identifier: MIT */
#include "thread/fork.h"

#include "base/assert.h"
#include "thread/futex.h"
#include "thread/once.h"
#include "thread/recycle.h"
#include "thread/thread.h"

#include <pthread.h>
#include <stddef.h>

enum { MOST_PARTS = 12 };

uint32_t asi_fork_generation;

static const struct asi_fork_part *parts[MOST_PARTS];
static unsigned part_count;

static void before_fork(void)
{
    asi_once_before_fork(); /* parts are added in there: not in the middle of a fork */
    for (unsigned i = part_count; i > 0; i--)
        parts[i - 1]->before();
    asi_recycle_before_fork();
    asi_futex_before_fork();
}

static void give_back(void)
{
    for (unsigned i = 0; i < part_count; i++)
        parts[i]->after();
    asi_once_after_fork();
}

static void after_fork(void)
{
    asi_futex_after_fork(false);
    asi_recycle_after_fork();
    give_back();
}

static void in_child(void)
{
    asi_fork_generation++;
    asi_futex_after_fork(true);
    asi_recycle_after_fork();
    for (unsigned i = 0; i < part_count; i++) {
        if (parts[i]->in_child)
            parts[i]->in_child();
    }
    give_back();
    asi_thread_in_child();
}

/* When the library is loaded: a future may be inherited before anything else is used. */
__attribute__((constructor)) static void install(void)
{
    int error = pthread_atfork(before_fork, after_fork, in_child);

    ASI_ASSERT(error == 0, "no memory to prepare for fork()");
}

void asi_fork_add(const struct asi_fork_part *part)
{
    ASI_ASSERT(part_count < MOST_PARTS, "too many parts want to know of fork()");
    parts[part_count++] = part;
}
