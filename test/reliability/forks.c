/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * R10: fork() at random moments, with everything in flight.
 *
 * Three threads do pieces of mix.h by themselves and in sessions on two executors, while the main
 * thread, and tasks, fork.  A child leaves at once by _exit() or exec(), or uses what the parent
 * uses: a run on a fresh worker, the parent's other executor, a here-loop, pieces of the mix; what
 * it inherited unfinished says -EOWNERDEAD.  Each child ends; and each piece of the parent ends as
 * if nothing had been.
 *
 * A sanitizer's malloc() may be locked in a child that was forked while other threads run: there
 * the children leave at once, and what is looked at is the parent and the library's work around
 * the fork.
 *
 * The second test looks at the descriptors, in the child of a process that is at rest.  The
 * library's own eventfds and timers are closed there.  A base it inherited cannot be freed, so
 * libevent's epoll set and eventfd stay open (docs/decisions/0016): nothing is registered there or
 * taken away, and nobody is woken, however much the child does on loops of its own.
 *
 *   FORKS  how many
 */
#include "mix.h"

#include <linux/kcmp.h>

enum { THREADS = 3, LIMIT_MS = 60000, MOST_DESCRIPTORS = 256 };

enum kind { LEAVE, RUN, USE_ALL, EXIT, KINDS };

static struct anysync_executor *own;
static struct anysync_future *pending; /* done by nobody before the end */
static atomic_bool stop;
static atomic_long begun, done;

static void work(void *argument, int index)
{
    unsigned seed = (unsigned)index * 40503u + (unsigned)(test_now_ns() & 0xffff) * 65537u + 1;

    (void)argument;
    while (!atomic_load(&stop)) {
        unsigned chance = next_random(&seed);
        atomic_fetch_add(&begun, 1);
        int error = chance % 4 == 0   ? mix_session_run(chance, 16)
                    : chance % 4 == 1 ? mix_session_run_on(own, chance, 16)
                                      : mix_once(&seed);
        CHECK_EQ(error, 0);
        atomic_fetch_add(&done, 1);
    }
}

/* --- children --------------------------------------------------------------------------------- */

static void check_works(struct anysync_executor *executor)
{
    int sum = 0;

    CHECK_EQ(mix_add_later_run_on(executor, &sum, 40, 2), 0);
    CHECK_EQ(sum, 42);
}

static void be_child(enum kind kind, unsigned seed)
{
    struct anysync_stats stats;

    if (kind == LEAVE)
        _exit(0);
    anysync_executor_stats(NULL, &stats);
    CHECK_EQ(stats.workers, 0);
    check_works(NULL);
    anysync_executor_stats(NULL, &stats);
    CHECK_EQ(stats.workers, 1);
    if (kind == USE_ALL) {
        check_works(own);
        CHECK_EQ(mix_session_run_here(seed, 8), 0);
        for (int i = 0; i < 8; i++)
            CHECK_EQ(mix_once(&seed), 0);
        CHECK_EQ(anysync_future_wait(pending, ANYSYNC_FOREVER), -EOWNERDEAD);
        CHECK_EQ(mix_pass_run(pending), -EOWNERDEAD);
    }
    if (kind == EXIT)
        exit(0);
    _exit(0);
}

ANYSYNC_COROUTINE(pid_t, fork_in_task, (bool, starts_program))
{
    *result = fork();
    if (*result == 0 && starts_program)
        execl("/bin/true", "true", (char *)NULL);
    if (*result == 0)
        _exit(anysync_yield() == -EOWNERDEAD ? 0 : 1);
    return *result < 0 ? -errno : 0;
}

/* --- the parent ------------------------------------------------------------------------------- */

/* For each kind: the time from fork() to the end of the child. */
struct times {
    int64_t sum, most;
    long count;
};

static struct times times[KINDS + 1];

static void note(int kind, int64_t took)
{
    times[kind].sum += took;
    times[kind].count++;
    if (took > times[kind].most)
        times[kind].most = took;
}

static void fork_one(long number, unsigned seed)
{
    int kind = TEST_ASAN || TEST_TSAN ? LEAVE : (int)(number % KINDS);
    pid_t pid = -1;

    pause_us(seed % 16 ? seed % 256 : 0);
    int64_t began = test_now_ns();
    if (seed % 8 == 1) {
        kind = KINDS;
        CHECK_EQ(fork_in_task_run_on(seed % 16 ? NULL : own, &pid, seed % 64 == 1), 0);
    } else {
        pid = fork();
        CHECK_GE(pid, 0);
        if (pid == 0)
            be_child((enum kind)kind, seed);
    }
    int status = end_of(pid, LIMIT_MS);
    note(kind, test_now_ns() - began);
    if (status != 0)
        test_fail(TEST_HERE, "child %ld, kind %d, seed %u: %s %#x", number, kind, seed,
                status == -1 ? "it hangs" : "it ended with", status);
}

