/* SPDX-License-Identifier: MIT */
/*
 * The harness itself, and the sanitizers: a check that cannot fail is worth nothing.
 *
 * Promised (harness.h, fault.h)           Tested by
 *   a failed check, crash, early exit,      bad_tests_fail, which runs the baits below in a second
 *   hang fails its test and no other        copy of this program
 *   a sanitizer's report fails its test     the same: leak, overflow, race, use after free
 *   skip, repeat, filter, list              skipping_is_..., repeat_..., filter_..., list_...
 *   children, threads, counts, faults       the tests named after them
 *
 * The baits are tests that must fail.  They register only when HARNESS_BAITS is set.
 */
#include "harness.h"

#include "base/memory.h"
#include "fault.h"
#include "unordered.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* --- baits ------------------------------------------------------------------------------------ */

static void bait_check(void)
{
    printf("before the check\n");
    fflush(stdout);
    CHECK_EQ(errno * 0 + 1, 2);
}

static void bait_string(void)
{
    CHECK_STR("one", "two");
}

static void bait_crash(void)
{
    raise(SIGSEGV);
}

static void bait_abort(void)
{
    abort();
}

static void bait_exit(void)
{
    exit(3);
}

static void bait_hang(void)
{
    for (;;)
        pause();
}

static int stay(void *argument)
{
    (void)argument;
    bait_hang();
    return 0;
}

static void bait_child_hang(void)
{
    test_child(stay, NULL);
}

static void *check_fails(void *argument)
{
    CHECK(argument != NULL);
    return NULL;
}

static void bait_thread_check(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, check_fails, NULL);
    pthread_join(thread, NULL);
}

static void bait_skip(void)
{
    test_skip("nothing to do here");
}

static void bait_good(void)
{
}

#if TEST_ASAN
static void *volatile lost;

static void bait_leak(void)
{
    lost = malloc(100);
    lost = NULL;
}

static void bait_use_after_free(void)
{
    char *memory = malloc(100);

    lost = memory;
    free(memory);
    CHECK(((char *)lost)[5] != 'x' || ((char *)lost)[5] == 'x');
}

static void bait_overflow(void)
{
    static volatile int number = INT_MAX;

    number = number + 1;
}
#endif

#if TEST_TSAN
static int shared;
static atomic_bool counted[2];

/* One after the other, and nobody goes before both have: the thread sanitizer may miss what is done
 * in the very same moment, and what a thread did that has ended. */
static void count_carelessly(void *argument, int index)
{
    (void)argument;
    if (index > 0)
        unordered_wait(&counted[0]);
    shared++;
    unordered_open(&counted[index]);
    unordered_wait(&counted[1]);
}

static void bait_race(void)
{
    test_together(2, count_carelessly, NULL);
}
#endif

static struct test_case baits[] = {
        {"bait_check", bait_check, NULL},
        {"bait_string", bait_string, NULL},
        {"bait_thread_check", bait_thread_check, NULL},
        {"bait_crash", bait_crash, NULL},
        {"bait_abort", bait_abort, NULL},
        {"bait_exit", bait_exit, NULL},
        {"bait_hang", bait_hang, NULL},
        {"bait_child_hang", bait_child_hang, NULL},
#if TEST_ASAN
        {"bait_leak", bait_leak, NULL},
        {"bait_use_after_free", bait_use_after_free, NULL},
        {"bait_overflow", bait_overflow, NULL},
#endif
#if TEST_TSAN
        {"bait_race", bait_race, NULL},
#endif
        {"bait_skip", bait_skip, NULL}, /* these two do not fail */
        {"bait_good", bait_good, NULL},
};

enum { BAITS = sizeof(baits) / sizeof(*baits), BAD = BAITS - 2 };

__attribute__((constructor)) static void register_baits(void)
{
    if (!getenv("HARNESS_BAITS"))
        return;
    for (int i = 0; i < BAITS; i++)
        test_register(&baits[i]);
}

/* What a second copy of this program, with baits, writes when run with ARGUMENTS. */
static char output[100000];

static int run_copy(const char *arguments)
{
    char command[4096], self[2048];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    CHECK(length > 0);
    self[length] = '\0';
    snprintf(command, sizeof(command), "HARNESS_BAITS=1 '%s' %s </dev/null 2>&1", self, arguments);
    FILE *pipe = popen(command, "r");
    CHECK(pipe != NULL);
    output[fread(output, 1, sizeof(output) - 1, pipe)] = '\0';
    return pclose(pipe);
}

/* --- baits must fail -------------------------------------------------------------------------- */

TEST(bad_tests_fail)
{
    for (int i = 0; i < BAD; i++) {
        bool hangs = strstr(baits[i].name, "hang");
        char expected[100];

        snprintf(expected, sizeof(expected), "not ok 1 - %s #", baits[i].name);
        setenv("TEST_TIME_LIMIT", hangs ? "0.5" : "600", 1);
        CHECK_NE(run_copy(baits[i].name), 0);
        CHECK_CONTAINS(output, expected);
        CHECK_EQ(hangs, strstr(output, "did not end within 0.5 s") != NULL);
    }
}

TEST(failure_shows_its_reason_and_output)
{
    CHECK_NE(run_copy("bait_check"), 0);
    CHECK_CONTAINS(output, "before the check");
    CHECK_CONTAINS(output, "errno * 0 + 1 == 2: they are 1 and 2");
    CHECK_NE(run_copy("bait_abort"), 0);
    CHECK_CONTAINS(output, "ended by signal 6");
}

