/* SPDX-License-Identifier: MIT */
/*
 * Scenes of mutexes, conditions, events, semaphores, barriers, what is done once, choices among
 * channels, and ports.  (What a scene is: virtual.h.)
 */
#include "scenes.h"

#include <anysync/mutex.h>

#include <errno.h>
#include <poll.h>

static void begin(void)
{
    scene_configure(ANYSYNC_FOREVER);
}

/* --- mutexes ---------------------------------------------------------------------------------- */

static struct anysync_mutex *mutex;
static struct anysync_condition *condition;
static int inside, entered;
static bool ready;

static int use_mutex(anysync_time deadline)
{
    int error = anysync_mutex_lock(mutex, deadline);

    if (error)
        return error;
    VIRTUAL_CHECK(inside++ == 0);
    entered++;
    inside--;
    anysync_mutex_unlock(mutex);
    return 0;
}

static void use_on_thread(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(use_mutex(ANYSYNC_FOREVER) == 0);
}

static void use_hastily(void *unused)
{
    (void)unused;
    int error = use_mutex(anysync_in_ns(10));

    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT);
}

static int use_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return use_mutex(ANYSYNC_FOREVER);
}

static const struct anysync_function user = ANYSYNC_FUNCTION(user, use_body, 0, 0);

SCENE(mutex_among_threads, 2, 1)
{
    begin();
    VIRTUAL_CHECK(anysync_mutex_new(&mutex) == 0);
    int one = virtual_start(use_on_thread, NULL), two = virtual_start(use_hastily, NULL);
    use_on_thread(NULL);
    virtual_join(one);
    virtual_join(two);
    VIRTUAL_CHECK(entered >= 2);
    VIRTUAL_CHECK(anysync_mutex_lock(mutex, ANYSYNC_POLL) == 0);
    anysync_mutex_unlock(mutex);
    anysync_mutex_unref(mutex);
}

