/* SPDX-License-Identifier: MIT */
/*
 * Test harness.  (What it offers: harness.h.)
 *
 * The parent process never calls the library and never has a second thread, so each fork() starts
 * from a clean state.  A test's process leads a process group of its own; whatever is left of the
 * group when the test ends or runs out of time is killed with it.  The leader is not reaped before
 * that, so that its number still means this group.
 *
 * A test ends by: return (exit(0), which runs the leak check), test_fail() (_exit, from any stack),
 * test_skip(), a signal, a sanitizer's exit code, or the time limit.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_FAILED = 97, EXIT_SKIPPED = 77 };
enum { OUTPUT_SHOWN = 200000 }; /* bytes of a failed test's output, the last ones */

enum verdict { PASSED, FAILED, SKIPPED };

static struct test_case *tests;
static struct test_case **tests_end = &tests;

void test_register(struct test_case *test)
{
    *tests_end = test;
    tests_end = &test->next;
}

/* --- checks ----------------------------------------------------------------------------------- */

/* Write without stdio: it may be called on a small stack, or with a lock of stdio held. */
static void say(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, text, size);

        if (written < 0 && errno != EINTR)
            return;
        if (written > 0) {
            text += written;
            size -= (size_t)written;
        }
    }
}

void test_fail(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    int at = snprintf(text, sizeof(text) - 1, "%s:%d: ", file, line);

    va_start(arguments, format);
    vsnprintf(text + at, sizeof(text) - 1 - (size_t)at, format, arguments);
    va_end(arguments);
    strcat(text, "\n");
    say(text, strlen(text));
    _exit(EXIT_FAILED);
}

void test_check_integers(intmax_t a, const char *relation, intmax_t b, const char *a_text,
        const char *b_text, const char *file, int line)
{
    bool holds = relation[0] == '=' ? a == b : relation[0] == '!' ? a != b : a >= b;

    if (!holds)
        test_fail(file, line, "%s %s %s: they are %jd and %jd", a_text, relation, b_text, a, b);
}

void test_check_strings(const char *a, const char *b, bool contains, const char *file, int line)
{
    if (!a || !b)
        test_fail(file, line, "a string is NULL: the %s", a ? "second" : "first");
    if (contains ? strstr(a, b) == NULL : strcmp(a, b) != 0)
        test_fail(file, line, "\"%s\" %s \"%s\"", a, contains ? "does not contain" : "is not", b);
}

void test_skip(const char *reason)
{
    say(reason, strlen(reason));
    _exit(EXIT_SKIPPED);
}

void test_forks_among_threads(void)
{
    if (TEST_SANITIZED)
        test_skip("a sanitizer's malloc() may be locked in a child of many threads");
}

#ifdef TEST_COVERAGE
/* gcov's counts are written by exit(): a process that ends otherwise would lose them. */
void __gcov_dump(void);

void _exit(int status)
{
    __gcov_dump();
    syscall(SYS_exit_group, status);
    __builtin_unreachable();
}

static void dump_counts(int number)
{
    __gcov_dump();
    signal(number, SIG_DFL); /* abort() goes on */
}
#endif

/* --- helpers ---------------------------------------------------------------------------------- */

static double setting(const char *name, double otherwise)
{
    const char *text = getenv(name);
    double value = text ? strtod(text, NULL) : 0;

    return value > 0 ? value : otherwise;
}

long test_scaled(long count)
{
    double scaled = (double)count * setting("TEST_SCALE", 100) / 100;

    return scaled < 1 ? 1 : (long)scaled;
}

