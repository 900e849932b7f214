/* SPDX-License-Identifier: MIT */
/*
 * What is done once: a mutex around the function, and a mark that it was.
 *
 * The state is made by who comes first, and of two who come at once one throws its own away.  In a
 * child made by fork() a state in which nothing runs is made anew, for its mutex is of the parent;
 * the former one stays until a reset, as a thread of the child may just look at it.
 */
#include <anysync/event.h>
#include <anysync/mutex.h>

#include "base/memory.h"
#include "sched/error.h"
#include "thread/flag.h"
#include "thread/fork.h"

#include <errno.h>

struct anysync_once_state {
    struct asi_pointer done;           /* not NULL: it was */
    struct anysync_mutex *mutex;       /* [const] owned */
    uint32_t generation;               /* [const] of the process that made it */
    bool running;                      /* [mutex] */
    struct anysync_once_state *former; /* [const] the parent's, which it replaced; owned */
};

_Static_assert(sizeof(struct anysync_once) == sizeof(struct asi_pointer) &&
                       _Alignof(struct anysync_once) == _Alignof(struct asi_pointer),
        "the public form of a pointer that several threads look at is another one");

static struct asi_pointer *pointer_of(struct anysync_once *once)
{
    return (struct asi_pointer *)(void *)once;
}

static struct anysync_once_state *new_state(void)
{
    struct anysync_once_state *state = asi_allocate_zero(sizeof(*state));

    if (state && anysync_mutex_new(&state->mutex) != 0) {
        asi_free(state);
        state = NULL;
    }
    if (state)
        state->generation = asi_fork_generation;
    return state;
}

static void free_state(struct anysync_once_state *state)
{
    while (state) {
        struct anysync_once_state *former = state->former;
        anysync_mutex_unref(state->mutex);
        asi_free(state);
        state = former;
    }
}

/* The state of ONCE, of this process, made if need be.  Returns 0, -ENOMEM, -EOWNERDEAD; noted. */
static int state_of(struct anysync_once *once, struct anysync_once_state **ret_state)
{
    for (;;) {
        struct anysync_once_state *state = asi_pointer_get(pointer_of(once));
        *ret_state = state;
        if (state && (state->generation == asi_fork_generation || asi_pointer_get(&state->done)))
            return 0;
        if (state && state->running)
            return asi_call_fails(-EOWNERDEAD,
                    "it was being done when this process was forked off, and is half done");
        struct anysync_once_state *fresh = new_state();
        if (!fresh)
            return asi_call_fails(-ENOMEM, "no memory to do something once");
        fresh->former = state;
        if (!asi_pointer_replace(pointer_of(once), state, fresh)) { /* somebody else was first */
            fresh->former = NULL;
            free_state(fresh);
        }
    }
}

int anysync_once_run(struct anysync_once *once, int (*function)(void *argument), void *argument,
        anysync_time deadline)
{
    struct anysync_once_state *state;
    int error = state_of(once, &state);

    if (error || asi_pointer_get(&state->done))
        return error;
    error = anysync_mutex_lock(state->mutex, deadline);
    if (error)
        return error;
    if (!asi_pointer_get(&state->done)) {
        state->running = true;
        error = function(argument);
        state->running = false;
        if (!error)
            asi_pointer_set(&state->done, state);
    }
    anysync_mutex_unlock(state->mutex);
    return error;
}

void anysync_once_reset(struct anysync_once *once)
{
    free_state(asi_pointer_get(pointer_of(once)));
    asi_pointer_set(pointer_of(once), NULL);
}
