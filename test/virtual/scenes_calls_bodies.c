/* SPDX-License-Identifier: MIT */
/*
 * More of the calls that wait (scenes_calls.h): those with a body of their own, generators,
 * managers, groups; and callbacks, timers, shutdowns.
 */
#include "scenes_calls.h"

static int wait_body(void *argument, void *result)
{
    (void)argument;
    scene_begun++;
    int error = anysync_wait(scene_ready, result, ANYSYNC_FOREVER);
    scene_ended++;
    return error;
}

static const struct anysync_function waiter = ANYSYNC_FUNCTION(waiter, wait_body, 0, sizeof(int));

/* --- generators ------------------------------------------------------------------------------- */

static int items_body(struct anysync_generator *self, void *argument)
{
    struct anysync_scope shield;
    int value = 1;

    (void)argument;
    scene_begun++;
    int error = anysync_generator_yield(self, &value, NULL);
    if (!error)
        error = anysync_wait(scene_ready, &value, ANYSYNC_FOREVER);
    if (!error)
        error = anysync_generator_yield(self, &value, NULL);
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_yield() == 0); /* its clean-up is not cut */
    VIRTUAL_CHECK(anysync_scope_exit(&shield, 0) == 0);
    scene_ended++;
    return error;
}

static const struct anysync_generator_function items =
        ANYSYNC_GENERATOR_FUNCTION(items, items_body, 0, sizeof(int), 0);

/* All items, or a code; one that came late is there for who asks again. */
static int take_items(const struct anysync_generator_options *options, anysync_time deadline)
{
    struct anysync_generator *generator;
    int error, item, sum = 0;

    VIRTUAL_CHECK(anysync_generator_new(&items, NULL, options, &generator) == 0);
    while (!(error = anysync_generator_next(generator, &item, deadline)))
        sum += item;
    if (error == -ETIMEDOUT) {
        int again;
        while (!(again = anysync_generator_next(generator, &item, ANYSYNC_FOREVER)))
            sum += item;
        VIRTUAL_CHECK(again == ANYSYNC_DONE || again == -ECANCELED);
        if (again == -ECANCELED)
            error = again;
    }
    VIRTUAL_CHECK(error == -ECANCELED || sum == 1 + SCENE_VALUE);
    VIRTUAL_CHECK(anysync_generator_unref(generator) == NULL);
    VIRTUAL_CHECK(scene_begun == scene_ended);
    return error == ANYSYNC_DONE ? 0 : error;
}

static int call_generator(anysync_time deadline)
{
    return take_items(NULL, deadline);
}

const struct scene_call scene_call_generator = {
        scene_open_ready, call_generator, scene_set_ready, NULL, scene_close_ready, .callers = 1};

static int call_reading_ahead(anysync_time deadline)
{
    struct anysync_generator_options options = {.read_ahead = 1};

    return take_items(&options, deadline);
}

const struct scene_call scene_call_reading_ahead = {scene_open_ready, call_reading_ahead,
        scene_set_ready, NULL, scene_close_ready, .callers = 1};

static struct anysync_executor *elsewhere;

static void open_elsewhere(void)
{
    struct anysync_executor_options options = {
            .spin = ANYSYNC_SPIN_NEVER, .stack_size = 16384, .grace_ns = ANYSYNC_FOREVER};

    scene_open_ready();
    VIRTUAL_CHECK(anysync_executor_new(&options, &elsewhere) == 0);
}

static void close_elsewhere(void)
{
    size_t left = 7;

    VIRTUAL_CHECK(anysync_executor_shutdown(elsewhere, ANYSYNC_DRAIN, ANYSYNC_FOREVER, &left) == 0);
    VIRTUAL_CHECK(left == 0);
    anysync_executor_unref(elsewhere);
    scene_close_ready();
}

static int call_far_generator(anysync_time deadline)
{
    struct anysync_generator_options options = {.executor = elsewhere};

    return take_items(&options, deadline);
}

const struct scene_call scene_call_far_generator = {
        open_elsewhere, call_far_generator, scene_set_ready, NULL, close_elsewhere, .callers = 1};

