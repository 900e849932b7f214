/* SPDX-License-Identifier: MIT */
/*
 * Cancelling by hand: anysync_cancel() (include/anysync/future.h), contract C3: what it cuts.
 *
 * Promised                                    Tested by
 *   a task that did not begin never does        c3_a_task_that_did_not_begin_never_does
 *                                               c3_a_task_in_a_busy_workers_mailbox_never_begins
 *   each kind of wait returns -ECANCELED, cut   c3_each_wait_is_cut_by_another_thread
 *     by anybody, and all later ones do, too    c3_each_wait_is_cut_by_its_own_loop
 *     (level-triggered)                         c3_each_wait_is_cut_by_a_callback
 *   the running task                            c3_a_task_can_cancel_itself
 *   an awaited child has ended before the return c3_an_awaited_child_ends_before_its_parent_goes_on
 *   a nested run is no cancellation point       c3_a_nested_run_ends_before_the_cancel_is_seen
 *   what was waited for is untouched            c3_what_was_waited_for_is_untouched
 *
 * How a cancelled task ends, and races: test_cancel_ends.c.
 */
#include "harness.h"

#include <anysync/io.h>
#include <anysync/typed.h>

#include <errno.h>
#include <event2/event.h>
#include <semaphore.h>
#include <unistd.h>

/* What tasks wait for.  None of it ever comes. */
static struct scene {
    struct anysync_future *pending;
    struct anysync_executor *other;
    int pipe[2], sockets[2], listener;
    int children_begun, children_ended;
} scene;

static void open_scene(void)
{
    CHECK_EQ(anysync_future_new(sizeof(int), &scene.pending), 0);
    CHECK_EQ(anysync_executor_new(NULL, &scene.other), 0);
    CHECK_EQ(pipe(scene.pipe), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, scene.sockets), 0);
    scene.listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_GE(scene.listener, 0);
    CHECK_EQ(listen(scene.listener, 1), 0);
}

