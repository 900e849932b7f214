/* SPDX-License-Identifier: MIT */
/*
 * Signals that are awaited (include/anysync/signal.h), in every world.
 *
 * Promised                                       Tested by
 *   K8 a signal is told, with its sender         k8_a_signal_is_told_in_every_world
 *                                                k8_a_timer_is_no_sender
 *      it need not come while somebody waits     (the same)
 *      threads of the program keep it unblocked  k8_a_signal_from_another_thread_ends_the_wait
 *      no handler unasked, restored at the end   k8_handlers_are_restored_at_the_last_close
 *                                                k8_a_handler_installed_meanwhile_stays
 *                                                k8_an_open_replaces_what_was_installed_meanwhile
 *      nothing of what came before the open      k8_nothing_of_before_is_told
 *      every object, but one waiter of each      k8_each_object_is_told
 *                                                k8_one_of_those_who_wait_is_told
 *      merged signals, none that came is lost    k8_realtime_signals_come_in_order
 *      deadline, cancel: nothing is lost         k8_waits_end_at_their_deadline
 *                                                k8_a_cancelled_wait_loses_nothing
 *      a close tells all who wait                k8_a_close_ends_all_waits
 *      what cannot be awaited                    k8_what_cannot_be_awaited
 *                                                k8_a_callback_cannot_wait_for_signals
 *                                                k8_refused_at_each_place
 *      a forked child is as before               k8_a_forked_child_has_the_handlers_of_before
 *      all of it at once                         k8_stress_open_close_and_signals
 *                                                k8_stress_handlers_are_late
 *                                                k8_a_handler_finds_all_of_a_set_or_none
 */
#include "fault.h"
#include "futures.h"
#include "unordered.h"
#include "worlds.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

/* ThreadSanitizer runs a handler only when its thread next passes one of the C library's calls
 * that it watches, and one that waits in a futex does not.  There signals go to one that polls. */
static void receive(void *argument, int index)
{
    struct pollfd end = {.fd = *(const int *)argument, .events = POLLIN};
    sigset_t none;

    (void)index;
    sigemptyset(&none);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
    while (poll(&end, 1, -1) < 0)
        CHECK_EQ(errno, EINTR);
}

static void in_worlds_with_signals(unsigned worlds, world_check_fn *check)
{
    sigset_t all, before;
    int pair[2];

    if (!TEST_TSAN) {
        in_worlds(worlds, check);
        return;
    }
    CHECK_EQ(pipe(pair), 0);
    sigfillset(&all);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    struct test_threads *threads = test_threads_start(1, receive, &pair[0]);
    in_worlds(worlds, check);
    close(pair[1]);
    test_threads_join(threads);
    close(pair[0]);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

static struct anysync_signals *open_one(int number)
{
    struct anysync_signals *signals = NULL;

    CHECK_EQ(anysync_signals_open(&number, 1, &signals), 0);
    return signals;
}

static void expect(struct anysync_signals *signals, int number)
{
    struct anysync_signal got = {.number = 0};

    CHECK_EQ(anysync_signal_wait(signals, ANYSYNC_FOREVER, &got), 0);
    CHECK_EQ(got.number, number);
    CHECK_EQ(got.process, getpid());
    CHECK_EQ(got.user, getuid());
}

static void expect_none(struct anysync_signals *signals)
{
    struct anysync_signal got = {.number = 99};

    CHECK_EQ(anysync_signal_wait(signals, ANYSYNC_POLL, &got), -ETIMEDOUT);
    CHECK_EQ(got.number, 99);
}

static void check_told(void)
{
    static const int numbers[] = {SIGUSR1, SIGUSR2};
    struct anysync_signals *signals;

    CHECK_EQ(anysync_signals_open(numbers, 2, &signals), 0);
    expect_none(signals);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    expect(signals, SIGUSR1);
    CHECK_EQ(kill(getpid(), SIGUSR2), 0);
    expect(signals, SIGUSR2);
    expect_none(signals);
    CHECK(anysync_signals_close(signals) == NULL);
    CHECK(anysync_signals_close(NULL) == NULL);
}

TEST(k8_a_signal_is_told_in_every_world)
{
    in_worlds_with_signals(EVERYWHERE_AND_POOL, check_told);
}

TEST(k8_a_timer_is_no_sender)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    const struct itimerspec soon = {.it_value.tv_nsec = 1};
    struct anysync_signals *signals = open_one(SIGUSR1);
    struct anysync_signal got;
    timer_t timers[2]; /* the first may have the number 0 */

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timers[i]), 0);
        CHECK_EQ(timer_settime(timers[i], 0, &soon, NULL), 0);
        CHECK_EQ(anysync_signal_wait(signals, ANYSYNC_FOREVER, &got), 0);
        CHECK_EQ(got.code, SI_TIMER);
        CHECK_EQ(got.process, 0);
        CHECK_EQ(got.user, 0);
        CHECK_EQ(got.value, 0);
    }
    for (int i = 0; i < 2; i++)
        CHECK_EQ(timer_delete(timers[i]), 0);
    anysync_signals_close(signals);
}

