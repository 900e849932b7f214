/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * R18: coroutines alive at once, each with its guard, and what happens at the limit.
 *
 *   many      so many coroutines wait; a byte below the stack of each cannot be read: the kernel is
 *             asked, so nothing faults.  Then all end.
 *   older     the same with guards as kernels before 6.13 have them: each takes a mapping, and the
 *             kernel has 65,530 of them for a process.  Who comes after the last fails cleanly.
 *   memory    the address space ends: likewise.
 *
 * A task that finds no stack fails with -ENOMEM and a sentence that names the limit; nothing runs
 * without a guard.  What was alive before goes on, and when it has ended there is room again.
 *
 *   COROUTINES  how many
 */
#include "../fault.h"
#include "look.h"

#include <anysync.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

enum { STACK = 16 * 1024, MANY_TURNS = 64 };

static struct anysync_future *gate;
static long alive, guarded; /* both of the worker's thread */

/* Whether this process can read the byte at ADDRESS. */
static bool readable(uintptr_t address)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)address, 1};

    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1;
}

/* Each lies less than STACK above the low end of its stack, and the guard is wider than that. */
ANYSYNC_COROUTINE(void, wait_alive)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);

    alive++;
    guarded += readable(frame) && !readable(frame - STACK);
    return anysync_future_wait(gate, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(int, add_one, (int, number))
{
    *result = number + 1;
    return anysync_yield();
}

static struct anysync_executor *executor;

static void check_works(void)
{
    int sum = 0;

    CHECK_EQ(add_one_run_on(executor, &sum, 41), 0);
    CHECK_EQ(sum, 42);
}

struct outcome {
    long started, refused;
    char sentence[256]; /* of the first that was refused */
};

/* Start up to COUNT tasks that wait, a few at a time, and stop after the first that was refused. */
static struct outcome start_many(long count, wait_alive_future *soon)
{
    struct outcome outcome = {.started = 0};

    while (outcome.started < count && outcome.refused == 0) {
        long began = outcome.started;
        for (int i = 0; i < MANY_TURNS && outcome.started < count; i++)
            CHECK_EQ(wait_alive_start_on(executor, &soon[outcome.started++]), 0);
        int error = add_one_run_on(executor, NULL, 1); /* comes after them */
        CHECK(error == 0 || error == -ENOMEM);
        for (long i = began; i < outcome.started; i++) {
            error = wait_alive_wait(&soon[i], ANYSYNC_POLL);
            CHECK(error == -ETIMEDOUT || error == -ENOMEM);
            if (error == -ENOMEM && outcome.refused++ == 0)
                snprintf(outcome.sentence, sizeof(outcome.sentence), "%s",
                        anysync_last_error()->message);
        }
    }
    return outcome;
}

/* Let all go on, and see that those that were not refused end well. */
static void end_many(struct outcome outcome, wait_alive_future *soon)
{
    long ended = 0;

    CHECK_EQ(anysync_future_set(gate, NULL), 0);
    for (long i = 0; i < outcome.started; i++) {
        int error = wait_alive_wait(&soon[i], ANYSYNC_FOREVER);
        CHECK(error == 0 || error == -ENOMEM);
        ended += error == 0;
        wait_alive_drop(&soon[i]);
    }
    CHECK_EQ(ended, outcome.started - outcome.refused);
    check_works();
}

static wait_alive_future *begin(long count)
{
    struct anysync_executor_options options = {.stack_size = STACK};
    wait_alive_future *soon = calloc((size_t)count, sizeof(*soon));

    CHECK(soon != NULL);
    CHECK_EQ(anysync_future_new(0, &gate), 0);
    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    check_works();
    return soon;
}

/* At most as many as this machine has memory for: each takes a page of stack, a record, and a part
 * of a page of tables; 8 KiB is enough, in three quarters of what is available. */
static long affordable(long count)
{
    long kb = figure_of("/proc/meminfo", "MemAvailable:");
    long most = kb / 4 * 3 / 8;

    return count < most ? count : most;
}

TEST(r18_many_with_light_guards)
{
    long count = affordable(asked_for("COROUTINES", 20000));
    wait_alive_future *soon = begin(count);
    int mappings = mapping_count();
    long memory = memory_kb();
    struct outcome outcome = start_many(count, soon);

    tell("memory allows", count);
    tell("coroutines at once", alive);
    tell("guarded", guarded);
    tell("mappings for them", mapping_count() - mappings);
    tell("bytes of memory for each", (memory_kb() - memory) * 1024 / alive);
    printf("guards: %s\n", mapping_count() - mappings < alive ? "light" : "mappings");
    if (outcome.refused)
        printf("then: %s\n", outcome.sentence);
    CHECK_EQ(guarded, alive);
    CHECK_EQ(alive, outcome.started - outcome.refused);
    end_many(outcome, soon);
    free(soon);
}

TEST(r18_guards_of_the_older_kind_end_cleanly)
{
    long count = 200000;
    wait_alive_future *soon = begin(count);

    fault_fail("guard", 1, true); /* the light ones */
    struct outcome outcome = start_many(count, soon);
    tell("older guards at once", alive);
    printf("older guards end with: %s\n", outcome.sentence);
    CHECK_EQ(guarded, alive);
    CHECK_GE(alive, 20000);
    CHECK_GE(outcome.refused, 1);
    CHECK_CONTAINS(outcome.sentence, "vm.max_map_count");
    end_many(outcome, soon);
    free(soon);
}

TEST(r18_address_space_ends_cleanly)
{
    struct rlimit limit = {.rlim_cur = 2L << 30, .rlim_max = RLIM_INFINITY};
    long count = 200000;
    wait_alive_future *soon = begin(count);

    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    struct outcome outcome = start_many(count, soon);
    tell("coroutines in 2 GiB", alive);
    printf("address space ends with: %s\n", outcome.sentence);
    CHECK_EQ(guarded, alive);
    CHECK_GE(alive, 8000);
    CHECK_GE(outcome.refused, 1);
    CHECK_CONTAINS(outcome.sentence, "address space");
    end_many(outcome, soon); /* the limit holds: what was given back is enough */
    free(soon);
}
