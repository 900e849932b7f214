/* SPDX-License-Identifier: MIT */
/*
 * Contract E: context managers.  (E4, E5: test_managers_errors.c.)
 *
 * Promised                                        Tested by
 *   E1  the block has the value                     e1_the_block_has_the_value
 *   E2  enter and exit in one task, the block in    e2_enter_and_exit_share_a_task
 *       its caller
 *   E3  a second use                                e3_a_second_use_says_so
 *       of many threads one may use it              e3_stress_of_many_threads_one_may_enter
 *   E6  break, return, goto run exit                e6_leaving_the_block_runs_exit
 *   E7  a function, and a struct                    e7_a_struct_is_a_manager_too
 *       no yield, or two, say so                    e7_a_function_has_to_yield_once
 *   E8  a cancel during the block                   e8_a_cancel_during_the_block_runs_exit
 *                                                   e8_a_cancelled_scope_around_the_block_runs_exit
 *   --  misuse                                      exit_says_what_is_wrong
 *       dropped between enter and exit              a_manager_that_is_dropped_cleans_up
 */
#include "managers.h"

#include <errno.h>

static void check_value(void)
{
    int error = 0, blocks = 0;

    start_afresh();
    ANYSYNC_WITH(lent, value, &error, 42)
    {
        CHECK_EQ(value, 42);
        CHECK_EQ(entered, 1);
        CHECK_EQ(exited, 0);
        ANYSYNC_WITH(lent, inner, &error, 43)
        {
            CHECK_EQ(inner, value + 1);
            blocks++;
        }
        blocks++;
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(blocks, 2);
    CHECK_EQ(exited, 2);
    ANYSYNC_WITH(lent, value, NULL, 42)
    {
        blocks++;
    }
    CHECK_EQ(blocks, 3);
    CHECK_EQ(exited, 3);
}

TEST(e1_the_block_has_the_value)
{
    in_worlds(EVERYWHERE, check_value);
}

/* --- E2 --------------------------------------------------------------------------------------- */

static unsigned serials[3];
static char names[3][32];

static void note_place(int at)
{
    serials[at] = anysync_thread_serial();
    snprintf(names[at], sizeof(names[at]), "%s",
            anysync_task_name() ? anysync_task_name() : "no task");
}

ANYSYNC_CONTEXT_MANAGER(int, place)
{
    int local = 5; /* it is one activation: this is still there */
    note_place(0);
    int error = place_yield(local++);
    CHECK_EQ(local, 6);
    note_place(2);
    return error;
}

static void check_place(void)
{
    uint64_t before = anysync_tasks_started();
    unsigned own = anysync_thread_serial();
    int error = 0;

    ANYSYNC_WITH(place, value, &error)
    {
        note_place(1);
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(serials[0], serials[2]);
    CHECK_STR(names[0], "place");
    CHECK_STR(names[2], "place");
    CHECK_EQ(serials[1], own);
    if (world_now & IN_COROUTINES) {
        CHECK_EQ(serials[0], own);
        CHECK_EQ(anysync_tasks_started(), before + 1);
    } else {
        CHECK_EQ(serials[0], stats_of(NULL).worker_serial);
        CHECK_STR(names[1], "no task");
    }
}

TEST(e2_enter_and_exit_share_a_task)
{
    in_worlds(EVERYWHERE, check_place);
}

/* --- E3 --------------------------------------------------------------------------------------- */

static void check_second_use(void)
{
    struct anysync_manager *manager = NULL;
    int error = 0, blocks = 0, value = 0;

    start_afresh();
    CHECK_EQ(lent_new(&manager, 8), 0);
    for (int i = 0; i < 2; i++) {
        ANYSYNC_WITH_MANAGER(int, lent_value, manager, &error)
        {
            CHECK_EQ(lent_value, 8);
            blocks++;
        }
        CHECK_EQ(error, i ? -EALREADY : 0);
    }
    CHECK_CONTAINS(anysync_last_error()->message, "cannot be used again");
    CHECK_EQ(anysync_manager_enter(manager, &value, ANYSYNC_FOREVER), -EALREADY);
    CHECK_EQ(blocks, 1);
    CHECK_EQ(entered, 1);
    anysync_manager_unref(manager);
}

TEST(e3_a_second_use_says_so)
{
    in_worlds(EVERYWHERE, check_second_use);
}

static struct anysync_manager *contended;
static int uses[4];

static void use_contended(void *argument, int index)
{
    int value = 0;
    int error = anysync_manager_enter(contended, &value, ANYSYNC_FOREVER);

    (void)argument;
    if (!error) {
        uses[index]++;
        CHECK_EQ(anysync_manager_exit(contended, 0, ANYSYNC_FOREVER), 0);
    } else {
        CHECK_EQ(error, -EALREADY);
    }
}

TEST(e3_stress_of_many_threads_one_may_enter)
{
    for (long i = test_scaled(100); i > 0; i--) {
        start_afresh();
        memset(uses, 0, sizeof(uses));
        CHECK_EQ(lent_new(&contended, 1), 0);
        test_together(4, use_contended, NULL);
        CHECK_EQ(uses[0] + uses[1] + uses[2] + uses[3], 1);
        anysync_manager_unref(contended);
    }
}

/* --- E6 --------------------------------------------------------------------------------------- */

static int return_from_block(void)
{
    ANYSYNC_WITH(lent, value, NULL, 6)
    {
        return value;
    }
    return 0;
}

static void check_leaving(void)
{
    int error = 0;

    start_afresh();
    ANYSYNC_WITH(lent, value, &error, 1)
    {
        if (value == 1)
            break;
        CHECK(false);
    }
    CHECK_EQ(exited, 1);
    ANYSYNC_WITH(lent, value, &error, 1)
    {
        if (value == 1)
            continue;
        CHECK(false);
    }
    CHECK_EQ(exited, 2);
    CHECK_EQ(return_from_block(), 6);
    CHECK_EQ(exited, 3);
    ANYSYNC_WITH(lent, value, &error, 1)
    {
        ANYSYNC_WITH(lent, inner, &error, 2)
        {
            if (inner > value)
                goto out;
        }
    }
out:
    CHECK_EQ(exited, 5);
    CHECK_EQ(error, 0);
}

TEST(e6_leaving_the_block_runs_exit)
{
    in_worlds(EVERYWHERE, check_leaving);
}

/* --- E7 --------------------------------------------------------------------------------------- */

struct door {
    int number;
    bool open;
    bool stuck;
};

static int enter_door(void *self, void *ret_value)
{
    struct door *door = self;

    if (anysync_yield() != 0 || door->stuck)
        return anysync_fail(-EACCES, "door %d is stuck", door->number);
    door->open = true;
    *(int *)ret_value = door->number;
    return 0;
}

static int exit_door(void *self, int error)
{
    struct door *door = self;

    door->open = false;
    told = error;
    return anysync_yield() ? -EINTR : error;
}

static const struct anysync_manager_type door_type =
        ANYSYNC_MANAGER_TYPE(door, sizeof(int), enter_door, exit_door);

static void check_struct(void)
{
    struct door door = {.number = 4};
    struct anysync_manager *manager = NULL;
    int error = 0;

    CHECK_EQ(anysync_manager_new(&door_type, &door, &manager), 0);
    ANYSYNC_WITH_MANAGER(int, number, manager, &error)
    {
        CHECK(door.open);
        CHECK_EQ(number, 4);
        error = -EPROTO;
    }
    CHECK(!door.open);
    CHECK_EQ(told, -EPROTO);
    CHECK_EQ(error, -EPROTO);
    anysync_manager_unref(manager);
    door.stuck = true;
    CHECK_EQ(anysync_manager_new(&door_type, &door, &manager), 0);
    CHECK_EQ(anysync_manager_enter(manager, &error, ANYSYNC_FOREVER), -EACCES);
    CHECK_STR(anysync_last_error()->message, "door 4 is stuck");
    anysync_manager_unref(manager);
}

TEST(e7_a_struct_is_a_manager_too)
{
    in_worlds(EVERYWHERE, check_struct);
}

ANYSYNC_CONTEXT_MANAGER(int, yields, (int, times))
{
    int error = 0;

    for (int i = 0; i < times && !error; i++)
        error = yields_yield(i);
    exited++;
    return error;
}

static void check_yields(void)
{
    int error = 0;

    start_afresh();
    ANYSYNC_WITH(yields, value, &error, 0)
    {
        CHECK(false);
    }
    CHECK_EQ(error, -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "without a yield");
    error = 0;
    ANYSYNC_WITH(yields, value, &error, 2)
    {
    }
    CHECK_EQ(error, -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "yielded twice");
    CHECK_EQ(exited, 2);
}

TEST(e7_a_function_has_to_yield_once)
{
    in_worlds(EVERYWHERE, check_yields);
}

/* --- E8, misuse ------------------------------------------------------------------------------- */

static struct anysync_future *gate;

ANYSYNC_CONTEXT_MANAGER(int, slow_to_exit)
{
    int error = slow_to_exit_yield(1);

    told = error;
    for (int i = 0; i < 5; i++)
        CHECK_EQ(anysync_yield(), 0); /* it waits, and is not cut */
    exited++;
    return error;
}

ANYSYNC_COROUTINE(void, cancelled_in_block)
{
    int error = 0;

    ANYSYNC_WITH(slow_to_exit, value, &error)
    {
        open_gate(gate);
        error = anysync_sleep(ANYSYNC_FOREVER);
    }
    CHECK_EQ(exited, 1);
    return error;
}

static void check_cancel(void)
{
    cancelled_in_block_future future;

    start_afresh();
    gate = new_gate();
    CHECK_EQ(cancelled_in_block_start(&future), 0);
    pass_gate(gate);
    CHECK_EQ(cancelled_in_block_cancel(&future), 0);
    CHECK_EQ(cancelled_in_block_wait(&future, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(told, -ECANCELED);
    CHECK_EQ(exited, 1);
    cancelled_in_block_drop(&future);
    anysync_future_unref(gate);
}

TEST(e8_a_cancel_during_the_block_runs_exit)
{
    in_worlds(EVERYWHERE, check_cancel);
}

static void check_thread_scope(void)
{
    struct anysync_scope scope;
    int error = 0;

    start_afresh();
    anysync_scope_enter(&scope, ANYSYNC_FOREVER);
    ANYSYNC_WITH(slow_to_exit, value, &error)
    {
        anysync_scope_cancel(&scope, "enough");
        error = anysync_sleep(ANYSYNC_FOREVER);
    }
    CHECK_EQ(exited, 1);
    CHECK_EQ(anysync_scope_exit(&scope, error), -ECANCELED);
}

TEST(e8_a_cancelled_scope_around_the_block_runs_exit)
{
    in_worlds(EVERYWHERE, check_thread_scope);
}

static void check_misuse(void)
{
    struct anysync_manager *manager = NULL;
    int value = 0;

    start_afresh();
    CHECK_EQ(lent_new(&manager, 1), 0);
    CHECK_EQ(anysync_manager_exit(manager, 0, ANYSYNC_FOREVER), -EINVAL);
    CHECK_EQ(anysync_manager_enter(manager, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_manager_exit(manager, 0, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_manager_exit(manager, 0, ANYSYNC_FOREVER), -EALREADY);
    anysync_manager_unref(manager);
    CHECK(!anysync_manager_unref(NULL));
}

TEST(exit_says_what_is_wrong)
{
    in_worlds(EVERYWHERE, check_misuse);
}

static void check_dropped(void)
{
    struct anysync_manager *manager = NULL;
    int value = 0;

    start_afresh();
    CHECK_EQ(lent_new(&manager, 1), 0);
    CHECK_EQ(anysync_manager_enter(manager, &value, ANYSYNC_FOREVER), 0);
    anysync_manager_unref(manager);
    CHECK_EQ(exited, 1);
    CHECK_EQ(told, -ECANCELED);
}

TEST(a_manager_that_is_dropped_cleans_up)
{
    in_worlds(EVERYWHERE, check_dropped);
}
