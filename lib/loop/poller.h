/* SPDX-License-Identifier: MIT */
/*
 * Poller: where a loop sleeps, and what it learns of descriptors.
 *
 * The interface between the scheduler and the system; libevent is behind it and nowhere else.  A
 * base is made only when somebody watches a descriptor or asks for the base: until then the loop
 * sleeps on its doorbell's word, at the cost of a futex.  Loop thread only, except where said.
 */
#ifndef ASI_LOOP_POLLER_H
#define ASI_LOOP_POLLER_H

#include "loop/watches.h"
#include "thread/doorbell.h"
#include "thread/flag.h"

#include <anysync/base.h>

#include <stdbool.h>
#include <stdint.h>

struct event;
struct event_base;

struct asi_poller {
    struct asi_doorbell *bell;
    struct event_base *base; /* NULL until needed */
    struct event *bell_event;
    struct event *clock_event; /* wakes the poll for the next timer */
    int clock_fd;
    bool level;  /* bell and clock are read when they are ready: there is no edge triggering */
    bool shared; /* a user has the base */
    anysync_time clock_armed; /* when clock_event fires; ANYSYNC_FOREVER: not armed */
    struct asi_watches watches;
    struct asi_counter polls;  /* times libevent was asked */
    struct asi_counter sleeps; /* times the loop slept */
};

/* BELL is borrowed for the life of the poller. */
void asi_poller_init(struct asi_poller *poller, struct asi_doorbell *bell);

/* Close the base, if there is one.  Nothing is watched any more. */
void asi_poller_fini(struct asi_poller *poller);

/* Make the base, if there is none.  Returns 0, -EMFILE, -ENFILE or -ENOMEM. */
int asi_poller_open(struct asi_poller *poller);

/* Look, without waiting, whether there is anything new.  Costs nothing if nothing is watched.
 * Returns how many watched descriptors were found ready. */
unsigned asi_poller_poll(struct asi_poller *poller);

/* Whether somebody watches anything, so that a poll could find something. */
bool asi_poller_watches(struct asi_poller *poller);

/* Sleep until a ring after TICKET, a ready descriptor, DEADLINE, or no reason at all.  The mailbox
 * is parked.  Returns as asi_poller_poll(). */
unsigned asi_poller_sleep(struct asi_poller *poller, uint32_t ticket, anysync_time deadline);

/* The base, which is open, is given to a user: nothing is kept in it from now on. */
void asi_poller_share(struct asi_poller *poller);

/* asi_watches_add(), and open the base first.  Returns 0, or the error. */
int asi_poller_watch(struct asi_poller *poller, struct asi_watch *watch, int fd, unsigned events,
        const void *owner, asi_watch_fn *fire, void *context);

/* In a forked child: forget the base without a word to the system, which shares it with the
 * parent. */
void asi_poller_in_child(struct asi_poller *poller);

#endif
