/* SPDX-License-Identifier: MIT */
/*
 * Bugs of other runtimes, provoked here: stacks, and what hangs on them.  Each test says what went
 * wrong elsewhere, and how it is brought about.  (The others: test_history_*.)
 *
 * Promised                                             Tested by (each begins with history_)
 *   a wait changes neither thread nor errno              20_thread_locals_across_a_wait
 *   a stack that overflows is a fault                    21_an_overflow_is_a_fault
 *   a stack is free when it is left, no sooner           22_a_stack_is_freed_after_it_was_left
 *   sanitizers see what happens on coroutines            23_sanitizers_see_coroutines
 */
#include "worlds.h"

#include "coro/stack.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

/* --- 20 --------------------------------------------------------------------------------------- */

static _Thread_local int local = 1;

/* Addresses as they are now: a compiler may keep what it knows across a call it can see into. */
__attribute__((noinline)) static int *where_local(void)
{
    __asm__ volatile("");
    return &local;
}

__attribute__((noinline)) static int *where_errno(void)
{
    __asm__ volatile("");
    return &errno;
}

ANYSYNC_BLOCKING(void, spoil_errno, (int, n))
{
    errno = n;
    local = n;
    return 0;
}

ANYSYNC_COROUTINE(void, nothing)
{
    return 0;
}

ANYSYNC_COROUTINE(void, look_around, (int, number), (struct anysync_executor *, other))
{
    pthread_t thread = pthread_self();

    local = 1;
    for (int i = 0; i < 40; i++) {
        int error = 0, code = number * 1000 + i + 1;

        errno = code;
        switch (i % 5) {
        case 0:
            error = anysync_yield();
            break;
        case 1:
            error = anysync_sleep(anysync_in_us(number));
            break;
        case 2:
            error = spoil_errno(7);
            break;
        case 3: /* the loop's thread waits for another one */
            error = anysync_run(&spoil_errno_function, &code, NULL, ANYSYNC_FOREVER);
            break;
        default:
            error = nothing_run_on(other);
        }
        CHECK_EQ(error, 0);
        if (i % 5 != 3) /* a call that blocks is like any other: errno is not kept */
            CHECK_EQ(errno, code);
        CHECK_EQ(local, 1); /* as this function knows it, and as it is */
        CHECK(&local == where_local());
        CHECK(&errno == where_errno());
        CHECK(pthread_equal(thread, pthread_self()));
    }
    return 0;
}

static struct anysync_executor *new_executor(void)
{
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    return executor;
}

/*
 * llvm #98479, jemalloc #2944, ClickHouse/silk #66, illumos-omnios #1260: the compiler kept the
 * address of a thread-local variable over a switch, and the coroutine went on on another thread
 * with the variables of the first.  Here coroutines of two executors read errno and a variable of
 * their thread, as this function and as an opaque one see it, before and after each kind of wait.
 * Then executors end and begin again: stacks that were kept must not know the thread of before.
 */
TEST(history_20_thread_locals_across_a_wait)
{
    struct anysync_executor *executors[2] = {new_executor(), new_executor()};

    for (int round = 0; round < 4; round++) {
        look_around_future looking[16];

        for (int i = 0; i < 16; i++)
            CHECK_EQ(look_around_start_on(executors[i % 2], &looking[i], i, executors[1 - i % 2]),
                    0);
        for (int i = 0; i < 16; i++) {
            CHECK_EQ(look_around_wait(&looking[i], ANYSYNC_FOREVER), 0);
            look_around_drop(&looking[i]);
        }
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(anysync_executor_shutdown(executors[i], ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL),
                    0);
            CHECK_EQ(anysync_executor_start(executors[i]), 0);
        }
    }
    anysync_executor_unref(executors[0]);
    anysync_executor_unref(executors[1]);
}

/* --- 21 --------------------------------------------------------------------------------------- */

/* One KB a call.  Each frame knows OUTER's, so that no compiler makes a loop of it. */
__attribute__((noinline)) static int descend(int depth, const volatile char *outer)
{
    volatile char block[1024];

    block[0] = (char)depth;
    block[1023] = outer ? outer[0] : 1;
    return depth == 0 ? block[0] : descend(depth - 1, block) + block[1023];
}