static void close_scene(void)
{
    CHECK(!anysync_future_done(scene.pending));
    scene.pending = anysync_future_unref(scene.pending);
    CHECK_EQ(anysync_executor_shutdown(scene.other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    scene.other = anysync_executor_unref(scene.other);
    for (int i = 0; i < 2; i++) {
        close(scene.pipe[i]);
        close(scene.sockets[i]);
    }
    close(scene.listener);
}

/* --- each kind of wait ------------------------------------------------------------------------ */

/* Counted on the loops that run it: the other executor's tasks are waited for by the first's. */
ANYSYNC_COROUTINE(void, child)
{
    scene.children_begun++;
    int error = anysync_sleep(ANYSYNC_FOREVER);
    int again = anysync_yield(); /* the clean-up takes a while */
    CHECK_EQ(again, -ECANCELED);
    scene.children_ended++;
    return error;
}

ANYSYNC_COROUTINE(void, parent)
{
    return child_await();
}

static int in_sleep(void)
{
    return anysync_sleep(ANYSYNC_FOREVER);
}

static int in_long_sleep(void)
{
    return anysync_sleep(anysync_in_seconds(3600));
}

static int in_yield(void)
{
    int error;

    do
        error = anysync_yield();
    while (error == 0);
    return error;
}

static int in_future_wait(void)
{
    return anysync_future_wait(scene.pending, ANYSYNC_FOREVER);
}

static int in_wait(void)
{
    int value = 5;
    int error = anysync_wait(scene.pending, &value, anysync_in_seconds(3600));

    CHECK_EQ(value, 5);
    return error;
}

static int in_wait_any(void)
{
    struct anysync_future *futures[] = {NULL, scene.pending, scene.pending};
    size_t index = 77;
    int error = anysync_wait_any(futures, 3, ANYSYNC_FOREVER, &index);

    CHECK_EQ(index, 77);
    return error;
}

static int in_wait_all(void)
{
    struct anysync_future *futures[] = {NULL, scene.pending};

    return anysync_wait_all(futures, 2, ANYSYNC_FOREVER);
}

static int in_wait_fd(void)
{
    return anysync_wait_fd(scene.pipe[0], ANYSYNC_READABLE, ANYSYNC_FOREVER);
}

static int in_pipe_read(void)
{
    char byte;

    return (int)anysync_read(scene.pipe[0], &byte, 1, ANYSYNC_FOREVER);
}

static int in_socket_read(void)
{
    char byte;

    return (int)anysync_read(scene.sockets[0], &byte, 1, anysync_in_seconds(3600));
}

static int in_accept(void)
{
    return anysync_accept(scene.listener, NULL, NULL, ANYSYNC_FOREVER);
}

static int in_await(void)
{
    return child_await();
}

static int in_await_of_await(void)
{
    return parent_await_until(anysync_in_seconds(3600));
}

static int in_run_on(void)
{
    return child_run_on(scene.other);
}

static const struct kind {
    const char *name;
    int (*wait)(void);
} kinds[] = {
        {"sleep", in_sleep},
        {"sleep until", in_long_sleep},
        {"yield", in_yield},
        {"future_wait", in_future_wait},
        {"wait", in_wait},
        {"wait_any", in_wait_any},
        {"wait_all", in_wait_all},
        {"wait_fd", in_wait_fd},
        {"read of a pipe", in_pipe_read},
        {"read of a socket", in_socket_read},
        {"accept", in_accept},
        {"await", in_await},
        {"await of an await", in_await_of_await},
        {"run_on", in_run_on},
};

enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

/* Waits in the kind given, until it is cancelled; from then on all other kinds have to say so. */
ANYSYNC_COROUTINE(int, waiter, (int, kind), (struct anysync_future *, begun))
{
    int error = anysync_future_set(begun, NULL);

    CHECK_EQ(error, 0);
    error = kinds[kind].wait();
    if (error != -ECANCELED)
        test_fail(TEST_HERE, "%s: %d instead of -ECANCELED", kinds[kind].name, error);
    CHECK_EQ(scene.children_begun, scene.children_ended);
    for (int i = 0; i < KINDS; i++) {
        int begun_before = scene.children_begun;
        error = kinds[i].wait();
        if (error != -ECANCELED)
            test_fail(TEST_HERE, "%s later: %d instead of -ECANCELED", kinds[i].name, error);
        CHECK_EQ(anysync_last_error()->code, -ECANCELED);
        CHECK_EQ(scene.children_begun, scene.children_ended);
        if (kinds[i].wait != in_run_on) /* another loop may be fast enough to begin it */
            CHECK_EQ(scene.children_begun, begun_before);
    }
    *result = kind;
    return error;
}

static void check_cancelled(waiter_future *task)
{
    int value = -1;

    CHECK_EQ(waiter_wait(task, &value, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    CHECK_EQ(value, -1);
    waiter_drop(task);
}

static struct anysync_future *new_event(void)
{
    struct anysync_future *event;

    CHECK_EQ(anysync_future_new(0, &event), 0);
    return event;
}

/* The worker gets to the cancel only when the task has suspended. */
TEST(c3_each_wait_is_cut_by_another_thread)
{
    open_scene();
    for (int i = 0; i < KINDS; i++) {
        struct anysync_future *begun = new_event();
        waiter_future task;
        CHECK_EQ(waiter_start(&task, i, begun), 0);
        CHECK_EQ(anysync_wait(begun, NULL, ANYSYNC_FOREVER), 0);
        CHECK_EQ(waiter_cancel(&task), 0);
        check_cancelled(&task);
        anysync_future_unref(begun);
    }
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    close_scene();
}

ANYSYNC_COROUTINE(void, cut_by_own_loop)
{
    int error = 0;

    for (int i = 0; i < KINDS; i++) {
        struct anysync_future *begun = new_event();
        waiter_future task;
        CHECK_EQ(waiter_start(&task, i, begun), 0);
        for (int turn = 0; turn < 3; turn++) { /* it suspends, and so do its child and grandchild */
            error = anysync_yield();
            CHECK_EQ(error, 0);
        }
        CHECK(anysync_future_done(begun));
        CHECK_EQ(waiter_cancel(&task), 0);
        check_cancelled(&task);
        anysync_future_unref(begun);
    }
    return error;
}

TEST(c3_each_wait_is_cut_by_its_own_loop)
{
    open_scene();
    CHECK_EQ(cut_by_own_loop_run_here(), 0);
    CHECK_EQ(cut_by_own_loop_run(), 0);
    close_scene();
}

static void cancel_in_callback(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    CHECK_EQ(waiter_cancel(argument), 0);
}

ANYSYNC_COROUTINE(void, cut_by_callback)
{
    int error = 0;

    for (int i = 0; i < KINDS; i++) {
        struct anysync_future *begun = new_event();
        waiter_future task;
        CHECK_EQ(waiter_start(&task, i, begun), 0);
        error = anysync_wait(begun, NULL, ANYSYNC_FOREVER);
        CHECK_EQ(error, 0);
        struct event_base *base = anysync_event_base();
        CHECK(base != NULL);
        CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, cancel_in_callback, &task, NULL), 0);
        check_cancelled(&task);
        anysync_future_unref(begun);
    }
    return error;
}

TEST(c3_each_wait_is_cut_by_a_callback)
{
    open_scene();
    CHECK_EQ(cut_by_callback_run_here(), 0);
    CHECK_EQ(cut_by_callback_run(), 0);
    close_scene();
}

/* --- before it begins ------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, never, (int *, begun))
{
    ++*begun;
    *result = 1;
    return 0;
}

ANYSYNC_COROUTINE(void, cancel_at_once, (int *, begun))
{
    never_future task;
    int value = -1;

    CHECK_EQ(never_start(&task, begun), 0);
    CHECK_EQ(never_cancel(&task), 0);
    CHECK_EQ(never_wait(&task, &value, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(value, -1);
    never_drop(&task);
    return 0;
}

TEST(c3_a_task_that_did_not_begin_never_does)
{
    int begun = 0;

    CHECK_EQ(cancel_at_once_run(&begun), 0);
    CHECK_EQ(cancel_at_once_run_here(&begun), 0);
    CHECK_EQ(begun, 0);
}

/* Blocks its loop's thread until it is let go. */
ANYSYNC_COROUTINE(void, block, (sem_t *, until))
{
    while (sem_wait(until) != 0)
        CHECK_EQ(errno, EINTR);
    return 0;
}

TEST(c3_a_task_in_a_busy_workers_mailbox_never_begins)
{
    int begun = 0, value = -1;
    sem_t until;
    block_future blocker;
    never_future task;

    CHECK_EQ(sem_init(&until, 0, 0), 0);
    CHECK_EQ(block_start(&blocker, &until), 0);
    CHECK_EQ(never_start(&task, &begun), 0);
    CHECK_EQ(never_cancel(&task), 0);
    sem_post(&until);
    CHECK_EQ(never_wait(&task, &value, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(block_wait(&blocker, ANYSYNC_FOREVER), 0);
    CHECK_EQ(begun, 0);
    never_drop(&task);
    block_drop(&blocker);
}

/* --- itself, its children, nested ------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, ends_itself, (struct anysync_future **, self))
{
    int error = anysync_yield(); /* until `self` is filled in */

    CHECK_EQ(error, 0);
    CHECK_EQ(anysync_cancel(*self), 0);
    *result = 1;
    return anysync_sleep(ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, watch_it_end)
{
    ends_itself_future self;

    CHECK_EQ(ends_itself_start(&self, &self.future), 0);
    CHECK_EQ(ends_itself_wait(&self, NULL, ANYSYNC_FOREVER), -ECANCELED);
    ends_itself_drop(&self);
    return 0;
}

TEST(c3_a_task_can_cancel_itself)
{
    CHECK_EQ(watch_it_end_run_here(), 0);
    CHECK_EQ(watch_it_end_run(), 0);
}

ANYSYNC_COROUTINE(void, sees_child_end)
{
    int error = parent_await();

    CHECK_EQ(error, -ECANCELED);
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
    CHECK_CONTAINS(anysync_last_error()->message, "the caller was cancelled");
    CHECK_EQ(scene.children_begun, 1);
    CHECK_EQ(scene.children_ended, 1);
    return error;
}

ANYSYNC_COROUTINE(void, cancels_the_parent)
{
    sees_child_end_future task;
    int error = sees_child_end_start(&task);

    CHECK_EQ(error, 0);
    for (int turn = 0; turn < 3; turn++) {
        error = anysync_yield();
        CHECK_EQ(error, 0);
    }
    CHECK_EQ(scene.children_begun, 1);
    CHECK_EQ(sees_child_end_cancel(&task), 0);
    CHECK_EQ(sees_child_end_wait(&task, ANYSYNC_FOREVER), -ECANCELED);
    sees_child_end_drop(&task);
    return 0;
}

TEST(c3_an_awaited_child_ends_before_its_parent_goes_on)
{
    CHECK_EQ(cancels_the_parent_run_here(), 0);
}

ANYSYNC_COROUTINE(int, runs_nested, (sem_t *, until), (struct anysync_future *, begun))
{
    int error = anysync_future_set(begun, NULL);

    CHECK_EQ(error, 0);
    error = block_run(until);
    CHECK_EQ(error, 0); /* it was asked meanwhile, but nothing suspended */
    *result = 1;
    return anysync_yield();
}

TEST(c3_a_nested_run_ends_before_the_cancel_is_seen)
{
    struct anysync_future *begun = new_event();
    runs_nested_future task;
    sem_t until;

    CHECK_EQ(sem_init(&until, 0, 0), 0);
    CHECK_EQ(runs_nested_start(&task, &until, begun), 0);
    CHECK_EQ(anysync_wait(begun, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(runs_nested_cancel(&task), 0);
    sem_post(&until);
    CHECK_EQ(runs_nested_wait(&task, NULL, ANYSYNC_FOREVER), -ECANCELED);
    runs_nested_drop(&task);
    anysync_future_unref(begun);
}

TEST(c3_what_was_waited_for_is_untouched)
{
    char byte = 'x', got = 0;
    int value = 6;

    open_scene();
    for (int i = 0; i < KINDS; i++) {
        struct anysync_future *begun = new_event();
        waiter_future task;
        CHECK_EQ(waiter_start(&task, i, begun), 0);
        CHECK_EQ(anysync_wait(begun, NULL, ANYSYNC_FOREVER), 0);
        CHECK_EQ(waiter_cancel(&task), 0);
        check_cancelled(&task);
        anysync_future_unref(begun);
    }
    CHECK_EQ(write(scene.pipe[1], &byte, 1), 1);
    CHECK_EQ(anysync_read(scene.pipe[0], &got, 1, ANYSYNC_FOREVER), 1);
    CHECK_EQ(got, byte);
    CHECK_EQ(anysync_future_result(scene.pending, &value), -EAGAIN);
    struct anysync_future *pending = anysync_future_ref(scene.pending);
    close_scene();
    CHECK_EQ(anysync_future_set(pending, &value), 0);
    CHECK_EQ(anysync_wait(pending, &value, ANYSYNC_FOREVER), 0);
    anysync_future_unref(pending);
}
