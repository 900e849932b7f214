/* SPDX-License-Identifier: MIT */
/*
 * Faults on coroutine stacks, and leaving one early (CONTRACT K5, B6).
 *
 * Promised                                       Tested by (each name begins with k5_)
 *   K5 an overflow stops with a sentence         an_overflow_names_task_place_and_option
 *      in all worlds, with stacks of all sizes   an_overflow_stops_in_every_world
 *      with guards as older kernels have them    an_overflow_stops_at_a_guard_of_the_older_kind
 *      a large frame does not jump the guard     a_frame_of_80_kb_does_not_jump_the_guard
 *                                                a_write_80_kb_below_a_stack_meets_its_guard
 *      a neighbour's stack stays as it is        a_neighbours_stack_is_not_touched
 *      other faults go where they went before    other_faults_go_to_the_handler_of_before
 *                                                other_faults_end_the_process_by_default
 *                                                a_segv_that_was_sent_ends_the_process
 *      after an overflow too                     an_overflow_goes_on_to_the_handler_of_before
 *      the option helps                          a_larger_stack_size_is_enough
 *   B6 anysync_exit(), deep in calls             exit_deep_in_calls_leaves_the_worker_alone
 *      outside a task                            exit_outside_a_task_stops_with_a_sentence
 *
 * Without a handler of before the fault ends the process.  A sanitizer's handler was there before:
 * it prints its own report as well, and ends the process by exit() or abort().
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "fault.h"
#include "harness.h"

#include <anysync/typed.h>

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

/* Ways to run a body, by number. */
enum { ON_WORKER, HERE, NESTED, OWN, WORLDS };

/* --- overflow --------------------------------------------------------------------------------- */

/* Uses at least BYTES of stack, 1 KB a call.  Each frame knows OUTER's, so that no compiler makes a
 * loop of it. */
__attribute__((noinline)) static int use_stack(size_t bytes, volatile char *outer)
{
    volatile char block[1024];

    block[0] = (char)bytes;
    block[1023] = outer ? outer[0] : 1;
    return bytes <= sizeof(block) ? block[0]
                                  : use_stack(bytes - sizeof(block), block) + block[1023];
}

__attribute__((noinline)) static int use_80_kb(int depth, volatile char *outer)
{
    volatile char block[80 * 1024];

    block[0] = (char)depth;
    block[1] = outer ? outer[0] : 1;
    return depth == 0 ? block[0] : use_80_kb(depth - 1, block) + block[1];
}

ANYSYNC_COROUTINE(int, deep, (size_t, bytes))
{
    *result = use_stack(bytes, NULL);
    return 0;
}
enum { DEEP_LINE = __LINE__ - 5 };

ANYSYNC_COROUTINE(int, deep_nested, (size_t, bytes))
{
    return deep_run(result, bytes);
}

/* Twice as much as the frames of the sanitizers need. */
ANYSYNC_COROUTINE_STACK(16 << 20, int, deep_enough, (size_t, bytes))
{
    *result = use_stack(bytes, NULL);
    return 0;
}

ANYSYNC_COROUTINE(int, large_frames, (int, depth))
{
    *result = use_80_kb(depth, NULL);
    return 0;
}

/* What a large frame does in code that was compiled without probes. */
ANYSYNC_COROUTINE(int, jump_below, (size_t, stack_size))
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    volatile char *below = (volatile char *)(here - stack_size - (80 << 10));

    *below = 1;
    *result = *below;
    return 0;
}

struct overflow {
    int world;
    size_t stack_size;
    int large; /* frames of 80 KB */
    bool jump; /* nothing is touched but what lies 80 KB below the stack */
    bool old;  /* the kernel has no light guards */
};

static int overflow(void *argument)
{
    const struct overflow *how = argument;
    struct anysync_executor_options options = {.stack_size = how->stack_size};
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_configure(&options), 0);
    if (how->world == OWN)
        CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    if (how->old)
        fault_fail("guard", 1, true);
    if (how->large)
        return large_frames_run_on(executor, NULL, 1000);
    if (how->jump)
        return jump_below_run_on(executor, NULL, how->stack_size);
    if (how->world == HERE)
        return deep_run_here(NULL, 64 << 20);
    if (how->world == NESTED)
        return deep_nested_run(NULL, 64 << 20);
    return deep_run_on(executor, NULL, 64 << 20);
}

