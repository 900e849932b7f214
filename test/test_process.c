/* SPDX-License-Identifier: MIT */
/*
 * What the process sees of the library's threads: signals, names, children (CONTRACT K3; faults,
 * K5: test_overflow.c).
 *
 * Promised                                       Tested by
 *   K3 threads block all signals                 k3_threads_block_all_signals_but_faults
 *      and carry names                           k3_threads_carry_names
 *      no signal of the program ends up there    k3_a_signal_goes_to_a_thread_of_the_program
 *   K3 children get a clean mask                 k3_a_fork_on_a_library_thread_has_a_clean_mask
 *                                                k3_a_program_is_started_with_a_clean_mask
 *      refusals                                  k3_a_program_that_is_not_there_is_an_error
 */
#include "harness.h"

#include <anysync/process.h>
#include <anysync/typed.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- threads ---------------------------------------------------------------------------------- */

/* The value of FIELD in PATH, a file such as /proc/self/status. */
static unsigned long long field_of(const char *path, const char *field)
{
    char line[256];
    unsigned long long value = 0;
    FILE *file = fopen(path, "r");
    bool found = false;

    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, field, strlen(field)) == 0) {
            value = strtoull(line + strlen(field), NULL, 16);
            found = true;
        }
    }
    fclose(file);
    CHECK(found);
    return value;
}

static void name_of_thread(const char *path, char name[32])
{
    FILE *file = fopen(path, "r");

    CHECK(file != NULL);
    CHECK(fgets(name, 32, file) != NULL);
    fclose(file);
    name[strcspn(name, "\n")] = '\0';
}

ANYSYNC_COROUTINE(uint64_t, blocked_here)
{
    *result = field_of("/proc/thread-self/status", "SigBlk:");
    return 0;
}

ANYSYNC_COROUTINE(uint64_t, blocked_nested)
{
    return blocked_here_run(result);
}

static void check_blocked(uint64_t mask)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

    for (int number = 1; number <= 64; number++) {
        bool blocked = mask & (uint64_t)1 << (number - 1);
        bool expected = number != SIGKILL && number != SIGSTOP;
        for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
            expected = expected && number != faults[i];
        if (number >= 32 && number < 34)
            continue; /* the C library's own */
        if (blocked != expected)
            test_fail(TEST_HERE, "signal %d is %sblocked", number, blocked ? "" : "not ");
    }
}

TEST(k3_threads_block_all_signals_but_faults)
{
    struct anysync_executor *executor;
    uint64_t mask = 0;

    CHECK_EQ(blocked_here_run(&mask), 0);
    check_blocked(mask);
    CHECK_EQ(blocked_nested_run(&mask), 0);
    check_blocked(mask);
    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(blocked_here_run_on(executor, &mask), 0);
    check_blocked(mask);
    CHECK_EQ(blocked_here_run_here(&mask), 0); /* the program's own thread stays as it was */
    CHECK_EQ(mask, 0);
    anysync_executor_unref(executor);
}

/* Threads of this process whose name is NAME. */
static int threads_named(const char *name)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;

    CHECK(tasks != NULL);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char path[300], comm[32];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        name_of_thread(path, comm);
        count += strcmp(comm, name) == 0;
    }
    closedir(tasks);
    return count;
}

ANYSYNC_COROUTINE(int, count_threads, (const char *, name))
{
    *result = threads_named(name);
    return 0;
}

ANYSYNC_COROUTINE(int, count_threads_nested, (const char *, name))
{
    return count_threads_run(result, name);
}

TEST(k3_threads_carry_names)
{
    struct anysync_executor_options options = {.name = "kitchen"};
    struct anysync_executor *executor;
    char name[32];
    int count = 0;

    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    CHECK_EQ(count_threads_run(&count, "anysync"), 0);
    CHECK_EQ(count, 1);
    CHECK_EQ(count_threads_nested_run(&count, "anysync"), 0);
    CHECK_EQ(count, 2);
    CHECK_EQ(count_threads_nested_run_on(executor, &count, "kitchen"), 0);
    CHECK_EQ(count, 2);
    name_of_thread("/proc/self/comm", name);
    CHECK_CONTAINS(name, "test_process"); /* the program's own thread keeps its name */
    anysync_executor_unref(executor);
}

