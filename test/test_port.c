/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* syscall() */
/*
 * Ports, the way to other loops (include/anysync/port.h); contract J2, J3.
 *
 * Promised                                       Tested by
 *   J3 readable when a future is done              j3_the_descriptor_tells_that_a_future_is_done
 *      one descriptor for many                     j3_one_descriptor_for_many
 *      a queue, in the order of completion         j3_next_gives_them_in_order
 *        readable until all of it was taken        j3_the_descriptor_tells_of_what_came_meanwhile
 *        what was not taken goes with the port     j3_a_close_forgets_the_queue
 *      set in a signal handler                     j3_a_signal_handler_completes_one
 *   J2 called on the port's thread, later          j2_functions_are_called_by_the_dispatch
 *      told when the port has gone                 j2_a_closed_port_tells_everybody
 *        but not by a signal handler               j2_a_signal_handler_calls_nobody
 *   within a dispatch                              a_dispatch_is_not_nested
 *                                                  a_dispatch_ends_after_a_thousand
 *                                                  a_port_may_be_closed_by_a_function
 *   refusals                                       failures_leave_nothing
 *                                                  a_forked_child_is_refused
 *   nothing is lost                                stress_j3_completions_from_everywhere
 *                                                  stress_j2_close_at_any_moment
 *
 * Calls: test_port_calls.c.
 */
#include "fault.h"
#include "ports.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- futures ---------------------------------------------------------------------------------- */

TEST(j3_the_descriptor_tells_that_a_future_is_done)
{
    struct anysync_port *port = new_port();
    struct anysync_future *future = new_future(), *got = NULL;
    void *argument = NULL;

    CHECK_EQ(anysync_port_on_done(port, future, NULL, &argument), 0);
    CHECK(!is_readable(port, 0));
    CHECK_EQ(anysync_port_next(port, &got, &argument), -EAGAIN);
    set(future, 4);
    CHECK(is_readable(port, -1));
    CHECK(is_readable(port, -1)); /* it stays so */
    CHECK_EQ(anysync_port_next(port, &got, &argument), 0);
    CHECK(got == future);
    CHECK(argument == &argument);
    CHECK_EQ(anysync_port_next(port, NULL, NULL), -EAGAIN);
    CHECK(!is_readable(port, 0));
    CHECK_EQ(anysync_port_on_done(port, future, NULL, NULL), 0); /* done already */
    CHECK(is_readable(port, -1));
    CHECK_EQ(anysync_port_next(port, NULL, NULL), 0);
    anysync_future_unref(got);
    anysync_future_unref(future);
    drop_port(port);
}

enum { MANY = 50 };

ANYSYNC_COROUTINE(int, later, (int, value))
{
    int error = anysync_sleep(anysync_in_us(value * 20));

    *result = value;
    return error;
}

TEST(j3_one_descriptor_for_many)
{
    struct anysync_port *port = new_port();
    later_future each[MANY];
    bool seen[MANY] = {false};
    int count = 0;

    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(later_start(&each[i], i), 0);
        CHECK_EQ(anysync_port_on_done(port, each[i].future, NULL, &seen[i]), 0);
    }
    while (count < MANY) {
        void *which;
        CHECK(is_readable(port, -1));
        while (anysync_port_next(port, NULL, &which) == 0) {
            CHECK(!*(bool *)which);
            *(bool *)which = true;
            count++;
        }
    }
    for (int i = 0; i < MANY; i++) {
        int value = -1;
        CHECK_EQ(later_wait(&each[i], &value, ANYSYNC_POLL), 0);
        CHECK_EQ(value, i);
        later_drop(&each[i]);
    }
    drop_port(port);
}

TEST(j3_next_gives_them_in_order)
{
    struct anysync_port *port = new_port();
    struct anysync_future *each[5];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++) {
            each[i] = new_future();
            CHECK_EQ(anysync_port_on_done(port, each[i], NULL, NULL), 0);
        }
        for (int i = 4; i >= 0; i--)
            set(each[i], i);
        CHECK_EQ(round > 0 ? anysync_port_dispatch(port) : 5, 5); /* it calls none of them */
        for (int i = 4; i >= 0; i--) {
            struct anysync_future *got = NULL;
            CHECK_EQ(anysync_port_next(port, &got, NULL), 0);
            CHECK(got == each[i]);
            anysync_future_unref(got);
            anysync_future_unref(each[i]);
        }
    }
    drop_port(port);
}

