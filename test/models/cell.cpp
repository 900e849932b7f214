/* SPDX-License-Identifier: MIT */
/*
 * A future's cell and its waiters (lib/thread/cell.c, lib/thread/waiter.c) in C11's memory, with
 * the orders of the sources.  One thread completes; one waits for it, as a task does (a wake
 * function); one, a thread, gives up and sweeps what it left behind, unless it finds that all is
 * done.
 *
 * What is looked for: a result, a link or a waiter whose owner's writes are not visible; a cell, a
 * link or a waiter that is freed (a plain write) while somebody still uses it, or does so
 * afterwards; a waiter that sleeps for ever (told as a livelock).
 *
 * bug 1  the completer looks at the cell again    2  the completer looks at the waiter again
 *     3  hidden links are put back when all is done     4  who leaves looks and then writes
 *     5  the delivery does not take the mark of a sleeper away
 */
#include "steps.hpp"

#ifndef PRESENT
#define PRESENT 3 /* 1: who waits, 2: who gives up, 3: both */
#endif

enum { WAITERS = 2, ASLEEP = 1, ONE = 2 };

struct waiter {
    rl::atomic<unsigned> word;
    VAR_T(int) there;
    VAR_T(int) prepared;    /* for the wake function */
    rl::atomic<int> *woken; /* what it tells; NULL: a thread */
};

struct link_ {
    VAR_T(link_ *) next;
    rl::atomic<waiter *> owner;
    VAR_T(int) there;
};

struct cell_model : rl::test_suite<cell_model, WAITERS + 1> {
    rl::atomic<link_ *> head;
    rl::atomic<unsigned> left, sweep_at, claimed, refs;
    rl::atomic<int> woken;
    VAR_T(int) cell_there;
    VAR_T(int) result;
    waiter waiters[WAITERS];
    link_ links[WAITERS];
    link_ done_mark;
    link_ *done() { return &done_mark; }

    void before()
    {
        asi_store(&head, (link_ *)0, relaxed);
        asi_store(&left, 0u, relaxed);
        asi_store(&sweep_at, 0u, relaxed);
        asi_store(&claimed, 0u, relaxed);
        asi_store(&refs, PRESENT == 3 ? 2u : 1u, relaxed);
        woken($) = 0;
        cell_there($) = 1;
        result($) = 0;
    }

    /* --- waiter.c ----------------------------------------------------------------------------- */

    void deliver(waiter *to)
    {
        RL_ASSERT(to->there($) == 1);
        rl::atomic<int> *wakes = to->woken;
        unsigned seen = asi_load(&to->word, relaxed); /* W2 */

        if (bug == 5)
            while (!to->word.compare_exchange_weak(
                    seen, seen + ONE, rl::mo_acq_rel, $, rl::mo_relaxed, $))
                ;
        else
            /* W1, W2 */
            while (!asi_cas_weak(
                    &to->word, &seen, (seen + ONE) & ~(unsigned)ASLEEP, acq_rel, relaxed))
                ;
        if (bug == 2)
            RL_ASSERT(to->there($) == 1);
        if ((seen & ASLEEP) && wakes && bug != 5) {
            RL_ASSERT(to->there($) == 1);
            RL_ASSERT(to->prepared($) == 1);
            wakes->store(1, rl::mo_release, $);
        }
    }

    unsigned count(waiter *self)
    {
        return asi_load(&self->word, acquire) / ONE; /* W3 */
    }

    bool arm(waiter *self)
    {
        unsigned expected = 0;

        if (asi_cas_strong(&self->word, &expected, (unsigned)ASLEEP, acq_rel, acquire)) /* W4 */
            return true;
        return expected == ASLEEP;
    }

    bool disarm(waiter *self)
    {
        return asi_and(&self->word, ~(unsigned)ASLEEP, acquire) & ASLEEP; /* W5 */
    }

    /* --- cell.c ------------------------------------------------------------------------------- */

    void free_link(link_ *link)
    {
        RL_ASSERT(link->there($) == 1);
        link->there($) = 0;
    }

    void deliver_all(link_ *link)
    {
        while (link) {
            RL_ASSERT(link->there($) == 1);
            link_ *next = link->next($);
            waiter *owner = asi_exchange(&link->owner, (waiter *)0, acquire); /* C5 */
            if (owner)
                deliver(owner);
            else
                free_link(link);
            link = next;
        }
    }

