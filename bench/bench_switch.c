/* SPDX-License-Identifier: MIT */
/* The raw switch of W5: from one stack to another, without a scheduler.  By hand: swapcontext(). */
#include "bench.h"
#include "coro/coro.h"
#include "floor.h"

#include <stdlib.h>
#include <ucontext.h>

#ifndef FLOOR_HAS_SWITCH
#define floor_switches NULL
#endif

#define STACK_SIZE 65536

static struct asi_coro host;
static struct asi_coro *mate;
static ucontext_t host_context, mate_context;

static void mate_main(void *unused)
{
    (void)unused;
    for (;;)
        asi_coro_switch(mate, &host);
}

static void context_main(void)
{
    for (;;)
        swapcontext(&mate_context, &host_context);
}

static int64_t ours(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i += 2) /* there and back */
        asi_coro_switch(&host, mate);
    return bench_now_ns() - start;
}

static int64_t by_hand(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i += 2)
        swapcontext(&host_context, &mate_context);
    return bench_now_ns() - start;
}

static void set_up(void)
{
    static char stack[STACK_SIZE];
    const char *why = "";

    asi_coro_init_host(&host);
    mate = asi_coro_new(STACK_SIZE, &why);
    bench_check(mate == NULL, why);
    asi_coro_prepare(mate, mate_main, NULL);
    bench_check(getcontext(&mate_context), "getcontext");
    mate_context.uc_stack.ss_sp = stack;
    mate_context.uc_stack.ss_size = sizeof(stack);
    makecontext(&mate_context, context_main, 0);
}

const struct bench_row bench_rows[] = {
        {.key = "W5-switch",
                .work = "W5 raw switch",
                .run = {ours, by_hand, floor_switches},
                .setup = set_up,
                .target = "3.5",
                .bound = 3.5},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
