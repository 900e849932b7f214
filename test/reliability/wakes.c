/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * R22: the hunt for lost wakes.
 *
 * A wake is lost only by who has nothing else to wake it.  So 1 to 8 producers each keep 1, 2 or 16
 * things under way, on two processors or more, and everybody sleeps as soon as possible: a lost
 * wake stops a producer for good, and the watchdog sees it.  Ways of handing over, by turns:
 *
 *   tasks      a thread spawns a task on the worker, and waits for its future
 *   channel    a thread and a coroutine of the worker send each other items
 *   jobs       a coroutine of the worker offloads, and suspends until the job is done
 *   executors  a coroutine of the worker runs a task on another executor
 *
 *   HANDOVERS  how many in all
 */
#include "look.h"

#include <anysync.h>

#include <sched.h>
#include <stdatomic.h>

enum { PRODUCERS = 8, MOST_UNDER_WAY = 16, PATIENCE_S = 60, TELL_AFTER_S = 5 };

ANYSYNC_CHANNEL(wake, long);

struct producer {
    _Atomic long count;       /* hand-overs so far, of all rounds */
    _Atomic(const char *) at; /* what it does */
    long rounds;              /* to do in this round */
};

static struct producer producers[PRODUCERS];
static struct anysync_executor *other;
static int window;
static atomic_bool over;

static void count(struct producer *self)
{
    atomic_fetch_add_explicit(&self->count, 1, memory_order_relaxed);
}

/* --- ways ------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(long, echo, (long, value))
{
    *result = value;
    return 0;
}

static void by_tasks(struct producer *self)
{
    echo_future soon[MOST_UNDER_WAY] = {{NULL}};
    long value = -1;

    for (long i = 0; i < self->rounds + window; i++) {
        echo_future *slot = &soon[i % window];
        if (i >= window) {
            CHECK_EQ(echo_wait(slot, &value, ANYSYNC_FOREVER), 0);
            CHECK_EQ(value, i - window);
            echo_drop(slot);
            count(self);
        }
        if (i < self->rounds)
            CHECK_EQ(echo_start(slot, i), 0);
    }
}

ANYSYNC_COROUTINE(void, send_back, (wake_channel *, there), (wake_channel *, back))
{
    long value;
    int error;

    while ((error = wake_channel_recv(there, &value, ANYSYNC_FOREVER)) == 0)
        CHECK_EQ(wake_channel_send(back, value, ANYSYNC_FOREVER), 0);
    return error == ANYSYNC_DONE ? 0 : error;
}

static void by_channel(struct producer *self)
{
    wake_channel *there, *back;
    send_back_future partner;
    long value;

    CHECK_EQ(wake_channel_new((size_t)window - 1, &there), 0);
    CHECK_EQ(wake_channel_new((size_t)window, &back), 0);
    CHECK_EQ(send_back_start(&partner, there, back), 0);
    for (long i = 0; i < self->rounds / 2; i++) {
        if (i >= window) {
            CHECK_EQ(wake_channel_recv(back, &value, ANYSYNC_FOREVER), 0);
            CHECK_EQ(value, i - window);
            count(self);
        }
        CHECK_EQ(wake_channel_send(there, i, ANYSYNC_FOREVER), 0);
        count(self);
    }
    wake_channel_close(there);
    CHECK_EQ(send_back_wait(&partner, ANYSYNC_FOREVER), 0);
    send_back_drop(&partner);
    wake_channel_unref(there);
    wake_channel_unref(back);
}

ANYSYNC_BLOCKING(long, echo_job, (long, value))
{
    *result = value;
    return 0;
}

ANYSYNC_COROUTINE(void, offload_many, (struct producer *, self))
{
    echo_job_future soon[MOST_UNDER_WAY] = {{NULL}};
    long value = -1;

    for (long i = 0; i < self->rounds + window; i++) {
        echo_job_future *slot = &soon[i % window];
        if (i >= window) {
            CHECK_EQ(echo_job_wait(slot, &value, ANYSYNC_FOREVER), 0);
            CHECK_EQ(value, i - window);
            echo_job_drop(slot);
            count(self);
        }
        if (i < self->rounds)
            CHECK_EQ(echo_job_start(slot, i), 0);
    }
    return 0;
}

static void by_jobs(struct producer *self)
{
    CHECK_EQ(offload_many_run(self), 0);
}

ANYSYNC_COROUTINE(void, cross_many, (struct producer *, self))
{
    echo_future soon[MOST_UNDER_WAY] = {{NULL}};
    long value = -1;

    for (long i = 0; i < self->rounds + window; i++) {
        echo_future *slot = &soon[i % window];
        if (i >= window) {
            CHECK_EQ(echo_wait(slot, &value, ANYSYNC_FOREVER), 0);
            CHECK_EQ(value, i - window);
            echo_drop(slot);
            count(self);
        }
        if (i < self->rounds)
            CHECK_EQ(echo_start_on(other, slot, i), 0);
    }
    return 0;
}

static void by_executors(struct producer *self)
{
    CHECK_EQ(cross_many_run(self), 0);
}

static const struct way {
    const char *name;
    void (*run)(struct producer *self);
} ways[] = {
        {"tasks", by_tasks},
        {"channel", by_channel},
        {"jobs", by_jobs},
        {"executors", by_executors},
};
enum { WAYS = sizeof(ways) / sizeof(*ways) };

/* --- the watchdog ----------------------------------------------------------------------------- */

