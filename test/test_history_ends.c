/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* setitimer */
/*
 * Bugs of other runtimes, provoked here: calls within calls, shutdowns, cancels and exits that
 * hung, spun, or lost something.  Each test says what went wrong elsewhere, and how it is
 * brought about.  (The others: test_history_*.)
 *
 * Promised                                             Tested by (each begins with history_)
 *   calls nest, from thread to loop and back             06_nested_calls_of_both_kinds
 *   a shutdown waits for nobody who waits for the loop   07_shutdown_with_a_job_that_needs_the_loop
 *   a submission runs, or says no                        08_submissions_race_the_shutdown
 *   a cancel and a value at once: neither is lost        09_cancel_ties_with_completion
 *   a cancel that is refused costs no processor          10_a_refused_cancel_does_not_spin
 *   a cancel after the stop is heard                     11_cancel_after_the_stop
 *   a process ends whatever is under way                 15_exit_with_work_under_way
 *   cancelling a timer waits for no callback             16_cancel_while_the_callback_runs
 */
#include "worlds.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct anysync_executor *new_executor(void)
{
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    return executor;
}

ANYSYNC_COROUTINE(int, add_one, (int, n))
{
    *result = n + 1;
    return 0;
}

/* --- 6 ---------------------------------------------------------------------------------------- */

/* MIX: which of three ways in comes where; 0: the worker is not among them. */
ANYSYNC_COROUTINE_DECLARE(int, outwards, (int, depth), (int, mix));

ANYSYNC_BLOCKING(int, inwards, (int, depth), (int, mix))
{
    int way = (depth + mix) % 3, below = 0, error = 0;

    if (depth > 0 && way == 0)
        error = outwards_run_here(&below, depth - 1, mix);
    else if (depth > 0 && way == 1 && mix > 0)
        error = outwards_run(&below, depth - 1, mix);
    else if (depth > 0)
        error = outwards_run_back_or_here(&below, depth - 1, mix);
    *result = below + 1;
    return error;
}

ANYSYNC_COROUTINE_DEFINE(int, outwards, (int, depth), (int, mix))
{
    int below = 0, error = 0;

    if (depth > 0 && depth % 4 == 0)
        error = outwards_run(&below, depth - 1, mix); /* blocks the loop */
    else if (depth > 0)
        error = inwards(&below, depth - 1, mix);
    *result = below + 1;
    return error;
}

/*
 * asgiref #249, #348, synchronicity #37: a thread called a loop that called a thread that called
 * the first loop, which waited for it: nobody moved again.  Here such chains, 24 deep, in all mixes
 * of the ways in and out, from each world.  One that asks for a worker which a link before it has
 * blocked could never end: it is told so.
 */
static void check_chains(void)
{
    int depth = 0;

    CHECK_EQ(outwards_run(&depth, 24, 0), 0);
    CHECK_EQ(depth, 25);
    for (int mix = 1; mix <= 3 && world_now == PLAIN; mix++) { /* it takes grace times */
        int error = outwards_run(&depth, 24, mix);
        CHECK(error == 0 || error == -EDEADLK);
    }
}

TEST(history_06_nested_calls_of_both_kinds)
{
    in_worlds(EVERYWHERE_AND_POOL, check_chains);
}

/* --- 7 ---------------------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(
        int, needs_the_loop, (struct anysync_future *, begun), (struct anysync_future *, gate))
{
    open_gate(begun);
    pass_gate(gate);
    return add_one_run_back(result, 41);
}

ANYSYNC_COROUTINE(
        int, waits_for_a_job, (struct anysync_future *, begun), (struct anysync_future *, gate))
{
    return needs_the_loop(result, begun, gate);
}

/*
 * asgiref #560 (for #545, #495, #458), tokio #2046: a shutdown waited for a thread that waited for
 * the loop, which had ended.  Here the shutdown begins while a job runs; then the job asks for a
 * task of the loop.  A drain gives it one, a cancel refuses; both end.
 */
