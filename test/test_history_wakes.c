/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* setitimer, MAP_ANONYMOUS */
/*
 * Bugs of other runtimes, provoked here: wakes that got lost, or came too late to be safe.  Each
 * test says what went wrong elsewhere, and how it is brought about.  (The others: test_history_*.)
 *
 * Promised                                             Tested by (each begins with history_)
 *   who completes is done when the waiter learns of it   01_completer_leaves_the_future_alone
 *   a wake is never saved where it is needed             02_coalesced_wakes_reach_a_sleeper
 *   an earlier timer ends a later sleep                  03_an_earlier_timer_is_not_slept_over
 *   who yields goes on, whatever comes next              04_yield_before_leaving_is_woken
 *   no condition variable is signalled                   05_no_condition_variable_is_signalled
 *   a wait for any of several leaves no wake behind      12_a_select_cancelled_from_elsewhere
 *   a sleeping loop can be stopped                       17_an_idle_loop_hears_a_stop
 *   signals end no call, and shorten no sleep            19_signals_are_no_completions
 */
#include "worlds.h"

#include "thread/cell.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

ANYSYNC_COROUTINE(int, add_one, (int, n))
{
    *result = n + 1;
    return 0;
}

static struct anysync_executor *new_executor(enum anysync_spin spin)
{
    struct anysync_executor_options options = {.spin = spin};
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    return executor;
}

/* --- 1 ---------------------------------------------------------------------------------------- */

/* A cell and its waiter, alone in a page that is gone when the waiter has its delivery. */
struct lonely {
    struct asi_cell cell;
    struct asi_waiter waiter;
};

static void *lonely_page;

static void take_page_away(struct asi_waiter *waiter)
{
    (void)waiter;
    CHECK_EQ(munmap(lonely_page, 4096), 0);
}

static void set_it(void *argument, int index)
{
    struct anysync_future *const *futures = argument;

    (void)index;
    for (long i = 0; futures[i]; i++)
        CHECK_EQ(anysync_future_set(futures[i], NULL), 0);
}

/*
 * libuv #2226, #2231: uv_async_send() touched the handle after it had told the loop, which freed
 * it.  Here the waiter unmaps all that completer and waiter shared the moment it is woken, so that
 * any later touch is a fault.  Then futures that are dropped by who polls or waits for them, while
 * another thread completes them: for the sanitizers.
 */
TEST(history_01_completer_leaves_the_future_alone)
{
    for (int i = 0; i < 100; i++) {
        struct lonely *lonely =
                mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(lonely != MAP_FAILED);
        lonely_page = lonely;
        asi_cell_init(&lonely->cell);
        asi_waiter_init(&lonely->waiter, take_page_away);
        struct asi_link *link = asi_link_new();
        CHECK(link != NULL);
        CHECK(asi_cell_join(&lonely->cell, link, &lonely->waiter));
        CHECK(asi_waiter_arm(&lonely->waiter, 0));
        asi_cell_complete(&lonely->cell);
        asi_link_free(link);
    }
    long count = test_scaled(20000);
    struct anysync_future **futures = calloc((size_t)count + 1, sizeof(*futures));
    CHECK(futures != NULL);
    for (long i = 0; i < count; i++)
        futures[i] = new_gate();
    struct anysync_future **shared = calloc((size_t)count + 1, sizeof(*futures));
    CHECK(shared != NULL);
    memcpy(shared, futures, (size_t)count * sizeof(*futures));
    struct test_threads *setter = test_threads_start(1, set_it, shared);
    for (long i = 0; i < count; i++) {
        if (i % 2)
            pass_gate(futures[i]);
        while (!anysync_future_done(futures[i]))
            sched_yield();
        anysync_future_unref(futures[i]); /* the last reference: it is freed here */
    }
    test_threads_join(setter);
    free(shared);
    free(futures);
}

/* --- 2 ---------------------------------------------------------------------------------------- */

static void hand_over(void *argument, int index)
{
    for (long i = test_scaled(2000); i > 0; i--) {
        int sum = 0;
        CHECK_EQ(add_one_run_on(argument, &sum, index), 0);
        CHECK_EQ(sum, index + 1);
    }
}

/*
 * libuv #50, #189, #349, joyent/libuv #1453: a flag "a wake is on its way" was looked at before the
 * queue was published, so the sleeper had missed it and nobody woke it again.  Here the worker
 * sleeps after each task, and two threads with one task each under way submit at the moment when it
 * goes to sleep: a wake that is saved wrongly is a hang.  Windows of 1, 2 and, with a worker that
 * looks before it sleeps, all in between.
 */
TEST(history_02_coalesced_wakes_reach_a_sleeper)
{
    for (int spin = ANYSYNC_SPIN_ADAPTIVE; spin <= ANYSYNC_SPIN_NEVER; spin++) {
        for (int threads = 1; threads <= 3; threads++) {
            struct anysync_executor *executor = new_executor((enum anysync_spin)spin);
            test_together(threads, hand_over, executor);
            anysync_executor_unref(executor);
        }
    }
}

