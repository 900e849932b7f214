/* SPDX-License-Identifier: MIT */
/*
 * The mailbox, the park, and a doorbell with a word (lib/thread/mailbox.c, lib/thread/doorbell.c,
 * sleep_until_work() in lib/sched/scheduler.c): PRODUCERS threads push LETTERS letters each, one
 * loop takes them and sleeps in between; when all are there it closes.
 *
 * Asserted: a letter's content is there when it is taken; each is taken once, those of one producer
 * in their order; no end but the one where all have been taken (a lost wake-up is a deadlock).
 * Claimed (ltl): every letter that is pushed is taken, if each thread goes on.
 *
 * BUG=1  the park looks and then writes, in two steps           a letter is lost
 *     2  a flag "asleep" beside the mailbox, and no fence        a wake-up is lost
 *     3  the ticket is taken after the park                      a wake-up is lost
 *     4  the ring wakes, and does not change the word            a wake-up is lost
 *     5  the push stores, where it compares and swaps            a letter is lost
 */
#ifndef BUG
#define BUG 0
#endif
#define ALL (PRODUCERS * LETTERS)
#define LOOP PRODUCERS
#define THREADS (PRODUCERS + 1)
#define DEPTH 3

#define NEWEST 0
#define RINGS 1
#define ASLEEP 2
#define CONTENT(letter) (2 + (letter))
#define NEXT(letter) (2 + ALL + (letter))
#define WORDS (3 + 2 * ALL)
#define PARKED 100
#define CLOSED 101

#include "tso.pml"

bool sleeps; /* the loop, in the system */
byte taken;
byte last[PRODUCERS]; /* of each producer: its letter that was taken last */
bool pushed[ALL + 1], came[ALL + 1];

inline ring(me)
{
#if BUG != 4
    asi_add(me, RINGS, 1, release); /* D3 */
#endif
    sleeps = false
}

proctype producer(byte me)
{
    byte letter = me * LETTERS + 1, seen, ok;

    do
    :: letter > (me + 1) * LETTERS -> break
    :: else ->
        put(me, CONTENT(letter), letter);
        asi_load(seen, me, NEWEST, relaxed); /* M2 */
        do
        :: assert(seen != CLOSED);
            put(me, NEXT(letter), (seen == PARKED -> 0 : seen));
#if BUG == 5
            put(me, NEWEST, letter);
            ok = 1;
#else
            asi_cas_weak(ok, me, NEWEST, seen, letter, acq_rel, relaxed); /* M1, M2 */
#endif
            if
            :: ok -> break
            :: else
            fi
        od;
        pushed[letter] = true;
#if BUG == 2
        asi_load(ok, me, ASLEEP, relaxed);
        if
        :: ok -> ring(me)
        :: else
        fi;
#else
        if
        :: seen == PARKED -> ring(me)
        :: else
        fi;
#endif
        letter++
    od
}

proctype consumer()
{
    byte lifo, next, ticket, expected, ok, content, i, chain[ALL + 1];

    do
    :: taken == ALL -> break
    :: else ->
        asi_exchange(lifo, LOOP, NEWEST, 0, acquire); /* M4 */
        if
        :: lifo == PARKED -> lifo = 0
        :: else
        fi;
        ok = lifo;
        i = 0;
        d_step { /* nobody else has the chain: turn it round */
            do
            :: lifo != 0 -> chain[i] = lifo; i++; lifo = memory[NEXT(lifo)]
            :: else -> break
            od
        };
        do
        :: i == 0 -> break
        :: else ->
            d_step {
                i--;
                next = chain[i];
                chain[i] = 0;
                content = memory[CONTENT(next)];
                assert(content == next);
                assert(!came[next]);
                assert(last[(next - 1) / LETTERS] < next);
                last[(next - 1) / LETTERS] = next;
                came[next] = true;
                taken++;
                next = 0;
                content = 0
            }
        od;
        if
        :: ok -> skip
        :: else ->
#if BUG != 3
            asi_load(ticket, LOOP, RINGS, acquire); /* D4 */
#endif
            expected = 0;
#if BUG == 1
            asi_load(expected, LOOP, NEWEST, relaxed);
            ok = (expected == 0);
            if
            :: ok -> put(LOOP, NEWEST, PARKED)
            :: else
            fi;
#elif BUG == 2
            put(LOOP, ASLEEP, 1);
#ifdef FENCE
            queues[LOOP].used == 0; /* with it the flag would do: what is found is the fence */
#endif
            asi_load(expected, LOOP, NEWEST, relaxed);
            ok = (expected == 0);
#else
            asi_cas_strong(ok, LOOP, NEWEST, expected, PARKED, release, relaxed); /* M6 */
#endif
#if BUG == 3
            asi_load(ticket, LOOP, RINGS, acquire);
#endif
            if
            :: ok ->
                atomic { /* the system compares and sleeps in one step */
                    if
                    :: memory[RINGS] == ticket -> sleeps = true
                    :: else
                    fi
                };
                !sleeps
            :: else
            fi;
#if BUG == 2
            put(LOOP, ASLEEP, 0);
#endif
            ok = 0;
            ticket = 0;
            expected = 0
        fi
    od;
    expected = 0;
    asi_cas_strong(ok, LOOP, NEWEST, expected, CLOSED, release, relaxed); /* M7 */
    assert(ok)
}

init
{
    byte i;

    atomic {
        for (i : 0 .. PRODUCERS) {
            run empties(i)
        }
        for (i : 0 .. PRODUCERS - 1) {
            run producer(i)
        }
        run consumer()
    }
}

#ifdef LIVE
ltl each_letter_is_taken { [] (pushed[1] -> <> came[1]) && <> (taken == ALL) }
#endif