/* What is completed just before DRAINED is read. */
static int drained = -1;
static struct anysync_future *done_meanwhile[2];

ssize_t read(int fd, void *bytes, size_t size)
{
    if (fd == drained) {
        drained = -1;
        set(done_meanwhile[0], 0);
        set(done_meanwhile[1], 1);
    }
    return syscall(SYS_read, fd, bytes, size);
}

TEST(j3_the_descriptor_tells_of_what_came_meanwhile)
{
    struct anysync_port *port = new_port();
    struct anysync_future *last = new_future();

    for (int i = 0; i < 2; i++) {
        done_meanwhile[i] = new_future();
        CHECK_EQ(anysync_port_on_done(port, done_meanwhile[i], NULL, NULL), 0);
    }
    CHECK_EQ(anysync_port_on_done(port, last, NULL, NULL), 0);
    drained = anysync_port_descriptor(port);
    CHECK_EQ(anysync_port_next(port, NULL, NULL), 0);
    CHECK(is_readable(port, 0));
    CHECK_EQ(anysync_port_next(port, NULL, NULL), 0);
    set(last, 2);
    CHECK(is_readable(port, 0));
    CHECK_EQ(anysync_port_next(port, NULL, NULL), 0);
    CHECK_EQ(anysync_port_next(port, NULL, NULL), -EAGAIN);
    CHECK(!is_readable(port, 0));
    for (int i = 0; i < 2; i++)
        anysync_future_unref(done_meanwhile[i]);
    anysync_future_unref(last);
    drop_port(port);
}

TEST(j3_a_close_forgets_the_queue)
{
    struct anysync_port *port = new_port();
    struct anysync_future *each[2] = {new_future(), new_future()};

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(anysync_port_on_done(port, each[i], NULL, NULL), 0);
        set(each[i], i);
    }
    CHECK_EQ(anysync_port_dispatch(port), 2);
    CHECK_EQ(anysync_port_next(port, NULL, NULL), 0);
    anysync_port_close(port);
    CHECK_EQ(anysync_port_next(port, NULL, NULL), -EAGAIN);
    anysync_port_unref(port);
    anysync_future_unref(each[0]);
    anysync_future_unref(each[1]);
}

static struct anysync_future *set_by_signal;

static void on_signal(int number)
{
    int value = number;

    (void)anysync_future_set_from_signal(set_by_signal, &value);
}

TEST(j3_a_signal_handler_completes_one)
{
    struct anysync_port *port = new_port();
    int value = 0;

    set_by_signal = new_future();
    CHECK_EQ(anysync_port_on_done(port, set_by_signal, NULL, NULL), 0);
    CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK(is_readable(port, -1));
    CHECK_EQ(anysync_port_next(port, NULL, NULL), 0);
    CHECK_EQ(anysync_future_result(set_by_signal, &value), 0);
    CHECK_EQ(value, SIGUSR1);
    anysync_future_unref(set_by_signal);
    drop_port(port);
}

/* --- functions -------------------------------------------------------------------------------- */

static struct {
    pthread_t thread;
    int called, gone;
} noted;

static void note(struct anysync_future *future, void *argument)
{
    if (!future) {
        noted.gone++;
        return;
    }
    noted.thread = pthread_self();
    CHECK_EQ(anysync_future_result(future, argument), 0);
    noted.called++;
}

TEST(j2_functions_are_called_by_the_dispatch)
{
    struct anysync_port *port = new_port();
    struct anysync_future *done = new_future();
    later_future task;
    int one = 0, two = 0;

    set(done, 5);
    CHECK_EQ(anysync_port_on_done(port, done, note, &one), 0);
    CHECK_EQ(noted.called, 0); /* not within the call */
    CHECK_EQ(later_start(&task, 3), 0);
    CHECK_EQ(anysync_port_on_done(port, task.future, note, &two), 0);
    while (noted.called < 2) {
        CHECK(is_readable(port, -1));
        CHECK(anysync_port_dispatch(port) >= 0);
    }
    CHECK_EQ(one, 5);
    CHECK_EQ(two, 3);
    CHECK(pthread_equal(noted.thread, pthread_self()));
    CHECK_EQ(anysync_port_dispatch(port), 0);
    CHECK(!is_readable(port, 0));
    later_drop(&task);
    anysync_future_unref(done);
    drop_port(port);
}

