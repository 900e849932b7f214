/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* SO_PROTOCOL */
/*
 * Watches.  (What they are: watches.h.)
 *
 * KEPT  Taking a descriptor out of the system's set after each wait and putting it in again costs
 *   two system calls, more than a small read.  So a registration outlives the wait.  It is
 *   edge-triggered: what comes while nobody waits costs one wake at most, and a wait misses nothing
 *   because whoever waits has seen that there is nothing after the edges that were delivered; the
 *   next edge is delivered by a later poll, on this thread.
 *
 * DOUBT  Descriptors are their owners', who may close one at any time that nobody waits for it.
 *   The system then forgets it, and its number may be another's: what was kept is void, and nobody
 *   says so.  So from the end of a wait a registration is in doubt, until it fires, which proves
 *   it, or is made anew:
 *     - at once, if another task waits than the last time;
 *     - before the loop sleeps, if few are in doubt.  A sleep costs much more than that;
 *     - after KEEP_NS, if many are, or if the loop does not sleep.
 *   If nobody waits for it then, it is dropped.  So no wait relies on a void registration longer
 *   than KEEP_NS, and a loop on which that has happened once trusts none any more.  What is closed
 *   while a copy (dup, fork) lives stays in the system's set: it gives an edge now and then, for
 *   nothing, which a level would not leave at that.
 *
 * SHORT READS  A read from a TCP stream that had room for more has emptied it: the next read may
 *   wait without a trial.  Not so when the peer has hung up, which is no edge any more; libevent
 *   tells (EV_CLOSED).  What it does not tell (a reset right behind data) is found as above.
 *
 * SHARED  libevent refuses edges and levels for one descriptor, and does not notice that a number
 *   has changed its owner behind a registration.  So as soon as a user has the base nothing is
 *   kept: registrations are level-triggered, and go when the last who waits goes.
 */
#include "loop/watches.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum {
    READABLE = 1, /* ANYSYNC_READABLE, ANYSYNC_WRITABLE */
    WRITABLE = 2,
    FEW = 8,                     /* registered anew for a sleep without much thought */
    KEEP_NS = 10 * ASI_NS_PER_MS /* longest doubt */
};

enum stream { STREAM_UNKNOWN, STREAM_NOT, STREAM_TCP };

struct asi_registration {
    struct asi_list doubt;   /* among the doubtful; in none: proven */
    struct asi_list waiting; /* watches */
    struct asi_watches *watches;
    struct event *event; /* in the same memory */
    const void *owner;   /* of the last watch */
    anysync_time since;  /* of doubt */
    int fd;
    unsigned events; /* told to libevent */
    bool empty;      /* nothing to read when it was tried, and no news since */
    bool hung_up;
    enum stream stream;
};

/* A thread sanitizer's, if the program has one. */
void AnnotateIgnoreReadsBegin(const char *file, int line) __attribute__((weak));
void AnnotateIgnoreReadsEnd(const char *file, int line) __attribute__((weak));

static int enlist(struct asi_registration *registration);
static void on_event(evutil_socket_t fd, short what, void *argument);

/* --- life ------------------------------------------------------------------------------------- */

void asi_watches_init(struct asi_watches *watches)
{
    *watches = (struct asi_watches){0};
    asi_list_init(&watches->doubtful);
}

void asi_watches_open(struct asi_watches *watches, struct event_base *base, bool keeps)
{
    watches->base = base;
    watches->keeps = keeps;
    watches->careful = false;
}

static struct asi_registration *find(const struct asi_watches *watches, int fd)
{
    return (size_t)fd < watches->size ? watches->by_fd[fd] : NULL;
}

static bool in_doubt(const struct asi_registration *registration)
{
    return !asi_list_is_empty(&registration->doubt);
}

static void doubt(struct asi_registration *registration)
{
    struct asi_watches *watches = registration->watches;

    registration->since = watches->now;
    asi_list_add(&watches->doubtful, &registration->doubt);
    watches->doubtful_count++;
}

static void trust(struct asi_registration *registration)
{
    if (!in_doubt(registration))
        return;
    asi_list_remove(&registration->doubt);
    registration->watches->doubtful_count--;
}

/* Room for FD in the table. */
static bool make_room(struct asi_watches *watches, int fd)
{
    size_t size = watches->size ? watches->size : 64;

    if ((size_t)fd < watches->size)
        return true;
    while (size <= (size_t)fd)
        size *= 2;
    struct asi_registration **by_fd = asi_allocate_zero(size * sizeof(*by_fd));
    if (!by_fd)
        return false;
    if (watches->size > 0)
        memcpy(by_fd, watches->by_fd, watches->size * sizeof(*by_fd));
    asi_free(watches->by_fd);
    watches->by_fd = by_fd;
    watches->size = size;
    return true;
}

