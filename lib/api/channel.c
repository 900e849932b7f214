/* SPDX-License-Identifier: MIT */
/*
 * Channels.
 *
 * A ring of items, and two queues of those who wait: receivers while it is empty, senders while it
 * is full; never both.  All of it is under a lock, which costs nothing as long as one loop's
 * coroutines have the channel for themselves (thread/owned.h).  Who gives something to a waiter
 * takes it off its queue, copies the item to or from the waiter's own memory, and delivers after
 * the lock: so an item changes hands in one step, and a waiter that gives up finds itself either on
 * the queue still, with nothing lost, or off it, with its turn done.
 *
 * DELIVERY  A thread that waits is a party.  A task suspends until `woken` is set on its loop's
 *   thread: by hand if who serves it runs there, else by a letter.  So whoever finds itself off the
 *   queue waits for `woken`, whatever else has happened, and its memory stays until then.
 *
 * SPEED  As in relay.c: between two switches nothing returns but the call itself.
 */
#include <anysync/channel.h>

#include "base/list.h"
#include "base/memory.h"
#include "base/race.h"
#include "coro/back.h"
#include "sched/error.h"
#include "sched/quick.h"
#include "sched/wait.h"
#include "thread/fork.h"
#include "thread/owned.h"
#include "thread/refs.h"

#include <errno.h>
#include <string.h>

struct anysync_channel {
    struct asi_owned lock;
    struct asi_refs refs;
    uint32_t generation;       /* [const] of the process that made it */
    bool closed;               /* [lock] */
    size_t capacity;           /* [const] */
    size_t item_size;          /* [const] */
    size_t count;              /* [lock] items in the ring */
    size_t first;              /* [lock] index of the oldest */
    struct asi_list senders;   /* [lock] */
    struct asi_list receivers; /* [lock] */
    _Alignas(16) char ring[];
};

/* Somebody who waits, on its own stack. */
struct turn {
    struct asi_list list;      /* [lock] while `waits` */
    void *item;                /* of a sender, only read; of a receiver, where it goes */
    bool waits;                /* [lock] on a queue */
    bool woken;                /* [loop] a task's: it was taken off, and knows */
    int status;                /* [lock] set by who took it off */
    struct anysync_task *task; /* NULL: a thread */
    union {
        struct asi_letter letter; /* a task's: how it is woken from another thread */
        struct asi_party party;   /* a thread's */
    };
};

int anysync_channel_new(size_t capacity, size_t item_size, struct anysync_channel **ret_channel)
{
    size_t room = SIZE_MAX / 2 - sizeof(struct anysync_channel);
    size_t most = item_size > 0 ? room / item_size : SIZE_MAX;
    struct anysync_channel *channel =
            capacity <= most ? asi_allocate(sizeof(*channel) + capacity * item_size) : NULL;

    if (!channel)
        return asi_call_fails(
                -ENOMEM, "no memory for a channel of %zu items of %zu bytes", capacity, item_size);
    asi_owned_init(&channel->lock, true);
    asi_refs_init(&channel->refs, 1);
    channel->generation = asi_fork_generation;
    channel->closed = false;
    channel->capacity = capacity;
    channel->item_size = item_size;
    channel->count = 0;
    channel->first = 0;
    asi_list_init(&channel->senders);
    asi_list_init(&channel->receivers);
    *ret_channel = channel;
    return 0;
}

struct anysync_channel *anysync_channel_ref(struct anysync_channel *channel)
{
    asi_refs_add(&channel->refs);
    return channel;
}

struct anysync_channel *anysync_channel_unref(struct anysync_channel *channel)
{
    if (channel && asi_refs_drop(&channel->refs))
        asi_free(channel);
    return NULL;
}

/* --- [lock] the ring -------------------------------------------------------------------------- */

static inline void copy(const struct anysync_channel *channel, void *to, const void *from)
{
    size_t size = channel->item_size;

    if (size == 8)
        memcpy(to, from, 8);
    else if (size == 4)
        memcpy(to, from, 4);
    else if (size > 0)
        memcpy(to, from, size);
}

static inline void put(struct anysync_channel *channel, const void *item)
{
    size_t at = channel->first + channel->count++;

    if (at >= channel->capacity)
        at -= channel->capacity;
    copy(channel, channel->ring + at * channel->item_size, item);
}

static inline void take(struct anysync_channel *channel, void *ret_item)
{
    copy(channel, ret_item, channel->ring + channel->first * channel->item_size);
    if (++channel->first == channel->capacity)
        channel->first = 0;
    channel->count--;
}