static void send_one(void *argument, int index)
{
    (void)argument;
    (void)index;
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
}

static void check_from_thread(void)
{
    struct anysync_signals *signals = open_one(SIGUSR1);
    struct test_threads *threads = test_threads_start(1, send_one, NULL);

    expect(signals, SIGUSR1);
    test_threads_join(threads);
    anysync_signals_close(signals);
}

TEST(k8_a_signal_from_another_thread_ends_the_wait)
{
    in_worlds_with_signals(EVERYWHERE_AND_POOL, check_from_thread);
}

/* --- handlers --------------------------------------------------------------------------------- */

static volatile sig_atomic_t handled;

static void on_user_signal(int number)
{
    (void)number;
    handled++;
}

TEST(k8_handlers_are_restored_at_the_last_close)
{
    struct sigaction now;

    CHECK(signal(SIGUSR1, on_user_signal) != SIG_ERR);
    struct anysync_signals *one = open_one(SIGUSR1), *two = open_one(SIGUSR1);
    struct anysync_signals *other = open_one(SIGUSR2);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(handled, 0);
    anysync_signals_close(one);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(handled, 0);
    CHECK_EQ(sigaction(SIGTERM, NULL, &now), 0); /* nobody asked for that one */
    CHECK(now.sa_handler == SIG_DFL);
    anysync_signals_close(two);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(handled, 1);
    anysync_signals_close(other);
    CHECK_EQ(sigaction(SIGUSR2, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
}

static void on_told_signal(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
}

TEST(k8_a_handler_installed_meanwhile_stays)
{
    const struct sigaction own = {.sa_sigaction = on_told_signal, .sa_flags = SA_SIGINFO};
    struct anysync_signals *signals = open_one(SIGUSR1);
    struct sigaction now;

    CHECK_EQ(sigaction(SIGUSR1, &own, NULL), 0);
    anysync_signals_close(signals);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_sigaction == on_told_signal);
}

TEST(k8_an_open_replaces_what_was_installed_meanwhile)
{
    struct anysync_signals *one = open_one(SIGUSR1), *two;

    CHECK(signal(SIGUSR1, on_user_signal) != SIG_ERR);
    two = open_one(SIGUSR1);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(handled, 0);
    expect(two, SIGUSR1);
    anysync_signals_close(two);
    anysync_signals_close(one);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(handled, 1);
}

/* --- who is told ------------------------------------------------------------------------------ */

static void check_each(void)
{
    struct anysync_signals *one = open_one(SIGUSR1), *two = open_one(SIGUSR1);

    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    expect(one, SIGUSR1);
    expect(two, SIGUSR1);
    expect_none(one);
    anysync_signals_close(one);
    one = open_one(SIGUSR2); /* has the pipe of the one before */
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    expect(two, SIGUSR1);
    expect_none(one);
    anysync_signals_close(one);
    anysync_signals_close(two);
}

TEST(k8_each_object_is_told)
{
    in_worlds_with_signals(EVERYWHERE_AND_POOL, check_each);
}

ANYSYNC_COROUTINE(int, waits, (struct anysync_signals *, signals))
{
    struct anysync_signal got;
    int error = anysync_signal_wait(signals, ANYSYNC_FOREVER, &got);

    if (!error)
        *result = got.number;
    return error;
}

static void check_one_of(void)
{
    enum { TASKS = 3 };
    struct anysync_signals *signals = open_one(SIGUSR1);
    waits_future tasks[TASKS];
    int number = 0;

    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(waits_start(&tasks[i], signals), 0);
    for (int i = 0; i < TASKS; i++) { /* one signal at a time: they would be merged */
        struct anysync_future *all[TASKS];
        size_t index;
        for (int j = 0; j < TASKS; j++)
            all[j] = tasks[j].future;
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        CHECK_EQ(anysync_wait_any(all, TASKS, ANYSYNC_FOREVER, &index), 0);
        CHECK_EQ(waits_wait(&tasks[index], &number, ANYSYNC_POLL), 0);
        CHECK_EQ(number, SIGUSR1);
        waits_drop(&tasks[index]);
        tasks[index].future = NULL;
    }
    expect_none(signals);
    anysync_signals_close(signals);
}

TEST(k8_one_of_those_who_wait_is_told)
{
    in_worlds_with_signals(PLAIN | WORKER | HERE, check_one_of);
}

TEST(k8_realtime_signals_come_in_order)
{
    enum { MANY = TEST_TSAN ? 1 : 50 }; /* ThreadSanitizer merges these, too */
    struct anysync_signals *signals = open_one(SIGRTMIN);
    struct anysync_signal got;

    for (int i = 0; i < MANY; i++)
        CHECK_EQ(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}), 0);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(anysync_signal_wait(signals, ANYSYNC_FOREVER, &got), 0);
        CHECK_EQ(got.number, SIGRTMIN);
        CHECK_EQ(got.code, SI_QUEUE);
        CHECK_EQ(got.value, i);
    }
    for (int i = 0; i < 20000; i++) /* more than there is room for: the close gets through */
        CHECK_EQ(raise(SIGRTMIN), 0);
    anysync_signals_close(signals);
}

