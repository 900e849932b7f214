/* SPDX-License-Identifier: MIT */
/*
 * Scenes of the recycler and its slabs, which the library itself does not use in a virtual build
 * (-DASI_RECYCLE_KEEPS=false): here they are called directly.  (What a scene is: virtual.h.)
 */
#include "virtual.h"

#include "base/memory.h"
#include "thread/cell.h"
#include "thread/local.h"
#include "thread/recycle.h"
#include "thread/slab.h"

#include <limits.h>
#include <string.h>

enum { MANY = 2 * ASI_RECYCLE_SHELF, BLOCK = 2 << 20, KEPT_BLOCKS = 4 };

static char *objects[MANY];

static void *take(enum asi_recycle_class kind)
{
    return asi_recycle_take_kept(&asi_local.shelves[kind], kind);
}

static void give(enum asi_recycle_class kind, void *object)
{
    asi_recycle_give_kept(&asi_local.shelves[kind], kind, object);
}

static void flush(void)
{
    asi_local.shelves = asi_recycle_flush(asi_local.shelves);
}

static void use_many(enum asi_recycle_class kind, size_t size)
{
    for (int i = 0; i < MANY; i++) {
        objects[i] = take(kind);
        memset(objects[i], i, size); /* nobody else has it */
    }
    for (int i = 0; i < MANY; i++) {
        for (size_t j = 0; j < size; j++)
            VIRTUAL_CHECK(objects[i][j] == (char)i);
        give(kind, objects[i]);
    }
}

SCENE(recycler_hands_out_each_object_once, 0, 0)
{
    for (int round = 0; round < 2; round++) {
        use_many(ASI_RECYCLE_LINK, sizeof(struct asi_link));
        use_many(ASI_RECYCLE_RECORD, ASI_RECYCLE_RECORD_SIZE);
        use_many(ASI_RECYCLE_TIMED, ASI_RECYCLE_TIMED_SIZE);
        (void)asi_recycle_trim(true, UINT_MAX);
        flush();
    }
}

SCENE(recycler_frees_what_fills_no_batch, 0, 0)
{
    size_t before = virtual_in_use();

    for (int i = 0; i < 5; i++)
        objects[i] = take(ASI_RECYCLE_LINK);
    for (int i = 0; i < 5; i++)
        give(ASI_RECYCLE_LINK, objects[i]);
    flush();
    VIRTUAL_CHECK(virtual_in_use() == before);
}

enum { FEW = ASI_RECYCLE_SHELF + 1 }; /* one more: a batch goes to the depot */

static void use_few(void *unused)
{
    char *own[FEW];

    (void)unused;
    for (int i = 0; i < FEW; i++) {
        own[i] = take(ASI_RECYCLE_LINK);
        own[i][0] = 1;
    }
    for (int i = 0; i < FEW; i++)
        give(ASI_RECYCLE_LINK, own[i]);
}

/* What one thread gave, and what its end left, the other takes. */
SCENE(objects_go_from_thread_to_thread, 2, 0)
{
    int other = virtual_start(use_few, NULL);
    use_few(NULL);
    use_few(NULL);
    virtual_join(other);
}

static bool refuse(const char *what)
{
    (void)what;
    return true;
}

static struct asi_spare *whole_slab(bool small)
{
    unsigned count;
    struct asi_spare *chain = asi_slab_take(small, UINT_MAX, &count);

    VIRTUAL_CHECK(chain && count == BLOCK / (small ? 192u : 256u) - 1);
    return chain;
}

/* All but the few that are kept are trimmed, or unmapped at once. */
SCENE(empty_slabs_are_given_back, 0, 0)
{
    struct asi_spare *slabs[KEPT_BLOCKS + 2];
    size_t before = virtual_in_use();

    for (int i = 0; i < KEPT_BLOCKS + 2; i++)
        slabs[i] = whole_slab(i == 0);
    for (int i = 0; i < KEPT_BLOCKS + 1; i++)
        asi_slab_give(slabs[i], false);
    VIRTUAL_CHECK(asi_slabs_spare());
    asi_slab_give(slabs[KEPT_BLOCKS + 1], true);
    VIRTUAL_CHECK(!asi_slabs_trim(true, UINT_MAX) && !asi_slabs_spare());
    asi_slab_give(whole_slab(false), false);
    (void)asi_slabs_trim(true, UINT_MAX);
    VIRTUAL_CHECK(virtual_in_use() >= before + KEPT_BLOCKS * BLOCK);
}

SCENE(slab_is_refused_and_asked_for_again, 0, 0)
{
    unsigned count;

    asi_fault_hook = refuse;
    VIRTUAL_CHECK(!asi_slab_take(true, 1, &count));
    asi_fault_hook = NULL;
    struct asi_spare *record = asi_slab_take(true, 1, &count);
    VIRTUAL_CHECK(record && count == 1);
    asi_slab_give(record, false);
}

SCENE(recycler_goes_on_after_a_fork, 1, 0)
{
    (void)virtual_start(use_few, NULL);
    virtual_fork(false);
    use_few(NULL);
    virtual_fork(true);
    use_few(NULL);
    for (int i = 0; i < 2; i++) {
        (void)asi_recycle_trim(true, UINT_MAX);
        (void)asi_slabs_trim(true, UINT_MAX);
    }
}
