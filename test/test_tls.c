/* SPDX-License-Identifier: MIT */
/*
 * Thread-local variables and errno around each await.
 *
 * A compiler may keep the address of a thread-local variable across any call, a wait too: to it a
 * function does not change its thread.  Neither does a coroutine of ours (task.h, THREADS), so that
 * what it kept stays right.  Each wait below stands between two looks, in line, in one function,
 * where optimizers may share what they found; a function they cannot look into tells the truth.
 *
 * Promised                                          Tested by
 *   the thread, its variables and its errno are the
 *     same after each kind of wait                    one_thread_around_each_wait
 *   so they are when many tasks take turns on
 *     several loops                                   stress_each_task_keeps_to_its_thread
 *   a task reads and writes the variables of the
 *     thread that runs it                             variables_are_those_of_the_worker
 */
#include "jobs.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

/* What the thread wrote into its variable: its serial number. */
static _Thread_local unsigned mine;

struct look {
    unsigned *variable;
    int *error;
    unsigned serial;
};

/* The places as this thread has them now: nothing of this can be known in advance. */
static __attribute__((noinline)) struct look truth(void)
{
    struct look look = {.variable = &mine, .error = &errno, .serial = anysync_thread_serial()};

    __asm__ __volatile__("" : "+r"(look.variable), "+r"(look.error)::"memory");
    return look;
}

static inline __attribute__((always_inline)) void look_at(const struct look *now)
{
    CHECK(&mine == now->variable);
    CHECK(&errno == now->error);
}

/* EXPECTED == WAIT, between two looks; what is read and written in line is this thread's. */
#define AROUND(wait, expected)                                                                     \
    do {                                                                                           \
        struct look before = truth(), after;                                                       \
        look_at(&before);                                                                          \
        mine = before.serial;                                                                      \
        errno = 0;                                                                                 \
        CHECK_EQ(wait, expected);                                                                  \
        CHECK_EQ(mine, before.serial);                                                             \
        errno = EDOM;                                                                              \
        after = truth();                                                                           \
        look_at(&after);                                                                           \
        CHECK_EQ(*after.error, EDOM);                                                              \
        CHECK_EQ(*after.variable, before.serial);                                                  \
        CHECK_EQ(after.serial, before.serial);                                                     \
        CHECK(after.variable == before.variable && after.error == before.error);                   \
    } while (0)

/* --- what can be waited for ------------------------------------------------------------------- */

struct things {
    struct anysync_future *gate;
    struct anysync_channel *channel;
    int pipe[2];
};

/* The other side: makes each wait end, from a thread of a pool, and spoils that one's variables. */
ANYSYNC_BLOCKING(void, serve, (struct things *, things))
{
    char byte = 1;

    mine = ~0u;
    nap();
    open_gate(things->gate);
    nap();
    CHECK_EQ(anysync_channel_send(things->channel, &byte, ANYSYNC_FOREVER), 0);
    nap();
    CHECK_EQ(write(things->pipe[1], &byte, 1), 1);
    nap();
    CHECK_EQ(write(things->pipe[1], &byte, 1), 1);
    errno = ENOTSUP;
    return 0;
}

ANYSYNC_COROUTINE(void, child)
{
    mine = anysync_thread_serial();
    errno = ENOTSUP;
    int error = anysync_yield();
    errno = ENOTSUP;
    return error;
}

/* A call that comes back to its caller's loop, from a pool's thread. */
ANYSYNC_BLOCKING(void, comes_back)
{
    mine = ~1u;
    errno = ENOTSUP;
    return child_run_back();
}

ANYSYNC_GENERATOR(int, three)
{
    for (int i = 0; i < 3; i++) {
        int error = i == 1 ? anysync_sleep(anysync_in_us(50)) : three_yield(i);
        if (error)
            return error;
        errno = ENOTSUP;
    }
    return 0;
}