int64_t test_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int count_entries(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;

    if (!directory)
        test_fail(TEST_HERE, "cannot read %s", path);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

int test_thread_count(void)
{
    return count_entries("/proc/self/task");
}

int test_fd_count(void)
{
    return count_entries("/proc/self/fd") - 1; /* the one that read the folder */
}

/* All that FILE contains, or its last LIMIT bytes.  The caller frees it. */
static char *contents(FILE *file, long limit)
{
    fseek(file, 0, SEEK_END);
    long end = ftell(file);
    long start = end > limit ? end - limit : 0;
    char *text = malloc((size_t)(end - start) + 1);

    if (!text)
        test_fail(TEST_HERE, "no memory");
    fseek(file, start, SEEK_SET);
    text[fread(text, 1, (size_t)(end - start), file)] = '\0';
    return text;
}

/* A child that dies with its parent and leaves no core file. */
static pid_t fork_child(void)
{
    fflush(NULL);
    pid_t pid = fork();

    if (pid < 0)
        test_fail(TEST_HERE, "fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    }
    return pid;
}

struct test_child test_child(int (*function)(void *argument), void *argument)
{
    FILE *errors = tmpfile();
    struct test_child child = {0};
    int status;

    if (!errors)
        test_fail(TEST_HERE, "no temporary file: %s", strerror(errno));
    pid_t pid = fork_child();
    if (pid == 0) {
        dup2(fileno(errors), STDERR_FILENO);
        exit(function(argument));
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    child.exited = WIFEXITED(status);
    child.status = child.exited ? WEXITSTATUS(status) : 0;
    child.signal = child.exited ? 0 : WTERMSIG(status);
    child.errors = contents(errors, OUTPUT_SHOWN);
    fclose(errors);
    return child;
}

struct crew_member {
    pthread_t thread;
    struct test_threads *threads;
    int index;
};

struct test_threads {
    pthread_barrier_t start;
    void (*function)(void *argument, int index);
    void *argument;
    int count;
    struct crew_member members[];
};

static void *member_main(void *argument)
{
    struct crew_member *self = argument;

    pthread_barrier_wait(&self->threads->start);
    self->threads->function(self->threads->argument, self->index);
    return NULL;
}

struct test_threads *test_threads_start(
        int count, void (*function)(void *argument, int index), void *argument)
{
    size_t size = sizeof(struct test_threads) + (size_t)count * sizeof(struct crew_member);
    struct test_threads *threads = calloc(1, size);

    if (!threads)
        test_fail(TEST_HERE, "no memory");
    threads->function = function;
    threads->argument = argument;
    threads->count = count;
    pthread_barrier_init(&threads->start, NULL, (unsigned)count);
    for (int i = 0; i < count; i++) {
        struct crew_member *member = &threads->members[i];

        member->threads = threads;
        member->index = i;
        CHECK_EQ(pthread_create(&member->thread, NULL, member_main, member), 0);
    }
    return threads;
}

void test_threads_join(struct test_threads *threads)
{
    for (int i = 0; i < threads->count; i++)
        CHECK_EQ(pthread_join(threads->members[i].thread, NULL), 0);
    pthread_barrier_destroy(&threads->start);
    free(threads);
}

void test_together(int count, void (*function)(void *argument, int index), void *argument)
{
    test_threads_join(test_threads_start(count, function, argument));
}

/* --- running one test ------------------------------------------------------------------------- */

static pid_t start(const struct test_case *test, FILE *output)
{
    pid_t pid = fork_child();

    if (pid > 0) {
        setpgid(pid, pid); /* here and there: whoever comes first */
        return pid;
    }
    setpgid(0, 0);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
#ifdef TEST_COVERAGE
    signal(SIGABRT, dump_counts);
#endif
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    close(null);
    dup2(fileno(output), STDOUT_FILENO);
    dup2(fileno(output), STDERR_FILENO);
    fclose(output);
    test->run();
    exit(EXIT_SUCCESS);
}

/* Wait until PID has ended (not reaped yet) or the time is DEADLINE_NS.  Returns whether it has. */
static bool ended_in_time(pid_t pid, int64_t deadline_ns)
{
    sigset_t child_ended;

    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD); /* blocked since main(), so none is missed */
    for (;;) {
        siginfo_t info = {0};

        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid)
            return true;
        int64_t left_ns = deadline_ns - test_now_ns();
        if (left_ns <= 0)
            return false;
        sigtimedwait(&child_ended, NULL,
                &(struct timespec){(time_t)(left_ns / 1000000000), (long)(left_ns % 1000000000)});
    }
}

/* Show what is known of a process that hangs: its threads, and their stacks with TEST_GDB=1. */
static void show_threads(pid_t pid)
{
    char command[512];

    snprintf(command, sizeof(command),
            "for t in /proc/%ld/task/*; do printf '#   thread %%s: %%s, waits in %%s\\n'"
            " \"${t##*/}\" \"$(cat $t/comm)\" \"$(cat $t/wchan)\"; done 2>/dev/null",
            (long)pid);
    fflush(stdout);
    if (system(command) != 0)
        printf("#   (its threads cannot be listed)\n");
    if (!getenv("TEST_GDB"))
        return;
    snprintf(command, sizeof(command),
            "command -v gdb >/dev/null && timeout 60 gdb -p %ld -batch -ex 'thread apply all bt'"
            " 2>&1 </dev/null | sed 's/^/#   /'",
            (long)pid);
    fflush(stdout);
    if (system(command) != 0)
        printf("#   (no stacks: gdb is not installed)\n");
}

static enum verdict judge(const struct test_case *test, int status)
{
    if (WIFSIGNALED(status))
        printf("# %s: ended by signal %d (%s)\n", test->name, WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == EXIT_SKIPPED)
        return SKIPPED;
    else if (WEXITSTATUS(status) == EXIT_SUCCESS)
        return PASSED;
    else if (WEXITSTATUS(status) != EXIT_FAILED)
        printf("# %s: exit status %d\n", test->name, WEXITSTATUS(status));
    return FAILED;
}

/* Run TEST in a process of its own; its output goes to OUTPUT. */
static enum verdict run_once(const struct test_case *test, FILE *output)
{
    double limit = setting("TEST_TIME_LIMIT", TEST_SANITIZED ? 600 : 60);
    int64_t deadline_ns = test_now_ns() + (int64_t)(limit * 1e9);
    pid_t pid = start(test, output);
    bool in_time = ended_in_time(pid, deadline_ns);
    int status = 0;

    if (!in_time) {
        printf("# %s: did not end within %g s\n", test->name, limit);
        show_threads(pid);
    }
    kill(-pid, SIGKILL); /* it, or what it left behind */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return in_time ? judge(test, status) : FAILED;
}

static void show_output(FILE *output)
{
    char *text = contents(output, OUTPUT_SHOWN);

    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        printf("#   %.*s\n", (int)(end - line), line);
        end += *end == '\n';
    }
    free(text);
}

