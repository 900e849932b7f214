/* SPDX-License-Identifier: MIT */
/*
 * Watches: who waits for which descriptor of one loop, and what libevent is told of it.
 *
 * A descriptor is registered with libevent when somebody begins to wait for it.  As a rule whoever
 * waited waits again soon, so the registration is kept for a while after the wait: a wait that
 * finds it costs no system call.  (How, and what is done about descriptors that are closed
 * meanwhile: watches.c.)  Loop thread only.
 */
#ifndef ASI_LOOP_WATCHES_H
#define ASI_LOOP_WATCHES_H

#include "base/list.h"

#include <anysync/base.h>

#include <stdbool.h>
#include <stddef.h>

struct asi_registration;
struct event_base;

/* Called once, from a poll, when the descriptor is ready: READY as in ANYSYNC_READABLE, _WRITABLE.
 */
typedef void asi_watch_fn(void *context, unsigned ready);

struct asi_watch {
    struct asi_list node;
    struct asi_registration *registration; /* NULL: not watching */
    unsigned events;
    asi_watch_fn *fire;
    void *context;
};

struct asi_watches {
    struct event_base *base;         /* borrowed; NULL: closed */
    struct asi_registration **by_fd; /* owned; NULL where there is none */
    size_t size;                     /* of by_fd */
    struct asi_list doubtful;        /* registrations that were kept, oldest first */
    unsigned doubtful_count;
    unsigned waiting; /* watches that wait */
    bool keeps;       /* edge-triggered, and kept after the wait */
    bool careful;     /* a kept one was found to be void: trust none any more */
    unsigned fired;   /* registrations, in this poll; its time is `now` */
    anysync_time now;
};

void asi_watches_init(struct asi_watches *watches);

/* Use BASE (borrowed until close).  KEEPS: it knows edges, and nobody else registers with it. */
void asi_watches_open(struct asi_watches *watches, struct event_base *base, bool keeps);

/* Forget all; nobody waits any more, or will ever be told.  Any number of times. */
void asi_watches_close(struct asi_watches *watches);

/* In a forked child: forget all without a word to libevent. */
void asi_watches_in_child(struct asi_watches *watches);

/* Others register with the base from now on: keep nothing, and use levels, as they do. */
void asi_watches_share(struct asi_watches *watches);

/*
 * Call FIRE(CONTEXT, ready) once, when FD is ready for EVENTS, for which it is not ready now.
 * OWNER, only compared, is who watches: a registration that was kept is trusted if it was this
 * one's.  Returns 0, or the error.
 */
int asi_watches_add(struct asi_watches *watches, struct asi_watch *watch, int fd, unsigned events,
        const void *owner, asi_watch_fn *fire, void *context);

/* No longer; also after it fired. */
void asi_watches_remove(struct asi_watch *watch);

/* Before a poll: register anew what has been in doubt too long, or drop it; and the last few, if
 * the loop SLEEPS.  Returns when that is due again, ANYSYNC_FOREVER if it is not. */
anysync_time asi_watches_prove(struct asi_watches *watches, bool sleeps);

/* Whether FD had nothing to read after OWNER's last read, and no news since: a trial would fail. */
bool asi_watches_knows_empty(const struct asi_watches *watches, int fd, const void *owner);

/* A read of FD by OWNER had room for more than there was. */
void asi_watches_note_short(struct asi_watches *watches, int fd, const void *owner);

/* FD is a new descriptor, or is about to be closed: forget what was kept of it. */
void asi_watches_forget(struct asi_watches *watches, int fd);

#endif