static int run_a_group(void)
{
    struct anysync_group *group = NULL;

    CHECK_EQ(anysync_group_open(&group), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(child_spawn(group, NULL), 0);
    return anysync_group_close(group, 0, ANYSYNC_FOREVER);
}

static struct things new_things(void)
{
    struct things things = {.gate = new_gate()};

    CHECK_EQ(anysync_channel_new(0, 1, &things.channel), 0);
    CHECK_EQ(pipe(things.pipe), 0);
    CHECK_EQ(fcntl(things.pipe[0], F_SETFL, O_NONBLOCK), 0);
    return things;
}

static void drop_things(struct things *things)
{
    close(things->pipe[0]);
    close(things->pipe[1]);
    anysync_channel_unref(things->channel);
    anysync_future_unref(things->gate);
}

static void wait_for_each(void)
{
    struct things things = new_things();
    serve_future soon;
    size_t index;
    char byte;
    int error = 0, sum = 0;

    AROUND(anysync_yield(), 0);
    AROUND(anysync_sleep(anysync_in_us(100)), 0);
    AROUND(anysync_future_wait(things.gate, anysync_in_us(10)), -ETIMEDOUT);
    CHECK_EQ(serve_start(&soon, &things), 0);
    AROUND(anysync_future_wait(things.gate, ANYSYNC_FOREVER), 0);
    AROUND(anysync_channel_recv(things.channel, &byte, ANYSYNC_FOREVER), 0);
    AROUND(anysync_wait_fd(things.pipe[0], ANYSYNC_READABLE, ANYSYNC_FOREVER), ANYSYNC_READABLE);
    AROUND(anysync_read(things.pipe[0], &byte, 1, ANYSYNC_FOREVER), 1);
    AROUND(anysync_read(things.pipe[0], &byte, 1, ANYSYNC_FOREVER), 1);
    AROUND(anysync_wait_any(&soon.future, 1, ANYSYNC_FOREVER, &index), 0);
    serve_drop(&soon);
    AROUND(child(), 0);
    AROUND(child_await(), 0);
    AROUND(comes_back(), 0);
    AROUND(run_a_group(), 0);
    ANYSYNC_FOR(three, item, &error)
    {
        AROUND(anysync_yield(), 0);
        sum += item;
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(sum, 2);
    drop_things(&things);
}

ANYSYNC_COROUTINE(void, waits_for_each, (int, rounds))
{
    for (int i = 0; i < rounds; i++)
        wait_for_each();
    return 0;
}

/* --- tests ------------------------------------------------------------------------------------ */

TEST(one_thread_around_each_wait)
{
    in_worlds(IN_COROUTINES, wait_for_each);
}

enum { LOOPS = 3, TASKS = 6 };

TEST(stress_each_task_keeps_to_its_thread)
{
    struct anysync_executor *executors[LOOPS];
    waits_for_each_future soon[LOOPS * TASKS];
    int rounds = (int)test_scaled(20);

    for (int i = 0; i < LOOPS; i++)
        CHECK_EQ(anysync_executor_new(NULL, &executors[i]), 0);
    for (int i = 0; i < LOOPS * TASKS; i++)
        CHECK_EQ(waits_for_each_start_on(executors[i % LOOPS], &soon[i], rounds), 0);
    CHECK_EQ(waits_for_each_run_here(rounds), 0);
    for (int i = 0; i < LOOPS * TASKS; i++) {
        CHECK_EQ(anysync_future_wait(soon[i].future, ANYSYNC_FOREVER), 0);
        waits_for_each_drop(&soon[i]);
    }
    for (int i = 0; i < LOOPS; i++) {
        CHECK_EQ(anysync_executor_shutdown(executors[i], ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
        anysync_executor_unref(executors[i]);
    }
}

ANYSYNC_COROUTINE(unsigned, adds_one)
{
    mine++;
    int error = anysync_yield();
    *result = ++mine;
    return error;
}

TEST(variables_are_those_of_the_worker)
{
    unsigned result = 0;

    mine = 100;
    for (unsigned i = 1; i <= 5; i++) {
        CHECK_EQ(adds_one_run(&result), 0);
        CHECK_EQ(result, 2 * i);
        CHECK_EQ(mine, 100);
    }
    CHECK_EQ(adds_one_run_here(&result), 0);
    CHECK_EQ(result, 102);
    CHECK_EQ(mine, 102);
}