/* --- waits that end early --------------------------------------------------------------------- */

static void check_deadline(void)
{
    struct anysync_signals *signals = open_one(SIGUSR1);
    struct anysync_signal got = {.number = 99};
    anysync_time deadline = anysync_in_us(300);

    CHECK_EQ(anysync_signal_wait(signals, deadline, &got), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_EQ(got.number, 99);
    CHECK_STR(anysync_last_error()->message, "waiting for a signal: the deadline passed");
    anysync_signals_close(signals);
}

TEST(k8_waits_end_at_their_deadline)
{
    in_worlds(EVERYWHERE_AND_POOL, check_deadline);
}

static void check_cancel(void)
{
    struct anysync_signals *signals = open_one(SIGUSR1);
    waits_future task;

    CHECK_EQ(waits_start(&task, signals), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(waits_cancel(&task), 0);
    CHECK_EQ(waits_wait(&task, NULL, ANYSYNC_FOREVER), -ECANCELED);
    waits_drop(&task);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    expect(signals, SIGUSR1);
    anysync_signals_close(signals);
}

TEST(k8_a_cancelled_wait_loses_nothing)
{
    in_worlds_with_signals(IN_COROUTINES, check_cancel);
}

static void wait_for_close(void *argument, int index)
{
    struct anysync_signal got;

    (void)index;
    CHECK_EQ(anysync_signal_wait(argument, ANYSYNC_FOREVER, &got), -EPIPE);
    CHECK_CONTAINS(anysync_last_error()->message, "the set was closed");
}

ANYSYNC_COROUTINE(
        void, announces, (struct anysync_signals *, signals), (struct anysync_future *, begun))
{
    open_gate(begun);
    wait_for_close(signals, 0);
    return 0;
}

static void check_close(void)
{
    enum { TASKS = 3 };
    struct anysync_signals *signals = open_one(SIGUSR1);
    announces_future tasks[TASKS];

    /* They have begun before the close; whether they sleep yet is all one. */
    for (int i = 0; i < TASKS; i++) {
        struct anysync_future *begun = new_gate();
        CHECK_EQ(announces_start(&tasks[i], signals, begun), 0);
        pass_gate(begun);
        CHECK_EQ(anysync_yield(), 0);
        anysync_future_unref(begun);
    }
    anysync_signals_close(signals);
    for (int i = 0; i < TASKS; i++) {
        CHECK_EQ(announces_wait(&tasks[i], ANYSYNC_FOREVER), 0);
        announces_drop(&tasks[i]);
    }
}

TEST(k8_a_close_ends_all_waits)
{
    in_worlds(IN_COROUTINES, check_close);
}

/* --- refusals --------------------------------------------------------------------------------- */

TEST(k8_what_cannot_be_awaited)
{
    static const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, 0, -1, 65, 32};
    struct anysync_signals *signals = NULL, *all[32];

    for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
        CHECK_EQ(anysync_signals_open(&never[i], 1, &signals), -EINVAL);
    CHECK_EQ(anysync_signals_open(never, 1, &signals), -EINVAL);
    CHECK_STR(anysync_last_error()->message, "signal 9 cannot be awaited");
    CHECK_EQ(anysync_signals_open(never, 0, &signals), -EINVAL);
    struct anysync_signals *other = open_one(SIGUSR2);
    struct sigaction now;
    CHECK_EQ(anysync_signals_open((int[]){SIGUSR1, SIGUSR2, 32}, 3, &signals), -EINVAL);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0); /* all of a set, or nothing */
    CHECK(now.sa_handler == SIG_DFL);
    CHECK_EQ(raise(SIGUSR2), 0);
    expect(other, SIGUSR2);
    struct anysync_signals *next = open_one(SIGUSR2); /* in the place that could not be used */
    expect_none(next);
    anysync_signals_close(next);
    anysync_signals_close(other);
    for (int i = 0; i < 32; i++)
        all[i] = open_one(SIGUSR1);
    CHECK_EQ(anysync_signals_open(&(int){SIGUSR1}, 1, &signals), -EMFILE);
    CHECK(signals == NULL);
    for (int i = 0; i < 32; i++)
        anysync_signals_close(all[i]);
}

