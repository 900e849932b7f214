/* SPDX-License-Identifier: MIT */
#include "thread/owned.h"

/* Under `brief`: nobody else is inside. */
static void take_brief(struct asi_owned *owned)
{
    asi_brief_take(&owned->brief);
    unsigned owner = asi_load(&owned->owner, relaxed); /* I1 */
    unsigned next = ASI_OWNED_SHARED;

    if (owner == next)
        return;
    if (owner == ASI_OWNED_NOBODY && (asi_local.scheduler || !owned->loops_only) &&
            asi_barrier_available())
        next = asi_local_serial();
    asi_race_point();
    asi_store(&owned->owner, next, relaxed); /* O5 */
    if (owner == ASI_OWNED_NOBODY)
        return;
    asi_barrier_heavy();
    while (asi_load(&owned->inside.held, acquire)) /* O6 */
        asi_brief_wait(&owned->inside);
}

bool asi_owned_take(struct asi_owned *owned)
{
    if (asi_owned_enter(owned))
        return true;
    take_brief(owned);
    return false;
}
