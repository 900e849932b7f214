/* SPDX-License-Identifier: MIT */
/*
 * Contract H5, H6: the way back from a job to the loop it came from.
 *
 * Promised                                       Tested by
 *   H5  on the loop it came from, same thread      h5_runs_on_the_loop_it_came_from
 *       with value, error, context variables       h5_values_and_errors_come_back
 *       from a job of a job too                    h5_a_job_of_a_job_has_the_same_loop
 *       from a callback's job too                  h5_a_job_of_a_callback_goes_back_too
 *       no loop: it says what to do                h5_without_a_loop_it_says_what_to_do
 *       or runs here                               h5_or_here_runs_here_without_a_loop
 *       a loop that has ended                      h5_a_loop_that_has_ended_refuses
 *       and that was used again by another         h5_a_loop_that_is_used_again_is_another
 *       a loop that is cancelled                   h5_a_loop_that_is_cancelled_refuses
 *       a loop that is blocked by it               h5_a_loop_that_waits_for_the_job_is_told
 *       a deadline                                 h5_a_deadline_ends_the_task
 *       a cancel of the job                        h5_a_cancel_of_the_job_ends_its_task
 *       blocking functions have no need            h5_a_blocking_function_is_refused
 *       nothing lost without memory                h5_no_memory_to_go_back
 *       in a forked child                          h5_a_forked_job_has_no_loop
 *       while loops come and go                    h5_stress_late_jobs_never_meet_another_loop
 *   H6  run_here inside a coroutine says so        h6_run_here_in_a_coroutine_says_so
 */
#include "fault.h"
#include "worlds.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

ANYSYNC_COROUTINE(unsigned, where)
{
    CHECK(anysync_in_coroutine());
    *result = anysync_thread_serial();
    return anysync_yield();
}

ANYSYNC_VAR(int, depth, 0);

ANYSYNC_COROUTINE(int, deeper, (int, more))
{
    *result = depth_get() + more;
    CHECK_EQ(depth_set(100, NULL), 0);
    return more < 0 ? anysync_fail(-EDOM, "%d is not deeper", more) : 0;
}

ANYSYNC_BLOCKING(unsigned, where_back)
{
    return where_run_back(result);
}

/* --- H5 --------------------------------------------------------------------------------------- */

