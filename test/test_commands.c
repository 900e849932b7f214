/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* syscall() */
/*
 * Commands: children from beginning to end (include/anysync/process.h).
 *
 * Promised                                       Tested by
 *   K7 input, output, errors                     k7_a_command_gets_input_and_gives_output
 *                                                k7_much_input_and_output_at_once
 *                                                k7_errors_apart_or_joined
 *      and how they end                          k7_a_command_that_fails_is_named
 *                                                k7_a_command_need_not_read_its_input
 *                                                k7_a_command_is_killed_at_its_deadline
 *                                                k7_a_cancelled_command_is_killed
 *                                                k7_a_command_that_writes_too_much_is_killed
 *        whose end is waited for                 k7_a_killed_command_is_gone
 *        though its pipes are always ready       k7_pipes_that_are_ready_hide_no_deadline
 *      refusals lose nothing                     k7_refused_at_each_place
 *      all of it at once                         k7_stress_many_children
 *
 * What is refused in callbacks: test_children.c.
 */
#include "fault.h"
#include "jobs.h"
#include "worlds.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- commands --------------------------------------------------------------------------------- */

static int run_script(const char *script, const struct anysync_command_options *options,
        anysync_time deadline, struct anysync_command_result *ret_result)
{
    char *arguments[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};

    return anysync_command_run(arguments, options, deadline, ret_result);
}

static void check_command(void)
{
    const struct anysync_command_options options = {.input = "b\na\n", .input_size = 4};
    struct anysync_command_result result;
    int before = test_fd_count();

    CHECK_EQ(run_script("sort; echo note >&2", &options, ANYSYNC_FOREVER, &result), 0);
    CHECK_STR(result.output, "a\nb\n");
    CHECK_EQ(result.output_size, 4);
    CHECK_STR(result.errors, "note\n");
    CHECK_EQ(anysync_ending_check("sort", &result.ending), 0);
    anysync_command_clear(&result);
    CHECK_EQ(run_script("cat", NULL, anysync_in_seconds(3600), &result), 0); /* no input */
    CHECK_STR(result.output, "");
    CHECK_STR(result.errors, "");
    anysync_command_clear(&result);
    if (world_now == PLAIN) /* a loop keeps descriptors of its own */
        CHECK_EQ(test_fd_count(), before);
}

TEST(k7_a_command_gets_input_and_gives_output)
{
    in_worlds(EVERYWHERE_AND_POOL, check_command);
    fault_fail("pidfd", 1, true);
    in_worlds(EVERYWHERE_AND_POOL, check_command);
}

static void check_much(void)
{
    enum { MUCH = 700 * 1000 };
    struct anysync_command_result result;
    char *input = malloc(MUCH);

    CHECK(input != NULL);
    for (int i = 0; i < MUCH; i++)
        input[i] = (char)(i % 101);
    const struct anysync_command_options options = {
            .input = input, .input_size = MUCH, .limit = MUCH};
    CHECK_EQ(run_script("tee /dev/stderr", &options, ANYSYNC_FOREVER, &result), 0);
    CHECK_EQ(result.output_size, MUCH);
    CHECK_EQ(result.errors_size, MUCH);
    CHECK(memcmp(result.output, input, MUCH) == 0);
    CHECK(memcmp(result.errors, input, MUCH) == 0);
    anysync_command_clear(&result);
    free(input);
}

TEST(k7_much_input_and_output_at_once)
{
    in_worlds(EVERYWHERE_AND_POOL, check_much);
}

TEST(k7_errors_apart_or_joined)
{
    const struct anysync_command_options options = {.join_errors = true};
    struct anysync_command_result result;

    CHECK_EQ(run_script("echo 1; echo 2 >&2; echo 3", &options, ANYSYNC_FOREVER, &result), 0);
    CHECK_STR(result.output, "1\n2\n3\n");
    CHECK_STR(result.errors, "");
    anysync_command_clear(&result);
}

static void check_failing(void)
{
    struct anysync_command_result result;
    char *arguments[] = {"no-such-command", NULL};

    CHECK_EQ(run_script("echo half; exit 3", NULL, ANYSYNC_FOREVER, &result), 0);
    CHECK_STR(result.output, "half\n");
    CHECK_EQ(anysync_ending_check("my script", &result.ending), -EIO);
    CHECK_STR(anysync_last_error()->message, "my script: exit status 3");
    anysync_command_clear(&result);
    CHECK_EQ(run_script("kill -9 $$", NULL, ANYSYNC_FOREVER, &result), 0);
    CHECK_EQ(anysync_ending_check("my script", &result.ending), -EIO);
    CHECK_CONTAINS(anysync_last_error()->message, "my script: ended by signal 9 (SIGKILL)");
    anysync_command_clear(&result);
    CHECK_EQ(anysync_command_run(arguments, NULL, ANYSYNC_FOREVER, &result), -ENOENT);
    CHECK_STR(anysync_last_error()->message, "no-such-command could not be started: no such thing");
}