/* An object that was closed, or could not be opened, leaves nothing to the next one. */
TEST(k8_nothing_of_before_is_told)
{
    static const int refused[] = {SIGUSR1, 32}; /* the second one only by the system */
    struct anysync_signals *one = open_one(SIGUSR1), *two = NULL;

    CHECK_EQ(anysync_signals_open(refused, 2, &two), -EINVAL);
    CHECK_EQ(raise(SIGUSR1), 0);
    two = open_one(SIGUSR1);
    expect_none(two);
    anysync_signals_close(two);
    CHECK_EQ(raise(SIGUSR1), 0);
    two = open_one(SIGUSR1);
    expect_none(two);
    anysync_signals_close(two);
    anysync_signals_close(one);
}

static struct anysync_signals *callback_signals;

static void wait_in_callback(evutil_socket_t fd, short events, void *called)
{
    struct anysync_signal got;

    (void)fd;
    (void)events;
    CHECK_EQ(anysync_signal_wait(callback_signals, ANYSYNC_FOREVER, &got), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "a callback of the loop cannot");
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    set(called, 0);
}

static void check_callback(void)
{
    callback_signals = open_one(SIGUSR1);
    call_back(wait_in_callback);
    expect(callback_signals, SIGUSR1);
    anysync_signals_close(callback_signals);
}

TEST(k8_a_callback_cannot_wait_for_signals)
{
    in_worlds_with_signals(WORKER | HERE, check_callback);
}