TEST(history_07_shutdown_with_a_job_that_needs_the_loop)
{
    for (int mode = ANYSYNC_DRAIN; mode <= ANYSYNC_CANCEL; mode++) {
        struct anysync_executor *executor = new_executor();
        struct anysync_future *begun = new_gate(), *gate = new_gate();
        ANYSYNC_SCOPED_FUTURE(waits_for_a_job, waiting);
        enum anysync_shutdown how = (enum anysync_shutdown)mode;
        size_t left = 0;
        int value = 0;

        CHECK_EQ(waits_for_a_job_start_on(executor, &waiting, begun, gate), 0);
        pass_gate(begun);
        CHECK_EQ(anysync_executor_shutdown(executor, how, ANYSYNC_POLL, &left), -ETIMEDOUT);
        CHECK_EQ(left, 1);
        open_gate(gate);
        CHECK_EQ(anysync_executor_shutdown(executor, how, ANYSYNC_FOREVER, &left), 0);
        CHECK_EQ(left, 0);
        int error = waits_for_a_job_wait(&waiting, &value, ANYSYNC_POLL);
        if (how == ANYSYNC_DRAIN)
            CHECK(error == 0 && value == 42);
        else
            CHECK(error == -ECANCELED || error == -ESHUTDOWN);
        anysync_executor_unref(executor);
        anysync_future_unref(begun);
        anysync_future_unref(gate);
    }
}

/* --- 8 ---------------------------------------------------------------------------------------- */

static atomic_long accepted, ran, refused;
static atomic_bool enough;

ANYSYNC_COROUTINE(void, count_it)
{
    atomic_fetch_add(&ran, 1);
    return 0;
}

static void submit(void *argument, int index)
{
    while (!atomic_load(&enough)) {
        int error = index % 2 ? count_it_start_on(argument, NULL) : count_it_run_on(argument);
        CHECK(error == 0 || error == -ESHUTDOWN);
        atomic_fetch_add(error ? &refused : &accepted, 1);
    }
}

/*
 * tokio #1853, #1946, synchronicity #271: what was submitted while the runtime shut down was
 * accepted and never ran, or hung.  Here two threads submit without a pause while a third shuts the
 * executor down and starts it again: each submission runs, once, or says -ESHUTDOWN.
 */
TEST(history_08_submissions_race_the_shutdown)
{
    struct anysync_executor *executor = new_executor();
    struct test_threads *threads = test_threads_start(2, submit, executor);

    for (long i = test_scaled(300); i > 0 || !atomic_load(&refused); i--) {
        CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
        CHECK_EQ(anysync_executor_start(executor), 0);
        long before = atomic_load(&accepted);
        while (atomic_load(&accepted) == before)
            sched_yield();
    }
    atomic_store(&enough, true);
    test_threads_join(threads);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(atomic_load(&ran), atomic_load(&accepted));
    anysync_executor_unref(executor);
}

/* --- 9 ---------------------------------------------------------------------------------------- */

