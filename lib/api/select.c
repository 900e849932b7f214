/* SPDX-License-Identifier: MIT */
/*
 * Waiting for whichever of several channels is ready first.
 *
 * All channels are locked at once, in the order of their addresses, to look at each of them and, if
 * none is ready, to join the lines of all: so nobody serves one of the turns while another one is
 * still to be looked at.  From then on who serves a turn under its channel's lock has to win the
 * choice (sched/turn.h).  Whoever is served, or gives up, takes its other turns off their lines one
 * by one; they are passed over meanwhile.
 */
#include "api/channel.h"

#include "base/memory.h"
#include "base/race.h"
#include "sched/error.h"
#include "thread/fork.h"

#include <errno.h>

enum { FEW = 8 };

/* One call. */
struct select {
    const struct anysync_choice *choices;
    size_t count;
    size_t begin;         /* which is looked at first */
    struct place *places; /* COUNT of them */
    struct asi_choice choice;
};

/* What it knows of each choice. */
struct place {
    struct asi_turn turn;
    struct anysync_channel *locked; /* the channels, each once, in the order of their addresses */
    bool owner;                     /* of that */
};

static bool sends(const struct anysync_choice *choice)
{
    return choice->sends;
}

static void *item_of(const struct anysync_choice *choice)
{
    return choice->sends ? (void *)(uintptr_t)choice->sends : choice->receives; /* only read */
}

/* --- all locks -------------------------------------------------------------------------------- */

static void sort_channels(struct select *self)
{
    for (size_t i = 0; i < self->count; i++) {
        struct anysync_channel *channel = self->choices[i].channel;
        size_t at = i;
        for (; at > 0 && (uintptr_t)self->places[at - 1].locked > (uintptr_t)channel; at--)
            self->places[at].locked = self->places[at - 1].locked;
        self->places[at].locked = channel;
    }
    for (size_t i = self->count; i-- > 1;) {
        if (self->places[i].locked == self->places[i - 1].locked)
            self->places[i].locked = NULL;
    }
}

static void lock_all(struct select *self)
{
    for (size_t i = 0; i < self->count; i++) {
        struct place *place = &self->places[i];
        if (place->locked)
            place->owner = asi_owned_take(&place->locked->lock);
    }
}

static void unlock_all(struct select *self)
{
    for (size_t i = 0; i < self->count; i++) {
        struct place *place = &self->places[i];
        if (place->locked)
            asi_owned_give(&place->locked->lock, place->owner);
    }
}

/* --- looking, and joining --------------------------------------------------------------------- */

/* [locks] Do the first that is possible.  As asi_channel_try(). */
static int try_each(struct select *self, size_t *ret_index, struct asi_turn **ret_served)
{
    *ret_served = NULL;
    for (size_t i = 0; i < self->count; i++) {
        size_t at = (self->begin + i) % self->count;
        const struct anysync_choice *choice = &self->choices[at];
        if (!choice->channel)
            continue;
        int status = asi_channel_try(choice->channel, sends(choice), item_of(choice), ret_served);
        if (status == -EAGAIN)
            continue;
        *ret_index = at;
        return status;
    }
    return -EAGAIN;
}

/* [locks] */
static void join_each(struct select *self)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct anysync_choice *choice = &self->choices[i];
        struct asi_turn *turn = &self->places[i].turn;
        turn->waits = false;
        turn->choice = &self->choice;
        turn->task = NULL;
        turn->item = item_of(choice);
        if (choice->channel)
            asi_turn_join(asi_channel_line(choice->channel, sends(choice)), turn);
    }
}

/* Do the first that is possible (-EAGAIN: none is); JOINING: then join all. */
static int attempt(struct select *self, bool joining, size_t *ret_index)
{
    struct asi_turn *served;

    lock_all(self);
    int status = try_each(self, ret_index, &served);
    if (status == -EAGAIN && joining)
        join_each(self);
    unlock_all(self);
    if (served)
        asi_turn_deliver(served);
    return status;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void leave_each(struct select *self)
{
    for (size_t i = 0; i < self->count; i++) {
        struct anysync_channel *channel = self->choices[i].channel;
        struct asi_turn *turn = &self->places[i].turn;
        if (!channel)
            continue;
        bool owner = asi_owned_take(&channel->lock);
        if (turn->waits)
            asi_turn_take(turn, -ECANCELED);
        asi_owned_give(&channel->lock, owner);
    }
}

static int wait_for_one(struct select *self, anysync_time deadline, size_t *ret_index)
{
    struct asi_choice *choice = &self->choice;
    int error = asi_turn_sleep(&choice->sleeper, deadline, true);

    asi_race_point();
    if (error && asi_flag_raise(&choice->decided)) {
        while (asi_turn_sleep(&choice->sleeper, ANYSYNC_FOREVER, false) != 0)
            ; /* one was served, and that is on its way */
        error = 0;
    }
    leave_each(self);
    if (error)
        return error;
    *ret_index = (size_t)(asi_container_of(choice->served, struct place, turn) - self->places);
    return choice->served->status;
}

/* --- the call --------------------------------------------------------------------------------- */

/* Whether CHOICES can be asked for: 0, or why not.  RET_THERE: whether there is any. */
static int examine(const struct anysync_choice *choices, size_t count, bool *ret_there)
{
    *ret_there = false;
    for (size_t i = 0; i < count; i++) {
        if (!choices[i].channel)
            continue;
        *ret_there = true;
        if (choices[i].channel->generation != asi_fork_generation)
            return asi_channel_say(-EOWNERDEAD, "anysync_select");
        if (!choices[i].sends == !choices[i].receives)
            return asi_call_fails(-EINVAL,
                    "choice %zu has to say what it sends, or where to receive: one of both", i);
    }
    return 0;
}

static int select_among(struct select *self, anysync_time deadline, size_t *ret_index)
{
    sort_channels(self);
    int status = attempt(self, false, ret_index);
    if (status != -EAGAIN)
        return status;
    status = asi_turn_may_wait(deadline);
    if (status)
        return status;
    asi_flag_init(&self->choice.decided);
    self->choice.served = NULL;
    asi_turn_init(&self->choice.sleeper);
    status = attempt(self, true, ret_index);
    return status == -EAGAIN ? wait_for_one(self, deadline, ret_index) : status;
}

int anysync_select(const struct anysync_choice *choices, size_t count, anysync_time deadline,
        size_t *ret_index)
{
    struct place few[FEW], *places = few;
    bool there;
    int status = examine(choices, count, &there);

    if (status)
        return status;
    if (!there) {
        *ret_index = count;
        return ANYSYNC_DONE;
    }
    if (count > FEW)
        places = asi_allocate(count * sizeof(*places));
    if (!places)
        return asi_call_fails(-ENOMEM, "no memory to wait for %zu channels", count);
    struct select self = {.choices = choices,
            .count = count,
            .begin = asi_local.selects++ % count,
            .places = places};
    status = select_among(&self, deadline, ret_index);
    if (places != few)
        asi_free(places);
    return asi_channel_say(status, __func__);
}
