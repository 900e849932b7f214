/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* system_calls.h */
/*
 * The system refuses, or is interrupted, in programs and files, where the library has no door for a
 * test to close (system_calls.h; CONTRACT K7, K10).  Sockets: test_covered_network.c.
 *
 * Promised                                        Tested by
 *   K7 a program that cannot be started: why        k7_each_step_of_a_start_may_fail
 *                                                   k7_streams_that_cannot_be_had
 *      a wait that has no thread: try again         k7_a_wait_without_a_thread_is_tried_again
 *        also if that turns out later               k7_a_wait_that_is_left_without_a_thread
 *      no zombie stays then, either                 k7_a_dropped_child_is_left_without_a_thread
 *      a command that fails half-way is killed      k7_each_step_of_a_command_may_fail
 *      a command without memory is killed           k7_much_output_without_memory
 *      a command that nobody is left to wait for    k7_a_command_that_is_reaped_elsewhere
 *      SIGCHLD tells the status                     k7_the_signal_of_a_child_tells_its_status
 *      no command begins after the deadline         k7_no_command_begins_without_time
 *   K10 a file that cannot be written: why          k10_each_step_of_a_replacement_may_fail
 *       a close without memory                      k10_a_file_is_closed_without_a_job
 *         or in a forked child                      k10_a_file_is_closed_in_a_forked_child
 */
#include "fault.h"
#include "jobs.h"
#include "system_calls.h"
#include "worlds.h"

#include <sys/resource.h>
#include <sys/wait.h>

/* --- programs --------------------------------------------------------------------------------- */

static int start_program(void)
{
    char *arguments[] = {"true", NULL};
    const struct anysync_process_options options = {.directory = "/",
            .input.kind = ANYSYNC_STDIO_PIPE,
            .output.kind = ANYSYNC_STDIO_NULL,
            .errors.kind = ANYSYNC_STDIO_OUTPUT};
    struct anysync_process *process = NULL;
    int error = anysync_process_new("true", arguments, &options, &process);

    if (error) {
        CHECK_CONTAINS(anysync_last_error()->message, "true");
        return error;
    }
    CHECK_EQ(anysync_process_wait(process, ANYSYNC_FOREVER, NULL), 0);
    anysync_process_unref(process);
    return 0;
}

TEST(k7_each_step_of_a_start_may_fail)
{
    static const struct step steps[] = {
            {"pipe2", 0, EMFILE, -EMFILE},
            {"open", 0, EMFILE, -EMFILE},
            {"posix_spawn_file_actions_init", 0, ENOMEM, -ENOMEM},
            {"posix_spawn_file_actions_adddup2", 0, ENOMEM, -ENOMEM},
            {"posix_spawn_file_actions_addchdir_np", 0, ENOMEM, -ENOMEM},
            {"posix_spawnattr_init", 0, ENOMEM, -ENOMEM},
    };

    CHECK_STEPS(steps, start_program);
}

static void check_streams(struct anysync_process_options options, int code)
{
    char *arguments[] = {"true", NULL};
    struct anysync_process *process = NULL;

    CHECK_EQ(anysync_process_new("true", arguments, &options, &process), code);
    CHECK(process == NULL);
    CHECK_CONTAINS(anysync_last_error()->message, "its ");
}

