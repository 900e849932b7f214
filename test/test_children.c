/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pipe2() */
/*
 * Child processes (include/anysync/process.h), in every world, with and without a descriptor of the
 * process.  Children wait for the end of their input, so that each lives as long as a test wants.
 *
 * Promised                                       Tested by
 *   K7 status and signal are told apart          k7_status_and_signal_are_told_apart
 *      by whatever way the end is noticed        k7_without_pidfd_a_thread_waits
 *      streams: inherit, null, pipe, descriptor  k7_streams_go_where_they_are_told
 *                                                k7_descriptors_that_change_places
 *      pipes are non-blocking and private        k7_pipes_are_private_and_nonblocking
 *      environment and directory                 k7_environment_and_directory
 *      a wait that ends early leaves the child   k7_a_deadline_leaves_the_child_alive
 *                                                k7_a_cancel_leaves_the_child_alive
 *      any number of waiters                     k7_all_who_wait_are_told
 *                                                k7_stress_first_waits_race
 *      a drop leaves no zombie                   k7_a_dropped_child_leaves_no_zombie
 *                                                k7_without_a_thread_it_is_reaped_later
 *      signals reach the child or nobody         k7_a_signal_reaches_nobody_after_the_end
 *                                                k7_a_group_gets_the_signal_as_a_whole
 *      codes and sentences                       k7_what_cannot_start_says_why
 *                                                k7_a_child_that_somebody_else_waited_for
 *                                                k7_a_callback_cannot_wait_for_a_child
 *                                                k7_a_forked_process_has_no_such_child
 *   Commands: test_commands.c.
 */
#include "fault.h"
#include "futures.h"
#include "jobs.h"
#include "worlds.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* A shell that runs SCRIPT. */
static struct anysync_process *shell(
        const char *script, const struct anysync_process_options *options)
{
    char *arguments[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};
    struct anysync_process *process = NULL;

    CHECK_EQ(anysync_process_new("sh", arguments, options, &process), 0);
    return process;
}

/* A child that lives until RET_INPUT is closed. */
static struct anysync_process *sleeper(int *ret_input)
{
    const struct anysync_process_options options = {
            .input.kind = ANYSYNC_STDIO_PIPE, .output.kind = ANYSYNC_STDIO_NULL};
    struct anysync_process *process = shell("cat; exit 5", &options);

    *ret_input = anysync_process_take_pipe(process, 0);
    CHECK_GE(*ret_input, 0);
    return process;
}

static void expect_status(struct anysync_process *process, int status)
{
    struct anysync_ending ending = {.exited = false};

    CHECK_EQ(anysync_process_wait(process, ANYSYNC_FOREVER, &ending), 0);
    CHECK(ending.exited);
    CHECK_EQ(ending.status, status);
    CHECK_EQ(ending.signal, 0);
}

static void expect_signal(struct anysync_process *process, int number)
{
    struct anysync_ending ending = {.exited = true};

    CHECK_EQ(anysync_process_wait(process, ANYSYNC_FOREVER, &ending), 0);
    CHECK(!ending.exited);
    CHECK_EQ(ending.signal, number);
    CHECK_EQ(ending.status, 0);
}

/* --- endings ---------------------------------------------------------------------------------- */

static void check_endings(void)
{
    struct anysync_process *process = shell("exit 7", NULL);
    int input;

    expect_status(process, 7);
    expect_status(process, 7); /* any number of times */
    CHECK_EQ(anysync_process_wait(process, ANYSYNC_POLL, NULL), 0);
    anysync_process_unref(process);
    process = sleeper(&input);
    CHECK_EQ(anysync_process_wait(process, ANYSYNC_POLL, NULL), -ETIMEDOUT);
    CHECK_EQ(anysync_process_signal(process, SIGTERM), 0);
    expect_signal(process, SIGTERM);
    anysync_process_unref(process);
    close(input);
    process = sleeper(&input);
    close(input);
    expect_status(process, 5);
    anysync_process_unref(process);
}

TEST(k7_status_and_signal_are_told_apart)
{
    in_worlds(EVERYWHERE_AND_POOL, check_endings);
}

TEST(k7_without_pidfd_a_thread_waits)
{
    fault_fail("pidfd", 1, true);
    in_worlds(EVERYWHERE_AND_POOL, check_endings);
    CHECK_GE(fault_failed("pidfd"), 3);
}

/* --- streams ---------------------------------------------------------------------------------- */