/* The process ended by the fault, or by a sanitizer that told of it. */
static void check_ended_by_fault(const struct test_child *child)
{
    if (child->exited ? !TEST_SANITIZED || child->status == 0 || child->status == 97
                      : child->signal != SIGSEGV && child->signal != SIGBUS &&
                                !(TEST_SANITIZED && child->signal == SIGABRT))
        test_fail(
                TEST_HERE, "status %d, signal %d: %s", child->status, child->signal, child->errors);
}

static void check_overflows(struct overflow how, const char *task)
{
    char sentence[64];
    struct test_child child = test_child(overflow, &how);

    check_ended_by_fault(&child);
    snprintf(sentence, sizeof(sentence), "anysync: the stack of task \"%s\"", task);
    CHECK_CONTAINS(child.errors, sentence);
    CHECK_CONTAINS(child.errors, "raise .stack_size");
    free(child.errors);
}

TEST(k5_an_overflow_names_task_place_and_option)
{
    struct overflow how = {.world = ON_WORKER};
    char place[128];
    struct test_child child = test_child(overflow, &how);

    check_ended_by_fault(&child);
    snprintf(place, sizeof(place), "task \"deep\" (%s:%d) overflowed", __FILE__, DEEP_LINE);
    CHECK_CONTAINS(child.errors, place);
    CHECK_CONTAINS(child.errors, " KiB: raise .stack_size of the function or of the executor\n");
    free(child.errors);
}

TEST(k5_an_overflow_stops_in_every_world)
{
    static const size_t sizes[] = {0, 16 * 1024, 64 * 1024, 1 << 20};

    for (int world = 0; world < WORLDS; world++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
            check_overflows((struct overflow){.world = world, .stack_size = sizes[i]}, "deep");
    }
}

TEST(k5_a_frame_of_80_kb_does_not_jump_the_guard)
{
    static const size_t sizes[] = {0, 16 * 1024, 64 * 1024, 1 << 20};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        check_overflows((struct overflow){.stack_size = sizes[i], .large = 1}, "large_frames");
}

TEST(k5_a_write_80_kb_below_a_stack_meets_its_guard)
{
    static const size_t sizes[] = {16 * 1024, 64 * 1024, 1 << 20};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        check_overflows((struct overflow){.stack_size = sizes[i], .jump = true}, "jump_below");
}

TEST(k5_an_overflow_stops_at_a_guard_of_the_older_kind)
{
    for (int world = 0; world < WORLDS; world++)
        check_overflows((struct overflow){.world = world, .old = true}, "deep");
}

TEST(k5_a_larger_stack_size_is_enough)
{
    struct anysync_executor_options options = {.stack_size = 16 << 20};
    struct anysync_executor *executor;
    int ignored;

    CHECK_EQ(deep_enough_run(&ignored, 1 << 20), 0); /* four times the default */
    CHECK_EQ(deep_enough_run_here(&ignored, 1 << 20), 0);
    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    CHECK_EQ(deep_run_on(executor, &ignored, 1 << 20), 0);
    CHECK_EQ(deep_nested_run_on(executor, &ignored, 1 << 20), 0);
    anysync_executor_unref(executor);
}

/* --- what the handler of before sees ---------------------------------------------------------- */

enum { PATTERN = 8192 };

static const unsigned char *patterns[2]; /* on the stacks to both sides of the one that overflows */
static char *no_access;                  /* a page that may not be touched */

static void catch (int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    if (no_access)
        _exit(info->si_addr == no_access ? 7 : 8);
    for (int i = 0; i < 2; i++) {
        for (int at = 0; at < PATTERN; at++) {
            if (patterns[i] && patterns[i][at] != (unsigned char)(at * 7 + i))
                _exit(9);
        }
    }
    _exit(7);
}