static struct asi_registration *make(struct asi_watches *watches, int fd)
{
    struct asi_registration *registration;

    if (!make_room(watches, fd))
        return NULL;
    registration = asi_allocate_zero(sizeof(*registration) + event_get_struct_event_size());
    if (!registration)
        return NULL;
    asi_list_init(&registration->doubt);
    asi_list_init(&registration->waiting);
    registration->watches = watches;
    registration->event = (struct event *)(void *)(registration + 1);
    registration->fd = fd;
    watches->by_fd[fd] = registration;
    return registration;
}

/* Forget REGISTRATION, which libevent does not know any more. */
static void discard(struct asi_registration *registration)
{
    trust(registration);
    registration->watches->by_fd[registration->fd] = NULL;
    asi_free(registration);
}

/* Nobody waits for it: its number may be that of another thread's descriptor by now.  libevent asks
 * the system to forget what the set never had, which does no harm; but it must not look like a
 * use of what is that thread's. */
static void drop(struct asi_registration *registration)
{
    if (AnnotateIgnoreReadsBegin)
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    event_del(registration->event);
    if (AnnotateIgnoreReadsEnd)
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    discard(registration);
}

static void forget_table(struct asi_watches *watches)
{
    asi_free(watches->by_fd);
    asi_watches_init(watches);
}

void asi_watches_close(struct asi_watches *watches)
{
    for (size_t fd = 0; fd < watches->size; fd++) {
        if (watches->by_fd[fd])
            drop(watches->by_fd[fd]); /* watches that are left are of stacks that were abandoned */
    }
    forget_table(watches);
}

void asi_watches_in_child(struct asi_watches *watches)
{
    /* Registrations stay: the parent's base, which is kept too, points to them. */
    forget_table(watches);
}

/* --- who waits -------------------------------------------------------------------------------- */

/* WATCH waits no longer. */
static void leave(struct asi_watch *watch)
{
    watch->registration->watches->waiting--;
    watch->registration = NULL;
    asi_list_remove(&watch->node);
}

/* Tell those who wait for READY. */
static void fire(struct asi_registration *registration, unsigned ready)
{
    struct asi_list *node = registration->waiting.next;

    while (node != &registration->waiting) {
        struct asi_watch *watch = asi_container_of(node, struct asi_watch, node);
        node = node->next;
        if (watch->events & ready) {
            leave(watch);
            watch->fire(watch->context, watch->events & ready);
        }
    }
}

/* What they wait for, all in all. */
static unsigned wanted(const struct asi_registration *registration)
{
    unsigned events = 0;

    for (struct asi_list *node = registration->waiting.next; node != &registration->waiting;
            node = node->next)
        events |= asi_container_of(node, struct asi_watch, node)->events;
    return events;
}

/* Register it, for the events it has.  Returns 0, or the error. */
static int enlist(struct asi_registration *registration)
{
    const struct asi_watches *watches = registration->watches;
    int kind = EV_PERSIST | (watches->keeps ? EV_ET : 0);

    if (registration->events & READABLE)
        kind |= EV_READ | (watches->keeps ? EV_CLOSED : 0);
    if (registration->events & WRITABLE)
        kind |= EV_WRITE;
    registration->hung_up = false;
    registration->stream = STREAM_UNKNOWN;
    errno = 0;
    if (event_assign(registration->event, watches->base, registration->fd, (short)kind, on_event,
                registration) == 0 &&
            event_add(registration->event, NULL) == 0)
        return 0;
    return errno ? -errno : -ENOMEM;
}

/* Register it anew, for EVENTS.  After an error it is gone, and those who waited look themselves.
 */
static int renew(struct asi_registration *registration, unsigned events)
{
    errno = 0;
    event_del(registration->event);
    /* The system did not know it, and somebody relied on it. */
    if ((errno == ENOENT || errno == EBADF) && !asi_list_is_empty(&registration->waiting))
        registration->watches->careful = true;
    trust(registration);
    registration->events = events;
    int error = enlist(registration);
    if (error) {
        fire(registration, READABLE | WRITABLE);
        discard(registration);
    }
    return error;
}

/* Somebody has left it. */
static void settle(struct asi_registration *registration)
{
    unsigned events;

    if (registration->watches->keeps) {
        if (asi_list_is_empty(&registration->waiting) && !in_doubt(registration))
            doubt(registration);
        return;
    }
    events = wanted(registration);
    if (events == 0)
        drop(registration);
    else if (events != registration->events)
        (void)renew(registration, events); /* its failure is told to those who wait */
}

