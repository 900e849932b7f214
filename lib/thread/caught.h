/* SPDX-License-Identifier: MIT */
/*
 * Caught: signals that handlers put into pipes.
 *
 * A place is one pipe and the signals it wants.  There are a few places, static, and their pipes
 * are never closed (but in a forked child): so a handler that is late for a user who closed writes
 * into a pipe that is there, perhaps of the next user, who looks at the number anyway.  All it
 * reads of a place besides what it wants is written once, when the pipe is made.
 *
 *              | open | close | handler |   "-": may run at the same time
 *   open       |  -   |   -   |    -    |
 *   close      |  -   |   -   |    -    |   (of different places)
 *   handler    |  -   |   -   |    -    |
 *
 * ORDERING
 *   K1  wants, load acquire   the handler: what it needs of the place was written before K2.
 *   K2  wants, store release  open: after the pipe and the process id.  Pairs with K1.
 *   K3  wants, store relaxed  close, and a forked child: a handler that does not see it yet writes
 *       into a pipe that stays.
 *
 * Progress  the handler: a write for each place, which never blocks.  open, close: a lock.
 * Fork      the lock is held across it.  The child restores all handlers, before anything else
 *           runs there, and closes its copies of the pipes; until then a handler sees by the
 *           process id that it is not in the process that opened.
 * Bound     as much as a pipe holds; what comes then is dropped.
 *
 * CHECKED BY  test_signals.c
 */
#ifndef ASI_THREAD_CAUGHT_H
#define ASI_THREAD_CAUGHT_H

#include <stdint.h>

/* What is in the pipes; number 0 is the caller's own. */
struct asi_caught {
    int32_t number, code, process, user;
    int64_t value;
};

/* Whether NUMBER is one that can be caught. */
int asi_caught_check(int number);

/*
 * Take a place for the signals of SET (bit N - 1 for signal N), which are caught from now on.
 * Returns its index, or -EMFILE, -EINVAL.  Any thread.
 */
int asi_caught_open(uint64_t set);

/* Catch nothing more for the place INDEX, and restore what no other place wants.  Its pipe stays
 * until it is given back. */
void asi_caught_close(int index);

/* Nobody looks at its pipe any more. */
void asi_caught_give(int index);

/* The ends of its pipe, which do not block. */
int asi_caught_read_end(int index);

/* Put RECORD into it, in the place of the oldest one if it is full. */
void asi_caught_put(int index, const struct asi_caught *record);

#endif
