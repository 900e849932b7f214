/* SPDX-License-Identifier: MIT */
/*
 * Scenes of waits that lead back to who waits, and of waits that only seem to: the wait-for graph
 * while tasks of two loops wait, are cancelled, and get what they wait for.  (What a scene is:
 * virtual.h.)
 */
#include "scenes_graph.h"

#include "sched/graph_walk.h"
#include "sched/task.h"

/* --- rings ------------------------------------------------------------------------------------ */

static int a_waits_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    told[A] = anysync_future_wait(b, ANYSYNC_FOREVER);
    return told[A];
}

static int b_waits_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    int error = wait_for_gate();
    told[B] = error ? error : anysync_future_wait(a, ANYSYNC_FOREVER);
    return 0;
}

static const struct anysync_function a_waits = ANYSYNC_FUNCTION(a, a_waits_body, 0, 0);
static const struct anysync_function b_waits = ANYSYNC_FUNCTION(b, b_waits_body, 0, 0);

static void start_both(void)
{
    set_up();
    VIRTUAL_CHECK(anysync_spawn(&b_waits, NULL, &b) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &a_waits, NULL, &a) == 0);
}

SCENE(ring_over_two_loops_is_found, 1, 1)
{
    start_both();
    open_gate();
    tear_down();
    VIRTUAL_CHECK((told[A] == -EDEADLK) + (told[B] == -EDEADLK) == 1);
}

SCENE(ring_on_a_loop_that_was_cancelled_before_is_found, 1, 1)
{
    set_up();
    VIRTUAL_CHECK(anysync_executor_start(other) == 0);
    VIRTUAL_CHECK(anysync_executor_shutdown(other, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL) == 0);
    VIRTUAL_CHECK(anysync_executor_start(other) == 0);
    VIRTUAL_CHECK(anysync_spawn(&b_waits, NULL, &b) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &a_waits, NULL, &a) == 0);
    open_gate();
    tear_down();
    VIRTUAL_CHECK((told[A] == -EDEADLK) + (told[B] == -EDEADLK) == 1);
}

/* What ends A's wait comes before B's begins: there never was a ring. */
static void never_a_ring(void)
{
    tear_down();
    VIRTUAL_CHECK(told[A] == -ECANCELED || told[A] == 0);
    VIRTUAL_CHECK(told[B] == 0);
}

SCENE(ring_with_a_cancelled_wait_is_none, 1, 1)
{
    start_both();
    VIRTUAL_CHECK(anysync_cancel(a) == 0);
    open_gate();
    never_a_ring();
}

SCENE(ring_with_a_cancelled_loop_is_none, 1, 1)
{
    start_both();
    int error = anysync_executor_shutdown(other, ANYSYNC_CANCEL, ANYSYNC_POLL, NULL);
    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT);
    open_gate();
    never_a_ring();
}

static int cancel_a_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    int error = anysync_cancel(a);
    VIRTUAL_CHECK(error == 0 || error == ANYSYNC_DONE);
    open_gate();
    return 0;
}

static const struct anysync_function cancel_a = ANYSYNC_FUNCTION(cancel, cancel_a_body, 0, 0);

SCENE(ring_with_a_wait_cancelled_by_its_loop_is_none, 1, 1)
{
    start_both();
    VIRTUAL_CHECK(anysync_spawn_on(other, &cancel_a, NULL, NULL) == 0);
    never_a_ring();
}

/* B waits for A already when the thread of its loop is blocked, and A waits for B meanwhile. */
static struct anysync_future *blocked, *unblock;

static int inner_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    VIRTUAL_CHECK(anysync_future_set(blocked, NULL) == 0);
    return anysync_future_wait(unblock, ANYSYNC_FOREVER);
}

static const struct anysync_function inner = ANYSYNC_FUNCTION(inner, inner_body, 0, 0);

static int outer_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_run(&inner, NULL, NULL, ANYSYNC_FOREVER);
}

static int a_waits_late_body(void *argument, void *result)
{
    int error = wait_for_gate();

    return error ? error : a_waits_body(argument, result);
}

static int b_waits_soon_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    told[B] = anysync_future_wait(a, ANYSYNC_FOREVER);
    return 0;
}