/* --- [lock] those who wait -------------------------------------------------------------------- */

/* Whether TURN's task was abandoned in its wait. */
static inline bool is_gone(const struct turn *turn)
{
    struct anysync_task *task = turn->task;

    if (task && task->scheduler == asi_scheduler_here())
        return task->state == ASI_TASK_ABANDONED;
    return task && asi_cell_done(&task->future.cell);
}

static inline struct turn *take_turn(struct asi_list *queue, int status)
{
    struct turn *turn = asi_container_of(queue->next, struct turn, list);

    asi_list_remove(&turn->list);
    turn->waits = false;
    turn->status = status;
    return turn;
}

/* [lock] Whether somebody waits on QUEUE.  Those that were abandoned (a task that waits and is
 * done) never will take anything. */
static inline bool is_awaited(struct asi_list *queue)
{
    while (!asi_list_is_empty(queue)) {
        struct turn *turn = asi_container_of(queue->next, struct turn, list);
        if (!is_gone(turn))
            return true;
        (void)take_turn(queue, -ECANCELED);
    }
    return false;
}

/* Send without waiting.  False: there is no room.  RET_SERVED: a receiver that got the item. */
static inline __attribute__((always_inline)) bool send_now(
        struct anysync_channel *channel, const void *item, struct turn **ret_served)
{
    *ret_served = NULL;
    if (is_awaited(&channel->receivers)) {
        *ret_served = take_turn(&channel->receivers, 0);
        copy(channel, (*ret_served)->item, item);
        return true;
    }
    if (channel->count == channel->capacity)
        return false;
    put(channel, item);
    return true;
}

/* Receive without waiting.  False: there is nothing.  RET_SERVED: a sender whose item went on. */
static inline __attribute__((always_inline)) bool recv_now(
        struct anysync_channel *channel, void *ret_item, struct turn **ret_served)
{
    *ret_served = NULL;
    bool sender = is_awaited(&channel->senders);
    if (channel->count > 0) {
        take(channel, ret_item);
        if (sender) {
            *ret_served = take_turn(&channel->senders, 0);
            put(channel, (*ret_served)->item);
        }
        return true;
    }
    if (!sender)
        return false;
    *ret_served = take_turn(&channel->senders, 0); /* a channel of no capacity */
    copy(channel, ret_item, (*ret_served)->item);
    return true;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static __attribute__((noinline)) int say_why(int error, const char *call)
{
    switch (error) {
    case -EPIPE:
        return asi_call_fails(error, "%s(): the channel is closed", call);
    case -EDEADLK:
        return asi_call_fails(error,
                "a callback of the loop cannot wait in %s(): spawn a coroutine that does, or use "
                "ANYSYNC_POLL",
                call);
    case -EOWNERDEAD:
        return asi_call_fails(error, "the channel is of the process this one was forked from");
    default:
        return error < 0 ? asi_call_fails(error, NULL) : error;
    }
}

static void deliver_letter(struct asi_letter *letter, void *receiver)
{
    struct turn *turn = asi_container_of(letter, struct turn, letter);

    (void)receiver;
    turn->woken = true;
    asi_task_wake(turn->task);
}

/* TURN was taken off its queue: let it know. */
static inline __attribute__((always_inline)) void deliver(struct turn *turn)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct anysync_task *task = turn->task;

    if (ASI_UNLIKELY(!task)) {
        asi_party_deliver(&turn->party);
    } else if (ASI_LIKELY(task->scheduler == here)) {
        turn->woken = true;
        asi_quick_wake(here, task);
    } else {
        turn->letter.deliver = deliver_letter;
        asi_scheduler_post(task->scheduler, &turn->letter); /* refused: the task was abandoned */
    }
}

/* Deliver to all of CHAIN, which are off their queues. */
static void deliver_all(struct asi_list *chain)
{
    while (!asi_list_is_empty(chain)) {
        struct turn *turn = asi_container_of(chain->next, struct turn, list);
        asi_list_remove(&turn->list); /* before it may go */
        deliver(turn);
    }
}

/* [lock] Send ITEM, or receive it, without waiting.  Returns -EAGAIN when it was not possible now,
 * or what the call returns. */
