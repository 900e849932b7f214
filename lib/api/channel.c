/* SPDX-License-Identifier: MIT */
/*
 * Channels.
 *
 * A ring of items, and two queues of those who wait: receivers while it is empty, senders while it
 * is full; never both.  All of it is under a brief lock.  Who gives something to a waiter takes it
 * off its queue, copies the item to or from the waiter's own memory, and delivers after the lock:
 * so an item changes hands in one step, and a waiter that gives up finds itself either on the queue
 * still, with nothing lost, or off it, with its turn done.
 */
#include <anysync/channel.h>

#include "base/list.h"
#include "base/memory.h"
#include "base/race.h"
#include "sched/error.h"
#include "sched/wait.h"
#include "thread/brief.h"
#include "thread/fork.h"
#include "thread/refs.h"

#include <errno.h>
#include <string.h>

struct anysync_channel {
    struct asi_brief lock;
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
    struct asi_list list; /* [lock] while `waits` */
    struct asi_party party;
    const void *item; /* a sender's */
    void *ret_item;   /* a receiver's */
    bool waits;       /* [lock] on a queue */
    int status;       /* [lock] set by who took it off */
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
    asi_brief_init(&channel->lock);
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

static void copy(const struct anysync_channel *channel, void *to, const void *from)
{
    if (channel->item_size > 0)
        memcpy(to, from, channel->item_size);
}

static void put(struct anysync_channel *channel, const void *item)
{
    size_t at = channel->first + channel->count++;

    if (at >= channel->capacity)
        at -= channel->capacity;
    copy(channel, channel->ring + at * channel->item_size, item);
}

static void take(struct anysync_channel *channel, void *ret_item)
{
    copy(channel, ret_item, channel->ring + channel->first * channel->item_size);
    if (++channel->first == channel->capacity)
        channel->first = 0;
    channel->count--;
}

/* --- [lock] those who wait -------------------------------------------------------------------- */

static struct turn *take_turn(struct asi_list *queue, int status)
{
    struct turn *turn = asi_container_of(queue->next, struct turn, list);

    asi_list_remove(&turn->list);
    turn->waits = false;
    turn->status = status;
    return turn;
}

/* [lock] Whether somebody waits on QUEUE.  Those that were abandoned (a task that waits and is
 * done) never will take anything. */
static bool is_awaited(struct asi_list *queue)
{
    while (!asi_list_is_empty(queue)) {
        struct turn *turn = asi_container_of(queue->next, struct turn, list);
        if (!asi_party_is_gone(&turn->party))
            return true;
        (void)take_turn(queue, -ECANCELED);
    }
    return false;
}

/* Send without waiting.  False: there is no room.  RET_SERVED: a receiver that got the item. */
static bool send_now(struct anysync_channel *channel, const void *item, struct turn **ret_served)
{
    *ret_served = NULL;
    if (is_awaited(&channel->receivers)) {
        *ret_served = take_turn(&channel->receivers, 0);
        copy(channel, (*ret_served)->ret_item, item);
        return true;
    }
    if (channel->count == channel->capacity)
        return false;
    put(channel, item);
    return true;
}

/* Receive without waiting.  False: there is nothing.  RET_SERVED: a sender whose item went on. */
static bool recv_now(struct anysync_channel *channel, void *ret_item, struct turn **ret_served)
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

static int say_why(int error, const char *call)
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

/* TURN was put on a queue: wait for it, or take it off again. */
static int wait_turn(struct anysync_channel *channel, struct turn *turn, anysync_time deadline)
{
    int error = asi_party_wait(&turn->party, 0, deadline, true);

    if (!error)
        return turn->status;
    asi_race_point();
    asi_brief_take(&channel->lock);
    bool waits = turn->waits;
    if (waits)
        asi_list_remove(&turn->list);
    asi_brief_give(&channel->lock);
    if (waits)
        return error;
    (void)asi_party_wait(&turn->party, 0, ANYSYNC_FOREVER, false); /* it is on its way */
    return turn->status;
}

/* Deliver to all of CHAIN, which are off their queues. */
static void deliver_all(struct asi_list *chain)
{
    while (!asi_list_is_empty(chain)) {
        struct turn *turn = asi_container_of(chain->next, struct turn, list);
        asi_list_remove(&turn->list); /* before it may go */
        asi_party_deliver(&turn->party);
    }
}

/* Send or receive now, or else join those who wait, if ENQUEUE.  Returns -EAGAIN when it was not
 * possible now, or what the call returns. */
static int attempt(struct anysync_channel *channel, bool sending, struct turn *turn, bool enqueue)
{
    struct turn *served = NULL;
    int status = 0;

    asi_brief_take(&channel->lock);
    if (sending && channel->closed)
        status = -EPIPE;
    else if (sending ? !send_now(channel, turn->item, &served)
                     : !recv_now(channel, turn->ret_item, &served))
        status = channel->closed ? ANYSYNC_DONE : -EAGAIN;
    if (status == -EAGAIN && enqueue) {
        turn->waits = true;
        asi_list_add(sending ? &channel->senders : &channel->receivers, &turn->list);
    }
    asi_brief_give(&channel->lock);
    if (served)
        asi_party_deliver(&served->party);
    return status;
}

static int pass(
        struct anysync_channel *channel, bool sending, struct turn *turn, anysync_time deadline)
{
    if (channel->generation != asi_fork_generation)
        return -EOWNERDEAD;
    int status = attempt(channel, sending, turn, false);
    if (status != -EAGAIN)
        return status;
    status = may_wait(deadline);
    if (status)
        return status;
    asi_party_init(&turn->party, asi_world());
    status = attempt(channel, sending, turn, true);
    return status == -EAGAIN ? wait_turn(channel, turn, deadline) : status;
}

int anysync_channel_send(struct anysync_channel *channel, const void *item, anysync_time deadline)
{
    struct turn turn;

    turn.item = item;
    return say_why(pass(channel, true, &turn, deadline), __func__);
}

int anysync_channel_recv(struct anysync_channel *channel, void *ret_item, anysync_time deadline)
{
    struct turn turn;

    turn.ret_item = ret_item;
    return say_why(pass(channel, false, &turn, deadline), __func__);
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
    asi_brief_take(&channel->lock);
    channel->closed = true;
    move_all(&channel->senders, &senders, -EPIPE);
    move_all(&channel->receivers, &receivers, ANYSYNC_DONE);
    asi_brief_give(&channel->lock);
    deliver_all(&senders);
    deliver_all(&receivers);
}

size_t anysync_channel_count(struct anysync_channel *channel)
{
    if (channel->generation != asi_fork_generation)
        return 0;
    asi_brief_take(&channel->lock);
    size_t count = channel->count;
    asi_brief_give(&channel->lock);
    return count;
}
