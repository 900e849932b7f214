/* SPDX-License-Identifier: MIT */
/*
 * W7: a coroutine offloads a no-op to a pool thread and awaits it.
 *
 *   W7      one at a time; the other side is anysync_run of a no-op from a plain thread (W1), for
 *           a job is one way there and one way back, as a run is
 *   W7-64   64 in flight: thousands a second
 *
 * By hand: a libevent loop hands a linked job to a hand-made thread under a mutex and condition
 * variable, which writes to an eventfd of the loop when its list of finished jobs was empty.
 */
#include "bench.h"
#include "by_hand.h"

#include <anysync.h>
#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FLIGHT = 64 };

static int noop_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

static const struct anysync_function noop = ANYSYNC_FUNCTION(noop, noop_body, 0, 0);
static const struct anysync_function job = {.name = "job",
        .file = __FILE__,
        .line = __LINE__,
        .body = noop_body,
        .kind = ANYSYNC_KIND_BLOCKING};

static int one_body(void *argument, void *result)
{
    int64_t count = *(int64_t *)argument;
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++)
        bench_check(anysync_offload(&job, NULL, NULL, NULL, ANYSYNC_FOREVER), "anysync_offload");
    *(int64_t *)result = bench_now_ns() - start;
    return 0;
}

static int many_body(void *argument, void *result)
{
    int64_t count = *(int64_t *)argument;
    struct anysync_future *flight[FLIGHT] = {NULL};
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count + FLIGHT; i++) {
        struct anysync_future **slot = &flight[i % FLIGHT];
        if (*slot)
            bench_check(anysync_wait(*slot, NULL, ANYSYNC_FOREVER), "anysync_wait");
        *slot = anysync_future_unref(*slot);
        if (i < count)
            bench_check(anysync_spawn(&job, NULL, slot), "anysync_spawn");
    }
    *(int64_t *)result = bench_now_ns() - start;
    return 0;
}

static const struct anysync_function one =
        ANYSYNC_FUNCTION(one, one_body, sizeof(int64_t), sizeof(int64_t));
static const struct anysync_function many =
        ANYSYNC_FUNCTION(many, many_body, sizeof(int64_t), sizeof(int64_t));

static int64_t ours_one(int64_t count)
{
    int64_t elapsed;

    bench_check(anysync_run(&one, &count, &elapsed, ANYSYNC_FOREVER), "anysync_run");
    return elapsed;
}

static int64_t ours_many(int64_t count)
{
    int64_t elapsed;

    bench_check(anysync_run(&many, &count, &elapsed, ANYSYNC_FOREVER), "anysync_run");
    return elapsed;
}

static int64_t ours_run(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++)
        bench_check(anysync_run(&noop, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
    return bench_now_ns() - start;
}

/* --- by hand ---------------------------------------------------------------------------------- */

struct hand_job {
    struct hand_job *next;
    int result;
};

static struct hand {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct hand_job *first, **last; /* under lock: to do */
    struct hand_job *finished;      /* under lock */
    int eventfd;
    struct event_base *base;
    struct event *event;
    struct hand_job jobs[FLIGHT];
    int64_t to_start, to_finish;
} hand;

static void *hand_thread(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&hand.lock);
    for (;;) {
        struct hand_job *work = hand.first;
        if (!work) {
            pthread_cond_wait(&hand.changed, &hand.lock);
            continue;
        }
        hand.first = work->next;
        if (!hand.first)
            hand.last = &hand.first;
        pthread_mutex_unlock(&hand.lock);
        work->result = noop_body(NULL, NULL);
        pthread_mutex_lock(&hand.lock);
        bool was_empty = !hand.finished;
        work->next = hand.finished;
        hand.finished = work;
        pthread_mutex_unlock(&hand.lock);
        const uint64_t tick = 1;
        if (was_empty)
            bench_check(write(hand.eventfd, &tick, sizeof(tick)) != sizeof(tick), "eventfd");
        pthread_mutex_lock(&hand.lock);
    }
    return NULL;
}

static void hand_start(struct hand_job *work)
{
    hand.to_start--;
    work->next = NULL;
    pthread_mutex_lock(&hand.lock);
    *hand.last = work;
    hand.last = &work->next;
    pthread_cond_signal(&hand.changed);
    pthread_mutex_unlock(&hand.lock);
}

static void on_finished(evutil_socket_t fd, short what, void *unused)
{
    uint64_t ticks;

    (void)what;
    (void)unused;
    bench_check(read(fd, &ticks, sizeof(ticks)) != sizeof(ticks), "eventfd");
    pthread_mutex_lock(&hand.lock);
    struct hand_job *work = hand.finished;
    hand.finished = NULL;
    pthread_mutex_unlock(&hand.lock);
    while (work) {
        struct hand_job *next = work->next;
        hand.to_finish--;
        if (hand.to_start > 0)
            hand_start(work);
        work = next;
    }
    if (hand.to_finish == 0)
        event_base_loopbreak(hand.base);
}

static int64_t hand_run(int64_t count, int flight)
{
    int64_t start = bench_now_ns();

    hand.to_start = hand.to_finish = count;
    for (int i = 0; i < flight && hand.to_start > 0; i++)
        hand_start(&hand.jobs[i]);
    event_base_loop(hand.base, 0);
    return bench_now_ns() - start;
}

static int64_t hand_one(int64_t count)
{
    return hand_run(count, 1);
}

static int64_t hand_many(int64_t count)
{
    return hand_run(count, FLIGHT);
}

static void set_up(void)
{
    pthread_t thread;

    pthread_mutex_init(&hand.lock, NULL);
    pthread_cond_init(&hand.changed, NULL);
    hand.last = &hand.first;
    hand.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bench_check(hand.eventfd < 0, "eventfd");
    hand.base = by_hand_base_new();
    hand.event = event_new(hand.base, hand.eventfd, EV_READ | EV_PERSIST, on_finished, NULL);
    bench_check(!hand.event || event_add(hand.event, NULL), "event_add");
    bench_check(pthread_create(&thread, NULL, hand_thread, NULL), "pthread_create");
}

const struct bench_row bench_rows[] = {
        {.key = "W7",
                .work = "W7 offload, one at a time",
                .run = {ours_one, hand_one, NULL, ours_run},
                .setup = set_up,
                .target = "800",
                .bound = 800},
        {.key = "W7-64",
                .work = "W7 offload, 64 in flight",
                .unit = BENCH_THOUSANDS,
                .run = {ours_many, hand_many},
                .setup = set_up,
                .target = "2 M/s",
                .bound = 2000},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
