/* SPDX-License-Identifier: MIT */
/*
 * Channels.
 *
 * A ring of items, and two lists of those who wait (sched/turn.h): receivers while it is empty,
 * senders while it is full; never both.  All of it is under a lock, which costs nothing as long as
 * one loop's coroutines have the channel for themselves (thread/owned.h).  Who gives an item to one
 * who waits copies it to or from that one's own memory.
 *
 * SPEED  As in relay.c: between two switches nothing returns but the call itself.
 */
#include "api/channel.h"

#include "base/memory.h"
#include "base/race.h"
#include "coro/back.h"
#include "sched/error.h"
#include "thread/fork.h"

#include <errno.h>
#include <string.h>

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

/* Send without waiting.  False: there is no room.  RET_SERVED: a receiver that got the item. */
static inline __attribute__((always_inline)) bool send_now(
        struct anysync_channel *channel, const void *item, struct asi_turn **ret_served)
{
    struct asi_turn *receiver = asi_turn_first(&channel->receivers);

    *ret_served = receiver;
    if (receiver) {
        asi_turn_take(receiver, 0);
        copy(channel, receiver->item, item);
        return true;
    }
    if (channel->count == channel->capacity)
        return false;
    put(channel, item);
    return true;
}

/* Receive without waiting.  False: there is nothing.  RET_SERVED: a sender whose item went on. */
static inline __attribute__((always_inline)) bool recv_now(
        struct anysync_channel *channel, void *ret_item, struct asi_turn **ret_served)
{
    struct asi_turn *sender = asi_turn_first(&channel->senders);

    *ret_served = sender;
    if (channel->count > 0) {
        take(channel, ret_item);
        if (sender) {
            asi_turn_take(sender, 0);
            put(channel, sender->item);
        }
        return true;
    }
    if (!sender)
        return false;
    asi_turn_take(sender, 0); /* a channel of no capacity */
    copy(channel, ret_item, sender->item);
    return true;
}

/* --- waiting ---------------------------------------------------------------------------------- */

__attribute__((noinline)) int asi_channel_say(int error, const char *call)
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

/* [lock] Send ITEM, or receive it, without waiting.  Returns -EAGAIN when it was not possible now,
 * or what the call returns. */
static inline __attribute__((always_inline)) int try_now(
        struct anysync_channel *channel, bool sending, void *item, struct asi_turn **ret_served)
{
    *ret_served = NULL;
    if (sending && ASI_UNLIKELY(channel->closed))
        return -EPIPE;
    if (ASI_LIKELY(sending ? send_now(channel, item, ret_served)
                           : recv_now(channel, item, ret_served)))
        return 0;
    return channel->closed ? ANYSYNC_DONE : -EAGAIN;
}

int asi_channel_try(
        struct anysync_channel *channel, bool sending, void *item, struct asi_turn **ret_served)
{
    return try_now(channel, sending, item, ret_served);
}

/* try_now(), and then TURN joins those who wait if it is not NULL. */
static int attempt(struct anysync_channel *channel, bool sending, void *item, struct asi_turn *turn)
{
    struct asi_turn *served;
    bool owner = asi_owned_take(&channel->lock);
    int status = try_now(channel, sending, item, &served);

    if (status == -EAGAIN && turn)
        asi_turn_join(asi_channel_line(channel, sending), turn);
    asi_owned_give(&channel->lock, owner);
    if (served)
        asi_turn_deliver(served);
    return status;
}

static const char *call_of(bool sending)
{
    return sending ? "anysync_channel_send" : "anysync_channel_recv";
}

/* TURN was put on a queue: wait for it, or take it off again. */
static __attribute__((noinline)) int wait_turn(
        struct anysync_channel *channel, struct asi_turn *turn, anysync_time deadline)
{
    if (turn->woken) /* a task's */
        return turn->status;
    int error = asi_turn_sleep(turn, deadline, true);
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
    (void)asi_turn_sleep(turn, ANYSYNC_FOREVER, false); /* it is on its way */
    return turn->status;
}

/* The whole of it, for whoever cannot have it quickly. */
static __attribute__((noinline)) int pass_slowly(struct anysync_channel *channel, bool sending,
        void *item, anysync_time deadline, const char *call)
{
    struct asi_turn turn;

    if (channel->generation != asi_fork_generation)
        return asi_channel_say(-EOWNERDEAD, call);
    int status = attempt(channel, sending, item, NULL);
    if (status == -EAGAIN) {
        status = asi_turn_may_wait(deadline);
        if (status)
            return asi_channel_say(status, call);
        asi_turn_init(&turn);
        turn.item = item;
        status = attempt(channel, sending, item, &turn);
    }
    return asi_channel_say(status == -EAGAIN ? wait_turn(channel, &turn, deadline) : status, call);
}

/* [lock] The running task joins those who wait, for ever; the lock, taken by its owner, is given
 * back. */
static __attribute__((noinline)) ASI_JUMPS_BACK int wait_in_line(
        struct anysync_channel *channel, bool sending, void *item)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct anysync_task *task = here->current;
    struct asi_turn turn;

    turn.item = item;
    turn.woken = false;
    turn.choice = NULL;
    turn.task = task;
    asi_turn_join(asi_channel_line(channel, sending), &turn);
    asi_owned_leave(&channel->lock);
    int saved = *here->errno_at;
    task->cancellable = true;
    asi_scheduler_suspend_quickly(here, task);
    asi_scheduler_restore_errno(here, saved);
    if (ASI_LIKELY(turn.woken && turn.status == 0))
        return 0;
    return asi_channel_say(wait_turn(channel, &turn, ANYSYNC_FOREVER), call_of(sending));
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
    struct asi_turn *turn = asi_container_of(channel->receivers.next, struct asi_turn, list);
    struct asi_scheduler *here = asi_scheduler_here();

    if (asi_list_is_empty(&channel->receivers) || turn->choice || !turn->task ||
            turn->task->scheduler != here || turn->task->state != ASI_TASK_SUSPENDED)
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
    struct asi_turn *served;
    int status = try_now(channel, sending, item, &served);

    if (status == -EAGAIN && ASI_LIKELY(may_wait_in_line(deadline)))
        return wait_in_line(channel, sending, item);
    asi_owned_leave(&channel->lock);
    if (served)
        asi_turn_deliver(served);
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

void anysync_channel_close(struct anysync_channel *channel)
{
    struct asi_list senders, receivers;

    if (channel->generation != asi_fork_generation)
        return;
    asi_list_init(&senders);
    asi_list_init(&receivers);
    bool owner = asi_owned_take(&channel->lock);
    channel->closed = true;
    asi_turn_take_all(&channel->senders, &senders, -EPIPE);
    asi_turn_take_all(&channel->receivers, &receivers, ANYSYNC_DONE);
    asi_owned_give(&channel->lock, owner);
    asi_turn_deliver_all(&senders);
    asi_turn_deliver_all(&receivers);
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
