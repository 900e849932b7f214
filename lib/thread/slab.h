/* SPDX-License-Identifier: MIT */
/*
 * Slabs: the memory of the recycler's records, in blocks of 2 MiB.
 *
 * A record costs its share of one mapping and, where the system has them, of one huge page: no call
 * of malloc, and one page fault for thousands of records.  Records taken one after another lie one
 * after another.
 *
 * Thread    any.   Progress  one lock for each call, which handles a batch.
 * Order     what the giver did with a record happens before it is taken again.
 * Memory    the system may have the pages of a block whose records have all come back; a few are
 *           kept, the others unmapped when they are trimmed (sched/spare.h), and at once beyond
 *           half a gigabyte.
 */
#ifndef ASI_THREAD_SLAB_H
#define ASI_THREAD_SLAB_H

#include <stdbool.h>

/* A record that waits to be used again. */
struct asi_spare {
    struct asi_spare *next;
};

/* A chain of one to COUNT records, and how many; NULL when there is no memory.  SMALL:
 * ASI_RECYCLE_TIMED_SIZE each, else ASI_RECYCLE_RECORD_SIZE. */
struct asi_spare *asi_slab_take(bool small, unsigned count, unsigned *ret_count);

/* Give all of CHAIN back (consumed).  FOR_GOOD: nobody will need them soon, so blocks that become
 * empty are unmapped, not kept for the next trim. */
void asi_slab_give(struct asi_spare *chain, bool for_good);

/* Whether there are more empty blocks than are kept for good: a look without the lock. */
bool asi_slabs_spare(void);

/* Unmap empty blocks that nobody has needed since the last trim, or ALL that are spare, and MOST at
 * most.  Returns whether there are more of them. */
bool asi_slabs_trim(bool all, unsigned most);

/* Around fork(). */
void asi_slab_before_fork(void);
void asi_slab_after_fork(void);

#endif