/* The value counts, and a wait after it hears of the cancel, if it came by then. */
ANYSYNC_COROUTINE(int, take_value, (struct anysync_future *, begun), (struct anysync_future *, due))
{
    int value = 0;

    open_gate(begun);
    CHECK_EQ(anysync_wait(due, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(anysync_yield(), -ECANCELED);
    CHECK_EQ(anysync_check_cancelled(), -ECANCELED);
    *result = value;
    return 0;
}

static struct anysync_future *new_value(void)
{
    struct anysync_future *due = NULL;

    CHECK_EQ(anysync_future_new(sizeof(int), &due), 0);
    return due;
}

/* On one loop: value and cancel come in the same turn, in either order. */
ANYSYNC_COROUTINE(void, tie_here, (bool, cancel_first))
{
    struct anysync_future *begun = new_gate(), *due = new_value();
    ANYSYNC_SCOPED_FUTURE(take_value, taking);
    int value = 0;

    CHECK_EQ(take_value_start(&taking, begun, due), 0);
    pass_gate(begun);
    CHECK_EQ(anysync_yield(), 0); /* it waits for the value now */
    if (cancel_first)
        CHECK_EQ(take_value_cancel(&taking), 0);
    CHECK_EQ(anysync_future_set(due, &(int){42}), 0);
    if (!cancel_first)
        CHECK_EQ(take_value_cancel(&taking), 0);
    CHECK_EQ(take_value_wait(&taking, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 42);
    anysync_future_unref(begun);
    anysync_future_unref(due);
    return 0;
}

/*
 * cpython #86296, #107547, synchronicity #208: a cancel that came in the same turn as the value was
 * swallowed, or took the value with it.  Here both come at once, in either order on one loop, and
 * from another thread: the value is there, and the next wait says -ECANCELED.
 */
TEST(history_09_cancel_ties_with_completion)
{
    CHECK_EQ(tie_here_run_here(false), 0);
    CHECK_EQ(tie_here_run_here(true), 0);
    CHECK_EQ(tie_here_run(false), 0);
    CHECK_EQ(tie_here_run(true), 0);
    for (long i = test_scaled(2000); i > 0; i--) {
        struct anysync_future *begun = new_gate(), *due = new_value();
        ANYSYNC_SCOPED_FUTURE(take_value, taking);
        int value = 0;

        CHECK_EQ(take_value_start(&taking, begun, due), 0);
        pass_gate(begun);
        CHECK_EQ(anysync_future_set(due, &(int){42}), 0);
        int asked = take_value_cancel(&taking);
        /* the task checks that the cancel is heard, so it cannot have ended without it */
        CHECK_EQ(asked, 0);
        CHECK_EQ(take_value_wait(&taking, &value, ANYSYNC_FOREVER), 0);
        CHECK_EQ(value, 42);
        anysync_future_unref(begun);
        anysync_future_unref(due);
    }
}

/* --- 10 --------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, refuse, (struct anysync_future *, begun), (struct anysync_future *, gate))
{
    int error = 0;

    open_gate(begun);
    CHECK_EQ(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED);
    ANYSYNC_SHIELD(&error, ANYSYNC_FOREVER)
    {
        error = anysync_future_wait(gate, ANYSYNC_FOREVER);
    }
    return error;
}

ANYSYNC_COROUTINE(
        void, open_group_around, (struct anysync_future *, begun), (struct anysync_future *, gate))
{
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        error = refuse_spawn(group, NULL, begun, gate);
        if (!error)
            error = anysync_sleep(ANYSYNC_FOREVER);
    }
    return error;
}

/* It takes no turn for a while: if it never rests, this does not end. */
static void check_rests(struct anysync_executor *executor)
{
    struct timespec pause = {.tv_nsec = 100 * 1000000};
    struct anysync_stats before, now = stats_of(executor);

    do {
        before = now;
        nanosleep(&pause, NULL);
        now = stats_of(executor);
    } while (now.turns != before.turns || now.switches != before.switches);
}

/*
 * anyio #1111, #1217, #1257: the cancel of a task that would not end was delivered again in each
 * turn of the loop, which used a whole processor.  Here a task and a group refuse a cancel for as
 * long as the loop is looked at: it rests.  (In no turn for 100 ms; a loop that spins never ends
 * this test.)
 */
TEST(history_10_a_refused_cancel_does_not_spin)
{
    struct anysync_executor *executor = new_executor();

    for (int with_group = 0; with_group < 2; with_group++) {
        struct anysync_future *begun = new_gate(), *gate = new_gate(), *task = NULL;
        if (with_group) {
            open_group_around_future handle;
            CHECK_EQ(open_group_around_start_on(executor, &handle, begun, gate), 0);
            task = handle.future;
        } else {
            refuse_future handle;
            CHECK_EQ(refuse_start_on(executor, &handle, begun, gate), 0);
            task = handle.future;
        }
        pass_gate(begun);
        CHECK_EQ(anysync_cancel(task), 0);
        CHECK_EQ(anysync_cancel(task), 0);
        check_rests(executor);
        open_gate(gate);
        int error = anysync_wait(task, NULL, ANYSYNC_FOREVER);
        CHECK_EQ(error, with_group ? -ECANCELED : 0);
        anysync_future_unref(task);
        anysync_future_unref(begun);
        anysync_future_unref(gate);
    }
    anysync_executor_unref(executor);
}

/* --- 11 --------------------------------------------------------------------------------------- */

/*
 * anyio #1013, #1152: a cancel from a thread was thrown away when the portal had been stopped, and
 * the task it was for never ended.  Here an executor is being drained when this thread cancels the
 * task that keeps it: it hears, and the drain ends.  Later cancels say that all is over.
 */
TEST(history_11_cancel_after_the_stop)
{
    struct anysync_executor *executor = new_executor();
    struct anysync_future *begun = new_gate(), *gate = new_gate();
    ANYSYNC_SCOPED_FUTURE(refuse, refusing);

    open_gate(gate); /* it refuses for no time */
    CHECK_EQ(refuse_start_on(executor, &refusing, begun, gate), 0);
    pass_gate(begun);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_POLL, NULL), -ETIMEDOUT);
    CHECK_EQ(refuse_cancel(&refusing), 0);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(refuse_wait(&refusing, ANYSYNC_POLL), 0);
    CHECK_EQ(refuse_cancel(&refusing), ANYSYNC_DONE);
    anysync_executor_unref(executor);
    anysync_future_unref(begun);
    anysync_future_unref(gate);
}

/* --- 15 --------------------------------------------------------------------------------------- */

static struct anysync_future *from_handler;

/* Called more than once: the thread sanitizer keeps a signal back that comes just before a thread
 * sleeps, until the next one wakes it. */
static void complete_it(int number)
{
    (void)number;
    anysync_future_set_from_signal(from_handler, NULL);
}

ANYSYNC_BLOCKING(void, block_for_ever, (struct anysync_future *, begun))
{
    open_gate(begun);
    while (begun)
        pause();
    return 0;
}

ANYSYNC_COROUTINE(void, block_the_loop, (struct anysync_future *, begun))
{
    return anysync_run(&block_for_ever_function, &begun, NULL, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, wait_for_it, (struct anysync_future *, gate))
{
    return anysync_future_wait(gate, ANYSYNC_FOREVER);
}

static int main_with_work(void *argument)
{
    const bool *with_loop = argument;
    struct anysync_future *begun = new_gate();
    struct itimerval soon = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = complete_it};

    from_handler = new_gate();
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
    CHECK_EQ(wait_for_it_run(from_handler), 0); /* completed by the handler, on a loop's behalf */
    CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
    if (*with_loop)
        CHECK_EQ(block_the_loop_start(NULL, begun), 0);
    else
        CHECK_EQ(block_for_ever_start(NULL, begun), 0);
    pass_gate(begun);
    anysync_future_unref(begun);
    return 7; /* from_handler stays: a last signal may still be on its way */
}

/*
 * cpython #80961, #121649: the interpreter waited at its exit for threads of an executor that never
 * ended; a submit in a signal handler met its own lock.  Here a process returns from main while a
 * job blocks for ever, and a loop with it; before that, a signal handler has woken a task by the
 * one call that handlers may make.  It ends with its own status.
 */
TEST(history_15_exit_with_work_under_way)
{
    for (int with_loop = 0; with_loop < 2; with_loop++) {
        struct test_child child = test_child(main_with_work, &(bool){with_loop});
        CHECK_STR(child.errors, "");
        CHECK(child.exited);
        CHECK_EQ(child.status, 7);
        free(child.errors);
    }
}

/* --- 16 --------------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_long begun_calls, calls;

static void on_due(struct anysync_future *future, void *argument)
{
    int *uses = argument;

    atomic_fetch_add(&begun_calls, 1);
    pthread_mutex_lock(&lock);
    ++*uses;
    pthread_mutex_unlock(&lock);
    anysync_future_unref(future);
    atomic_fetch_add(&calls, 1);
}

/*
 * libevent #225, #512, #1311: event_del() came back while the callback still ran, so that its data
 * was freed under it; or it waited for a callback that waited for a lock of the caller.  Here a
 * callback runs and waits for a lock, which this thread holds as it cancels that timer and others
 * that are due: a cancel that waited would be a deadlock.  Each callback is called once, and has
 * its data to itself.
 */
TEST(history_16_cancel_while_the_callback_runs)
{
    enum { TIMERS = 64 };
    long rounds = test_scaled(100);

    for (long round = 0; round < rounds; round++) {
        struct anysync_future *futures[TIMERS];
        int uses[TIMERS] = {0};

        for (int i = 0; i < TIMERS; i++) {
            CHECK_EQ(anysync_future_at(anysync_in_us(i), &futures[i]), 0);
            anysync_future_ref(futures[i]); /* the callback's */
            CHECK_EQ(anysync_future_on_done(futures[i], on_due, &uses[i]), 0);
        }
        pthread_mutex_lock(&lock);
        while (atomic_load(&begun_calls) == round * TIMERS)
            sched_yield(); /* a callback runs, and waits for the lock */
        for (int i = TIMERS - 1; i >= 0; i--) {
            int asked = anysync_cancel(futures[i]);
            CHECK(asked == 0 || asked == ANYSYNC_DONE);
            anysync_future_unref(futures[i]);
        }
        pthread_mutex_unlock(&lock);
        while (atomic_load(&calls) < (round + 1) * TIMERS)
            sched_yield();
        for (int i = 0; i < TIMERS; i++)
            CHECK_EQ(uses[i], 1);
    }
}
