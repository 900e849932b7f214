/* SPDX-License-Identifier: MIT */
/*
 * Contract H3: limiters.
 *
 * Promised                                       Tested by
 *   H3  the default has 40                         h3_the_default_limiter_has_40_tokens
 *       tokens are counted                         h3_tokens_come_and_go
 *       a limiter per call                         h3_a_limiter_per_call
 *       growing wakes who waits                    h3_growing_serves_those_who_wait
 *       shrinking takes no token away              h3_shrinking_takes_no_token_away
 *       first come, first served, all kinds        h3_first_come_first_served
 *       who gives up loses nothing                 h3_who_gives_up_loses_nothing
 *                                                  h3_stress_tokens_survive_who_gives_up
 *       nor does a loop that leaves its tasks      h3_no_token_goes_with_who_was_abandoned
 *       in every world                             h3_tokens_in_every_world
 *       a callback is told what to do              h3_a_callback_does_not_wait_for_a_token
 *       never more at once than tokens             h3_stress_never_more_at_once_than_tokens
 *       nothing lost without memory                h3_no_memory_for_a_limiter
 *       wrong totals are refused                   h3_a_limiter_has_a_token_at_least
 *       one too many released stops the program    h3_a_release_too_many_is_a_bug
 *       in a forked child all tokens are back      h3_in_a_child_all_tokens_are_back
 */
#include "abandoned.h"
#include "fault.h"
#include "jobs.h"

#include <signal.h>
#include <unistd.h>

static void wait_for_waiting(struct anysync_limiter *limiter, size_t count)
{
    while (figures(limiter).waiting != count)
        CHECK_EQ(anysync_yield(), 0);
}

TEST(h3_the_default_limiter_has_40_tokens)
{
    CHECK_EQ(figures(NULL).total, 40);
    CHECK_EQ(figures(anysync_default_limiter()).total, 40);
    CHECK_EQ(figures(NULL).borrowed, 0);
    CHECK_EQ(anysync_limiter_acquire(NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(figures(anysync_default_limiter()).borrowed, 1);
    anysync_limiter_release(NULL);
    CHECK(anysync_limiter_unref(anysync_limiter_ref(anysync_default_limiter())) == NULL);
    CHECK(anysync_limiter_unref(NULL) == NULL);
}

static void check_tokens(void)
{
    struct anysync_limiter *limiter = new_limiter(2);

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_limiter_try_acquire(limiter), 0);
    CHECK_EQ(figures(limiter).borrowed, 2);
    CHECK_EQ(anysync_limiter_try_acquire(limiter), -EAGAIN);
    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(anysync_limiter_acquire(limiter, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(figures(limiter).waiting, 0);
    anysync_limiter_release(limiter);
    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_POLL), 0);
    anysync_limiter_release(limiter);
    anysync_limiter_release(limiter);
    CHECK_EQ(figures(limiter).borrowed, 0);
    anysync_limiter_unref(limiter);
}

TEST(h3_tokens_come_and_go)
{
    check_tokens();
}

TEST(h3_tokens_in_every_world)
{
    in_worlds(EVERYWHERE_AND_POOL, check_tokens);
}

/* --- jobs ------------------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(int, number, (struct anysync_limiter *, limiter))
{
    *result = (int)figures(limiter).borrowed;
    return 0;
}

TEST(h3_a_limiter_per_call)
{
    struct anysync_limiter *limiter = new_limiter(1);
    struct anysync_offload_options options = {.limiter = limiter};
    int borrowed = 0;

    CHECK_EQ(number_offload(&options, &borrowed, limiter), 0);
    CHECK_EQ(borrowed, 1);
    CHECK_EQ(figures(limiter).borrowed, 0);
    CHECK_EQ(number_offload(NULL, &borrowed, limiter), 0);
    CHECK_EQ(borrowed, 0);
    anysync_limiter_unref(limiter);
}

static atomic_int running, most;

/* Blocks its thread in a way that the library does not see: the token stays with the job. */
ANYSYNC_BLOCKING(void, hold, (atomic_bool *, go_on))
{
    int now = atomic_fetch_add(&running, 1) + 1;
    int before = atomic_load(&most);

    while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
        ;
    while (!atomic_load(go_on))
        nap();
    atomic_fetch_sub(&running, 1);
    return 0;
}

static void wait_for_running(int count)
{
    while (atomic_load(&running) != count)
        nap();
}

enum { JOBS = 6 };

TEST(h3_growing_serves_those_who_wait)
{
    struct anysync_limiter *limiter = new_limiter(1);
    struct anysync_offload_options options = {.limiter = limiter};
    atomic_bool go_on = false;
    hold_future soon[JOBS];

    for (int i = 0; i < JOBS; i++)
        CHECK_EQ(hold_start_with(&options, &soon[i], &go_on), 0);
    CHECK_EQ(figures(limiter).borrowed, 1);
    CHECK_EQ(figures(limiter).waiting, JOBS - 1);
    CHECK_EQ(anysync_limiter_set_total(limiter, 4), 0);
    CHECK_EQ(figures(limiter).borrowed, 4);
    CHECK_EQ(figures(limiter).waiting, JOBS - 4);
    wait_for_running(4);
    atomic_store(&go_on, true);
    for (int i = 0; i < JOBS; i++) {
        CHECK_EQ(hold_wait(&soon[i], ANYSYNC_FOREVER), 0);
        hold_drop(&soon[i]);
    }
    CHECK_EQ(atomic_load(&most), 4);
    CHECK_EQ(figures(limiter).borrowed, 0);
    anysync_limiter_unref(limiter);
}

TEST(h3_shrinking_takes_no_token_away)
{
    struct anysync_limiter *limiter = new_limiter(3);

    for (int i = 0; i < 3; i++)
        CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_limiter_set_total(limiter, 1), 0);
    CHECK_EQ(figures(limiter).borrowed, 3);
    CHECK_EQ(figures(limiter).total, 1);
    anysync_limiter_release(limiter);
    CHECK_EQ(anysync_limiter_try_acquire(limiter), -EAGAIN);
    anysync_limiter_release(limiter);
    CHECK_EQ(anysync_limiter_try_acquire(limiter), -EAGAIN);
    anysync_limiter_release(limiter);
    CHECK_EQ(anysync_limiter_try_acquire(limiter), 0);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
}