SCENE(mutex_of_a_loop_meets_a_thread, 1, 1)
{
    struct anysync_future *left, *right;

    begin();
    VIRTUAL_CHECK(anysync_mutex_new(&mutex) == 0);
    VIRTUAL_CHECK(anysync_spawn(&user, NULL, &left) == 0);
    VIRTUAL_CHECK(anysync_spawn(&user, NULL, &right) == 0);
    use_hastily(NULL);
    VIRTUAL_CHECK(anysync_wait(left, NULL, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_wait(right, NULL, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(entered >= 2);
    anysync_future_unref(left);
    anysync_future_unref(right);
    anysync_mutex_unref(mutex);
}

static void wait_until_ready(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(anysync_mutex_lock(mutex, ANYSYNC_FOREVER) == 0);
    while (!ready)
        VIRTUAL_CHECK(anysync_condition_wait(condition, mutex, ANYSYNC_FOREVER) == 0);
    anysync_mutex_unlock(mutex);
}

SCENE(condition_between_threads, 2, 1)
{
    begin();
    VIRTUAL_CHECK(anysync_mutex_new(&mutex) == 0);
    VIRTUAL_CHECK(anysync_condition_new(&condition) == 0);
    int waiter = virtual_start(wait_until_ready, NULL);
    VIRTUAL_CHECK(anysync_mutex_lock(mutex, ANYSYNC_FOREVER) == 0);
    ready = true;
    anysync_condition_signal(condition);
    anysync_mutex_unlock(mutex);
    virtual_join(waiter);
    anysync_condition_unref(condition);
    anysync_mutex_unref(mutex);
}

/* --- events, semaphores, barriers ------------------------------------------------------------- */

static struct anysync_event *event;
static struct anysync_semaphore *semaphore;
static struct anysync_barrier *barrier;
static int taken, lasts;

static void set_event(void *unused)
{
    (void)unused;
    anysync_event_set(event);
}

SCENE(event_is_set_while_waits_end, 2, 1)
{
    begin();
    VIRTUAL_CHECK(anysync_event_new(&event) == 0);
    int setter = virtual_start(set_event, NULL);
    int error = anysync_event_wait(event, anysync_in_ns(10));
    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT);
    VIRTUAL_CHECK(anysync_event_wait(event, ANYSYNC_FOREVER) == 0);
    virtual_join(setter);
    anysync_event_unref(event);
}

static void post_two(void *unused)
{
    (void)unused;
    anysync_semaphore_post(semaphore, 2);
}

static void take_hastily(void *unused)
{
    (void)unused;
    int error = anysync_semaphore_wait(semaphore, anysync_in_ns(10));

    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT);
    taken += error == 0;
}

SCENE(semaphore_loses_no_post, 2, 1)
{
    begin();
    VIRTUAL_CHECK(anysync_semaphore_new(0, &semaphore) == 0);
    int poster = virtual_start(post_two, NULL), taker = virtual_start(take_hastily, NULL);
    VIRTUAL_CHECK(anysync_semaphore_wait(semaphore, ANYSYNC_FOREVER) == 0);
    virtual_join(poster);
    virtual_join(taker);
    VIRTUAL_CHECK(anysync_semaphore_count(semaphore) == (size_t)(1 - taken));
    anysync_semaphore_unref(semaphore);
}

static void meet(void *unused)
{
    (void)unused;
    int status = anysync_barrier_wait(barrier, ANYSYNC_FOREVER);

    VIRTUAL_CHECK(status >= 0);
    if (status == ANYSYNC_DONE)
        lasts++; /* the others are let go by this one */
}

SCENE(barrier_of_two, 2, 1)
{
    begin();
    VIRTUAL_CHECK(anysync_barrier_new(2, &barrier) == 0);
    int other = virtual_start(meet, NULL);
    meet(NULL);
    virtual_join(other);
    VIRTUAL_CHECK(lasts == 1);
    anysync_barrier_unref(barrier);
}

/* --- once ------------------------------------------------------------------------------------- */

static struct anysync_once once;
static int runs, made;

static int make(void *unused)
{
    (void)unused;
    runs++;
    if (runs == 1)
        return -EIO;
    made = 7;
    return 0;
}

static void make_once(void *unused)
{
    (void)unused;
    int error = anysync_once_run(&once, make, NULL, ANYSYNC_FOREVER);

    VIRTUAL_CHECK(error == 0 ? made == 7 : error == -EIO);
}

SCENE(once_among_threads, 2, 1)
{
    begin();
    int one = virtual_start(make_once, NULL), two = virtual_start(make_once, NULL);
    virtual_join(one);
    virtual_join(two);
    VIRTUAL_CHECK(runs == 2 && made == 7); /* the first failed */
    make_once(NULL);
    VIRTUAL_CHECK(runs == 2);
    anysync_once_reset(&once);
}

/* --- choices ---------------------------------------------------------------------------------- */

static struct anysync_channel *ways[2];
static int received;

static void send_one(void *to)
{
    int item = 3;

    VIRTUAL_CHECK(anysync_channel_send(to, &item, ANYSYNC_FOREVER) == 0);
}

static int take_either(anysync_time deadline)
{
    int item = 0;
    size_t index;
    struct anysync_choice choices[] = {{ways[0], NULL, &item}, {ways[1], NULL, &item}};
    int error = anysync_select(choices, 2, deadline, &index);

    if (!error) {
        VIRTUAL_CHECK(item == 3);
        received++;
    }
    return error;
}

static void make_ways(void)
{
    begin();
    for (int i = 0; i < 2; i++)
        VIRTUAL_CHECK(anysync_channel_new(0, sizeof(int), &ways[i]) == 0);
}

static void drop_ways(void)
{
    for (int i = 0; i < 2; i++)
        anysync_channel_unref(ways[i]);
}

SCENE(choice_of_two_senders, 2, 1)
{
    make_ways();
    int left = virtual_start(send_one, ways[0]), right = virtual_start(send_one, ways[1]);
    int error = take_either(anysync_in_ns(10));
    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT);
    while (received < 2)
        VIRTUAL_CHECK(take_either(ANYSYNC_FOREVER) == 0);
    virtual_join(left);
    virtual_join(right);
    VIRTUAL_CHECK(take_either(ANYSYNC_POLL) == -ETIMEDOUT);
    drop_ways();
}

