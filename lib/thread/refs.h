/* SPDX-License-Identifier: MIT */
/*
 * A reference count.
 *
 * ORDERING
 *   R1  add             relaxed  a new reference is made from one that exists: nothing is
 *       published.
 *   R2  is_one, load    acquire  seeing 1 means that the only reference is ours: nobody can add
 *       one, so no read-modify-write is needed.  Acquire pairs with the R3 of those who dropped
 *       before.
 *   R3  drop, subtract  acq_rel  release: what this holder did is over before the count falls;
 *       acquire: the last one sees all of that before it frees.  (One acq_rel in place of release
 *       plus an acquire fence: ThreadSanitizer does not understand fences.)
 *   R4  dead, store         relaxed  nobody may look any more: it is there for who drops it again.
 */
#ifndef ASI_THREAD_REFS_H
#define ASI_THREAD_REFS_H

#include "base/assert.h"
#include "thread/atomic.h"

#include <stdbool.h>
#include <stdint.h>

struct asi_refs {
    asi_atomic(uint32_t) count;
};

static inline void asi_refs_init(struct asi_refs *refs, uint32_t count)
{
    asi_store(&refs->count, count, relaxed); /* before the object is shared */
}

static inline void asi_refs_add(struct asi_refs *refs)
{
    uint32_t before = asi_add(&refs->count, 1, relaxed); /* R1 */

    ASI_ASSERT(before > 0 && before < UINT32_MAX / 2, "a reference was added to a dead object");
}

/* Whether the caller's reference is the only one. */
static inline bool asi_refs_is_one(struct asi_refs *refs)
{
    return asi_load(&refs->count, acquire) == 1; /* R2 */
}

/* Drop one.  Returns whether it was the last: then the caller frees the object. */
static inline bool asi_refs_drop(struct asi_refs *refs)
{
    if (asi_refs_is_one(refs)) {
        asi_store(&refs->count, 0, relaxed); /* R4 */
        return true;
    }
    uint32_t before = asi_sub(&refs->count, 1, acq_rel); /* R3 */
    ASI_ASSERT(before > 0, "an object was unref'd more often than there were references to it");
    return before == 1;
}

#endif
