/* SPDX-License-Identifier: MIT */
/*
 * Relay: consumers from elsewhere, in lock step.  (The idea: relay.h.)
 *
 * One consumer at a time (`taken`) sends its request by the letter in the relay, and sleeps on a
 * party on its stack.  Who takes `party` out, under the lock, decides: the loop (then a delivery is
 * due, and the consumer waits for it), or the consumer that leaves.  It leaves the request
 * `in_flight`, and the next consumer joins that instead of sending one: so the letter is on its way
 * once at most.
 */
#include "sched/relay.h"

#include "sched/scheduler.h"

#include <errno.h>

/* --- the loop's side -------------------------------------------------------------------------- */

/* Give the remote its answer.  Returns whether somebody was there to take it. */
bool asi_remote_answer(struct anysync_generator *self, enum asi_advanced result, const void *item)
{
    struct asi_remote *remote = &self->remote;

    asi_lock_take(&remote->lock);
    struct asi_party *party = remote->party;
    remote->party = NULL;
    if (party) {
        remote->result = result;
        remote->answered = true;
        if (result == ASI_ADVANCED_ITEM)
            asi_relay_copy(remote->item, item, self->function->item_size);
    } else {
        remote->in_flight = false;
    }
    asi_lock_give(&remote->lock);
    if (party) {
        asi_party_deliver(party);
        asi_graph_delivered();
    }
    return party;
}

/* Whether a consumer from elsewhere waits; one that left is forgotten. */
bool asi_remote_is_there(struct anysync_generator *self)
{
    struct asi_remote *remote = &self->remote;

    if (ASI_LIKELY(!self->remote_waits))
        return false;
    asi_lock_take(&remote->lock);
    bool there = remote->party;
    if (!there)
        remote->in_flight = false;
    asi_lock_give(&remote->lock);
    self->remote_waits = there;
    return there;
}

static void deliver_request(struct asi_letter *letter, void *receiver)
{
    struct anysync_generator *self =
            asi_container_of(letter, struct anysync_generator, remote.letter);
    struct asi_advance *advance = &self->remote.advance;
    enum asi_advanced result;

    (void)receiver;
    if (asi_relay_is_over(self)) /* then perhaps a loop that was opened later has got the letter */
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
    asi_relay_unref(self);
}

/* --- the consumer's side ---------------------------------------------------------------------- */

/* The caller becomes the one remote consumer, with PARTY.  RET_JOINED: a request is in flight, and
 * its answer will be the caller's. */
static enum asi_advanced enter_remote(struct anysync_generator *self, struct asi_advance *advance,
        struct asi_party *party, bool *ret_joined)
{
    struct asi_remote *remote = &self->remote;
    enum asi_advanced result = ASI_ADVANCED_LATER;

    asi_lock_take(&remote->lock);
    *ret_joined = remote->in_flight;
    if (remote->taken)
        result = ASI_ADVANCED_RUNNING;
    else if (remote->in_flight && advance->kind != ASI_ADVANCE_NEXT)
        result = ASI_ADVANCED_DUE;
    if (result == ASI_ADVANCED_LATER) {
        remote->taken = true;
        remote->in_flight = true;
        remote->party = party;
    }
    asi_lock_give(&remote->lock);
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
    asi_relay_ref(self);
    if (asi_scheduler_post(self->task->scheduler, &remote->letter)) {
        *advance = (struct asi_advance){.kind = ASI_ADVANCE_NEXT}; /* the letter's now */
        return true;
    }
    asi_relay_unref(self);
    return false;
}

/* End the call.  SENT false: no answer will come.  RET_ANSWERED: a delivery was made or is due. */
static enum asi_advanced leave_remote(
        struct anysync_generator *self, bool sent, void *ret_item, bool *ret_answered)
{
    struct asi_remote *remote = &self->remote;
    enum asi_advanced result = ASI_ADVANCED_LATER;

    asi_lock_take(&remote->lock);
    *ret_answered = remote->answered;
    if (remote->answered) {
        result = remote->result;
        if (result == ASI_ADVANCED_ITEM)
            asi_relay_copy(ret_item, remote->item, self->function->item_size);
    }
    if (remote->answered || !sent)
        remote->in_flight = false;
    remote->answered = false;
    remote->party = NULL;
    remote->taken = false;
    asi_lock_give(&remote->lock);
    return result;
}

enum asi_advanced asi_remote_advance(struct anysync_generator *self, struct asi_advance *advance,
        void *ret_item, anysync_time deadline, int *ret_error)
{
    enum asi_world world = asi_world();
    struct asi_party party;
    bool joined, answered;

    if (world == ASI_WORLD_TASK) {
        *ret_error = asi_wait_checkpoint(); /* who is cancelled asks for nothing */
        if (*ret_error)
            return ASI_ADVANCED_LATER;
    }
    asi_party_init(&party, world);
    enum asi_advanced result = enter_remote(self, advance, &party, &joined);
    if (result != ASI_ADVANCED_LATER)
        return result;
    if (!joined && !send_request(self, advance)) {
        (void)leave_remote(self, false, NULL, &answered);
        *ret_error = asi_wait_started(world, &self->task->future, deadline);
        return *ret_error ? ASI_ADVANCED_LATER : ASI_ADVANCED_OVER;
    }
    struct anysync_future *future = &self->task->future;
    struct asi_aim aim = {.futures = &future, .count = 1, .hidden = true, .loose = true};
    bool extra;
    int error = asi_party_wait_aimed(&party, 0, deadline, true, &aim, &extra);
    result = leave_remote(self, true, ret_item, &answered);
    if (error && answered)
        (void)asi_party_wait(&party, extra, ANYSYNC_FOREVER, false); /* it is due */
    *ret_error = answered ? 0 : error;
    return result;
}
