/* SPDX-License-Identifier: MIT */
/*
 * The mailbox, the park and the doorbell (lib/thread/mailbox.c, lib/thread/doorbell.c) in C11's
 * memory, with the orders of the sources.  PRODUCERS threads push a letter each; a loop takes them,
 * sleeps in between, once on the doorbell's word and once on its descriptor, and so on, and closes.
 *
 * What is looked for: letters whose content is not visible or is read while it is written (a race),
 * a loop that sleeps for ever (told as a livelock), letters that come twice or not at all, a life
 * of the loop that is not over for who opens the mailbox again.
 *
 * bug 1  the park is a look and a store      2  the ticket is taken after the park
 *     3  the push does not see PARKED        4  the target is changed after the park
 */
#include "steps.hpp"

#ifndef PRODUCERS
#define PRODUCERS 2
#endif

struct letter {
    VAR_T(letter *) next;
    VAR_T(int) content;
};

struct mailbox_model : rl::test_suite<mailbox_model, PRODUCERS + 1> {
    rl::atomic<letter *> newest;
    rl::atomic<unsigned> rings;
    rl::atomic<int> target;     /* -1: the word */
    rl::atomic<int> descriptor; /* what is in it; the system's */
    VAR_T(int) prepared;        /* by the loop, for who opens the mailbox again */
    letter letters[PRODUCERS];
    letter parked_mark, closed_mark;

    void before()
    {
        asi_store(&newest, (letter *)0, release);
        rings($) = 0;
        asi_store(&target, -1, relaxed); /* D2 */
        descriptor($) = 0;
        prepared($) = 0;
    }

    void ring()
    {
        int fd = asi_load(&target, relaxed); /* D1 */

        if (fd < 0)
            asi_add(&rings, 1, release); /* D3 */
        else
            descriptor.fetch_add(1, rl::mo_relaxed, $);
    }

    void push(letter *sent)
    {
        letter *seen = asi_load(&newest, relaxed); /* M2 */

        do {
            RL_ASSERT(seen != &closed_mark);
            sent->next($) = seen == &parked_mark ? 0 : seen;
            /* M1, M2 */
        } while (!asi_cas_weak(&newest, &seen, sent, acq_rel, relaxed));
        if (seen == &parked_mark && bug != 3)
            ring();
    }

    bool park()
    {
        letter *seen = 0;

        if (bug == 1) {
            if (newest.load(rl::mo_relaxed, $))
                return false;
            newest.store(&parked_mark, rl::mo_release, $);
            return true;
        }
        return asi_cas_strong(&newest, &seen, &parked_mark, release, relaxed); /* M6 */
    }

    void use(int fd)
    {
        asi_store(&target, fd, relaxed); /* D2 */
    }

    void sleep_until_work(int fd)
    {
        if (bug != 4)
            use(fd);
        unsigned ticket = asi_load(&rings, acquire); /* D4 */
        if (!park())
            return;
        if (bug == 2)
            ticket = rings.load(rl::mo_relaxed, $);
        if (bug == 4)
            use(fd);
        if (fd < 0) {
            while (rings.load(rl::mo_relaxed, $) == ticket)
                let_others_run();
        } else {
            while (descriptor.load(rl::mo_relaxed, $) == 0)
                let_others_run();
            descriptor.store(0, rl::mo_relaxed, $);
        }
    }

    void loop()
    {
        int got = 0, fd = -1;

        while (got < PRODUCERS) {
            letter *lifo = asi_exchange(&newest, (letter *)0, acquire); /* M4 */

            if (lifo == &parked_mark)
                lifo = 0;
            if (!lifo) {
                sleep_until_work(fd);
                fd = fd < 0 ? 5 : -1;
                continue;
            }
            for (letter *next; lifo; lifo = next) {
                next = lifo->next($);
                lifo->next($) = 0; /* turned round */
                RL_ASSERT(lifo->content($) == 1);
                lifo->content($) = 2;
                got++;
            }
        }
        prepared($) = 1;
        letter *seen = 0;
        RL_ASSERT(asi_cas_strong(&newest, &seen, &closed_mark, release, relaxed)); /* M7 */
    }

    void thread(unsigned index)
    {
        if (index == PRODUCERS) {
            loop();
            return;
        }
        letters[index].content($) = 1;
        push(&letters[index]);
    }

    void after()
    {
        for (int i = 0; i < PRODUCERS; i++)
            RL_ASSERT(letters[i].content($) == 2);
    }
};

int main(int count, char **words)
{
    return check_model<mailbox_model>(count, words);
}