__attribute__((noinline)) static int descend_far(int depth, const volatile char *outer)
{
    volatile char block[80 * 1024];

    block[0] = (char)depth;
    block[1] = outer ? outer[0] : 1;
    return depth == 0 ? block[0] : descend_far(depth - 1, block) + block[1];
}

ANYSYNC_COROUTINE(void, overflow, (bool, far))
{
    return far ? descend_far(100000, NULL) > 0 : descend(100000, NULL) > 0;
}

static int overflow_it(void *argument)
{
    return overflow_run(*(const bool *)argument);
}

/*
 * openssl #6017, minicoro #19, tarantool #2411: a coroutine ran out of its small stack and wrote
 * into what lay below, silently.  Here coroutines overflow theirs in small steps and in frames of
 * 80 KB, which could jump over one guard page: the process ends by a fault (or a sanitizer's
 * report of it), and a sentence names the task.
 */
TEST(history_21_an_overflow_is_a_fault)
{
    for (int far = 0; far < 2; far++) {
        struct test_child child = test_child(overflow_it, &(bool){far});
        bool told = TEST_SANITIZED ? child.signal || child.status > 0
                                   : child.signal == SIGSEGV || child.signal == SIGBUS;
        if (!told || (child.exited && child.status == 97))
            test_fail(TEST_HERE, "%d, %d: %s", child.status, child.signal, child.errors);
        CHECK_CONTAINS(child.errors, "the stack of task \"overflow\"");
        free(child.errors);
    }
}

/* --- 22 --------------------------------------------------------------------------------------- */

enum { WORDS = 512 };

/* Its frame is its own while it runs, to its very end. */
ANYSYNC_COROUTINE(int, keep_frame, (int, number))
{
    volatile int frame[WORDS];

    for (int i = 0; i < WORDS; i++)
        frame[i] = number + i;
    for (int turn = 0; turn < 3; turn++) {
        int error = turn == 1 ? anysync_sleep(anysync_in_us(number % 7)) : anysync_yield();
        if (error)
            return error;
        for (int i = 0; i < WORDS; i++)
            CHECK_EQ(frame[i], number + i);
    }
    for (int i = 0; i < WORDS; i++) /* and when it is as good as gone */
        frame[i] = -1;
    *result = frame[number % WORDS];
    if (number % 4 == 0)
        anysync_exit(0); /* leaves the stack for good */
    return 0;
}

static atomic_bool enough;

static void run_frames(void *argument, int index)
{
    struct anysync_executor *executor = index ? NULL : argument;

    for (long round = test_scaled(60); round > 0; round--) {
        keep_frame_future keeping[20];
        int value = 0;

        for (int i = 0; i < 20; i++)
            CHECK_EQ(keep_frame_start_on(executor, &keeping[i], (int)round * 20 + i), 0);
        for (int i = 0; i < 20; i++) {
            CHECK_EQ(keep_frame_wait(&keeping[i], &value, ANYSYNC_FOREVER), 0);
            CHECK_EQ(value, -1);
            keep_frame_drop(&keeping[i]);
        }
        CHECK_EQ(keep_frame_run_here(&value, (int)round), 0); /* its loop gives all stacks back */
    }
}

static void trim(void *argument, int index)
{
    (void)argument;
    (void)index;
    while (!atomic_load(&enough)) {
        asi_stacks_trim(true, 1000000); /* without the table of records, which is not of interest */
        anysync_trim();
        sched_yield();
    }
}

/*
 * Tencent/flare #199, tarantool #6932: a stack went back to its pool, or to the system, while its
 * coroutine still ran on it for a few instructions; another thread took it.  Here tasks that end,
 * or leave by anysync_exit(), have filled frames, on three loops that share the stacks, while one
 * more thread gives whatever is free back to the system.
 */
TEST(history_22_a_stack_is_freed_after_it_was_left)
{
    struct anysync_executor *executor = new_executor();
    struct test_threads *trimmer = test_threads_start(1, trim, NULL);

    test_together(2, run_frames, executor);
    atomic_store(&enough, true);
    test_threads_join(trimmer);
    anysync_executor_unref(executor);
}

