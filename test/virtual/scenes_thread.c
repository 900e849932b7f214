/* SPDX-License-Identifier: MIT */
/*
 * Scenes of lib/thread: mailbox, cell, waiter, locks.  (What a scene is: virtual.h.)
 */
#include "virtual.h"

#include "base/memory.h"
#include "thread/brief.h"
#include "thread/cell.h"
#include "thread/doorbell.h"
#include "thread/local.h"
#include "thread/mailbox.h"
#include "thread/once.h"
#include "thread/owned.h"
#include "thread/refs.h"
#include "thread/waiter.h"

#include <anysync.h>

#include <poll.h>

/* --- mailbox and doorbell --------------------------------------------------------------------- */

enum { PRODUCERS = 2, EACH = 2 };

struct parcel {
    struct asi_letter letter;
    int content;
};

static struct asi_mailbox mailbox;
static struct asi_doorbell bell;
static struct parcel parcels[PRODUCERS][EACH];
static int refused[PRODUCERS];
static bool parked; /* what the consumer wrote before it parked */

static void produce(void *argument)
{
    struct parcel *own = argument;

    for (int i = 0; i < EACH; i++) {
        own[i].content = i + 1;
        switch (asi_mailbox_push(&mailbox, &own[i].letter)) {
        case ASI_PUSH_WAKE:
            VIRTUAL_CHECK(parked);
            asi_doorbell_ring(&bell);
            break;
        case ASI_PUSH_CLOSED:
            refused[own == parcels[1]] = 1;
            return;
        case ASI_PUSH_QUEUED:
            break;
        }
    }
}

/* Take what is there.  Returns how many. */
static int take(int *last)
{
    int count = 0;

    for (struct asi_letter *letter = asi_mailbox_take_all(&mailbox); letter;) {
        struct parcel *parcel = (struct parcel *)(void *)letter;
        int producer = parcel >= parcels[1];
        letter = letter->next;
        VIRTUAL_CHECK(parcel->content == last[producer] + 1); /* in the order of its producer */
        last[producer]++;
        count++;
    }
    return count;
}

/* Until a ring after TICKET. */
static void sleep_on_bell(int fd, uint32_t ticket)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    if (fd < 0) {
        (void)asi_doorbell_sleep(&bell, ticket, ANYSYNC_FOREVER);
        return;
    }
    VIRTUAL_CHECK(poll(&ready, 1, -1) == 1);
    asi_doorbell_drain(&bell);
}

/* POLLS: the first of them in a poll of descriptors. */
static void consume(int most, bool polls)
{
    int last[PRODUCERS] = {0}, count = 0, fd = -1;

    while (count < most) {
        count += take(last);
        uint32_t ticket = asi_doorbell_ticket(&bell);
        if (count == most)
            break;
        if (polls && count == 0) {
            fd = asi_doorbell_use_descriptor(&bell);
        } else if (polls) {
            asi_doorbell_use_word(&bell);
            fd = -1;
        }
        if (!parked) /* who pushed may look late, after a second park */
            parked = true;
        if (asi_mailbox_park(&mailbox))
            sleep_on_bell(fd, ticket);
    }
}

static void pass_parcels(bool polls)
{
    asi_mailbox_init(&mailbox);
    asi_doorbell_init(&bell);
    int first = virtual_start(produce, parcels[0]);
    int second = virtual_start(produce, parcels[1]);
    consume(PRODUCERS * EACH, polls);
    virtual_join(first);
    virtual_join(second);
    VIRTUAL_CHECK(refused[0] + refused[1] == 0);
}

SCENE(mailbox_wakes_its_consumer, 3, 1)
{
    pass_parcels(false);
}

SCENE(mailbox_wakes_its_consumer_from_a_poll, 3, 1)
{
    pass_parcels(true);
}

SCENE(mailbox_closes_with_nothing_in_it, 3, 1)
{
    int last[PRODUCERS] = {0}, count = 0;

    asi_mailbox_init(&mailbox);
    asi_doorbell_init(&bell);
    int first = virtual_start(produce, parcels[0]);
    int second = virtual_start(produce, parcels[1]);
    do
        count += take(last);
    while (!asi_mailbox_close(&mailbox));
    virtual_join(first);
    virtual_join(second);
    /* who was refused stopped at its first one */
    VIRTUAL_CHECK(count >= (PRODUCERS - refused[0] - refused[1]) * EACH);
}

/* --- cell and waiter -------------------------------------------------------------------------- */

static struct asi_cell *cell;
static struct asi_waiter waiters[2];
static int published;

static void complete(void *unused)
{
    (void)unused;
    published = 42;
    asi_cell_complete(cell);
}

