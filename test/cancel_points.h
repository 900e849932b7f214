/* SPDX-License-Identifier: MIT */
/*
 * Cut a call at each of its suspension points, one after another.
 *
 *      static int in_read(struct point_scene *scene) { ... return 0 or a code }
 *
 *      static const struct point_call calls[] = {{"read", in_read}, ...};
 *
 *      cut_at_each_point(&calls[i]);                   in a coroutine
 *
 * The call is made by two tasks of this loop at once, the victim and a second waiter, while nothing
 * they wait for is there.  Then the runner feeds the scene: there is enough for both.  The victim
 * is cancelled in the very moment of its first suspension; in the next round of its second; and so
 * on, until it ends without having met the cancel.  Each time: the victim ends with -ECANCELED, or
 * with the value that came all the same; the second waiter is served; no task is left on the loop,
 * and no descriptor is.  (Memory: the builds with sanitizers.)  All of it a second time with a
 * scope around the call, whose deadline passes in that moment: -ETIMEDOUT.
 *
 * Call count_cancel_points() before the library's first use.
 */
#ifndef TEST_CANCEL_POINTS_H
#define TEST_CANCEL_POINTS_H

#include "sched/scheduler.h"
#include "sched/scope.h"
#include "worlds.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POINT_CALLERS = 2, MOST_POINTS = 1000 };

/* What calls may wait for.  None of it is there before the feeding. */
struct point_scene {
    struct anysync_future *future;  /* of an int; fed: 5 */
    struct anysync_executor *other; /* alive; fed: its one task ends, as it waits for `future` */
    int pipe[2];                    /* fed: a byte for each caller */
    int sockets[2];                 /* likewise; and the way back from [0] is full until then */
    int listener;                   /* fed: a connection for each caller */
    struct sockaddr_in address;     /* of the listener */
    int clients[POINT_CALLERS];
    struct anysync_limiter *limiter;     /* fed: its tokens are back */
    struct anysync_channel *channel;     /* of ints; fed: one for each caller */
    struct anysync_mutex *mutex;         /* held; fed: unlocked */
    struct anysync_mutex *inner;         /* nobody has it */
    struct anysync_condition *condition; /* of inner; fed: a broadcast, and `told` */
    bool told;
    struct anysync_event *event;         /* fed: set */
    struct anysync_semaphore *semaphore; /* fed: a count for each caller */
    struct anysync_once untried;         /* nobody is at it */
    struct anysync_once once;            /* another task is at it; fed: that has done it */
    struct anysync_future *at_once;      /* that task */
    struct anysync_port *port;           /* fed: dispatched */
    int datagrams[2];                    /* fed: a byte for each caller */
};

struct point_call {
    const char *name;
    int (*call)(struct point_scene *scene); /* returns 0, or a code */
};

static _Atomic(struct anysync_task *) point_victim;
static atomic_int points_seen; /* suspensions of the victim */
static atomic_int point_to_cut;
static _Atomic(struct asi_scope *) point_scope; /* of the victim; NULL: it is cancelled */
static atomic_int points_cut;                   /* in all: a check of the scoreboard counts them */

static void count_suspension(struct anysync_task *task)
{
    if (task != atomic_load(&point_victim))
        return;
    if (atomic_fetch_add(&points_seen, 1) + 1 != atomic_load(&point_to_cut))
        return;
    struct asi_scope *scope = atomic_load(&point_scope);
    if (!scope) {
        asi_task_cancel(task, "cancelled at a suspension point");
        return;
    }
    scope->expired = true; /* as its timer does */
    asi_scope_update(task);
}

static inline void count_cancel_points(void)
{
    asi_suspend_hook = count_suspension;
}

/* Waits for FUTURE: what calls run as children, and what keeps the other executor alive. */
ANYSYNC_COROUTINE(int, waits_for, (struct anysync_future *, future))
{
    return anysync_wait(future, result, ANYSYNC_FOREVER);
}