static inline __attribute__((always_inline)) int try_now(
        struct anysync_channel *channel, bool sending, void *item, struct turn **ret_served)
{
    *ret_served = NULL;
    if (sending && ASI_UNLIKELY(channel->closed))
        return -EPIPE;
    if (ASI_LIKELY(sending ? send_now(channel, item, ret_served)
                           : recv_now(channel, item, ret_served)))
        return 0;
    return channel->closed ? ANYSYNC_DONE : -EAGAIN;
}

/* [lock] TURN joins those who wait. */
static inline void enqueue(struct anysync_channel *channel, bool sending, struct turn *turn)
{
    turn->waits = true;
    asi_list_add(sending ? &channel->senders : &channel->receivers, &turn->list);
}

/* try_now(), and then TURN joins those who wait if it is not NULL. */
static int attempt(struct anysync_channel *channel, bool sending, void *item, struct turn *turn)
{
    struct turn *served;
    bool owner = asi_owned_take(&channel->lock);
    int status = try_now(channel, sending, item, &served);

    if (status == -EAGAIN && turn)
        enqueue(channel, sending, turn);
    asi_owned_give(&channel->lock, owner);
    if (served)
        deliver(served);
    return status;
}

static const char *call_of(bool sending)
{
    return sending ? "anysync_channel_send" : "anysync_channel_recv";
}

/* Whether to wait at all.  Returns 0, or why not. */
static int may_wait(anysync_time deadline)
{
    int error = asi_world() == ASI_WORLD_TASK ? asi_wait_checkpoint() : 0;

    if (error)
        return error;
    if (deadline == ANYSYNC_POLL)
        return -ETIMEDOUT;
    return asi_world() == ASI_WORLD_CALLBACK ? -EDEADLK : 0;
}

/* Wait until TURN was served.  CANCELLABLE or not: see asi_party_wait(). */
static int sleep_turn(struct turn *turn, anysync_time deadline, bool cancellable)
{
    struct anysync_task *task = turn->task;

    if (!task)
        return asi_party_wait(&turn->party, 0, deadline, cancellable);
    if (cancellable)
        return asi_wait_local(&turn->woken, deadline);
    while (!turn->woken) {
        task->cancellable = false;
        asi_scheduler_suspend(task->scheduler);
    }
    return 0;
}

/* TURN was put on a queue: wait for it, or take it off again. */
static __attribute__((noinline)) int wait_turn(
        struct anysync_channel *channel, struct turn *turn, anysync_time deadline)
{
    if (turn->woken) /* a task's */
        return turn->status;
    int error = sleep_turn(turn, deadline, true);
    if (!error)
        return turn->status;
    asi_race_point();
    bool owner = asi_owned_take(&channel->lock);
    bool waits = turn->waits;
    if (waits)
        asi_list_remove(&turn->list);
    asi_owned_give(&channel->lock, owner);
    if (waits)
        return error;
    (void)sleep_turn(turn, ANYSYNC_FOREVER, false); /* it is on its way */
    return turn->status;
}

/* The whole of it, for whoever cannot have it quickly. */
static __attribute__((noinline)) int pass_slowly(struct anysync_channel *channel, bool sending,
        void *item, anysync_time deadline, const char *call)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct turn turn = {.item = item, .task = here ? here->current : NULL};

    if (channel->generation != asi_fork_generation)
        return say_why(-EOWNERDEAD, call);
    int status = attempt(channel, sending, item, NULL);
    if (status == -EAGAIN) {
        status = may_wait(deadline);
        if (status)
            return say_why(status, call);
        if (!turn.task)
            asi_party_init(&turn.party, ASI_WORLD_THREAD);
        status = attempt(channel, sending, item, &turn);
    }
    return say_why(status == -EAGAIN ? wait_turn(channel, &turn, deadline) : status, call);
}

/* [lock] The running task joins those who wait, for ever; the lock, taken by its owner, is given
 * back. */
static __attribute__((noinline)) ASI_JUMPS_BACK int wait_in_line(
        struct anysync_channel *channel, bool sending, void *item)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct anysync_task *task = here->current;
    struct turn turn;

    turn.item = item;
    turn.woken = false;
    turn.task = task;
    enqueue(channel, sending, &turn);
    asi_owned_leave(&channel->lock);
    int saved = *here->errno_at;
    task->cancellable = true;
    asi_scheduler_suspend_quickly(here, task);
    asi_scheduler_restore_errno(here, saved);
    if (ASI_LIKELY(turn.woken && turn.status == 0))
        return 0;
    return say_why(wait_turn(channel, &turn, ANYSYNC_FOREVER), call_of(sending));
}