/* Run TEST up to TIMES times, and print its line of TAP.  Returns whether it did not fail. */
static bool run_test(const struct test_case *test, int number, long times)
{
    enum verdict verdict = PASSED;
    int64_t start_ns = test_now_ns();
    long run = 0;

    while (verdict == PASSED && run < times) {
        FILE *output = tmpfile();

        if (!output)
            test_fail(TEST_HERE, "no temporary file: %s", strerror(errno));
        run++;
        verdict = run_once(test, output);
        if (verdict == SKIPPED) {
            char *reason = contents(output, 200);

            printf("ok %d - %s # SKIP %s\n", number, test->name, reason);
            free(reason);
        } else if (verdict == FAILED || getenv("TEST_VERBOSE")) {
            show_output(output);
        }
        fclose(output);
    }
    if (verdict != SKIPPED)
        printf("%s %d - %s # run %ld, %lld ms\n", verdict == PASSED ? "ok" : "not ok", number,
                test->name, run, (long long)((test_now_ns() - start_ns) / 1000000));
    fflush(stdout);
    return verdict != FAILED;
}

/* --- the program ------------------------------------------------------------------------------ */

static bool is_chosen(const struct test_case *test, char **words)
{
    if (!*words)
        return true;
    for (; *words; words++) {
        if (strstr(test->name, *words))
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    char **words = argv + 1;
    long times = 1;
    bool list = false;
    int count = 0, number = 0, failed = 0;
    sigset_t child_ended;

    for (; argc > 1 && *words && words[0][0] == '-'; words++) {
        if (strcmp(*words, "--list") == 0) {
            list = true;
        } else if (strcmp(*words, "--repeat") == 0 && words[1]) {
            times = strtol(*++words, NULL, 10);
        } else {
            fprintf(stderr, "usage: %s [--list] [--repeat TIMES] [WORD ...]\n", argv[0]);
            return 2;
        }
    }
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_ended, NULL);

    for (struct test_case *test = tests; test; test = test->next)
        count += is_chosen(test, words);
    if (!list)
        printf("1..%d%s\n", count, count ? "" : " # SKIP no test has such a name");
    for (struct test_case *test = tests; test; test = test->next) {
        if (!is_chosen(test, words))
            continue;
        if (list)
            printf("%s\n", test->name);
        else
            failed += !run_test(test, ++number, times);
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