static void give_either(void *unused)
{
    int item = 3;
    size_t index;
    struct anysync_choice choices[] = {{ways[1], &item, NULL}, {ways[0], &item, NULL}};

    (void)unused;
    VIRTUAL_CHECK(anysync_select(choices, 2, ANYSYNC_FOREVER, &index) == 0);
}

SCENE(choices_meet, 2, 1)
{
    make_ways();
    int other = virtual_start(give_either, NULL);
    VIRTUAL_CHECK(take_either(ANYSYNC_FOREVER) == 0);
    virtual_join(other);
    drop_ways();
}

/* --- ports ------------------------------------------------------------------------------------ */

static struct anysync_port *port;
static int called; /* on the port's thread */
static int told[3], done[3];

static void on_done(struct anysync_future *future, void *argument)
{
    int which = *(int *)argument;

    VIRTUAL_CHECK(told[which]++ == 0);
    if (future)
        called++;
}

static void complete(void *future)
{
    scene_set_done(future);
}

/* Futures that threads complete, added to the port. */
static void start_completing(int *ret_threads, int count)
{
    for (int i = 0; i < count; i++) {
        struct anysync_future *future;
        VIRTUAL_CHECK(anysync_future_new(0, &future) == 0);
        done[i] = i;
        VIRTUAL_CHECK(anysync_port_on_done(port, future, on_done, &done[i]) == 0);
        ret_threads[i] = virtual_start(complete, future);
    }
}

/* Two may come between the last look of a dispatch and its rest; it delivers one at a time here. */
SCENE(port_tells_of_futures, 2, 1)
{
    int threads[3];

    begin();
    VIRTUAL_CHECK(anysync_port_new(&port) == 0);
    start_completing(threads, 3);
    while (called < 3) {
        struct pollfd item = {.fd = anysync_port_descriptor(port), .events = POLLIN};
        VIRTUAL_CHECK(poll(&item, 1, -1) == 1);
        VIRTUAL_CHECK(anysync_port_dispatch(port) >= 0);
    }
    for (int i = 0; i < 3; i++)
        virtual_join(threads[i]);
    anysync_port_close(port);
    anysync_port_unref(port);
}

SCENE(port_closes_while_futures_are_done, 2, 1)
{
    int threads[2];

    begin();
    VIRTUAL_CHECK(anysync_port_new(&port) == 0);
    start_completing(threads, 2);
    VIRTUAL_CHECK(anysync_port_dispatch(port) >= 0);
    anysync_port_close(port);
    anysync_port_unref(port);
    for (int i = 0; i < 2; i++)
        virtual_join(threads[i]);
    VIRTUAL_CHECK(told[0] == 1 && told[1] == 1);
}

static int returned; /* on the caller's */

static int count_call(void *unused)
{
    (void)unused;
    called++;
    return 0;
}

static void call_hastily(void *unused)
{
    (void)unused;
    int error = anysync_port_call(port, count_call, NULL, anysync_in_ns(10));

    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT || error == -ESHUTDOWN);
    returned += error == 0;
}

SCENE(port_is_called_and_closed, 2, 1)
{
    begin();
    VIRTUAL_CHECK(anysync_port_new(&port) == 0);
    int caller = virtual_start(call_hastily, NULL);
    VIRTUAL_CHECK(anysync_port_dispatch(port) >= 0);
    anysync_port_close(port);
    virtual_join(caller);
    VIRTUAL_CHECK(called == returned);
    anysync_port_unref(port);
}
