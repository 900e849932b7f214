/* SPDX-License-Identifier: MIT */
/*
 * Uses of the library, each of which either works with all its effects or fails with an error of
 * the system's: what they share.
 *
 * A use is a function that returns 0 or a code.  On its way it hands each code it gets to step(),
 * which accepts only what the system has really refused, with its sentence; it cleans up whatever
 * happened, while the system still refuses; and it CHECKs that a failure has changed nothing and a
 * success everything.  Bodies of tasks count their beginnings and ends, so that one that got lost
 * is seen.
 */
#ifndef TEST_RELIABILITY_USES_H
#define TEST_RELIABILITY_USES_H

#include "../worlds.h"
#include "doors.h"

#include <netinet/in.h>
#include <sys/wait.h>

static bool refused_for_real; /* limits are the system's own: nobody knows what it refused */
static atomic_int bodies_begun, bodies_ended;

static inline int count_of(atomic_int *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Whether the system may have said CODE. */
static inline bool may_say(int code)
{
    bool usual = code == -ENOMEM || code == -EAGAIN || code == -EMFILE || code == -ENFILE;

    if (refused_for_real)
        return usual || code == -ENOSPC || code == -ENOBUFS;
    if (DOOR_GET(struck) == 0)
        return false;
    for (int i = 0; i < DOORS; i++) {
        if (DOOR_GET(by_door[i]) > 0 && code == -doors[i].errors[door_state.plan.choice])
            return code != -EINTR;
    }
    return usual;
}

/* What a call of the library returned: 0, OTHER, or an error as it has to be. */
static inline int step_or(int error, int other)
{
    if (error == 0 || error == other)
        return error;
    if (!may_say(error))
        test_fail(TEST_HERE, "a call says %s (%d), which nobody gave it reason for: %s",
                anysync_error_name(error), error, anysync_last_error()->message);
    CHECK_EQ(anysync_last_error()->code, error);
    CHECK(anysync_last_error()->message[0] != '\0');
    return error;
}

static inline int step(int error)
{
    return step_or(error, 0);
}

/* The first that is no success. */
static inline int either(int first, int second)
{
    return first ? first : second;
}

static void (*lift_limits)(void); /* NULL: there are none but doors */

/* From here on nothing is refused any more. */
static inline void have_mercy(void)
{
    doors_open();
    if (lift_limits)
        lift_limits();
}

enum { PATIENCE = 3 }; /* calls that fail, before a use asks the system to have mercy */

static inline void count_try(int *tries)
{
    if (++*tries == PATIENCE)
        have_mercy();
    if (*tries > 1000)
        test_fail(TEST_HERE, "a wait fails though nothing is refused");
}

static inline void surely_wait(struct anysync_future *future)
{
    int tries = 0;

    while (step(anysync_future_wait(future, ANYSYNC_FOREVER)))
        count_try(&tries);
}

static inline void surely_shut_down(struct anysync_executor *executor, enum anysync_shutdown mode)
{
    int tries = 0;

    while (step(anysync_executor_shutdown(executor, mode, ANYSYNC_FOREVER, NULL)))
        count_try(&tries);
}

/* --- bodies ----------------------------------------------------------------------------------- */

static inline void begins(void)
{
    atomic_fetch_add_explicit(&bodies_begun, 1, memory_order_relaxed);
}

static inline int ends(int error)
{
    atomic_fetch_add_explicit(&bodies_ended, 1, memory_order_relaxed);
    return error;
}

ANYSYNC_COROUTINE(int, add, (int, a), (int, b))
{
    begins();
    int error = step_or(anysync_sleep(anysync_in_us(20)), -ECANCELED);
    *result = a + b;
    return ends(error);
}

ANYSYNC_COROUTINE(void, stay)
{
    begins();
    return ends(step_or(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED));
}

ANYSYNC_BLOCKING(int, add_slowly, (int, a), (int, b))
{
    begins();
    *result = a + b;
    return ends(step(anysync_sleep(anysync_in_us(20))));
}

/* Wait for SOON (which may be empty), see whether it gave EXPECTED, and drop it. */
static inline int collect_add(add_future *soon, int expected)
{
    int value = -7, error = 0;

    if (soon->future) {
        surely_wait(soon->future);
        error = step(add_wait(soon, &value, ANYSYNC_POLL));
        CHECK_EQ(value, error ? -7 : expected);
    }
    add_drop(soon);
    return error;
}

/* A hand-made future; NULL and an error in RET_ERROR. */
static inline struct anysync_future *some_gate(int *ret_error)
{
    struct anysync_future *gate = NULL;

    *ret_error = step(anysync_future_new(0, &gate));
    CHECK_EQ(gate != NULL, *ret_error == 0);
    return gate;
}

/* --- which, and where ------------------------------------------------------------------------- */

struct use {
    const char *name;
    int (*run)(void);
    unsigned worlds;
};

ANYSYNC_COROUTINE(void, use_in_task, (const struct use *, use))
{
    return use->run();
}

ANYSYNC_COROUTINE(void, use_in_nested, (const struct use *, use))
{
    return use_in_task_run(use);
}

ANYSYNC_BLOCKING(void, use_in_job, (const struct use *, use))
{
    return use->run();
}

ANYSYNC_COROUTINE(void, use_in_jobs, (const struct use *, use))
{
    return use_in_job(use);
}

static inline int use_on_executor(const struct use *use)
{
    struct anysync_executor *executor = NULL;
    int error = step(anysync_executor_new(NULL, &executor));

    if (error == 0) {
        error = step(use_in_task_run_on(executor, use));
        surely_shut_down(executor, ANYSYNC_DRAIN);
    }
    anysync_executor_unref(executor);
    return error;
}

static inline int use_in(const struct use *use, enum world world)
{
    switch (world) {
    case PLAIN:
    case FOREIGN:
        return use->run();
    case WORKER:
        return step(use_in_task_run(use));
    case HERE:
        return step(use_in_task_run_here(use));
    case OWN:
        return use_on_executor(use);
    case NESTED:
        return step(use_in_nested_run(use));
    case POOL:
        return step(use_in_jobs_run(use));
    }
    return 0;
}

static const char *const world_names[] = {"plain", "worker", "here", "own", "nested", "", "pool"};
static const enum world worlds[] = {PLAIN, WORKER, HERE, OWN, NESTED, POOL};
enum { WORLDS = sizeof(worlds) / sizeof(*worlds) };

static inline const char *world_name(enum world world)
{
    return world_names[__builtin_ctz(world)];
}

#endif