static void on_event(evutil_socket_t fd, short what, void *argument)
{
    struct asi_registration *registration = argument;
    struct asi_watches *watches = registration->watches;
    unsigned ready = (what & (EV_READ | EV_CLOSED) ? READABLE : 0u) | //
                     (what & EV_WRITE ? WRITABLE : 0u);

    (void)fd;
    if (watches->fired++ == 0)
        watches->now = watches->keeps ? anysync_now() : 0;
    if (what & EV_CLOSED)
        registration->hung_up = true;
    if (ready & READABLE)
        registration->empty = false;
    trust(registration);
    fire(registration, ready);
    settle(registration);
}

static bool fits(const struct asi_registration *registration, unsigned events, const void *owner)
{
    if (events & ~registration->events)
        return false;
    return !in_doubt(registration) ||
           (registration->owner == owner && !registration->watches->careful);
}

int asi_watches_add(struct asi_watches *watches, struct asi_watch *watch, int fd, unsigned events,
        const void *owner, asi_watch_fn *fire_it, void *context)
{
    ASI_ASSERT(fd >= 0, "a descriptor is watched that is none");
    struct asi_registration *registration = find(watches, fd);
    int error = 0;

    watch->registration = NULL;
    if (!registration) {
        registration = make(watches, fd);
        if (!registration)
            return -ENOMEM;
        registration->events = events;
        error = enlist(registration);
        if (error)
            discard(registration);
    } else if (ASI_UNLIKELY(!fits(registration, events, owner))) {
        error = renew(registration, registration->events | events);
    }
    if (error)
        return error;
    watch->registration = registration;
    watch->events = events;
    watch->fire = fire_it;
    watch->context = context;
    asi_list_add(&registration->waiting, &watch->node);
    watches->waiting++;
    registration->owner = owner;
    if (events & READABLE)
        registration->empty = true;
    return 0;
}

void asi_watches_remove(struct asi_watch *watch)
{
    struct asi_registration *registration = watch->registration;

    if (!registration)
        return;
    leave(watch);
    settle(registration);
}

/* --- what was kept ---------------------------------------------------------------------------- */

static void prove(struct asi_registration *registration)
{
    unsigned events = wanted(registration);

    if (events == 0)
        drop(registration);
    else
        (void)renew(registration, events); /* its failure is told to those who wait */
}

anysync_time asi_watches_prove(struct asi_watches *watches, bool sleeps)
{
    if (asi_list_is_empty(&watches->doubtful))
        return ANYSYNC_FOREVER;
    anysync_time now = anysync_now();
    while (!asi_list_is_empty(&watches->doubtful)) {
        struct asi_registration *oldest =
                asi_container_of(watches->doubtful.next, struct asi_registration, doubt);
        anysync_time due = oldest->since + KEEP_NS;
        if (now < due && !(sleeps && watches->doubtful_count <= FEW))
            return due;
        prove(oldest);
    }
    return ANYSYNC_FOREVER;
}

void asi_watches_share(struct asi_watches *watches)
{
    if (!watches->keeps)
        return;
    watches->keeps = false;
    for (size_t fd = 0; fd < watches->size; fd++) {
        if (watches->by_fd[fd])
            prove(watches->by_fd[fd]);
    }
}

bool asi_watches_knows_empty(const struct asi_watches *watches, int fd, const void *owner)
{
    const struct asi_registration *registration = find(watches, fd);

    return registration && registration->empty && registration->owner == owner && watches->keeps &&
           !watches->careful;
}

/* A stream whose short reads say that it is empty. */
static bool is_tcp(struct asi_registration *registration)
{
#if defined(SO_PROTOCOL)
    if (registration->stream == STREAM_UNKNOWN) {
        int protocol = 0;
        socklen_t size = sizeof(protocol);
        bool tcp = getsockopt(registration->fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
                   protocol == IPPROTO_TCP;
        registration->stream = tcp ? STREAM_TCP : STREAM_NOT;
    }
#endif
    return registration->stream == STREAM_TCP;
}

void asi_watches_note_short(struct asi_watches *watches, int fd, const void *owner)
{
    struct asi_registration *registration = find(watches, fd);

    if (registration && registration->owner == owner && watches->keeps && !registration->hung_up &&
            is_tcp(registration))
        registration->empty = true;
}

void asi_watches_forget(struct asi_watches *watches, int fd)
{
    struct asi_registration *registration = find(watches, fd);

    if (registration)
        prove(registration);
}