TEST(j2_a_closed_port_tells_everybody)
{
    struct anysync_port *port = new_port();
    struct anysync_future *early = new_future(), *late = new_future(), *queued = new_future();
    int value;

    CHECK_EQ(anysync_port_on_done(port, early, note, &value), 0);
    CHECK_EQ(anysync_port_on_done(port, late, note, &value), 0);
    CHECK_EQ(anysync_port_on_done(port, queued, NULL, NULL), 0);
    set(early, 1);
    set(queued, 1);
    anysync_port_close(port);
    CHECK_EQ(noted.gone, 1);
    CHECK_EQ(anysync_port_on_done(port, late, note, &value), -ESHUTDOWN);
    CHECK_EQ(anysync_port_next(port, NULL, NULL), -EAGAIN);
    CHECK_EQ(anysync_port_dispatch(port), 0);
    anysync_port_unref(port);
    set(late, 1);
    CHECK_EQ(noted.gone, 2);
    CHECK_EQ(noted.called, 0);
    anysync_future_unref(early);
    anysync_future_unref(late);
    anysync_future_unref(queued);
}

TEST(j2_a_signal_handler_calls_nobody)
{
    struct anysync_port *port = new_port();
    int value;

    if (TEST_ASAN)
        test_skip("what it cannot free is a leak");
    set_by_signal = new_future();
    CHECK_EQ(anysync_port_on_done(port, set_by_signal, note, &value), 0);
    drop_port(port);
    CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(anysync_future_done(set_by_signal), 1);
    CHECK_EQ(noted.called + noted.gone, 0);
    anysync_future_unref(set_by_signal);
}

/* --- within a dispatch ------------------------------------------------------------------------ */

static void dispatch_again(struct anysync_future *future, void *port)
{
    (void)future;
    CHECK_EQ(anysync_port_dispatch(port), -EDEADLK);
    noted.called++;
}

static void close_it(struct anysync_future *future, void *port)
{
    if (future)
        drop_port(port);
    noted.called++;
}

TEST(a_dispatch_is_not_nested)
{
    struct anysync_port *port = new_port();
    struct anysync_future *future = new_future();

    set(future, 0);
    CHECK_EQ(anysync_port_on_done(port, future, dispatch_again, port), 0);
    CHECK_EQ(anysync_port_dispatch(port), 1);
    CHECK_EQ(noted.called, 1);
    anysync_future_unref(future);
    drop_port(port);
}

TEST(a_dispatch_ends_after_a_thousand)
{
    struct anysync_port *port = new_port();
    struct anysync_future *future = new_future();
    int value = 0;

    set(future, 0);
    for (int i = 0; i < 1500; i++)
        CHECK_EQ(anysync_port_on_done(port, future, note, &value), 0);
    CHECK_EQ(anysync_port_dispatch(port), 1000);
    CHECK_EQ(noted.called, 1000);
    CHECK(is_readable(port, 0));
    CHECK_EQ(anysync_port_dispatch(port), 500);
    CHECK(!is_readable(port, 0));
    anysync_future_unref(future);
    drop_port(port);
}

TEST(a_port_may_be_closed_by_a_function)
{
    struct anysync_port *port = new_port();
    struct anysync_future *future = new_future();

    set(future, 0);
    for (int i = 0; i < 3; i++) /* the first closes it, the others are told */
        CHECK_EQ(anysync_port_on_done(port, future, close_it, port), 0);
    CHECK_EQ(anysync_port_dispatch(port), 1);
    CHECK_EQ(noted.called, 3);
    port = new_port();
    CHECK_EQ(anysync_port_on_done(port, future, close_it, port), 0);
    CHECK_EQ(anysync_port_next(port, NULL, NULL), -EAGAIN);
    CHECK_EQ(noted.called, 4);
    anysync_future_unref(future);
}

/* --- refusals --------------------------------------------------------------------------------- */

static int never(void *argument)
{
    (void)argument;
    CHECK(false);
    return 0;
}