/* --- 23 --------------------------------------------------------------------------------------- */

enum bug { NO_BUG, USE_AFTER_RETURN, OVERRUN, USE_AFTER_FREE, LEAK, RACE, BUGS };

static volatile int *volatile dangling;
static int raced;

/* No assembly in here: clang keeps no fake stack for a function that has some. */
__attribute__((noinline)) static void return_address(void)
{
    volatile int here = 1;
    volatile uintptr_t place = (uintptr_t)&here; /* the compiler would see it otherwise */

    dangling = (volatile int *)place;
}

ANYSYNC_COROUTINE(void, sleep_with_memory, (struct anysync_future *, begun))
{
    char *volatile memory = malloc(1234);

    CHECK(memory != NULL);
    open_gate(begun);
    int error = anysync_sleep(ANYSYNC_FOREVER);
    memory = NULL; /* lost: the stack was all that knew of it */
    return error;
}

ANYSYNC_COROUTINE(void, have_bug, (enum bug, bug))
{
    volatile char block[16] = {0};
    char *volatile memory = malloc(16);
    int error = anysync_yield(); /* there and back: the tools were told of it */

    CHECK(memory != NULL);
    if (bug == USE_AFTER_RETURN) {
        return_address();
        *dangling = 7;
    }
    if (bug == OVERRUN) {
        volatile char *volatile at = block;
        at[sizeof(block)] = 1;
    }
    free(memory);
    if (bug == USE_AFTER_FREE)
        *(volatile char *)memory = 1;
    if (bug == RACE)
        raced++;
    return error;
}

static void race(void *argument, int index)
{
    (void)index;
    for (int i = 0; i < 100; i++)
        CHECK_EQ(have_bug_run_on(argument, RACE), 0);
}

static int bug_main(void *argument)
{
    enum bug bug = *(const enum bug *)argument;

    if (bug == RACE) { /* two loops, one variable */
        struct anysync_executor *executor = new_executor();
        struct test_threads *threads = test_threads_start(1, race, executor);
        race(NULL, 0);
        test_threads_join(threads);
        anysync_executor_unref(executor);
    } else if (bug == LEAK) {
        struct anysync_future *begun = new_gate();
        ANYSYNC_SCOPED_FUTURE(sleep_with_memory, sleeping);
        CHECK_EQ(sleep_with_memory_start(&sleeping, begun), 0);
        pass_gate(begun);
        sleep_with_memory_cancel(&sleeping);
        CHECK_EQ(sleep_with_memory_wait(&sleeping, ANYSYNC_FOREVER), -ECANCELED);
        anysync_future_unref(begun);
        CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    } else {
        CHECK_EQ(have_bug_run(bug), 0);
    }
    return 0;
}

/*
 * tarantool #8977, brpc #2931: the sanitizers were not told, or told wrongly, of a change of
 * stacks; they lied, or were silent for years.  Here bugs are planted on coroutine stacks: the
 * sanitizer of this build must speak, and say nothing of a coroutine without a bug.
 */
TEST(history_23_sanitizers_see_coroutines)
{
    static const char *const words[BUGS] = {"", "stack-use-after-return", "stack-buffer-overflow",
            "heap-use-after-free", "LeakSanitizer", "data race"};

    if (!TEST_ASAN && !TEST_TSAN)
        test_skip("this build has no sanitizer");
    for (enum bug bug = NO_BUG; bug < BUGS; bug++) {
        if (bug != NO_BUG && (bug == RACE) != (TEST_TSAN == 1))
            continue; /* not of this one */
        struct test_child child = test_child(bug_main, &bug);
        if (bug == NO_BUG
                        ? !child.exited || child.status != 0 || child.errors[0]
                        : (child.exited && child.status == 0) || !strstr(child.errors, words[bug]))
            test_fail(
                    TEST_HERE, "bug %d: %d, %d: %s", bug, child.status, child.signal, child.errors);
        free(child.errors);
    }
}
