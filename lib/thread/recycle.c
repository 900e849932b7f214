/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* mutexes that look before they sleep */
/*
 * Recycler.  (What it promises: recycle.h.)
 *
 * WHERE OBJECTS GO  shelf of the thread -> depot -> slabs (records of both sizes) or malloc
 *   (links), a batch at a time, and back the same way.  A thread that only takes, and one that only
 *   gives, so meet in the depot, where the batch given last is taken first: it is still in some
 *   cache.  The depot is bounded; what it cannot hold goes back, and slabs that are empty are lent
 *   to the system.  The way through the slabs costs as much as the rest of a task, so where there
 *   is a loop that will trim it, the depot takes as many as a burst needs.
 */
#include "thread/recycle.h"

#include "base/memory.h"
#include "thread/cell.h"
#include "thread/flag.h"
#include "thread/local.h"
#include "thread/lock.h"
#include "thread/slab.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum {
    KEPT = 512,    /* batches that the depot keeps for good */
    MOST = 1 << 16 /* batches in it: half a gigabyte of records */
};
enum { OTHERS = ASI_RECYCLE_RECORD_SIZE / sizeof(void *) - 1 };

/* A batch lies in one of its objects, and tells of the others. */
struct batch {
    struct batch *next; /* [lock] */
    union {
        void *others[OTHERS];    /* as many as its size has room for */
        struct asi_spare *chain; /* of links, which have room for nothing */
    };
};

static struct depot {
    struct asi_lock lock;
    struct batch *batches;    /* [lock] whole ones */
    unsigned count;           /* [lock] */
    unsigned least;           /* [lock] since the last trim */
    struct asi_counter spare; /* [lock] batches beyond those kept for good */
} depots[ASI_RECYCLE_CLASSES] = {
        {.lock = ASI_LOCK_INIT}, {.lock = ASI_LOCK_INIT}, {.lock = ASI_LOCK_INIT}};

static const struct {
    size_t size;
    unsigned batch; /* objects in a batch */
} kinds[ASI_RECYCLE_CLASSES] = {
        {sizeof(struct asi_link), 32}, {ASI_RECYCLE_RECORD_SIZE, 32}, {ASI_RECYCLE_TIMED_SIZE, 24}};

_Static_assert(sizeof(struct asi_link) >= sizeof(struct asi_spare) &&
                       sizeof(struct asi_spare) <= offsetof(struct batch, chain) + sizeof(void *),
        "a link has no room for a batch");

/* COUNT OBJECTS as a chain. */
static struct asi_spare *chain_of(void **objects, unsigned count)
{
    struct asi_spare *chain = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct asi_spare *spare = objects[i];
        spare->next = chain;
        chain = spare;
    }
    return chain;
}

/* The objects of CHAIN.  Returns how many. */
static unsigned objects_of(struct asi_spare *chain, void **objects)
{
    unsigned count = 0;

    while (chain) {
        objects[count++] = chain;
        chain = chain->next;
    }
    return count;
}

