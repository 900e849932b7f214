/* SPDX-License-Identifier: MIT */
/*
 * Deadlocks between threads are answers, too.  (Within a loop: test_deadlock.c.)
 *
 * Promised                                        Tested by
 *   a nested task and its blocked worker:
 *     it calls run_on                               nested_run_on_the_blocked_worker
 *     it spawns there and waits                     nested_spawn_and_wait
 *     it waits for a task there                     nested_wait_for_a_task_of_the_worker
 *     two levels deep                               nested_twice
 *     it shuts the worker's executor down           nested_shutdown_of_the_worker
 *   a task that waits for the end of a loop which   shutdown_that_waits_for_its_waiter
 *     has a task that waits for it
 *   cycles over executors, whoever closes them      rings_over_executors
 *   with local waits in between                     rings_over_executors_with_local_parts
 *   one of several, on other loops                  one_of_several_on_other_loops
 *   a here-loop in the cycle                        a_here_loop_in_the_cycle
 *   an await that closes a cycle: its task ends     an_await_that_closes_a_cycle_ends_its_task
 *   all goes on afterwards                          all of these
 *   no alarm: gates, deadlines, way out             nested_waits_that_end
 *   random waits that end have no alarm             stress_random_waits_that_end
 *   random rings always break                       stress_random_rings_break
 *   tasks that end while others begin to wait       stress_ends_and_waits_at_once
 *   a cancel at the same moment                     stress_cancels_and_rings
 */
#include "worlds.h"

#include <anysync/cancel.h>

#include <errno.h>

enum { EXECUTORS = 3, MOST = 60 };

static char message[512];

static int noted(int error)
{
    if (error)
        snprintf(message, sizeof(message), "%s", anysync_last_error()->message);
    return error;
}

/* --- nested ----------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, other)
{
    *result = 7;
    return 0;
}

ANYSYNC_COROUTINE(void, inner, (int, way))
{
    struct anysync_future *soon = NULL;
    int value = 0;

    switch (way) {
    case 0:
        CHECK_EQ(noted(other_run_on(NULL, &value)), -EDEADLK);
        break;
    case 1:
        CHECK_EQ(anysync_spawn_on(NULL, &other_function, NULL, &soon), 0);
        CHECK_EQ(noted(anysync_wait(soon, &value, ANYSYNC_FOREVER)), -EDEADLK);
        anysync_future_unref(soon);
        break;
    default:
        CHECK_EQ(noted(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL)), -EDEADLK);
        break;
    }
    return 0;
}

ANYSYNC_COROUTINE(void, outer, (int, way))
{
    return inner_run(way);
}

static void check_nested(int way)
{
    int value = 0;

    for (int i = 0; i < 20; i++) {
        message[0] = 0;
        CHECK_EQ(outer_run(way), 0);
        CHECK_CONTAINS(message, "waiting here could never end: task \"inner\" on nested thread ");
        CHECK_CONTAINS(message, "task \"other\" of worker \"anysync\", whose thread is blocked by "
                                "task \"outer\", which waits for task \"inner\"");
        CHECK_EQ(other_run(&value), 0);
        CHECK_EQ(value, 7);
    }
}

TEST(nested_run_on_the_blocked_worker)
{
    check_nested(0);
}

TEST(nested_spawn_and_wait)
{
    check_nested(1);
}

TEST(nested_shutdown_of_the_worker)
{
    int value = 0;

    CHECK_EQ(outer_run(2), 0);
    CHECK_CONTAINS(message, "task \"inner\" on nested thread ");
    CHECK_CONTAINS(message, "waits for the end of worker \"anysync\", whose thread is blocked by "
                            "task \"outer\", which waits for task \"inner\"");
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(anysync_executor_start(NULL), 0);
    CHECK_EQ(other_run(&value), 0);
    CHECK_EQ(value, 7);
}

ANYSYNC_COROUTINE(void, waits_for_gate, (struct anysync_future *, gate))
{
    return anysync_future_wait(gate, ANYSYNC_FOREVER);
}

static struct anysync_future *sleeper;

ANYSYNC_COROUTINE(void, inner_waits)
{
    CHECK_EQ(noted(anysync_wait(sleeper, NULL, ANYSYNC_FOREVER)), -EDEADLK);
    return 0;
}

ANYSYNC_COROUTINE(void, outer_with_sleeper)
{
    struct anysync_future *gate = new_gate();

    CHECK_EQ(anysync_spawn(&waits_for_gate_function, &gate, &sleeper), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(inner_waits_run(), 0);
    open_gate(gate);
    CHECK_EQ(anysync_wait(sleeper, NULL, ANYSYNC_FOREVER), 0);
    anysync_future_unref(sleeper);
    anysync_future_unref(gate);
    return 0;
}

TEST(nested_wait_for_a_task_of_the_worker)
{
    CHECK_EQ(outer_with_sleeper_run(), 0);
    CHECK_CONTAINS(message, "waits for task \"waits_for_gate\" of worker \"anysync\", whose thread "
                            "is blocked by task \"outer_with_sleeper\"");
}

ANYSYNC_COROUTINE(void, middle, (int, way))
{
    return inner_run(way);
}

ANYSYNC_COROUTINE(void, outermost, (int, way))
{
    return middle_run(way);
}

TEST(nested_twice)
{
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(outermost_run(i % 2), 0);
        CHECK_CONTAINS(message, "task \"inner\" on nested thread");
        CHECK_CONTAINS(message, "blocked by task \"outermost\", which waits for task \"middle\"");
    }
}

/* What a nested task may do: it ends. */
ANYSYNC_COROUTINE(void, inner_ends, (struct anysync_executor *, executor))
{
    struct anysync_future *soon = NULL;
    int value = 0;

    CHECK_EQ(other_run_on(executor, &value), 0);
    CHECK_EQ(value, 7);
    CHECK_EQ(anysync_spawn_on(NULL, &other_function, NULL, &soon), 0);
    CHECK_EQ(anysync_wait(soon, NULL, anysync_in_ms(1)), -ETIMEDOUT);
    anysync_future_unref(soon);
    return 0;
}