static void expect_text(int fd, const char *text)
{
    char got[256] = "";
    size_t size = 0;
    ssize_t count;

    while ((count = anysync_read(fd, got + size, sizeof(got) - 1 - size, ANYSYNC_FOREVER)) > 0)
        size += (size_t)count;
    CHECK_EQ(count, 0);
    CHECK_STR(got, text);
    close(fd);
}

static void check_streams(void)
{
    struct anysync_process_options options = {.input.kind = ANYSYNC_STDIO_PIPE,
            .output.kind = ANYSYNC_STDIO_PIPE,
            .errors.kind = ANYSYNC_STDIO_PIPE};
    struct anysync_process *process = shell("read word; echo out $word; echo err >&2", &options);
    int input = anysync_process_take_pipe(process, 0), pair[2];

    CHECK_EQ(anysync_write(input, "hello\n", 6, ANYSYNC_FOREVER), 6);
    close(input);
    expect_text(anysync_process_take_pipe(process, 1), "out hello\n");
    expect_text(anysync_process_take_pipe(process, 2), "err\n");
    CHECK_EQ(anysync_process_take_pipe(process, 2), -1);
    expect_status(process, 0);
    anysync_process_unref(process);

    CHECK_EQ(pipe(pair), 0);
    int saved = dup(0), full[2]; /* where an input that is inherited would come from */
    CHECK_EQ(pipe2(full, O_CLOEXEC), 0);
    CHECK_EQ(write(full[1], "own\n", 4), 4);
    CHECK_EQ(dup2(full[0], 0), 0);
    close(full[1]);
    options.input.kind = ANYSYNC_STDIO_NULL;
    options.output = (struct anysync_stdio){ANYSYNC_STDIO_DESCRIPTOR, pair[1]};
    options.errors.kind = ANYSYNC_STDIO_OUTPUT;
    process = shell("cat; echo err >&2; echo out", &options);
    close(pair[1]);
    expect_text(pair[0], "err\nout\n");
    CHECK_EQ(anysync_process_take_pipe(process, 0), -1);
    expect_status(process, 0);
    anysync_process_unref(process);

    options = (struct anysync_process_options){.output.kind = ANYSYNC_STDIO_PIPE};
    process = shell("cat", &options);
    expect_text(anysync_process_take_pipe(process, 1), "own\n");
    expect_status(process, 0);
    anysync_process_unref(process);
    CHECK_EQ(dup2(saved, 0), 0);
    close(saved);
    close(full[0]);
}

TEST(k7_streams_go_where_they_are_told)
{
    in_worlds(EVERYWHERE_AND_POOL, check_streams);
}

/* Output to what is 2 here, and errors to what is 1; with input and output closed before. */
TEST(k7_descriptors_that_change_places)
{
    struct anysync_process_options options = {
            .output = {ANYSYNC_STDIO_DESCRIPTOR, 2}, .errors = {ANYSYNC_STDIO_DESCRIPTOR, 1}};
    int saved[2] = {dup(1), dup(2)}, to_1[2], to_2[2];

    CHECK_EQ(pipe2(to_1, O_CLOEXEC), 0);
    CHECK_EQ(pipe2(to_2, O_CLOEXEC), 0);
    CHECK_EQ(dup2(to_1[1], 1), 1);
    CHECK_EQ(dup2(to_2[1], 2), 2);
    struct anysync_process *process = shell("echo out; echo err >&2", &options);
    CHECK_EQ(dup2(saved[0], 1), 1);
    CHECK_EQ(dup2(saved[1], 2), 2);
    close(to_1[1]);
    close(to_2[1]);
    expect_text(to_1[0], "err\n");
    expect_text(to_2[0], "out\n");
    expect_status(process, 0);
    anysync_process_unref(process);

    close(0); /* pipes get the low numbers */
    close(1);
    options = (struct anysync_process_options){
            .input.kind = ANYSYNC_STDIO_PIPE, .output.kind = ANYSYNC_STDIO_PIPE};
    process = shell("cat", &options);
    int input = anysync_process_take_pipe(process, 0);
    CHECK_EQ(anysync_write(input, "low", 3, ANYSYNC_FOREVER), 3);
    close(input);
    expect_text(anysync_process_take_pipe(process, 1), "low");
    expect_status(process, 0);
    anysync_process_unref(process);
    CHECK_EQ(dup2(saved[0], 1), 1);
}