/* --- 3 ---------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, sleep_until, (anysync_time, when))
{
    return anysync_sleep(when);
}

ANYSYNC_COROUTINE(void, wait_readable, (int, fd))
{
    int events = anysync_wait_fd(fd, ANYSYNC_READABLE, ANYSYNC_FOREVER);

    return events < 0 ? events : 0;
}

/*
 * golang/go #42237, #42515: a thread added a timer that was earlier than all others while the
 * poller had computed its timeout already, and slept on.  Here a task sleeps for an hour, so the
 * loop's timeout is far, and timers of some microseconds come from another thread while the loop
 * goes to sleep: one that is slept over takes an hour.  With a futex, and with libevent.
 */
TEST(history_03_an_earlier_timer_is_not_slept_over)
{
    for (int polls = 0; polls < 2; polls++) {
        struct anysync_executor *executor = new_executor(ANYSYNC_SPIN_NEVER);
        int fds[2];

        CHECK_EQ(pipe(fds), 0);
        CHECK_EQ(sleep_until_start_on(executor, NULL, anysync_in_seconds(3600)), 0);
        if (polls)
            CHECK_EQ(wait_readable_start_on(executor, NULL, fds[0]), 0);
        for (long i = test_scaled(1000); i > 0; i--) {
            anysync_time due = anysync_in_us(i % 50);
            CHECK_EQ(sleep_until_run_on(executor, due), 0);
            CHECK_GE(anysync_now(), due);
        }
        CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
        anysync_executor_unref(executor);
        close(fds[0]);
        close(fds[1]);
    }
}

/* --- 4 ---------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, yield_and_nest, (int, depth), (atomic_int *, ended))
{
    for (int i = 0; i < 3; i++) {
        int error = anysync_yield();
        if (error)
            return error;
        if (depth > 0)
            error = yield_and_nest_run(depth - 1, ended);
        if (error)
            return error;
    }
    atomic_fetch_add(ended, 1);
    return anysync_yield(); /* the loop may be about to end */
}

/*
 * tokio #6996, #6999: a task that yielded was put aside to be woken at the next poll; when its
 * thread left the runtime first, for a blocking section or for good, nobody woke it.  Here tasks
 * yield, run something nested (which blocks their worker) and yield again, as the last thing before
 * their executor ends.
 */
TEST(history_04_yield_before_leaving_is_woken)
{
    for (long i = test_scaled(20); i > 0; i--) {
        struct anysync_executor *executor = new_executor(ANYSYNC_SPIN_ADAPTIVE);
        atomic_int ended = 0;

        for (int task = 0; task < 8; task++)
            CHECK_EQ(yield_and_nest_start_on(executor, NULL, task % 3, &ended), 0);
        CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
        CHECK_EQ(atomic_load(&ended), 3 * 1 + 3 * 4 + 2 * 13); /* depths 0, 1 and 2 */
        anysync_executor_unref(executor);
    }
}

/* --- 5 ---------------------------------------------------------------------------------------- */

static bool mentions(const char *folder, const char *name, const char *word)
{
    static char text[1 << 20];
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return strstr(text, word) != NULL;
}

/*
 * glibc bug 25847 (oxcaml #787, weave #56, ocaml-ci #963): a condition variable that is signalled
 * may wake nobody.  Debian 12 has it.  Here: no source of the library does so, the portable futex
 * included.
 */
TEST(history_05_no_condition_variable_is_signalled)
{
    static const char *const folders[] = {"base", "thread", "loop", "coro", "sched", "api"};
    const char *slash = strrchr(__FILE__, '/');
    int sources = 0, broadcasts = 0;

    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%.*s/../lib/%s", (int)(slash - __FILE__), __FILE__,
                folders[i]);
        DIR *folder = opendir(path);
        if (!folder)
            test_fail(TEST_HERE, "%s: run this test where the project is", path);
        for (struct dirent *entry; (entry = readdir(folder));) {
            if (entry->d_name[0] == '.')
                continue;
            sources++;
            if (mentions(path, entry->d_name,
                        "pthread_cond_"
                        "signal"))
                test_fail(TEST_HERE, "%s signals a condition variable", entry->d_name);
            broadcasts += mentions(path, entry->d_name, "pthread_cond_broadcast");
        }
        closedir(folder);
    }
    CHECK_GE(sources, 80);
    CHECK_GE(broadcasts, 1); /* what is looked for would be found */
}

/* --- 12 --------------------------------------------------------------------------------------- */

/* Waits for either; then, whatever came of that, for both. */
ANYSYNC_COROUTINE(int, select_two, (struct anysync_future *, a), (struct anysync_future *, b))
{
    struct anysync_future *futures[2] = {a, b};
    size_t index = 7;
    int error = anysync_wait_any(futures, 2, ANYSYNC_FOREVER, &index), rest = 0;

    *result = error;
    CHECK(error == -ECANCELED ? index == 7 : error == 0 && index < 2);
    ANYSYNC_SHIELD(&rest, ANYSYNC_FOREVER)
    {
        rest = anysync_wait_all(futures, 2, ANYSYNC_FOREVER);
    }
    return rest;
}

