/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1 /* MAP_ANONYMOUS */
/*
 * How the cost of one piece of work changes with the amount of it: points of curves, no rows of
 * the table.  bench/scale runs them and says what did not stay flat.
 *
 *   scale-tasks-N      a coroutine spawns N tasks, keeps their futures, and collects all: ns a task
 *   scale-live-N       the same with tasks that suspend once: N stacks at a time
 *   scale-submit-N     a plain thread submits N tasks, and waits for the last: ns a task
 *   scale-executors-N  8 plain threads call the worker of one of N executors: thousands of calls a
 *                      second
 *   scale-payload-N    a plain thread calls a function that copies N bytes from its argument to its
 *                      result: ns a call
 *
 * (Callers from 1 to 64: bench_curves.c.)  Most points of the first three are a million tasks, N
 * at a time, so that they do the same and differ in what the caches hold.
 *
 * By hand: records from malloc() on a list, run and freed; records that exist already, on the list
 * under the mutex (as W3); as many loops (as W2); a record for the copies.  The floor of tasks is
 * an array of records, one cache line each, that is filled, run, and looked at: what memory itself
 * adds when there are more of them.  That of live tasks is as many stacks of a page each, switched
 * to twice; that of the payload its three copies.
 */
#include "bench.h"
#include "by_hand.h"
#include "calls.h"
#include "floor.h"

#include <anysync.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CALLERS = 8, EXECUTORS_MOST = 8, PAYLOAD_MOST = 65536 };

static int64_t size; /* the N of this row */

/* --- tasks, live ------------------------------------------------------------------------------ */

static struct anysync_future **futures; /* `size` of them */

static int yield_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_yield();
}

static const struct anysync_function yielder = ANYSYNC_FUNCTION(yielder, yield_body, 0, 0);

static void collect(const struct anysync_function *function)
{
    for (int64_t i = 0; i < size; i++)
        bench_check(anysync_spawn(function, NULL, &futures[i]), "anysync_spawn");
    for (int64_t i = 0; i < size; i++) {
        bench_check(anysync_wait(futures[i], NULL, ANYSYNC_FOREVER), "anysync_wait");
        anysync_future_unref(futures[i]);
    }
}

static int tasks_body(void *argument, void *result)
{
    (void)result;
    for (int64_t done = 0; done < *(int64_t *)argument; done += size)
        collect(&calls_noop);
    return 0;
}

static int live_body(void *argument, void *result)
{
    (void)result;
    for (int64_t done = 0; done < *(int64_t *)argument; done += size)
        collect(&yielder);
    return 0;
}

static const struct anysync_function tasks =
        ANYSYNC_FUNCTION(tasks, tasks_body, sizeof(int64_t), 0);
static const struct anysync_function live = ANYSYNC_FUNCTION(live, live_body, sizeof(int64_t), 0);

static int64_t run(const struct anysync_function *function, int64_t count)
{
    int64_t start = bench_now_ns();

    bench_check(anysync_run(function, &count, NULL, ANYSYNC_FOREVER), "anysync_run");
    return bench_now_ns() - start;
}

static int64_t ours_tasks(int64_t count)
{
    return run(&tasks, count);
}

static int64_t ours_live(int64_t count)
{
    return run(&live, count);
}

struct record {
    struct record *next;
    void (*run)(struct record *record);
    bool done;
};

static void run_record(struct record *record)
{
    record->done = true;
}

/* The records are kept until all have run, as futures are. */
static void hand_batch(void)
{
    struct record *first = NULL, **last = &first, *next;

    for (int64_t i = 0; i < size; i++) {
        struct record *record = malloc(sizeof(*record));

        bench_check(record == NULL, "malloc");
        *record = (struct record){.run = run_record};
        *last = record;
        last = &record->next;
    }
    for (struct record *record = first; record; record = record->next)
        record->run(record);
    for (; first; first = next) {
        next = first->next;
        bench_check(!first->done, "a record that has run");
        free(first);
    }
}

static int64_t hand_tasks(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t done = 0; done < count; done += size)
        hand_batch();
    return bench_now_ns() - start;
}

/* One cache line, all of which is written once. */
static struct line {
    _Alignas(64) struct record record;
    int64_t rest[5];
} * lines; /* `size` of them */