/* The body's clean-up takes until `scene_ready` is set: close waits for it, and unref however long
 * that takes. */
static int slow_body(struct anysync_generator *self, void *argument)
{
    struct anysync_scope shield;
    int value = 1;

    (void)argument;
    scene_begun++;
    int error = anysync_generator_yield(self, &value, NULL);
    VIRTUAL_CHECK(error == -ECANCELED);
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_wait(scene_ready, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_scope_exit(&shield, 0) == 0);
    scene_ended++;
    return error;
}

static const struct anysync_generator_function slow =
        ANYSYNC_GENERATOR_FUNCTION(slow, slow_body, 0, sizeof(int), 0);

static int call_generator_close(anysync_time deadline)
{
    struct anysync_generator *generator;
    int item = 0;

    VIRTUAL_CHECK(anysync_generator_new(&slow, NULL, NULL, &generator) == 0);
    int error = anysync_generator_next(generator, &item, ANYSYNC_FOREVER);
    if (!error)
        error = anysync_generator_close(generator, deadline);
    VIRTUAL_CHECK(error || scene_ended == 1);
    VIRTUAL_CHECK(anysync_generator_unref(generator) == NULL);
    VIRTUAL_CHECK(scene_begun == scene_ended);
    return error;
}

const struct scene_call scene_call_generator_close = {scene_open_ready, call_generator_close,
        scene_set_ready, NULL, scene_close_ready, .callers = 1, .stays = true};

/* --- managers --------------------------------------------------------------------------------- */

static int set_up, cleaned_up;

static int enter(void *self, void *ret_value)
{
    (void)self;
    int error = anysync_wait(scene_ready, ret_value, ANYSYNC_FOREVER);
    set_up += error == 0;
    return error;
}

static int leave(void *self, int error)
{
    (void)self;
    int cut = anysync_yield();
    VIRTUAL_CHECK(cut == 0); /* whatever happens to the caller, the clean-up is not cut */
    cleaned_up++;
    return error;
}

static const struct anysync_manager_type managed =
        ANYSYNC_MANAGER_TYPE(managed, sizeof(int), enter, leave);

static int call_manager(anysync_time deadline)
{
    struct anysync_manager *manager;
    int value = 0;

    VIRTUAL_CHECK(anysync_manager_new(&managed, NULL, &manager) == 0);
    int error = anysync_manager_enter(manager, &value, deadline);
    if (!error) {
        error = anysync_yield(); /* the block */
        VIRTUAL_CHECK(anysync_manager_exit(manager, error, ANYSYNC_FOREVER) == error);
        VIRTUAL_CHECK(value == SCENE_VALUE && set_up == 1 && cleaned_up == 1);
    }
    anysync_manager_unref(manager);
    VIRTUAL_CHECK(set_up == cleaned_up);
    return error;
}

const struct scene_call scene_call_manager = {
        scene_open_ready, call_manager, scene_set_ready, NULL, scene_close_ready, .callers = 1};

/* --- groups ----------------------------------------------------------------------------------- */

static int call_group(anysync_time deadline)
{
    struct anysync_group *group;
    struct anysync_future *child = NULL;
    int value = 0;

    VIRTUAL_CHECK(anysync_group_open(&group) == 0);
    int error = anysync_group_spawn(group, &waiter, NULL, &child);
    error = anysync_group_close(group, error, deadline);
    VIRTUAL_CHECK(scene_begun == scene_ended);
    if (child) {
        VIRTUAL_CHECK(anysync_future_done(child));
        if (anysync_slot_ready(child))
            VIRTUAL_CHECK(anysync_slot_result(child, &value) == 0);
        anysync_future_unref(child);
    }
    VIRTUAL_CHECK(error || value == SCENE_VALUE);
    return error;
}

const struct scene_call scene_call_group = {
        scene_open_ready, call_group, scene_set_ready, NULL, scene_close_ready, .callers = 1};