TEST(k7_pipes_are_private_and_nonblocking)
{
    const struct anysync_process_options options = {
            .input.kind = ANYSYNC_STDIO_PIPE, .output.kind = ANYSYNC_STDIO_PIPE};
    int before = test_fd_count();
    struct anysync_process *process = shell("cat", &options);
    struct anysync_process *second = shell("ls -l /proc/self/fd | wc -l >&2; cat", &options);

    for (int i = 0; i < 2; i++) {
        int fd = anysync_process_take_pipe(process, i);
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        close(fd); /* the second child does not hold it: the first one ends */
    }
    expect_status(process, 0);
    anysync_process_unref(process);
    int number = anysync_process_id(second);
    anysync_process_unref(second); /* closes its pipes: it ends, and goes */
    while (kill(number, 0) == 0)
        nap();
    while (test_fd_count() > before)
        nap(); /* the job that waited has yet to close the descriptor */
}

TEST(k7_environment_and_directory)
{
    char *environment[] = {"COLOUR=green", "PATH=/usr/bin:/bin", NULL};
    const struct anysync_process_options options = {.environment = environment,
            .directory = "/proc/self",
            .output.kind = ANYSYNC_STDIO_PIPE};
    struct anysync_process *process =
            shell("cd -P .; echo $COLOUR $HOME; test -e status", &options);

    expect_text(anysync_process_take_pipe(process, 1), "green\n");
    expect_status(process, 0);
    anysync_process_unref(process);
}

/* --- waits that end early --------------------------------------------------------------------- */

