/* SPDX-License-Identifier: MIT */
/*
 * A wait that could never end is an answer (design: "Deadlock is an answer, not a hang").
 * Between threads: test_deadlock_threads.c.
 *
 * Promised                                       Tested by
 *   two tasks that wait for one another            two_tasks_that_wait_for_one_another
 *   the sentence tells of the cycle                the same
 *   rings of any length, whoever closes them       rings_of_tasks_are_found
 *   long sentences stay whole                      a_long_ring_tells_of_its_beginning
 *   wait_all                                       wait_all_is_found
 *   one of several, if all lead back               one_of_several_that_all_lead_back
 *   the same met on the way                        one_of_several_on_the_way
 *   one of several with another way out: none      one_of_several_with_a_way_out_is_none
 *   deadlines, of waits and scopes: none           a_wait_with_a_deadline_is_none
 *   futures by hand: none                          a_future_by_hand_is_none
 *   chains that are not closed: none, and fast     a_long_chain_is_none
 *   after a cancel: none                           a_wait_that_was_cancelled_is_none
 *   without memory the answer is the same          without_memory_the_code_is_the_same
 *   anything else: who holds a permit              holders_are_found
 */
#include "base/memory.h"
#include "sched/wait.h"
#include "worlds.h"

#include <anysync/cancel.h>

#include <errno.h>

enum { MOST = 100 };

/* A task that waits for others when the gate opens, and what came of it. */
struct member {
    struct anysync_future *gate;     /* passed first; NULL: none */
    struct anysync_future *waits[4]; /* for one of these */
    struct anysync_future *future;   /* its own */
    anysync_time deadline;
    int error;
    char message[512];
};

static struct member members[MOST];

static void note(struct member *self, int error)
{
    self->error = error;
    if (error)
        snprintf(self->message, sizeof(self->message), "%s", anysync_last_error()->message);
}

ANYSYNC_COROUTINE(void, member, (struct member *, self))
{
    size_t count = 0, index;
    int error = 0;

    if (self->gate)
        error = anysync_future_wait(self->gate, ANYSYNC_FOREVER);
    if (error)
        return error;
    while (count < 4 && self->waits[count])
        count++;
    if (count == 1)
        error = anysync_future_wait(self->waits[0], self->deadline);
    else if (count > 1)
        error = anysync_wait_any(self->waits, count, self->deadline, &index);
    note(self, error);
    return 0;
}

static void start_member(int index, const char *name, struct anysync_future *gate)
{
    struct member *self = &members[index];
    struct anysync_task *task = NULL;

    *self = (struct member){.gate = gate, .deadline = ANYSYNC_FOREVER};
    CHECK_EQ(anysync_task_new(&member_function, &self, name, &task), 0);
    CHECK_EQ(anysync_task_start(task, &self->future), 0);
    anysync_task_unref(task);
}

/* Each one's end, and how many had -EDEADLK. */
static int end_members(int count)
{
    int found = 0;

    for (int i = 0; i < count; i++) {
        CHECK_EQ(anysync_wait(members[i].future, NULL, anysync_in_seconds(50)), 0);
        CHECK(members[i].error == 0 || members[i].error == -EDEADLK);
        found += members[i].error == -EDEADLK;
    }
    for (int i = 0; i < count; i++)
        anysync_future_unref(members[i].future);
    return found;
}

ANYSYNC_COROUTINE(void, two)
{
    start_member(0, "a", NULL);
    start_member(1, "b", NULL);
    members[0].waits[0] = members[1].future;
    members[1].waits[0] = members[0].future;
    CHECK_EQ(end_members(2), 1);
    CHECK_EQ(members[1].error, -EDEADLK);
    CHECK_STR(members[1].message,
            "waiting here could never end: task \"b\" waits for task \"a\", which waits for task "
            "\"b\"");
    return 0;
}

TEST(two_tasks_that_wait_for_one_another)
{
    CHECK_EQ(two_run(), 0);
    CHECK_EQ(two_run_here(), 0);
    CHECK_EQ(two_run(), 0);
}

/* Members wait in an order that begins with FIRST. */
static void ring(int count, int first, int step)
{
    struct anysync_future *gates[MOST];

    for (int i = 0; i < count; i++) {
        gates[i] = new_gate();
        start_member(i, "member", gates[i]);
    }
    for (int i = 0; i < count; i++)
        members[i].waits[0] = members[(i + 1) % count].future;
    for (int i = 0; i < count; i++) {
        open_gate(gates[(first + i * step) % count]);
        CHECK_EQ(anysync_yield(), 0);
        CHECK_EQ(anysync_yield(), 0);
    }
    CHECK_EQ(end_members(count), 1);
    for (int i = 0; i < count; i++)
        anysync_future_unref(gates[i]);
}