TEST(failure_does_not_touch_other_tests)
{
    CHECK_NE(run_copy("bait_exit bait_good bait_abort"), 0);
    CHECK_CONTAINS(output, "1..3\n");
    CHECK_CONTAINS(output, "\nok 3 - bait_good");
}

#if TEST_SANITIZED
static void finds(const char *bait, const char *words)
{
    CHECK_NE(run_copy(bait), 0);
    CHECK_CONTAINS(output, words);
}

TEST(sanitizer_says_what_it_found)
{
    if (TEST_ASAN) {
        finds("bait_leak", "detected memory leaks");
        finds("bait_use_after_free", "heap-use-after-free");
        finds("bait_overflow", "signed integer overflow");
    }
    if (TEST_TSAN)
        finds("bait_race", "data race");
}
#endif

TEST(skipping_is_not_failing)
{
    CHECK_EQ(run_copy("bait_skip"), 0);
    CHECK_CONTAINS(output, "ok 1 - bait_skip # SKIP nothing to do here");
}

TEST(repeat_runs_again_until_the_first_failure)
{
    CHECK_EQ(run_copy("--repeat 3 bait_good"), 0);
    CHECK_CONTAINS(output, "ok 1 - bait_good # run 3,");
    CHECK_NE(run_copy("--repeat 3 bait_string"), 0);
    CHECK_CONTAINS(output, "not ok 1 - bait_string # run 1,");
}

TEST(filter_that_fits_nothing_runs_nothing)
{
    CHECK_EQ(run_copy("no_such_test"), 0);
    CHECK_STR(output, "1..0 # SKIP no test has such a name\n");
}

TEST(list_names_the_tests)
{
    CHECK_EQ(run_copy("--list bait_hang bait_skip"), 0);
    CHECK_STR(output, "bait_hang\nbait_skip\n");
}

/* --- helpers ---------------------------------------------------------------------------------- */

static int complain(void *argument)
{
    fprintf(stderr, "%s", (const char *)argument);
    return 42;
}

static int kill_itself(void *argument)
{
    (void)argument;
    raise(SIGKILL);
    return 0;
}

TEST(child_tells_status_and_errors)
{
    struct test_child child = test_child(complain, "a sentence");

    CHECK(child.exited);
    CHECK_EQ(child.status, 42);
    CHECK_EQ(child.signal, 0);
    CHECK_STR(child.errors, "a sentence");
    free(child.errors);
}

TEST(child_tells_signal)
{
    struct test_child child = test_child(kill_itself, NULL);

    CHECK(!child.exited);
    CHECK_EQ(child.signal, SIGKILL);
    free(child.errors);
}

static void count_together(void *argument, int index)
{
    atomic_fetch_add((atomic_int *)argument, index);
}

TEST(together_runs_each_index_once)
{
    atomic_int sum = 0;

    test_together(5, count_together, &sum);
    CHECK_EQ(atomic_load(&sum), 0 + 1 + 2 + 3 + 4);
}

static void wait_for_it(void *argument, int index)
{
    (void)index;
    pthread_barrier_wait(argument);
}

TEST(threads_and_descriptors_are_counted)
{
    atomic_int sum = 0;
    test_together(1, count_together, &sum); /* now a sanitizer has its own thread, too */
    int threads = test_thread_count(), fds = test_fd_count();
    pthread_barrier_t barrier;
    int ends[2];

    pthread_barrier_init(&barrier, NULL, 3);
    struct test_threads *crew = test_threads_start(2, wait_for_it, &barrier);
    CHECK_EQ(test_thread_count(), threads + 2);
    pthread_barrier_wait(&barrier);
    test_threads_join(crew);
    pthread_barrier_destroy(&barrier);

    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(test_fd_count(), fds + 2);
    close(ends[0]);
    close(ends[1]);
}

TEST(scale_is_a_percentage_and_leaves_at_least_one)
{
    setenv("TEST_SCALE", "250", 1);
    CHECK_EQ(test_scaled(10), 25);
    setenv("TEST_SCALE", "1", 1);
    CHECK_EQ(test_scaled(10), 1);
    unsetenv("TEST_SCALE");
    CHECK_EQ(test_scaled(10), 10);
}

/* --- faults ----------------------------------------------------------------------------------- */

TEST(fault_fails_the_nth_only)
{
    fault_fail("malloc", 2, false);
    CHECK(!asi_fault("malloc"));
    CHECK(!asi_fault("mmap"));
    CHECK(asi_fault("malloc"));
    CHECK(!asi_fault("malloc"));
    CHECK_EQ(fault_count("malloc"), 3);
    CHECK_EQ(fault_failed("malloc"), 1);
}

TEST(sticky_fault_fails_all_that_follow)
{
    fault_fail(FAULT_ANY, 2, true);
    CHECK(!asi_fault("thread"));
    CHECK(asi_fault("eventfd"));
    CHECK(asi_fault("base"));
    CHECK_EQ(fault_failed(FAULT_ANY), 2);
    fault_clear();
    CHECK(!asi_fault("base"));
    CHECK_EQ(fault_count(FAULT_ANY), 1);
}

TEST(fault_reaches_the_allocator)
{
    fault_fail("malloc", 1, false);
    CHECK(asi_allocate(10) == NULL);
    void *memory = asi_allocate(10);
    CHECK(memory != NULL);
    asi_free(memory);
}
