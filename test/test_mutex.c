/* SPDX-License-Identifier: MIT */
/*
 * Mutexes (include/anysync/mutex.h).
 *
 * Promised                                       Tested by
 *   one object serves both worlds                  a_mutex_in_every_world
 *                                                  stress_one_holder_at_a_time
 *   first come, first served                       the_line_is_served_in_order
 *   a coroutine may suspend while it holds it      a_holder_may_suspend
 *   giving up loses nothing                        a_deadline_and_a_cancel_lose_nothing
 *                                                  stress_who_gives_up_loses_nothing
 *   the holder that locks again is told            a_holder_that_locks_again_is_told
 *   cycles are told                                test_mutex_deadlocks.c
 *   a holder that ended is told of                 a_holder_that_ended_is_told
 *     who is abandoned in line never was one       test_mutex_abandoned.c
 *   who unlocks has to hold it                     only_the_holder_unlocks
 *   a callback may poll                            a_callback_may_only_poll
 *   refusals                                       without_memory_there_is_none
 *                                                  a_forked_child_is_refused
 *   ANYSYNC_LOCKED                                 a_locked_block_unlocks_however_it_is_left
 */
#include "fault.h"
#include "futures.h"
#include "jobs.h"

#include <signal.h>

static struct anysync_mutex *new_mutex(void)
{
    struct anysync_mutex *mutex = NULL;

    CHECK_EQ(anysync_mutex_new(&mutex), 0);
    return mutex;
}

static void lock(struct anysync_mutex *mutex)
{
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), 0);
}

/* --- one at a time ---------------------------------------------------------------------------- */

static void check_mutex(void)
{
    struct anysync_mutex *mutex = new_mutex();

    for (int i = 0; i < 3; i++) {
        lock(mutex);
        anysync_mutex_unlock(mutex);
    }
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_POLL), 0);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_POLL), -EDEADLK);
    anysync_mutex_unlock(mutex);
    CHECK(anysync_mutex_unref(anysync_mutex_ref(mutex)) == NULL);
    CHECK(anysync_mutex_unref(mutex) == NULL);
    CHECK(anysync_mutex_unref(NULL) == NULL);
}

TEST(a_mutex_in_every_world)
{
    in_worlds(EVERYWHERE_AND_POOL, check_mutex);
}

ANYSYNC_COROUTINE(int, take_in_line, (struct anysync_mutex *, mutex), (int *, next))
{
    int error = anysync_mutex_lock(mutex, ANYSYNC_FOREVER);

    if (error)
        return error;
    *result = (*next)++;
    anysync_mutex_unlock(mutex);
    return 0;
}

ANYSYNC_COROUTINE(void, check_line)
{
    struct anysync_mutex *mutex = new_mutex();
    take_in_line_future each[8];
    int next = 0;

    lock(mutex);
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(take_in_line_start(&each[i], mutex, &next), 0);
        CHECK_EQ(anysync_yield(), 0);
    }
    CHECK_EQ(next, 0);
    anysync_mutex_unlock(mutex);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_POLL), -ETIMEDOUT); /* nobody overtakes */
    for (int i = 0; i < 8; i++) {
        int place = -1;
        CHECK_EQ(take_in_line_wait(&each[i], &place, ANYSYNC_FOREVER), 0);
        CHECK_EQ(place, i);
        take_in_line_drop(&each[i]);
    }
    anysync_mutex_unref(mutex);
    return 0;
}

TEST(the_line_is_served_in_order)
{
    CHECK_EQ(check_line_run(), 0);
    CHECK_EQ(check_line_run_here(), 0);
}

ANYSYNC_COROUTINE(void, keep_until, (struct anysync_mutex *, mutex),
        (struct anysync_future *, gate), (struct anysync_future *, held))
{
    int error = anysync_mutex_lock(mutex, ANYSYNC_FOREVER);

    if (error)
        return error;
    CHECK_EQ(anysync_future_set(held, NULL), 0);
    pass_gate(gate);
    anysync_mutex_unlock(mutex);
    return 0;
}