ANYSYNC_COROUTINE(void, fire, (struct anysync_future *, future))
{
    return anysync_future_set(future, NULL);
}

/*
 * lalinsky/zio #446: a cancel from another executor met a select that was just about to be woken;
 * in 4 of 10 runs the wake went to the wait that was over, and the next one slept for ever.  Here a
 * task of executor A waits for one of two futures, B completes them, and this thread cancels, all
 * at once; then the task waits again, for both.
 */
TEST(history_12_a_select_cancelled_from_elsewhere)
{
    struct anysync_executor *a = new_executor(ANYSYNC_SPIN_ADAPTIVE);
    struct anysync_executor *b = new_executor(ANYSYNC_SPIN_ADAPTIVE);

    for (long i = test_scaled(3000); i > 0; i--) {
        struct anysync_future *first = new_gate(), *second = new_gate();
        ANYSYNC_SCOPED_FUTURE(select_two, selecting);
        int error = 1;

        CHECK_EQ(select_two_start_on(a, &selecting, first, second), 0);
        CHECK_EQ(fire_start_on(b, NULL, i % 2 ? first : second), 0);
        if (i % 4 >= 2)
            CHECK_EQ(fire_start_on(b, NULL, i % 2 ? second : first), 0);
        int asked = select_two_cancel(&selecting);
        CHECK(asked == 0 || asked == ANYSYNC_DONE);
        if (i % 4 < 2)
            CHECK_EQ(fire_run_on(b, i % 2 ? second : first), 0);
        int status = select_two_wait(&selecting, &error, ANYSYNC_FOREVER);
        CHECK(status == 0 ? error == 0 || error == -ECANCELED : status == -ECANCELED);
        pass_gate(first);
        pass_gate(second);
        /* whoever was cancelled before it began may have left B's tasks under way */
        CHECK_EQ(add_one_run_on(b, &error, 1), 0);
        anysync_future_unref(first);
        anysync_future_unref(second);
    }
    anysync_executor_unref(a);
    anysync_executor_unref(b);
}

/* --- 17 --------------------------------------------------------------------------------------- */

/*
 * libevent #573: event_base_loopbreak() from another thread woke nobody where evthread was not set
 * up, and the loop slept on.  Here workers that sleep, on a futex or in libevent, are stopped: one
 * that does not hear it is a hang.
 */
TEST(history_17_an_idle_loop_hears_a_stop)
{
    struct anysync_executor *executor = new_executor(ANYSYNC_SPIN_NEVER);
    struct anysync_stats stats;
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    for (long i = 0; i < test_scaled(1000); i++) {
        uint64_t sleeps = stats_of(executor).sleeps;
        CHECK_EQ(anysync_executor_start(executor), 0);
        if (i % 2)
            CHECK_EQ(wait_readable_start_on(executor, NULL, fds[0]), 0);
        do /* it sleeps, or is about to: both are asked for */
            anysync_executor_stats(executor, &stats);
        while (i % 4 < 2 && stats.sleeps == sleeps);
        CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    }
    anysync_executor_unref(executor);
    close(fds[0]);
    close(fds[1]);
}

/* --- 19 --------------------------------------------------------------------------------------- */

static atomic_long signals;

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals, 1);
}

static void write_later(void *argument, int index)
{
    const int *fds = argument;
    sigset_t all;

    (void)index;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (long seen = atomic_load(&signals); atomic_load(&signals) < seen + 5;)
        usleep(100);
    CHECK_EQ(write(fds[1], "x", 1), 1);
}

/*
 * golang/go #9785, #20400, #36281, #40846: EINTR reached callers, or was taken for an end.  Here a
 * signal interrupts this thread 2,000 times a second, without SA_RESTART, in each kind of wait:
 * none may end before its time, or with another code.
 */
TEST(history_19_signals_are_no_completions)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    int fds[2], sum;
    char byte = 0;

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    while (atomic_load(&signals) < 200) {
        struct anysync_future *gate = new_gate();
        anysync_time due = anysync_in_ms(3);
        CHECK_EQ(anysync_future_wait(gate, due), -ETIMEDOUT);
        CHECK_GE(anysync_now(), due);
        due = anysync_in_ms(3);
        CHECK_EQ(anysync_sleep(due), 0);
        CHECK_GE(anysync_now(), due);
        CHECK_EQ(sleep_until_run_here(due = anysync_in_ms(3)), 0);
        CHECK_GE(anysync_now(), due);
        CHECK_EQ(sleep_until_run(due = anysync_in_ms(3)), 0);
        CHECK_GE(anysync_now(), due);
        CHECK_EQ(add_one_run(&sum, 41), 0);
        due = anysync_in_ms(3);
        CHECK_EQ(anysync_read(fds[0], &byte, 1, due), -ETIMEDOUT);
        CHECK_GE(anysync_now(), due);
        struct test_threads *writer = test_threads_start(1, write_later, fds);
        CHECK_EQ(anysync_read(fds[0], &byte, 1, ANYSYNC_FOREVER), 1);
        CHECK_EQ(byte, 'x');
        test_threads_join(writer);
        anysync_future_unref(gate);
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
    close(fds[0]);
    close(fds[1]);
}
