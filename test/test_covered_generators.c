/* SPDX-License-Identifier: MIT */
/*
 * Generators whose consumer left, came from elsewhere, or whose body goes on after its cancel.
 *
 * Promised                                                Tested by
 *   an item that nobody took is given after the end         an_item_outlives_its_body
 *   a body that yields on waits until there is room         a_cancelled_body_waits_for_room
 *     also one that reads ahead                             a_body_ahead_waits_for_room
 *   of consumers on one loop the second is told             a_second_consumer_of_the_loop_is_told
 *     wherever it is                                        a_consumer_elsewhere_is_told
 *     wherever the first is                   a_consumer_of_the_loop_hears_of_one_elsewhere
 *   a consumer that is cancelled loses no item              a_cancelled_consumer_loses_nothing
 *   who left from elsewhere is in nobody's way              a_consumer_that_left_is_forgotten
 *   one that reads ahead is sent nothing                    what_is_sent_ahead_is_zero
 *   errno is the consumer's own, and the body's             errno_stays_with_each_side
 */
#include "worlds.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

static struct anysync_executor *executor;
static atomic_int marks; /* of bodies and consumers that are about to wait */

static void new_executor(void)
{
    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
}

static void end_executor(void)
{
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
}

ANYSYNC_COROUTINE(void, nothing)
{
    return 0;
}

/* Who made mark COUNT on the executor's loop waits by now: somebody else has run there since. */
static void after_mark(int count)
{
    while (atomic_load(&marks) < count)
        sched_yield();
    CHECK_EQ(nothing_run_on(executor), 0);
}

/* Gives 1 when GATE is open.  When it is cancelled it opens HEARS, and gives 2 and 3 in a shield,
 * if PERSISTS. */
ANYSYNC_GENERATOR(int, late, (struct anysync_future *, gate), (struct anysync_future *, hears),
        (bool, persists))
{
    int error = 0, rest = 0;

    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        error = anysync_future_wait(gate, ANYSYNC_FOREVER);
    }
    atomic_fetch_add(&marks, 1);
    if (!error)
        error = late_yield(1);
    if (!persists)
        return error;
    open_gate(hears);
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        rest = late_yield(2);
        if (!rest)
            rest = late_yield(3);
    }
    return error ? error : rest;
}

static void open_late(struct anysync_future **gates, bool persists, uint32_t read_ahead,
        late_generator *generator)
{
    struct anysync_generator_options options = {.read_ahead = read_ahead, .executor = executor};

    gates[0] = new_gate();
    gates[1] = new_gate();
    CHECK_EQ(late_open_with(&options, generator, gates[0], gates[1], persists), 0);
}

/* Asks, leaves, and has the executor cancelled when the item is there. */
static void leave_an_item(struct anysync_future **gates, late_generator *generator)
{
    int item = 0, error;

    CHECK_EQ(late_next_until(generator, &item, anysync_in_ms(1)), -ETIMEDOUT);
    open_gate(gates[0]);
    after_mark(1);
    error = anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_POLL, NULL);
    CHECK(error == 0 || error == -ETIMEDOUT);
}

static void drop_late(struct anysync_future **gates, late_generator *generator)
{
    late_drop(generator);
    anysync_future_unref(gates[0]);
    anysync_future_unref(gates[1]);
}

TEST(an_item_outlives_its_body)
{
    struct anysync_future *gates[2];
    late_generator generator;
    int item = 0;

    new_executor();
    open_late(gates, false, 0, &generator);
    leave_an_item(gates, &generator);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(late_next(&generator, &item), 0);
    CHECK_EQ(item, 1);
    CHECK_EQ(late_next(&generator, &item), -ECANCELED);
    CHECK_EQ(late_next(&generator, &item), ANYSYNC_DONE);
    drop_late(gates, &generator);
    end_executor();
}

static void check_room(uint32_t ahead)
{
    struct anysync_future *gates[2];
    late_generator generator;

    new_executor();
    open_late(gates, true, ahead, &generator);
    leave_an_item(gates, &generator);
    pass_gate(gates[1]);
    for (int expected = 1; expected <= 3; expected++) {
        int item = 0;
        CHECK_EQ(late_next(&generator, &item), 0);
        CHECK_EQ(item, expected);
    }
    drop_late(gates, &generator);
    end_executor();
}

TEST(a_cancelled_body_waits_for_room)
{
    check_room(0);
}

TEST(a_body_ahead_waits_for_room)
{
    check_room(1);
}