static const struct anysync_function outer = ANYSYNC_FUNCTION(outer, outer_body, 0, 0);
static const struct anysync_function a_waits_late = ANYSYNC_FUNCTION(a, a_waits_late_body, 0, 0);
static const struct anysync_function b_waits_soon = ANYSYNC_FUNCTION(b, b_waits_soon_body, 0, 0);

SCENE(ring_behind_a_blocked_loop_is_found, 1, 1)
{
    set_up();
    VIRTUAL_CHECK(anysync_future_new(0, &blocked) == 0);
    VIRTUAL_CHECK(anysync_future_new(0, &unblock) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &a_waits_late, NULL, &a) == 0);
    VIRTUAL_CHECK(anysync_spawn(&b_waits_soon, NULL, &b) == 0);
    VIRTUAL_CHECK(anysync_spawn(&outer, NULL, NULL) == 0);
    VIRTUAL_CHECK(anysync_future_wait(blocked, ANYSYNC_FOREVER) == 0);
    open_gate();
    VIRTUAL_CHECK(anysync_future_set(unblock, NULL) == 0);
    tear_down();
    VIRTUAL_CHECK((told[A] == -EDEADLK) + (told[B] == -EDEADLK) == 1);
    anysync_future_unref(blocked);
    anysync_future_unref(unblock);
}

SCENE(ring_of_the_parent_is_not_there_in_the_child, 0, 0)
{
    start_both();
    VIRTUAL_CHECK(anysync_future_wait(a, anysync_in_ns(1)) == -ETIMEDOUT);
    virtual_fork(true);
    VIRTUAL_CHECK(!asi_graph_find(asi_task_of(a)) && !asi_graph_find(asi_task_of(b)));
}

/* B calls A, which waits for B: whoever is told, A's failure is nobody's but B's. */
static void unexpected(const char *task, const struct anysync_error *error, void *context)
{
    (void)error;
    (void)context;
    virtual_fail("nobody looked at the failure of %s", task);
}

static int fails_when_told_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    int error = wait_for_gate();
    if (!error)
        error = anysync_future_wait(b, ANYSYNC_FOREVER);
    return error ? -EIO : 0;
}

static const struct anysync_function fails_when_told =
        ANYSYNC_FUNCTION(a, fails_when_told_body, 0, 0);

static int call_a_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    int error = anysync_run_on(other, &fails_when_told, NULL, NULL, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == -EDEADLK || error == -EIO);
    return 0;
}

static const struct anysync_function call_a = ANYSYNC_FUNCTION(b, call_a_body, 0, 0);

SCENE(ring_of_a_call_is_told_once, 1, 1)
{
    set_up();
    anysync_set_error_hook(unexpected, NULL);
    VIRTUAL_CHECK(anysync_spawn(&call_a, NULL, &b) == 0);
    a = anysync_future_ref(b);
    open_gate();
    tear_down();
}

/* --- items on their way ----------------------------------------------------------------------- */

/* C, on `other`, waits for an item of a generator of the global loop, which then waits for A, and
 * that for C: beside it, or on a `third` loop, whose look around goes by three. */
static struct anysync_future *c;
static struct anysync_executor *third;

static int give_body(struct anysync_generator *self, void *argument)
{
    int item = 1;

    (void)argument;
    int error = wait_for_gate();
    if (!error)
        error = anysync_generator_yield(self, &item, NULL);
    if (!error)
        error = anysync_future_wait(a, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == 0 || error == -ECANCELED);
    return error;
}

static const struct anysync_generator_function giver =
        ANYSYNC_GENERATOR_FUNCTION(give, give_body, 0, sizeof(int), 0);

static int take_body(void *argument, void *result)
{
    struct anysync_generator *generator = *(struct anysync_generator **)argument;
    int item = 0;

    (void)result;
    int error = anysync_generator_next(generator, &item, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == ANYSYNC_DONE || (error == 0 && item == 1));
    return 0;
}

static int wait_for_c_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    VIRTUAL_CHECK(anysync_future_wait(c, ANYSYNC_FOREVER) == 0);
    return 0;
}

static const struct anysync_function taker =
        ANYSYNC_FUNCTION(take, take_body, sizeof(struct anysync_generator *), 0);