ANYSYNC_COROUTINE(void, rings)
{
    for (int count = 2; count <= MOST; count += count < 12 ? 1 : 11) {
        ring(count, 0, 1);
        ring(count, count - 1, count - 1);
        ring(count, count / 2, 1);
    }
    ring(97, 5, 31);
    return 0;
}

TEST(rings_of_tasks_are_found)
{
    CHECK_EQ(rings_run(), 0);
}

ANYSYNC_COROUTINE(void, long_ring)
{
    for (int i = 0; i < MOST; i++) {
        char name[200];
        snprintf(name, sizeof(name), "%d-%0150d", i, i);
        start_member(i, name, NULL);
    }
    for (int i = 0; i < MOST; i++)
        members[i].waits[0] = members[(i + 1) % MOST].future;
    CHECK_EQ(end_members(MOST), 1);
    CHECK_EQ(members[MOST - 1].error, -EDEADLK);
    CHECK_CONTAINS(members[MOST - 1].message, "could never end: task \"99-000000");
    CHECK_CONTAINS(members[MOST - 1].message, "waits for task \"0-000000");
    CHECK_CONTAINS(members[MOST - 1].message, ", which waits for task \"1-000000");
    return 0;
}

TEST(a_long_ring_tells_of_its_beginning)
{
    CHECK_EQ(long_ring_run(), 0);
}

/* --- several ---------------------------------------------------------------------------------- */

static int all_error;

ANYSYNC_COROUTINE(void, waits_for_all, (struct anysync_future **, futures))
{
    all_error = anysync_wait_all(futures, 3, ANYSYNC_FOREVER);
    CHECK_CONTAINS(anysync_last_error()->message, "task \"waits_for_all\" waits for task \"m\"");
    return 0;
}

ANYSYNC_COROUTINE(void, wait_all_case)
{
    struct anysync_future *futures[3] = {NULL};
    struct anysync_future **argument = futures;
    struct anysync_future *self = NULL;

    start_member(0, "done", NULL);
    start_member(1, "m", NULL);
    CHECK_EQ(anysync_spawn(&waits_for_all_function, &argument, &self), 0);
    members[1].waits[0] = self;
    futures[0] = members[0].future;
    futures[2] = members[1].future;
    CHECK_EQ(anysync_wait(self, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(all_error, -EDEADLK);
    anysync_future_unref(self);
    CHECK_EQ(end_members(2), 0);
    return 0;
}

TEST(wait_all_is_found)
{
    CHECK_EQ(wait_all_case_run(), 0);
}

static struct anysync_future *gates[8];

static void start_gated(int count)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

    for (int i = 0; i < count; i++) {
        gates[i] = new_gate();
        start_member(i, names[i], gates[i]);
    }
}

/* Let member INDEX come to its wait. */
static void let_go(int index)
{
    open_gate(gates[index]);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_yield(), 0);
}

static void end_gated(int count, int expected)
{
    CHECK_EQ(end_members(count), expected);
    for (int i = 0; i < count; i++)
        anysync_future_unref(gates[i]);
}

ANYSYNC_COROUTINE(void, all_lead_back)
{
    start_gated(3);
    members[0].waits[0] = members[1].future;
    members[0].waits[1] = members[2].future;
    members[1].waits[0] = members[0].future;
    members[2].waits[0] = members[0].future;
    let_go(1);
    let_go(2);
    let_go(0);
    end_gated(3, 1);
    CHECK_EQ(members[0].error, -EDEADLK);
    CHECK_CONTAINS(members[0].message, "task \"a\" waits for task \"");
    return 0;
}

TEST(one_of_several_that_all_lead_back)
{
    CHECK_EQ(all_lead_back_run(), 0);
}

/* The wait for one of several is there; the others close it. */
ANYSYNC_COROUTINE(void, on_the_way)
{
    start_gated(3);
    members[0].waits[0] = members[1].future;
    members[0].waits[1] = members[2].future;
    members[1].waits[0] = members[0].future;
    members[2].waits[0] = members[0].future;
    let_go(0);
    let_go(1);
    CHECK_EQ(members[1].error, 0);
    let_go(2);
    end_gated(3, 1);
    CHECK_EQ(members[2].error, -EDEADLK);
    return 0;
}

TEST(one_of_several_on_the_way)
{
    CHECK_EQ(on_the_way_run(), 0);
}