/* Whether the running task may wait for ever, with nothing else to be looked at. */
static inline bool may_wait_in_line(anysync_time deadline)
{
    struct asi_scheduler *here = asi_scheduler_here();

    return deadline == ANYSYNC_FOREVER && here && here->current && !here->current->cancelled &&
           here->generation == asi_fork_generation;
}

/* [lock] A receiver of this loop, the first in line, takes ITEM: all of send_now() and deliver()
 * that it needs.  False: there is none, or it is not just suspended. */
static inline __attribute__((always_inline)) bool serve_here(
        struct anysync_channel *channel, const void *item)
{
    struct turn *turn = asi_container_of(channel->receivers.next, struct turn, list);
    struct asi_scheduler *here = asi_scheduler_here();

    if (asi_list_is_empty(&channel->receivers) || !turn->task || turn->task->scheduler != here ||
            turn->task->state != ASI_TASK_SUSPENDED)
        return false;
    channel->receivers.next = turn->list.next;
    turn->list.next->previous = &channel->receivers;
    turn->waits = false;
    turn->woken = true;
    turn->status = 0;
    copy(channel, turn->item, item);
    turn->task->state = ASI_TASK_READY;
    asi_scheduler_ready(here, turn->task);
    return true;
}

/* [lock] Now, if it can be; if not, and the task may wait for ever, in line; else slowly.  The
 * lock, taken by its owner, is given back. */
static __attribute__((noinline)) int pass_here(
        struct anysync_channel *channel, bool sending, void *item, anysync_time deadline)
{
    struct turn *served;
    int status = try_now(channel, sending, item, &served);

    if (status == -EAGAIN && ASI_LIKELY(may_wait_in_line(deadline)))
        return wait_in_line(channel, sending, item);
    asi_owned_leave(&channel->lock);
    if (served)
        deliver(served);
    if (ASI_LIKELY(status == 0))
        return 0;
    return pass_slowly(channel, sending, item, deadline, call_of(sending));
}

/* Both calls do the usual of a channel that one loop has for itself, and call somebody for all
 * else: give an item to a coroutine that waits, and wait for one. */

int anysync_channel_send(struct anysync_channel *channel, const void *item, anysync_time deadline)
{
    void *from = (void *)(uintptr_t)item; /* only read */

    if (ASI_UNLIKELY(
                channel->generation != asi_fork_generation || !asi_owned_enter(&channel->lock)))
        return pass_slowly(channel, true, from, deadline, __func__);
    if (ASI_UNLIKELY(channel->closed) || !serve_here(channel, item))
        return pass_here(channel, true, from, deadline);
    asi_owned_leave(&channel->lock);
    return 0;
}

int anysync_channel_recv(struct anysync_channel *channel, void *ret_item, anysync_time deadline)
{
    if (ASI_UNLIKELY(
                channel->generation != asi_fork_generation || !asi_owned_enter(&channel->lock)))
        return pass_slowly(channel, false, ret_item, deadline, __func__);
    if (ASI_UNLIKELY(channel->count > 0 || !asi_list_is_empty(&channel->senders) ||
                     channel->closed || !may_wait_in_line(deadline)))
        return pass_here(channel, false, ret_item, deadline);
    return wait_in_line(channel, false, ret_item);
}

/* [lock] All who wait on QUEUE: they move to CHAIN. */
static void move_all(struct asi_list *queue, struct asi_list *chain, int status)
{
    while (!asi_list_is_empty(queue)) {
        struct turn *turn = take_turn(queue, status);
        asi_list_add(chain, &turn->list);
    }
}

void anysync_channel_close(struct anysync_channel *channel)
{
    struct asi_list senders, receivers;

    if (channel->generation != asi_fork_generation)
        return;
    asi_list_init(&senders);
    asi_list_init(&receivers);
    bool owner = asi_owned_take(&channel->lock);
    channel->closed = true;
    move_all(&channel->senders, &senders, -EPIPE);
    move_all(&channel->receivers, &receivers, ANYSYNC_DONE);
    asi_owned_give(&channel->lock, owner);
    deliver_all(&senders);
    deliver_all(&receivers);
}

size_t anysync_channel_count(struct anysync_channel *channel)
{
    if (channel->generation != asi_fork_generation)
        return 0;
    bool owner = asi_owned_take(&channel->lock);
    size_t count = channel->count;
    asi_owned_give(&channel->lock, owner);
    return count;
}
