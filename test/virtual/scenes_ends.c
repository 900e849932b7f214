/* SPDX-License-Identifier: MIT */
/*
 * Scenes of ends: what is submitted while its executor shuts down or starts again, who hardens a
 * drain, last references, nested loops; and generators that are closed while they are used.
 *
 * In each order what was submitted ran to its end, or was refused with a code and never ran.
 */
#include "scenes.h"

#include <errno.h>

static struct anysync_executor *executor;
static struct anysync_future *future, *called;
static int ran, came_to_end; /* the loop's */

static void open_executor(void)
{
    struct anysync_executor_options options = {
            .spin = ANYSYNC_SPIN_NEVER, .stack_size = 16384, .grace_ns = ANYSYNC_FOREVER};

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_executor_new(&options, &executor) == 0);
}

static void shut_down(enum anysync_shutdown mode)
{
    size_t left = 7;
    int error = anysync_executor_shutdown(executor, mode, ANYSYNC_FOREVER, &left);

    VIRTUAL_CHECK(error == 0 && left == 0);
}

static void drain(void *unused)
{
    (void)unused;
    shut_down(ANYSYNC_DRAIN);
}

static void shut_down_hard(void *unused)
{
    (void)unused;
    shut_down(ANYSYNC_CANCEL);
}

static int body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    ran++;
    int error = anysync_yield();
    came_to_end++;
    return error;
}

static const struct anysync_function function = ANYSYNC_FUNCTION(body, body, 0, 0);

/* --- submit against shutdown ------------------------------------------------------------------ */

/* A task that nobody looks at any more runs as well, or is refused. */
static void spawn(void *unused)
{
    (void)unused;
    int error = anysync_spawn_on(executor, &function, NULL, &future);
    VIRTUAL_CHECK(error == 0 || (error == -ESHUTDOWN && !future));
}

static void check_spawned(void)
{
    int error = future ? anysync_wait(future, NULL, ANYSYNC_FOREVER) : -ESHUTDOWN;

    VIRTUAL_CHECK(error == 0 || error == -ESHUTDOWN || error == -ECANCELED);
    VIRTUAL_CHECK(ran == came_to_end);
    if (error == -ESHUTDOWN)
        VIRTUAL_CHECK(ran == 0);
    if (error == 0)
        VIRTUAL_CHECK(ran == 1);
    anysync_future_unref(future);
}

SCENE(spawn_races_a_drain, 2, 0)
{
    open_executor();
    VIRTUAL_CHECK(anysync_executor_start(executor) == 0);
    int spawner = virtual_start(spawn, NULL);
    drain(NULL);
    virtual_join(spawner);
    check_spawned();
    anysync_executor_unref(executor);
}

SCENE(spawn_races_a_hard_shutdown, 2, 0)
{
    open_executor();
    VIRTUAL_CHECK(anysync_executor_start(executor) == 0);
    int spawner = virtual_start(spawn, NULL);
    shut_down_hard(NULL);
    virtual_join(spawner);
    check_spawned();
    anysync_executor_unref(executor);
}

static void restart(void *unused)
{
    drain(unused);
    int error = anysync_executor_start(executor);
    VIRTUAL_CHECK(error == 0);
}

SCENE(spawn_races_a_restart, 2, 0)
{
    open_executor();
    VIRTUAL_CHECK(anysync_executor_start(executor) == 0);
    int spawner = virtual_start(spawn, NULL);
    restart(NULL);
    virtual_join(spawner);
    check_spawned();
    drain(NULL);
    anysync_executor_unref(executor);
}

/* Two ask at once, one of them hardly: both wait to the end. */
static int sleep_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    ran++;
    int error = anysync_sleep(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == -ECANCELED);
    came_to_end++;
    return error;
}

static const struct anysync_function sleeper = ANYSYNC_FUNCTION(sleeper, sleep_body, 0, 0);

SCENE(cancel_hardens_a_drain, 2, 0)
{
    open_executor();
    VIRTUAL_CHECK(anysync_spawn_on(executor, &sleeper, NULL, &future) == 0);
    int drainer = virtual_start(drain, NULL);
    int ender = virtual_start(shut_down_hard, NULL);
    virtual_join(drainer);
    virtual_join(ender);
    VIRTUAL_CHECK(anysync_wait(future, NULL, ANYSYNC_POLL) == -ECANCELED);
    VIRTUAL_CHECK(ran == came_to_end);
    anysync_future_unref(future);
    anysync_executor_unref(executor);
}

