/* SPDX-License-Identifier: MIT */
/*
 * The floor: for each workload the least work that still does the job on this machine.  No queue
 * where one slot does, no allocation, no error handling, no way to stop: not a library, a limit.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- one caller, one worker (floor.c): bench_run_fn ------------------------------------------- */

/*
 * Ping-pong over two cache lines, both threads spinning, on the first and the second processor;
 * then with a look at the clock each.  The calling thread is not pinned afterwards.
 */
int64_t floor_spin(int64_t count);
int64_t floor_spin_deadline(int64_t count);

/* Ping-pong over two futex words, both threads sleeping at once. */
int64_t floor_futex(int64_t count);

/* To the worker by an eventfd it waits for in epoll, back by futex; 2 ms apart, the call timed. */
int64_t floor_parked(int64_t count);

#define FLOOR_PARKED_GAP_NS 2000000

/* --- many callers (floor_queue.c): bench_run_fn ----------------------------------------------- */

/* Calls from as many threads: a push with compare-and-swap, a wake only where somebody sleeps. */
int64_t floor_calls_4(int64_t count);
int64_t floor_calls_16(int64_t count);
int64_t floor_calls_64(int64_t count);

/* Nodes that exist already, pushed with compare-and-swap, taken whole with an exchange. */
int64_t floor_submit_1(int64_t count);
int64_t floor_submit_4(int64_t count);

/* The same, and the producer looks at each node at the end. */
int64_t floor_submit_futures_1(int64_t count);
int64_t floor_submit_futures_4(int64_t count);

/* --- stacks (floor_switch.c) ------------------------------------------------------------------ */

#if defined(__x86_64__)
#define FLOOR_HAS_SWITCH 1

/* Save the registers of this stack, its top in SAVE, and go on with the stack whose top is LOAD. */
void floor_switch(void **save, void *load);

/* Lay out SIZE bytes at STACK.  A switch to what is returned calls ENTRY, which never returns. */
void *floor_stack(void *stack, size_t size, void (*entry)(void));

int64_t floor_switches(int64_t count); /* one switch and nothing else */
int64_t floor_yields(int64_t count);   /* two coroutines, a ready list, one switch a yield */
int64_t floor_awaits(int64_t count);   /* a stack from a free list, a child, and back */
#endif

#endif