static void check_deadline(void)
{
    int input;
    struct anysync_process *process = sleeper(&input);
    anysync_time deadline = anysync_in_us(300);
    struct anysync_ending ending = {.status = 99};

    CHECK_EQ(anysync_process_wait(process, deadline, &ending), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_EQ(ending.status, 99);
    CHECK_CONTAINS(anysync_last_error()->message, "sh (process ");
    CHECK_CONTAINS(anysync_last_error()->message, "has not ended: the deadline passed");
    CHECK_EQ(anysync_process_signal(process, 0), 0); /* alive */
    close(input);
    expect_status(process, 5);
    anysync_process_unref(process);
}

TEST(k7_a_deadline_leaves_the_child_alive)
{
    in_worlds(EVERYWHERE_AND_POOL, check_deadline);
    fault_fail("pidfd", 1, true);
    in_worlds(EVERYWHERE_AND_POOL, check_deadline);
}

ANYSYNC_COROUTINE(void, waits, (struct anysync_process *, process), (int, status))
{
    struct anysync_ending ending;
    int error = anysync_process_wait(process, ANYSYNC_FOREVER, &ending);

    if (!error)
        CHECK_EQ(ending.status, status);
    return error;
}

static void check_cancel(void)
{
    int input;
    struct anysync_process *process = sleeper(&input);
    waits_future task;

    CHECK_EQ(waits_start(&task, process, 5), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(waits_cancel(&task), 0);
    CHECK_EQ(waits_wait(&task, ANYSYNC_FOREVER), -ECANCELED);
    waits_drop(&task);
    CHECK_EQ(anysync_process_signal(process, 0), 0);
    close(input);
    expect_status(process, 5);
    anysync_process_unref(process);
}

TEST(k7_a_cancel_leaves_the_child_alive)
{
    in_worlds(IN_COROUTINES, check_cancel);
    fault_fail("pidfd", 1, true);
    in_worlds(IN_COROUTINES, check_cancel);
}

static void wait_on_thread(void *argument, int index)
{
    (void)index;
    expect_status(argument, 5);
}

static void check_waiters(void)
{
    enum { TASKS = 3 };
    int input;
    struct anysync_process *process = sleeper(&input);
    struct test_threads *threads = test_threads_start(3, wait_on_thread, process);
    waits_future tasks[TASKS];

    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(waits_start(&tasks[i], process, 5), 0);
    close(input);
    for (int i = 0; i < TASKS; i++) {
        CHECK_EQ(waits_wait(&tasks[i], ANYSYNC_FOREVER), 0);
        waits_drop(&tasks[i]);
    }
    test_threads_join(threads);
    anysync_process_unref(process);
}

TEST(k7_all_who_wait_are_told)
{
    in_worlds(PLAIN | WORKER | HERE, check_waiters);
    fault_fail("pidfd", 1, true);
    in_worlds(PLAIN | WORKER | HERE, check_waiters);
}

/* What is made for the first wait of a process, and of a child, several make at once. */
static int first_waits(void *unused)
{
    int input;

    (void)unused;
    fault_fail("pidfd", 1, true);
    struct anysync_process *process = sleeper(&input);
    struct test_threads *threads = test_threads_start(6, wait_on_thread, process);
    close(input);
    test_threads_join(threads);
    anysync_process_unref(process);
    return 0;
}

TEST(k7_stress_first_waits_race)
{
    for (long i = test_scaled(40) + 10; i > 0; i--) {
        struct test_child child = test_child(first_waits, NULL);
        if (!child.exited || child.status != 0)
            test_fail(TEST_HERE, "%d, %d: %s", child.status, child.signal, child.errors);
        free(child.errors);
    }
}

/* --- drops ------------------------------------------------------------------------------------ */

/* Returns when no process, and no zombie, has NUMBER.  (A hang is a failure.) */
static void until_gone(int number)
{
    while (kill(number, 0) == 0)
        nap();
    CHECK_EQ(errno, ESRCH);
}

static void check_drop(void)
{
    int pair[2];

    CHECK_EQ(pipe2(pair, O_CLOEXEC), 0);
    const struct anysync_process_options options = {
            .input.kind = ANYSYNC_STDIO_PIPE, .output = {ANYSYNC_STDIO_DESCRIPTOR, pair[1]}};
    struct anysync_process *process = shell("cat; echo done", &options);
    int number = anysync_process_id(process), input = anysync_process_take_pipe(process, 0);
    close(pair[1]);
    CHECK(anysync_process_ref(process) == process);
    CHECK(anysync_process_unref(process) == NULL);
    CHECK(anysync_process_unref(process) == NULL);
    close(input);
    expect_text(pair[0], "done\n"); /* it lived on */
    until_gone(number);
    process = shell("exit 0", NULL);
    number = anysync_process_id(process);
    anysync_process_unref(process);
    until_gone(number);
    CHECK(anysync_process_unref(NULL) == NULL);
}

TEST(k7_a_dropped_child_leaves_no_zombie)
{
    in_worlds(EVERYWHERE_AND_POOL, check_drop);
    fault_fail("pidfd", 1, true);
    in_worlds(EVERYWHERE_AND_POOL, check_drop);
}

/* Wait until NUMBER is a zombie, without reaping it. */
static void until_ended(int number)
{
    siginfo_t info;

    CHECK_EQ(waitid(P_PID, (id_t)number, &info, WEXITED | WNOWAIT), 0);
}

TEST(k7_without_a_thread_it_is_reaped_later)
{
    int inputs[3], numbers[3];

    fault_fail("thread", 1, true);
    for (int i = 0; i < 3; i++) {
        struct anysync_process *process = sleeper(&inputs[i]);
        numbers[i] = anysync_process_id(process);
        anysync_process_unref(process);
        CHECK_EQ(kill(numbers[i], 0), 0);
    }
    CHECK_GE(fault_failed("thread"), 1);
    close(inputs[1]);
    until_ended(numbers[1]);
    struct anysync_process *process = shell("exit 0", NULL); /* a later start reaps it */
    CHECK_EQ(kill(numbers[1], 0), -1);
    close(inputs[0]);
    close(inputs[2]);
    until_ended(numbers[0]);
    until_ended(numbers[2]);
    until_ended(anysync_process_id(process)); /* there is no thread to wait for it */
    expect_status(process, 0);
    anysync_process_unref(process); /* and so does a later drop */
    CHECK_EQ(kill(numbers[0], 0), -1);
    CHECK_EQ(kill(numbers[2], 0), -1);
}

/* --- signals ---------------------------------------------------------------------------------- */

TEST(k7_a_signal_reaches_nobody_after_the_end)
{
    struct anysync_process *process = shell("exit 0", NULL);

    expect_status(process, 0);
    CHECK_EQ(anysync_process_signal(process, SIGKILL), -ESRCH);
    CHECK_CONTAINS(anysync_last_error()->message, "was not sent to sh");
    anysync_process_unref(process);
    int input;
    process = sleeper(&input);
    CHECK_EQ(anysync_process_signal(process, 12345), -EINVAL);
    close(input);
    expect_status(process, 5);
    anysync_process_unref(process);
}

/* The child's child holds the pipe: its end is seen when both are gone. */
TEST(k7_a_group_gets_the_signal_as_a_whole)
{
    const struct anysync_process_options options = {
            .input.kind = ANYSYNC_STDIO_PIPE, .output.kind = ANYSYNC_STDIO_PIPE, .own_group = true};
    struct anysync_process *process = shell("exec 3<&0; cat <&3 & echo on; wait", &options);
    int output = anysync_process_take_pipe(process, 1);
    char got[3];

    CHECK_EQ(anysync_read(output, got, 3, ANYSYNC_FOREVER), 3);
    CHECK_EQ(anysync_process_signal(process, SIGKILL), 0);
    expect_signal(process, SIGKILL);
    expect_text(output, "");
    anysync_process_unref(process);

    process = shell("exec 3<&0; cat <&3 & exit 0", &options);
    int input = anysync_process_take_pipe(process, 0);
    expect_status(process, 0);
    CHECK_EQ(anysync_process_signal(process, SIGKILL), -ESRCH); /* nor its group, which lives */
    CHECK_EQ(anysync_write(input, "on", 2, ANYSYNC_FOREVER), 2);
    close(input);
    expect_text(anysync_process_take_pipe(process, 1), "on");
    anysync_process_unref(process);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void check_refused(void)
{
    struct anysync_process *process = NULL;
    char *arguments[] = {"true", NULL};
    struct anysync_process_options options = {.directory = "/nowhere"};
    int before = test_fd_count();

    CHECK_EQ(anysync_process_new("/nowhere/nothing", arguments, NULL, &process), -ENOENT);
    CHECK_STR(
            anysync_last_error()->message, "/nowhere/nothing could not be started: no such thing");
    CHECK_EQ(anysync_process_new("/etc/passwd", arguments, NULL, &process), -EACCES);
    CHECK_CONTAINS(anysync_last_error()->message, "/etc/passwd");
    CHECK_EQ(anysync_process_new("true", arguments, &options, &process), -ENOENT);
    CHECK_STR(
            anysync_last_error()->message, "true could not be started in /nowhere: no such thing");
    options = (struct anysync_process_options){
            .input.kind = ANYSYNC_STDIO_PIPE, .errors = {ANYSYNC_STDIO_DESCRIPTOR, 1000}};
    CHECK_EQ(anysync_process_new("true", arguments, &options, &process), -EBADF);
    CHECK_STR(anysync_last_error()->message,
            "true could not be started: its errors: not an open descriptor");
    options = (struct anysync_process_options){.input.kind = ANYSYNC_STDIO_OUTPUT};
    CHECK_EQ(anysync_process_new("true", arguments, &options, &process), -EINVAL);
    CHECK(process == NULL);
    CHECK_EQ(test_fd_count(), before);
}

TEST(k7_what_cannot_start_says_why)
{
    in_worlds(PLAIN | WORKER, check_refused);
}

TEST(k7_a_child_that_somebody_else_waited_for)
{
    struct anysync_process *process = shell("exit 0", NULL);
    struct anysync_ending ending = {.status = 99};

    CHECK_EQ(waitpid(anysync_process_id(process), NULL, 0), anysync_process_id(process));
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(anysync_process_wait(process, ANYSYNC_FOREVER, &ending), -ECHILD);
        CHECK_CONTAINS(anysync_last_error()->message, "somebody else waited for it");
    }
    CHECK_EQ(ending.status, 99);
    CHECK_EQ(anysync_process_signal(process, SIGKILL), -ESRCH);
    anysync_process_unref(process);
}

static struct anysync_process *callback_process;

static void wait_in_callback(evutil_socket_t fd, short events, void *called)
{
    char *arguments[] = {"true", NULL};
    struct anysync_command_result result;

    (void)fd;
    (void)events;
    CHECK_EQ(anysync_process_wait(callback_process, ANYSYNC_FOREVER, NULL), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "a callback of the loop cannot wait");
    CHECK_EQ(anysync_command_run(arguments, NULL, ANYSYNC_FOREVER, &result), -EDEADLK);
    CHECK_EQ(anysync_process_signal(callback_process, SIGKILL), 0);
    set(called, 0);
}

static void check_callback(void)
{
    int input;

    callback_process = sleeper(&input);
    call_back(wait_in_callback);
    expect_signal(callback_process, SIGKILL);
    anysync_process_unref(callback_process);
    close(input);
}

TEST(k7_a_callback_cannot_wait_for_a_child)
{
    in_worlds(WORKER | HERE, check_callback);
}

static int look_in_child(void *argument)
{
    struct anysync_process *process = argument;

    CHECK_EQ(anysync_process_wait(process, ANYSYNC_FOREVER, NULL), -EOWNERDEAD);
    CHECK_CONTAINS(anysync_last_error()->message, "sh is a child of the process this one");
    CHECK_EQ(anysync_process_signal(process, SIGKILL), -EOWNERDEAD);
    anysync_process_unref(process);
    return 0;
}

TEST(k7_a_forked_process_has_no_such_child)
{
    int input;
    struct anysync_process *process = sleeper(&input);
    struct test_child child = test_child(look_in_child, process);

    CHECK_STR(child.errors, "");
    CHECK(child.exited && child.status == 0);
    free(child.errors);
    CHECK_EQ(anysync_process_wait(process, ANYSYNC_POLL, NULL), -ETIMEDOUT); /* unharmed */
    close(input);
    expect_status(process, 5);
    anysync_process_unref(process);
}
