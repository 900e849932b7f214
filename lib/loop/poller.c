/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* timerfd, eventfd */
/*
 * Poller over libevent.
 *
 * LIBEVENT'S EDGES, each learned by somebody the hard way:
 *   - evthread_use_pthreads() comes once and before any base, or a wake from another thread is
 *     lost;
 *   - making a base ends the process when descriptors run out in the middle (it needs four): so a
 *     handful is opened and closed first, and -EMFILE returned if that fails.  If others take them
 *     in between, libevent says that it will end the process, and is left by a jump.  What it had
 *     so far of the base, a descriptor and some memory, stays behind: better than no process;
 *   - a timeout and a readiness that come in one turn lose the readiness if one event has both:
 *     deadlines are our own timers, events have none;
 *   - its clock is the coarse one: our wake-up for the next timer is a timerfd, set only when it
 *     changes;
 *   - after fork() the base shares the parent's epoll set: it is forgotten, never freed, never
 *     touched.
 *
 * The bell's eventfd is watched edge-triggered and never read: one system call less for each wake.
 */
#include "loop/poller.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "thread/once.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stddef.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/timerfd.h>
#endif

enum {
    HEADROOM = 8,  /* descriptors a base and its company may need */
    OWN_EVENTS = 2 /* bell and clock */
};

static struct asi_once once = ASI_ONCE_INIT;

static _Thread_local jmp_buf *way_out; /* while this thread makes a base */

/* libevent ends the process when this returns. */
static void on_fatal(int error)
{
    (void)error;
    if (way_out)
        longjmp(*way_out, 1);
    asi_stop(__FILE__, __LINE__, "libevent cannot go on (its message is above)");
}

static void prepare(void)
{
    int error = evthread_use_pthreads();

    ASI_ASSERT(error == 0, "libevent was built without pthreads");
    event_set_fatal_callback(on_fatal);
}

void asi_poller_init(struct asi_poller *poller, struct asi_doorbell *bell)
{
    *poller = (struct asi_poller){.bell = bell, .clock_fd = -1, .clock_armed = ANYSYNC_FOREVER};
    asi_watches_init(&poller->watches);
}

static void on_bell(evutil_socket_t fd, short what, void *argument)
{
    struct asi_poller *poller = argument;

    (void)fd;
    (void)what;
    if (poller->level)
        asi_doorbell_drain(poller->bell);
}

static void on_clock(evutil_socket_t fd, short what, void *argument)
{
    struct asi_poller *poller = argument;

    (void)what;
    if (poller->level && fd >= 0) {
        uint64_t times;
        (void)!read(fd, &times, sizeof(times));
    }
    poller->clock_armed = ANYSYNC_FOREVER;
}

/* Whether a base can be made without libevent giving up half-way. */
static int check_headroom(void)
{
    int fds[HEADROOM], count = 0, error = 0;

    while (count < HEADROOM) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            error = errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
            break; /* no /dev/null at all: then we cannot tell */
        }
        fds[count++] = fd;
    }
    while (count > 0)
        close(fds[--count]);
    return error;
}

/* A base; NULL and errno where there is none to be had. */
static struct event_base *make_base(void)
{
    jmp_buf out;

    if (setjmp(out) != 0) { /* from libevent's frames, which hold no lock then */
        way_out = NULL;
        errno = EMFILE;
        return NULL;
    }
    way_out = &out;
    errno = 0;
    struct event_base *base = event_base_new();
    way_out = NULL;
    return base;
}

static void close_base(struct asi_poller *poller)
{
    asi_doorbell_use_word(poller->bell);
    asi_watches_close(&poller->watches);
    if (poller->bell_event)
        event_free(poller->bell_event);
    if (poller->clock_event)
        event_free(poller->clock_event);
    if (poller->clock_fd >= 0)
        close(poller->clock_fd);
    if (poller->base)
        event_base_free(poller->base);
    poller->base = NULL;
    poller->bell_event = NULL;
    poller->clock_event = NULL;
    poller->clock_fd = -1;
    poller->clock_armed = ANYSYNC_FOREVER;
    poller->shared = false;
}

void asi_poller_fini(struct asi_poller *poller)
{
    if (poller->base)
        close_base(poller);
}

/* The event that wakes the poll for the next timer. */
static int open_clock(struct asi_poller *poller)
{
    short kind = (short)(EV_READ | EV_PERSIST | (poller->level ? 0 : EV_ET));

#if defined(__linux__)
    poller->clock_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (poller->clock_fd < 0)
        return -errno;
#else
    kind = 0; /* a plain libevent timer */
#endif
    poller->clock_event = event_new(poller->base, poller->clock_fd, kind, on_clock, poller);
    if (!poller->clock_event || (kind && event_add(poller->clock_event, NULL) != 0))
        return -ENOMEM;
    return 0;
}