TEST(r10_forks_at_random_moments)
{
    static const char *const names[] = {"leaves", "runs", "uses all", "exits", "in a task"};
    struct anysync_stats stats[2];
    unsigned seed = (unsigned)asked_for("SEED", test_now_ns() & 0xffffff) | 1;
    long forks = asked_for("FORKS", 200);

    CHECK_EQ(anysync_executor_new(NULL, &own), 0);
    CHECK_EQ(anysync_future_new(0, &pending), 0);
    check_works(NULL);
    check_works(own);
    anysync_executor_stats(NULL, &stats[0]);
    struct test_threads *threads = test_threads_start(THREADS, work, NULL);
    for (long i = 0; i < forks; i++)
        fork_one(i, next_random(&seed));
    atomic_store(&stop, true);
    test_threads_join(threads); /* what was lost would be waited for until the time limit */
    CHECK_EQ(atomic_load(&begun), atomic_load(&done));
    anysync_executor_stats(NULL, &stats[1]);
    CHECK_EQ(stats[1].workers, 1);
    CHECK_EQ(stats[1].worker_serial, stats[0].worker_serial);
    CHECK_EQ(anysync_executor_shutdown(own, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    tell("forks", forks);
    tell("pieces of the parent", atomic_load(&done));
    tell("tasks of the parent", atomic_load(&mix_tasks));
    for (int i = 0; i <= KINDS; i++) {
        if (times[i].count)
            printf("child %s: %ld times, %ld us on average, %ld at most\n", names[i],
                    times[i].count, (long)(times[i].sum / times[i].count / 1000),
                    (long)(times[i].most / 1000));
    }
    tell("us until a child has left", (long)(times[LEAVE].sum / (times[LEAVE].count + 1) / 1000));
    anysync_executor_unref(own);
    anysync_future_unref(pending);
}

/* --- descriptors ------------------------------------------------------------------------------ */

/* What the library has opened: wakers, and sets of descriptors. */
struct descriptors {
    int count;
    int fds[MOST_DESCRIPTORS];
    enum what { SET, WAKER, TIMER } what[MOST_DESCRIPTORS];
};

static void look_at_descriptors(struct descriptors *seen)
{
    seen->count = 0;
    for (int fd = 0; fd < MOST_DESCRIPTORS; fd++) {
        char path[64], target[64];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        enum what what = strstr(target, "[eventpoll]") ? SET
                         : strstr(target, "[eventfd]") ? WAKER
                                                       : TIMER;
        if (what == TIMER && !strstr(target, "[timerfd]"))
            continue;
        seen->what[seen->count] = what;
        seen->fds[seen->count++] = fd;
    }
}

/* What is registered with the set FD, or how often FD was rung, as the kernel tells. */
static void state_of(int fd, char *text, size_t size)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

/* Whether FD here and THEIRS in the process PID are the same open file. */
static bool same_file(int fd, pid_t pid, int theirs)
{
    long order = syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, (long)fd, (long)theirs);

    CHECK_GE(order, 0);
    return order == 0;
}

/* Of what the library has open in this child, how much is the parent's: of each base its set and
 * one waker, libevent's own. */
static int count_shared(const struct descriptors *parents, int *ret_fds)
{
    static struct descriptors mine;
    int shared[TIMER + 1] = {0}, count = 0;

    look_at_descriptors(&mine);
    for (int i = 0; i < mine.count; i++) {
        for (int j = 0; j < parents->count; j++) {
            if (!same_file(mine.fds[i], getppid(), parents->fds[j]))
                continue;
            shared[mine.what[i]]++;
            ret_fds[count++] = mine.fds[i];
        }
    }
    CHECK_EQ(shared[WAKER], shared[SET]);
    CHECK_EQ(shared[TIMER], 0);
    return count;
}

static void be_apart(const struct descriptors *parents)
{
    static char before[16][4096], after[4096];
    int fds[MOST_DESCRIPTORS], again[MOST_DESCRIPTORS];
    int shared = count_shared(parents, fds);

    CHECK_GE(16, shared);
    for (int i = 0; i < shared; i++)
        state_of(fds[i], before[i], sizeof(before[i]));
    for (int i = 0; i < 4; i++)
        CHECK_EQ(mix_reads(i), 0);
    CHECK_EQ(mix_session_run_on(own, 1, 8), 0);
    CHECK_EQ(mix_session_run_here(1, 8), 0);
    CHECK_EQ(count_shared(parents, again), shared);
    for (int i = 0; i < shared; i++) {
        state_of(fds[i], after, sizeof(after));
        CHECK_STR(after, before[i]);
    }
    _exit(0);
}

TEST(r10_no_descriptor_is_shared)
{
    static struct descriptors mine;
    struct anysync_executor *executors[2] = {NULL};
    mix_read_future readings[2];
    int fds[2][2], there[TIMER + 1] = {0};
    long forks = asked_for("FORKS", 200) / 10 + 1;

    if (TEST_TSAN)
        test_skip("the thread sanitizer does not follow locks in a child of many threads");
    CHECK_EQ(anysync_executor_new(NULL, &own), 0);
    executors[1] = own;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pipe2(fds[i], O_CLOEXEC), 0);
        CHECK_EQ(mix_read_start_on(executors[i], &readings[i], fds[i][0]), 0);
        check_works(executors[i]); /* comes after it: now it is registered */
    }
    CHECK_EQ(mix_session_run_here(1, 64), 0);
    look_at_descriptors(&mine);
    for (int i = 0; i < mine.count; i++)
        there[mine.what[i]]++;
    CHECK_GE(there[SET], 2);
    CHECK_GE(there[WAKER], there[SET] + 2); /* libevent's, and the library's own */
    CHECK_GE(there[TIMER], 2);
    for (long i = 0; i < forks; i++) {
        pid_t pid = fork();
        CHECK_GE(pid, 0);
        if (pid == 0)
            be_apart(&mine);
        CHECK_EQ(end_of(pid, LIMIT_MS), 0);
    }
    for (int i = 0; i < 2; i++) { /* the parent's are registered as before */
        char byte = 0;
        CHECK_EQ(write(fds[i][1], "z", 1), 1);
        CHECK_EQ(mix_read_wait(&readings[i], &byte, ANYSYNC_FOREVER), 0);
        CHECK_EQ(byte, 'z');
        mix_read_drop(&readings[i]);
    }
    tell("children apart", forks);
    tell("wakers and sets of the parent", mine.count);
    anysync_executor_unref(own);
}
