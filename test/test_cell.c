/* SPDX-License-Identifier: MIT */
/*
 * Cell (lib/thread/cell.h).
 *
 * Promised                                  Tested by
 *   done after complete, not before           a_cell_is_done_when_it_was_completed
 *   claim: true once                          only_one_claim_succeeds,
 *                                             stress_one_of_many_claims_succeeds
 *   no memory: NULL                           no_memory_for_a_link_is_told
 *   join after complete is refused            joining_a_done_cell_is_refused
 *   complete delivers once to each            completion_delivers_once_to_each_waiter
 *   who left gets nothing                     who_has_left_gets_nothing
 *   leaving after the delivery says so        leaving_after_completion_is_too_late
 *   one waiter, many links                    one_waiter_may_join_many_times
 *   a second completion stops the program     completing_twice_stops_the_program
 *   links left behind stay few                links_left_behind_are_swept, a_sweep_keeps_live_links
 *   no link is lost (count of takes and       the same, and under the address sanitizer all of them
 *   gives; leak check)
 *   join and leave in every order             every_order_of_joins_leaves_and_completion_is_right
 *   waiters, leavers, completer at once:      stress_each_waiter_is_delivered_once_or_has_left
 *   each delivered once or left; the result   (a lost delivery hangs: time limit)
 *   is visible (TSan)
 *   sweeps against completion                 stress_sweeps_lose_no_delivery,
 *                                             stress_long_waiters_survive_all_sweeps
 *   the cell may go when it is known done     stress_a_done_cell_may_be_freed_at_once
 */
#include "harness.h"

#include "fault.h"
#include "thread/cell.h"
#include "thread/thread.h"

#include <signal.h>
#include <stdatomic.h>

static struct asi_link *new_link(void)
{
    struct asi_link *link = asi_link_new();

    CHECK(link != NULL);
    return link;
}

static struct asi_link *joined(struct asi_cell *cell, struct asi_waiter *waiter)
{
    struct asi_link *link = new_link();

    CHECK(asi_cell_join(cell, link, waiter));
    return link;
}

TEST(a_cell_is_done_when_it_was_completed)
{
    struct asi_cell cell;

    asi_cell_init(&cell);
    CHECK(!asi_cell_done(&cell));
    asi_cell_complete(&cell);
    CHECK(asi_cell_done(&cell));
    asi_cell_fini(&cell);
}

TEST(only_one_claim_succeeds)
{
    struct asi_cell cell;

    asi_cell_init(&cell);
    CHECK(asi_cell_claim(&cell));
    CHECK(!asi_cell_claim(&cell));
    CHECK(!asi_cell_done(&cell));
    asi_cell_complete(&cell);
    CHECK(!asi_cell_claim(&cell));
    asi_cell_fini(&cell);
}

TEST(joining_a_done_cell_is_refused)
{
    struct asi_waiter waiter;
    struct asi_cell cell;

    asi_waiter_init(&waiter, NULL);
    asi_cell_init(&cell);
    asi_cell_complete(&cell);
    struct asi_link *link = new_link();
    CHECK(!asi_cell_join(&cell, link, &waiter));
    CHECK_EQ(asi_waiter_count(&waiter), 0);
    asi_link_free(link); /* still ours */
    asi_cell_fini(&cell);
}

TEST(completion_delivers_once_to_each_waiter)
{
    struct asi_waiter waiters[5];
    struct asi_link *links[5];
    struct asi_cell cell;

    asi_cell_init(&cell);
    for (int i = 0; i < 5; i++) {
        asi_waiter_init(&waiters[i], NULL);
        links[i] = joined(&cell, &waiters[i]);
    }
    asi_cell_complete(&cell);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(asi_waiter_count(&waiters[i]), 1);
        CHECK(!asi_cell_leave(&cell, links[i]));
        asi_link_free(links[i]);
    }
    asi_cell_fini(&cell);
}

TEST(who_has_left_gets_nothing)
{
    struct asi_waiter goes, stays;
    struct asi_cell cell;

    asi_cell_init(&cell);
    asi_waiter_init(&goes, NULL);
    asi_waiter_init(&stays, NULL);
    struct asi_link *link = joined(&cell, &goes);
    struct asi_link *other = joined(&cell, &stays);
    CHECK(asi_cell_leave(&cell, link));
    asi_cell_complete(&cell);
    CHECK_EQ(asi_waiter_count(&goes), 0);
    CHECK_EQ(asi_waiter_count(&stays), 1);
    asi_link_free(other);
    asi_cell_fini(&cell);
}