static volatile sig_atomic_t handled_by_main;
static pthread_t main_thread;

static void on_signal(int number)
{
    (void)number;
    handled_by_main += pthread_equal(pthread_self(), main_thread) != 0;
}

ANYSYNC_COROUTINE(void, send_signals, (int, count))
{
    for (int i = 0; i < count; i++)
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    return 0;
}

TEST(k3_a_signal_goes_to_a_thread_of_the_program)
{
    struct sigaction action = {.sa_handler = on_signal};

    main_thread = pthread_self();
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(send_signals_run(10), 0);
    CHECK_GE(handled_by_main, 1); /* several that are pending at once are one */
}

/* --- children --------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, fork_and_look, (uint64_t, expected))
{
    int status = -1;
    pid_t pid = fork();

    CHECK_GE(pid, 0);
    if (pid == 0)
        _exit(field_of("/proc/self/status", "SigBlk:") == expected ? 7 : 8);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    *result = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return 0;
}

ANYSYNC_COROUTINE(int, fork_and_look_nested, (uint64_t, expected))
{
    return fork_and_look_run(result, expected);
}

/* Block SIGUSR2, as a program may before it uses the library.  Returns the mask. */
static uint64_t block_one_signal(void)
{
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    CHECK_EQ(sigprocmask(SIG_SETMASK, &mask, NULL), 0);
    return (uint64_t)1 << (SIGUSR2 - 1);
}

TEST(k3_a_fork_on_a_library_thread_has_a_clean_mask)
{
    uint64_t before = block_one_signal();
    int status = -1;

    CHECK_EQ(fork_and_look_run(&status, before), 0);
    CHECK_EQ(status, 7);
    CHECK_EQ(fork_and_look_nested_run(&status, before), 0);
    CHECK_EQ(status, 7);
    CHECK_EQ(fork_and_look_run_here(&status, before), 0);
    CHECK_EQ(status, 7);
}

ANYSYNC_COROUTINE(int, start_and_look, (const char *, script))
{
    char *arguments[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};
    int pid = -1, status = -1;

    CHECK_EQ(anysync_process_start("sh", arguments, &pid), 0); /* found in PATH */
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    *result = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return 0;
}

ANYSYNC_COROUTINE(int, start_and_look_nested, (const char *, script))
{
    return start_and_look_run(result, script);
}

TEST(k3_a_program_is_started_with_a_clean_mask)
{
    /* glibc has its children ignore two signals of its own. */
    static const char script[] = "while read -r word value; do case $word in"
                                 " SigBlk:) blocked=$value;; SigIgn:) ignored=$value;;"
                                 " esac; done </proc/$$/status;"
                                 " [ $blocked = 0000000000000800 ] || exit 3;"
                                 " case $ignored in 0000000[01][08]0000000) exit 7;; esac; exit 4";
    int status = -1;

    CHECK_EQ(block_one_signal(), 0x800);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* handlers are the default ones again */
    CHECK_EQ(start_and_look_run(&status, script), 0);
    CHECK_EQ(status, 7);
    CHECK_EQ(start_and_look_nested_run(&status, script), 0);
    CHECK_EQ(status, 7);
    CHECK_EQ(start_and_look_run_here(&status, script), 0);
    CHECK_EQ(status, 7);
}

TEST(k3_a_program_that_is_not_there_is_an_error)
{
    char *arguments[] = {"nothing", NULL};
    int pid = 99;

    CHECK_EQ(anysync_process_start("/nowhere/nothing", arguments, &pid), -ENOENT);
    CHECK_EQ(pid, 99);
    CHECK_CONTAINS(anysync_last_error()->message, "/nowhere/nothing");
}