ANYSYNC_COROUTINE(void, outer_ends, (struct anysync_executor *, executor))
{
    return inner_ends_run(executor);
}

TEST(nested_waits_that_end)
{
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(outer_ends_run(executor), 0);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
}

/* --- over executors --------------------------------------------------------------------------- */

/* A task that waits for others when the gate opens, and what came of it. */
struct member {
    struct anysync_future *gate;     /* passed first */
    struct anysync_future *at_gate;  /* completed by then; NULL: nobody cares */
    struct anysync_future *waits[4]; /* for one of these */
    struct anysync_future *future;   /* its own */
    int error;
    char message[512];
};

static struct anysync_executor *executors[EXECUTORS];
static struct member members[MOST];

static void open_executors(void)
{
    static const char *const names[] = {"one", "two", "three"};

    for (int i = 0; i < EXECUTORS; i++) {
        struct anysync_executor_options options = {.name = names[i]};
        CHECK_EQ(anysync_executor_new(&options, &executors[i]), 0);
    }
}

static void close_executors(void)
{
    for (int i = 0; i < EXECUTORS; i++) {
        CHECK_EQ(other_run_on(executors[i], NULL), 0); /* it works */
        CHECK_EQ(anysync_executor_shutdown(executors[i], ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
        executors[i] = anysync_executor_unref(executors[i]);
    }
}

ANYSYNC_COROUTINE(void, member, (struct member *, self))
{
    size_t count = 0, index;
    int error = anysync_future_wait(self->gate, ANYSYNC_FOREVER);

    if (error)
        return error;
    while (count < 4 && self->waits[count])
        count++;
    if (count == 1)
        error = anysync_future_wait(self->waits[0], ANYSYNC_FOREVER);
    else if (count > 1)
        error = anysync_wait_any(self->waits, count, ANYSYNC_FOREVER, &index);
    self->error = error;
    if (error)
        snprintf(self->message, sizeof(self->message), "%s", anysync_last_error()->message);
    return 0;
}

static void start_member(int index, int executor)
{
    struct member *self = &members[index];
    struct anysync_task *task = NULL;
    char name[16];

    snprintf(name, sizeof(name), "m%d", index);
    *self = (struct member){.gate = new_gate()};
    CHECK_EQ(anysync_task_new(&member_function, &self, name, &task), 0);
    CHECK_EQ(anysync_task_start_on(executors[executor], task, &self->future), 0);
    anysync_task_unref(task);
}

/* How many had -EDEADLK; CANCELS: some may have been cancelled. */
static int end_members(int count, bool cancels)
{
    int found = 0;

    for (int i = 0; i < count; i++) {
        int error = anysync_wait(members[i].future, NULL, ANYSYNC_FOREVER);
        CHECK(error == 0 || (cancels && error == -ECANCELED));
        CHECK(members[i].error == 0 || members[i].error == -EDEADLK ||
                (cancels && members[i].error == -ECANCELED));
        found += members[i].error == -EDEADLK;
    }
    for (int i = 0; i < count; i++) {
        anysync_future_unref(members[i].future);
        anysync_future_unref(members[i].gate);
    }
    return found;
}

static unsigned random_next(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* A ring over PLACES executors in blocks of BLOCK; all begin to wait at about the same time. */
static int make_ring(int count, int places, int block, unsigned *state)
{
    int order[MOST];

    for (int i = 0; i < count; i++) {
        start_member(i, i / block % places);
        order[i] = i;
    }
    for (int i = 0; i < count; i++)
        members[i].waits[0] = members[(i + 1) % count].future;
    for (int i = count - 1; i > 0; i--) {
        int j = (int)(random_next(state) % (unsigned)(i + 1));
        int kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    for (int i = 0; i < count; i++)
        open_gate(members[order[i]].gate);
    return end_members(count, false);
}

TEST(rings_over_executors)
{
    unsigned state = 1;

    open_executors();
    for (int count = 2; count <= 40; count += count < 8 ? 1 : 8) {
        CHECK_GE(make_ring(count, 2, 1, &state), 1);
        CHECK_GE(make_ring(count, 3, 1, &state), 1);
    }
    int found = make_ring(2, 2, 1, &state);
    CHECK_GE(found, 1);
    struct member *victim = members[0].error ? &members[0] : &members[1];
    CHECK_CONTAINS(victim->message, "waiting here could never end: task \"m");
    CHECK_CONTAINS(victim->message, "\" of worker \"one\"");
    CHECK_CONTAINS(victim->message, "\" of worker \"two\"");
    CHECK_CONTAINS(victim->message, "which waits for task \"m");
    close_executors();
}

TEST(rings_over_executors_with_local_parts)
{
    unsigned state = 2;

    open_executors();
    for (int block = 2; block <= 6; block++) {
        for (int count = 2 * block; count <= 8 * block; count += 2 * block)
            CHECK_GE(make_ring(count, 2, block, &state), 1);
        CHECK_GE(make_ring(3 * block, 3, block, &state), 1);
    }
    close_executors();
}

TEST(one_of_several_on_other_loops)
{
    open_executors();
    for (int i = 0; i < test_scaled(200); i++) {
        /* m0 waits for m1 or m2, which wait for it by way of tasks of their own loops */
        for (int m = 0; m < 5; m++)
            start_member(m, m == 0 ? 0 : m % 2 ? 1 : 2);
        members[0].waits[0] = members[1].future;
        members[0].waits[1] = members[2].future;
        members[1].waits[0] = members[3].future;
        members[2].waits[0] = members[4].future;
        members[3].waits[0] = members[0].future;
        members[4].waits[0] = members[0].future;
        for (int m = 0; m < 5; m++)
            open_gate(members[i % 2 ? m : 4 - m].gate);
        CHECK_GE(end_members(5, false), 1);
        /* and with a way out there is none */
        for (int m = 0; m < 4; m++)
            start_member(m, m % 3);
        members[0].waits[0] = members[1].future;
        members[0].waits[1] = members[2].future;
        members[1].waits[0] = members[0].future;
        members[3].waits[0] = members[1].future;
        open_gate(members[i % 4].gate);
        for (int m = 0; m < 4; m++) {
            if (m != i % 4)
                open_gate(members[m].gate);
        }
        CHECK_EQ(end_members(4, false), 0);
    }
    close_executors();
}

/* --- shutdown --------------------------------------------------------------------------------- */

static int shutdown_error;
static struct anysync_future *asked, *shutter;

ANYSYNC_COROUTINE(void, shuts_down, (struct anysync_executor *, executor))
{
    CHECK_EQ(anysync_future_wait(asked, ANYSYNC_FOREVER), 0);
    shutdown_error =
            noted(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL));
    return 0;
}

ANYSYNC_COROUTINE(void, waits_for_shutter)
{
    members[0].error = anysync_wait(shutter, NULL, ANYSYNC_FOREVER);
    if (members[0].error)
        noted(members[0].error);
    return 0;
}

TEST(shutdown_that_waits_for_its_waiter)
{
    for (int i = 0; i < test_scaled(200); i++) {
        struct anysync_future *waiter = NULL;

        open_executors();
        asked = new_gate();
        shutdown_error = 0;
        CHECK_EQ(anysync_spawn_on(executors[1], &shuts_down_function, &executors[0], &shutter), 0);
        CHECK_EQ(anysync_spawn_on(executors[0], &waits_for_shutter_function, NULL, &waiter), 0);
        open_gate(asked);
        CHECK_EQ(anysync_wait(shutter, NULL, ANYSYNC_FOREVER), 0);
        CHECK_EQ(anysync_wait(waiter, NULL, ANYSYNC_FOREVER), 0);
        CHECK(shutdown_error == -EDEADLK || members[0].error == -EDEADLK);
        CHECK_CONTAINS(message, "the end of worker \"one\"");
        CHECK_CONTAINS(message, "task \"waits_for_shutter\"");
        anysync_future_unref(waiter);
        anysync_future_unref(shutter);
        anysync_future_unref(asked);
        CHECK_EQ(anysync_executor_shutdown(executors[0], ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
        CHECK_EQ(anysync_executor_start(executors[0]), 0);
        close_executors();
    }
}

/* --- here-loops ------------------------------------------------------------------------------- */

static struct anysync_future *here_done;

ANYSYNC_COROUTINE(void, waits_for_here)
{
    members[1].error = noted(anysync_wait(here_done, NULL, ANYSYNC_FOREVER));
    return 0;
}

ANYSYNC_COROUTINE(void, here_child)
{
    return anysync_future_wait(asked, ANYSYNC_FOREVER);
}

/* Blocks its thread for a task of the worker that waits for a task of this loop. */
ANYSYNC_COROUTINE(void, here_root)
{
    CHECK_EQ(anysync_spawn(&here_child_function, NULL, &here_done), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(waits_for_here_run(), 0);
    CHECK_EQ(members[1].error, -EDEADLK);
    open_gate(asked);
    CHECK_EQ(anysync_wait(here_done, NULL, ANYSYNC_FOREVER), 0);
    anysync_future_unref(here_done);
    return 0;
}

TEST(a_here_loop_in_the_cycle)
{
    for (int i = 0; i < 20; i++) {
        asked = new_gate();
        CHECK_EQ(here_root_run_here(), 0);
        CHECK_CONTAINS(message, "task \"waits_for_here\" of worker \"anysync\" waits for task "
                                "\"here_child\" on a here-loop, whose thread is blocked by task "
                                "\"here_root\", which waits for task \"waits_for_here\"");
        anysync_future_unref(asked);
    }
}

/* --- await ------------------------------------------------------------------------------------ */

static struct anysync_future *the_parent;
static int child_ended;

ANYSYNC_COROUTINE(void, child)
{
    int error = anysync_wait(the_parent, NULL, ANYSYNC_FOREVER);

    CHECK_EQ(error, -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "task \"child\" waits for task \"parent\"");
    child_ended++;
    return error;
}

ANYSYNC_COROUTINE(void, parent)
{
    CHECK_EQ(child_await(), -EDEADLK);
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    return anysync_yield();
}

ANYSYNC_COROUTINE(void, family)
{
    CHECK_EQ(anysync_spawn(&parent_function, NULL, &the_parent), 0);
    CHECK_EQ(anysync_wait(the_parent, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(child_ended, 1);
    the_parent = anysync_future_unref(the_parent);
    return 0;
}

TEST(an_await_that_closes_a_cycle_ends_its_task)
{
    CHECK_EQ(family_run(), 0);
}

/* --- stress ----------------------------------------------------------------------------------- */

/* Each waits only for those after it: there is no cycle. */
TEST(stress_random_waits_that_end)
{
    unsigned state = 3;

    open_executors();
    for (long i = 0; i < test_scaled(300); i++) {
        for (int m = 0; m < MOST; m++)
            start_member(m, (int)(random_next(&state) % EXECUTORS));
        for (int m = 0; m < MOST - 1; m++) {
            int count = (int)(random_next(&state) % 4);
            for (int w = 0; w < count; w++)
                members[m].waits[w] =
                        members[m + 1 + (int)(random_next(&state) % (unsigned)(MOST - 1 - m))]
                                .future;
        }
        int first = (int)(random_next(&state) % MOST);
        for (int m = 0; m < MOST; m++)
            open_gate(members[(m * 7 + first) % MOST].gate);
        CHECK_EQ(end_members(MOST, false), 0);
    }
    close_executors();
}

TEST(stress_random_rings_break)
{
    unsigned state = 4;

    open_executors();
    for (long i = 0; i < test_scaled(1000); i++) {
        int count = 2 + (int)(random_next(&state) % 12);
        int places = 1 + (int)(random_next(&state) % EXECUTORS);
        int block = 1 + (int)(random_next(&state) % 4);
        CHECK_GE(make_ring(count, places, block, &state), 1);
    }
    close_executors();
}

static struct anysync_future *meeting[2];

ANYSYNC_COROUTINE(void, meets, (struct anysync_future *, other))
{
    return other ? anysync_future_wait(other, ANYSYNC_FOREVER) : anysync_yield();
}

/* One waits for the other, which ends at that moment. */
TEST(stress_ends_and_waits_at_once)
{
    open_executors();
    for (long i = 0; i < test_scaled(20000); i++) {
        struct anysync_future *nobody = NULL;

        CHECK_EQ(anysync_spawn_on(executors[i % 2], &meets_function, &nobody, &meeting[0]), 0);
        CHECK_EQ(anysync_spawn_on(executors[1 - i % 2], &meets_function, &meeting[0], &meeting[1]),
                0);
        for (int k = 0; k < 2; k++)
            CHECK_EQ(anysync_wait(meeting[k], NULL, ANYSYNC_FOREVER), 0);
        for (int k = 0; k < 2; k++)
            anysync_future_unref(meeting[k]);
    }
    close_executors();
}

TEST(stress_cancels_and_rings)
{
    unsigned state = 5;

    open_executors();
    for (long i = 0; i < test_scaled(1000); i++) {
        int count = 2 + (int)(random_next(&state) % 8);
        for (int m = 0; m < count; m++)
            start_member(m, (int)(random_next(&state) % EXECUTORS));
        for (int m = 0; m < count; m++)
            members[m].waits[0] = members[(m + 1) % count].future;
        for (int m = 0; m < count; m++)
            open_gate(members[m].gate);
        int error = anysync_cancel(members[random_next(&state) % (unsigned)count].future);
        CHECK(error == 0 || error == ANYSYNC_DONE);
        end_members(count, true);
    }
    close_executors();
}