/* --- consumers -------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, ask, (late_generator *, generator), (bool, in_scope))
{
    int error = 0;

    atomic_fetch_add(&marks, 1);
    if (!in_scope)
        return late_next(generator, result);
    ANYSYNC_SCOPE(&error, anysync_in_seconds(3600))
    {
        error = late_next(generator, result);
    }
    return error;
}

ANYSYNC_COROUTINE(void, ask_twice)
{
    for (int in_scope = 0; in_scope < 2; in_scope++) {
        struct anysync_future *gates[2];
        late_generator generator;
        ANYSYNC_SCOPED_FUTURE(ask, first);
        int item = 0;

        open_late(gates, false, 0, &generator);
        CHECK_EQ(ask_start(&first, &generator, in_scope), 0);
        CHECK_EQ(anysync_yield(), 0); /* it waits */
        CHECK_EQ(ask_await(&item, &generator, in_scope), -EBUSY);
        CHECK_EQ(ask_await(&item, &generator, !in_scope), -EBUSY);
        open_gate(gates[0]);
        CHECK_EQ(ask_wait(&first, &item, ANYSYNC_FOREVER), 0);
        CHECK_EQ(item, 1);
        drop_late(gates, &generator);
    }
    return 0;
}

TEST(a_second_consumer_of_the_loop_is_told)
{
    new_executor();
    CHECK_EQ(ask_twice_run_on(executor), 0);
    end_executor();
}

TEST(a_consumer_elsewhere_is_told)
{
    struct anysync_future *gates[2];
    late_generator generator;
    ANYSYNC_SCOPED_FUTURE(ask, first);
    int item = 0;

    new_executor();
    open_late(gates, false, 0, &generator);
    CHECK_EQ(ask_start_on(executor, &first, &generator, false), 0);
    after_mark(1);
    CHECK_EQ(late_next(&generator, &item), -EBUSY);
    open_gate(gates[0]);
    CHECK_EQ(ask_wait(&first, &item, ANYSYNC_FOREVER), 0);
    CHECK_EQ(item, 1);
    drop_late(gates, &generator);
    end_executor();
}

