/* SPDX-License-Identifier: MIT */
/*
 * Test harness.
 *
 * A test file is a program: its TESTs register themselves and main() is here.  Each test runs in a
 * process of its own, forked before anything touched the library, with a time limit: a crash, a
 * hang, a failed CHECK, a leak or race that a sanitizer reports each fail that one test.  A test's
 * output is shown only when it fails.  Results are TAP on standard output.
 *
 *      test_mpsc                     all tests
 *      test_mpsc stress fifo         those whose names contain one of these words
 *      test_mpsc --repeat 100 fifo   each 100 times, up to its first failure
 *      test_mpsc --list
 *
 *   TEST_SCALE       percent: how much work stress tests do (see test_scaled())
 *   TEST_TIME_LIMIT  seconds a test may take; default 60, under sanitizers 600
 *   TEST_GDB=1       a test that hangs shows the stacks of its threads, if gdb is installed
 *   TEST_VERBOSE=1   show the output of tests that passed, too
 */
#ifndef TEST_HARNESS_H
#define TEST_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#elif __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#elif __has_feature(memory_sanitizer)
#define TEST_MSAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#endif

/* 1 in a build with this sanitizer, 0 in others: for #if and for if. */
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif
#ifndef TEST_MSAN
#define TEST_MSAN 0
#endif
#define TEST_SANITIZED (TEST_ASAN || TEST_TSAN || TEST_MSAN)

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

/* Add TEST, which is never freed.  Called before main(), by TEST(). */
void test_register(struct test_case *test);

/* TEST(name_that_says_what_holds) { ... }  Ends well when it returns. */
#define TEST(name)                                                                                 \
    static void test_run_##name(void);                                                             \
    static struct test_case test_case_##name = {#name, test_run_##name, NULL};                     \
    __attribute__((constructor)) static void test_register_##name(void)                            \
    {                                                                                              \
        test_register(&test_case_##name);                                                          \
    }                                                                                              \
    static void test_run_##name(void)

/* --- checks: usable on any thread and on coroutine stacks; the first that fails ends the test - */

#define CHECK(expression)                                                                          \
    do {                                                                                           \
        if (!(expression))                                                                         \
            test_fail(__FILE__, __LINE__, "CHECK(%s)", #expression);                               \
    } while (0)

/* Integers of any kinds, compared as intmax_t; a failure prints both.  GE: a is at least b. */
#define CHECK_EQ(a, b) test_check_integers((intmax_t)(a), "==", (intmax_t)(b), #a, #b, TEST_HERE)
#define CHECK_NE(a, b) test_check_integers((intmax_t)(a), "!=", (intmax_t)(b), #a, #b, TEST_HERE)
#define CHECK_GE(a, b) test_check_integers((intmax_t)(a), ">=", (intmax_t)(b), #a, #b, TEST_HERE)

/* Strings: equal, or the first contains the second.  NULL equals and contains nothing. */
#define CHECK_STR(a, b) test_check_strings(a, b, false, TEST_HERE)
#define CHECK_CONTAINS(text, part) test_check_strings(text, part, true, TEST_HERE)

#define TEST_HERE __FILE__, __LINE__

/* What the macros call.  test_fail() prints the place and the sentence, and ends the process. */
void test_fail(const char *file, int line, const char *format, ...)
        __attribute__((format(printf, 3, 4), noreturn, cold));
void test_check_integers(intmax_t a, const char *relation, intmax_t b, const char *a_text,
        const char *b_text, const char *file, int line);
void test_check_strings(const char *a, const char *b, bool contains, const char *file, int line);

/* End this test as skipped, and say why. */
void test_skip(const char *reason) __attribute__((noreturn));

/* Say that this test forks while other threads run: a sanitizer's malloc may be locked in the child
 * for ever, so that there the test is skipped. */
void test_forks_among_threads(void);

/* --- helpers ---------------------------------------------------------------------------------- */

/* COUNT times TEST_SCALE percent, at least 1.  TEST_SCALE is 100 in a plain build, less in slow
 * builds (see the Makefile), and anything you like for a long night. */
long test_scaled(long count);

/* Threads and open descriptors of this process.  A sanitizer may have a thread (from the first
 * pthread_create on) and descriptors of its own: compare with what was there before. */
int test_thread_count(void);
int test_fd_count(void);

/* Monotonic clock. */
int64_t test_now_ns(void);

/* How a child process ended. */
struct test_child {
    bool exited;  /* by exit(), not by a signal */
    int status;   /* of its exit() */
    int signal;   /* that ended it; 0 if it exited */
    char *errors; /* what it wrote to standard error; never NULL; free() it */
};

/*
 * Run FUNCTION in a child made by fork(), wait until it ends, and tell how.  What FUNCTION returns
 * is the exit status; it leaves by exit(), so that atexit() handlers and the leak check run: call
 * _exit() yourself where that is not wanted.  A child that hangs runs into the test's limit.
 */
struct test_child test_child(int (*function)(void *argument), void *argument);

/* Run FUNCTION(argument, 0 ... count - 1) on COUNT new threads that begin together; join them. */
void test_together(int count, void (*function)(void *argument, int index), void *argument);

/* The same in two steps.  test_threads_join() waits for all, and frees THREADS. */
struct test_threads *test_threads_start(
        int count, void (*function)(void *argument, int index), void *argument);
void test_threads_join(struct test_threads *threads);

#endif
