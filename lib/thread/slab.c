/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* madvise(), MAP_ANONYMOUS, mutexes that look before they sleep */
/*
 * Slabs.  (What they promise: slab.h.)
 *
 * SHAPE  A slab is a block of SLAB_SIZE on a boundary of SLAB_SIZE, so that a record's address
 *   tells its slab.  In the place of its first record is its bookkeeping:
 *
 *       | struct slab | in use | free | in use | ... | never used ............ |
 *                                                    ^ fresh
 *
 *   Records that came back hang on `spares`; they are taken before fresh ones, which nobody has
 *   touched and which therefore have no pages yet.  The caller, not the holder of the lock, chains
 *   fresh records and so pays for the page faults.
 *
 * WHICH  Slabs with room are on one list.  Records are taken from its first slab; a slab joins at
 *   the end, so that the ones at the end have the best chance to become empty.
 *
 * HUGE PAGES are asked for from the second slab on: a small program stays small.
 */
#include "thread/slab.h"

#include "base/list.h"
#include "base/memory.h"
#include "thread/lock.h"
#include "thread/recycle.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

enum {
    SLAB_SIZE = 2 << 20,
    RECORD_SIZE = ASI_RECYCLE_RECORD_SIZE,
    RECORDS = SLAB_SIZE / RECORD_SIZE - 1, /* in a slab; the first holds its bookkeeping */
    KEEP_EMPTY = 4
};

struct slab {
    struct asi_list list;     /* [lock] in `roomy` while room > 0 */
    struct asi_spare *spares; /* [lock] */
    unsigned fresh;           /* [lock] index of the first that was never used */
    unsigned room;            /* [lock] spares and fresh ones */
};

_Static_assert(sizeof(struct slab) <= RECORD_SIZE, "a slab's bookkeeping takes one record");

static struct asi_lock lock = ASI_LOCK_INIT;
static struct asi_list roomy = {&roomy, &roomy}; /* [lock] */
static unsigned slab_count;                      /* [lock] */
static unsigned empty_count;                     /* [lock] slabs of which no record is in use */

static struct slab *slab_of(struct asi_spare *spare)
{
    return (struct slab *)(void *)((char *)spare - ((uintptr_t)spare & (SLAB_SIZE - 1)));
}

static struct asi_spare *record(struct slab *slab, unsigned index)
{
    return (struct asi_spare *)(void *)((char *)slab + (size_t)(index + 1) * RECORD_SIZE);
}

/* SLAB_SIZE bytes on a boundary of SLAB_SIZE: a larger mapping, less its ends. */
static char *map_block(void)
{
    if (asi_fault("malloc"))
        return NULL;
    char *base = mmap(NULL, 2 * SLAB_SIZE, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)base & (SLAB_SIZE - 1);
    if (before > 0)
        munmap(base, before);
    munmap(base + before + SLAB_SIZE, SLAB_SIZE - before);
    return base + before;
}

/* [lock] */
static struct slab *slab_new(void)
{
    char *block = map_block();

    if (!block)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (slab_count > 0)
        (void)madvise(block, SLAB_SIZE, MADV_HUGEPAGE);
#endif
    struct slab *slab = (struct slab *)(void *)block; /* all zero */
    slab->room = RECORDS;
    slab_count++;
    empty_count++;
    asi_list_add(&roomy, &slab->list);
    return slab;
}

/* A chain of COUNT records of SLAB from INDEX on, which the caller alone knows. */
static struct asi_spare *chain(struct slab *slab, unsigned index, unsigned count)
{
    struct asi_spare *first = record(slab, index);

    for (unsigned i = 0; i < count; i++)
        record(slab, index + i)->next = i + 1 < count ? record(slab, index + i + 1) : NULL;
    return first;
}

/* [lock] Take up to COUNT of the spares of SLAB. */
static struct asi_spare *take_spares(struct slab *slab, unsigned count, unsigned *ret_count)
{
    struct asi_spare *first = slab->spares, *last = first;
    unsigned taken = 1;

    while (taken < count && last->next) {
        last = last->next;
        taken++;
    }
    slab->spares = last->next;
    last->next = NULL;
    *ret_count = taken;
    return first;
}

struct asi_spare *asi_slab_take(unsigned count, unsigned *ret_count)
{
    struct asi_spare *spares = NULL;
    unsigned fresh = 0;

    asi_lock_take(&lock);
    struct slab *slab = asi_list_is_empty(&roomy) ? slab_new()
                                                  : asi_container_of(roomy.next, struct slab, list);
    if (!slab) {
        asi_lock_give(&lock);
        return NULL;
    }
    empty_count -= slab->room == RECORDS;
    if (slab->spares) {
        spares = take_spares(slab, count, &count);
    } else {
        fresh = slab->fresh;
        if (count > RECORDS - fresh)
            count = RECORDS - fresh;
        slab->fresh += count;
    }
    slab->room -= count;
    if (slab->room == 0)
        asi_list_remove(&slab->list);
    asi_lock_give(&lock);
    *ret_count = count;
    return spares ? spares : chain(slab, fresh, count);
}

/* [lock] Returns whether SLAB is to go. */
static bool became_empty(struct slab *slab)
{
    slab->spares = NULL; /* all are fresh again: the next ones come in order */
    slab->fresh = 0;
    if (empty_count < KEEP_EMPTY) {
        empty_count++;
        return false;
    }
    slab_count--;
    return true;
}

void asi_slab_give(struct asi_spare *spare)
{
    struct asi_list unused;

    asi_list_init(&unused);
    asi_lock_take(&lock);
    while (spare) {
        struct asi_spare *next = spare->next;
        struct slab *slab = slab_of(spare);
        spare->next = slab->spares;
        slab->spares = spare;
        if (slab->room++ == 0)
            asi_list_add(&roomy, &slab->list);
        if (slab->room == RECORDS && became_empty(slab)) {
            asi_list_remove(&slab->list);
            asi_list_add(&unused, &slab->list);
        }
        spare = next;
    }
    asi_lock_give(&lock);
    while (!asi_list_is_empty(&unused)) {
        struct slab *slab = asi_container_of(unused.next, struct slab, list);
        asi_list_remove(&slab->list);
        munmap(slab, SLAB_SIZE);
    }
}

void asi_slab_before_fork(void)
{
    asi_lock_take(&lock);
}

void asi_slab_after_fork(void)
{
    asi_lock_give(&lock);
}

void asi_slab_in_child(void)
{
    asi_lock_give(&lock);
}