static const struct anysync_function c_waiter = ANYSYNC_FUNCTION(a, wait_for_c_body, 0, 0);

static void pass_an_item(uint32_t read_ahead)
{
    struct anysync_generator *generator;
    struct anysync_generator_options options = {.read_ahead = read_ahead};

    set_up();
    third = open_executor();
    VIRTUAL_CHECK(anysync_generator_new(&giver, NULL, &options, &generator) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &taker, &generator, &c) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(third, &c_waiter, NULL, &a) == 0);
    open_gate();
    b = anysync_future_ref(a);
    VIRTUAL_CHECK(anysync_future_wait(c, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_future_wait(a, ANYSYNC_FOREVER) == 0);
    anysync_generator_unref(generator);
    anysync_future_unref(c);
    VIRTUAL_CHECK(anysync_executor_shutdown(third, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
    anysync_executor_unref(third);
    tear_down();
}

SCENE(item_on_its_way_ends_a_wait, 1, 1)
{
    pass_an_item(0);
}

SCENE(item_read_ahead_ends_a_wait, 1, 1)
{
    pass_an_item(2);
}

/* A waits for an item of a generator, which is closed and then waits for A: the close ends that. */
static int wait_closed_body(struct anysync_generator *self, void *argument)
{
    (void)self;
    (void)argument;
    int error = wait_for_gate();
    error = anysync_future_wait(a, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == 0 || error == -ECANCELED);
    return error;
}

static const struct anysync_generator_function closed_giver =
        ANYSYNC_GENERATOR_FUNCTION(give, wait_closed_body, 0, sizeof(int), 0);

SCENE(ring_with_a_closed_generator_is_none, 1, 1)
{
    struct anysync_generator *generator;

    set_up();
    VIRTUAL_CHECK(anysync_generator_new(&closed_giver, NULL, NULL, &generator) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &taker, &generator, &a) == 0);
    int error = anysync_generator_close(generator, ANYSYNC_POLL);
    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT || error == -EBUSY);
    open_gate();
    b = anysync_future_ref(a);
    VIRTUAL_CHECK(anysync_wait(a, NULL, ANYSYNC_FOREVER) == 0);
    anysync_generator_unref(generator);
    tear_down();
}

/* The generator waits for A when it is closed; then A asks it again. */
static struct anysync_future *begun, *known;

static int begin_and_wait_body(struct anysync_generator *self, void *argument)
{
    (void)self;
    (void)argument;
    VIRTUAL_CHECK(anysync_future_wait(known, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_future_set(begun, NULL) == 0);
    int error = anysync_future_wait(a, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == -ECANCELED);
    return error;
}

static int ask_twice_body(void *argument, void *result)
{
    struct anysync_generator *generator = *(struct anysync_generator **)argument;
    int item = 0;

    (void)result;
    int error = anysync_generator_next(generator, &item, anysync_in_ns(1));
    VIRTUAL_CHECK(error == -ETIMEDOUT || error == ANYSYNC_DONE); /* the close may come first */
    VIRTUAL_CHECK(wait_for_gate() == 0);
    VIRTUAL_CHECK(anysync_generator_next(generator, &item, ANYSYNC_FOREVER) == ANYSYNC_DONE);
    return 0;
}

static const struct anysync_generator_function waiting_giver =
        ANYSYNC_GENERATOR_FUNCTION(give, begin_and_wait_body, 0, sizeof(int), 0);
static const struct anysync_function asker =
        ANYSYNC_FUNCTION(ask, ask_twice_body, sizeof(struct anysync_generator *), 0);

SCENE(ring_with_a_generator_closed_before_is_none, 1, 1)
{
    struct anysync_generator *generator;

    set_up();
    VIRTUAL_CHECK(anysync_future_new(0, &begun) == 0);
    VIRTUAL_CHECK(anysync_future_new(0, &known) == 0);
    VIRTUAL_CHECK(anysync_generator_new(&waiting_giver, NULL, NULL, &generator) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &asker, &generator, &a) == 0);
    VIRTUAL_CHECK(anysync_future_set(known, NULL) == 0);
    VIRTUAL_CHECK(anysync_future_wait(begun, ANYSYNC_FOREVER) == 0);
    int error = anysync_generator_close(generator, ANYSYNC_POLL);
    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT);
    open_gate();
    b = anysync_future_ref(a);
    VIRTUAL_CHECK(anysync_wait(a, NULL, ANYSYNC_FOREVER) == 0);
    anysync_generator_unref(generator);
    anysync_future_unref(begun);
    anysync_future_unref(known);
    tear_down();
}

