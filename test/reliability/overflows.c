/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * R19: stack overflows of many shapes, each in a process of its own.  Each has to end by SIGSEGV
 * at once, after a sentence that names the task, its place and its size of stack.
 *
 *   frames   64 bytes to 1 MiB, in recursion, or as blocks of alloca() in one function
 *   writes   far below the stack without touching what lies between, as a large frame does that
 *            was compiled without probes (up to 112 KiB: the guard is 128 wide)
 *   where    the worker, a here-loop, a nested run, an executor of one's own, a generator, a child
 *            of a group, a context manager, and after a suspension
 *   stacks   16 KiB to 4 MiB
 */
#include "look.h"

#include <anysync.h>

#include <alloca.h>

enum { KIB = 1024, DEFAULT = 256 * KIB };

/* --- ways to use up a stack ------------------------------------------------------------------- */

/* Recursion in frames of BYTES: one function for each, as a frame's size is the compiler's.  Each
 * frame knows the outer one's, so that no compiler makes a loop of it. */
#define RECURSION(bytes)                                                                           \
    __attribute__((noinline)) static int recurse_##bytes(long depth, volatile char *outer)         \
    {                                                                                              \
        volatile char block[bytes];                                                                \
        block[0] = (char)depth;                                                                    \
        block[bytes - 1] = outer ? outer[0] : 1;                                                   \
        return depth <= 0 ? block[0] : recurse_##bytes(depth - 1, block) + block[bytes - 1];       \
    }

RECURSION(64)
RECURSION(256)
RECURSION(1024)
RECURSION(4096)
RECURSION(16384)
RECURSION(81920)
RECURSION(262144)
RECURSION(1048576)

static const struct frame {
    size_t size;
    int (*recurse)(long depth, volatile char *outer);
} frames[] = {
        {64, recurse_64},
        {256, recurse_256},
        {1024, recurse_1024},
        {4096, recurse_4096},
        {16384, recurse_16384},
        {81920, recurse_81920},
        {262144, recurse_262144},
        {1048576, recurse_1048576},
};
enum { FRAMES = sizeof(frames) / sizeof(*frames), LONG_ENOUGH = 64 << 20 };

__attribute__((noinline)) static int use_alloca(size_t bytes)
{
    volatile char *block = NULL;
    int sum = 0;

    for (size_t used = 0; used < LONG_ENOUGH; used += bytes) {
        block = alloca(bytes);
        block[0] = (char)used;
        block[bytes - 1] = 1;
        sum += block[0];
    }
    return sum;
}

/* A large array whose size is known only when it runs. */
__attribute__((noinline)) static int use_array(size_t bytes)
{
    volatile char block[bytes];

    for (size_t at = 0; at < bytes; at += 512)
        block[at] = 1;
    return block[bytes / 2];
}

enum how { RECURSE, ALLOCA, ARRAY, JUMP };

/* One case. */
struct shape {
    enum how how;
    size_t bytes; /* of a frame, a block, the array; or how far below the stack is written */
    int world;
    size_t stack;
    size_t below; /* bytes of stack in use when it begins */
};

static struct shape shape;

static int overflow_now(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    if (shape.how == JUMP) {
        volatile char *far = (volatile char *)(here - shape.stack - shape.bytes);
        *far = 1;
        return *far;
    }
    if (shape.how == ALLOCA)
        return use_alloca(shape.bytes);
    if (shape.how == ARRAY)
        return use_array(shape.bytes);
    for (int i = 0; i < FRAMES; i++) {
        if (frames[i].size == shape.bytes)
            return frames[i].recurse((long)(LONG_ENOUGH / shape.bytes), NULL);
    }
    return 0;
}

/* In BELOW bytes of calls that are fine. */
__attribute__((noinline)) static int overflow_below(size_t below, volatile char *outer)
{
    volatile char block[512];

    block[0] = outer ? outer[0] : 1;
    return below < sizeof(block) ? overflow_now() + block[0]
                                 : overflow_below(below - sizeof(block), block) + block[0];
}

/* --- where ------------------------------------------------------------------------------------ */

ANYSYNC_COROUTINE(int, spilling_task)
{
    *result = overflow_below(shape.below, NULL);
    return 0;
}

ANYSYNC_COROUTINE(int, spilling_later)
{
    int error = anysync_sleep(anysync_in_us(10));

    *result = overflow_below(shape.below, NULL);
    return error;
}

