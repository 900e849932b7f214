/* SPDX-License-Identifier: MIT */
/*
 * fork() (CONTRACT K2).
 *
 * Promised                                       Tested by (each name begins with k2_)
 *   K2 the child's first use starts a worker     the_child_starts_a_worker_of_its_own
 *   here-loops and nested runs in the child      the_child_runs_here_nested_and_on_descriptors
 *     also one that was kept from before         a_here_loop_kept_from_before_works_in_the_child
 *   user executors in the child                  executors_of_ones_own_work_in_the_child
 *   K2 inherited futures fail at once            inherited_pending_futures_say_eownerdead
 *                                                inherited_futures_of_all_kinds_may_be_dropped
 *     also those made by hand                    inherited_futures_cannot_be_set_in_the_child
 *     what was done stays readable               inherited_results_are_readable
 *   K2 the parent is unaffected                  the_parents_tasks_go_on
 *     its descriptors stay registered            the_parents_descriptors_stay_registered
 *   K2 a thousand forks lose nothing             stress_forks_while_threads_submit
 *   fork as threads use the library first        stress_forks_race_the_first_use
 *   fork inside a coroutine: _exit, exec         a_coroutine_may_fork_and_exit
 *                                                a_coroutine_may_fork_and_exec
 *     the loop does not go on in the child       a_forked_coroutine_cannot_suspend
 *                                                a_forked_coroutine_stops_before_its_loop
 *   a child of a child                           a_grandchild_works_too
 *   a child leaves by exit() without a leak      all those with test_child(), under ASan
 */
#include "harness.h"

#include <anysync/io.h>
#include <anysync/typed.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

ANYSYNC_COROUTINE(int, add_one, (int, n))
{
    int error = anysync_yield();
    *result = n + 1;
    return error;
}

ANYSYNC_COROUTINE(int, add_one_nested, (int, n))
{
    return add_one_run(result, n);
}

/* Waits for one byte of a pipe. */
ANYSYNC_COROUTINE(char, read_one, (int, fd))
{
    ssize_t count = anysync_read(fd, result, 1, ANYSYNC_FOREVER);

    return count < 0 ? (int)count : 0;
}

ANYSYNC_COROUTINE(void, wait_for, (struct anysync_future *, gate))
{
    return anysync_future_wait(gate, ANYSYNC_FOREVER);
}

static void check_works(struct anysync_executor *executor)
{
    int sum = 0;

    CHECK_EQ(add_one_run_on(executor, &sum, 41), 0);
    CHECK_EQ(sum, 42);
}

static void check_descriptors_work(struct anysync_executor *executor)
{
    int fds[2];
    char byte = 0;
    read_one_future reading;

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(read_one_start_on(executor, &reading, fds[0]), 0);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(read_one_wait(&reading, &byte, ANYSYNC_FOREVER), 0);
    CHECK_EQ(byte, 'x');
    read_one_drop(&reading);
    close(fds[0]);
    close(fds[1]);
}

static int use_everything(void *argument)
{
    struct anysync_executor *executor = argument;
    int sum = 0;

    check_works(executor);
    check_descriptors_work(executor);
    CHECK_EQ(add_one_run_here(&sum, 1), 0);
    CHECK_EQ(add_one_nested_run_on(executor, &sum, 2), 0);
    CHECK_EQ(sum, 3);
    return 0;
}

/* FUNCTION ends with status 0 in a child.  The thread sanitizer does not follow locks and switches
 * in a child that was forked with more than one thread, and takes what they order for races; it
 * also takes a new thread for one that did not come along. */
static void check_child(int (*function)(void *argument), void *argument)
{
    struct test_child child = test_child(function, argument);
    bool confused = TEST_TSAN && child.status == 66 &&
                    (strstr(child.errors, "data race") || strstr(child.errors, "dup thread"));

    if (!child.exited || (child.status != 0 && !confused))
        test_fail(TEST_HERE, "child: status %d, signal %d: %s", child.status, child.signal,
                child.errors);
    free(child.errors);
}