/* C has its item, or will soon; then the generator goes on for another consumer, D, and waits. */
static int give_two_body(struct anysync_generator *self, void *argument)
{
    int item = 1;

    (void)argument;
    VIRTUAL_CHECK(anysync_future_set(begun, NULL) == 0);
    int error = anysync_generator_yield(self, &item, NULL);
    if (!error)
        error = anysync_future_wait(a, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == 0);
    item = 2;
    return anysync_generator_yield(self, &item, NULL);
}

static int take_second_body(void *argument, void *result)
{
    struct anysync_generator *generator = *(struct anysync_generator **)argument;
    int item = 0, error;

    (void)result;
    VIRTUAL_CHECK(anysync_future_wait(begun, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(wait_for_gate() == 0);
    while ((error = anysync_generator_next(generator, &item, ANYSYNC_FOREVER)) == -EBUSY)
        VIRTUAL_CHECK(anysync_yield() == 0);
    VIRTUAL_CHECK(error == 0 && item == 2);
    return 0;
}

static const struct anysync_generator_function giver_of_two =
        ANYSYNC_GENERATOR_FUNCTION(give, give_two_body, 0, sizeof(int), 0);
static const struct anysync_function second_taker =
        ANYSYNC_FUNCTION(take, take_second_body, sizeof(struct anysync_generator *), 0);

SCENE(item_for_who_has_not_left_yet_ends_a_wait, 1, 1)
{
    struct anysync_generator *generator;

    set_up();
    third = open_executor();
    VIRTUAL_CHECK(anysync_future_new(0, &begun) == 0);
    VIRTUAL_CHECK(anysync_generator_new(&giver_of_two, NULL, NULL, &generator) == 0);
    VIRTUAL_CHECK(anysync_spawn(&second_taker, &generator, &b) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &taker, &generator, &c) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(third, &c_waiter, NULL, &a) == 0);
    open_gate();
    VIRTUAL_CHECK(anysync_future_wait(b, ANYSYNC_FOREVER) == 0);
    anysync_generator_unref(generator);
    VIRTUAL_CHECK(anysync_future_wait(c, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_future_wait(a, ANYSYNC_FOREVER) == 0);
    anysync_future_unref(c);
    anysync_future_unref(begun);
    VIRTUAL_CHECK(anysync_executor_shutdown(third, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
    anysync_executor_unref(third);
    tear_down();
}

/* C starts a child of a group on the global loop, which says that it has begun and waits for A. */
static struct anysync_group *group;

static int say_and_wait_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    int error = wait_for_gate();
    if (!error)
        error = anysync_started(NULL, 0);
    VIRTUAL_CHECK(error == 0);
    VIRTUAL_CHECK(anysync_future_wait(a, ANYSYNC_FOREVER) == 0);
    return 0;
}

static const struct anysync_function sayer = ANYSYNC_FUNCTION(say, say_and_wait_body, 0, 0);

static int start_child_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_group_start(group, &sayer, NULL, NULL, 0, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function starter = ANYSYNC_FUNCTION(start, start_child_body, 0, 0);

SCENE(start_on_its_way_ends_a_wait, 1, 1)
{
    set_up();
    third = open_executor();
    VIRTUAL_CHECK(anysync_group_open(&group) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &starter, NULL, &c) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(third, &c_waiter, NULL, &a) == 0);
    open_gate();
    b = anysync_future_ref(c);
    VIRTUAL_CHECK(anysync_wait(c, NULL, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_wait(a, NULL, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_group_close(group, 0, ANYSYNC_FOREVER) == 0);
    anysync_future_unref(c);
    VIRTUAL_CHECK(anysync_executor_shutdown(third, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
    anysync_executor_unref(third);
    tear_down();
}