TEST(k7_streams_that_cannot_be_had)
{
    struct rlimit before, low;
    int last = 0;

    check_streams(
            (struct anysync_process_options){.input.kind = (enum anysync_stdio_kind)99}, -EINVAL);
    check_streams((struct anysync_process_options){.output.kind = ANYSYNC_STDIO_OUTPUT}, -EINVAL);
    check_streams(
            (struct anysync_process_options){.input = {ANYSYNC_STDIO_DESCRIPTOR, 1000}}, -EBADF);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){64, before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (int fd; (fd = dup(STDIN_FILENO)) >= 0;)
        last = fd;
    /* It has to be moved out of the way of the others. */
    check_streams(
            (struct anysync_process_options){.output = {ANYSYNC_STDIO_DESCRIPTOR, 0}}, -EMFILE);
    for (int fd = 3; fd <= last; fd++)
        close(fd);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void check_wait_without_thread(void)
{
    char *arguments[] = {"cat", NULL};
    const struct anysync_process_options options = {.input.kind = ANYSYNC_STDIO_PIPE};
    struct anysync_process *process = NULL;
    struct anysync_ending ending;

    fault_fail("pidfd", 1, true);
    CHECK_EQ(anysync_process_new("cat", arguments, &options, &process), 0);
    int input = anysync_process_take_pipe(process, 0);
    fault_fail(FAULT_ANY, 1, true);
    int error = anysync_process_wait(process, ANYSYNC_FOREVER, &ending);
    fault_clear();
    CHECK(error == -ENOMEM || error == -EAGAIN);
    close(input);
    CHECK_EQ(anysync_process_wait(process, ANYSYNC_FOREVER, &ending), 0);
    CHECK_EQ(ending.status, 0);
    anysync_process_unref(process);
}

TEST(k7_a_wait_without_a_thread_is_tried_again)
{
    check_wait_without_thread(); /* the first one: no thread is there yet */
    ;
}

/* The only thread of the pool: jobs stand behind it, until it waits and no other can be had. */
struct only {
    atomic_bool begun, go_on;
    struct anysync_future *gate, *job;
};

ANYSYNC_BLOCKING(void, be_the_only_one, (struct only *, only))
{
    atomic_store(&only->begun, true);
    hold_until(&only->go_on);
    pass_gate(only->gate);
    return 0;
}

static struct anysync_process *start_cat(struct only *only, int *ret_input)
{
    char *arguments[] = {"cat", NULL};
    const struct anysync_process_options options = {.input.kind = ANYSYNC_STDIO_PIPE};
    struct anysync_process *process = NULL;
    be_the_only_one_future job;

    fault_fail("pidfd", 1, true);
    CHECK_EQ(anysync_process_new("cat", arguments, &options, &process), 0);
    *ret_input = anysync_process_take_pipe(process, 0);
    only->gate = new_gate();
    CHECK_EQ(be_the_only_one_start(&job, only), 0);
    only->job = job.future;
    hold_until(&only->begun);
    fault_fail("thread", 1, true);
    return process;
}

/* What stands behind it has no thread from now on. */
static void leave_alone(struct only *only)
{
    int before = fault_failed("thread");

    CHECK_GE(before, 1);
    atomic_store(&only->go_on, true);
    while (fault_failed("thread") == before)
        nap();
}

static void end_only(struct only *only)
{
    open_gate(only->gate);
    pass_gate(only->job);
    anysync_future_unref(only->gate);
    anysync_future_unref(only->job);
    fault_clear();
}

TEST(k7_a_wait_that_is_left_without_a_thread)
{
    struct only only = {.job = NULL};
    struct anysync_ending ending;
    int input;
    struct anysync_process *process = start_cat(&only, &input);

    CHECK_EQ(anysync_process_wait(process, anysync_in_us(100), &ending), -ETIMEDOUT);
    leave_alone(&only);
    CHECK_EQ(anysync_process_wait(process, ANYSYNC_FOREVER, &ending), -EAGAIN);
    end_only(&only);
    CHECK_EQ(anysync_process_wait(process, anysync_in_us(100), &ending), -ETIMEDOUT);
    close(input);
    CHECK_EQ(anysync_process_wait(process, ANYSYNC_FOREVER, &ending), 0);
    CHECK_EQ(ending.status, 0);
    anysync_process_unref(process);
}

TEST(k7_a_dropped_child_is_left_without_a_thread)
{
    struct only only = {.job = NULL};
    siginfo_t info;
    int input;
    struct anysync_process *process = start_cat(&only, &input);
    int number = anysync_process_id(process);

    anysync_process_unref(process);
    leave_alone(&only);
    end_only(&only);
    close(input);
    CHECK_EQ(waitid(P_PID, (id_t)number, &info, WEXITED | WNOWAIT), 0);
    CHECK_EQ(start_program(), 0); /* a later start reaps it */
    CHECK_EQ(kill(number, 0), -1);
}

/* --- commands --------------------------------------------------------------------------------- */

static char much[200000];

static int run_command(const char *script, size_t size)
{
    char *arguments[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};
    const struct anysync_command_options options = {.input = much, .input_size = size};
    struct anysync_command_result result = {.output = NULL};
    int error = anysync_command_run(arguments, &options, ANYSYNC_FOREVER, &result);

    if (error)
        CHECK_CONTAINS(anysync_last_error()->message, "sh");
    anysync_command_clear(&result);
    return error;
}

static int run_cat(void)
{
    return run_command("cat >&2; echo", 5);
}

static int run_deaf(void)
{
    return run_command("exec true", sizeof(much));
}

TEST(k7_each_step_of_a_command_may_fail)
{
    static const struct step steps[] = {
            {"epoll_ctl", 0, ENOSPC, -ENOSPC},
            {"epoll_wait", 0, EINTR, 0},
            {"epoll_wait", 0, EINVAL, -EINVAL},
            {"write", 0, EINTR, 0},
            {"write", 0, EAGAIN, 0},
            {"write", 0, EIO, -EIO},
            {"read", 0, EINTR, 0},
            {"read", 0, EAGAIN, 0},
            {"read", 0, EIO, -EIO},
    };
    static const struct step deaf[] = {{"sigtimedwait", 0, EINTR, 0}};

    memset(much, 'a', sizeof(much));
    CHECK_STEPS(steps, run_cat);
    CHECK_STEPS(deaf, run_deaf);
}

TEST(k7_much_output_without_memory)
{
    bool reached = true;

    for (int nth = 1; reached; nth++) {
        fault_fail("malloc", nth, false);
        int error = run_command("cat", sizeof(much));
        reached = fault_failed("malloc") > 0;
        fault_clear();
        CHECK_EQ(error, reached ? -ENOMEM : 0);
    }
}

TEST(k7_the_signal_of_a_child_tells_its_status)
{
    const int number = SIGCHLD;
    struct anysync_signals *signals = NULL;
    struct anysync_signal got;

    CHECK_EQ(anysync_signals_open(&number, 1, &signals), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(9);
    CHECK_EQ(anysync_signal_wait(signals, ANYSYNC_FOREVER, &got), 0);
    CHECK_EQ(got.number, SIGCHLD);
    CHECK_EQ(got.process, pid);
    CHECK_EQ(got.value, 9);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    anysync_signals_close(signals);
}

TEST(k7_a_command_that_is_reaped_elsewhere)
{
    signal(SIGCHLD, SIG_IGN); /* the system reaps it */
    CHECK_EQ(run_command("true", 0), -ECHILD);
    signal(SIGCHLD, SIG_DFL);
}

static void check_no_time(void)
{
    struct anysync_scope scope;

    anysync_scope_enter(&scope, ANYSYNC_POLL);
    CHECK_EQ(run_command("true", 0), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "was not started");
    CHECK_EQ(anysync_scope_exit(&scope, -ECANCELED), -ETIMEDOUT);
}

TEST(k7_no_command_begins_without_time)
{
    in_worlds(IN_COROUTINES, check_no_time);
}

/* --- files ------------------------------------------------------------------------------------ */

static int replace(void)
{
    return anysync_file_write_all(file, "hello", 5, 0600, ANYSYNC_FOREVER);
}

TEST(k10_each_step_of_a_replacement_may_fail)
{
    static const struct step steps[] = {
            {"open", 0, EEXIST, 0},
            {"open", 0, EMFILE, -EMFILE},
            {"pwrite", 0, NOTHING, -EIO},
            {"pwrite", 0, EINTR, 0},
            {"pwrite", 0, ENOSPC, -ENOSPC},
            {"fsync", 0, EIO, -EIO},
            {"close", 0, EIO, -EIO},
            {"close", 0, EINTR, 0},
            /* The directory: */
            {"open", 1, EACCES, 0},
            {"open", 1, EMFILE, -EINPROGRESS},
            {"fsync", 1, EINVAL, 0},
            {"fsync", 1, EIO, -EINPROGRESS},
    };

    make_folder();
    CHECK_STEPS(steps, replace);
    remove_folder();
}

static void check_close(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    CHECK_GE(fd, 0);
    fault_fail(FAULT_ANY, 1, true);
    CHECK_EQ(anysync_file_close(fd), 0);
    fault_clear();
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
}

TEST(k10_a_file_is_closed_without_a_job)
{
    in_worlds(PLAIN | IN_COROUTINES, check_close);
}

static int close_in_child(void *argument)
{
    const int *fd = argument;

    CHECK_EQ(anysync_file_close(*fd), 0);
    CHECK_EQ(fcntl(*fd, F_GETFD), -1);
    return 0;
}

static void check_close_in_child(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct test_child child = test_child(close_in_child, &fd);

    CHECK(child.exited && child.status == 0);
    free(child.errors);
    CHECK_EQ(anysync_file_close(fd), 0);
}

TEST(k10_a_file_is_closed_in_a_forked_child)
{
    in_worlds(PLAIN | IN_COROUTINES, check_close_in_child);
}