TEST(leaving_after_completion_is_too_late)
{
    struct asi_waiter waiter;
    struct asi_cell cell;

    asi_cell_init(&cell);
    asi_waiter_init(&waiter, NULL);
    struct asi_link *link = joined(&cell, &waiter);
    asi_cell_complete(&cell);
    CHECK(!asi_cell_leave(&cell, link));
    CHECK_EQ(asi_waiter_count(&waiter), 1);
    asi_link_free(link);
    asi_cell_fini(&cell);
}

TEST(one_waiter_may_join_many_times)
{
    struct asi_waiter waiter;
    struct asi_link *links[3];
    struct asi_cell cell;

    asi_cell_init(&cell);
    asi_waiter_init(&waiter, NULL);
    for (int i = 0; i < 3; i++)
        links[i] = joined(&cell, &waiter);
    CHECK(asi_cell_leave(&cell, links[1]));
    asi_cell_complete(&cell);
    CHECK_EQ(asi_waiter_count(&waiter), 2);
    asi_link_free(links[0]);
    asi_link_free(links[2]);
    asi_cell_fini(&cell);
}

static int complete_twice(void *argument)
{
    struct asi_cell cell;

    (void)argument;
    asi_cell_init(&cell);
    asi_cell_complete(&cell);
    asi_cell_complete(&cell);
    return 0;
}

TEST(completing_twice_stops_the_program)
{
    struct test_child child = test_child(complete_twice, NULL);

    CHECK_EQ(child.signal, SIGABRT);
    CHECK_CONTAINS(child.errors, "a future was completed twice");
    free(child.errors);
}

TEST(no_memory_for_a_link_is_told)
{
    fault_fail("malloc", 1, true);
    struct asi_link *link = asi_link_new();
    fault_clear();
    CHECK(link == NULL);
}

/* --- sweeping --------------------------------------------------------------------------------- */

static int chain_length(struct asi_cell *cell)
{
    int length = 0;

    for (struct asi_link *link = atomic_load(&cell->head); link; link = link->next)
        length++;
    return length;
}

TEST(links_left_behind_are_swept)
{
    struct asi_waiter waiter;
    struct asi_cell cell;

    asi_cell_init(&cell);
    asi_waiter_init(&waiter, NULL);
    for (int i = 0; i < 1000; i++) {
        CHECK(asi_cell_leave(&cell, joined(&cell, &waiter)));
        CHECK_GE(8, chain_length(&cell)); /* a bound on memory */
    }
    asi_cell_complete(&cell);
    CHECK_EQ(asi_waiter_count(&waiter), 0);
    asi_cell_fini(&cell);
}

TEST(a_sweep_keeps_live_links)
{
    enum { LIVE = 20 };
    struct asi_waiter waiters[LIVE], leaver;
    struct asi_link *links[LIVE];
    struct asi_cell cell;

    asi_cell_init(&cell);
    asi_waiter_init(&leaver, NULL);
    for (int i = 0; i < LIVE; i++) {
        asi_waiter_init(&waiters[i], NULL);
        links[i] = joined(&cell, &waiters[i]);
        for (int j = 0; j < 30; j++)
            CHECK(asi_cell_leave(&cell, joined(&cell, &leaver)));
        CHECK_GE(2 * LIVE + 8, chain_length(&cell));
    }
    asi_cell_complete(&cell);
    for (int i = 0; i < LIVE; i++) {
        CHECK_EQ(asi_waiter_count(&waiters[i]), 1);
        asi_link_free(links[i]);
    }
    CHECK_EQ(asi_waiter_count(&leaver), 0);
    asi_cell_fini(&cell);
}

/* --- every order of three waiters and a completion -------------------------------------------- */

enum { WAITERS = 3, STEPS = 2 * WAITERS + 1 };

struct order {
    struct asi_cell cell;
    struct asi_waiter waiters[WAITERS];
    struct asi_link *links[WAITERS];
    bool done;
    int orders; /* tried so far */
};

