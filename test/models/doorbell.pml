/* SPDX-License-Identifier: MIT */
/*
 * The doorbell (lib/thread/doorbell.c), which carries the wake to a loop that sleeps on a word or
 * in a poll of descriptors, and changes from one to the other between two sleeps
 * (asi_poller_sleep()).  The mailbox is only its mark here: empty, parked, or letters.  A timer may
 * wake the loop as well, so that rings come late; a descriptor stays readable until the loop has
 * read it.
 *
 * Asserted: no end but the one where all letters were taken (a ring that is lost, or goes where the
 * loop does not listen, is a deadlock).
 * Claimed (ltl): what was pushed is taken.
 *
 * BUG=1  the target is changed after the park           a ring goes where nobody listens
 *     2  the ticket is taken after the park             a ring is lost
 *     3  the descriptor is read after the park           a ring is lost
 *     4  the ring looks at the target before the push   a ring goes where nobody listens
 */
#ifndef BUG
#define BUG 0
#endif
#define LOOP RINGERS
#define THREADS (RINGERS + 1)
#define DEPTH 3

#define NEWEST 0
#define RINGS 1
#define TARGET 2
#define WORDS 3
#define LETTERS 1
#define PARKED 100
#define WORD 0
#define DESCRIPTOR 1

#include "tso.pml"

bool sleeps; /* on the word */
bool readable;
byte pushed, taken;

proctype ringer(byte me)
{
    byte seen, ok, target, i;

    do
    :: i == PUSHES -> break
    :: else ->
#if BUG == 4
        asi_load(target, me, TARGET, relaxed);
#endif
        asi_load(seen, me, NEWEST, relaxed); /* M2 */
        do
        :: atomic {
                /* M1, M2 */
                asi_cas_weak(ok, me, NEWEST, seen,
                        (seen == PARKED -> LETTERS : seen + LETTERS), acq_rel, relaxed);
                pushed = pushed + ok
            }
            if
            :: ok -> break
            :: else
            fi
        od;
        if
        :: seen == PARKED ->
#if BUG != 4
            asi_load(target, me, TARGET, relaxed); /* D1 */
#endif
            if
            :: target == WORD ->
                asi_add(me, RINGS, 1, release); /* D3 */
                sleeps = false
            :: else -> readable = true
            fi
        :: else
        fi;
        seen = 0;
        ok = 0;
        target = 0;
        i++
    od
}

#define use(what) asi_store(LOOP, TARGET, what, relaxed) /* D2 */

proctype loop()
{
    byte got, ticket, expected, ok, mine = WORD, timers;

    do
    :: taken == RINGERS * PUSHES -> break
    :: else ->
        asi_exchange(got, LOOP, NEWEST, 0, acquire); /* M4 */
        if
        :: got == PARKED || got == 0 -> got = 0
        :: else -> taken = taken + got
        fi;
        if
        :: got -> got = 0
        :: else ->
            if /* somebody waits for a descriptor, or nobody does any more */
            :: mine = WORD
            :: mine = DESCRIPTOR
            fi;
#if BUG != 1
            use(mine);
#endif
#if BUG != 2
            asi_load(ticket, LOOP, RINGS, acquire); /* D4 */
#endif
            expected = 0;
            asi_cas_strong(ok, LOOP, NEWEST, expected, PARKED, release, relaxed); /* M6 */
#if BUG == 1
            use(mine);
#elif BUG == 3
            readable = false;
#endif
#if BUG == 2
            asi_load(ticket, LOOP, RINGS, acquire);
#endif
            if
            :: !ok -> skip
            :: else ->
                if
                :: mine == WORD ->
                    atomic {
                        if
                        :: memory[RINGS] == ticket -> sleeps = true
                        :: else
                        fi
                    };
                    if
                    :: !sleeps -> skip
                    :: timers < TIMERS -> timers++; sleeps = false
                    fi
                :: else ->
                    if
                    :: readable -> readable = false
                    :: timers < TIMERS -> timers++
                    fi
                fi
            fi;
            ok = 0;
            ticket = 0;
            expected = 0
        fi
    od
}

init
{
    byte i;

    atomic {
        for (i : 0 .. RINGERS) {
            run empties(i)
        }
        for (i : 0 .. RINGERS - 1) {
            run ringer(i)
        }
        run loop()
    }
}

#ifdef LIVE
ltl all_are_taken { <> (taken == RINGERS * PUSHES) }
#endif
