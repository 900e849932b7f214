/* SPDX-License-Identifier: MIT */
/*
 * A future's cell and its waiters (lib/thread/cell.c, lib/thread/waiter.c, leave_all() in
 * lib/sched/wait.c): WAITERS threads join with a link each and sleep; any of them may give up at
 * any time (a timeout, a cancel); one thread completes.  Who leaves sweeps.
 *
 * Asserted: who learns that the cell is done sees its result; each link is freed once, and nobody
 * touches it afterwards, nor a waiter that has gone, nor the cell, which the last waiter frees as
 * soon as it has learned of the end; who has left gets no delivery; no end but the one where all
 * waiters have gone (a delivery or a wake-up that is lost is a deadlock). Claimed (ltl): who waits,
 * and does not give up, goes on.
 *
 * BUG=1  the completer looks at the cell again          it has gone
 *     2  the completer looks at the waiter again        it has gone
 *     3  the links that were hidden are put back, done or not     a delivery is lost
 *     4  who leaves looks and then writes               a delivery to one that has gone
 *     5  the waiter arms whatever the count is          a wake-up is lost
 *     6  the delivery counts, and leaves asleep alone   a wake-up is lost
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef GIVE_UP
#define GIVE_UP WAITERS /* how many may give up */
#endif
#define COMPLETER WAITERS
#define THREADS (WAITERS + 1)
#define DEPTH 3

#define HEAD 0
#define RESULT 1
#define LEFT 2
#define OWNER(link) (2 + (link))
#define NEXT(link) (2 + WAITERS + (link))
#define WORD(waiter) (2 + 2 * WAITERS + (waiter))
#define WORDS (3 + 3 * WAITERS)
#define DONE 100

#include "tso.pml"

/* asi_and() of all bits but the first */
#define asi_and(ret, me, address, bits, order)                                                     \
    atomic {                                                                                       \
        queues[me].used == 0;                                                                      \
        ret = memory[address];                                                                     \
        memory[address] = memory[address] - memory[address] % 2                                    \
    }

bool cell_there = true;
byte refs = WAITERS;
bool link_there[WAITERS + 1], waiter_there[WAITERS + 1], sleeps[WAITERS + 1];
byte gone, givers;
bool stays[WAITERS + 1], has_result[WAITERS + 1]; /* for the claim */

/* asi_waiter_deliver(): the address is used after the last access, the waiter is not. */
inline deliver(me, waiter, seen, ok)
{
    assert(waiter_there[waiter]);
    asi_load(seen, me, WORD(waiter), relaxed); /* W2 */
    do
    :: assert(waiter_there[waiter]);
#if BUG == 6
        asi_cas_weak(ok, me, WORD(waiter), seen, seen + 2, acq_rel, relaxed);
#else
        /* W1, W2 */
        asi_cas_weak(ok, me, WORD(waiter), seen, seen - seen % 2 + 2, acq_rel, relaxed);
#endif
        if
        :: ok -> break
        :: else
        fi
    od;
#if BUG == 2
    assert(waiter_there[waiter]);
#endif
#if BUG != 6
    if
    :: seen % 2 -> sleeps[waiter] = false
    :: else
    fi
#endif
}

/* Deliver to a chain; links without an owner are freed.  MINE: whose thread this is. */
inline deliver_all(me, link, next, owner, seen, ok)
{
    do
    :: link == 0 -> break
    :: else ->
        assert(link_there[link]);
        next = memory[NEXT(link)];
        asi_exchange(owner, me, OWNER(link), 0, acquire); /* C5 */
        if
        :: owner != 0 -> deliver(me, owner, seen, ok)
        :: else -> atomic { assert(link_there[link]); link_there[link] = false }
        fi;
        link = next
    od;
    next = 0; owner = 0; seen = 0; ok = 0
}

proctype completer()
{
    byte link, next, owner, seen, ok;

    put(COMPLETER, RESULT, 42);
    assert(cell_there);
    asi_exchange(link, COMPLETER, HEAD, DONE, acq_rel); /* C4 */
#if BUG == 1
    assert(cell_there);
#endif
    deliver_all(COMPLETER, link, next, owner, seen, ok)
}