/* STEPS as numbers: 2i joins waiter i, 2i + 1 lets it leave, the last completes. */
static void take_step(struct order *order, int step)
{
    int i = step / 2;

    if (step == STEPS - 1) {
        asi_cell_complete(&order->cell);
        order->done = true;
    } else if (step % 2 == 0) {
        order->links[i] = new_link();
        if (!asi_cell_join(&order->cell, order->links[i], &order->waiters[i])) {
            CHECK(order->done);
            asi_link_free(order->links[i]);
            order->links[i] = NULL;
        } else {
            CHECK(!order->done);
        }
    } else if (order->links[i]) {
        bool left = asi_cell_leave(&order->cell, order->links[i]);
        CHECK_EQ(left, !order->done);
        CHECK_EQ(asi_waiter_count(&order->waiters[i]), !left);
        if (!left)
            asi_link_free(order->links[i]);
    }
}

static void run_order(struct order *order, const int *steps)
{
    asi_cell_init(&order->cell);
    order->done = false;
    for (int i = 0; i < WAITERS; i++)
        asi_waiter_init(&order->waiters[i], NULL);
    for (int i = 0; i < STEPS; i++)
        take_step(order, steps[i]);
    CHECK(asi_cell_done(&order->cell));
    asi_cell_fini(&order->cell);
    order->orders++;
}

static void swap(int *a, int *b)
{
    int kept = *a;

    *a = *b;
    *b = kept;
}

/* The next larger arrangement of STEPS; false after the last (Knuth, algorithm L). */
static bool next_order(int *steps)
{
    int i = STEPS - 2, j = STEPS - 1;

    while (i >= 0 && steps[i] > steps[i + 1])
        i--;
    if (i < 0)
        return false;
    while (steps[j] < steps[i])
        j--;
    swap(&steps[i], &steps[j]);
    for (i++, j = STEPS - 1; i < j; i++, j--)
        swap(&steps[i], &steps[j]);
    return true;
}