TEST(a_consumer_of_the_loop_hears_of_one_elsewhere)
{
    struct anysync_executor *other = NULL;
    struct anysync_future *gates[2];
    late_generator generator;
    ANYSYNC_SCOPED_FUTURE(ask, first);
    int item = 0, before = atomic_load(&marks);

    new_executor();
    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    open_late(gates, false, 0, &generator);
    CHECK_EQ(ask_start_on(other, &first, &generator, false), 0);
    after_mark(before + 1);
    CHECK_EQ(nothing_run_on(other), 0);    /* its request is sent, */
    CHECK_EQ(nothing_run_on(executor), 0); /* and has come */
    CHECK_EQ(ask_run_on(executor, &item, &generator, false), -EBUSY);
    open_gate(gates[0]);
    CHECK_EQ(ask_wait(&first, &item, ANYSYNC_FOREVER), 0);
    CHECK_EQ(item, 1);
    drop_late(gates, &generator);
    CHECK_EQ(anysync_executor_shutdown(other, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(other);
    end_executor();
}

/* Gives 0 at once, and 1 when GATE is open. */
ANYSYNC_GENERATOR(int, two_steps, (struct anysync_future *, gate))
{
    int error = two_steps_yield(0);

    if (!error)
        error = anysync_future_wait(gate, ANYSYNC_FOREVER);
    return error ? error : two_steps_yield(1);
}

ANYSYNC_COROUTINE(int, take_two, (two_steps_generator *, generator))
{
    CHECK_EQ(two_steps_next(generator, result), 0);
    return two_steps_next(generator, result);
}

/* The consumer and the body have gone straight to each other before. */
ANYSYNC_COROUTINE(void, cancel_the_second)
{
    for (int open_first = 0; open_first < 3; open_first++) {
        struct anysync_future *gate = new_gate();
        two_steps_generator generator;
        ANYSYNC_SCOPED_FUTURE(take_two, taking);
        int item = 7;

        CHECK_EQ(two_steps_open(&generator, gate), 0);
        CHECK_EQ(take_two_start(&taking, &generator), 0);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(anysync_yield(), 0);
        if (open_first == 1)
            open_gate(gate);
        CHECK_EQ(take_two_cancel(&taking), 0);
        if (open_first == 2)
            open_gate(gate);
        int error = take_two_wait(&taking, &item, ANYSYNC_FOREVER);
        CHECK(error == 0 ? item == 1 : error == -ECANCELED);
        if (open_first == 0)
            open_gate(gate);
        if (error)
            CHECK_EQ(two_steps_next(&generator, &item), 0);
        CHECK_EQ(item, 1);
        two_steps_drop(&generator);
        anysync_future_unref(gate);
    }
    return 0;
}

ANYSYNC_COROUTINE(void, cancel_consumers)
{
    for (int in_scope = 0; in_scope < 2; in_scope++) {
        for (int open_first = 0; open_first < 3; open_first++) {
            struct anysync_future *gates[2];
            late_generator generator;
            ANYSYNC_SCOPED_FUTURE(ask, asking);
            int item = 0;

            open_late(gates, false, 0, &generator);
            CHECK_EQ(ask_start(&asking, &generator, in_scope), 0);
            CHECK_EQ(anysync_yield(), 0);
            if (open_first == 1)
                open_gate(gates[0]);
            CHECK_EQ(ask_cancel(&asking), 0);
            if (open_first == 2)
                open_gate(gates[0]);
            int error = ask_wait(&asking, &item, ANYSYNC_FOREVER);
            CHECK(error == 0 ? item == 1 : error == -ECANCELED);
            if (open_first == 0)
                open_gate(gates[0]);
            if (error)
                CHECK_EQ(late_next(&generator, &item), 0);
            CHECK_EQ(item, 1);
            drop_late(gates, &generator);
        }
    }
    return 0;
}

TEST(a_cancelled_consumer_loses_nothing)
{
    new_executor();
    CHECK_EQ(cancel_consumers_run_on(executor), 0);
    CHECK_EQ(cancel_consumers_run_here(), 0);
    CHECK_EQ(cancel_the_second_run_here(), 0);
    CHECK_EQ(cancel_the_second_run_on(executor), 0);
    end_executor();
}

TEST(a_consumer_that_left_is_forgotten)
{
    struct anysync_future *gates[2];
    late_generator generator;

    for (int in_scope = 0; in_scope < 2; in_scope++) {
        ANYSYNC_SCOPED_FUTURE(ask, asking);
        int item = 0, before = atomic_load(&marks);
        new_executor();
        open_late(gates, false, 0, &generator);
        CHECK_EQ(late_next_until(&generator, &item, anysync_in_ms(1)), -ETIMEDOUT);
        CHECK_EQ(ask_start_on(executor, &asking, &generator, in_scope), 0);
        after_mark(before + 1);
        open_gate(gates[0]);
        CHECK_EQ(ask_wait(&asking, &item, ANYSYNC_FOREVER), 0);
        CHECK_EQ(item, 1);
        drop_late(gates, &generator);
        end_executor();
    }
}

ANYSYNC_GENERATOR(int, receive, (int, to))
{
    int error = 0, sent = 7;

    for (int i = 0; i < to && !error; i++) {
        error = receive_yield_receive(i + sent - 7, &sent);
        sent += 7;
    }
    return error;
}

TEST(what_is_sent_ahead_is_zero)
{
    struct anysync_generator_options options = {.read_ahead = 2};
    receive_generator generator;
    int item = 7;

    CHECK_EQ(receive_open_with(&options, &generator, 4), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(receive_next(&generator, &item), 0);
        CHECK_EQ(item, i);
    }
    CHECK_EQ(receive_next(&generator, &item), ANYSYNC_DONE);
    receive_drop(&generator);
}

ANYSYNC_GENERATOR(int, spoil_errno, (int, to))
{
    int error = 0;

    for (int i = 0; i < to && !error; i++) {
        errno = 1000 + i;
        error = spoil_errno_yield(i);
        CHECK_EQ(errno, 1000 + i);
    }
    return error;
}

ANYSYNC_COROUTINE(void, keep_errno)
{
    spoil_errno_generator generator;
    int item;

    CHECK_EQ(spoil_errno_open(&generator, 5), 0);
    for (int i = 0; i < 5; i++) {
        errno = 2000 + i;
        CHECK_EQ(spoil_errno_next(&generator, &item), 0);
        CHECK_EQ(errno, 2000 + i);
    }
    spoil_errno_drop(&generator);
    return 0;
}

TEST(errno_stays_with_each_side)
{
    CHECK_EQ(keep_errno_run(), 0);
    CHECK_EQ(keep_errno_run_here(), 0);
}