int asi_poller_open(struct asi_poller *poller)
{
    if (poller->base)
        return 0;
    asi_once_run(&once, prepare);
    int error = asi_fault("base") ? -EMFILE : check_headroom();
    if (error)
        return error;
    int fd = asi_doorbell_use_descriptor(poller->bell);
    if (fd < 0)
        return fd;
    poller->base = make_base();
    error = errno == EMFILE || errno == ENFILE ? -errno : -ENOMEM;
    if (!poller->base)
        goto fail;
    error = -ENOMEM;
    /* A user may have told libevent to do without epoll (EVENT_NOEPOLL). */
    poller->level = asi_doorbell_is_level(poller->bell) ||
                    !(event_base_get_features(poller->base) & EV_FEATURE_ET);
    short kind = (short)(EV_READ | EV_PERSIST | (poller->level ? 0 : EV_ET));
    poller->bell_event = event_new(poller->base, fd, kind, on_bell, poller);
    if (!poller->bell_event || event_add(poller->bell_event, NULL) != 0)
        goto fail;
    error = open_clock(poller);
    if (error)
        goto fail;
    asi_watches_open(&poller->watches, poller->base,
            !poller->level && event_base_get_features(poller->base) & EV_FEATURE_EARLY_CLOSE);
    return 0;

fail:
    close_base(poller);
    return error;
}

void asi_poller_share(struct asi_poller *poller)
{
    poller->shared = true;
    asi_watches_share(&poller->watches);
}

bool asi_poller_watches(struct asi_poller *poller)
{
    if (!poller->shared)
        return poller->watches.waiting > 0;
    return event_base_get_num_events(poller->base,
                   EVENT_BASE_COUNT_ADDED | EVENT_BASE_COUNT_ACTIVE | EVENT_BASE_COUNT_VIRTUAL) >
           OWN_EVENTS;
}

/* Ask libevent.  HOW besides ONCE: else it goes on for as long as an event is ready each time. */
static unsigned ask(struct asi_poller *poller, int how)
{
    asi_counter_add(&poller->polls, 1);
    poller->watches.fired = 0;
    event_base_loop(poller->base, EVLOOP_ONCE | how);
    return poller->watches.fired;
}

unsigned asi_poller_poll(struct asi_poller *poller)
{
    if (!asi_poller_watches(poller))
        return 0;
    (void)asi_watches_prove(&poller->watches, false);
    return ask(poller, EVLOOP_NONBLOCK);
}

/* Have the poll end at DEADLINE.  An earlier alarm that is still set stays: it costs one turn. */
static void set_clock(struct asi_poller *poller, anysync_time deadline)
{
    if (deadline >= poller->clock_armed)
        return;
    poller->clock_armed = deadline;
#if defined(__linux__)
    /* An absolute time of zero would switch the alarm off. */
    struct itimerspec alarm = {.it_value = asi_clock_timespec(deadline > 0 ? deadline : 1)};
    (void)timerfd_settime(poller->clock_fd, TFD_TIMER_ABSTIME, &alarm, NULL);
#else
    anysync_time now = anysync_now();
    anysync_time delay = deadline > now ? deadline - now : 0;
    struct timeval wait = {.tv_sec = delay / ASI_NS_PER_SECOND,
            .tv_usec = delay % ASI_NS_PER_SECOND / ASI_NS_PER_US + 1};
    event_add(poller->clock_event, &wait);
#endif
}

unsigned asi_poller_sleep(struct asi_poller *poller, uint32_t ticket, anysync_time deadline)
{
    asi_counter_add(&poller->sleeps, 1);
    if (!poller->base) {
        asi_doorbell_sleep(poller->bell, ticket, deadline);
        return 0;
    }
    anysync_time due = asi_watches_prove(&poller->watches, true);
    set_clock(poller, due < deadline ? due : deadline);
    return ask(poller, 0);
}

int asi_poller_watch(struct asi_poller *poller, struct asi_watch *watch, int fd, unsigned events,
        const void *owner, asi_watch_fn *fire, void *context)
{
    int error = asi_poller_open(poller);

    watch->registration = NULL;
    if (error)
        return error;
    return asi_watches_add(&poller->watches, watch, fd, events, owner, fire, context);
}

/* Bases of the parent, still reachable so that no leak checker minds them. */
static struct event_base *parents_base;
static struct event *parents_events[2];

void asi_poller_in_child(struct asi_poller *poller)
{
    struct asi_doorbell *bell = poller->bell;

    if (poller->base) {
        parents_base = poller->base;
        parents_events[0] = poller->bell_event;
        parents_events[1] = poller->clock_event;
        if (poller->clock_fd >= 0)
            close(poller->clock_fd);
    }
    asi_doorbell_in_child(bell);
    asi_watches_in_child(&poller->watches);
    asi_poller_init(poller, bell);
}
