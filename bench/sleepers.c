/* SPDX-License-Identifier: MIT */
/*
 * The work of W6.  All that is counted belongs to the one thread whose loop the sleepers are on;
 * who asks for it blocks meanwhile.
 */
#include "sleepers.h"

#include "bench.h"
#include "by_hand.h"

#include <anysync.h>
#include <event2/event.h>
#include <stdio.h>
#include <unistd.h>

static int64_t sleepers;     /* how many there are */
static int64_t begun, ended; /* the loop's */
static int64_t bytes_asleep; /* resident when the last has begun */
static struct anysync_future *finished;

static int64_t resident_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%*s %lld", &pages) != 1)
        bench_check(-1, "/proc/self/statm");
    else
        fclose(file);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

int64_t sleepers_run(int64_t count, void (*run)(int64_t count), int64_t *ret_bytes)
{
    int64_t before = resident_bytes();
    int64_t start = bench_now_ns();

    sleepers = count;
    begun = 0;
    ended = 0;
    run(count);
    int64_t beyond = bench_now_ns() - start - SLEEPERS_DELAY_NS;
    bench_check(ended != count, "sleepers are missing");
    *ret_bytes = (bytes_asleep - before) / count;
    return beyond;
}

void sleepers_begin_one(void)
{
    if (++begun == sleepers)
        bytes_asleep = resident_bytes();
}

int sleepers_end_one(void)
{
    return ++ended == sleepers;
}

/* --- ours ------------------------------------------------------------------------------------- */

static int sleeper_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    sleepers_begin_one();
    bench_check(anysync_sleep(anysync_in_ns(SLEEPERS_DELAY_NS)), "anysync_sleep");
    if (sleepers_end_one())
        bench_check(anysync_future_set(finished, NULL), "anysync_future_set");
    return 0;
}

static const struct anysync_function sleeper = ANYSYNC_FUNCTION(sleeper, sleeper_body, 0, 0);

static int all_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    for (int64_t i = 0; i < sleepers; i++)
        bench_check(anysync_spawn(&sleeper, NULL, NULL), "anysync_spawn");
    return anysync_wait(finished, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function all = ANYSYNC_FUNCTION(all, all_body, 0, 0);

void sleepers_ours(int64_t count)
{
    (void)count;
    bench_check(anysync_future_new(0, &finished), "anysync_future_new");
    bench_check(anysync_run(&all, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
}

/* --- by hand ---------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument;
    (void)sleepers_end_one();
}

void sleepers_timers(int64_t count)
{
    const struct timeval delay = {SLEEPERS_DELAY_NS / 1000000000, 0};
    struct event_base *base = by_hand_base_new();

    for (int64_t i = 0; i < count; i++) {
        struct event *timer = evtimer_new(base, on_timer, NULL);

        bench_check(timer == NULL || evtimer_add(timer, &delay), "evtimer_add");
        sleepers_begin_one();
    }
    event_base_loop(base, 0);
}
