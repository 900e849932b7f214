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
 * EMPTY slabs lose their bookkeeping and wait, as blocks, in `idle`.  All but the first few are
 *   lent to the system (MADV_FREE): when it is short of memory it takes their pages, without a
 *   word, and until then they can be used again at once.  Clearing new pages would cost more than
 *   all else that a record needs.  What `idle` has no place for is unmapped, and so are, when the
 *   blocks are trimmed, those that nobody has needed since the last time.
 *
 * WHICH  Slabs with room are on a list, one for each size of records.  Records are taken from its
 *   first slab; a slab joins at the end, so that the ones at the end have the best chance to become
 *   empty.
 *
 * HUGE PAGES are asked for from the second slab on: a small program stays small.
 */
#include "thread/slab.h"

#include "base/list.h"
#include "base/memory.h"
#include "thread/flag.h"
#include "thread/lock.h"
#include "thread/recycle.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

enum {
    SLAB_SIZE = 2 << 20,
    KEPT = 4,       /* idle blocks that are not lent */
    MOST_IDLE = 256 /* half a gigabyte, as two million tasks need */
};

struct slab {
    struct asi_list list;     /* [lock] in `roomy` while room > 0 */
    struct asi_spare *spares; /* [lock] */
    unsigned fresh;           /* [lock] index of the first that was never used */
    unsigned room;            /* [lock] spares and fresh ones */
    unsigned size;            /* [const] of each record */
    unsigned records;         /* [const] in it, beside the one that holds this */
};

_Static_assert(sizeof(struct slab) <= ASI_RECYCLE_TIMED_SIZE, "bookkeeping takes one record");

static struct asi_lock lock = ASI_LOCK_INIT;
static struct asi_list roomy[2] = {
        {&roomy[0], &roomy[0]}, {&roomy[1], &roomy[1]}}; /* [lock] of large and of small records */
static void *idle[MOST_IDLE];                            /* [lock] blocks that are no slabs now */
static unsigned idle_count;                              /* [lock] */
static unsigned least_idle;                              /* [lock] since the last trim */
static unsigned block_count;                             /* [lock] mapped: slabs and idle ones */
static struct asi_counter spare_blocks; /* [lock] idle ones that are not kept for good */

static struct slab *slab_of(struct asi_spare *spare)
{
    return (struct slab *)(void *)((char *)spare - ((uintptr_t)spare & (SLAB_SIZE - 1)));
}

static struct asi_spare *record(struct slab *slab, unsigned index)
{
    return (struct asi_spare *)(void *)((char *)slab + (size_t)(index + 1) * slab->size);
}

/* [lock] SLAB_SIZE bytes on a boundary of SLAB_SIZE: a larger mapping, less its ends. */
static void *map_block(void)
{
    if (asi_fault("malloc"))
        return NULL;
    char *base = mmap(NULL, 2 * (size_t)SLAB_SIZE, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)base & (SLAB_SIZE - 1);
    if (before > 0)
        munmap(base, before);
    munmap(base + before + SLAB_SIZE, SLAB_SIZE - before);
#ifdef MADV_HUGEPAGE
    if (block_count > 0)
        (void)madvise(base + before, SLAB_SIZE, MADV_HUGEPAGE);
#endif
    block_count++;
    return base + before;
}

/* [lock] BLOCK is idle from now on; there is room for it. */
static void push_idle(void *block)
{
    ASI_ASSERT(idle_count < MOST_IDLE, "more blocks are idle than are kept");
    idle[idle_count++] = block;
    if (idle_count > KEPT)
        asi_counter_add(&spare_blocks, 1);
}

/* [lock] There is one. */
static void *pop_idle(void)
{
    ASI_ASSERT(idle_count > 0, "no block is idle");
    if (idle_count > KEPT)
        asi_counter_add(&spare_blocks, (uint64_t)-1);
    if (--idle_count < least_idle)
        least_idle = idle_count;
    return idle[idle_count];
}

/* [lock] */
static struct slab *slab_new(bool small)
{
    struct slab *slab = idle_count > 0 ? pop_idle() : map_block();

