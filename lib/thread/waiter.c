/* SPDX-License-Identifier: MIT */
/*
 * Waiter.  (What it promises: waiter.h.)
 *
 * INVARIANTS
 *   I1  Only the waiter sets ASLEEP.  A deliverer clears it together with its count, in one step,
 *       and then owes exactly one wake.
 *   I2  The count only grows.
 *
 * ORDERING
 *   W1  deliver, CAS success   release  publishes what the deliverer did.  Pairs with W3, W4, W5.
 *   W2  deliver, first load and CAS failure   relaxed   the value is only compared and stored.
 *   W3  count, load            acquire  reads W1.
 *   W4  arm, CAS               acq_rel  release: a deliverer that clears ASLEEP and runs the wake
 *       sees what the waiter prepared (with W1, which is acq_rel for that reason); acquire: as W3.
 *   W5  disarm, and            acquire  as W3.
 *   W6  init, store            relaxed  the waiter is published later, by a cell or a mailbox.
 *
 * NO LOST WAKE-UP
 *   All writes to `word` are read-modify-writes.  arm sets ASLEEP only while the count is what the
 *   waiter saw; a delivery after that sees ASLEEP and wakes; one before it makes arm fail.  A
 *   futex wait whose word changed between arm and the system call returns at once.  A wake that is
 *   held back comes at the latest when its thread ends, and nothing waits for that thread but by
 *   this very wake.
 */
#include "thread/waiter.h"

#include "base/race.h"
#include "thread/futex.h"
#include "thread/local.h"

#include <stddef.h>

enum { ASLEEP = 1u, ONE = 2u };

void asi_waiter_init(struct asi_waiter *waiter, asi_waiter_wake_fn *wake)
{
    asi_store(&waiter->word, 0, relaxed); /* W6 */
    waiter->wake = wake;
}

void asi_waiter_deliver(struct asi_waiter *waiter)
{
    asi_waiter_wake_fn *wake =
            waiter->wake; /* before the count: a thread may leave right after it */
    uint32_t seen = asi_load(&waiter->word, relaxed); /* W2 */

    asi_race_point();
    /* W1, W2 */
    while (!asi_cas_weak(&waiter->word, &seen, (seen + ONE) & ~(uint32_t)ASLEEP, acq_rel, relaxed))
        ;
    asi_race_point();
    if (!(seen & ASLEEP))
        return;
    if (wake)
        wake(waiter); /* still there: see Memory in the header */
    else if (asi_local.holds_wake && !asi_local.held_wake)
        asi_local.held_wake = &waiter->word; /* an address only: the waiter may be gone by then */
    else
        asi_futex_wake(&waiter->word);
}

void asi_waiter_hold_wake(void)
{
    asi_local.holds_wake = true;
}

void asi_waiter_give_wake(void)
{
    asi_atomic(uint32_t) *word = asi_local.held_wake;

    asi_local.holds_wake = false;
    asi_local.held_wake = NULL;
    if (word)
        asi_futex_wake(word);
}

uint32_t asi_waiter_count(struct asi_waiter *waiter)
{
    return asi_load(&waiter->word, acquire) / ONE; /* W3 */
}

bool asi_waiter_arm(struct asi_waiter *waiter, uint32_t seen)
{
    uint32_t expected = seen * ONE;

    asi_race_point();
    if (asi_cas_strong(&waiter->word, &expected, expected | ASLEEP, acq_rel, acquire)) /* W4 */
        return true;
    return expected == (seen * ONE | ASLEEP); /* armed before, and still nothing came */
}

bool asi_waiter_disarm(struct asi_waiter *waiter)
{
    return asi_and(&waiter->word, ~(uint32_t)ASLEEP, acquire) & ASLEEP; /* W5 */
}

bool asi_waiter_sleep(struct asi_waiter *waiter, uint32_t seen, anysync_time deadline)
{
    while (asi_waiter_arm(waiter, seen)) {
        if (!asi_futex_wait(&waiter->word, seen * ONE | ASLEEP, deadline)) {
            asi_waiter_disarm(waiter);
            return asi_waiter_count(waiter) > seen;
        }
    }
    return true;
}
