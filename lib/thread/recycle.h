/* SPDX-License-Identifier: MIT */
/*
 * Recycler: small objects of a few fixed sizes, given back by other threads than took them.
 *
 * Each thread has a shelf for each size: up to two batches of objects, taken and given without locks.
 * Full batches go to a depot, empty shelves are filled from it, one lock for a whole batch.  This is the
 * magazine scheme of Bonwick and Adams ("Magazines and Vmem", 2001) with chains in the place of arrays.
 *
 * Thread    any.   Progress  one lock for every 32 objects at most.
 * Order     what the giver did with an object happens before it is taken again.
 * Memory    at most two batches a thread and DEPOT_BATCHES for all; the rest goes back to malloc.
 *           Sanitizer builds hand everything to malloc and free, so that they see each use after free.
 */
#ifndef ASI_THREAD_RECYCLE_H
#define ASI_THREAD_RECYCLE_H

#include <stddef.h>

enum asi_recycle_class { ASI_RECYCLE_LINK, ASI_RECYCLE_RECORD, ASI_RECYCLE_CLASSES };

enum { ASI_RECYCLE_RECORD_SIZE = 384 };

struct asi_spare; /* an object that waits to be used again */

struct asi_shelf {
    struct asi_spare *loaded; /* chain to take from and give to */
    struct asi_spare *full;   /* a whole batch, or NULL */
    unsigned count;           /* of loaded */
};

/* An object of that class, not cleared; NULL when there is no memory. */
void *asi_recycle_take(enum asi_recycle_class kind);

/* Give it back (consumed). */
void asi_recycle_give(enum asi_recycle_class kind, void *object);

/* The same through the shelves also in a sanitizer build: what the two above call otherwise. */
void *asi_recycle_take_kept(enum asi_recycle_class kind);
void asi_recycle_give_kept(enum asi_recycle_class kind, void *object);

/* The end of a thread: its shelves go to the depot. */
void asi_recycle_flush(struct asi_shelf *shelves);

/* Around fork(). */
void asi_recycle_before_fork(void);
void asi_recycle_after_fork(void);
void asi_recycle_in_child(void);

#endif
