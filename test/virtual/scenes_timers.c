/* SPDX-License-Identifier: MIT */
/*
 * Scenes of time: an earlier deadline that comes while the loop goes to sleep, timers that are
 * cancelled while they fire; and of tokens that go from hand to hand.
 */
#include "scenes.h"

#include <errno.h>

static struct anysync_future *futures[2];
static anysync_time began, woke[2];

#define EARLY 1000
#define LATE 10000000000

/* --- an earlier deadline from another thread -------------------------------------------------- */

static int sleep_body(void *argument, void *result)
{
    size_t who = *(size_t *)argument;

    (void)result;
    int error = anysync_sleep(began + (who == 0 ? LATE : EARLY));
    woke[who] = anysync_now();
    return error;
}

static const struct anysync_function sleeper =
        ANYSYNC_FUNCTION(sleeper, sleep_body, sizeof(size_t), 0);

static void spawn_sleeper(size_t who)
{
    VIRTUAL_CHECK(anysync_spawn(&sleeper, &who, &futures[who]) == 0);
}

static void spawn_early_one(void *unused)
{
    (void)unused;
    spawn_sleeper(1);
}

/* The loop goes to sleep for ten seconds, and another has something for the next microsecond. */
SCENE(earlier_deadline_ends_the_sleep, 2, 1)
{
    virtual_be_punctual();
    scene_configure(ANYSYNC_FOREVER);
    began = anysync_now();
    spawn_sleeper(0);
    int other = virtual_start(spawn_early_one, NULL);
    virtual_join(other);
    VIRTUAL_CHECK(anysync_wait(futures[1], NULL, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(woke[1] >= began + EARLY && woke[1] < began + 10 * EARLY);
    VIRTUAL_CHECK(anysync_wait(futures[0], NULL, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(woke[0] >= began + LATE);
    anysync_future_unref(futures[0]);
    anysync_future_unref(futures[1]);
}

/* The same by a timer that a plain thread sets. */
static void set_early_timer(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(anysync_future_at(began + EARLY, &futures[1]) == 0);
    VIRTUAL_CHECK(anysync_wait(futures[1], NULL, ANYSYNC_FOREVER) == 0);
    woke[1] = anysync_now();
}

SCENE(earlier_timer_of_a_thread_is_in_time, 2, 0)
{
    virtual_be_punctual();
    scene_configure(ANYSYNC_FOREVER);
    began = anysync_now();
    VIRTUAL_CHECK(anysync_future_at(began + LATE, &futures[0]) == 0);
    int other = virtual_start(set_early_timer, NULL);
    virtual_join(other);
    VIRTUAL_CHECK(woke[1] >= began + EARLY && woke[1] < began + 10 * EARLY);
    VIRTUAL_CHECK(anysync_wait(futures[0], NULL, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_now() >= began + LATE);
    anysync_future_unref(futures[0]);
    anysync_future_unref(futures[1]);
}

/* --- timers that are cancelled while they fire ------------------------------------------------ */

static void cancel_first(void *unused)
{
    (void)unused;
    int error = anysync_cancel(futures[0]);
    VIRTUAL_CHECK(error == 0 || error == ANYSYNC_DONE);
    anysync_future_unref(futures[0]);
}

/* Two timers of one moment; one of them is cancelled by a thread about then. */
SCENE(timer_is_cancelled_while_it_fires, 2, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    began = anysync_now() + 30;
    VIRTUAL_CHECK(anysync_future_at(began, &futures[0]) == 0);
    VIRTUAL_CHECK(anysync_future_at(began, &futures[1]) == 0);
    anysync_future_ref(futures[0]);
    int canceller = virtual_start(cancel_first, NULL);
    int error = anysync_wait(futures[0], NULL, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == -ECANCELED || (error == 0 && anysync_now() >= began));
    VIRTUAL_CHECK(anysync_wait(futures[1], NULL, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_now() >= began);
    virtual_join(canceller);
    anysync_future_unref(futures[0]);
    anysync_future_unref(futures[1]);
}

static void set_first(void *unused)
{
    (void)unused;
    int error = anysync_future_set(futures[0], NULL);
    VIRTUAL_CHECK(error == 0 || error == -EALREADY);
    anysync_future_unref(futures[0]); /* with the last reference perhaps */
}

/* A timer is set by hand, and all drop it, while it fires. */
SCENE(timer_is_set_and_dropped_while_it_fires, 2, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_at(anysync_now() + 30, &futures[0]) == 0);
    anysync_future_ref(futures[0]);
    int setter = virtual_start(set_first, NULL);
    VIRTUAL_CHECK(anysync_future_wait(futures[0], ANYSYNC_FOREVER) == 0);
    anysync_future_unref(futures[0]);
    virtual_join(setter);
    VIRTUAL_CHECK(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
}

/* Three tasks sleep to one moment; who wakes first cancels the others, whose timers are due. */
static struct anysync_future *sleepers[3];
static int ended_well, ended_cut;

static int rival_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    int error = anysync_sleep(began);
    VIRTUAL_CHECK(error ? error == -ECANCELED : anysync_now() >= began);
    ended_well += error == 0;
    ended_cut += error != 0;
    for (int i = 0; i < 3 && !error; i++)
        (void)anysync_cancel(sleepers[i]);
    return error;
}

static const struct anysync_function rival = ANYSYNC_FUNCTION(rival, rival_body, 0, 0);

static int rivals_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    began = anysync_now() + 20 + (anysync_time)virtual_choose(20);
    for (int i = 0; i < 3; i++)
        VIRTUAL_CHECK(anysync_spawn(&rival, NULL, &sleepers[i]) == 0);
    VIRTUAL_CHECK(anysync_wait_all(sleepers, 3, ANYSYNC_FOREVER) == 0);
    for (int i = 0; i < 3; i++)
        anysync_future_unref(sleepers[i]);
    return 0;
}

static const struct anysync_function rivals = ANYSYNC_FUNCTION(rivals, rivals_body, 0, 0);

SCENE(timers_cancel_each_other, 2, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_run(&rivals, NULL, NULL, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(ended_well >= 1 && ended_well + ended_cut == 3);
}

/* --- calls that give up and are abandoned ----------------------------------------------------- */

static int results[2];

static int late_body(void *argument, void *result)
{
    struct anysync_scope shield;

    (void)argument;
    *(int *)result = 1; /* nobody sees it before the end */
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_wait(futures[0], ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_scope_exit(&shield, 0) == 0);
    *(int *)result = 2;
    return 0;
}

static const struct anysync_function late = ANYSYNC_FUNCTION(late, late_body, 0, sizeof(int));

static void set_second(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(anysync_future_set(futures[0], NULL) == 0);
}

/* The call gives up at any moment, and what it left never writes where it stood (C1, C2). */
static void give_up(int64_t grace_ns)
{
    scene_configure(grace_ns);
    VIRTUAL_CHECK(anysync_future_new(0, &futures[0]) == 0);
    int setter = virtual_start(set_second, NULL);
    int error = anysync_run(&late, NULL, &results[0], anysync_now() + 1 + virtual_choose(8));
    VIRTUAL_CHECK(error == -ETIMEDOUT ? results[0] == 0 : error == 0 && results[0] == 2);
    results[1] = results[0];
    virtual_join(setter);
    VIRTUAL_CHECK(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
    VIRTUAL_CHECK(results[0] == results[1]);
    anysync_future_unref(futures[0]);
}

SCENE(call_gives_up_without_grace, 2, 0)
{
    give_up(-1);
}

SCENE(call_gives_up_after_a_short_grace, 2, 0)
{
    give_up(1);
}

/* --- tokens ----------------------------------------------------------------------------------- */

static struct anysync_limiter *limiter;

/* A job gives its token to others while it waits, and has it again before it goes on. */
static int pausing_job(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_wait(futures[0], NULL, ANYSYNC_FOREVER);
}

static int setting_job(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_future_set(futures[0], NULL);
}

static const struct anysync_function pauses = {
        "pauses", __FILE__, __LINE__, pausing_job, 0, 0, 0, ANYSYNC_KIND_BLOCKING};
static const struct anysync_function sets = {
        "sets", __FILE__, __LINE__, setting_job, 0, 0, 0, ANYSYNC_KIND_BLOCKING};

SCENE(job_that_waits_gives_its_token_to_others, 2, 0)
{
    struct anysync_offload_options options = {0};
    struct anysync_future *jobs[2];

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_new(0, &futures[0]) == 0);
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    options.limiter = limiter;
    VIRTUAL_CHECK(anysync_offload_start(&pauses, NULL, &options, &jobs[0]) == 0);
    VIRTUAL_CHECK(anysync_offload_start(&sets, NULL, &options, &jobs[1]) == 0);
    VIRTUAL_CHECK(anysync_wait_all(jobs, 2, ANYSYNC_FOREVER) == 0);
    for (int i = 0; i < 2; i++) {
        VIRTUAL_CHECK(anysync_wait(jobs[i], NULL, ANYSYNC_POLL) == 0);
        anysync_future_unref(jobs[i]);
    }
    VIRTUAL_CHECK(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER) == 0);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
    anysync_future_unref(futures[0]);
}

static void hold(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER) == 0);
    anysync_limiter_release(limiter);
}

static void lower_and_raise(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(anysync_limiter_set_total(limiter, 1) == 0);
    VIRTUAL_CHECK(anysync_limiter_set_total(limiter, 2) == 0);
}

/* The number of tokens changes while they go round: who waits is served. */
SCENE(tokens_change_while_they_go_round, 2, 0)
{
    struct anysync_limiter_figures figures;

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_limiter_new(2, &limiter) == 0);
    int first = virtual_start(hold, NULL);
    int second = virtual_start(hold, NULL);
    int changer = virtual_start(lower_and_raise, NULL);
    hold(NULL);
    virtual_join(first);
    virtual_join(second);
    virtual_join(changer);
    anysync_limiter_stats(limiter, &figures);
    VIRTUAL_CHECK(figures.total == 2 && figures.borrowed == 0 && figures.waiting == 0);
    anysync_limiter_unref(limiter);
}

/* A token more serves who waits, at once: nobody gives one back. */
SCENE(one_more_token_is_enough, 2, 1)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    VIRTUAL_CHECK(anysync_limiter_try_acquire(limiter) == 0);
    int waits = virtual_start(hold, NULL);
    VIRTUAL_CHECK(anysync_limiter_set_total(limiter, 2) == 0);
    virtual_join(waits);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
}

static void hold_or_not(void *unused)
{
    (void)unused;
    int error = anysync_limiter_acquire(limiter, anysync_in_us(1));
    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT);
    if (error == 0)
        anysync_limiter_release(limiter);
}

/* Who gives up just when the token comes passes it on. */
SCENE(token_that_comes_too_late_goes_on, 2, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    VIRTUAL_CHECK(anysync_limiter_try_acquire(limiter) == 0);
    int hesitant = virtual_start(hold_or_not, NULL);
    int patient = virtual_start(hold, NULL);
    anysync_limiter_release(limiter);
    virtual_join(hesitant);
    virtual_join(patient);
    VIRTUAL_CHECK(anysync_limiter_try_acquire(limiter) == 0);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
}
