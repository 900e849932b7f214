/* SPDX-License-Identifier: MIT */
/*
 * Looking for a short time before sleeping.
 *
 * Putting a thread to sleep and waking it on another core costs tens of microseconds, far more than
 * all else that a hand-over does.  So a waiter first looks for about as long as such a wake costs:
 * never more than twice the best possible (the classic bound for rent-or-buy).  It pays only if
 * the other side runs meanwhile, so:
 *
 *   - on one processor nobody else can run: give the slice away a few times instead of burning it;
 *   - each waiter learns: after n failures in a row it leaves out the next 2^n - 1 tries, a success
 *     halves n;
 *   - a look that took much longer than it should was interrupted by another thread: a failure,
 *     whatever it found.
 *
 *      struct asi_look look;
 *      asi_look_begin(&look, spin, policy);
 *      while (!ready() && asi_look_again(&look))
 *          ;
 *      asi_look_end(&look, ready());
 */
#ifndef ASI_THREAD_SPIN_H
#define ASI_THREAD_SPIN_H

#include <anysync/base.h>

#include <stdbool.h>
#include <stdint.h>

/* What one waiter has learned.  All zero is a fresh one. [its thread only] */
struct asi_spin {
    uint32_t failures; /* in a row, roughly: log2 of how many tries to leave out */
    uint32_t skip;     /* tries to leave out from now */
};

enum asi_spin_policy { ASI_SPIN_ADAPTIVE, ASI_SPIN_NEVER, ASI_SPIN_ALWAYS };

struct asi_look {
    struct asi_spin *spin;
    anysync_time start; /* 0 until the clock was read */
    unsigned round;     /* looks so far */
    unsigned limit;     /* looks allowed; 0: none */
    bool yields;        /* one processor: give the slice away between looks */
    bool interrupted;   /* somebody else had our processor meanwhile */
};

void asi_look_begin(struct asi_look *look, struct asi_spin *spin, enum asi_spin_policy policy);

/* Wait a moment.  Returns false when it is time to sleep. */
bool asi_look_again(struct asi_look *look);

/* FOUND: whether what was looked for came. */
void asi_look_end(struct asi_look *look, bool found);

/* How many processors this process may use; at least 1.  Read once. */
unsigned asi_processors(void);

#endif