static void check_holder_suspends(void)
{
    struct anysync_mutex *mutex = new_mutex();
    struct anysync_future *gate = new_gate(), *held = new_gate();
    keep_until_future holder;

    CHECK_EQ(keep_until_start_on(NULL, &holder, mutex, gate, held), 0);
    pass_gate(held);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(anysync_mutex_lock(mutex, anysync_in_ms(1)), -ETIMEDOUT);
    open_gate(gate);
    lock(mutex);
    anysync_mutex_unlock(mutex);
    CHECK_EQ(keep_until_wait(&holder, ANYSYNC_FOREVER), 0);
    keep_until_drop(&holder);
    anysync_future_unref(gate);
    anysync_future_unref(held);
    anysync_mutex_unref(mutex);
}

TEST(a_holder_may_suspend)
{
    in_worlds(PLAIN | WORKER | HERE | OWN | POOL, check_holder_suspends);
}

/* --- giving up -------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, check_giving_up)
{
    struct anysync_mutex *mutex = new_mutex();
    take_in_line_future cut, later;
    int next = 0;

    lock(mutex);
    CHECK_EQ(take_in_line_start(&cut, mutex, &next), 0);
    CHECK_EQ(take_in_line_start(&later, mutex, &next), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(take_in_line_cancel(&cut), 0);
    CHECK_EQ(take_in_line_wait(&cut, NULL, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(next, 0);
    anysync_mutex_unlock(mutex);
    CHECK_EQ(take_in_line_wait(&later, NULL, ANYSYNC_FOREVER), 0);
    /* It was given the mutex, and is cancelled before it goes on: then it has it. */
    lock(mutex);
    take_in_line_drop(&cut);
    CHECK_EQ(take_in_line_start(&cut, mutex, &next), 0);
    CHECK_EQ(anysync_yield(), 0);
    anysync_mutex_unlock(mutex);
    CHECK_EQ(take_in_line_cancel(&cut), 0);
    CHECK_EQ(take_in_line_wait(&cut, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(next, 2);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_POLL), 0);
    anysync_mutex_unlock(mutex);
    take_in_line_drop(&cut);
    take_in_line_drop(&later);
    anysync_mutex_unref(mutex);
    return 0;
}

TEST(a_deadline_and_a_cancel_lose_nothing)
{
    CHECK_EQ(check_giving_up_run(), 0);
    CHECK_EQ(check_giving_up_run_here(), 0);
}

/* --- what could deadlock ---------------------------------------------------------------------- */

static void check_again(void)
{
    struct anysync_mutex *mutex = new_mutex();

    lock(mutex);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "holds the mutex already");
    anysync_mutex_unlock(mutex);
    anysync_mutex_unref(mutex);
}

TEST(a_holder_that_locks_again_is_told)
{
    in_worlds(EVERYWHERE_AND_POOL, check_again);
}

ANYSYNC_COROUTINE(void, only_locks, (struct anysync_mutex *, mutex))
{
    int error = anysync_mutex_lock(mutex, ANYSYNC_FOREVER);

    if (!error)
        anysync_mutex_unlock(mutex);
    return error;
}