TEST(k7_a_command_that_fails_is_named)
{
    in_worlds(EVERYWHERE_AND_POOL, check_failing);
}

static void check_unread(void)
{
    static char input[300 * 1000];
    const struct anysync_command_options options = {.input = input, .input_size = sizeof(input)};
    struct anysync_command_result result;

    CHECK_EQ(run_script("exec <&-; echo done", &options, ANYSYNC_FOREVER, &result), 0);
    CHECK_STR(result.output, "done\n"); /* and no SIGPIPE */
    anysync_command_clear(&result);
}

TEST(k7_a_command_need_not_read_its_input)
{
    sigset_t pending;

    in_worlds(EVERYWHERE_AND_POOL, check_unread);
    CHECK_EQ(sigpending(&pending), 0);
    CHECK(!sigismember(&pending, SIGPIPE));
}

/* The child tells its number through the file, and then never ends by itself. */
static void check_killed(void)
{
    struct anysync_command_result result = {.output_size = 99};
    const struct anysync_command_options options = {.own_group = true, .limit = 1 << 30};

    CHECK_EQ(run_script("sleep 10000 & wait", &options, anysync_in_ms(2), &result), -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, "sh was killed: the deadline passed");
    CHECK_EQ(run_script("exec yes", &options, anysync_in_ms(2), &result), -ETIMEDOUT);
    CHECK_EQ(run_script("exec sleep 10000", NULL, ANYSYNC_POLL, &result), -ETIMEDOUT);
    CHECK_EQ(result.output_size, 99);
    /* no child is left */
    while (waitpid(-1, NULL, WNOHANG) == 0)
        nap();
}

TEST(k7_a_command_is_killed_at_its_deadline)
{
    in_worlds(EVERYWHERE_AND_POOL, check_killed);
}

ANYSYNC_COROUTINE(void, commands, (struct anysync_future *, begun))
{
    struct anysync_command_result result;

    open_gate(begun);
    return run_script("exec sleep 10000", NULL, ANYSYNC_FOREVER, &result);
}

