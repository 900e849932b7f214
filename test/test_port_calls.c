/* SPDX-License-Identifier: MIT */
/*
 * Calls that a port runs on its thread (include/anysync/port.h).
 *
 * Promised                                       Tested by
 *   it runs there                                  a_call_runs_on_the_ports_thread
 *   if its caller gives up it never begins         a_call_that_is_given_up_never_begins
 *     nor if there was no time                     a_call_without_time_is_not_sent
 *     or, if it has begun, is waited for           a_call_that_has_begun_is_waited_for
 *   a closed port                                  a_closed_port_refuses_calls
 *   within a dispatch it is told                   a_dispatch_around_others_is_known
 *     and not after its end                        dispatches_may_end_in_any_order
 *   nothing is lost                                stress_calls_from_everywhere
 */
#include "ports.h"

static int where_am_i(void *argument)
{
    CHECK(pthread_equal(pthread_self(), other.thread));
    CHECK_EQ(anysync_port_call(other.port, where_am_i, argument, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "directly");
    return *(int *)argument;
}

static void check_call(void)
{
    int good = 0, bad = -EIO;

    CHECK_EQ(anysync_port_call(other.port, where_am_i, &good, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_port_call(other.port, where_am_i, &bad, anysync_in_seconds(60)), -EIO);
    CHECK_EQ(anysync_port_call(other.port, where_am_i, &good, ANYSYNC_POLL), -ETIMEDOUT);
}

TEST(a_call_runs_on_the_ports_thread)
{
    start_loop(&other);
    in_worlds((EVERYWHERE_AND_POOL) & ~(unsigned)FOREIGN, check_call);
    stop_loop(&other);
}

static int never(void *argument)
{
    (void)argument;
    CHECK(false);
    return 0;
}

static void check_given_up(void)
{
    struct anysync_port *port = new_port();

    CHECK_EQ(anysync_port_call(port, never, NULL, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(anysync_port_dispatch(port), 1); /* but it was not called */
    drop_port(port);
}

TEST(a_call_that_is_given_up_never_begins)
{
    in_worlds(PLAIN | WORKER | HERE, check_given_up);
}

static void check_no_time(void)
{
    struct anysync_port *port = new_port();
    struct anysync_scope scope;

    anysync_scope_enter(&scope, ANYSYNC_POLL);
    CHECK_EQ(anysync_port_call(port, never, NULL, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(anysync_scope_exit(&scope, -ECANCELED), -ETIMEDOUT);
    CHECK_EQ(anysync_port_dispatch(port), 0); /* it was not even sent */
    drop_port(port);
}

TEST(a_call_without_time_is_not_sent)
{
    in_worlds(IN_COROUTINES, check_no_time);
}

typedef int function_there(void *argument);

ANYSYNC_COROUTINE(void, call_other, (struct anysync_port *, port), (function_there *, function),
        (void *, argument))
{
    return anysync_port_call(port, function, argument, ANYSYNC_FOREVER);
}

static int cancel_caller(void *argument)
{
    call_other_future *caller = argument;

    CHECK_EQ(call_other_cancel(caller), 0);
    CHECK_EQ(call_other_wait(caller, anysync_in_ms(2)), -ETIMEDOUT); /* it waits for us */
    return -EIO;
}

TEST(a_call_that_has_begun_is_waited_for)
{
    struct anysync_port *port = new_port();
    call_other_future caller;

    CHECK_EQ(call_other_start(&caller, port, cancel_caller, &caller), 0);
    CHECK(is_readable(port, -1));
    CHECK_EQ(anysync_port_dispatch(port), 1);
    CHECK_EQ(call_other_wait(&caller, ANYSYNC_FOREVER), -EIO);
    call_other_drop(&caller);
    CHECK_EQ(call_other_start(&caller, port, never, NULL), 0);
    CHECK(is_readable(port, -1));
    CHECK_EQ(call_other_cancel(&caller), 0);
    CHECK_EQ(call_other_wait(&caller, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(anysync_port_dispatch(port), 1);
    call_other_drop(&caller);
    drop_port(port);
}

TEST(a_closed_port_refuses_calls)
{
    struct anysync_port *port = new_port();
    call_other_future caller;

    CHECK_EQ(call_other_start(&caller, port, never, NULL), 0);
    CHECK(is_readable(port, -1));
    anysync_port_close(port);
    CHECK_EQ(call_other_wait(&caller, ANYSYNC_FOREVER), -ESHUTDOWN);
    call_other_drop(&caller);
    CHECK_EQ(anysync_port_call(port, never, NULL, ANYSYNC_FOREVER), -ESHUTDOWN);
    drop_port(port);
}

static struct anysync_port *outer, *inner;

static int calls_outer(void *argument)
{
    CHECK_EQ(anysync_port_call(outer, never, argument, anysync_in_seconds(1)), -EDEADLK);
    CHECK_EQ(anysync_port_dispatch(outer), -EDEADLK);
    return 0;
}

static int dispatches_inner(void *argument)
{
    call_other_future caller;

    CHECK_EQ(call_other_start(&caller, inner, calls_outer, argument), 0);
    CHECK(is_readable(inner, -1));
    CHECK_EQ(anysync_port_dispatch(inner), 1);
    CHECK_EQ(call_other_wait(&caller, ANYSYNC_FOREVER), 0);
    call_other_drop(&caller);
    return 0;
}

TEST(a_dispatch_around_others_is_known)
{
    call_other_future caller;

    outer = new_port();
    inner = new_port();
    CHECK_EQ(call_other_start(&caller, outer, dispatches_inner, NULL), 0);
    CHECK(is_readable(outer, -1));
    CHECK_EQ(anysync_port_dispatch(outer), 1);
    CHECK_EQ(call_other_wait(&caller, ANYSYNC_FOREVER), 0);
    call_other_drop(&caller);
    drop_port(inner);
    drop_port(outer);
}

static int sleeps(void *argument)
{
    return anysync_sleep(anysync_in_ms((intptr_t)argument));
}

ANYSYNC_COROUTINE(void, dispatches, (struct anysync_port *, port))
{
    CHECK_EQ(anysync_port_dispatch(port), 1);
    return 0;
}

ANYSYNC_COROUTINE(void, dispatch_both)
{
    dispatches_future first, second;

    CHECK_EQ(dispatches_start(&first, outer), 0);
    CHECK_EQ(dispatches_start(&second, inner), 0);
    CHECK_EQ(dispatches_wait(&first, ANYSYNC_FOREVER), 0);
    CHECK_EQ(dispatches_wait(&second, ANYSYNC_FOREVER), 0);
    dispatches_drop(&first);
    dispatches_drop(&second);
    return 0;
}

TEST(dispatches_may_end_in_any_order)
{
    call_other_future first, second;

    outer = new_port();
    inner = new_port();
    CHECK_EQ(call_other_start(&first, outer, sleeps, (void *)(intptr_t)5), 0);
    CHECK_EQ(call_other_start(&second, inner, sleeps, (void *)(intptr_t)20), 0);
    CHECK(is_readable(outer, -1));
    CHECK(is_readable(inner, -1));
    CHECK_EQ(dispatch_both_run_here(), 0);
    CHECK_EQ(call_other_wait(&first, ANYSYNC_FOREVER), 0);
    CHECK_EQ(call_other_wait(&second, ANYSYNC_FOREVER), 0);
    call_other_drop(&first);
    call_other_drop(&second);
    CHECK_EQ(anysync_port_dispatch(outer), 0);
    CHECK_EQ(anysync_port_dispatch(inner), 0);
    drop_port(inner);
    drop_port(outer);
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { USERS = 4 };

static int add_one(void *argument)
{
    ++*(long *)argument; /* on one thread only */
    return 0;
}

static long added, given_up;

static void call_on_thread(void *argument, int index)
{
    long *mine = argument;

    for (long i = 0; i < test_scaled(1000); i++) {
        int error = i % 4 ? call_other_run(other.port, add_one, &added)
                          : anysync_port_call(other.port, add_one, &added, anysync_in_us(i % 30));
        if (error == -ETIMEDOUT)
            mine[index]++;
        else
            CHECK_EQ(error, 0);
    }
}

TEST(stress_calls_from_everywhere)
{
    long mine[USERS] = {0};

    start_loop(&other);
    test_together(USERS, call_on_thread, mine);
    stop_loop(&other);
    for (int i = 0; i < USERS; i++)
        given_up += mine[i];
    CHECK_EQ(added + given_up, USERS * test_scaled(1000));
}
