/* SPDX-License-Identifier: MIT */
/*
 * Event bases of bufferevents that have no descriptors.
 *
 * A bufferevent belongs to one base for ever, but a stream is used on any loop, and on threads that
 * have none; and a base of its own for each connection would cost two descriptors each.  The bases
 * here serve nothing but the calls that bufferevents put off: a step of a connection takes the
 * base, brings or asks for bytes, runs what became due, and gives the base back.  Nothing waits in
 * between, nothing is due afterwards, and no base ever sees a descriptor of ours.
 *
 * Connections are dealt out to COUNT bases, so that few wait for one another's encryption.  A base
 * is there as long as a connection has it.  libevent ends the process when descriptors run out
 * while it makes one, so it is seen before that there are some.
 *
 * libevent is told of threads when this library is loaded: the core does it with its first loop,
 * when another thread may be in here already.
 *
 * fork() waits for steps that go on: what a child inherits can be freed in it.
 */
#include "tls/bases.h"

#include "base/tools.h"
#include "thread/lock.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <unistd.h>

enum { COUNT = 16, HEADROOM = 4 };

struct asi_tls_base {
    struct asi_lock lock;
    struct event_base *event; /* [lock] NULL while nobody needs it */
    unsigned users;           /* [lock] */
};

static struct asi_tls_base bases[COUNT];
static struct asi_lock next_lock = ASI_LOCK_INIT;
static unsigned next; /* [next_lock] */
static struct asi_lock filter_lock = ASI_LOCK_INIT;

static void before_fork(void)
{
    asi_lock_take(&next_lock);
    for (int i = 0; i < COUNT; i++)
        asi_lock_take(&bases[i].lock);
    asi_lock_take(&filter_lock); /* the last one: see build() in engine.c */
}

static void after_fork(void)
{
    asi_lock_give(&filter_lock);
    for (int i = COUNT - 1; i >= 0; i--)
        asi_lock_give(&bases[i].lock);
    asi_lock_give(&next_lock);
}

static void __attribute__((constructor)) prepare(void)
{
    const struct asi_lock fresh = ASI_LOCK_INIT;

    ASI_ASSERT(evthread_use_pthreads() == 0, "libevent was built without pthreads");
    for (int i = 0; i < COUNT; i++)
        bases[i].lock = fresh;
    ASI_ASSERT(pthread_atfork(before_fork, after_fork, after_fork) == 0, "no memory at the start");
}

static int check_headroom(void)
{
    int fds[HEADROOM], count = 0, error = 0;

    while (count < HEADROOM && !error) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            fds[count++] = fd;
        else
            error = errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 1;
    }
    while (count > 0)
        close(fds[--count]);
    return error < 0 ? error : 0; /* no /dev/null at all: then we cannot tell */
}

/* A base that knows no descriptors needs no epoll set. */
static int make(struct event_base **ret_event)
{
    int error = check_headroom();

    if (error)
        return error;
    struct event_config *config = event_config_new();
    if (!config)
        return -ENOMEM;
    event_config_avoid_method(config, "epoll");
    event_config_avoid_method(config, "kqueue");
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
    *ret_event = event_base_new_with_config(config);
    event_config_free(config);
    return *ret_event ? 0 : -ENOMEM;
}

int asi_tls_base_get(struct asi_tls_base **ret_base)
{
    int error = 0;

    asi_lock_take(&next_lock);
    struct asi_tls_base *base = &bases[next++ % COUNT];
    asi_lock_give(&next_lock);
    asi_lock_take(&base->lock);
    if (!base->event)
        error = make(&base->event);
    if (!error)
        base->users++;
    asi_lock_give(&base->lock);
    if (!error)
        *ret_base = base;
    return error;
}

void asi_tls_base_put(struct asi_tls_base *base)
{
    if (--base->users == 0) {
        event_base_free(base->event);
        base->event = NULL;
    }
    asi_lock_give(&base->lock);
}

void asi_tls_base_take(struct asi_tls_base *base)
{
    asi_lock_take(&base->lock);
}

void asi_tls_base_give(struct asi_tls_base *base)
{
    asi_lock_give(&base->lock);
}

struct bufferevent *asi_tls_filter_new(struct asi_tls_base *base, struct bufferevent *below,
        SSL *ssl, enum bufferevent_ssl_state state)
{
    asi_lock_take(&filter_lock);
    /* BEV_OPT_CLOSE_ON_FREE would leave open whose BELOW and SSL are after a failure. */
    struct bufferevent *filter = bufferevent_openssl_filter_new(base->event, below, ssl, state, 0);
    asi_lock_give(&filter_lock);
    return filter;
}

struct event_base *asi_tls_base_event(struct asi_tls_base *base)
{
    return base->event;
}

void asi_tls_base_run(struct asi_tls_base *base)
{
    while (event_base_loop(base->event, EVLOOP_NONBLOCK) == 0)
        ;
}