/* --- the end of a holder ---------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, forgets_to_unlock, (struct anysync_mutex *, mutex),
        (struct anysync_future *, gate), (struct anysync_future *, held))
{
    lock(mutex);
    open_gate(held);
    pass_gate(gate);
    anysync_exit(0);
}

ANYSYNC_BLOCKING(void, job_forgets, (struct anysync_mutex *, mutex))
{
    lock(mutex);
    return 0;
}

static void check_lost(void)
{
    struct anysync_mutex *mutex = new_mutex();
    struct anysync_future *gate = new_gate(), *held = new_gate();
    forgets_to_unlock_future holder;
    only_locks_future waiter;

    CHECK_EQ(forgets_to_unlock_start_on(NULL, &holder, mutex, gate, held), 0);
    pass_gate(held);
    CHECK_EQ(only_locks_start_on(NULL, &waiter, mutex), 0);
    open_gate(gate);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), -ENOTRECOVERABLE);
    CHECK_CONTAINS(anysync_last_error()->message, "forgets_to_unlock ended while it held");
    CHECK_EQ(only_locks_wait(&waiter, ANYSYNC_FOREVER), -ENOTRECOVERABLE);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_POLL), -ENOTRECOVERABLE);
    forgets_to_unlock_drop(&holder);
    only_locks_drop(&waiter);
    anysync_future_unref(gate);
    anysync_future_unref(held);
    anysync_mutex_unref(mutex);
    mutex = new_mutex();
    CHECK_EQ(job_forgets_offload(NULL, mutex), 0);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), -ENOTRECOVERABLE);
    anysync_mutex_unref(mutex);
}

TEST(a_holder_that_ended_is_told)
{
    in_worlds(PLAIN | WORKER | HERE, check_lost);
}

static int unlock_another(void *mutex)
{
    anysync_mutex_unlock(mutex);
    return 0;
}

static int drop_held(void *argument)
{
    struct anysync_mutex *mutex = new_mutex();

    (void)argument;
    lock(mutex);
    anysync_mutex_unref(mutex);
    return 0;
}

static int unlock_free(void *argument)
{
    (void)argument;
    return unlock_another(new_mutex());
}

ANYSYNC_COROUTINE(void, only_unlocks, (struct anysync_mutex *, mutex))
{
    return unlock_another(mutex);
}

/* The thread holds it, and not the task, though it runs there. */
static int unlock_in_task(void *argument)
{
    struct anysync_mutex *mutex = new_mutex();

    (void)argument;
    lock(mutex);
    return only_unlocks_run_here(mutex);
}

static void expect_abort(int (*body)(void *), const char *sentence)
{
    struct test_child child = test_child(body, NULL);

    CHECK_EQ(child.signal, SIGABRT);
    CHECK_CONTAINS(child.errors, sentence);
    free(child.errors);
}

TEST(only_the_holder_unlocks)
{
    expect_abort(unlock_free, "has to hold it");
    expect_abort(unlock_in_task, "has to hold it");
    expect_abort(drop_held, "unlock it before");
}

/* --- refusals --------------------------------------------------------------------------------- */

static void in_callback(evutil_socket_t fd, short events, void *argument)
{
    struct anysync_mutex *mutex = new_mutex();

    (void)fd, (void)events;
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), 0); /* it need not wait */
    anysync_mutex_unlock(mutex);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_POLL), 0);
    anysync_mutex_unlock(mutex);
    anysync_mutex_unref(mutex);
    set(argument, 0);
}

static struct anysync_mutex *wanted;