static int64_t floor_tasks(int64_t count)
{
    int64_t start = bench_now_ns();

    if (lines == NULL)
        lines = aligned_alloc(sizeof(*lines), (size_t)size * sizeof(*lines));
    bench_check(lines == NULL, "aligned_alloc");
    for (int64_t done = 0; done < count; done += size) {
        bool all = true;

        for (int64_t i = 0; i < size; i++)
            lines[i] = (struct line){.record = {.run = run_record}, .rest = {i, i, i, i, i}};
        for (int64_t i = 0; i < size; i++)
            lines[i].record.run(&lines[i].record);
        for (int64_t i = 0; i < size; i++)
            all &= lines[i].record.done;
        bench_check(!all, "records that have run");
    }
    return bench_now_ns() - start;
}

#ifdef FLOOR_HAS_SWITCH
enum { PAGE = 4096 };

static char *stacks; /* `size` of them */
static void **tops;  /* likewise */
static void *home;
static int64_t at; /* the stack that runs */

static void live_main(void)
{
    int64_t self = at;

    floor_switch(&tops[self], home);
    floor_switch(&tops[self], home);
    abort();
}

static int64_t floor_live(int64_t count)
{
    int64_t start;

    if (stacks == NULL) {
        tops = calloc((size_t)size, sizeof(*tops));
        stacks = mmap(NULL, (size_t)size * PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        bench_check(tops == NULL || stacks == MAP_FAILED, "memory for stacks");
    }
    start = bench_now_ns();
    for (int64_t done = 0; done < count; done += size) {
        for (at = 0; at < size; at++) {
            tops[at] = floor_stack(stacks + at * PAGE, PAGE, live_main);
            floor_switch(&home, tops[at]);
        }
        for (at = 0; at < size; at++)
            floor_switch(&home, tops[at]);
    }
    return bench_now_ns() - start;
}
#else
#define floor_live NULL
#endif

/* --- submit ----------------------------------------------------------------------------------- */

static struct by_hand_loop loops[EXECUTORS_MOST];
static struct by_hand_job *jobs; /* `size` of them */
static int64_t ran;              /* the worker's: of this batch */
static struct anysync_future *finished;
static struct by_hand_call last;

static int count_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    if (++ran == size)
        bench_check(anysync_future_set(finished, NULL), "anysync_future_set");
    return 0;
}

static const struct anysync_function count_one = ANYSYNC_FUNCTION(count, count_body, 0, 0);

static int64_t ours_submit(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t done = 0; done < count; done += size) {
        ran = 0;
        bench_check(anysync_future_new(0, &finished), "anysync_future_new");
        for (int64_t i = 0; i < size; i++)
            bench_check(anysync_spawn(&count_one, NULL, NULL), "anysync_spawn");
        bench_check(anysync_wait(finished, NULL, ANYSYNC_FOREVER), "anysync_wait");
        finished = anysync_future_unref(finished);
    }
    return bench_now_ns() - start;
}

static int return_zero(void *unused)
{
    (void)unused;
    return 0;
}

static void count_job(struct by_hand_job *job)
{
    (void)job;
    if (++ran == size)
        last.job.run(&last.job);
}

static int64_t hand_submit(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t done = 0; done < count; done += size) {
        ran = 0;
        by_hand_call_init(&last, return_zero, NULL);
        for (int64_t i = 0; i < size; i++) {
            jobs[i].run = count_job;
            by_hand_post(&loops[0], &jobs[i]);
        }
        by_hand_wait(&last, INT64_MAX);
        by_hand_call_fini(&last);
    }
    return bench_now_ns() - start;
}

/* --- executors -------------------------------------------------------------------------------- */

static struct anysync_executor *executors[EXECUTORS_MOST];
static int64_t share; /* of one caller */

static void ours_work(int index)
{
    struct anysync_executor *mine = executors[index % size];

    for (int64_t i = 0; i < share; i++)
        bench_check(
                anysync_run_on(mine, &calls_noop, NULL, NULL, ANYSYNC_FOREVER), "anysync_run_on");
}

static void hand_work(int index)
{
    for (int64_t i = 0; i < share; i++)
        by_hand_run(&loops[index % size], return_zero, NULL, INT64_MAX);
}

static int64_t crew(void (*work)(int index), int64_t count)
{
    share = (count + CALLERS - 1) / CALLERS;
    return bench_crew(CALLERS, work);
}

static int64_t ours_calls(int64_t count)
{
    return crew(ours_work, count);
}

static int64_t hand_calls(int64_t count)
{
    return crew(hand_work, count);
}

/* --- payload ---------------------------------------------------------------------------------- */

static unsigned char sent[PAYLOAD_MOST], received[PAYLOAD_MOST], floor_copies[2][PAYLOAD_MOST];

static int copy_body(void *argument, void *result)
{
    memcpy(result, argument, (size_t)size);
    return 0;
}