static inline int pass_once(void *future)
{
    return anysync_future_wait(future, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, does_once, (struct point_scene *, scene))
{
    return anysync_once_run(&scene->once, pass_once, scene->future, ANYSYNC_FOREVER);
}

static inline void open_shared(struct point_scene *scene)
{
    does_once_future first;

    CHECK_EQ(anysync_mutex_new(&scene->mutex), 0);
    CHECK_EQ(anysync_mutex_lock(scene->mutex, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_mutex_new(&scene->inner), 0);
    CHECK_EQ(anysync_condition_new(&scene->condition), 0);
    scene->told = false;
    CHECK_EQ(anysync_event_new(&scene->event), 0);
    CHECK_EQ(anysync_semaphore_new(0, &scene->semaphore), 0);
    scene->untried = scene->once = (struct anysync_once){NULL};
    CHECK_EQ(does_once_start(&first, scene), 0);
    scene->at_once = first.future;
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_port_new(&scene->port), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, scene->datagrams), 0);
}

static inline void feed_shared(struct point_scene *scene)
{
    anysync_mutex_unlock(scene->mutex);
    CHECK_EQ(anysync_mutex_lock(scene->inner, ANYSYNC_POLL), 0);
    scene->told = true;
    anysync_condition_broadcast(scene->condition);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(anysync_yield(), 0); /* who was told waits for the mutex, and hears a cancel */
    anysync_mutex_unlock(scene->inner);
    anysync_event_set(scene->event);
    anysync_semaphore_post(scene->semaphore, POINT_CALLERS);
    CHECK_GE(anysync_port_dispatch(scene->port), 0);
    for (int i = 0; i < POINT_CALLERS; i++)
        CHECK_EQ(send(scene->datagrams[1], "x", 1, 0), 1);
}

static inline void close_shared(struct point_scene *scene)
{
    CHECK_EQ(anysync_future_wait(scene->at_once, ANYSYNC_FOREVER), 0);
    anysync_future_unref(scene->at_once);
    anysync_once_reset(&scene->once);
    anysync_once_reset(&scene->untried);
    anysync_mutex_unref(scene->mutex);
    anysync_mutex_unref(scene->inner);
    anysync_condition_unref(scene->condition);
    anysync_event_unref(scene->event);
    anysync_semaphore_unref(scene->semaphore);
    anysync_port_close(scene->port);
    anysync_port_unref(scene->port);
    close(scene->datagrams[0]);
    close(scene->datagrams[1]);
}

