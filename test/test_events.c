/* SPDX-License-Identifier: MIT */
/*
 * Events, semaphores and barriers (include/anysync/event.h).
 *
 * Promised                                       Tested by
 *   a set lets all go on, even if it is reset      a_set_event_lets_all_go_on
 *   an event in every world                        an_event_in_every_world
 *   posts are counted, and nobody overtakes        a_semaphore_counts
 *                                                  a_semaphore_serves_in_order
 *   a barrier opens for all, round after round     a_barrier_opens_when_all_are_there
 *     who gives up has not arrived                 who_gives_up_has_not_arrived
 *   giving up loses nothing                        waits_can_be_given_up
 *     nor does a loop that leaves its tasks        a_count_does_not_go_with_who_was_abandoned
 *   callbacks may set, post and poll               a_callback_may_set_and_poll
 *   refusals                                       without_memory_there_is_nothing
 *                                                  a_forked_child_is_refused
 *   nothing is lost                                stress_sets_are_not_lost
 *                                                  stress_posts_are_not_lost
 *                                                  stress_rounds_of_a_barrier
 */
#include "abandoned.h"
#include "fault.h"
#include "futures.h"
#include "jobs.h"

static struct anysync_event *new_event(void)
{
    struct anysync_event *event = NULL;

    CHECK_EQ(anysync_event_new(&event), 0);
    return event;
}

static struct anysync_semaphore *new_semaphore(size_t count)
{
    struct anysync_semaphore *semaphore = NULL;

    CHECK_EQ(anysync_semaphore_new(count, &semaphore), 0);
    return semaphore;
}

static struct anysync_barrier *new_barrier(size_t parties)
{
    struct anysync_barrier *barrier = NULL;

    CHECK_EQ(anysync_barrier_new(parties, &barrier), 0);
    return barrier;
}

/* --- events ----------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, wait_for_event, (struct anysync_event *, event))
{
    return anysync_event_wait(event, ANYSYNC_FOREVER);
}

static void check_event(void)
{
    struct anysync_event *event = new_event();

    CHECK(!anysync_event_is_set(event));
    CHECK_EQ(anysync_event_wait(event, ANYSYNC_POLL), -ETIMEDOUT);
    anysync_event_set(event);
    CHECK(anysync_event_is_set(event));
    for (int i = 0; i < 2; i++) /* it stays set */
        CHECK_EQ(anysync_event_wait(event, ANYSYNC_FOREVER), 0);
    anysync_event_set(event);
    CHECK(anysync_event_is_set(event)); /* also by one set more */
    anysync_event_reset(event);
    CHECK(!anysync_event_is_set(event));
    CHECK_EQ(anysync_event_wait(event, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK(anysync_event_unref(anysync_event_ref(event)) == NULL);
    CHECK(anysync_event_unref(event) == NULL);
    CHECK(anysync_event_unref(NULL) == NULL);
}

TEST(an_event_in_every_world)
{
    in_worlds((EVERYWHERE_AND_POOL) & ~(unsigned)FOREIGN, check_event);
}

ANYSYNC_COROUTINE(void, check_set)
{
    struct anysync_event *event = new_event();
    wait_for_event_future each[4], late;

    for (int i = 0; i < 4; i++)
        CHECK_EQ(wait_for_event_start(&each[i], event), 0);
    CHECK_EQ(anysync_yield(), 0);
    anysync_event_set(event);
    anysync_event_reset(event);
    CHECK_EQ(wait_for_event_start(&late, event), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(wait_for_event_wait(&each[i], ANYSYNC_FOREVER), 0);
        wait_for_event_drop(&each[i]);
    }
    CHECK_EQ(wait_for_event_wait(&late, anysync_in_ms(1)), -ETIMEDOUT);
    anysync_event_set(event);
    CHECK_EQ(wait_for_event_wait(&late, ANYSYNC_FOREVER), 0);
    wait_for_event_drop(&late);
    anysync_event_unref(event);
    return 0;
}

TEST(a_set_event_lets_all_go_on)
{
    CHECK_EQ(check_set_run(), 0);
    CHECK_EQ(check_set_run_here(), 0);
}

/* --- semaphores ------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, take_one, (struct anysync_semaphore *, semaphore), (int *, next))
{
    int error = anysync_semaphore_wait(semaphore, ANYSYNC_FOREVER);

    if (!error)
        *result = (*next)++;
    return error;
}

static void check_semaphore(void)
{
    struct anysync_semaphore *semaphore = new_semaphore(2);

    CHECK_EQ(anysync_semaphore_wait(semaphore, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_semaphore_wait(semaphore, ANYSYNC_POLL), 0);
    CHECK_EQ(anysync_semaphore_wait(semaphore, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(anysync_semaphore_wait(semaphore, anysync_in_ms(1)), -ETIMEDOUT);
    anysync_semaphore_post(semaphore, 3);
    CHECK_EQ(anysync_semaphore_count(semaphore), 3);
    anysync_semaphore_post(semaphore, 0);
    CHECK_EQ(anysync_semaphore_wait(semaphore, ANYSYNC_POLL), 0);
    CHECK_EQ(anysync_semaphore_count(semaphore), 2);
    CHECK(anysync_semaphore_unref(anysync_semaphore_ref(semaphore)) == NULL);
    CHECK(anysync_semaphore_unref(semaphore) == NULL);
    CHECK(anysync_semaphore_unref(NULL) == NULL);
}

TEST(a_semaphore_counts)
{
    in_worlds((EVERYWHERE_AND_POOL) & ~(unsigned)FOREIGN, check_semaphore);
}

ANYSYNC_COROUTINE(void, check_order)
{
    struct anysync_semaphore *semaphore = new_semaphore(0);
    take_one_future each[5];
    int next = 0;

    for (int i = 0; i < 5; i++)
        CHECK_EQ(take_one_start(&each[i], semaphore, &next), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(take_one_cancel(&each[1]), 0);
    CHECK_EQ(take_one_wait(&each[1], NULL, ANYSYNC_FOREVER), -ECANCELED);
    anysync_semaphore_post(semaphore, 5); /* one more than wait */
    CHECK_EQ(anysync_semaphore_count(semaphore), 1);
    for (int i = 0, expected = 0; i < 5; i++) {
        int got = -1;
        if (i != 1) {
            CHECK_EQ(take_one_wait(&each[i], &got, ANYSYNC_FOREVER), 0);
            CHECK_EQ(got, expected++);
        }
        take_one_drop(&each[i]);
    }
    anysync_semaphore_unref(semaphore);
    return 0;
}