/* --- in line ---------------------------------------------------------------------------------- */

static struct anysync_limiter *line;
static atomic_int order, places[3];

ANYSYNC_BLOCKING(void, take_place, (int, who))
{
    atomic_store(&places[who], atomic_fetch_add(&order, 1) + 1);
    return 0;
}

ANYSYNC_COROUTINE(void, acquire_place, (int, who))
{
    CHECK_EQ(anysync_limiter_acquire(line, ANYSYNC_FOREVER), 0);
    atomic_store(&places[who], atomic_fetch_add(&order, 1) + 1);
    anysync_limiter_release(line);
    return 0;
}

static void acquire_on_thread(void *argument, int index)
{
    (void)argument;
    (void)index;
    CHECK_EQ(anysync_limiter_acquire(line, ANYSYNC_FOREVER), 0);
    atomic_store(&places[2], atomic_fetch_add(&order, 1) + 1);
    anysync_limiter_release(line);
}

/* A job, a task and a thread, in each order of theirs. */
TEST(h3_first_come_first_served)
{
    static const int orders[6][3] = {
            {0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

    for (int i = 0; i < 6; i++) {
        struct test_threads *threads = NULL;
        take_place_future job;
        acquire_place_future task;
        line = new_limiter(1);
        struct anysync_offload_options options = {.limiter = line};
        atomic_store(&order, 0);
        CHECK_EQ(anysync_limiter_acquire(line, ANYSYNC_FOREVER), 0);
        for (int place = 0; place < 3; place++) {
            if (orders[i][place] == 0)
                CHECK_EQ(take_place_start_with(&options, &job, 0), 0);
            else if (orders[i][place] == 1)
                CHECK_EQ(acquire_place_start(&task, 1), 0);
            else
                threads = test_threads_start(1, acquire_on_thread, NULL);
            wait_for_waiting(line, (size_t)place + 1);
        }
        anysync_limiter_release(line);
        CHECK_EQ(take_place_wait(&job, ANYSYNC_FOREVER), 0);
        CHECK_EQ(acquire_place_wait(&task, ANYSYNC_FOREVER), 0);
        test_threads_join(threads);
        for (int place = 0; place < 3; place++)
            CHECK_EQ(atomic_load(&places[orders[i][place]]), place + 1);
        take_place_drop(&job);
        acquire_place_drop(&task);
        anysync_limiter_unref(line);
    }
}

ANYSYNC_COROUTINE(void, acquire_once)
{
    int error = anysync_limiter_acquire(line, ANYSYNC_FOREVER);

    if (!error)
        anysync_limiter_release(line);
    return error;
}

TEST(h3_who_gives_up_loses_nothing)
{
    acquire_once_future first, second;

    line = new_limiter(1);
    CHECK_EQ(anysync_limiter_acquire(line, ANYSYNC_FOREVER), 0);
    CHECK_EQ(acquire_once_start(&first), 0);
    wait_for_waiting(line, 1);
    CHECK_EQ(acquire_once_start(&second), 0);
    wait_for_waiting(line, 2);
    CHECK_EQ(acquire_once_cancel(&first), 0);
    CHECK_EQ(acquire_once_wait(&first, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(figures(line).waiting, 1);
    CHECK_EQ(figures(line).borrowed, 1);
    anysync_limiter_release(line);
    CHECK_EQ(acquire_once_wait(&second, ANYSYNC_FOREVER), 0);
    CHECK_EQ(figures(line).borrowed, 0);
    acquire_once_drop(&first);
    acquire_once_drop(&second);
    anysync_limiter_unref(line);
}

static void give_up_often(void *argument, int index)
{
    long rounds = *(long *)argument;

    for (long i = 0; i < rounds; i++) {
        if (index % 2) {
            acquire_once_future soon;
            CHECK_EQ(acquire_once_start(&soon), 0);
            acquire_once_cancel(&soon);
            int error = acquire_once_wait(&soon, ANYSYNC_FOREVER);
            CHECK(error == 0 || error == -ECANCELED);
            acquire_once_drop(&soon);
        } else {
            int error = anysync_limiter_acquire(line, anysync_in_us(i % 200));
            CHECK(error == 0 || error == -ETIMEDOUT);
            if (error)
                continue;
            for (anysync_time end = anysync_in_us(i % 70); anysync_now() < end;)
                ; /* long enough that others come to their deadlines */
            anysync_limiter_release(line);
        }
    }
}

TEST(h3_stress_tokens_survive_who_gives_up)
{
    long rounds = test_scaled(500);

    line = new_limiter(2);
    test_together(6, give_up_often, &rounds);
    CHECK_EQ(figures(line).borrowed, 0);
    CHECK_EQ(figures(line).waiting, 0);
    CHECK_EQ(anysync_limiter_try_acquire(line), 0);
    CHECK_EQ(anysync_limiter_try_acquire(line), 0);
    CHECK_EQ(anysync_limiter_try_acquire(line), -EAGAIN);
    anysync_limiter_release(line);
    anysync_limiter_release(line);
    anysync_limiter_unref(line);
}

static struct anysync_future *callback_ran;

static void on_callback(evutil_socket_t fd, short events, void *argument)
{
    (void)fd;
    (void)events;
    (void)argument;
    CHECK_EQ(anysync_limiter_acquire(line, ANYSYNC_FOREVER), 0); /* there is one */
    CHECK_EQ(anysync_limiter_acquire(line, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_limiter_try_acquire()");
    anysync_limiter_release(line);
    open_gate(callback_ran);
}

ANYSYNC_COROUTINE(void, calls_back)
{
    CHECK_EQ(event_base_once(anysync_event_base(), -1, EV_TIMEOUT, on_callback, NULL, NULL), 0);
    pass_gate(callback_ran);
    return 0;
}

TEST(h3_a_callback_does_not_wait_for_a_token)
{
    line = new_limiter(1);
    callback_ran = new_gate();
    CHECK_EQ(calls_back_run_here(), 0);
    anysync_future_unref(callback_ran);
    anysync_limiter_unref(line);
}

static void take_token(void *limiter)
{
    (void)!anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
}

static void release_token(void *limiter)
{
    CHECK_EQ(figures(limiter).waiting, 1);
    anysync_limiter_release(limiter);
}

static void keep_token(void *limiter)
{
    CHECK_EQ(figures(limiter).waiting, 1);
}

TEST(h3_no_token_goes_with_who_was_abandoned)
{
    struct anysync_limiter *limiter = new_limiter(1);

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_POLL), 0);
    abandon_in_line(take_token, keep_token, limiter);
    CHECK_EQ(figures(limiter).waiting, 0);
    anysync_limiter_release(limiter);
    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_POLL), 0);
    abandon_in_line(take_token, release_token, limiter);
    CHECK_EQ(figures(limiter).borrowed, 0);
    CHECK_EQ(anysync_limiter_acquire(limiter, anysync_in_ms(1)), 0);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
}

/* --- many ------------------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(void, count_running)
{
    int now = atomic_fetch_add(&running, 1) + 1;
    int before = atomic_load(&most);

    while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
        ;
    atomic_fetch_sub(&running, 1);
    return 0;
}

static void submit_many(void *argument, int index)
{
    enum { FLIGHT = 16 };
    const struct anysync_offload_options *options = argument;
    count_running_future soon[FLIGHT];

    (void)index;
    for (long i = test_scaled(50); i > 0; i--) {
        for (int j = 0; j < FLIGHT; j++)
            CHECK_EQ(count_running_start_with(options, &soon[j]), 0);
        for (int j = 0; j < FLIGHT; j++) {
            CHECK_EQ(count_running_wait(&soon[j], ANYSYNC_FOREVER), 0);
            count_running_drop(&soon[j]);
        }
    }
}

TEST(h3_stress_never_more_at_once_than_tokens)
{
    struct anysync_limiter *limiter = new_limiter(3);
    struct anysync_offload_options options = {.limiter = limiter};

    test_together(4, submit_many, &options);
    CHECK_GE(3, atomic_load(&most));
    CHECK_EQ(figures(limiter).borrowed, 0);
    anysync_limiter_unref(limiter);
}

/* --- what is wrong ---------------------------------------------------------------------------- */

TEST(h3_no_memory_for_a_limiter)
{
    struct anysync_limiter *limiter = NULL;

    fault_fail("malloc", 1, true);
    CHECK_EQ(anysync_limiter_new(1, &limiter), -ENOMEM);
    fault_clear();
    CHECK(!limiter);
    anysync_limiter_unref(new_limiter(1));
}

TEST(h3_a_limiter_has_a_token_at_least)
{
    struct anysync_limiter *limiter = NULL;

    CHECK_EQ(anysync_limiter_new(0, &limiter), -EINVAL);
    limiter = new_limiter(1);
    CHECK_EQ(anysync_limiter_set_total(limiter, 0), -EINVAL);
    CHECK_EQ(figures(limiter).total, 1);
    anysync_limiter_unref(limiter);
}

static int release_too_many(void *argument)
{
    (void)argument;
    anysync_limiter_release(new_limiter(1));
    return 0;
}

TEST(h3_a_release_too_many_is_a_bug)
{
    struct test_child child = test_child(release_too_many, NULL);

    CHECK_EQ(child.signal, SIGABRT);
    CHECK_CONTAINS(child.errors, "more tokens were released than acquired");
    free(child.errors);
}

static int look_at_tokens(void *argument)
{
    struct anysync_limiter *limiter = argument;
    struct anysync_offload_options options = {.limiter = limiter};
    int borrowed = 0;

    CHECK_EQ(figures(limiter).borrowed, 0);
    CHECK_EQ(number_offload(&options, &borrowed, limiter), 0);
    CHECK_EQ(borrowed, 1);
    anysync_limiter_release(limiter); /* the parent's token: no bug here */
    _exit(0);
}

TEST(h3_in_a_child_all_tokens_are_back)
{
    struct anysync_limiter *limiter = new_limiter(1);

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    struct test_child child = test_child(look_at_tokens, limiter);
    CHECK_STR(child.errors, "");
    CHECK(child.exited && child.status == 0);
    free(child.errors);
    CHECK_EQ(figures(limiter).borrowed, 1);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
}