static void wait_for_cell(struct asi_waiter *waiter)
{
    struct asi_link *link = asi_link_new();

    asi_waiter_init(waiter, NULL);
    if (asi_cell_join(cell, link, waiter))
        VIRTUAL_CHECK(asi_waiter_sleep(waiter, 0, ANYSYNC_FOREVER));
    asi_link_free(link);
    VIRTUAL_CHECK(published == 42); /* whatever told that it is done */
    VIRTUAL_CHECK(asi_cell_done(cell));
}

static void wait_as_second(void *unused)
{
    (void)unused;
    wait_for_cell(&waiters[1]);
}

static size_t used_before;

static void new_cell(void)
{
    used_before = virtual_in_use();
    cell = asi_allocate(sizeof(*cell));
    asi_cell_init(cell);
}

/* All links have been freed. */
static void free_cell(void)
{
    asi_cell_fini(cell);
    asi_free(cell);
    VIRTUAL_CHECK(virtual_in_use() == used_before);
}

SCENE(cell_wakes_all_who_joined, 3, 1)
{
    new_cell();
    int completer = virtual_start(complete, NULL);
    int second = virtual_start(wait_as_second, NULL);
    wait_for_cell(&waiters[0]);
    virtual_join(second);
    virtual_join(completer);
    asi_free(cell);
}

/* Who learns that it is done may free it, before the completer goes on. */
SCENE(cell_is_free_to_go_once_it_is_done, 4, 1)
{
    new_cell();
    int completer = virtual_start(complete, NULL);
    wait_for_cell(&waiters[0]);
    asi_free(cell);
    virtual_join(completer);
}

static void give_up(void *unused)
{
    struct asi_link *link = asi_link_new();

    (void)unused;
    asi_waiter_init(&waiters[1], NULL);
    if (!asi_cell_join(cell, link, &waiters[1])) {
        asi_link_free(link);
        return;
    }
    if (asi_cell_leave(cell, link))
        return;
    VIRTUAL_CHECK(asi_waiter_sleep(&waiters[1], 0, ANYSYNC_FOREVER)); /* it comes */
    asi_link_free(link);
}

SCENE(cell_is_left_while_it_is_completed, 4, 1)
{
    new_cell();
    int completer = virtual_start(complete, NULL);
    int leaver = virtual_start(give_up, NULL);
    wait_for_cell(&waiters[0]);
    virtual_join(leaver);
    virtual_join(completer);
    free_cell();
}

/* So many leave that one of them sweeps. */
static void leave_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < 9; i++)
        give_up(NULL);
}

SCENE(cell_is_swept_while_it_is_completed, 2, 1)
{
    new_cell();
    int leaver = virtual_start(leave_often, NULL);
    int completer = virtual_start(complete, NULL);
    wait_for_cell(&waiters[0]);
    virtual_join(leaver);
    virtual_join(completer);
    asi_cell_fini(cell);
    asi_free(cell);
}

/* One sweeps while another joins, or has just left. */
SCENE(cell_is_swept_while_another_leaves, 3, 1)
{
    new_cell();
    for (int i = 0; i < 6; i++)
        give_up(NULL);
    struct asi_link *link = asi_link_new();
    asi_waiter_init(&waiters[0], NULL);
    VIRTUAL_CHECK(asi_cell_join(cell, link, &waiters[0]));
    int leaver = virtual_start(give_up, NULL);
    VIRTUAL_CHECK(asi_cell_leave(cell, link));
    virtual_join(leaver);
    free_cell();
}

SCENE(links_left_behind_are_few, 0, 0)
{
    new_cell();
    asi_waiter_init(&waiters[0], NULL);
    struct asi_link *stays = asi_link_new();
    VIRTUAL_CHECK(asi_cell_join(cell, stays, &waiters[0]));
    for (int i = 0; i < 100; i++) {
        give_up(NULL);
        VIRTUAL_CHECK(virtual_in_use() - used_before <= (2 + 8) * 64); /* "at least eight" */
    }
    asi_cell_complete(cell);
    VIRTUAL_CHECK(asi_waiter_count(&waiters[0]) == 1);
    asi_link_free(stays);
    free_cell();
}

SCENE(cell_is_completed_by_who_alone_knows_it, 0, 0)
{
    new_cell();
    give_up(NULL);
    asi_cell_complete_alone(cell);
    free_cell();
}

SCENE(cell_that_is_never_done_frees_its_links, 0, 0)
{
    new_cell();
    give_up(NULL);
    free_cell();
}

static void complete_in_a_handler(void *unused)
{
    asi_local.in_signal++;
    complete(unused);
    asi_local.in_signal--;
}