static void in_callback_held(evutil_socket_t fd, short events, void *argument)
{
    (void)fd, (void)events;
    CHECK_EQ(anysync_mutex_lock(wanted, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(anysync_mutex_lock(wanted, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "spawn");
    set(argument, 0);
}

static void check_callback(void)
{
    call_back(in_callback);
    wanted = new_mutex();
    lock(wanted);
    call_back(in_callback_held);
    anysync_mutex_unlock(wanted);
    anysync_mutex_unref(wanted);
}

TEST(a_callback_may_only_poll)
{
    CHECK_EQ(in_coroutine_run(check_callback), 0);
}

TEST(without_memory_there_is_none)
{
    struct anysync_mutex *mutex = NULL;

    fault_fail("malloc", 1, false);
    CHECK_EQ(anysync_mutex_new(&mutex), -ENOMEM);
    fault_clear();
    CHECK(mutex == NULL);
    CHECK_EQ(anysync_mutex_new(&mutex), 0);
    anysync_mutex_unref(mutex);
}

static int lock_in_child(void *mutex)
{
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), -EOWNERDEAD);
    anysync_mutex_unlock(mutex); /* the forked thread may have held it: nothing happens */
    anysync_mutex_unref(mutex);
    check_mutex();
    return 0;
}

TEST(a_forked_child_is_refused)
{
    struct anysync_mutex *mutex = new_mutex();

    lock(mutex);
    struct test_child child = test_child(lock_in_child, mutex);
    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
    anysync_mutex_unlock(mutex);
    anysync_mutex_unref(mutex);
}

/* --- ANYSYNC_LOCKED --------------------------------------------------------------------------- */

static int returns_from(struct anysync_mutex *mutex)
{
    int error = -1;

    ANYSYNC_LOCKED(mutex, &error)
    {
        return 7;
    }
    return error;
}

static void check_locked(void)
{
    struct anysync_mutex *mutex = new_mutex();
    int error = -1, ran = 0;

    ANYSYNC_LOCKED(mutex, &error)
    {
        CHECK_EQ(error, 0);
        CHECK_EQ(returns_from(mutex), -EDEADLK); /* and its block does not run */
        ran++;
    }
    ANYSYNC_LOCKED(mutex, &error)
    {
        ran++;
        break;
    }
    CHECK_EQ(returns_from(mutex), 7);
    CHECK_EQ(ran, 2);
    CHECK_EQ(error, 0);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_POLL), 0);
    anysync_mutex_unlock(mutex);
    anysync_mutex_unref(mutex);
}

TEST(a_locked_block_unlocks_however_it_is_left)
{
    in_worlds(EVERYWHERE_AND_POOL, check_locked);
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { USERS = 6 };

static struct {
    struct anysync_mutex *mutex;
    long each;
    long inside, total; /* under the mutex */
    bool hasty;
} shared;

static int use(int user)
{
    for (long i = 0; i < shared.each;) {
        int error = anysync_mutex_lock(
                shared.mutex, shared.hasty ? anysync_in_us((user * 7 + i) % 30) : ANYSYNC_FOREVER);
        if (error == -ETIMEDOUT && shared.hasty)
            continue;
        if (error)
            return error;
        CHECK_EQ(shared.inside++, 0);
        if (i % 5 == 0 && anysync_in_coroutine())
            CHECK_EQ(anysync_yield(), 0);
        shared.total++;
        shared.inside--;
        anysync_mutex_unlock(shared.mutex);
        i++;
    }
    return 0;
}

ANYSYNC_COROUTINE(void, use_body, (int, user))
{
    return use(user);
}

ANYSYNC_COROUTINE(void, use_twice, (int, user))
{
    ANYSYNC_SCOPED_FUTURE(use_body, child);
    int error = use_body_start(&child, user);

    if (!error)
        error = use(user);
    return error ? error : use_body_wait(&child, ANYSYNC_FOREVER);
}

static void use_on_thread(void *argument, int index)
{
    (void)argument;
    switch (index % 3) {
    case 0:
        CHECK_EQ(use(index), 0);
        break;
    case 1:
        CHECK_EQ(use_twice_run(index), 0);
        break;
    default:
        CHECK_EQ(use_twice_run_here(index), 0);
    }
}

static void use_together(bool hasty)
{
    shared.mutex = new_mutex();
    shared.each = test_scaled(1000);
    shared.total = 0;
    shared.hasty = hasty;
    CHECK_EQ(use_twice_run(0), 0); /* first one loop alone */
    test_together(USERS, use_on_thread, NULL);
    CHECK_EQ(shared.total, (2 + 2 + 4 + 4) * shared.each);
    anysync_mutex_unref(shared.mutex);
}

TEST(stress_one_holder_at_a_time)
{
    use_together(false);
}

TEST(stress_who_gives_up_loses_nothing)
{
    use_together(true);
}