TEST(every_order_of_joins_leaves_and_completion_is_right)
{
    struct order order = {.orders = 0};
    int steps[STEPS];

    for (int i = 0; i < STEPS; i++)
        steps[i] = i;
    do {
        bool sensible = true; /* nobody leaves before joining */
        for (int i = 0; i < WAITERS; i++) {
            int join_at = 0, leave_at = 0;
            for (int at = 0; at < STEPS; at++) {
                join_at = steps[at] == 2 * i ? at : join_at;
                leave_at = steps[at] == 2 * i + 1 ? at : leave_at;
            }
            sensible = sensible && join_at < leave_at;
        }
        if (sensible)
            run_order(&order, steps);
    } while (next_order(steps));
    CHECK_EQ(order.orders, 5040 / 8);
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { THREADS = 6, ROUNDS_EACH = 4 };

struct crowd {
    struct asi_cell *cell;
    int result; /* plain: written before the completion, read by who knows of it */
    int after;  /* plain: written by who came to know, to be seen by who frees */
    atomic_int ready;
    atomic_int told;   /* waiters that knew of the completion */
    int leaver_rounds; /* how often each thread joins and leaves before it waits to the end */
};

/* Wait until the cell is done, having given up LEAVER_ROUNDS times. */
static void wait_for_it(struct crowd *crowd, int rounds)
{
    for (int round = 0;; round++) {
        struct asi_waiter waiter; /* on this stack: a late delivery would be found by ASan */
        struct asi_link *link = new_link();

        asi_waiter_init(&waiter, NULL);
        if (!asi_cell_join(crowd->cell, link, &waiter)) {
            asi_link_free(link);
            break;
        }
        if (round < rounds && asi_cell_leave(crowd->cell, link)) {
            CHECK_EQ(asi_waiter_count(&waiter), 0);
            continue;
        }
        CHECK(asi_waiter_sleep(&waiter, 0, ANYSYNC_FOREVER));
        CHECK_EQ(asi_waiter_count(&waiter), 1);
        asi_link_free(link);
        break;
    }
    CHECK_EQ(crowd->result, 42);
}

static void crowd_member(void *argument, int index)
{
    struct crowd *crowd = argument;

    if (index > 0) {
        atomic_fetch_add_explicit(&crowd->ready, 1, memory_order_relaxed);
        wait_for_it(crowd, index % 3 * crowd->leaver_rounds);
        return;
    }
    while (atomic_load_explicit(&crowd->ready, memory_order_relaxed) < THREADS / 2)
        asi_thread_yield();
    crowd->result = 42;
    asi_cell_complete(crowd->cell);
}

static void run_crowd(long rounds, int leaver_rounds)
{
    for (long round = 0; round < rounds; round++) {
        struct asi_cell cell;
        struct crowd crowd = {.cell = &cell, .leaver_rounds = leaver_rounds};

        asi_cell_init(&cell);
        test_together(THREADS, crowd_member, &crowd);
        asi_cell_fini(&cell);
    }
}

TEST(stress_each_waiter_is_delivered_once_or_has_left)
{
    run_crowd(test_scaled(2000), ROUNDS_EACH);
}

TEST(stress_sweeps_lose_no_delivery)
{
    run_crowd(test_scaled(1000), 100);
}

/* Each thread has a waiter that stays for the whole life of the cell; sweeps go on around it. */
static void sweep_around(void *argument, int index)
{
    struct crowd *crowd = argument;
    struct asi_waiter waiter, leaver;

    if (index == 0) {
        while (atomic_load_explicit(&crowd->ready, memory_order_relaxed) < THREADS - 1)
            asi_thread_yield();
        crowd->result = 42;
        asi_cell_complete(crowd->cell);
        return;
    }
    asi_waiter_init(&waiter, NULL);
    asi_waiter_init(&leaver, NULL);
    struct asi_link *link = new_link();
    bool did_join = asi_cell_join(crowd->cell, link, &waiter);
    CHECK(did_join); /* the completer waits for all of us */
    for (int i = 0; i < 500; i++) {
        if (i == 20)
            atomic_fetch_add_explicit(&crowd->ready, 1, memory_order_relaxed);
        struct asi_link *other = new_link();
        uint32_t before = asi_waiter_count(&leaver);
        if (!asi_cell_join(crowd->cell, other, &leaver)) {
            asi_link_free(other);
            break;
        }
        if (!asi_cell_leave(crowd->cell, other)) {
            CHECK(asi_waiter_sleep(&leaver, before, ANYSYNC_FOREVER));
            asi_link_free(other);
        }
    }
    CHECK(asi_waiter_sleep(&waiter, 0, ANYSYNC_FOREVER));
    CHECK_EQ(asi_waiter_count(&waiter), 1);
    CHECK(!asi_cell_leave(crowd->cell, link));
    asi_link_free(link);
    CHECK_EQ(crowd->result, 42);
}

TEST(stress_long_waiters_survive_all_sweeps)
{
    for (long round = 0; round < test_scaled(500); round++) {
        struct asi_cell cell;
        struct crowd crowd = {.cell = &cell};

        asi_cell_init(&cell);
        test_together(THREADS, sweep_around, &crowd);
        asi_cell_fini(&cell);
    }
}

/* One waiter learns of the completion, by looking or by delivery, and frees the cell at once. */
static void free_when_done(void *argument, int index)
{
    struct crowd *crowd = argument;

    if (index == 0) {
        crowd->result = 42;
        asi_cell_complete(crowd->cell);
        return;
    }
    if (crowd->leaver_rounds % 2 == 0) {
        wait_for_it(crowd, crowd->leaver_rounds);
    } else {
        while (!asi_cell_done(crowd->cell))
            asi_thread_yield();
        CHECK_EQ(crowd->result, 42);
    }
    asi_cell_fini(crowd->cell);
    free(crowd->cell);
}

TEST(stress_a_done_cell_may_be_freed_at_once)
{
    for (long round = 0; round < test_scaled(4000); round++) {
        struct crowd crowd = {.leaver_rounds = (int)(round % 8)};

        crowd.cell = malloc(sizeof(*crowd.cell));
        CHECK(crowd.cell != NULL);
        asi_cell_init(crowd.cell);
        test_together(2, free_when_done, &crowd);
    }
}

struct race_for_claim {
    struct asi_cell cell;
    atomic_int winners;
};

static void claim(void *argument, int index)
{
    struct race_for_claim *race = argument;

    (void)index;
    if (asi_cell_claim(&race->cell))
        atomic_fetch_add(&race->winners, 1);
}

TEST(stress_one_of_many_claims_succeeds)
{
    for (long round = 0; round < test_scaled(1000); round++) {
        struct race_for_claim race = {.winners = 0};

        asi_cell_init(&race.cell);
        test_together(4, claim, &race);
        CHECK_EQ(atomic_load(&race.winners), 1);
        asi_cell_fini(&race.cell);
    }
}