/* A drain whose time is over leaves the worker; a second one waits for it again. */
SCENE(drain_gives_up_and_comes_back, 2, 0)
{
    size_t left = 7;

    open_executor();
    VIRTUAL_CHECK(anysync_spawn_on(executor, &function, NULL, &future) == 0);
    int error = anysync_executor_shutdown(executor, ANYSYNC_DRAIN, anysync_in_us(1), &left);
    VIRTUAL_CHECK((error == 0 && left == 0) || (error == -ETIMEDOUT && left <= 1));
    drain(NULL);
    VIRTUAL_CHECK(anysync_wait(future, NULL, ANYSYNC_POLL) == 0 && ran == 1);
    anysync_future_unref(future);
    anysync_executor_unref(executor);
}

static void drop_executor(void *unused)
{
    (void)unused;
    anysync_executor_unref(executor);
}

/* The last reference cancels what is left, and does not wait. */
SCENE(last_reference_races_a_spawn, 2, 0)
{
    open_executor();
    VIRTUAL_CHECK(anysync_executor_start(executor) == 0);
    anysync_executor_ref(executor);
    int dropper = virtual_start(drop_executor, NULL);
    spawn(NULL);
    anysync_executor_unref(executor);
    virtual_join(dropper);
    check_spawned();
}

/* What belongs to a loop that ends. */
SCENE(timer_of_a_loop_that_ends, 2, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_at(anysync_in_us(1), &future) == 0);
    VIRTUAL_CHECK(anysync_shutdown(ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL) == 0);
    int error = anysync_wait(future, NULL, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == 0 || error == -ECANCELED);
    anysync_future_unref(future);
}

static int job_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    ran++;
    return 0;
}

static const struct anysync_function job = {
        "job", __FILE__, __LINE__, job_body, 0, 0, 0, ANYSYNC_KIND_BLOCKING};

static int offload_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    int error = anysync_offload(&job, NULL, NULL, NULL, ANYSYNC_FOREVER);
    came_to_end++;
    return error;
}

static const struct anysync_function offloader = ANYSYNC_FUNCTION(offload, offload_body, 0, 0);

/* A drain waits for the task that waits for a job. */
SCENE(shutdown_while_a_job_runs, 2, 0)
{
    enum anysync_shutdown mode = virtual_choose(2) == 0 ? ANYSYNC_DRAIN : ANYSYNC_CANCEL;

    open_executor();
    VIRTUAL_CHECK(anysync_spawn_on(executor, &offloader, NULL, &future) == 0);
    shut_down(mode);
    int error = anysync_wait(future, NULL, ANYSYNC_POLL);
    VIRTUAL_CHECK(error == 0 || (error == -ECANCELED && mode == ANYSYNC_CANCEL));
    VIRTUAL_CHECK(error != 0 || (ran == 1 && came_to_end == 1));
    anysync_future_unref(future);
    anysync_executor_unref(executor);
}

/* --- callbacks and last references ------------------------------------------------------------ */

static int calls;

static void on_done(struct anysync_future *of, void *argument)
{
    VIRTUAL_CHECK(argument == &calls && ++calls == 1);
    if (of) /* else its loop has ended */
        VIRTUAL_CHECK(of == future);
    scene_set_done(called);
}

static void set(void *unused)
{
    (void)unused;
    scene_set_done(future);
}

/* Who registers, and who completes, drop theirs: the callback has its own. */
SCENE(callback_holds_the_last_reference, 2, 0)
{
    struct anysync_future *over;

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_new(0, &future) == 0);
    VIRTUAL_CHECK(anysync_future_new(0, &called) == 0);
    over = anysync_future_ref(called);
    anysync_future_ref(future);
    int setter = virtual_start(set, NULL);
    VIRTUAL_CHECK(anysync_future_on_done(future, on_done, &calls) == 0);
    anysync_future_unref(future);
    VIRTUAL_CHECK(anysync_future_wait(over, ANYSYNC_FOREVER) == 0);
    virtual_join(setter);
    anysync_future_unref(over);
}

/* It is called once, on the loop, or told that there is none any more. */
SCENE(callback_races_the_end_of_its_loop, 2, 0)
{
    struct anysync_future *over;

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_new(0, &future) == 0);
    VIRTUAL_CHECK(anysync_future_new(0, &called) == 0);
    over = anysync_future_ref(called);
    VIRTUAL_CHECK(anysync_future_on_done(future, on_done, &calls) == 0);
    int setter = virtual_start(set, NULL);
    VIRTUAL_CHECK(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
    virtual_join(setter);
    VIRTUAL_CHECK(anysync_executor_start(NULL) == 0);
    VIRTUAL_CHECK(anysync_future_wait(over, ANYSYNC_FOREVER) == 0);
    anysync_future_unref(over);
}

/* --- nested loops ----------------------------------------------------------------------------- */