static void check_same_thread(void)
{
    unsigned serial = 0;

    CHECK_EQ(where_back(&serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    serial = 0;
    CHECK_EQ(where_back_offload(NULL, &serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_EQ(anysync_await(&where_back_function, NULL, &serial, ANYSYNC_FOREVER), 0);
    CHECK_EQ(serial, anysync_thread_serial());
}

TEST(h5_runs_on_the_loop_it_came_from)
{
    in_worlds(IN_COROUTINES, check_same_thread);
}

ANYSYNC_BLOCKING(void, goes_deeper)
{
    int depth_there = 0;

    CHECK_EQ(depth_get(), 1);
    CHECK_EQ(depth_set(2, NULL), 0);
    CHECK_EQ(deeper_run_back(&depth_there, 5), 0);
    CHECK_EQ(depth_there, 7);
    CHECK_EQ(depth_get(), 2);
    CHECK_EQ(deeper_run_back(&depth_there, -1), -EDOM);
    CHECK_STR(anysync_last_error()->message, "-1 is not deeper");
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    CHECK_EQ(deeper_run_back_until(&depth_there, 0, anysync_in_seconds(60)), 0);
    return 0;
}

static void check_values(void)
{
    CHECK_EQ(depth_set(1, NULL), 0);
    CHECK_EQ(goes_deeper(), 0);
    CHECK_EQ(depth_get(), 1);
}

TEST(h5_values_and_errors_come_back)
{
    in_worlds(IN_COROUTINES, check_values);
}

ANYSYNC_BLOCKING(unsigned, nested_where_back)
{
    return where_back_offload(NULL, result);
}

static void check_nested(void)
{
    unsigned serial = 0;

    CHECK_EQ(nested_where_back(&serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
}

TEST(h5_a_job_of_a_job_has_the_same_loop)
{
    in_worlds(IN_COROUTINES, check_nested);
}

static where_back_future of_callback;

static void on_callback(evutil_socket_t fd, short events, void *argument)
{
    (void)fd;
    (void)events;
    CHECK_EQ(where_back_start(&of_callback), 0);
    open_gate(argument);
}

ANYSYNC_COROUTINE(void, calls_back)
{
    struct anysync_future *gate = new_gate();
    unsigned serial = 0;

    CHECK_EQ(event_base_once(anysync_event_base(), -1, EV_TIMEOUT, on_callback, gate, NULL), 0);
    pass_gate(gate);
    CHECK_EQ(where_back_wait(&of_callback, &serial, ANYSYNC_FOREVER), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    where_back_drop(&of_callback);
    anysync_future_unref(gate);
    return 0;
}

TEST(h5_a_job_of_a_callback_goes_back_too)
{
    CHECK_EQ(calls_back_run(), 0);
    CHECK_EQ(calls_back_run_here(), 0);
}

TEST(h5_without_a_loop_it_says_what_to_do)
{
    unsigned serial = 0;

    CHECK_EQ(where_run_back(&serial), -EPERM);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_run()");
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_run_back_or_here()");
    CHECK_EQ(where_back_offload(NULL, &serial), -EPERM);
    CHECK_CONTAINS(anysync_last_error()->message, "outside of any loop");
    CHECK_EQ(serial, 0);
}

ANYSYNC_BLOCKING(unsigned, where_back_or_here, (unsigned *, ret_own))
{
    *ret_own = anysync_thread_serial();
    return anysync_run_back_or_here(&where_function, NULL, result, ANYSYNC_FOREVER);
}

static void check_back_not_here(void)
{
    unsigned serial = 0, own = 0;

    CHECK_EQ(where_back_or_here(&serial, &own), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_NE(serial, own);
}

TEST(h5_or_here_runs_here_without_a_loop)
{
    unsigned serial = 0, own = 0;

    CHECK_EQ(anysync_run_back_or_here(&where_function, NULL, &serial, ANYSYNC_FOREVER), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_EQ(where_back_or_here_offload(NULL, &serial, &own), 0);
    CHECK_EQ(serial, own);
    CHECK_NE(own, anysync_thread_serial());
    in_worlds(IN_COROUTINES, check_back_not_here);
}

/* --- loops that end --------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(unsigned, late, (struct anysync_future *, gate))
{
    pass_gate(gate);
    return where_run_back(result);
}

ANYSYNC_COROUTINE(void, leaves_a_job, (late_future *, soon), (struct anysync_future *, gate))
{
    return late_start(soon, gate);
}

TEST(h5_a_loop_that_has_ended_refuses)
{
    struct anysync_future *gate = new_gate();
    struct anysync_executor *executor = NULL;
    late_future soon;

    CHECK_EQ(leaves_a_job_run_here(&soon, gate), 0);
    open_gate(gate);
    CHECK_EQ(late_wait(&soon, NULL, ANYSYNC_FOREVER), -ESHUTDOWN);
    CHECK_CONTAINS(anysync_last_error()->message, "has ended");
    late_drop(&soon);
    anysync_future_unref(gate);

    gate = new_gate();
    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(leaves_a_job_run_on(executor, &soon, gate), 0);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    open_gate(gate);
    CHECK_EQ(late_wait(&soon, NULL, ANYSYNC_FOREVER), -ESHUTDOWN);
    late_drop(&soon);
    anysync_executor_unref(executor);
    anysync_future_unref(gate);
}

ANYSYNC_COROUTINE(void, sees_a_late_job, (late_future *, soon), (struct anysync_future *, gate))
{
    uint64_t before = anysync_tasks_started();

    open_gate(gate);
    CHECK_EQ(late_wait(soon, NULL, ANYSYNC_FOREVER), -ESHUTDOWN);
    CHECK_EQ(anysync_tasks_started(), before);
    return 0;
}

TEST(h5_a_loop_that_is_used_again_is_another)
{
    struct anysync_future *gate = new_gate();
    late_future soon;

    CHECK_EQ(leaves_a_job_run_here(&soon, gate), 0);
    CHECK_EQ(sees_a_late_job_run_here(&soon, gate), 0); /* the same record */
    late_drop(&soon);
    anysync_future_unref(gate);
}

/* Cancelled, it has to wait for its job all the same. */
ANYSYNC_COROUTINE(void, awaits_late, (struct anysync_future *, begun),
        (struct anysync_future *, gate), (int *, ret_of_job))
{
    ANYSYNC_SCOPED_FUTURE(late, soon);

    CHECK_EQ(late_start(&soon, gate), 0);
    open_gate(begun);
    int error = late_wait(&soon, NULL, ANYSYNC_FOREVER);
    CHECK_EQ(error, -ECANCELED);
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        open_gate(gate);
        *ret_of_job = late_wait(&soon, NULL, ANYSYNC_FOREVER);
    }
    return error;
}

TEST(h5_a_loop_that_is_cancelled_refuses)
{
    struct anysync_future *begun = new_gate(), *gate = new_gate();
    struct anysync_executor *executor = NULL;
    int of_job = 0;
    ANYSYNC_SCOPED_FUTURE(awaits_late, soon);

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(awaits_late_start_on(executor, &soon, begun, gate, &of_job), 0);
    pass_gate(begun);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(of_job, -ESHUTDOWN);
    anysync_executor_unref(executor);
    anysync_future_unref(begun);
    anysync_future_unref(gate);
}

static void check_blocked_loop(void)
{
    unsigned serial = 0;

    CHECK_EQ(anysync_run(&where_back_function, NULL, &serial, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_await()");
}

TEST(h5_a_loop_that_waits_for_the_job_is_told)
{
    in_worlds(IN_COROUTINES, check_blocked_loop);
}

/* --- cut short -------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, sleeps, (atomic_int *, ended), (struct anysync_future *, begun))
{
    if (begun)
        open_gate(begun);
    int error = anysync_sleep(ANYSYNC_FOREVER);

    atomic_store(ended, 1);
    return error;
}

ANYSYNC_BLOCKING(void, sleeps_back, (atomic_int *, ended), (struct anysync_future *, begun),
        (anysync_time, deadline))
{
    return sleeps_run_back_until(ended, begun, deadline);
}

static void check_deadline(void)
{
    atomic_int ended = 0;

    for (int wait_ms = 1; !atomic_load(&ended); wait_ms *= 2) /* perhaps it comes too late */
        CHECK_EQ(sleeps_back(&ended, NULL, anysync_in_ms(wait_ms)), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&ended), 1);
}

TEST(h5_a_deadline_ends_the_task)
{
    in_worlds(IN_COROUTINES, check_deadline);
}

/* Nobody but the cancel ends the task that the job waits for. */
static void check_cancel(void)
{
    struct anysync_future *begun = new_gate();
    atomic_int ended = 0;
    ANYSYNC_SCOPED_FUTURE(sleeps_back, soon);

    CHECK_EQ(sleeps_back_start(&soon, &ended, begun, ANYSYNC_FOREVER), 0);
    pass_gate(begun);
    CHECK_EQ(sleeps_back_cancel(&soon), 0);
    CHECK_EQ(sleeps_back_wait(&soon, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(atomic_load(&ended), 1);
    anysync_future_unref(begun);
}

TEST(h5_a_cancel_of_the_job_ends_its_task)
{
    in_worlds(IN_COROUTINES, check_cancel);
}

ANYSYNC_BLOCKING(void, runs_blocking_back)
{
    unsigned serial = 0;

    CHECK_EQ(anysync_run_back(&where_back_function, NULL, &serial, ANYSYNC_FOREVER), -EINVAL);
    return 0;
}

static void check_refused(void)
{
    CHECK_EQ(runs_blocking_back(), 0);
}

TEST(h5_a_blocking_function_is_refused)
{
    in_worlds(IN_COROUTINES, check_refused);
}

ANYSYNC_BLOCKING(void, goes_back_without_memory)
{
    for (int nth = 1;; nth++) {
        unsigned serial = 0;
        fault_fail(FAULT_ANY, nth, false);
        int error = where_run_back(&serial);
        bool reached = fault_failed(FAULT_ANY) > 0;
        fault_clear();
        CHECK(error == 0 || error == -ENOMEM);
        CHECK_EQ(where_run_back(&serial), 0);
        CHECK_NE(serial, 0);
        if (!reached)
            return 0;
    }
}

static void check_no_memory(void)
{
    CHECK_EQ(goes_back_without_memory(), 0);
}

TEST(h5_no_memory_to_go_back)
{
    in_worlds(IN_COROUTINES, check_no_memory);
}

static int in_child(void *argument)
{
    unsigned serial = 0;

    (void)argument;
    CHECK_EQ(where_run_back(&serial), -EOWNERDEAD);
    CHECK_EQ(where_run(&serial), 0); /* a fresh worker */
    _exit(0);
}

ANYSYNC_BLOCKING(void, forks)
{
    struct test_child child = test_child(in_child, NULL);

    CHECK_STR(child.errors, "");
    CHECK(child.exited && child.status == 0);
    free(child.errors);
    return 0;
}

static void check_fork(void)
{
    test_forks_among_threads();
    CHECK_EQ(forks(), 0);
}

TEST(h5_a_forked_job_has_no_loop)
{
    in_worlds(WORKER, check_fork);
}

static void leave_jobs(void *argument, int index)
{
    enum { LEFT = 4 };
    long rounds = *(long *)argument;
    late_future soon[LEFT];

    (void)index;
    for (long i = 0; i < rounds; i++) {
        struct anysync_future *gate = new_gate();
        for (int j = 0; j < LEFT; j++)
            CHECK_EQ(leaves_a_job_run_here(&soon[j], gate), 0);
        CHECK_EQ(sees_a_late_job_run_here(&soon[0], gate), 0);
        for (int j = 0; j < LEFT; j++) {
            CHECK_EQ(late_wait(&soon[j], NULL, ANYSYNC_FOREVER), -ESHUTDOWN);
            late_drop(&soon[j]);
        }
        anysync_future_unref(gate);
    }
}

TEST(h5_stress_late_jobs_never_meet_another_loop)
{
    long rounds = test_scaled(100);

    test_together(3, leave_jobs, &rounds);
}

/* --- H6 --------------------------------------------------------------------------------------- */

static void check_run_here(void)
{
    unsigned serial = 0;

    CHECK_EQ(where_run_here(&serial), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "runs a loop already");
    CHECK_EQ(anysync_run_here(&where_back_function, NULL, &serial, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_await()");
}

TEST(h6_run_here_in_a_coroutine_says_so)
{
    in_worlds(IN_COROUTINES, check_run_here);
}
