/* SPDX-License-Identifier: MIT */
/*
 * Relay with read-ahead.  (The idea: relay.h; why no wake-up is lost: thread/ring.c.)
 *
 * The body puts items into a ring as long as there is room, and sleeps when there is none; the
 * consumer, whoever it is, takes them out and sleeps when there is none.  While both are awake an
 * item costs no wake and no letter.  The consumer lets the body see room in batches, three quarters
 * of the ring, so a body that slept has something to do when it is woken.
 *
 * WAKING THE BODY  The ring tells the consumer that it has to.  On the loop's own thread that is
 *   done at once; from elsewhere by the letter in the relay.  A body that stopped to sleep for
 *   another reason (a cancel) while that letter is on its way is `owed` a wake: it does not say
 *   that it sleeps again before the letter has come, so there is one letter at most.
 * WAKING THE CONSUMER  The ring tells the body that it has to: one delivery to `party`, which the
 *   consumer wrote before it said that it sleeps.
 * PACE  A consumer that is faster than the body finds the ring empty all the time.  If it looked as
 *   often as it can, each item would cost the body the cache line that it counts in; so it looks a
 *   few hundred nanoseconds apart, and finds several.
 */
#include "sched/relay.h"

#include "sched/scheduler.h"
#include "thread/fork.h"
#include "thread/local.h"
#include "thread/spin.h"

#include <errno.h>

void asi_ahead_init(struct anysync_generator *self, uint32_t read_ahead, char *items)
{
    asi_ring_init(&self->ahead.ring, read_ahead);
    asi_owned_init(&self->ahead.seat, false);
    self->ahead.items = items;
}

enum { LINGER = 32 };

/* --- the body's side -------------------------------------------------------------------------- */

/* On the loop: the body goes on. */
static void go_on(struct anysync_generator *self)
{
    if (asi_relay_is_over(self))
        return;
    self->phase = ASI_RELAY_RUNNING;
    self->asked = true;
    asi_task_wake(self->task);
}

static void deliver_wake(struct asi_letter *letter, void *receiver)
{
    struct anysync_generator *self =
            asi_container_of(letter, struct anysync_generator, ahead.letter);

    (void)receiver;
    self->ahead.owed = false;
    go_on(self);
    asi_relay_unref(self);
}

/* Sleep once, until there may be room. */
static int sleep_for_room(struct anysync_generator *self)
{
    struct asi_ring *ring = &self->ahead.ring;

    self->asked = false;
    if (!self->ahead.owed && !asi_ring_producer_sleeps(ring))
        return 0;
    bool waited_for_owed = self->ahead.owed;
    int error = asi_wait_local(&self->asked, ANYSYNC_FOREVER);
    if (self->asked && !self->closing)
        return 0;
    /* A cancel.  (Or both, and then the mark is down: the wake has come.) */
    if (!waited_for_owed && !asi_ring_producer_back(ring))
        self->ahead.owed = !self->asked || self->closing;
    return asi_call_fails(error ? error : -ECANCELED, error ? NULL : "the generator was closed");
}

int asi_ahead_yield(struct anysync_generator *self, const void *item)
{
    struct asi_ring *ring = &self->ahead.ring;
    size_t size = self->function->item_size;

    while (ASI_UNLIKELY(!asi_ring_has_room(ring))) { /* after a cancel that the body ignored */
        int error = sleep_for_room(self);
        if (error)
            return error;
    }
    asi_relay_copy(self->ahead.items + asi_ring_push_place(ring) * size, item, size);
    if (ASI_UNLIKELY(asi_ring_push(ring))) {
        asi_party_deliver(self->ahead.party);
        asi_graph_delivered();
    }
    while (ASI_UNLIKELY(!asi_ring_has_room(ring))) {
        int error = sleep_for_room(self);
        if (error)
            return error;
    }
    return 0;
}

void asi_ahead_over(struct anysync_generator *self)
{
    if (asi_ring_end(&self->ahead.ring))
        asi_party_deliver(self->ahead.party);
}

/* --- the consumer's side ---------------------------------------------------------------------- */

/* The ring said that the body has to be woken. */
static void wake_body(struct anysync_generator *self)
{
    struct asi_scheduler *scheduler = self->home;

    if (scheduler == asi_scheduler_here()) {
        go_on(self);
        return;
    }
    self->ahead.letter.deliver = deliver_wake;
    asi_relay_ref(self);
    if (!asi_scheduler_post(scheduler, &self->ahead.letter))
        asi_relay_unref(self); /* its loop has ended, and so has the task */
}

/* RET_WAKE: wake_body() has to be called. */
static inline bool pop(struct anysync_generator *self, void *ret_item, bool *ret_wake)
{
    struct asi_ring *ring = &self->ahead.ring;
    size_t size = self->function->item_size;

    if (!asi_ring_has_item(ring))
        return false;
    asi_relay_copy(ret_item, self->ahead.items + asi_ring_pop_place(ring) * size, size);
    *ret_wake = asi_ring_pop(ring);
    return true;
}

