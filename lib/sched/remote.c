/* SPDX-License-Identifier: MIT */
/*
 * Relay: consumers from elsewhere, in lock step.  (The idea: relay.h.)
 *
 * One consumer at a time sends its request by the letter in the relay, and sleeps on a party on
 * its stack.  Who takes `consumer` out, under the lock, decides: the loop (then the answer goes
 * straight to the consumer's stack, and a delivery is due, for which it waits), or the consumer
 * that leaves.  It leaves the request `in_flight`, and the next consumer joins that instead of
 * sending one: so the letter is on its way once at most.  A consumer that was answered touches
 * nothing shared any more.
 *
 * The letter has one reference to the relay for all its journeys (`kept`).  It goes when the body
 * has ended and no request is in flight: as the body ends, as the last letter is answered, or when
 * it cannot be sent any more.  From then on nobody sends one.
 */
#include "sched/relay.h"

#include "sched/scheduler.h"
#include "thread/local.h"

#include <errno.h>

/* --- the loop's side -------------------------------------------------------------------------- */

static bool is_small(const struct anysync_generator *self)
{
    return self->function->item_size <= ASI_SMALL_ITEM;
}

/* [lock] The consumer that waits; one whose task was abandoned is forgotten. */
static struct asi_consumer *consumer_of(struct asi_remote *remote)
{
    if (remote->consumer && asi_party_is_gone(&remote->consumer->party))
        remote->consumer = NULL;
    return remote->consumer;
}

/* Give the remote its answer.  Returns whether somebody was there to take it. */
bool asi_remote_answer(struct anysync_generator *self, enum asi_advanced result, const void *item)
{
    struct asi_remote *remote = &self->remote;

    asi_brief_take(&remote->lock);
    struct asi_consumer *consumer = consumer_of(remote);
    remote->consumer = NULL;
    remote->in_flight = false;
    asi_brief_give(&remote->lock);
    if (!consumer)
        return false;
    /* It waits for the delivery, whatever happens: so this is its memory still. */
    if (result == ASI_ADVANCED_ITEM)
        asi_relay_copy(
                is_small(self) ? consumer->small : consumer->to, item, self->function->item_size);
    consumer->result = (unsigned char)result;
    bool edge = consumer->edge;
    asi_party_deliver(&consumer->party);
    if (edge)
        asi_graph_delivered();
    return true;
}

/* Whether a consumer from elsewhere waits; one that left is forgotten. */
bool asi_remote_is_there(struct anysync_generator *self)
{
    struct asi_remote *remote = &self->remote;

    if (ASI_LIKELY(!self->remote_waits))
        return false;
    asi_brief_take(&remote->lock);
    bool there = consumer_of(remote);
    if (!there)
        remote->in_flight = false;
    asi_brief_give(&remote->lock);
    self->remote_waits = there;
    return there;
}

/* The body has ended: let go of the letter's reference, unless a letter is out. */
void asi_remote_over(struct anysync_generator *self)
{
    struct asi_remote *remote = &self->remote;

    asi_brief_take(&remote->lock);
    bool drop = remote->kept && !remote->in_flight;
    if (drop)
        remote->kept = false;
    asi_brief_give(&remote->lock);
    if (drop)
        asi_relay_unref(self);
}

static void deliver_request(struct asi_letter *letter, void *receiver)
{
    struct anysync_generator *self =
            asi_container_of(letter, struct anysync_generator, remote.letter);
    struct asi_advance *advance = &self->remote.advance;
    enum asi_advanced result;

    (void)receiver;
    if (asi_relay_is_over(self)) /* perhaps a loop that was opened later has the letter */
        result = ASI_ADVANCED_OVER;
    else if (self->seeker)
        result = ASI_ADVANCED_RUNNING;
    else
        result = asi_relay_start(self, advance);
    asi_relay_drop(advance);
    if (result == ASI_ADVANCED_LATER)
        self->remote_waits = true;
    else if (asi_remote_answer(self, result, self->slot) && result == ASI_ADVANCED_ITEM)
        asi_relay_take_slot(self);
    if (asi_relay_is_over(self)) /* now, or before */
        asi_remote_over(self);
}

/* --- the consumer's side ---------------------------------------------------------------------- */

