/* SPDX-License-Identifier: MIT */
/* The work of W1 and W2: no-ops that plain threads run on a loop, and block for. */
#ifndef BENCH_CALLS_H
#define BENCH_CALLS_H

#include <anysync.h>
#include <stdint.h>

extern const struct anysync_function calls_noop;

/* One call, by us, and by hand after calls_set_up(). */
void calls_ours(void);
void calls_by_hand(void);

/* Start the loop by hand.  A row's `setup`. */
void calls_set_up(void);

/* COUNT calls by CALLERS threads at once.  Returns the ns they took. */
int64_t calls_crew_ours(int callers, int64_t count);
int64_t calls_crew_by_hand(int callers, int64_t count);

#endif