ANYSYNC_COROUTINE(void, way_out)
{
    struct anysync_future *out = new_gate();

    /* by a future made by hand, by a task that runs; the asker first and last */
    start_gated(4);
    members[0].waits[0] = members[1].future;
    members[0].waits[1] = out;
    members[1].waits[0] = members[0].future;
    members[2].waits[0] = members[1].future;
    members[2].waits[1] = members[3].future;
    members[1].waits[1] = members[2].future;
    let_go(0);
    let_go(1);
    let_go(2);
    let_go(3);
    open_gate(out);
    end_gated(4, 0);
    anysync_future_unref(out);

    start_gated(3);
    members[0].waits[0] = members[1].future;
    members[0].waits[1] = members[2].future;
    members[1].waits[0] = members[0].future;
    let_go(1);
    let_go(0);
    let_go(2);
    end_gated(3, 0);
    return 0;
}

TEST(one_of_several_with_a_way_out_is_none)
{
    CHECK_EQ(way_out_run(), 0);
}

/* --- no alarm --------------------------------------------------------------------------------- */

static int scoped_error;

ANYSYNC_COROUTINE(void, waits_in_scope, (struct anysync_future *, other))
{
    struct anysync_scope scope;

    anysync_scope_enter(&scope, anysync_in_ms(2));
    scoped_error = anysync_future_wait(other, ANYSYNC_FOREVER);
    scoped_error = anysync_scope_exit(&scope, scoped_error);
    return 0;
}