ANYSYNC_COROUTINE(int, nesting_task)
{
    return spilling_task_run(result);
}

ANYSYNC_GENERATOR(int, spilling_generator)
{
    int error = spilling_generator_yield(1);

    return error ? error : spilling_generator_yield(overflow_below(shape.below, NULL));
}

static int loop_over_generator(struct anysync_executor *executor)
{
    struct anysync_generator_options options = {.executor = executor};
    spilling_generator_generator items;
    int error = spilling_generator_open_with(&options, &items), item = 0;

    while (error == 0)
        error = spilling_generator_next(&items, &item);
    return error;
}

ANYSYNC_COROUTINE(void, group_opener)
{
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        error = spilling_task_spawn(group, NULL);
    }
    return error;
}

ANYSYNC_CONTEXT_MANAGER(int, spilling_manager, (int, value))
{
    int error = spilling_manager_yield(value);

    return error ? error : overflow_below(shape.below, NULL);
}

static int use_manager(void)
{
    int error = 0;

    ANYSYNC_WITH(spilling_manager, value, &error, 1)
    {
        error = value - 1;
    }
    return error;
}

enum { WORKER, HERE, NESTED, OWN, LATER, GENERATOR, GROUP, MANAGER, WORLDS };

static const char *const names[WORLDS] = {"spilling_task", "spilling_task", "spilling_task",
        "spilling_task", "spilling_later", "spilling_generator", "spilling_task",
        "spilling_manager"};

static int run_shape(void *argument)
{
    struct anysync_executor_options options = {.stack_size = shape.stack};
    struct anysync_executor *executor = NULL;

    (void)argument;
    CHECK_EQ(anysync_configure(&options), 0);
    switch (shape.world) {
    case WORKER:
        return spilling_task_run(NULL);
    case HERE:
        return spilling_task_run_here(NULL);
    case NESTED:
        return nesting_task_run(NULL);
    case OWN:
        CHECK_EQ(anysync_executor_new(&options, &executor), 0);
        return spilling_task_run_on(executor, NULL);
    case LATER:
        return spilling_later_run(NULL);
    case GENERATOR:
        return loop_over_generator(NULL);
    case GROUP:
        return group_opener_run();
    default:
        return use_manager();
    }
}

/* --- the check -------------------------------------------------------------------------------- */

static long shapes;

static void check_shape(enum how how, size_t bytes, int world, size_t stack, size_t below)
{
    char sentence[300];

    shape = (struct shape){how, bytes, world, stack, below};
    struct test_child child = test_child(run_shape, NULL);
    snprintf(sentence, sizeof(sentence), "anysync: the stack of task \"%s\" (%s:", names[world],
            __FILE__);
    if (child.signal != SIGSEGV || !strstr(child.errors, sentence) ||
            !strstr(child.errors, "overflowed its "))
        test_fail(TEST_HERE, "how %d, %zu bytes, world %d, stack %zu, %zu used: %s %d, said \"%s\"",
                how, bytes, world, stack, below, child.exited ? "status" : "signal",
                child.exited ? child.status : child.signal, child.errors);
    free(child.errors);
    shapes++;
}

TEST(r19_each_overflow_is_told)
{
    static const size_t stacks[] = {16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB, 4096 * KIB};
    static const size_t far[] = {1, 16 * KIB, 48 * KIB, 80 * KIB, 112 * KIB};
    enum { STACKS = sizeof(stacks) / sizeof(*stacks) };
    int world = 0;

    for (int i = 0; i < FRAMES; i++) {
        for (int j = 0; j < STACKS; j++, world++) {
            check_shape(RECURSE, frames[i].size, world % WORLDS, stacks[j], 0);
            check_shape(ALLOCA, frames[i].size, world % WORLDS, stacks[j], stacks[j] / 2);
        }
    }
    for (int i = 0; i < STACKS; i++) {
        for (int j = 0; j < WORLDS; j++) {
            size_t stack = j == HERE ? DEFAULT : stacks[i]; /* a here-loop has no options */
            check_shape(ARRAY, stack + (stack << i), j, stack, stack / 4);
            check_shape(JUMP, far[(i + j) % 5], j, stack, 0);
        }
    }
    for (int i = 0; i < WORLDS; i++)
        check_shape(RECURSE, 81920, i, 256 * KIB, 100 * KIB);
    tell("shapes", shapes);
}
