/* SPDX-License-Identifier: MIT */
/*
 * Recycler: small objects of a few fixed sizes, given back by other threads than took them.
 *
 * Each thread has a shelf for each size: up to two batches of objects, taken and given without
 * locks. Full batches go to a depot, empty shelves are filled from it, one lock for a whole batch.
 * This is the magazine scheme of Bonwick and Adams ("Magazines and Vmem", 2001).  A shelf knows its
 * objects without a look at them: they may be in another processor's cache, from where those that
 * will be taken soon are fetched ahead, several at once.
 *
 * Thread    any.   Progress  one lock for every 23 objects at most.
 * Order     what the giver did with an object happens before it is taken again.
 * Memory    at most 64 objects of a size for each thread, and 512 batches for all; of records, what
 *           threads with a loop give beyond that stays until it is trimmed (sched/spare.h).  The
 *           rest goes back to where it came from: records to slabs (slab.h), links to malloc.
 *           Sanitizer builds, and all builds under valgrind or in a program that has the address
 *           or leak sanitizer, hand everything to malloc and free, so that they see each object's
 *           real life.
 */
#ifndef ASI_THREAD_RECYCLE_H
#define ASI_THREAD_RECYCLE_H

#include "base/assert.h"
#include "base/tools.h"

#include <stdbool.h>
#include <stddef.h>

enum asi_recycle_class {
    ASI_RECYCLE_LINK,
    ASI_RECYCLE_RECORD, /* tasks, and what is about as large */
    ASI_RECYCLE_TIMED,  /* futures that are no task's: by hand, with a timer and a callback */
    ASI_RECYCLE_CLASSES
};

enum {
    ASI_RECYCLE_RECORD_SIZE = 256,
    ASI_RECYCLE_TIMED_SIZE = 192,
    ASI_RECYCLE_SHELF = 64, /* objects on a shelf, at most */
    ASI_RECYCLE_AHEAD = 4   /* so many takes before its own an object is fetched */
};

struct asi_shelf {
    unsigned count;
    unsigned room; /* ASI_RECYCLE_SHELF */
    void *objects[ASI_RECYCLE_SHELF];
};

/* Those of a thread that has not used any: nothing on them, and no room.  (The real ones are too
 * large for the memory that threads have for a library loaded late.) */
extern struct asi_shelf asi_recycle_no_shelves[ASI_RECYCLE_CLASSES];

/* An object through SHELF, not cleared; NULL when there is no memory.  (_slowly: the shelf is
 * empty.) */
void *asi_recycle_take_slowly(enum asi_recycle_class kind);

static inline void *asi_recycle_take_kept(struct asi_shelf *shelf, enum asi_recycle_class kind)
{
    unsigned count = shelf->count;

    if (ASI_UNLIKELY(count == 0))
        return asi_recycle_take_slowly(kind);
    shelf->count = --count;
    if (kind == ASI_RECYCLE_RECORD) { /* the two lines that every task has */
        char *soon = shelf->objects[count >= ASI_RECYCLE_AHEAD ? count - ASI_RECYCLE_AHEAD : 0];
        __builtin_prefetch(soon, 1);
        __builtin_prefetch(soon + 64, 1);
    }
    return shelf->objects[count];
}

/* Give it back (consumed).  (_slowly: the shelf is full, or was never used.) */
void asi_recycle_give_slowly(enum asi_recycle_class kind, void *object);

static inline void asi_recycle_give_kept(
        struct asi_shelf *shelf, enum asi_recycle_class kind, void *object)
{
    if (ASI_UNLIKELY(shelf->count == shelf->room))
        asi_recycle_give_slowly(kind, object);
    else
        shelf->objects[shelf->count++] = object;
}

/* Whether objects are kept, so that thread/local.h has asi_recycle_take() and _give() that use this
 * thread's shelves; if not, they go through malloc and free. */
#if defined(ASI_ASAN) || defined(ASI_TSAN) || defined(ASI_MSAN)
#define ASI_RECYCLE_KEEPS false
#elif !defined(ASI_RECYCLE_KEEPS)
#define ASI_RECYCLE_KEEPS true
#endif
void *asi_recycle_take_fresh(enum asi_recycle_class kind);
void asi_recycle_give_fresh(void *object);

/* Whether the depot holds more records than are kept for good: a look without its lock. */
bool asi_recycle_spare(void);

/* Give back batches of records that nobody has needed since the last trim, or ALL that are spare,
 * and MOST of a size at most.  Returns whether there are more of them. */
bool asi_recycle_trim(bool all, unsigned most);

/* The end of a thread: what is on its SHELVES goes to the depot, and they are freed.  Returns those
 * that it has from then on. */
struct asi_shelf *asi_recycle_flush(struct asi_shelf *shelves);

/* Around fork(). */
void asi_recycle_before_fork(void);
void asi_recycle_after_fork(void);

#endif