TEST(a_semaphore_serves_in_order)
{
    CHECK_EQ(check_order_run(), 0);
    CHECK_EQ(check_order_run_here(), 0);
}

static void take_count(void *semaphore)
{
    (void)!anysync_semaphore_wait(semaphore, ANYSYNC_FOREVER);
}

static void post_one(void *semaphore)
{
    anysync_semaphore_post(semaphore, 1);
}

static void post_none(void *semaphore)
{
    CHECK_EQ(anysync_semaphore_count(semaphore), 0);
}

ANYSYNC_COROUTINE(void, post_there, (struct anysync_semaphore *, semaphore))
{
    anysync_semaphore_post(semaphore, 1);
    return 0;
}

TEST(a_count_does_not_go_with_who_was_abandoned)
{
    struct anysync_semaphore *semaphore = new_semaphore(0);

    abandon_in_line(take_count, post_one, semaphore);
    CHECK_EQ(anysync_semaphore_count(semaphore), 1);
    CHECK_EQ(anysync_semaphore_wait(semaphore, ANYSYNC_POLL), 0);
    abandon_in_line(take_count, post_none, semaphore);
    CHECK_EQ(post_there_run(semaphore), 0); /* by a thread that would wait for its lock */
    CHECK_EQ(anysync_semaphore_count(semaphore), 1);
    anysync_semaphore_unref(semaphore);
}

/* --- barriers --------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, meet, (struct anysync_barrier *, barrier))
{
    int status = anysync_barrier_wait(barrier, ANYSYNC_FOREVER);

    if (status < 0)
        return status;
    *result = status;
    return 0;
}

ANYSYNC_COROUTINE(void, check_rounds)
{
    struct anysync_barrier *barrier = new_barrier(3);
    struct anysync_barrier *alone = new_barrier(1);

    CHECK_EQ(anysync_barrier_wait(alone, ANYSYNC_POLL), ANYSYNC_DONE);
    for (int round = 0; round < 3; round++) {
        meet_future one, two;
        int last = -1;
        CHECK_EQ(meet_start(&one, barrier), 0);
        CHECK_EQ(meet_start(&two, barrier), 0);
        CHECK_EQ(anysync_yield(), 0);
        CHECK_EQ(meet_wait(&one, NULL, ANYSYNC_POLL), -ETIMEDOUT);
        CHECK_EQ(anysync_barrier_wait(barrier, ANYSYNC_FOREVER), ANYSYNC_DONE);
        CHECK_EQ(meet_wait(&one, &last, ANYSYNC_FOREVER), 0);
        CHECK_EQ(last, 0);
        CHECK_EQ(meet_wait(&two, &last, ANYSYNC_FOREVER), 0);
        CHECK_EQ(last, 0);
        meet_drop(&one);
        meet_drop(&two);
    }
    CHECK(anysync_barrier_unref(anysync_barrier_ref(barrier)) == NULL);
    CHECK(anysync_barrier_unref(barrier) == NULL);
    CHECK(anysync_barrier_unref(alone) == NULL);
    CHECK(anysync_barrier_unref(NULL) == NULL);
    return 0;
}

TEST(a_barrier_opens_when_all_are_there)
{
    CHECK_EQ(check_rounds_run(), 0);
    CHECK_EQ(check_rounds_run_here(), 0);
    struct anysync_barrier *none = NULL;
    CHECK_EQ(anysync_barrier_new(0, &none), -EINVAL);
}

ANYSYNC_COROUTINE(void, check_absent)
{
    struct anysync_barrier *barrier = new_barrier(2);
    meet_future gives_up, comes;

    CHECK_EQ(meet_start(&gives_up, barrier), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(meet_cancel(&gives_up), 0);
    CHECK_EQ(meet_wait(&gives_up, NULL, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(anysync_barrier_wait(barrier, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(anysync_barrier_wait(barrier, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(meet_start(&comes, barrier), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_barrier_wait(barrier, ANYSYNC_FOREVER), ANYSYNC_DONE);
    CHECK_EQ(meet_wait(&comes, NULL, ANYSYNC_FOREVER), 0);
    meet_drop(&gives_up);
    meet_drop(&comes);
    anysync_barrier_unref(barrier);
    return 0;
}

TEST(who_gives_up_has_not_arrived)
{
    CHECK_EQ(check_absent_run(), 0);
}

/* --- giving up, callbacks, refusals ----------------------------------------------------------- */