/* The same by who has taken the seat for long. */
static bool pop_in_seat(struct anysync_generator *self, void *ret_item)
{
    bool wake;

    if (!pop(self, ret_item, &wake))
        return false;
    if (wake)
        wake_body(self);
    return true;
}

/* A moment in which the body can put in several items: see PACE. */
static bool linger(struct asi_look *look)
{
    for (int i = 0; i < LINGER; i++) {
        if (!asi_look_again(look))
            return false;
    }
    return true;
}

static bool is_ready(struct asi_ring *ring)
{
    return asi_ring_has_item(ring) || asi_ring_is_over(ring);
}

static bool look_for_item(struct asi_ring *ring)
{
    struct asi_look look;

    asi_look_begin(&look, &asi_local.spin, asi_spin_policy());
    while (!is_ready(ring) && linger(&look))
        ;
    bool found = is_ready(ring);
    asi_look_end(&look, found);
    return found;
}

/* Wait until there is an item or the end. */
static int wait_for_item(
        struct anysync_generator *self, enum asi_world world, anysync_time deadline)
{
    struct asi_ring *ring = &self->ahead.ring;
    struct asi_party party;

    if (world == ASI_WORLD_TASK) {
        int refused = asi_wait_checkpoint();
        if (refused)
            return refused;
    } else if (deadline != ANYSYNC_POLL && look_for_item(ring)) {
        return 0;
    }
    asi_party_init(&party, world);
    self->ahead.party = &party;
    if (!asi_ring_consumer_sleeps(ring))
        return 0;
    struct anysync_future *future = &self->task->future;
    struct asi_aim aim = {.futures = &future, .count = 1, .hidden = true, .loose = true};
    bool extra;
    int error = asi_party_wait_aimed(&party, 0, deadline, true, &aim, &extra);
    if (error && !asi_ring_consumer_back(ring)) {
        (void)asi_party_wait(&party, extra, ANYSYNC_FOREVER, false); /* the delivery is due */
        return 0;
    }
    return error;
}

static int next_in_seat(struct anysync_generator *self, void *ret_item, anysync_time deadline)
{
    struct asi_ring *ring = &self->ahead.ring;
    enum asi_world world = asi_world();

    for (;;) {
        if (ASI_UNLIKELY(asi_flag_get(&self->closed)))
            return asi_relay_is_over(self) ? asi_relay_over(self, NULL) : ANYSYNC_DONE;
        if (ASI_LIKELY(pop_in_seat(self, ret_item)))
            return 0;
        if (asi_ring_is_over(ring))
            return asi_relay_over(self, NULL);
        if (asi_ring_flush(ring))
            wake_body(self);
        int error = wait_for_item(self, world, deadline);
        if (error)
            return pop_in_seat(self, ret_item) ? 0 : asi_relay_gave_up(self, error);
    }
}

/* Take the seat for long, and wait there. */
static __attribute__((noinline)) int next_slowly(
        struct anysync_generator *self, const char *call, void *ret_item, anysync_time deadline)
{
    struct asi_scheduler *here = asi_scheduler_here();
    int error = asi_relay_check(self, call);

    if (error)
        return error;
    if (here && here->current == self->task)
        return asi_relay_refuse(self, ASI_ADVANCED_RUNNING);
    bool owner = asi_owned_take(&self->ahead.seat);
    bool taken = self->ahead.taken;
    self->ahead.taken = true;
    asi_owned_give(&self->ahead.seat, owner);
    if (taken)
        return asi_relay_refuse(self, ASI_ADVANCED_RUNNING);
    error = next_in_seat(self, ret_item, deadline);
    owner = asi_owned_take(&self->ahead.seat);
    self->ahead.taken = false;
    asi_owned_give(&self->ahead.seat, owner);
    return error;
}

int asi_ahead_next(
        struct anysync_generator *self, const char *call, void *ret_item, anysync_time deadline)
{
    struct asi_scheduler *here = asi_scheduler_here();
    bool wake;

    if (ASI_UNLIKELY(self->generation != asi_fork_generation || (here && !here->current) ||
                     !asi_owned_enter(&self->ahead.seat)))
        return next_slowly(self, call, ret_item, deadline);
    bool got = !self->ahead.taken && (!here || here->current != self->task) &&
               !asi_flag_get(&self->closed) && pop(self, ret_item, &wake);
    asi_owned_leave(&self->ahead.seat);
    if (ASI_UNLIKELY(!got))
        return next_slowly(self, call, ret_item, deadline);
    if (ASI_UNLIKELY(wake))
        wake_body(self);
    return 0;
}