/* COUNT OBJECTS go where they came from. */
static void free_objects(enum asi_recycle_class kind, void **objects, unsigned count)
{
    if (count == 0)
        return;
    if (kind != ASI_RECYCLE_LINK) {
        asi_slab_give(chain_of(objects, count), false);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        asi_free(objects[i]);
}

/* A whole batch goes to the depot. */
static void store(enum asi_recycle_class kind, void **objects)
{
    struct depot *depot = &depots[kind];
    unsigned others = kinds[kind].batch - 1;
    struct batch *batch = objects[others];

    if (kind == ASI_RECYCLE_LINK)
        batch->chain = chain_of(objects, others);
    else
        memcpy(batch->others, objects, others * sizeof(void *));
    unsigned most = kind != ASI_RECYCLE_LINK && asi_local.scheduler ? MOST : KEPT;
    asi_lock_take(&depot->lock);
    bool room = depot->count < most;
    if (room) {
        batch->next = depot->batches;
        depot->batches = batch;
        if (depot->count++ >= KEPT)
            asi_counter_add(&depot->spare, 1);
    }
    asi_lock_give(&depot->lock);
    if (!room)
        free_objects(kind, objects, others + 1);
}

/* [lock] NULL: there is none. */
static struct batch *pop(struct depot *depot)
{
    struct batch *batch = depot->batches;

    if (!batch)
        return NULL;
    depot->batches = batch->next;
    if (--depot->count < depot->least)
        depot->least = depot->count;
    if (depot->count >= KEPT)
        asi_counter_add(&depot->spare, (uint64_t)-1);
    return batch;
}

/* The objects of BATCH.  Returns how many. */
static unsigned unpack(enum asi_recycle_class kind, struct batch *batch, void **objects)
{
    unsigned others = kinds[kind].batch - 1;

    if (kind == ASI_RECYCLE_LINK)
        (void)objects_of(batch->chain, objects);
    else
        memcpy(objects, batch->others, others * sizeof(void *));
    objects[others] = batch;
    return others + 1;
}

/* A batch of the depot.  Returns how many OBJECTS there are now. */
static unsigned fetch(enum asi_recycle_class kind, void **objects)
{
    struct depot *depot = &depots[kind];

    asi_lock_take(&depot->lock);
    struct batch *batch = pop(depot);
    asi_lock_give(&depot->lock);
    return batch ? unpack(kind, batch, objects) : 0;
}

/* New objects: records come in batches.  Returns how many. */
static unsigned make(enum asi_recycle_class kind, void **objects)
{
    unsigned count;

    if (kind == ASI_RECYCLE_LINK) {
        objects[0] = asi_allocate(kinds[kind].size);
        return objects[0] != NULL;
    }
    return objects_of(asi_slab_take(kind == ASI_RECYCLE_TIMED, kinds[kind].batch, &count), objects);
}

struct asi_shelf asi_recycle_no_shelves[ASI_RECYCLE_CLASSES];

/* Whether all threads do without shelves, and so come to the slow ways each time. */
static bool without_shelves(void)
{
    return ASI_RECYCLE_KEEPS && asi_tools_follow_memory(); /* else those who call mean shelves */
}

/* This thread's shelf; NULL when there is no memory for one. */
static struct asi_shelf *own_shelf(enum asi_recycle_class kind)
{
    if (asi_local.shelves != asi_recycle_no_shelves)
        return &asi_local.shelves[kind];
    struct asi_shelf *shelves = asi_allocate(ASI_RECYCLE_CLASSES * sizeof(*shelves));
    if (!shelves)
        return NULL;
    for (int i = 0; i < ASI_RECYCLE_CLASSES; i++) {
        shelves[i].count = 0;
        shelves[i].room = ASI_RECYCLE_SHELF;
    }
    asi_local_attach();
    asi_local.shelves = shelves;
    return &shelves[kind];
}

void *asi_recycle_take_slowly(enum asi_recycle_class kind)
{
    if (ASI_UNLIKELY(without_shelves()))
        return asi_recycle_take_fresh(kind);
    struct asi_shelf *shelf = own_shelf(kind);

    if (!shelf)
        return NULL;
    shelf->count = fetch(kind, shelf->objects);
    if (shelf->count == 0)
        shelf->count = make(kind, shelf->objects);
    return shelf->count > 0 ? shelf->objects[--shelf->count] : NULL;
}

void asi_recycle_give_slowly(enum asi_recycle_class kind, void *object)
{
    if (ASI_UNLIKELY(without_shelves())) {
        asi_recycle_give_fresh(object);
        return;
    }
    struct asi_shelf *shelf = own_shelf(kind);
    unsigned batch = kinds[kind].batch;

    if (!shelf) {
        free_objects(kind, &object, 1);
        return;
    }
    if (shelf->count == ASI_RECYCLE_SHELF) {
        store(kind, shelf->objects); /* those that were given first */
        shelf->count -= batch;
        memmove(shelf->objects, shelf->objects + batch, shelf->count * sizeof(void *));
    }
    shelf->objects[shelf->count++] = object;
}

void *asi_recycle_take_fresh(enum asi_recycle_class kind)
{
    return asi_allocate(kinds[kind].size);
}

void asi_recycle_give_fresh(void *object)
{
    asi_free(object);
}

struct asi_shelf *asi_recycle_flush(struct asi_shelf *shelves)
{
    if (shelves == asi_recycle_no_shelves)
        return shelves;
    for (enum asi_recycle_class kind = 0; kind < ASI_RECYCLE_CLASSES; kind++) {
        struct asi_shelf *shelf = &shelves[kind];
        unsigned batch = kinds[kind].batch;
        void **objects = shelf->objects;
        for (; shelf->count >= batch; shelf->count -= batch, objects += batch)
            store(kind, objects);
        free_objects(kind, objects, shelf->count); /* the depot knows whole batches only */
    }
    asi_free(shelves);
    return asi_recycle_no_shelves;
}

bool asi_recycle_spare(void)
{
    return asi_counter_get(&depots[ASI_RECYCLE_RECORD].spare) > 0 ||
           asi_counter_get(&depots[ASI_RECYCLE_TIMED].spare) > 0;
}

/* See asi_recycle_trim(). */
static bool trim(enum asi_recycle_class kind, bool all, unsigned most)
{
    struct depot *depot = &depots[kind];
    struct batch *batches = NULL;
    void *objects[ASI_RECYCLE_SHELF];

    asi_lock_take(&depot->lock);
    unsigned least = all ? depot->count : depot->least;
    for (; most > 0 && least > KEPT; most--, least--) {
        struct batch *batch = pop(depot);
        ASI_ASSERT(batch, "the depot has fewer batches than it counts");
        batch->next = batches;
        batches = batch;
    }
    depot->least = least > KEPT ? least : depot->count;
    asi_lock_give(&depot->lock);
    while (batches) {
        struct batch *batch = batches;
        batches = batch->next;
        asi_slab_give(chain_of(objects, unpack(kind, batch, objects)), true);
    }
    return least > KEPT;
}

bool asi_recycle_trim(bool all, unsigned most)
{
    bool records = trim(ASI_RECYCLE_RECORD, all, most);

    return trim(ASI_RECYCLE_TIMED, all, most) || records;
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
