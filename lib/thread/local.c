/* SPDX-License-Identifier: MIT */
#include "thread/local.h"

#include "base/assert.h"
#include "thread/atomic.h"
#include "thread/once.h"
#include "thread/waiter.h"

#include <pthread.h>
#include <stddef.h>

enum { MOST_FUNCTIONS = 4 };

_Thread_local struct asi_local asi_local
        __attribute__((tls_model("initial-exec"))) = {.shelves = asi_recycle_no_shelves};

static void (*functions[MOST_FUNCTIONS])(struct asi_local *local);
static unsigned function_count;
static asi_atomic(unsigned) last_serial;
static struct asi_once once = ASI_ONCE_INIT;
static pthread_key_t key;
static bool has_key; /* [once] */

/* May run again if another destructor of the thread uses the library after it: attach then starts
 * over. */
static void end_of_thread(void *argument)
{
    struct asi_local *local = argument;

    local->attached = false;
    for (unsigned i = 0; i < function_count; i++)
        functions[i](local);
    local->shelves = asi_recycle_flush(local->shelves);
    asi_waiter_give_wake();
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, end_of_thread) == 0;
}

void asi_local_attach_slowly(void)
{
    asi_once_run(&once, make_key);
    /* On failure (no memory, or the process has used up its keys) the caches of this thread are not
     * returned at its end: no more than that. */
    if (has_key && pthread_setspecific(key, &asi_local) == 0)
        asi_local.attached = true;
}

void asi_local_at_exit(void (*function)(struct asi_local *local))
{
    ASI_ASSERT(function_count < MOST_FUNCTIONS, "too many end-of-thread functions");
    functions[function_count++] = function;
}

unsigned asi_local_serial(void)
{
    if (asi_local.serial == 0)
        asi_local.serial = asi_add(&last_serial, 1, relaxed) + 1; /* only has to be unique */
    return asi_local.serial;
}
