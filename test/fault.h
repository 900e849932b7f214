/* SPDX-License-Identifier: MIT */
/*
 * Make the system refuse: fail the n-th allocation or system call of the library.
 *
 * The library asks before each thing that may be refused (asi_fault() in lib/base/memory.h), and
 * names it: "malloc", "mmap", "thread", "eventfd", "base".  FAULT_ANY counts and fails all of them
 * together.  The usual test walks through all places:
 *
 *      for (int nth = 1;; nth++) {
 *          fault_fail(FAULT_ANY, nth, false);
 *          error = what_is_tested();
 *          bool reached = fault_failed(FAULT_ANY) > 0;
 *          fault_clear();
 *          ... check the error and that nothing leaked or changed ...
 *          if (!reached)
 *              break;
 *      }
 *
 * Thread  any, at any time: only relaxed atomics, so a race that a test looks for stays visible.
 *         Counts are exact; which of two calls at the same time is the n-th is up to them.
 */
#ifndef TEST_FAULT_H
#define TEST_FAULT_H

#include <stdbool.h>

#define FAULT_ANY "any"

/* From now on, let the NTH (1 is the next) of WHAT fail, and with STICKY all that follow it, too.
 * Starts the counts of WHAT afresh. */
void fault_fail(const char *what, int nth, bool sticky);

/* Fail nothing more, and start all counts afresh. */
void fault_clear(void);

/* How many WHAT the library asked for since the counts started, and how many of them failed. */
int fault_count(const char *what);
int fault_failed(const char *what);

#endif