static void show_executor(const char *name, struct anysync_executor *executor)
{
    struct anysync_stats stats;

    anysync_executor_stats(executor, &stats);
    printf("%s: tasks %lu, live %lu, turns %lu, sleeps %lu, polls %lu\n", name,
            (unsigned long)stats.tasks, (unsigned long)stats.live, (unsigned long)stats.turns,
            (unsigned long)stats.sleeps, (unsigned long)stats.polls);
}

static void show_state(void)
{
    struct anysync_pool_figures pool;
    struct anysync_limiter_figures tokens;

    for (int i = 0; i < PRODUCERS; i++)
        printf("producer %d: %ld done, in %s\n", i, atomic_load(&producers[i].count),
                atomic_load(&producers[i].at) ? atomic_load(&producers[i].at) : "nothing");
    show_executor("worker", NULL);
    show_executor("other", other);
    anysync_pool_stats(NULL, &pool);
    anysync_limiter_stats(NULL, &tokens);
    printf("pool: %u threads, %u idle; %zu tokens borrowed, %zu wait\n", pool.threads, pool.idle,
            tokens.borrowed, tokens.waiting);
    fflush(stdout);
    if (system("for t in /proc/$PPID/task/*; do echo $(cat $t/comm $t/wchan $t/syscall); done"))
        printf("(no threads to be seen)\n");
}

static long done_so_far(void)
{
    long sum = 0;

    for (int i = 0; i < PRODUCERS; i++)
        sum += atomic_load_explicit(&producers[i].count, memory_order_relaxed);
    return sum;
}

static void watch(void *argument, int index)
{
    long seen = -1;
    int quiet_ms = 0;

    (void)argument;
    (void)index;
    while (!atomic_load(&over)) {
        pause_us(20000);
        long now = done_so_far();
        quiet_ms = now == seen ? quiet_ms + 20 : 0;
        seen = now;
        if (quiet_ms == TELL_AFTER_S * 1000)
            show_state();
        if (quiet_ms >= PATIENCE_S * 1000)
            test_fail(TEST_HERE, "nobody went on for %d s: a wake was lost", PATIENCE_S);
    }
}

/* --- rounds ----------------------------------------------------------------------------------- */

static void produce(void *argument, int index)
{
    const struct way *way = argument;
    struct producer *self = &producers[index];

    atomic_store(&self->at, way->name);
    way->run(self);
    atomic_store(&self->at, NULL);
}

/* All ways, windows and numbers of producers once, HANDOVERS in all. */
static void hunt(long handovers)
{
    static const int windows[] = {1, 2, 16};
    long each = handovers / (WAYS * 3 * PRODUCERS) + 1;

    for (int i = 0; i < 3; i++) {
        window = windows[i];
        for (int count = 1; count <= PRODUCERS; count++) {
            for (int way = 0; way < WAYS; way++) {
                for (int j = 0; j < count; j++)
                    producers[j].rounds = each / count + 2 * window;
                test_together(count, produce, (void *)(uintptr_t)&ways[way]);
            }
        }
    }
}

TEST(r22_no_wake_is_lost)
{
    long handovers = asked_for("HANDOVERS", 200000);
    struct anysync_executor_options never = {.spin = ANYSYNC_SPIN_NEVER};
    cpu_set_t processors;

    CHECK_EQ(sched_getaffinity(0, sizeof(processors), &processors), 0);
    CHECK_EQ(anysync_configure(&never), 0);
    CHECK_EQ(anysync_executor_new(&never, &other), 0);
    struct test_threads *watchdog = test_threads_start(1, watch, NULL);
    hunt(handovers * 3 / 4);
    /* A quarter of them with workers that look for a while before they sleep. */
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(anysync_configure(NULL), 0);
    CHECK_EQ(anysync_executor_start(NULL), 0);
    hunt(handovers / 4);
    atomic_store(&over, true);
    test_threads_join(watchdog);
    tell("processors", CPU_COUNT(&processors));
    tell("hand-overs", done_so_far());
    CHECK_GE(done_so_far(), handovers);
    anysync_executor_unref(other);
}