/* CONSUMER becomes the one remote consumer.  RET_JOINED: a request is in flight, and its answer
 * will be the caller's. */
static enum asi_advanced enter_remote(struct anysync_generator *self, struct asi_advance *advance,
        struct asi_consumer *consumer, bool *ret_joined)
{
    struct asi_remote *remote = &self->remote;
    enum asi_advanced result = ASI_ADVANCED_LATER;

    asi_brief_take(&remote->lock);
    *ret_joined = remote->in_flight;
    if (!remote->kept)
        result = ASI_ADVANCED_OVER;
    else if (consumer_of(remote))
        result = ASI_ADVANCED_RUNNING;
    else if (remote->in_flight && advance->kind != ASI_ADVANCE_NEXT)
        result = ASI_ADVANCED_DUE;
    if (result == ASI_ADVANCED_LATER) {
        remote->in_flight = true;
        remote->consumer = consumer;
    }
    asi_brief_give(&remote->lock);
    return result;
}

/* Send the request.  False: the loop is closed. */
static bool send_request(struct anysync_generator *self, struct asi_advance *advance)
{
    struct asi_remote *remote = &self->remote;

    remote->advance = *advance;
    if (advance->kind == ASI_ADVANCE_SEND) {
        asi_relay_copy(remote->sent, advance->value, self->function->sent_size);
        remote->advance.value = remote->sent;
    }
    remote->letter.deliver = deliver_request;
    if (!asi_scheduler_post(self->home, &remote->letter))
        return false;
    *advance = (struct asi_advance){.kind = ASI_ADVANCE_NEXT}; /* the letter's now */
    return true;
}

/* CONSUMER gives up, and leaves its request in flight; SENT false: there is none.  Returns false:
 * it was taken out, and its delivery is due. */
static bool leave_remote(struct anysync_generator *self, struct asi_consumer *consumer, bool sent)
{
    struct asi_remote *remote = &self->remote;

    asi_brief_take(&remote->lock);
    bool mine = remote->consumer == consumer;
    if (mine)
        remote->consumer = NULL;
    if (!sent) {
        remote->in_flight = false;
        remote->kept = false;
    }
    asi_brief_give(&remote->lock);
    if (!sent)
        asi_relay_unref(self); /* the letter's; the caller has another */
    return mine;
}

/* Wait for the answer.  Returns 0 when it has come. */
static int wait_for_answer(
        struct anysync_generator *self, struct asi_consumer *consumer, anysync_time deadline)
{
    struct anysync_future *future = &self->task->future;
    struct asi_aim aim = {.futures = &future, .count = 1, .hidden = true, .loose = true};
    bool extra;
    int error = asi_party_wait_aimed(&consumer->party, 0, deadline, true, &aim, &extra);

    if (!error || leave_remote(self, consumer, true))
        return error;
    (void)asi_party_wait(&consumer->party, extra, ANYSYNC_FOREVER, false);
    return 0;
}

enum asi_advanced asi_remote_advance(struct anysync_generator *self, struct asi_advance *advance,
        void *ret_item, anysync_time deadline, int *ret_error)
{
    enum asi_world world = asi_world();
    struct asi_consumer consumer;
    bool joined;

    if (world == ASI_WORLD_TASK) {
        *ret_error = asi_wait_checkpoint(); /* who is cancelled asks for nothing */
        if (*ret_error)
            return ASI_ADVANCED_LATER;
    }
    asi_party_init(&consumer.party, world);
    consumer.to = ret_item;
    consumer.edge = asi_scheduler_here() || asi_local.job;
    enum asi_advanced result = enter_remote(self, advance, &consumer, &joined);
    if (result != ASI_ADVANCED_LATER)
        return result;
    if (!joined && !send_request(self, advance)) {
        (void)leave_remote(self, &consumer, false);
        *ret_error = asi_wait_started(world, &self->task->future, deadline);
        return *ret_error ? ASI_ADVANCED_LATER : ASI_ADVANCED_OVER;
    }
    *ret_error = wait_for_answer(self, &consumer, deadline);
    if (*ret_error)
        return ASI_ADVANCED_LATER;
    if (consumer.result == ASI_ADVANCED_ITEM && is_small(self))
        asi_relay_copy(ret_item, consumer.small, self->function->item_size);
    return (enum asi_advanced)consumer.result;
}