    if (!slab)
        return NULL;
    slab->spares = NULL;
    slab->fresh = 0;
    slab->size = small ? ASI_RECYCLE_TIMED_SIZE : ASI_RECYCLE_RECORD_SIZE;
    slab->records = SLAB_SIZE / slab->size - 1;
    slab->room = slab->records;
    asi_list_add(&roomy[small], &slab->list);
    return slab;
}

/* Let the system have the pages of BLOCK when it needs them.  Returns whether it can. */
static bool lend(void *block)
{
#ifdef MADV_FREE
    return madvise(block, SLAB_SIZE, MADV_FREE) == 0;
#else
    (void)block;
    return false;
#endif
}

/* Slabs of which no record is in use: the caller alone knows them. */
static void retire(struct asi_list *empty, bool for_good)
{
    while (!asi_list_is_empty(empty)) {
        struct slab *slab = asi_container_of(empty->next, struct slab, list);
        asi_list_remove(&slab->list);
        bool lent = !for_good && lend(slab);
        asi_lock_take(&lock);
        bool keep = lent && idle_count < MOST_IDLE;
        if (keep)
            push_idle(slab);
        else
            block_count--;
        asi_lock_give(&lock);
        if (!keep)
            munmap(slab, SLAB_SIZE);
    }
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

struct asi_spare *asi_slab_take(bool small, unsigned count, unsigned *ret_count)
{
    struct asi_spare *spares = NULL;
    unsigned fresh = 0;

    asi_lock_take(&lock);
    struct slab *slab = asi_list_is_empty(&roomy[small])
                                ? slab_new(small)
                                : asi_container_of(roomy[small].next, struct slab, list);
    if (!slab) {
        asi_lock_give(&lock);
        return NULL;
    }
    if (slab->spares) {
        spares = take_spares(slab, count, &count);
    } else {
        fresh = slab->fresh;
        if (count > slab->records - fresh)
            count = slab->records - fresh;
        slab->fresh += count;
    }
    slab->room -= count;
    if (slab->room == 0)
        asi_list_remove(&slab->list);
    asi_lock_give(&lock);
    *ret_count = count;
    return spares ? spares : chain(slab, fresh, count);
}

/* [lock] The last record of SLAB came back. */
static void became_empty(struct slab *slab, struct asi_list *empty)
{
    asi_list_remove(&slab->list);
    if (idle_count < KEPT)
        push_idle(slab);
    else
        asi_list_add(empty, &slab->list);
}

void asi_slab_give(struct asi_spare *spare, bool for_good)
{
    struct asi_list empty;

    asi_list_init(&empty);
    asi_lock_take(&lock);
    while (spare) {
        struct asi_spare *next = spare->next;
        struct slab *slab = slab_of(spare);
        spare->next = slab->spares;
        slab->spares = spare;
        if (slab->room++ == 0)
            asi_list_add(&roomy[slab->size == ASI_RECYCLE_TIMED_SIZE], &slab->list);
        ASI_ASSERT(slab->room <= slab->records, "a record was given back twice");
        if (slab->room == slab->records)
            became_empty(slab, &empty);
        spare = next;
    }
    asi_lock_give(&lock);
    retire(&empty, for_good);
}

bool asi_slabs_spare(void)
{
    return asi_counter_get(&spare_blocks) > 0;
}

bool asi_slabs_trim(bool all, unsigned most)
{
    void *blocks[MOST_IDLE];
    unsigned count = 0;

    asi_lock_take(&lock);
    unsigned least = all ? idle_count : least_idle;
    while (count < most && least > KEPT) {
        blocks[count++] = pop_idle();
        least--;
        block_count--;
    }
    least_idle = least > KEPT ? least : idle_count;
    asi_lock_give(&lock);
    for (unsigned i = 0; i < count; i++)
        munmap(blocks[i], SLAB_SIZE);
    return least > KEPT;
}

void asi_slab_before_fork(void)
{
    asi_lock_take(&lock);
}

void asi_slab_after_fork(void)
{
    asi_lock_give(&lock);
}