static int start_body(void *argument, void *result)
{
    int value;

    (void)argument;
    (void)result;
    scene_begun++;
    int error = anysync_wait(scene_ready, &value, ANYSYNC_FOREVER);
    if (!error)
        error = anysync_started(&value, sizeof(value));
    scene_ended++;
    return error < 0 ? error : 0;
}

static const struct anysync_function starter = ANYSYNC_FUNCTION(starter, start_body, 0, 0);

static int call_group_start(anysync_time deadline)
{
    struct anysync_group *group;
    int value = 0;

    VIRTUAL_CHECK(anysync_group_open(&group) == 0);
    int error = anysync_group_start(group, &starter, NULL, &value, sizeof(value), NULL, deadline);
    (void)scene_one_of_both(error, value);
    int closed = anysync_group_close(group, 0, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(closed == 0 || closed == -ECANCELED);
    VIRTUAL_CHECK(scene_begun == scene_ended);
    return error ? error : closed;
}

const struct scene_call scene_call_group_start = {
        scene_open_ready, call_group_start, scene_set_ready, NULL, scene_close_ready, .callers = 1};

/* --- callbacks, timers, shutdowns ------------------------------------------------------------- */

static struct anysync_future *called;
static int registered, calls;

static void on_done(struct anysync_future *future, void *argument)
{
    int value = 0;

    VIRTUAL_CHECK(argument == &calls && ++calls == 1);
    VIRTUAL_CHECK(future == scene_ready);
    VIRTUAL_CHECK(anysync_future_result(future, &value) == 0 && value == SCENE_VALUE);
    VIRTUAL_CHECK(anysync_future_set(called, NULL) == 0);
}

static void open_callback(void)
{
    scene_open_ready();
    VIRTUAL_CHECK(anysync_future_new(0, &called) == 0);
}

static int call_callback(anysync_time deadline)
{
    VIRTUAL_CHECK(anysync_future_on_done(scene_ready, on_done, &calls) == 0);
    registered = 1;
    int error = anysync_future_wait(called, deadline);
    VIRTUAL_CHECK(error || calls == 1);
    return error;
}

static void settle_callback(void)
{
    VIRTUAL_CHECK(!registered || anysync_future_wait(called, ANYSYNC_FOREVER) == 0);
}

static void close_callback(void)
{
    VIRTUAL_CHECK(calls == registered);
    scene_close_ready();
    anysync_future_unref(called);
}

const struct scene_call scene_call_callback = {open_callback, call_callback, scene_set_ready,
        settle_callback, close_callback, .callers = 1};

static struct anysync_future *timed;
static anysync_time due;

static int call_timer(anysync_time deadline)
{
    due = scene_unfed ? ANYSYNC_FOREVER : anysync_in_us(1);
    VIRTUAL_CHECK(anysync_future_at(due, &timed) == 0);
    int error = anysync_wait(timed, NULL, deadline);
    VIRTUAL_CHECK(error || anysync_now() >= due);
    return error;
}

static void settle_timer(void)
{
    if (!timed)
        return;
    if (due == ANYSYNC_FOREVER) {
        scene_set_done(timed);
        return;
    }
    VIRTUAL_CHECK(anysync_wait(timed, NULL, ANYSYNC_FOREVER) == 0 && anysync_now() >= due);
    anysync_future_unref(timed);
}

const struct scene_call scene_call_timer = {
        .call = call_timer, .settle = settle_timer, .callers = 1};

static void open_shutdown(void)
{
    open_elsewhere();
    VIRTUAL_CHECK(anysync_spawn_on(elsewhere, &waiter, NULL, NULL) == 0);
}

static int call_shutdown(anysync_time deadline)
{
    size_t left = 7;
    int error = anysync_executor_shutdown(elsewhere, ANYSYNC_DRAIN, deadline, &left);

    VIRTUAL_CHECK(error ? left <= 1 : left == 0 && scene_ended == 1);
    return error;
}

const struct scene_call scene_call_shutdown = {
        open_shutdown, call_shutdown, scene_set_ready, NULL, close_elsewhere, .callers = 1};