    void complete()
    {
        result($) = 42;
        RL_ASSERT(asi_exchange(&claimed, 1u, relaxed) == 0); /* C10 */
        RL_ASSERT(cell_there($) == 1);
        link_ *link = asi_exchange(&head, done(), acq_rel); /* C4 */
        if (bug == 1)
            RL_ASSERT(cell_there($) == 1);
        deliver_all(link);
    }

    bool join(link_ *link, waiter *self)
    {
        link_ *seen = asi_load(&head, acquire); /* C3 */

        asi_store(&link->owner, self, relaxed);
        do {
            if (seen == done())
                return false;
            link->next($) = seen;
            /* C2, C3 */
        } while (!asi_cas_weak(&head, &seen, link, release, acquire));
        return true;
    }

    void put_back(link_ *first, link_ *last)
    {
        link_ *seen = asi_load(&head, acquire); /* C7 */

        do {
            if (seen == done() && bug != 3) {
                last->next($) = 0;
                deliver_all(first);
                return;
            }
            last->next($) = seen == done() ? 0 : seen;
            /* C7 */
        } while (!asi_cas_weak(&head, &seen, first, release, acquire));
    }

    void sweep()
    {
        link_ *chain = asi_load(&head, relaxed); /* C6 decides */
        link_ *first = 0, *last = 0;
        unsigned live = 0;

        do {
            if (!chain || chain == done())
                return;
            /* C6; relaxed on failure: only compared */
        } while (!asi_cas_weak(&head, &chain, (link_ *)0, acquire, relaxed));
        asi_store(&left, 0u, relaxed); /* C9 */
        while (chain) {
            RL_ASSERT(chain->there($) == 1);
            link_ *next = chain->next($);
            if (asi_load(&chain->owner, acquire)) { /* C8 */
                chain->next($) = first;
                first = chain;
                last = last ? last : chain;
                live++;
            } else {
                free_link(chain);
            }
            chain = next;
        }
        asi_store(&sweep_at, live, relaxed); /* C9 */
        if (first)
            put_back(first, last);
    }

    bool leave(link_ *link)
    {
        if (bug == 4) {
            if (!link->owner.load(rl::mo_acquire, $))
                return false;
            link->owner.store(0, rl::mo_release, $);
        } else if (!asi_exchange(&link->owner, (waiter *)0, release)) { /* C5 */
            return false;
        }
        unsigned now = asi_add(&left, 1u, relaxed) + 1; /* C9 */
        if (now >= asi_load(&sweep_at, relaxed)) /* C9 */
            sweep();
        return true;
    }

    /* --- who uses them ------------------------------------------------------------------------ */

    /* Returns whether there was a delivery. */
    bool wait_as_a_task(waiter *self)
    {
        while (count(self) == 0) {
            self->prepared($) = 1;
            if (!arm(self))
                break;
            while (woken.load(rl::mo_acquire, $) == 0)
                let_others_run();
            self->prepared($) = 0;
        }
        return true;
    }

    bool give_up(waiter *self)
    {
        if (count(self) > 0)
            return true;
        return !arm(self) || !disarm(self);
    }

    void wait(unsigned index)
    {
        waiter *self = &waiters[index];
        link_ *link = &links[index];
        bool knows = true;

        self->there($) = 1;
        self->prepared($) = 0;
        self->woken = index == 0 ? &woken : 0;
        link->there($) = 1;
        asi_store(&self->word, 0u, relaxed); /* W6 */
        if (join(link, self)) {
            knows = index == 0 ? wait_as_a_task(self) : give_up(self);
            if (leave(link)) {
                RL_ASSERT(!knows);
            } else {
                while (!knows && count(self) == 0)
                    let_others_run();
                knows = true;
                free_link(link);
            }
        } else {
            free_link(link);
        }
        if (knows)
            RL_ASSERT(result($) == 42);
        self->there($) = 0;
        if (asi_load(&head, acquire) == done()) /* C1 */
            RL_ASSERT(result($) == 42);
        /* The task that waits holds on until it knows; so the last one may free the cell.  Where
         * there is no such task the completer may still be to come. */
        if (PRESENT == 2 && !knows)
            return;
        if (asi_sub(&refs, 1u, acq_rel) == 1) /* R3 */
            cell_there($) = 0;
    }

    void thread(unsigned index)
    {
        if (index == WAITERS)
            complete();
        else if (PRESENT & 1 << index)
            wait(index);
    }
};

int main(int count, char **words)
{
    return check_model<cell_model>(count, words);
}
