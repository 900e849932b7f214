/* SPDX-License-Identifier: MIT */
/*
 * Recycler: small objects of a few fixed sizes, given back by other threads than took them.
 *
 * Each thread has a shelf for each size: up to two batches of objects, taken and given without
 * locks. Full batches go to a depot, empty shelves are filled from it, one lock for a whole batch.
 * This is the magazine scheme of Bonwick and Adams ("Magazines and Vmem", 2001) with chains in the
 * place of arrays.
 *
 * Thread    any.   Progress  one lock for every 32 objects at most.
 * Order     what the giver did with an object happens before it is taken again.
 * Memory    at most two batches a thread and DEPOT_BATCHES for all; the rest goes back to where it
 *           came from: records to slabs (slab.h), links to malloc.
 *           Sanitizer builds hand everything to malloc and free, so that they see each use after
 *           free.
 */
#ifndef ASI_THREAD_RECYCLE_H
#define ASI_THREAD_RECYCLE_H

#include "base/assert.h"

#include <stddef.h>

enum asi_recycle_class {
    ASI_RECYCLE_LINK,
    ASI_RECYCLE_RECORD, /* tasks, and what is about as large */
    ASI_RECYCLE_TIMED,  /* futures with a timer and a callback */
    ASI_RECYCLE_CLASSES
};

enum { ASI_RECYCLE_RECORD_SIZE = 256, ASI_RECYCLE_TIMED_SIZE = 192, ASI_RECYCLE_BATCH = 32 };

struct asi_spare; /* an object that waits to be used again */

struct asi_shelf {
    struct asi_spare *loaded; /* chain to take from and give to */
    struct asi_spare *full;   /* a whole batch, or NULL */
    unsigned room;            /* how many more may be loaded; 0 also if it was never used */
};

struct asi_spare {
    struct asi_spare *next;       /* in its batch */
    struct asi_spare *next_batch; /* [lock] of the first in a batch: the depot's chain */
};

/* An object through SHELF, not cleared; NULL when there is no memory.  (_slowly: the shelf is
 * empty.) */
void *asi_recycle_take_slowly(struct asi_shelf *shelf, enum asi_recycle_class kind);

static inline void *asi_recycle_take_kept(struct asi_shelf *shelf, enum asi_recycle_class kind)
{
    struct asi_spare *spare = shelf->loaded;

    if (ASI_UNLIKELY(!spare))
        return asi_recycle_take_slowly(shelf, kind);
    shelf->loaded = spare->next;
    shelf->room++;
    return spare;
}

/* Give it back (consumed).  (_slowly: the shelf is full, or was never used.) */
void asi_recycle_give_slowly(struct asi_shelf *shelf, enum asi_recycle_class kind, void *object);

static inline void asi_recycle_give_kept(
        struct asi_shelf *shelf, enum asi_recycle_class kind, void *object)
{
    struct asi_spare *spare = object;

    if (ASI_UNLIKELY(shelf->room == 0)) {
        asi_recycle_give_slowly(shelf, kind, object);
        return;
    }
    spare->next = shelf->loaded;
    shelf->loaded = spare;
    shelf->room--;
}

/* Whether objects are kept, so that thread/local.h has asi_recycle_take() and _give() that use this
 * thread's shelves; if not, they go through malloc and free. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ASI_RECYCLE_KEEPS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ASI_RECYCLE_KEEPS false
#endif
#endif
#ifndef ASI_RECYCLE_KEEPS
#define ASI_RECYCLE_KEEPS true
#endif
void *asi_recycle_take_fresh(enum asi_recycle_class kind);
void asi_recycle_give_fresh(void *object);

/* The end of a thread: its shelves go to the depot. */
void asi_recycle_flush(struct asi_shelf *shelves);

/* Around fork(). */
void asi_recycle_before_fork(void);
void asi_recycle_after_fork(void);

#endif