ANYSYNC_COROUTINE(void, check_cancels)
{
    struct anysync_event *event = new_event();
    struct anysync_semaphore *semaphore = new_semaphore(0);
    wait_for_event_future waits;
    take_one_future takes;
    int next = 0;

    CHECK_EQ(wait_for_event_start(&waits, event), 0);
    CHECK_EQ(take_one_start(&takes, semaphore, &next), 0);
    CHECK_EQ(anysync_yield(), 0);
    anysync_event_set(event); /* both have had their turn when the cancel comes */
    anysync_semaphore_post(semaphore, 1);
    CHECK_EQ(wait_for_event_cancel(&waits), 0);
    CHECK_EQ(take_one_cancel(&takes), 0);
    CHECK_EQ(wait_for_event_wait(&waits, ANYSYNC_FOREVER), 0);
    CHECK_EQ(take_one_wait(&takes, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_semaphore_count(semaphore), 0);
    wait_for_event_drop(&waits);
    take_one_drop(&takes);
    anysync_event_unref(event);
    anysync_semaphore_unref(semaphore);
    return 0;
}

TEST(waits_can_be_given_up)
{
    CHECK_EQ(check_cancels_run(), 0);
}

static void in_callback(evutil_socket_t fd, short events, void *argument)
{
    struct anysync_event *event = new_event();
    struct anysync_semaphore *semaphore = new_semaphore(0);
    struct anysync_barrier *barrier = new_barrier(2);

    (void)fd, (void)events;
    CHECK_EQ(anysync_event_wait(event, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "an event: spawn");
    CHECK_EQ(anysync_semaphore_wait(semaphore, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_EQ(anysync_barrier_wait(barrier, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_EQ(anysync_event_wait(event, ANYSYNC_POLL), -ETIMEDOUT);
    anysync_event_set(event);
    anysync_semaphore_post(semaphore, 1);
    CHECK_EQ(anysync_event_wait(event, ANYSYNC_POLL), 0);
    CHECK_EQ(anysync_semaphore_wait(semaphore, ANYSYNC_POLL), 0);
    anysync_event_unref(event);
    anysync_semaphore_unref(semaphore);
    anysync_barrier_unref(barrier);
    set(argument, 0);
}

static void check_callback(void)
{
    call_back(in_callback);
}

TEST(a_callback_may_set_and_poll)
{
    CHECK_EQ(in_coroutine_run(check_callback), 0);
}

TEST(without_memory_there_is_nothing)
{
    struct anysync_event *event = NULL;
    struct anysync_semaphore *semaphore = NULL;
    struct anysync_barrier *barrier = NULL;

    fault_fail("malloc", 1, true);
    CHECK_EQ(anysync_event_new(&event), -ENOMEM);
    CHECK_EQ(anysync_semaphore_new(1, &semaphore), -ENOMEM);
    CHECK_EQ(anysync_barrier_new(1, &barrier), -ENOMEM);
    fault_clear();
    check_event();
}

struct three {
    struct anysync_event *event;
    struct anysync_semaphore *semaphore;
    struct anysync_barrier *barrier;
};

static int use_in_child(void *argument)
{
    struct three *three = argument;

    CHECK_EQ(anysync_event_wait(three->event, ANYSYNC_FOREVER), -EOWNERDEAD);
    CHECK_CONTAINS(anysync_last_error()->message, "forked");
    CHECK(!anysync_event_is_set(three->event));
    anysync_event_set(three->event);
    CHECK_EQ(anysync_semaphore_wait(three->semaphore, ANYSYNC_FOREVER), -EOWNERDEAD);
    CHECK_EQ(anysync_semaphore_count(three->semaphore), 0);
    anysync_semaphore_post(three->semaphore, 1);
    CHECK_EQ(anysync_barrier_wait(three->barrier, ANYSYNC_FOREVER), -EOWNERDEAD);
    anysync_event_unref(three->event);
    anysync_semaphore_unref(three->semaphore);
    anysync_barrier_unref(three->barrier);
    check_event();
    check_semaphore();
    return 0;
}

static void expect_child(int (*function)(void *), void *argument)
{
    struct test_child child = test_child(function, argument);

    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
}

TEST(a_forked_child_is_refused)
{
    struct three three = {new_event(), new_semaphore(1), new_barrier(1)};

    anysync_event_set(three.event);
    expect_child(use_in_child, &three);
    anysync_event_unref(three.event);
    anysync_semaphore_unref(three.semaphore);
    anysync_barrier_unref(three.barrier);
}

/* --- stress ----------------------------------------------------------------------------------- */

static struct anysync_event *sides[2];

/* One of them is set, back and forth: each set is the only one that its wait gets. */
static int wait_and_set(int me)
{
    int error = 0;

    for (long i = test_scaled(3000); i > 0 && !error; i--) {
        error = anysync_event_wait(sides[me], ANYSYNC_FOREVER);
        anysync_event_reset(sides[me]);
        anysync_event_set(sides[!me]);
    }
    return error;
}

ANYSYNC_COROUTINE(void, wait_and_set_body, (int, me))
{
    return wait_and_set(me);
}

static void set_together(void *argument, int index)
{
    bool thread = (index + 1) & *(int *)argument;

    CHECK_EQ(thread ? wait_and_set(index) : wait_and_set_body_run_here(index), 0);
}

TEST(stress_sets_are_not_lost)
{
    for (int threads = 0; threads <= 3; threads++) { /* bits: which of them is no coroutine */
        sides[0] = new_event();
        sides[1] = new_event();
        anysync_event_set(sides[0]);
        test_together(2, set_together, &threads);
        anysync_event_unref(sides[0]);
        anysync_event_unref(sides[1]);
    }
}

enum { USERS = 6 };

static struct {
    struct anysync_semaphore *semaphore;
    struct anysync_barrier *barrier;
    atomic_long taken, rounds;
    long each;
} shared;

/* Even ones post, odd ones take; some give up often. */
static int post_or_take(int user)
{
    for (long i = 0; i < shared.each;) {
        if (user % 2 == 0) {
            anysync_semaphore_post(shared.semaphore, 1);
            i++;
            continue;
        }
        int error = anysync_semaphore_wait(
                shared.semaphore, i % 3 ? ANYSYNC_FOREVER : anysync_in_us(i % 20));
        if (error == -ETIMEDOUT)
            continue;
        if (error)
            return error;
        atomic_fetch_add(&shared.taken, 1);
        i++;
    }
    return 0;
}

static int meet_often(int user)
{
    (void)user;
    for (long i = 0; i < shared.each; i++) {
        int status = anysync_barrier_wait(shared.barrier, ANYSYNC_FOREVER);
        if (status < 0)
            return status;
        if (status == ANYSYNC_DONE)
            atomic_fetch_add(&shared.rounds, 1);
    }
    return 0;
}

typedef int use_fn(int user);

ANYSYNC_COROUTINE(void, in_task, (use_fn *, use), (int, user))
{
    return use(user);
}

static void use_on_thread(void *argument, int index)
{
    use_fn *const *use = argument;

    if (index < 2)
        CHECK_EQ((*use)(index), 0);
    else if (index < 4)
        CHECK_EQ(in_task_run(*use, index), 0);
    else
        CHECK_EQ(in_task_run_here(*use, index), 0);
}

static void together(use_fn *use)
{
    test_together(USERS, use_on_thread, &use);
}

TEST(stress_posts_are_not_lost)
{
    shared.semaphore = new_semaphore(0);
    shared.each = test_scaled(2000);
    together(post_or_take);
    CHECK_EQ(atomic_load(&shared.taken), USERS / 2 * shared.each);
    CHECK_EQ(anysync_semaphore_count(shared.semaphore), 0);
    anysync_semaphore_unref(shared.semaphore);
}

TEST(stress_rounds_of_a_barrier)
{
    shared.barrier = new_barrier(USERS);
    shared.each = test_scaled(500);
    together(meet_often);
    CHECK_EQ(atomic_load(&shared.rounds), shared.each);
    anysync_barrier_unref(shared.barrier);
}