/* A handler frees nothing: who needs a link next does. */
SCENE(cell_is_completed_by_a_signal_handler, 3, 1)
{
    new_cell();
    int leaver = virtual_start(give_up, NULL);
    int handler = virtual_start(complete_in_a_handler, NULL);
    wait_for_cell(&waiters[0]);
    asi_link_free(asi_link_new());
    virtual_join(leaver);
    virtual_join(handler);
    asi_link_free(asi_link_new());
    free_cell();
}

SCENE(waiter_times_out_or_is_woken, 4, 1)
{
    struct asi_waiter *waiter;

    new_cell();
    waiter = asi_allocate(sizeof(*waiter));
    asi_waiter_init(waiter, NULL);
    struct asi_link *link = asi_link_new();
    int completer = virtual_start(complete, NULL);
    if (!asi_cell_join(cell, link, waiter)) {
        asi_link_free(link);
    } else if (asi_waiter_sleep(waiter, 0, anysync_in_ms(1))) {
        VIRTUAL_CHECK(published == 42);
        asi_link_free(link);
    } else if (!asi_cell_leave(cell, link)) {
        VIRTUAL_CHECK(asi_waiter_sleep(waiter, 0, ANYSYNC_FOREVER));
        asi_link_free(link);
    }
    asi_free(waiter); /* nobody delivers to it any more */
    virtual_join(completer);
    free_cell();
}

static int prepared, woken;

static void on_wake(struct asi_waiter *waiter)
{
    VIRTUAL_CHECK(waiter == &waiters[0] && prepared == 7);
    woken = 1;
}

static void deliver(void *unused)
{
    (void)unused;
    published = 42;
    asi_waiter_deliver(&waiters[0]);
}

/* What it prepares for its wake function it may prepare until it sleeps. */
SCENE(waiter_prepares_before_it_sleeps, 4, 1)
{
    asi_waiter_init(&waiters[0], on_wake);
    int deliverer = virtual_start(deliver, NULL);
    prepared = 7;
    bool slept = asi_waiter_arm(&waiters[0], 0);
    if (!slept)
        VIRTUAL_CHECK(published == 42);
    virtual_join(deliverer);
    VIRTUAL_CHECK(woken == slept && asi_waiter_count(&waiters[0]) == 1);
}

/* --- locks and references --------------------------------------------------------------------- */

static struct asi_brief brief;
static struct asi_owned owned;
static int inside, entered;

static void enter_brief(void *unused)
{
    (void)unused;
    asi_brief_take(&brief);
    VIRTUAL_CHECK(inside++ == 0);
    entered++;
    inside--;
    asi_brief_give(&brief);
}

SCENE(brief_lock_admits_one, 3, 1)
{
    asi_brief_init(&brief);
    int first = virtual_start(enter_brief, NULL);
    int second = virtual_start(enter_brief, NULL);
    enter_brief(NULL);
    virtual_join(first);
    virtual_join(second);
    VIRTUAL_CHECK(entered == 3);
}

static void enter_owned(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        bool by_owner = asi_owned_take(&owned);
        VIRTUAL_CHECK(inside++ == 0);
        entered++;
        inside--;
        asi_owned_give(&owned, by_owner);
    }
}

SCENE(owned_lock_admits_one, 3, 2)
{
    asi_owned_init(&owned, false);
    int first = virtual_start(enter_owned, NULL);
    int second = virtual_start(enter_owned, NULL);
    enter_owned(NULL);
    virtual_join(first);
    virtual_join(second);
    VIRTUAL_CHECK(entered == 6);
}

struct counted {
    struct asi_refs refs;
    int content;
};

static struct counted *counted;

static void drop(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(counted->content == 42);
    if (asi_refs_drop(&counted->refs))
        asi_free(counted);
}

SCENE(last_reference_frees, 4, 1)
{
    size_t before = virtual_in_use();

    counted = asi_allocate(sizeof(*counted));
    asi_refs_init(&counted->refs, 3);
    counted->content = 42;
    int first = virtual_start(drop, NULL);
    int second = virtual_start(drop, NULL);
    drop(NULL);
    virtual_join(first);
    virtual_join(second);
    VIRTUAL_CHECK(virtual_in_use() == before);
}

static struct asi_once once = ASI_ONCE_INIT;
static int made;

static void make(void)
{
    made++;
}

static void need(void *unused)
{
    (void)unused;
    asi_once_run(&once, make);
    VIRTUAL_CHECK(made == 1);
}

SCENE(once_is_once, 4, 1)
{
    int first = virtual_start(need, NULL);
    int second = virtual_start(need, NULL);
    need(NULL);
    virtual_join(first);
    virtual_join(second);
}