TEST(k8_refused_at_each_place)
{
    for (int nth = 1;; nth++) {
        struct anysync_signals *signals = NULL;
        struct sigaction now;
        fault_fail(FAULT_ANY, nth, false);
        int error = anysync_signals_open(&(int){SIGUSR1}, 1, &signals);
        bool reached = fault_failed(FAULT_ANY) > 0;
        fault_clear();
        CHECK(error == 0 || error == -ENOMEM || error == -EMFILE);
        anysync_signals_close(signals);
        CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
        CHECK(now.sa_handler == SIG_DFL);
        if (!reached)
            break;
    }
}

/* --- fork ------------------------------------------------------------------------------------- */

static int look_in_child(void *argument)
{
    struct anysync_signal got;
    struct anysync_signals *mine;

    CHECK_EQ(anysync_signal_wait(argument, ANYSYNC_FOREVER, &got), -EOWNERDEAD);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(handled, 1);
    mine = open_one(SIGUSR1);
    CHECK_EQ(raise(SIGUSR1), 0);
    expect(mine, SIGUSR1);
    anysync_signals_close(argument); /* does nothing here */
    CHECK_EQ(raise(SIGUSR1), 0);
    expect(mine, SIGUSR1);
    anysync_signals_close(mine);
    callback_signals = open_one(SIGUSR1); /* and leave one unread: it is not for the parent */
    CHECK_EQ(raise(SIGUSR1), 0);
    return 0;
}

TEST(k8_a_forked_child_has_the_handlers_of_before)
{
    CHECK(signal(SIGUSR1, on_user_signal) != SIG_ERR);
    struct anysync_signals *signals = open_one(SIGUSR1);
    struct test_child child = test_child(look_in_child, signals);

    CHECK_STR(child.errors, "");
    CHECK(child.exited && child.status == 0);
    free(child.errors);
    expect_none(signals); /* what the child got is not told here */
    CHECK_EQ(raise(SIGUSR1), 0);
    expect(signals, SIGUSR1);
    anysync_signals_close(signals);
}

/* --- all at once ------------------------------------------------------------------------------ */

static long rounds;

static void churn(void *argument, int index)
{
    (void)argument;
    for (long round = 0; round < rounds; round++) {
        struct anysync_signals *signals = open_one(SIGUSR1 + (index & 1 ? SIGUSR2 - SIGUSR1 : 0));
        waits_future task;
        CHECK_EQ(waits_start(&task, signals), 0);
        CHECK_EQ(kill(getpid(), index & 1 ? SIGUSR2 : SIGUSR1), 0);
        CHECK_EQ(waits_wait(&task, NULL, ANYSYNC_FOREVER), 0);
        waits_drop(&task);
        anysync_signals_close(signals);
    }
}

static void churn_together(void)
{
    test_together(4, churn, NULL);
}

TEST(k8_stress_open_close_and_signals)
{
    rounds = test_scaled(300);

    /* One that came just before the last close goes nowhere else. */
    CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    CHECK(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
    in_worlds_with_signals(PLAIN, churn_together);
}

static void raise_or_open(void *argument, int index)
{
    (void)argument;
    for (long round = 0; round < rounds; round++) {
        if (index & 1)
            CHECK_EQ(raise(SIGUSR1), 0);
        else
            anysync_signals_close(open_one(SIGUSR1));
    }
}

/* Handlers that are late for a set that was closed meet the next one in its place. */
TEST(k8_stress_handlers_are_late)
{
    rounds = test_scaled(3000);

    CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    test_together(4, raise_or_open, NULL);
}

static void raise_one(void *go, int index)
{
    (void)index;
    unordered_wait(go);
    CHECK_EQ(raise(SIGUSR1), 0);
}

/* The thread sanitizer looks whether its handler may read what the set was made of. */
TEST(k8_a_handler_finds_all_of_a_set_or_none)
{
    atomic_bool go = false;
    struct test_threads *threads = test_threads_start(1, raise_one, &go);
    struct anysync_signals *signals = open_one(SIGUSR1);

    unordered_open(&go);
    test_threads_join(threads);
    anysync_signals_close(signals);
}
