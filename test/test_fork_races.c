/* SPDX-License-Identifier: MIT */
/*
 * fork() at bad moments (CONTRACT K2).  The rest: test_fork.c.
 *
 * Promised                                      Tested by
 *   K2 the child's first use works, whatever    k2_stress_forks_while_executors_start_and_stop
 *     the parent's threads were at
 *   K2 tasks made before a fork, tasks of the   k2_a_task_made_before_a_fork_runs_in_the_child
 *     parent                                  k2_a_forked_coroutine_runs_none_of_its_parents_tasks
 */
#include "harness.h"

#include <anysync/typed.h>

#include <errno.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

ANYSYNC_COROUTINE(int, add_one, (int, n))
{
    int error = anysync_yield();
    *result = n + 1;
    return error;
}

static void start_and_stop(void *argument, int index)
{
    atomic_bool *stop = argument;
    struct anysync_executor *executor;

    (void)index;
    while (!atomic_load(stop)) {
        CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
        CHECK_EQ(anysync_executor_start(executor), 0);
        CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
        anysync_executor_unref(executor);
    }
}

/* A lock that a thread of the parent has at that moment would be taken for ever in the child. */
TEST(k2_stress_forks_while_executors_start_and_stop)
{
    atomic_bool stop = false;

    test_forks_among_threads();
    struct test_threads *threads = test_threads_start(2, start_and_stop, &stop);
    for (long i = test_scaled(500); i > 0; i--) {
        int status, sum = 0;
        pid_t pid = fork();
        CHECK_GE(pid, 0);
        if (pid == 0) {
            CHECK_EQ(add_one_run(&sum, 41), 0);
            CHECK_EQ(sum, 42);
            _exit(0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
    }
    atomic_store(&stop, true);
    test_threads_join(threads);
}

/* --- task objects ----------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, answer)
{
    *result = 42;
    return anysync_sleep(anysync_in_ms(1));
}

static int use_inherited_task(void *how)
{
    ANYSYNC_SCOPED_FUTURE(answer, future);
    struct anysync_task *task = ((struct anysync_task **)how)[0];
    int value = 0;

    if (((struct anysync_task **)how)[1]) {
        CHECK_EQ(anysync_task_start(task, &future.future), 0);
        CHECK_EQ(answer_wait(&future, &value, ANYSYNC_FOREVER), 0);
    } else {
        CHECK_EQ(anysync_task_run(task, &value, ANYSYNC_FOREVER), 0);
    }
    CHECK_EQ(value, 42);
    return 0;
}

TEST(k2_a_task_made_before_a_fork_runs_in_the_child)
{
    for (int start = 0; start < 2; start++) {
        struct anysync_task *how[2] = {NULL, NULL};
        CHECK_EQ(anysync_task_new(&answer_function, NULL, NULL, &how[0]), 0);
        how[1] = start ? how[0] : NULL;
        struct test_child child = test_child(use_inherited_task, how);
        if (!child.exited || child.status != 0)
            test_fail(TEST_HERE, "%s", child.errors);
        free(child.errors);
        anysync_task_unref(how[0]);
    }
}

/* --- the parent's tasks ----------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, only_in, (pid_t, process))
{
    if (getpid() != process)
        _exit(3);
    return 0;
}

ANYSYNC_COROUTINE(int, fork_and_run_on, (struct anysync_executor *, other))
{
    int status = -1, value;
    int error = only_in_start(NULL, getpid()); /* it is ready when the fork comes */
    pid_t pid = error ? -1 : fork();

    CHECK_GE(pid, 0);
    if (pid == 0)
        _exit(answer_run_on(other, &value) == -EOWNERDEAD ? 7 : 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    *result = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return 0;
}

TEST(k2_a_forked_coroutine_runs_none_of_its_parents_tasks)
{
    struct anysync_executor *other;
    int status = -1;

    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    CHECK_EQ(fork_and_run_on_run(&status, other), 0);
    CHECK_EQ(status, 7);
    CHECK_EQ(fork_and_run_on_run_here(&status, other), 0);
    CHECK_EQ(status, 7);
    anysync_executor_unref(other);
}
