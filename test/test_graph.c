/* SPDX-License-Identifier: MIT */
/*
 * The wait-for graph by hand.  (Deadlocks as users meet them: test_deadlock.c.)
 *
 * Promised                                        Tested by
 *   a wait that is over as it is entered looks      what_an_earlier_walk_met_is_not_met_again
 *     at nothing that an earlier one met
 */
#include "sched/graph.h"
#include "worlds.h"

#include <errno.h>

static struct anysync_future *gate;
static struct asi_edge chooser_edge; /* static: what comes after its end is seen here */

ANYSYNC_COROUTINE(void, waits_for_gate)
{
    return anysync_future_wait(gate, ANYSYNC_FOREVER);
}

/* Is in a wait for one of TASKS until the gate opens. */
ANYSYNC_COROUTINE(void, chooser, (struct anysync_future **, tasks))
{
    const struct asi_aim aim = {.futures = tasks, .count = 2};
    struct asi_waiter waiter;
    struct asi_error *why;

    asi_waiter_init(&waiter, NULL);
    CHECK(asi_graph_enter(&chooser_edge, &aim, 0, &waiter, 0));
    int error = anysync_future_wait(gate, ANYSYNC_FOREVER);
    CHECK(!asi_graph_leave(&chooser_edge, &why));
    return error;
}

/* Enter a wait for AIM, after DELIVERIES, and leave it. */
static void enter_and_leave(const struct asi_aim *aim, int deliveries)
{
    struct asi_waiter waiter;
    struct asi_edge edge;
    struct asi_error *why;

    asi_waiter_init(&waiter, NULL);
    while (deliveries-- > 0)
        asi_waiter_deliver(&waiter);
    CHECK(asi_graph_enter(&edge, aim, 0, &waiter, 0));
    CHECK(!asi_graph_leave(&edge, &why));
}

/*
 * This task is awaited, so its waits look around.  The first meets the chooser's wait, which cannot
 * be decided, and remembers it; then that wait ends.  The next has had its delivery as it is
 * entered: it has nothing to look at.
 */
ANYSYNC_COROUTINE(void, looks_around)
{
    static const bool open = true;
    struct anysync_future *tasks[2], *both[2];
    const struct asi_aim one_of_both = {.futures = both, .count = 2};
    const struct asi_aim one = {.futures = tasks, .count = 1};
    const uint64_t mark = 0x5a5a;

    gate = new_gate();
    CHECK_EQ(anysync_spawn(&waits_for_gate_function, NULL, &tasks[0]), 0);
    CHECK_EQ(anysync_spawn(&waits_for_gate_function, NULL, &tasks[1]), 0);
    struct anysync_future **pointer = tasks;
    CHECK_EQ(anysync_spawn(&chooser_function, &pointer, &both[1]), 0);
    both[0] = tasks[0];
    CHECK_EQ(anysync_yield(), 0);
    enter_and_leave(&one_of_both, 0);
    open_gate(gate);
    CHECK_EQ(anysync_wait(both[1], NULL, ANYSYNC_FOREVER), 0);

    anysync_future_unref(tasks[0]);
    CHECK_EQ(anysync_spawn(&waits_for_gate_function, NULL, &tasks[0]), 0);
    chooser_edge.confirmed = mark; /* a walk from there would clear it, and go no further */
    chooser_edge.cuts = UINT64_MAX;
    chooser_edge.aim.open = &open;
    enter_and_leave(&one, 1);
    CHECK_EQ(chooser_edge.confirmed, mark);

    CHECK_EQ(anysync_wait(tasks[0], NULL, ANYSYNC_FOREVER), 0);
    for (int i = 0; i < 2; i++)
        anysync_future_unref(tasks[i]);
    anysync_future_unref(both[1]);
    anysync_future_unref(gate);
    return 0;
}

TEST(what_an_earlier_walk_met_is_not_met_again)
{
    CHECK_EQ(looks_around_run(), 0);
}
