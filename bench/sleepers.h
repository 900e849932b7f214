/* SPDX-License-Identifier: MIT */
/* The work of W6: many that sleep for a second at once, as coroutines and as timers by hand. */
#ifndef BENCH_SLEEPERS_H
#define BENCH_SLEEPERS_H

#include <stdint.h>

#define SLEEPERS_DELAY_NS 1000000000

/* Have COUNT sleep, by RUN, which calls the two below and returns when all have ended.  Returns the
 * ns beyond the second; RET_BYTES: resident ones of each, when the last had begun. */
int64_t sleepers_run(int64_t count, void (*run)(int64_t count), int64_t *ret_bytes);

/* One has begun; one has ended: returns whether it was the last. */
void sleepers_begin_one(void);
int sleepers_end_one(void);

void sleepers_ours(int64_t count);
void sleepers_timers(int64_t count); /* libevent's, on a base of this thread */

#endif