static void check_cancelled_command(void)
{
    struct anysync_future *begun = new_gate();
    commands_future task;

    CHECK_EQ(commands_start(&task, begun), 0);
    pass_gate(begun);
    CHECK_EQ(commands_cancel(&task), 0);
    CHECK_EQ(commands_wait(&task, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_STR(anysync_last_error()->message, "sh was killed: its caller was cancelled");
    commands_drop(&task);
    anysync_future_unref(begun);
    while (waitpid(-1, NULL, WNOHANG) == 0)
        nap();
}

TEST(k7_a_cancelled_command_is_killed)
{
    in_worlds(IN_COROUTINES, check_cancelled_command);
}

/* Whether no child is left, not even one that is about to end. */
static bool is_gone(void)
{
    bool gone = waitpid(-1, NULL, WNOHANG) == -1;

    while (waitpid(-1, NULL, WNOHANG) == 0)
        nap();
    return gone;
}

/* Each is waited for up to a second, which may be too little at times, but not each time; and one
 * that is not waited for may be gone in time, but not each time. */
static void check_gone(void)
{
    struct anysync_command_result result;

    for (int in_a_row = 0; in_a_row < 20;) {
        CHECK_EQ(run_script("exec sleep 10000", NULL, ANYSYNC_POLL, &result), -ETIMEDOUT);
        in_a_row = is_gone() ? in_a_row + 1 : 0;
    }
    for (int in_a_row = 0; in_a_row < 20;) {
        struct anysync_future *begun = new_gate();
        commands_future task;
        CHECK_EQ(commands_start(&task, begun), 0);
        pass_gate(begun);
        CHECK_EQ(commands_cancel(&task), 0);
        CHECK_EQ(commands_wait(&task, ANYSYNC_FOREVER), -ECANCELED);
        commands_drop(&task);
        anysync_future_unref(begun);
        in_a_row = is_gone() ? in_a_row + 1 : 0;
    }
}

TEST(k7_a_killed_command_is_gone)
{
    in_worlds(IN_COROUTINES, check_gone);
}

#if !TEST_TSAN && !TEST_MSAN /* which have to see it */

static _Atomic(anysync_time) late; /* not 0: a command's pipes are looked at no sooner */

/* In the place of the system's: of libevent's calls, too. */
int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms)
{
    siginfo_t info;

    if (atomic_load(&late) != 0 && most == 3) {
        while (anysync_now() < atomic_load(&late))
            nap();
        CHECK_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
        atomic_store(&late, 0);
    }
    return (int)syscall(SYS_epoll_pwait, epoll, events, most, timeout_ms, NULL, 8);
}

/* All that it writes is there, it has ended, and only the clock says that it is too late. */
static void check_ready(void)
{
    const struct anysync_command_options options = {.limit = 1 << 30};
    struct anysync_command_result result;

    anysync_time deadline = anysync_in_ms(30);
    atomic_store(&late, deadline);
    CHECK_EQ(run_script("exec head -c 60000 /dev/zero", &options, deadline, &result), -ETIMEDOUT);
    atomic_store(&late, 0);
}

#endif

TEST(k7_pipes_that_are_ready_hide_no_deadline)
{
#if TEST_TSAN || TEST_MSAN
    test_skip("its own epoll_wait() is needed");
#else
    in_worlds(EVERYWHERE_AND_POOL, check_ready);
#endif
}

static void check_limit(void)
{
    const struct anysync_command_options options = {.limit = 1000};
    struct anysync_command_result result;

    CHECK_EQ(run_script("exec yes", &options, ANYSYNC_FOREVER, &result), -EMSGSIZE);
    CHECK_STR(anysync_last_error()->message, "sh wrote more than 1000 bytes, and was killed");
    CHECK_EQ(run_script("exec yes >&2", NULL, ANYSYNC_FOREVER, &result), -EMSGSIZE);
    CHECK_EQ(run_script("exec head -c 1000 /dev/zero", &options, ANYSYNC_FOREVER, &result), 0);
    CHECK_EQ(result.output_size, 1000);
    anysync_command_clear(&result);
}

TEST(k7_a_command_that_writes_too_much_is_killed)
{
    in_worlds(EVERYWHERE_AND_POOL, check_limit);
}

/* --- refused by the system -------------------------------------------------------------------- */

static void refuse(bool with_pidfd)
{
    for (int nth = 1;; nth++) {
        struct anysync_command_result result = {.output = NULL};
        const struct anysync_command_options options = {.input = "hello", .input_size = 5};
        fault_fail(FAULT_ANY, nth, false);
        if (!with_pidfd)
            fault_fail("pidfd", 1, true);
        int error = run_script("cat", &options, ANYSYNC_FOREVER, &result);
        bool reached = fault_failed(FAULT_ANY) > 0;
        fault_clear();
        if (error) {
            CHECK(error == -ENOMEM || error == -EMFILE || error == -EAGAIN);
            CHECK_CONTAINS(anysync_last_error()->message, "sh");
        } else {
            CHECK_STR(result.output, "hello");
            anysync_command_clear(&result);
        }
        if (!reached)
            break;
    }
    while (waitpid(-1, NULL, WNOHANG) == 0)
        nap();
}

TEST(k7_refused_at_each_place)
{
    refuse(true);
    refuse(false);
}

/* --- all at once ------------------------------------------------------------------------------ */

ANYSYNC_COROUTINE(void, one_of_many, (int, index))
{
    struct anysync_command_result result;
    char script[60], expected[60];

    snprintf(script, sizeof(script), "echo %d; exit %d", index, index % 7);
    snprintf(expected, sizeof(expected), "%d\n", index);
    CHECK_EQ(run_script(script, NULL, ANYSYNC_FOREVER, &result), 0);
    CHECK_STR(result.output, expected);
    CHECK_EQ(result.ending.status, index % 7);
    anysync_command_clear(&result);
    return 0;
}

/* A child that is dropped at once. */
static void drop_one(void)
{
    char *arguments[] = {"true", NULL};
    struct anysync_process *process;

    CHECK_EQ(anysync_process_new("true", arguments, NULL, &process), 0);
    anysync_process_unref(process);
}

static void many(void *argument, int index)
{
    enum { TASKS = 8 };
    const long *rounds = argument;

    for (long round = 0; round < *rounds; round++) {
        one_of_many_future tasks[TASKS];
        for (int i = 0; i < TASKS; i++)
            CHECK_EQ(one_of_many_start(&tasks[i], index * 100 + i), 0);
        CHECK_EQ(one_of_many_run_here(index * 100 + 50), 0);
        drop_one();
        for (int i = 0; i < TASKS; i++) {
            CHECK_EQ(one_of_many_wait(&tasks[i], ANYSYNC_FOREVER), 0);
            one_of_many_drop(&tasks[i]);
        }
    }
}

TEST(k7_stress_many_children)
{
    long rounds = test_scaled(3);

    test_together(3, many, &rounds);
    siginfo_t zombie; /* is looked at, and left to the library */
    while (waitid(P_ALL, 0, &zombie, WEXITED | WNOHANG | WNOWAIT) == 0)
        nap();
    CHECK_EQ(errno, ECHILD);
}