/* --- the child -------------------------------------------------------------------------------- */

static int start_a_worker(void *argument)
{
    struct anysync_stats stats;

    (void)argument;
    CHECK_EQ(test_thread_count(), 1);
    anysync_executor_stats(NULL, &stats);
    CHECK_EQ(stats.workers, 0);
    check_works(NULL);
    anysync_executor_stats(NULL, &stats);
    CHECK_EQ(stats.workers, 1);
    CHECK_EQ(stats.tasks, 1);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    return 0;
}

TEST(k2_the_child_starts_a_worker_of_its_own)
{
    check_works(NULL);
    check_child(start_a_worker, NULL);
    check_works(NULL);
}

TEST(k2_the_child_runs_here_nested_and_on_descriptors)
{
    use_everything(NULL); /* the parent has a base, nested threads and a here-loop */
    check_child(use_everything, NULL);
    use_everything(NULL);
}

TEST(k2_a_here_loop_kept_from_before_works_in_the_child)
{
    int fds[2];
    char byte = 0;

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(read_one_run_here(&byte, fds[0]), 0);
    CHECK_EQ(read_one_run_here_until(&byte, fds[0], anysync_in_ms(1)), -ETIMEDOUT); /* a base */
    check_child(use_everything, NULL);
    CHECK_EQ(write(fds[1], "y", 1), 1);
    CHECK_EQ(read_one_run_here(&byte, fds[0]), 0);
    CHECK_EQ(byte, 'y');
}