static inline void fill_socket(int fd)
{
    static const char bytes[4096];

    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    while (send(fd, bytes, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    CHECK(errno == EAGAIN || errno == EWOULDBLOCK);
}

static inline void drain_socket(int fd)
{
    char bytes[4096];

    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

static inline void open_scene(struct point_scene *scene)
{
    socklen_t size = sizeof(scene->address);

    CHECK_EQ(anysync_future_new(sizeof(int), &scene->future), 0);
    CHECK_EQ(anysync_executor_new(NULL, &scene->other), 0);
    CHECK_EQ(waits_for_start_on(scene->other, NULL, scene->future), 0);
    CHECK_EQ(pipe(scene->pipe), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, scene->sockets), 0);
    fill_socket(scene->sockets[0]);
    CHECK_EQ(anysync_channel_new(0, sizeof(int), &scene->channel), 0);
    CHECK_EQ(anysync_limiter_new(1, &scene->limiter), 0);
    CHECK_EQ(anysync_limiter_acquire(scene->limiter, ANYSYNC_FOREVER), 0);
    scene->listener = socket(AF_INET, SOCK_STREAM, 0);
    scene->address = (struct sockaddr_in){.sin_family = AF_INET};
    scene->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(scene->listener, (struct sockaddr *)&scene->address, size), 0);
    CHECK_EQ(listen(scene->listener, 16), 0);
    CHECK_EQ(getsockname(scene->listener, (struct sockaddr *)&scene->address, &size), 0);
    open_shared(scene);
}

static inline void feed_scene(struct point_scene *scene)
{
    int value = 5;

    CHECK_EQ(anysync_future_set(scene->future, &value), 0);
    anysync_limiter_release(scene->limiter);
    drain_socket(scene->sockets[1]);
    for (int i = 0; i < POINT_CALLERS; i++) {
        CHECK_EQ(write(scene->pipe[1], "x", 1), 1);
        CHECK_EQ(send(scene->sockets[1], "x", 1, 0), 1);
        scene->clients[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK_EQ(connect(scene->clients[i], (struct sockaddr *)&scene->address,
                         sizeof(scene->address)),
                0);
    }
    feed_shared(scene);
}

static inline void close_scene(struct point_scene *scene)
{
    close_shared(scene);
    CHECK_EQ(anysync_executor_shutdown(scene->other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(scene->other);
    anysync_future_unref(scene->future);
    anysync_channel_unref(scene->channel);
    anysync_limiter_unref(scene->limiter);
    for (int i = 0; i < 2; i++) {
        close(scene->pipe[i]);
        close(scene->sockets[i]);
        close(scene->clients[i]);
    }
    close(scene->listener);
}

ANYSYNC_COROUTINE(void, point_caller, (const struct point_call *, call),
        (struct point_scene *, scene), (int, code))
{
    struct anysync_scope scope;

    if (!code)
        return call->call(scene);
    if (code == -ETIMEDOUT)
        anysync_scope_enter(&scope, anysync_in_seconds(3600));
    atomic_store(&point_scope, code == -ETIMEDOUT ? asi_scope_of(&scope) : NULL);
    atomic_store(&point_victim, asi_scheduler_here()->current);
    int error = call->call(scene);
    atomic_store(&point_victim, NULL);
    return code == -ETIMEDOUT ? anysync_scope_exit(&scope, error) : error;
}

/* The victim is cut at its POINT-th suspension; 0: not at all.  CODE: -ECANCELED, it is cancelled;
 * -ETIMEDOUT, its scope's deadline passes.  Returns whether it got there. */
static inline bool cut_at_point(const struct point_call *call, int point, int code)
{
    uint64_t live = asi_scheduler_live(asi_scheduler_here());
    struct point_scene scene;
    point_caller_future victim, second;

    open_scene(&scene);
    atomic_store(&points_seen, 0);
    atomic_store(&point_to_cut, point);
    CHECK_EQ(point_caller_start(&victim, call, &scene, code), 0);
    CHECK_EQ(point_caller_start(&second, call, &scene, 0), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(anysync_yield(), 0);
    feed_scene(&scene);
    int error = point_caller_wait(&second, ANYSYNC_FOREVER);
    if (error)
        test_fail(TEST_HERE, "%s, cut at %d: the second waiter got %d (%s)", call->name, point,
                error, anysync_last_error()->message);
    error = point_caller_wait(&victim, ANYSYNC_FOREVER);
    bool reached = point > 0 && atomic_load(&points_seen) >= point;
    if (error && !(reached && error == code))
        test_fail(TEST_HERE, "%s, cut at %d for %d: the victim got %d (%s)", call->name, point,
                code, error, anysync_last_error()->message);
    atomic_fetch_add(&points_cut, reached);
    point_caller_drop(&victim);
    point_caller_drop(&second);
    for (int i = 0; asi_scheduler_live(asi_scheduler_here()) > live && i < MOST_POINTS; i++)
        CHECK_EQ(anysync_yield(), 0); /* what it left behind has its time to end */
    CHECK_EQ(asi_scheduler_live(asi_scheduler_here()), live);
    close_scene(&scene);
    return reached;
}

static inline void cut_at_each_point(const struct point_call *call)
{
    cut_at_point(call, 0, -ECANCELED); /* the loop has its descriptors now */
    int descriptors = test_fd_count();

    for (int deadline = 0; deadline <= 1; deadline++) {
        int code = deadline ? -ETIMEDOUT : -ECANCELED;
        for (int point = 1; cut_at_point(call, point, code); point++) {
            CHECK(point < MOST_POINTS);
            if (test_fd_count() != descriptors)
                test_fail(TEST_HERE, "%s, cut at %d: %d descriptors, not %d", call->name, point,
                        test_fd_count(), descriptors);
        }
    }
}

#endif
