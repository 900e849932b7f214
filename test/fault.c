/* SPDX-License-Identifier: MIT */
/*
 * Faults.  The hook is set once, before main(), because the library reads it without
 * synchronisation; afterwards only the counters below change.
 */
#include "fault.h"

#include "base/memory.h"

#include "harness.h"

#include <stdatomic.h>

struct fault {
    const char *what;
    atomic_int count;  /* asked for */
    atomic_int failed; /* of these */
    atomic_int nth;    /* that fails; 0: none */
    atomic_bool sticky;
};

static struct fault faults[] = {
        {.what = FAULT_ANY},
        {.what = "malloc"},
        {.what = "mmap"},
        {.what = "thread"},
        {.what = "eventfd"},
        {.what = "base"},
        {.what = "guard"},
        {.what = "pipe"},
        {.what = "spawn"},
        {.what = "pidfd"},
        {.what = "epoll"},
};

enum { FAULTS = sizeof(faults) / sizeof(*faults) };

#define GET(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define SET(field, value) atomic_store_explicit(&(field), value, memory_order_relaxed)
#define ADD_ONE(field) atomic_fetch_add_explicit(&(field), 1, memory_order_relaxed)

static struct fault *find(const char *what)
{
    for (int i = 0; i < FAULTS; i++) {
        if (strcmp(faults[i].what, what) == 0)
            return &faults[i];
    }
    test_fail(TEST_HERE, "fault.c knows nothing named \"%s\": add it to its table", what);
}

static bool strikes(struct fault *fault)
{
    int count = ADD_ONE(fault->count) + 1;
    int nth = GET(fault->nth);
    bool fails = nth > 0 && (count == nth || (count > nth && GET(fault->sticky)));

    if (fails)
        ADD_ONE(fault->failed);
    return fails;
}

static bool hook(const char *what)
{
    bool any = strikes(&faults[0]);

    return strikes(find(what)) || any;
}

__attribute__((constructor)) static void set_hook(void)
{
    asi_fault_hook = hook;
}

static void restart(struct fault *fault)
{
    SET(fault->nth, 0);
    SET(fault->count, 0);
    SET(fault->failed, 0);
}

void fault_fail(const char *what, int nth, bool sticky)
{
    struct fault *fault = find(what);

    restart(fault);
    SET(fault->sticky, sticky);
    SET(fault->nth, nth);
}

void fault_clear(void)
{
    for (int i = 0; i < FAULTS; i++)
        restart(&faults[i]);
}

int fault_count(const char *what)
{
    return GET(find(what)->count);
}

int fault_failed(const char *what)
{
    return GET(find(what)->failed);
}