static void install_catch(void)
{
    struct sigaction action = {.sa_sigaction = catch, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
    CHECK_EQ(sigaction(SIGBUS, &action, NULL), 0);
}

static void expect_caught(int (*function)(void *argument), void *argument, const char *said)
{
    struct test_child child = test_child(function, argument);

    if (!child.exited || child.status != 7)
        test_fail(TEST_HERE, "status %d, signal %d: %s", child.status, child.signal, child.errors);
    if (said)
        CHECK_CONTAINS(child.errors, said);
    else
        CHECK(strstr(child.errors, "overflowed") == NULL);
    free(child.errors);
}

struct neighbours {
    struct anysync_future *begun[2];
    struct anysync_future *gate;
};

ANYSYNC_COROUTINE(void, be_neighbour, (struct neighbours *, all), (int, side))
{
    unsigned char *pattern = __builtin_alloca(PATTERN); /* no sanitizer moves it elsewhere */

    for (int at = 0; at < PATTERN; at++)
        pattern[at] = (unsigned char)(at * 7 + side);
    patterns[side] = pattern;
    CHECK_EQ(anysync_future_set(all->begun[side], NULL), 0);
    return anysync_future_wait(all->gate, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(int, overflow_between, (struct neighbours *, all), (int, large))
{
    CHECK_EQ(be_neighbour_start(NULL, all, 0), 0);
    CHECK_EQ(anysync_future_wait(all->begun[0], ANYSYNC_FOREVER), 0);
    CHECK_EQ(be_neighbour_start(NULL, all, 1), 0);
    CHECK_EQ(anysync_future_wait(all->begun[1], ANYSYNC_FOREVER), 0);
    *result = large ? use_80_kb(1000, NULL) : use_stack(64 << 20, NULL);
    return 0;
}

static int overflow_beside(void *argument)
{
    const struct overflow *how = argument;
    struct anysync_executor_options options = {.stack_size = how->stack_size};
    struct anysync_executor *executor;
    struct neighbours all;

    install_catch();
    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    CHECK_EQ(anysync_future_new(0, &all.gate), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(anysync_future_new(0, &all.begun[i]), 0);
    return overflow_between_run_on(executor, NULL, &all, how->large);
}

TEST(k5_a_neighbours_stack_is_not_touched)
{
    static const size_t sizes[] = {0, 64 * 1024};

    for (int i = 0; i < 4; i++)
        expect_caught(overflow_beside,
                &(struct overflow){.stack_size = sizes[i / 2], .large = i % 2},
                "\"overflow_between\"");
}

static int overflow_with_handler(void *argument)
{
    install_catch();
    return overflow(argument);
}

TEST(k5_an_overflow_goes_on_to_the_handler_of_before)
{
    for (int world = 0; world < WORLDS; world++)
        expect_caught(overflow_with_handler, &(struct overflow){.world = world}, "\"deep\"");
}

ANYSYNC_COROUTINE(int, touch, (char *, address))
{
    *result = *(volatile char *)address;
    return 0;
}

ANYSYNC_COROUTINE(int, touch_nested, (char *, address))
{
    return touch_run(result, address);
}

static int touch_in(int world)
{
    int ignored;

    CHECK_EQ(deep_run(&ignored, 1), 0); /* the library's handler is there */
    no_access = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(no_access != MAP_FAILED);
    if (world == ON_WORKER)
        return touch_run(&ignored, no_access);
    if (world == HERE)
        return touch_run_here(&ignored, no_access);
    if (world == NESTED)
        return touch_nested_run(&ignored, no_access);
    return *(volatile char *)no_access; /* plain thread */
}

static int touch_with_handler(void *argument)
{
    install_catch();
    return touch_in(*(int *)argument);
}

static int touch_without_handler(void *argument)
{
    return touch_in(*(int *)argument);
}

TEST(k5_other_faults_go_to_the_handler_of_before)
{
    for (int world = 0; world < WORLDS; world++)
        expect_caught(touch_with_handler, &world, NULL);
}

TEST(k5_other_faults_end_the_process_by_default)
{
    for (int world = 0; world < WORLDS; world++) {
        struct test_child child = test_child(touch_without_handler, &world);
        check_ended_by_fault(&child);
        CHECK(strstr(child.errors, "overflowed") == NULL);
        free(child.errors);
    }
}

static int send_segv(void *argument)
{
    int ignored;

    (void)argument;
    CHECK_EQ(deep_run(&ignored, 1), 0);
    raise(SIGSEGV);
    return 0;
}

TEST(k5_a_segv_that_was_sent_ends_the_process)
{
    struct test_child child = test_child(send_segv, NULL);

    check_ended_by_fault(&child);
    free(child.errors);
}

/* --- anysync_exit() --------------------------------------------------------------------------- */

__attribute__((noinline)) static int exit_below(int depth, int status)
{
    if (depth > 0)
        return exit_below(depth - 1, status) + 1;
    if (anysync_in_coroutine()) /* always: but the compiler should not know */
        anysync_exit(status);
    return 0;
}

ANYSYNC_COROUTINE(int, leave, (int, status), (bool, later))
{
    *result = 42;
    if (later)
        CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
    return exit_below(20, status);
}

ANYSYNC_COROUTINE(int, leave_nested, (int, status), (bool, later))
{
    return leave_run(result, status, later);
}

static void check_leaves(int (*run)(int *result, int status, bool later))
{
    for (int i = 0; i < 100; i++) {
        int value = 0;
        CHECK_EQ(run(&value, 0, i % 2), 0);
        CHECK_EQ(value, 42);
        CHECK_EQ(run(&value, -EPROTO, i % 2), -EPROTO);
        CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    }
}

static int leave_on_worker(int *result, int status, bool later)
{
    return leave_run(result, status, later);
}

static int leave_here(int *result, int status, bool later)
{
    return leave_run_here(result, status, later);
}

static int leave_on_nested(int *result, int status, bool later)
{
    return leave_nested_run(result, status, later);
}

ANYSYNC_COROUTINE(void, wait_for, (struct anysync_future *, gate))
{
    return anysync_future_wait(gate, ANYSYNC_FOREVER);
}

TEST(k5_exit_deep_in_calls_leaves_the_worker_alone)
{
    struct anysync_future *gate;
    wait_for_future other;
    struct anysync_stats stats;

    CHECK_EQ(anysync_future_new(0, &gate), 0);
    CHECK_EQ(wait_for_start(&other, gate), 0);
    check_leaves(leave_on_worker);
    check_leaves(leave_here);
    check_leaves(leave_on_nested);
    CHECK_EQ(anysync_future_set(gate, NULL), 0);
    CHECK_EQ(wait_for_wait(&other, ANYSYNC_FOREVER), 0);
    anysync_executor_stats(NULL, &stats);
    CHECK_EQ(stats.workers, 1);
    CHECK_EQ(stats.live, 0);
    wait_for_drop(&other);
    anysync_future_unref(gate);
}

static int leave_nothing(void *argument)
{
    (void)argument;
    anysync_exit(0);
}

TEST(k5_exit_outside_a_task_stops_with_a_sentence)
{
    struct test_child child = test_child(leave_nothing, NULL);

    CHECK_EQ(child.signal, SIGABRT);
    CHECK_CONTAINS(child.errors, "anysync_exit() was called outside a task");
    free(child.errors);
}

/* --- stacks of several sizes ------------------------------------------------------------------ */

ANYSYNC_COROUTINE_STACK(20000, int, seventeen_kb, (size_t, bytes))
{
    *result = use_stack(bytes, NULL);
    return 0;
}

ANYSYNC_COROUTINE(void, small_task)
{
    return 0;
}

TEST(k5_an_idle_stack_that_is_too_small_is_not_taken)
{
    struct anysync_executor_options options = {.stack_size = 16 * 1024};
    struct anysync_executor *executor;

    if (TEST_SANITIZED)
        test_skip("a sanitizer needs more of a stack");
    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    CHECK_EQ(small_task_run_on(executor), 0); /* its stack is idle now */
    CHECK_EQ(seventeen_kb_run_on(executor, NULL, 16 * 1024), 0);
    anysync_executor_unref(executor);
}