TEST(failures_leave_nothing)
{
    struct anysync_port *port = NULL;
    struct anysync_future *future = new_future();

    fault_fail("malloc", 1, false);
    CHECK_EQ(anysync_port_new(&port), -ENOMEM);
    fault_clear();
    fault_fail("eventfd", 1, false);
    CHECK_EQ(anysync_port_new(&port), -EMFILE);
    fault_clear();
    CHECK(port == NULL);
    port = new_port();
    fault_fail("malloc", 1, true);
    CHECK_EQ(anysync_port_on_done(port, future, NULL, NULL), -ENOMEM);
    CHECK_EQ(anysync_port_call(port, never, NULL, ANYSYNC_FOREVER), -ENOMEM);
    fault_clear();
    set(future, 1);
    CHECK_EQ(anysync_port_dispatch(port), 0);
    anysync_future_unref(future);
    drop_port(port);
}

static int use_in_child(void *argument)
{
    struct anysync_port *port = argument;
    struct anysync_future *future = new_future();

    CHECK_EQ(anysync_port_on_done(port, future, NULL, NULL), -EOWNERDEAD);
    CHECK_EQ(anysync_port_dispatch(port), -EOWNERDEAD);
    CHECK_EQ(anysync_port_next(port, NULL, NULL), -EOWNERDEAD);
    CHECK_EQ(anysync_port_call(port, never, NULL, ANYSYNC_FOREVER), -EOWNERDEAD);
    anysync_port_close(port);
    anysync_port_unref(port);
    drop_port(new_port());
    anysync_future_unref(future);
    return 0;
}

TEST(a_forked_child_is_refused)
{
    struct anysync_port *port = new_port();
    struct test_child child = test_child(use_in_child, port);

    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
    drop_port(port);
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { USERS = 4 };

static atomic_long stress_done;

static void count_one(struct anysync_future *future, void *argument)
{
    CHECK(!future || future == argument); /* NULL: the port has gone */
    atomic_fetch_add(&stress_done, 1);
    anysync_future_unref(argument);
}

static int complete_some(int user, long each)
{
    for (long i = 0; i < each; i++) {
        struct anysync_future *future = NULL;
        int error = anysync_future_new(0, &future);
        if (error)
            return error;
        if (i % 2)
            open_gate(future);
        error = anysync_port_on_done(other.port, future, count_one, anysync_future_ref(future));
        if (error)
            return error;
        if (i % 2 == 0)
            open_gate(future);
        anysync_future_unref(future);
        if ((i + user) % 7 == 0 && anysync_in_coroutine())
            error = anysync_yield();
        if (error)
            return error;
    }
    return 0;
}

ANYSYNC_COROUTINE(void, complete_body, (int, user), (long, each))
{
    return complete_some(user, each);
}

static void complete_on_thread(void *argument, int index)
{
    long each = test_scaled(2000);

    (void)argument;
    CHECK_EQ(index % 2 ? complete_some(index, each) : complete_body_run(index, each), 0);
}

TEST(stress_j3_completions_from_everywhere)
{
    start_loop(&other);
    test_together(USERS, complete_on_thread, NULL);
    stop_loop(&other); /* the call comes after them */
    CHECK_EQ(atomic_load(&stress_done), USERS * test_scaled(2000));
}

static void complete_one(void *argument, int index)
{
    struct anysync_future **each = argument;

    open_gate(each[index]);
}

TEST(stress_j2_close_at_any_moment)
{
    for (long i = 0; i < test_scaled(300); i++) {
        struct anysync_port *port = new_port();
        struct anysync_future *each[USERS];
        for (int j = 0; j < USERS; j++) {
            each[j] = new_gate();
            CHECK_EQ(
                    anysync_port_on_done(port, each[j], count_one, anysync_future_ref(each[j])), 0);
        }
        struct test_threads *threads = test_threads_start(USERS, complete_one, each);
        if (i % 2)
            CHECK(anysync_port_dispatch(port) >= 0);
        drop_port(port);
        test_threads_join(threads);
        for (int j = 0; j < USERS; j++)
            anysync_future_unref(each[j]);
    }
    CHECK_EQ(atomic_load(&stress_done), USERS * test_scaled(300));
}