static int64_t ours_payload(int64_t count)
{
    struct anysync_function copy = ANYSYNC_FUNCTION(copy, copy_body, (size_t)size, (size_t)size);
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++)
        bench_check(anysync_run(&copy, sent, received, ANYSYNC_FOREVER), "anysync_run");
    return bench_now_ns() - start;
}

static int hand_copy(void *argument)
{
    memcpy((unsigned char *)argument + size, argument, (size_t)size);
    return 0;
}

static int64_t hand_payload(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++) {
        unsigned char *record = malloc((size_t)size * 2);

        bench_check(record == NULL, "malloc");
        memcpy(record, sent, (size_t)size);
        by_hand_run(&loops[0], hand_copy, record, INT64_MAX);
        memcpy(received, record + size, (size_t)size);
        free(record);
    }
    return bench_now_ns() - start;
}

static void floor_copy(unsigned char *to, const unsigned char *from)
{
    memcpy(to, from, (size_t)size);
    __asm__ __volatile__("" : : "r"(to) : "memory"); /* the copy is made */
}

static int64_t floor_payload(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++) {
        floor_copy(floor_copies[0], sent);
        floor_copy(floor_copies[1], floor_copies[0]);
        floor_copy(received, floor_copies[1]);
    }
    return bench_now_ns() - start;
}

/* --- points ----------------------------------------------------------------------------------- */

static void set_up(int64_t its_size)
{
    size = its_size;
    futures = calloc((size_t)size, sizeof(*futures));
    jobs = calloc((size_t)size, sizeof(*jobs));
    bench_check(futures == NULL || jobs == NULL, "calloc");
    for (int i = 0; i < EXECUTORS_MOST && i < size; i++) {
        by_hand_start(&loops[i]);
        bench_check(anysync_executor_new(NULL, &executors[i]), "anysync_executor_new");
    }
}

#define SIZE(n)                                                                                    \
    static void size_##n(void)                                                                     \
    {                                                                                              \
        set_up(n);                                                                                 \
    }
#define ROW(name, n, its_unit, times, ...)                                                         \
    {                                                                                              \
        .key = "scale-" name "-" #n, .work = name ", " #n, .unit = its_unit, .setup = size_##n,    \
        .repetitions = times, __VA_ARGS__                                                          \
    }
#define TASKS(n, all)                                                                              \
    ROW("tasks", n, BENCH_NS, 7, .run = {ours_tasks, hand_tasks, floor_tasks}, .count = all)
#define LIVE(n, all, times, gigabytes)                                                             \
    ROW("live", n, BENCH_NS, times, .run = {ours_live, NULL, floor_live}, .count = all,            \
            .memory_gb = gigabytes)
#define SUBMIT(n, all)                                                                             \
    ROW("submit", n, BENCH_NS, 7, .run = {ours_submit, hand_submit}, .count = all)
#define CALLED(n) ROW("executors", n, BENCH_THOUSANDS, 7, .run = {ours_calls, hand_calls})
#define PAYLOAD(n)                                                                                 \
    ROW("payload", n, BENCH_NS, 7, .run = {ours_payload, hand_payload, floor_payload})

SIZE(1)
SIZE(2)
SIZE(4)
SIZE(8)
SIZE(10)
SIZE(64)
SIZE(100)
SIZE(512)
SIZE(1000)
SIZE(4096)
SIZE(10000)
SIZE(16384)
SIZE(65536)
SIZE(100000)
SIZE(1000000)

const struct bench_row bench_rows[] = {
        TASKS(1, 1000000),
        TASKS(10, 1000000),
        TASKS(100, 1000000),
        TASKS(1000, 1000000),
        TASKS(10000, 1000000),
        TASKS(100000, 1000000),
        TASKS(1000000, 1000000),
        LIVE(1, 1000000, 7, 0),
        LIVE(10, 1000000, 7, 0),
        LIVE(100, 1000000, 7, 0),
        LIVE(1000, 100000, 7, 0),
        LIVE(10000, 100000, 7, 0),
        LIVE(100000, 100000, 7, 1),
        LIVE(1000000, 1000000, 3, 10),
        SUBMIT(1, 10000),
        SUBMIT(10, 100000),
        SUBMIT(100, 1000000),
        SUBMIT(1000, 1000000),
        SUBMIT(10000, 1000000),
        SUBMIT(100000, 1000000),
        SUBMIT(1000000, 1000000),
        CALLED(1),
        CALLED(2),
        CALLED(4),
        CALLED(8),
        PAYLOAD(8),
        PAYLOAD(64),
        PAYLOAD(512),
        PAYLOAD(4096),
        PAYLOAD(16384),
        PAYLOAD(65536),
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