static int twice_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_run(&function, NULL, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function twice = ANYSYNC_FUNCTION(twice, twice_body, 0, 0);

static int thrice_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_run(&twice, NULL, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function thrice = ANYSYNC_FUNCTION(thrice, thrice_body, 0, 0);

SCENE(run_in_a_run_in_a_run, 2, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_run(&thrice, NULL, NULL, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(ran == 1 && came_to_end == 1);
    VIRTUAL_CHECK(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
}

static int spawn_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    VIRTUAL_CHECK(anysync_spawn(&function, NULL, NULL) == 0); /* nobody waits for it */
    return anysync_yield();
}

static const struct anysync_function spawner = ANYSYNC_FUNCTION(spawner, spawn_body, 0, 0);

/* What a task of the worker leaves behind ends before a drain does. */
SCENE(drain_waits_for_tasks_of_tasks, 2, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_spawn(&spawner, NULL, &future) == 0);
    VIRTUAL_CHECK(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
    VIRTUAL_CHECK(anysync_wait(future, NULL, ANYSYNC_POLL) == 0);
    VIRTUAL_CHECK(ran == 1 && came_to_end == 1);
    anysync_future_unref(future);
}

/* --- generators that are closed while they are used ------------------------------------------- */

static struct anysync_generator *generator;

static int count_body(struct anysync_generator *self, void *argument)
{
    int error = 0;

    (void)argument;
    ran++;
    for (int i = 1; i <= 2 && !error; i++)
        error = anysync_generator_yield(self, &i, NULL);
    came_to_end++;
    return error;
}

static const struct anysync_generator_function counter =
        ANYSYNC_GENERATOR_FUNCTION(count, count_body, 0, sizeof(int), 0);

static void close_it(void *unused)
{
    (void)unused;
    int error = anysync_generator_close(generator, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == 0);
}

static void take_until_it_ends(void *unused)
{
    int item = 0, last = 0, error;

    (void)unused;
    while (!(error = anysync_generator_next(generator, &item, ANYSYNC_FOREVER)))
        VIRTUAL_CHECK(item == ++last);
    VIRTUAL_CHECK(error == ANYSYNC_DONE && last <= 2);
}

static void close_against_next(uint32_t read_ahead)
{
    struct anysync_generator_options options = {.read_ahead = read_ahead};

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_generator_new(&counter, NULL, &options, &generator) == 0);
    int closer = virtual_start(close_it, NULL);
    take_until_it_ends(NULL);
    virtual_join(closer);
    VIRTUAL_CHECK(anysync_generator_next(generator, NULL, ANYSYNC_FOREVER) == ANYSYNC_DONE);
    VIRTUAL_CHECK(ran == came_to_end && ran <= 1);
    anysync_generator_unref(generator);
}

SCENE(generator_close_against_next, 2, 0)
{
    close_against_next(0);
}

SCENE(generator_close_against_reading_ahead, 2, 0)
{
    close_against_next(1);
}

/* Of two that ask at once one gets the item, the other -EBUSY or the next one. */
static int items[3];

static void take_one(void *who)
{
    int error = anysync_generator_next(generator, &items[(size_t)who], ANYSYNC_FOREVER);

    VIRTUAL_CHECK(error == 0 || error == -EBUSY);
    VIRTUAL_CHECK((items[(size_t)who] > 0) == (error == 0));
}

SCENE(two_ask_a_generator_at_once, 2, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_generator_new(&counter, NULL, NULL, &generator) == 0);
    int other = virtual_start(take_one, (void *)1);
    take_one((void *)0);
    virtual_join(other);
    int sum = items[0] + items[1];
    VIRTUAL_CHECK(sum == 1 || sum == 3);
    anysync_generator_unref(generator);
    VIRTUAL_CHECK(ran == 1 && came_to_end == 1);
}

/* Its loop ends under it. */
SCENE(generator_of_a_loop_that_ends, 1, 0)
{
    struct anysync_generator_options options = {.read_ahead = (uint32_t)virtual_choose(2)};
    int item = 0, error;

    open_executor();
    options.executor = executor;
    VIRTUAL_CHECK(anysync_generator_new(&counter, NULL, &options, &generator) == 0);
    int ender = virtual_start(shut_down_hard, NULL);
    while (!(error = anysync_generator_next(generator, &item, ANYSYNC_FOREVER)))
        ;
    VIRTUAL_CHECK(error == ANYSYNC_DONE || error == -ECANCELED);
    virtual_join(ender);
    anysync_generator_unref(generator);
    VIRTUAL_CHECK(ran == came_to_end && ran <= 1);
    anysync_executor_unref(executor);
}