ANYSYNC_COROUTINE(void, deadlines)
{
    struct anysync_future *scoped = NULL;

    start_gated(2);
    members[0].waits[0] = members[1].future;
    members[0].deadline = anysync_in_seconds(3600);
    members[1].waits[0] = members[0].future;
    members[1].deadline = anysync_in_ms(2);
    let_go(0);
    let_go(1);
    CHECK_EQ(anysync_wait(members[1].future, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(members[1].error, -ETIMEDOUT);
    members[1].error = 0;
    end_gated(2, 0);

    start_gated(1);
    CHECK_EQ(anysync_spawn(&waits_in_scope_function, &members[0].future, &scoped), 0);
    members[0].waits[0] = scoped;
    CHECK_EQ(anysync_yield(), 0);
    let_go(0);
    CHECK_EQ(anysync_wait(scoped, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(scoped_error, -ETIMEDOUT);
    end_gated(1, 0);
    anysync_future_unref(scoped);
    return 0;
}

TEST(a_wait_with_a_deadline_is_none)
{
    CHECK_EQ(deadlines_run(), 0);
}

ANYSYNC_COROUTINE(void, by_hand)
{
    struct anysync_future *out = new_gate();

    start_gated(3);
    members[0].waits[0] = members[1].future;
    members[1].waits[0] = members[2].future;
    members[2].waits[0] = out;
    let_go(1);
    let_go(2);
    let_go(0);
    open_gate(out);
    end_gated(3, 0);
    anysync_future_unref(out);
    return 0;
}

TEST(a_future_by_hand_is_none)
{
    CHECK_EQ(by_hand_run(), 0);
}

static struct anysync_future **chain;
static struct anysync_future *chain_gate;
static long closing; /* the first waits for this one; 0: for the gate */
static long chain_found;

ANYSYNC_COROUTINE(void, chain_member, (long, index))
{
    int error = anysync_future_wait(index > 0     ? chain[index - 1]
                                    : closing > 0 ? chain[closing]
                                                  : chain_gate,
            ANYSYNC_FOREVER);

    chain_found += error == -EDEADLK;
    return error == -EDEADLK ? 0 : error;
}

ANYSYNC_COROUTINE(void, follower, (struct anysync_future *, other))
{
    return anysync_future_wait(other, ANYSYNC_FOREVER);
}

/* COUNT tasks, each of which waits for the one before; then the first waits for the last. */
ANYSYNC_COROUTINE(void, long_chain, (long, count), (bool, close))
{
    chain = calloc((size_t)count, sizeof(struct anysync_future *));
    CHECK(chain);
    chain_gate = new_gate();
    closing = close ? count - 1 : 0;
    chain_found = 0;
    for (long i = count - 1; i >= 0 && close; i--)
        CHECK_EQ(anysync_spawn(&chain_member_function, &i, &chain[i]), 0);
    for (long i = 0; i < count && !close; i++)
        CHECK_EQ(anysync_spawn(&chain_member_function, &i, &chain[i]), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_yield(), 0);
    open_gate(chain_gate);
    for (long i = 0; i < count; i++) {
        CHECK_EQ(anysync_wait(chain[i], NULL, ANYSYNC_FOREVER), 0);
        anysync_future_unref(chain[i]);
    }
    CHECK_EQ(chain_found, close);
    anysync_future_unref(chain_gate);
    free(chain);
    return 0;
}

/* Each of them is waited for by another as well, so that each makes us look. */
ANYSYNC_COROUTINE(void, awaited_chain, (long, count))
{
    struct anysync_future **tails = calloc((size_t)count, sizeof(struct anysync_future *));

    chain = calloc((size_t)count, sizeof(struct anysync_future *));
    CHECK(chain && tails);
    chain_gate = new_gate();
    closing = 0;
    for (long i = 0; i < count; i++) {
        CHECK_EQ(anysync_spawn(&chain_member_function, &i, &chain[i]), 0);
        CHECK_EQ(anysync_spawn(&follower_function, &chain[i], &tails[i]), 0);
    }
    size_t index;
    CHECK_EQ(anysync_wait_any(chain, (size_t)count, anysync_in_ms(1), &index), -ETIMEDOUT);
    open_gate(chain_gate);
    for (long i = 0; i < count; i++) {
        CHECK_EQ(anysync_wait(tails[i], NULL, ANYSYNC_FOREVER), 0);
        anysync_future_unref(chain[i]);
        anysync_future_unref(tails[i]);
    }
    anysync_future_unref(chain_gate);
    free(chain);
    free(tails);
    return 0;
}

TEST(a_long_chain_is_none)
{
    long count = test_scaled(10000);

    CHECK_EQ(long_chain_run(count, false), 0);
    CHECK_EQ(long_chain_run(count < 2 ? 2 : count, true), 0);
    CHECK_EQ(awaited_chain_run(count), 0);
}

ANYSYNC_COROUTINE(void, cancelled)
{
    start_gated(2);
    members[0].waits[0] = members[1].future;
    members[1].waits[0] = members[0].future;
    let_go(0);
    open_gate(gates[1]);                            /* ready, to begin its wait */
    CHECK_EQ(anysync_cancel(members[0].future), 0); /* ready after it, and on its way out */
    CHECK_EQ(anysync_wait(members[0].future, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(members[0].error, -ECANCELED);
    members[0].error = 0;
    end_gated(2, 0);
    return 0;
}

TEST(a_wait_that_was_cancelled_is_none)
{
    CHECK_EQ(cancelled_run(), 0);
}

/* --- no memory -------------------------------------------------------------------------------- */

static _Thread_local bool refuse; /* on the worker alone */

static bool no_memory(const char *what)
{
    return refuse && strcmp(what, "malloc") == 0;
}

ANYSYNC_COROUTINE(void, refused)
{
    start_gated(2);
    members[0].waits[0] = members[1].future;
    members[1].waits[0] = members[0].future;
    let_go(0);
    refuse = true;
    let_go(1);
    refuse = false;
    CHECK_EQ(members[1].error, -EDEADLK);
    end_gated(2, 1);
    return 0;
}

TEST(without_memory_the_code_is_the_same)
{
    asi_fault_hook = no_memory;
    CHECK_EQ(refused_run(), 0);
    CHECK_EQ(two_run(), 0);
}

/* --- other resources -------------------------------------------------------------------------- */

/* A permit that HOLDERS have; the party waits until one is given back. */
static struct anysync_future *holders[2];
static struct asi_party *in_line;
static int permit_error;
static bool permit_extra;

ANYSYNC_COROUTINE(void, wants_permit)
{
    struct asi_party party;
    struct asi_aim aim = {.futures = holders, .count = 2, .hidden = true};

    asi_party_init(&party, ASI_WORLD_TASK);
    in_line = &party;
    permit_error = asi_party_wait_aimed(&party, 0, ANYSYNC_FOREVER, true, &aim, &permit_extra);
    in_line = NULL;
    if (permit_error)
        note(&members[2], permit_error);
    return 0;
}

ANYSYNC_COROUTINE(void, permits_stuck, (bool, wanter_last))
{
    struct anysync_future *wanter = NULL;

    members[2].error = 0;
    start_gated(2);
    holders[0] = members[0].future;
    holders[1] = members[1].future;
    CHECK_EQ(anysync_spawn(&wants_permit_function, NULL, &wanter), 0);
    members[0].waits[0] = wanter;
    members[1].waits[0] = wanter;
    if (!wanter_last)
        CHECK_EQ(anysync_yield(), 0);
    /* both gates before the wanter's first turn if that shall be the last */
    open_gate(gates[0]);
    open_gate(gates[1]);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_yield(), 0);
    if (permit_error == 0 && in_line)
        asi_party_deliver(in_line); /* a holder was told, and gave its permit back */
    CHECK_EQ(anysync_wait(wanter, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(permit_error == -EDEADLK, members[0].error == 0 && members[1].error == 0);
    if (permit_error)
        CHECK_CONTAINS(members[2].message, "task \"wants_permit\" waits for task \"");
    end_gated(2, permit_error ? 0 : 1);
    permit_error = 0;
    anysync_future_unref(wanter);
    return 0;
}

TEST(holders_are_found)
{
    CHECK_EQ(permits_stuck_run(true), 0);
    CHECK_EQ(permits_stuck_run(false), 0);
}