/* Links are chained newest first; put back they come in the other order. */
inline sweep(me, chain, first, final, next, owner, seen, ok)
{
    asi_load(chain, me, HEAD, relaxed); /* C6 */
    ok = 0;
    do
    :: ok || chain == 0 || chain == DONE -> break
    :: else ->
        asi_cas_weak(ok, me, HEAD, chain, 0, acquire, relaxed) /* C6 */
    od;
    if
    :: !ok -> chain = 0
    :: else
    fi;
    ok = 0;
    do
    :: chain == 0 -> break
    :: else ->
        assert(link_there[chain]);
        next = memory[NEXT(chain)];
        asi_load(owner, me, OWNER(chain), acquire); /* C8 */
        if
        :: owner != 0 ->
            put(me, NEXT(chain), first);
            first = chain;
            final = (final -> final : chain)
        :: else -> atomic { assert(link_there[chain]); link_there[chain] = false }
        fi;
        chain = next
    od;
    owner = 0;
    next = 0;
    if
    :: first == 0 -> skip
    :: else ->
        asi_load(seen, me, HEAD, acquire); /* C7 */
        do
#if BUG != 3
        :: seen == DONE ->
            put(me, NEXT(final), 0);
            queues[me].used == 0; /* its own stores, which deliver_all() reads from memory */
            deliver_all(me, first, next, owner, seen, ok);
            break
#endif
        :: BUG == 3 || seen != DONE ->
            put(me, NEXT(final), (seen == DONE -> 0 : seen));
            asi_cas_weak(ok, me, HEAD, seen, first, release, acquire); /* C7 */
            if
            :: ok -> break
            :: else
            fi
        od
    fi;
    first = 0; final = 0; seen = 0; ok = 0
}

/* What this thread learned of allows to free the cell. */
inline knows_it_is_done(me)
{
    assert(memory[RESULT] == 42)
}

proctype waiter(byte me)
{
    byte link = me + 1, seen, ok, count, first, final, next, owner, chain;
    bool joined, done;

    waiter_there[link] = true;
    link_there[link] = true;
    asi_store(me, WORD(link), 0, relaxed); /* W6 */
    asi_load(seen, me, HEAD, acquire); /* C3 */
    put(me, OWNER(link), link);
    do
    :: seen == DONE -> break
    :: else ->
        put(me, NEXT(link), seen);
        assert(cell_there);
        asi_cas_weak(ok, me, HEAD, seen, link, release, acquire); /* C2, C3 */
        if
        :: ok -> joined = true; break
        :: else
        fi
    od;
    ok = 0;
    seen = 0;
    if
    :: !joined -> link_there[link] = false; done = true
    :: else ->
        do
        :: stays[link] = true; /* sleeps until the delivery */
            do
            :: seen = 0;
#if BUG == 5
                atomic {
                    queues[me].used == 0;
                    memory[WORD(link)] = memory[WORD(link)] | 1;
                    ok = 1
                };
#else
                asi_cas_strong(ok, me, WORD(link), seen, 1, acq_rel, acquire); /* W4 */
                ok = ok || seen == 1;
#endif
                if
                :: !ok -> break
                :: else ->
                    atomic {
                        if
                        :: memory[WORD(link)] % 2 -> sleeps[link] = true
                        :: else
                        fi
                    };
                    !sleeps[link];
                    asi_load(count, me, WORD(link), acquire); /* W3 */
                    if
                    :: count / 2 > 0 -> break
                    :: else
                    fi
                fi
            od;
            break
        :: givers < GIVE_UP -> /* sleeps, and is woken by something else */
            givers++;
            seen = 0;
            asi_cas_strong(ok, me, WORD(link), seen, 1, acq_rel, acquire); /* W4 */
            asi_and(count, me, WORD(link), 1, acquire); /* W5 */
            break
        :: givers < GIVE_UP -> givers++; break /* gives up at once */
        od;
        seen = 0; ok = 0;
        assert(cell_there);
#if BUG == 4
        asi_load(owner, me, OWNER(link), acquire);
        put(me, OWNER(link), 0);
#else
        asi_exchange(owner, me, OWNER(link), 0, release); /* C5 */
#endif
        if
        :: owner != 0 ->
            owner = 0;
            asi_add(me, LEFT, 1, relaxed); /* C9 */
            sweep(me, chain, first, final, next, owner, seen, ok)
        :: else -> /* there was a delivery, or there will be one */
            do
            :: asi_load(count, me, WORD(link), acquire); /* W3 */
                if
                :: count / 2 > 0 -> break
                :: else -> memory[WORD(link)] > 1
                fi
            od;
            atomic { assert(link_there[link]); link_there[link] = false };
            done = true
        fi
    fi;
    if
    :: done -> knows_it_is_done(me); has_result[link] = true
    :: else
    fi;
    queues[me].used == 0;
    waiter_there[link] = false;
    atomic {
        refs--;
        if
        :: refs == 0 && memory[HEAD] == DONE && done -> cell_there = false
        :: else
        fi;
        gone++
    }
}

init
{
    byte i;

    atomic {
        for (i : 0 .. WAITERS) {
            run empties(i)
        }
        for (i : 0 .. WAITERS - 1) {
            run waiter(i)
        }
        run completer()
    }
}

#ifdef LIVE
ltl who_waits_goes_on { [] (stays[1] -> <> has_result[1]) && <> (gone == WAITERS) }
#endif
