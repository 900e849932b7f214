/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* mutexes that look before they sleep */
/*
 * Recycler.  (What it promises: recycle.h.)
 *
 * WHERE OBJECTS GO  shelf of the thread -> depot -> slabs (records of both sizes) or malloc
 *   (links), a batch at a time, and back the same way.  A thread that only takes, and one that only
 *   gives, so meet in the depot, where the batch given last is taken first: it is still in some
 *   cache.  The depot is bounded; what it cannot hold goes back, and slabs that are empty are lent
 *   to the system.
 */
#include "thread/recycle.h"

#include "base/memory.h"
#include "thread/cell.h"
#include "thread/local.h"
#include "thread/lock.h"
#include "thread/slab.h"

#include <stdbool.h>

enum { BATCH = ASI_RECYCLE_BATCH, DEPOT_BATCHES = 512 };

static struct depot {
    struct asi_lock lock;
    struct asi_spare *batches; /* [lock] each a chain of BATCH objects */
    unsigned count;            /* [lock] */
} depots[ASI_RECYCLE_CLASSES] = {
        {.lock = ASI_LOCK_INIT}, {.lock = ASI_LOCK_INIT}, {.lock = ASI_LOCK_INIT}};

static const size_t sizes[ASI_RECYCLE_CLASSES] = {
        sizeof(struct asi_link), ASI_RECYCLE_RECORD_SIZE, ASI_RECYCLE_TIMED_SIZE};

/* A chain of new objects, and how many: records come in batches. */
static struct asi_spare *new_batch(enum asi_recycle_class kind, unsigned *ret_count)
{
    if (kind != ASI_RECYCLE_LINK)
        return asi_slab_take(kind == ASI_RECYCLE_TIMED, BATCH, ret_count);
    struct asi_spare *spare = asi_allocate(sizes[kind]);
    if (spare)
        spare->next = NULL;
    *ret_count = 1;
    return spare;
}

static void free_batch(enum asi_recycle_class kind, struct asi_spare *spare)
{
    if (kind != ASI_RECYCLE_LINK) {
        asi_slab_give(spare);
        return;
    }
    while (spare) {
        struct asi_spare *next = spare->next;
        asi_free(spare);
        spare = next;
    }
}

static void store_batch(enum asi_recycle_class kind, struct asi_spare *batch)
{
    struct depot *depot = &depots[kind];

    asi_lock_take(&depot->lock);
    bool room = depot->count < DEPOT_BATCHES;
    if (room) {
        batch->next_batch = depot->batches;
        depot->batches = batch;
        depot->count++;
    }
    asi_lock_give(&depot->lock);
    if (!room)
        free_batch(kind, batch);
}

static struct asi_spare *fetch_batch(enum asi_recycle_class kind)
{
    struct depot *depot = &depots[kind];

    asi_lock_take(&depot->lock);
    struct asi_spare *batch = depot->batches;
    if (batch) {
        depot->batches = batch->next_batch;
        depot->count--;
    }
    asi_lock_give(&depot->lock);
    return batch;
}

void *asi_recycle_take_slowly(struct asi_shelf *shelf, enum asi_recycle_class kind)
{
    struct asi_spare *batch = shelf->full ? shelf->full : fetch_batch(kind);
    unsigned count = BATCH;

    asi_local_attach();
    shelf->full = NULL;
    if (!batch)
        batch = new_batch(kind, &count);
    if (!batch)
        return NULL;
    shelf->loaded = batch->next;
    shelf->room = BATCH - (count - 1);
    return batch;
}

void asi_recycle_give_slowly(struct asi_shelf *shelf, enum asi_recycle_class kind, void *object)
{
    struct asi_spare *spare = object;

    asi_local_attach();
    if (shelf->loaded) {
        if (shelf->full)
            store_batch(kind, shelf->full);
        shelf->full = shelf->loaded;
    }
    spare->next = NULL;
    shelf->loaded = spare;
    shelf->room = BATCH - 1;
}

void *asi_recycle_take_fresh(enum asi_recycle_class kind)
{
    return asi_allocate(sizes[kind]);
}

void asi_recycle_give_fresh(void *object)
{
    asi_free(object);
}

void asi_recycle_flush(struct asi_shelf *shelves)
{
    for (enum asi_recycle_class kind = 0; kind < ASI_RECYCLE_CLASSES; kind++) {
        struct asi_shelf *shelf = &shelves[kind];
        if (shelf->full)
            store_batch(kind, shelf->full);
        if (shelf->loaded && shelf->room == 0)
            store_batch(kind, shelf->loaded);
        else
            free_batch(kind, shelf->loaded); /* the depot knows whole batches only */
        *shelf = (struct asi_shelf){.loaded = NULL};
    }
}

void asi_recycle_before_fork(void)
{
    for (int kind = 0; kind < ASI_RECYCLE_CLASSES; kind++)
        asi_lock_take(&depots[kind].lock);
    asi_slab_before_fork();
}

void asi_recycle_after_fork(void)
{
    asi_slab_after_fork();
    for (int kind = 0; kind < ASI_RECYCLE_CLASSES; kind++)
        asi_lock_give(&depots[kind].lock);
}