TEST(k2_executors_of_ones_own_work_in_the_child)
{
    struct anysync_executor *used, *fresh, *stopped;

    CHECK_EQ(anysync_executor_new(NULL, &used), 0);
    CHECK_EQ(anysync_executor_new(NULL, &fresh), 0);
    CHECK_EQ(anysync_executor_new(NULL, &stopped), 0);
    use_everything(used);
    check_works(stopped);
    CHECK_EQ(anysync_executor_shutdown(stopped, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    check_child(use_everything, used);
    check_child(use_everything, fresh);
    check_child(use_everything, stopped); /* every executor is as it was before first use */
    use_everything(used);
    CHECK_EQ(add_one_run_on(stopped, NULL, 1), -ESHUTDOWN);
    anysync_executor_unref(used);
    anysync_executor_unref(fresh);
    anysync_executor_unref(stopped);
}

static int have_a_child(void *argument)
{
    check_works(NULL);
    check_child(use_everything, argument);
    check_works(NULL);
    return 0;
}

TEST(k2_a_grandchild_works_too)
{
    check_works(NULL);
    check_child(have_a_child, NULL);
}

/* --- inherited futures ------------------------------------------------------------------------ */

struct inherited {
    struct anysync_future *gate;
    wait_for_future pending;
    add_one_future done;
    struct anysync_future *failed;
};

static void inherited_open(struct inherited *inherited)
{
    CHECK_EQ(anysync_future_new(0, &inherited->gate), 0);
    CHECK_EQ(wait_for_start(&inherited->pending, inherited->gate), 0);
    CHECK_EQ(add_one_start(&inherited->done, 6), 0);
    CHECK_EQ(add_one_wait(&inherited->done, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_future_new(0, &inherited->failed), 0);
    CHECK_EQ(anysync_future_fail(inherited->failed, -EPROTO, "no such luck"), 0);
}

static void inherited_close(struct inherited *inherited)
{
    wait_for_drop(&inherited->pending);
    add_one_drop(&inherited->done);
    anysync_future_unref(inherited->gate);
    anysync_future_unref(inherited->failed);
}

static void check_orphan(struct anysync_future *future)
{
    struct anysync_future *two[2] = {NULL, future};
    size_t index = 9;

    CHECK(!anysync_future_done(future));
    CHECK_EQ(anysync_future_wait(future, ANYSYNC_FOREVER), -EOWNERDEAD);
    CHECK_CONTAINS(anysync_last_error()->message, "fork");
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
    CHECK_EQ(anysync_future_wait(future, ANYSYNC_POLL), -EOWNERDEAD);
    CHECK_EQ(anysync_wait(future, NULL, ANYSYNC_FOREVER), -EOWNERDEAD);
    CHECK_EQ(anysync_future_result(future, NULL), -EOWNERDEAD);
    CHECK_EQ(anysync_wait_any(two, 2, ANYSYNC_FOREVER, &index), -EOWNERDEAD);
    CHECK_EQ(index, 9);
    CHECK_EQ(anysync_wait_all(two, 2, ANYSYNC_FOREVER), -EOWNERDEAD);
    CHECK_EQ(anysync_cancel(future), -EOWNERDEAD);
    CHECK_EQ(anysync_last_error()->code, -EOWNERDEAD);
}

static int check_pending(void *argument)
{
    struct inherited *inherited = argument;

    check_orphan(inherited->pending.future);
    check_orphan(inherited->gate);
    CHECK_EQ(wait_for_run(inherited->gate), -EOWNERDEAD); /* in a coroutine likewise */
    CHECK_EQ(wait_for_run_here(inherited->gate), -EOWNERDEAD);
    check_works(NULL);
    return 0;
}

TEST(k2_inherited_pending_futures_say_eownerdead)
{
    struct inherited inherited;

    inherited_open(&inherited);
    check_child(check_pending, &inherited);
    CHECK_EQ(anysync_future_set(inherited.gate, NULL), 0);
    CHECK_EQ(wait_for_wait(&inherited.pending, ANYSYNC_FOREVER), 0);
    inherited_close(&inherited);
}

static int check_done(void *argument)
{
    struct inherited *inherited = argument;
    struct anysync_future *two[2] = {inherited->pending.future, inherited->done.future};
    size_t index = 9;
    int sum = 0;

    CHECK_EQ(add_one_wait(&inherited->done, &sum, ANYSYNC_POLL), 0);
    CHECK_EQ(sum, 7);
    CHECK_EQ(anysync_cancel(inherited->done.future), ANYSYNC_DONE);
    CHECK_EQ(anysync_wait_any(two, 2, ANYSYNC_FOREVER, &index), 0);
    CHECK_EQ(index, 1);
    CHECK_EQ(anysync_wait(inherited->failed, NULL, ANYSYNC_FOREVER), -EPROTO);
    CHECK_STR(anysync_last_error()->message, "no such luck");
    return 0;
}

TEST(k2_inherited_results_are_readable)
{
    struct inherited inherited;

    inherited_open(&inherited);
    check_child(check_done, &inherited);
    CHECK_EQ(anysync_future_set(inherited.gate, NULL), 0);
    CHECK_EQ(wait_for_wait(&inherited.pending, ANYSYNC_FOREVER), 0);
    inherited_close(&inherited);
}

static int drop_all(void *argument)
{
    inherited_close(argument);
    check_works(NULL);
    return 0;
}

TEST(k2_inherited_futures_of_all_kinds_may_be_dropped)
{
    struct inherited inherited;

    inherited_open(&inherited);
    check_child(drop_all, &inherited);
    CHECK_EQ(anysync_future_set(inherited.gate, NULL), 0);
    CHECK_EQ(wait_for_wait(&inherited.pending, ANYSYNC_FOREVER), 0);
    inherited_close(&inherited);
}

/* Its waiters are on stacks of threads that do not exist here; new threads get that memory. */
static int set_in_child(void *argument)
{
    check_works(NULL);
    CHECK_EQ(anysync_future_set(argument, NULL), -EOWNERDEAD);
    CHECK_EQ(anysync_future_fail(argument, -EIO, NULL), -EOWNERDEAD);
    CHECK(!anysync_future_done(argument));
    check_works(NULL);
    return 0;
}

static void wait_on_thread(void *argument, int index)
{
    (void)index;
    CHECK_EQ(anysync_future_wait(argument, ANYSYNC_FOREVER), 0);
}

TEST(k2_inherited_futures_cannot_be_set_in_the_child)
{
    struct anysync_future *gate;

    test_forks_among_threads();
    CHECK_EQ(anysync_future_new(0, &gate), 0);
    struct test_threads *threads = test_threads_start(4, wait_on_thread, gate);
    check_child(set_in_child, gate);
    CHECK_EQ(anysync_future_set(gate, NULL), 0);
    test_threads_join(threads);
    anysync_future_unref(gate);
}

/* --- the parent ------------------------------------------------------------------------------- */

TEST(k2_the_parents_tasks_go_on)
{
    struct inherited inherited;
    struct anysync_stats before, after;

    inherited_open(&inherited);
    anysync_executor_stats(NULL, &before);
    check_child(use_everything, NULL);
    CHECK_EQ(anysync_wait(inherited.pending.future, NULL, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(anysync_future_set(inherited.gate, NULL), 0);
    CHECK_EQ(wait_for_wait(&inherited.pending, ANYSYNC_FOREVER), 0);
    check_works(NULL);
    anysync_executor_stats(NULL, &after);
    CHECK_EQ(after.workers, 1);
    CHECK_EQ(after.worker_serial, before.worker_serial);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    inherited_close(&inherited);
}

TEST(k2_the_parents_descriptors_stay_registered)
{
    struct anysync_executor *executors[3] = {NULL};
    read_one_future readings[3];
    int fds[3][2];
    char byte;

    if (TEST_MSAN)
        test_forks_among_threads();
    CHECK_EQ(anysync_executor_new(NULL, &executors[1]), 0);
    CHECK_EQ(anysync_executor_new(NULL, &executors[2]), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pipe(fds[i]), 0);
        check_descriptors_work(executors[i]);
        CHECK_EQ(read_one_start_on(executors[i], &readings[i], fds[i][0]), 0);
        check_works(executors[i]); /* comes after it: now it is registered */
    }
    for (int i = 0; i < 3; i++)
        check_child(use_everything, executors[i]);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(write(fds[i][1], "z", 1), 1);
        CHECK_EQ(read_one_wait(&readings[i], &byte, ANYSYNC_FOREVER), 0);
        CHECK_EQ(byte, 'z');
        read_one_drop(&readings[i]);
        check_descriptors_work(executors[i]);
        close(fds[i][0]);
        close(fds[i][1]);
    }
    anysync_executor_unref(executors[1]);
    anysync_executor_unref(executors[2]);
}

/* --- stress ----------------------------------------------------------------------------------- */

struct crowd {
    struct anysync_executor *own;
    atomic_bool stop;
    atomic_long done;
};

static void submit_until_stopped(void *argument, int index)
{
    struct crowd *crowd = argument;
    struct anysync_executor *executor = index % 2 ? crowd->own : NULL;

    for (int i = 0; !atomic_load(&crowd->stop); i++) {
        add_one_future future;
        int sum = 0;
        CHECK_EQ(add_one_start_on(executor, &future, i), 0);
        CHECK_EQ(add_one_wait(&future, &sum, ANYSYNC_FOREVER), 0);
        CHECK_EQ(sum, i + 1);
        add_one_drop(&future);
        if (i % 16 == 0)
            CHECK_EQ(add_one_run_here(&sum, i), 0);
        atomic_fetch_add(&crowd->done, 1);
    }
}

TEST(k2_stress_forks_while_threads_submit)
{
    long forks = test_scaled(1000);
    struct crowd crowd = {.done = 0};

    test_forks_among_threads();
    CHECK_EQ(anysync_executor_new(NULL, &crowd.own), 0);
    struct test_threads *threads = test_threads_start(3, submit_until_stopped, &crowd);
    for (long i = 0; i < forks; i++) {
        int status;
        pid_t pid = fork();
        CHECK_GE(pid, 0);
        if (pid == 0) {
            check_works(NULL);
            check_works(crowd.own);
            _exit(0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
    }
    atomic_store(&crowd.stop, true);
    test_threads_join(threads); /* what was lost would be waited for until the time limit */
    CHECK_GE(atomic_load(&crowd.done), 1);
    anysync_executor_unref(crowd.own);
}

/* Each of the library's parts prepares itself for fork() when it is first used. */
static void first_use(void *argument, int index)
{
    struct anysync_executor *executor;
    int sum;

    (void)argument;
    if (index == 0) {
        CHECK_EQ(add_one_run_here(&sum, 1), 0);
    } else if (index == 1) {
        check_works(NULL);
    } else if (index == 2) {
        CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
        anysync_executor_unref(executor);
    } else {
        pid_t pid = fork();
        int status;
        if (pid == 0)
            _exit(0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
    }
}

static int race_first_use(void *argument)
{
    (void)argument;
    test_together(6, first_use, NULL);
    check_works(NULL);
    check_child(use_everything, NULL);
    _exit(0);
}

TEST(k2_stress_forks_race_the_first_use)
{
    long rounds = test_scaled(300);

    test_forks_among_threads();
    for (long i = 0; i < rounds; i++)
        check_child(race_first_use, NULL);
}

/* --- inside a coroutine ----------------------------------------------------------------------- */

enum after_fork { EXIT, EXEC, SUSPEND, RETURN };

ANYSYNC_COROUTINE(int, fork_inside, (enum after_fork, what))
{
    struct anysync_future *gate = NULL;
    int status = -1;
    pid_t pid = fork();

    CHECK_GE(pid, 0);
    if (pid > 0) {
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        *result = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        return anysync_sleep(anysync_in_ms(1)); /* the parent's loop goes on */
    }
    if (what == EXEC) {
        execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
        _exit(1);
    }
    if (what == SUSPEND) {
        CHECK_EQ(anysync_sleep(anysync_in_ms(1)), -EOWNERDEAD);
        CHECK_EQ(anysync_yield(), -EOWNERDEAD);
        CHECK_EQ(anysync_future_new(0, &gate), 0);
        CHECK_EQ(anysync_future_wait(gate, ANYSYNC_FOREVER), -EOWNERDEAD);
        CHECK_EQ(add_one_await(NULL, 1), -EOWNERDEAD);
        CHECK_EQ(add_one_start(NULL, 1), -EOWNERDEAD);
        CHECK_EQ(add_one_run_on(NULL, NULL, 1), -EOWNERDEAD);
        CHECK(anysync_event_base() == NULL);
        CHECK_EQ(anysync_last_error()->code, -EOWNERDEAD);
        CHECK(anysync_last_error()->message[0] != '\0');
    }
    if (what == RETURN)
        return 0;
    _exit(7);
}

/* On the worker, on a here-loop and nested. */
ANYSYNC_COROUTINE(int, fork_inside_nested, (enum after_fork, what))
{
    return fork_inside_run(result, what);
}

static void check_forks(enum after_fork what, int expected)
{
    int status = -1;

    CHECK_EQ(fork_inside_run(&status, what), 0);
    CHECK_EQ(status, expected);
    CHECK_EQ(fork_inside_run_here(&status, what), 0);
    CHECK_EQ(status, expected);
    CHECK_EQ(fork_inside_nested_run(&status, what), 0);
    CHECK_EQ(status, expected);
    use_everything(NULL);
}

TEST(k2_a_coroutine_may_fork_and_exit)
{
    check_forks(EXIT, 7);
}

TEST(k2_a_coroutine_may_fork_and_exec)
{
    check_forks(EXEC, 7);
}

TEST(k2_a_forked_coroutine_cannot_suspend)
{
    check_forks(SUSPEND, 7);
}

static int return_into_the_loop(void *argument)
{
    int status = -1;

    (void)argument;
    int error = fork_inside_run_here(&status, RETURN);
    CHECK_EQ(error, 0);
    return status == -SIGABRT ? 0 : 1;
}

TEST(k2_a_forked_coroutine_stops_before_its_loop)
{
    struct test_child child = test_child(return_into_the_loop, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    CHECK_CONTAINS(child.errors, "fork()");
    CHECK_CONTAINS(child.errors, "_exit()");
    free(child.errors);
}
