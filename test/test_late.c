/* SPDX-License-Identifier: MIT */
/*
 * What comes late or never: wakes meant for another wait, threads that are refused, consumers and
 * waiters that were abandoned.  Each of these was wrong once, in a review of jobs, generators,
 * channels and limiters.
 *
 * Promised                                        Tested by
 *   reading ahead is bounded by memory              read_ahead_of_any_size_is_an_answer
 *   a wake ends no other wait: of a close           a_close_does_not_end_a_shielded_wait
 *                                                   a_close_does_not_end_the_wait_for_a_job
 *                              of reading ahead     a_wake_of_read_ahead_ends_no_other_wait
 *   an abandoned task takes nothing: no item        an_abandoned_receiver_takes_no_item
 *                                    sends none     an_abandoned_sender_sends_nothing
 *                                    no token       an_abandoned_waiter_takes_no_token
 *                                    no answer      an_abandoned_consumer_loses_nothing
 *   refused threads lose no job                     a_job_launched_while_another_fails_is_not_lost
 *     and fail none that ran                        a_job_that_ran_is_not_said_to_have_failed
 *     and keep none waiting for its own thread      without_a_thread_a_job_in_a_job_fails
 *     and do not lock a group                       a_spawn_that_fails_does_not_lock_itself_out
 *   a clean-up goes on after its exit has given up  a_clean_up_that_takes_long_is_not_cancelled_...
 */
#include "base/memory.h"
#include "fault.h"
#include "jobs.h"

#include <pthread.h>

static anysync_time in_s(int seconds)
{
    return anysync_now() + (anysync_time)seconds * 1000000000;
}

ANYSYNC_COROUTINE(void, nothing)
{
    return 0;
}

ANYSYNC_BLOCKING(void, run_count, (atomic_int *, runs))
{
    atomic_fetch_add(runs, 1);
    return 0;
}

/* What was posted to the global worker before has been delivered. */
static void settle_worker(void)
{
    CHECK_EQ(nothing_run(), 0);
    CHECK_EQ(nothing_run(), 0);
}

/* --- read_ahead that is no size --------------------------------------------------------------- */

ANYSYNC_GENERATOR(char, one_item)
{
    return one_item_yield(1);
}

TEST(read_ahead_of_any_size_is_an_answer)
{
    struct anysync_generator_options options = {.read_ahead = 0x80000001u};
    one_item_generator generator;
    int error = one_item_open_with(&options, &generator); /* hangs in asi_ring_places() */

    CHECK(error == 0 || error == -ENOMEM || error == -EINVAL);
    if (!error)
        one_item_drop(&generator);
}

/* --- a close wakes the body out of waits that it must not end --------------------------------- */

struct careful {
    struct anysync_future *entered, *gate;
    int waited;
};

ANYSYNC_GENERATOR(int, careful, (struct careful *, self))
{
    struct anysync_scope shield;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    open_gate(self->entered);
    self->waited = anysync_future_wait(self->gate, ANYSYNC_FOREVER);
    (void)anysync_scope_exit(&shield, 0);
    return careful_yield(1);
}

TEST(a_close_does_not_end_a_shielded_wait)
{
    struct careful self = {new_gate(), new_gate(), 99};
    careful_generator generator;
    int item;

    CHECK_EQ(careful_open(&generator, &self), 0);
    CHECK_EQ(careful_next_until(&generator, &item, ANYSYNC_POLL), -ETIMEDOUT);
    pass_gate(self.entered);
    settle_worker();
    CHECK_EQ(anysync_generator_close(generator.generator, ANYSYNC_POLL), -ETIMEDOUT);
    settle_worker();
    open_gate(self.gate);
    careful_drop(&generator);
    CHECK_EQ(self.waited, 0);
    anysync_future_unref(self.entered);
    anysync_future_unref(self.gate);
}

struct patient {
    struct anysync_scope scope;
    atomic_bool begun, asked, go_on, ended, ended_before_return;
};

ANYSYNC_BLOCKING(void, slow_job, (struct patient *, self))
{
    atomic_store(&self->begun, true);
    while (!anysync_check_cancelled())
        nap();
    atomic_store(&self->asked, true);
    hold_until(&self->go_on);
    atomic_store(&self->ended, true);
    return 0;
}

ANYSYNC_GENERATOR(int, patient, (struct patient *, self))
{
    anysync_scope_enter(&self->scope, ANYSYNC_FOREVER);
    int error = slow_job(self);
    atomic_store(&self->ended_before_return, atomic_load(&self->ended));
    return anysync_scope_exit(&self->scope, error);
}

ANYSYNC_COROUTINE(void, cuts, (struct patient *, self))
{
    anysync_scope_cancel(&self->scope, "enough");
    return 0;
}

/* offload.h: who waits for a job and is cancelled "asks the job and waits for its end". */
TEST(a_close_does_not_end_the_wait_for_a_job)
{
    static struct patient self;
    patient_generator generator;
    int item;

    CHECK_EQ(patient_open(&generator, &self), 0);
    CHECK_EQ(patient_next_until(&generator, &item, ANYSYNC_POLL), -ETIMEDOUT);
    wait_for(&self.begun);
    CHECK_EQ(cuts_run(&self), 0);
    wait_for(&self.asked);
    settle_worker();
    (void)!anysync_generator_close(generator.generator, ANYSYNC_POLL);
    settle_worker();
    atomic_store(&self.go_on, true);
    patient_drop(&generator);
    CHECK(atomic_load(&self.ended_before_return));
}

/* --- the letter of read-ahead ends another wait ----------------------------------------------- */

struct strayed {
    struct anysync_scope scope;
    struct anysync_future *gate;
    int waited;
    atomic_bool holds, popped;
};

ANYSYNC_GENERATOR(int, strays, (struct strayed *, self))
{
    int error = 0;

    anysync_scope_enter(&self->scope, ANYSYNC_FOREVER);
    for (int i = 0; !error; i++)
        error = strays_yield(i);
    CHECK_EQ(error, -ECANCELED);
    (void)anysync_scope_exit(&self->scope, error);
    self->waited = anysync_future_wait(self->gate, ANYSYNC_FOREVER); /* nobody cancels it */
    return 0;
}

ANYSYNC_COROUTINE(void, holds_loop, (struct strayed *, self))
{
    atomic_store(&self->holds, true);
    hold_until(&self->popped);
    anysync_scope_cancel(&self->scope, NULL);
    return 0;
}

TEST(a_wake_of_read_ahead_ends_no_other_wait)
{
    static struct strayed self;
    struct anysync_generator_options options = {.read_ahead = 1};
    strays_generator generator;
    holds_loop_future held;
    int item;

    self.gate = new_gate();
    CHECK_EQ(strays_open_with(&options, &generator, &self), 0);
    (void)!strays_next_until(&generator, &item, ANYSYNC_POLL);
    settle_worker(); /* the body sleeps, as there is no room */
    CHECK_EQ(holds_loop_start(&held, &self), 0);
    wait_for(&self.holds);
    CHECK_EQ(strays_next_until(&generator, &item, ANYSYNC_POLL), 0); /* posts the letter */
    atomic_store(&self.popped, true);
    CHECK_EQ(holds_loop_wait(&held, ANYSYNC_FOREVER), 0);
    settle_worker();
    open_gate(self.gate);
    settle_worker();
    int error = strays_next_until(&generator, &item, ANYSYNC_FOREVER);
    while (!error)
        error = strays_next_until(&generator, &item, ANYSYNC_FOREVER);
    CHECK_EQ(error, ANYSYNC_DONE);
    CHECK_EQ(self.waited, 0);
    strays_drop(&generator);
    holds_loop_drop(&held);
    anysync_future_unref(self.gate);
}

/* --- who was abandoned takes items and tokens ------------------------------------------------- */

ANYSYNC_COROUTINE(void, receives_in_shield, (struct anysync_channel *, channel))
{
    struct anysync_scope shield;
    int item;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    return anysync_channel_recv(channel, &item, ANYSYNC_FOREVER);
}

TEST(an_abandoned_receiver_takes_no_item)
{
    struct anysync_channel *channel = NULL;
    int item = 7, got = 0;

    CHECK_EQ(anysync_channel_new(1, sizeof(int), &channel), 0);
    CHECK_EQ(receives_in_shield_run_here_until(channel, anysync_now() + 1000000), -ETIMEDOUT);
    CHECK_EQ(anysync_channel_send(channel, &item, ANYSYNC_POLL), 0);
    CHECK_EQ(anysync_channel_recv(channel, &got, ANYSYNC_POLL), 0);
    CHECK_EQ(got, 7);
    anysync_channel_unref(channel);
}

ANYSYNC_COROUTINE(void, sends_in_shield, (struct anysync_channel *, channel))
{
    struct anysync_scope shield;
    int item = 2;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    return anysync_channel_send(channel, &item, ANYSYNC_FOREVER);
}

/* The call said -ETIMEDOUT long ago, "nothing was sent"; its item comes out all the same. */
TEST(an_abandoned_sender_sends_nothing)
{
    struct anysync_channel *channel = NULL;
    int item = 1, got = 0;

    CHECK_EQ(anysync_channel_new(1, sizeof(int), &channel), 0);
    CHECK_EQ(anysync_channel_send(channel, &item, ANYSYNC_POLL), 0);
    CHECK_EQ(sends_in_shield_run_here_until(channel, anysync_now() + 1000000), -ETIMEDOUT);
    CHECK_EQ(anysync_channel_recv(channel, &got, ANYSYNC_POLL), 0);
    CHECK_EQ(anysync_channel_recv(channel, &got, ANYSYNC_POLL), -ETIMEDOUT);
    anysync_channel_unref(channel);
}

ANYSYNC_COROUTINE(void, acquires_in_shield, (struct anysync_limiter *, limiter))
{
    struct anysync_scope shield;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    return anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
}

TEST(an_abandoned_waiter_takes_no_token)
{
    struct anysync_limiter *limiter = new_limiter(1);

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(acquires_in_shield_run_here_until(limiter, anysync_now() + 1000000), -ETIMEDOUT);
    anysync_limiter_release(limiter);
    CHECK_EQ(anysync_limiter_acquire(limiter, in_s(1)), 0);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
}

/* --- threads that are refused, at a moment of our choice -------------------------------------- */

static atomic_bool refuse, starting, fail_now;

static bool refuse_threads(const char *what)
{
    if (strcmp(what, "thread") != 0 || !atomic_load(&refuse))
        return false;
    atomic_store(&starting, true);
    hold_until(&fail_now);
    return true;
}

static struct anysync_limiter *limited;

static void *release_one(void *argument)
{
    (void)argument;
    anysync_limiter_release(limited);
    return NULL;
}

TEST(a_job_launched_while_another_fails_is_not_lost)
{
    struct anysync_pool *pool = new_pool(0);
    struct anysync_future *jobs[3];
    static atomic_int runs;
    atomic_int *counter = &runs;
    pthread_t first;

    asi_fault_hook = refuse_threads;
    limited = new_limiter(2);
    CHECK_EQ(anysync_limiter_acquire(limited, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_limiter_acquire(limited, ANYSYNC_FOREVER), 0);
    struct anysync_offload_options options = {.limiter = limited, .pool = pool};
    for (int i = 0; i < 3; i++)
        CHECK_EQ(anysync_offload_start(&run_count_function, &counter, &options, &jobs[i]), 0);
    atomic_store(&refuse, true);
    CHECK_EQ(pthread_create(&first, NULL, release_one, NULL), 0);
    wait_for(&starting); /* the first is in the start of a thread */
    release_one(NULL);   /* the second is queued behind it */
    atomic_store(&fail_now, true);
    CHECK_EQ(pthread_join(first, NULL), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(anysync_future_wait(jobs[i], in_s(2)), 0); /* the third is never heard of again */
        CHECK_EQ(anysync_future_result(jobs[i], NULL), -EAGAIN);
        anysync_future_unref(jobs[i]);
    }
    CHECK_EQ(figures(limited).borrowed, 0);
    anysync_limiter_unref(limited);
    anysync_pool_unref(pool);
}

static struct anysync_pool *short_pool;
static atomic_int runs_of_second;
static int second_error = 99;

static void *start_second(void *argument)
{
    struct anysync_offload_options options = {.pool = short_pool};
    atomic_int *counter = &runs_of_second;

    (void)argument;
    second_error = anysync_offload_start(&run_count_function, &counter, &options, NULL);
    return NULL;
}

TEST(a_job_that_ran_is_not_said_to_have_failed)
{
    static struct watched watched;
    struct anysync_offload_options options;
    stubborn_future first;
    pthread_t second;

    asi_fault_hook = refuse_threads;
    short_pool = new_pool(1);
    options = (struct anysync_offload_options){.pool = short_pool};
    CHECK_EQ(stubborn_start_with(&options, &first, &watched, 0), 0);
    wait_for(&watched.begun);
    atomic_store(&refuse, true);
    CHECK_EQ(pthread_create(&second, NULL, start_second, NULL), 0);
    wait_for(&starting);
    atomic_store(&watched.go_on, true); /* its thread takes the second, and ends for idleness */
    while (threads_of(short_pool).threads > 1)
        nap();
    CHECK_EQ(atomic_load(&runs_of_second), 1);
    atomic_store(&fail_now, true);
    CHECK_EQ(pthread_join(second, NULL), 0);
    CHECK_EQ(second_error, 0);
    CHECK_EQ(figures(NULL).borrowed, 0);
    stubborn_drop(&first);
    anysync_pool_unref(short_pool);
}

/* offload.h: -EAGAIN "no thread of the pool is there to wait for".  Here the only one is the one
 * that waits. */
ANYSYNC_BLOCKING(int, needs_another, (struct anysync_pool *, pool))
{
    static atomic_int runs;
    atomic_int *counter = &runs;
    struct anysync_offload_options options = {.pool = pool, .abandon = true};

    fault_fail("thread", 1, true);
    *result = anysync_offload(&run_count_function, &counter, NULL, &options, in_s(2));
    fault_clear();
    return 0;
}

TEST(without_a_thread_a_job_in_a_job_fails)
{
    struct anysync_pool *pool = new_pool(0);
    struct anysync_offload_options options = {.pool = pool};
    int error = 0;

    CHECK_EQ(needs_another_offload(&options, &error, pool), 0);
    CHECK_EQ(error, -EAGAIN);
    anysync_pool_unref(pool);
}

/* --- a group's lock around the start of a job ------------------------------------------------- */

static atomic_int at_start;
static atomic_bool fail_nth[3];

static bool refuse_in_turn(const char *what)
{
    if (strcmp(what, "thread") != 0 || !atomic_load(&refuse))
        return false;
    int nth = atomic_fetch_add(&at_start, 1);
    if (nth < 2)
        hold_until(&fail_nth[nth]);
    return true;
}

static void *more_tokens(void *argument)
{
    (void)argument;
    CHECK_EQ(anysync_limiter_set_total(NULL, 5), 0);
    return NULL;
}

static struct anysync_group *shared_group;

static void *spawn_one_more(void *argument)
{
    static atomic_int runs;
    atomic_int *counter = &runs;

    (void)argument;
    (void)!anysync_group_spawn(shared_group, &run_count_function, &counter, NULL);
    return NULL;
}

static void wait_for_starts(int count)
{
    while (atomic_load(&at_start) < count)
        nap();
}

/* C and B get their tokens together; C's thread is just being refused when A, of B's group, is
 * spawned, and that one's thread is refused when B has come to the queue: A's spawner, under the
 * group's lock, tells B that it has failed, and B tells the group. */
TEST(a_spawn_that_fails_does_not_lock_itself_out)
{
    struct anysync_pool *pool = new_pool(0);
    struct anysync_offload_options options = {.pool = pool};
    static atomic_int runs;
    atomic_int *counter = &runs;
    struct anysync_future *c;
    pthread_t first, second;

    asi_fault_hook = refuse_in_turn;
    CHECK_EQ(anysync_limiter_set_total(NULL, 2), 0);
    CHECK_EQ(anysync_limiter_acquire(NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_limiter_acquire(NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_group_open(&shared_group), 0);
    CHECK_EQ(anysync_offload_start(&run_count_function, &counter, &options, &c), 0);
    CHECK_EQ(anysync_group_spawn(shared_group, &run_count_function, &counter, NULL), 0); /* B */
    atomic_store(&refuse, true);
    CHECK_EQ(pthread_create(&first, NULL, more_tokens, NULL), 0);
    wait_for_starts(1);
    CHECK_EQ(pthread_create(&second, NULL, spawn_one_more, NULL), 0); /* A */
    wait_for_starts(2);
    atomic_store(&fail_nth[0], true);
    CHECK_EQ(pthread_join(first, NULL), 0); /* B is queued behind A */
    atomic_store(&fail_nth[1], true);
    CHECK_EQ(pthread_join(second, NULL), 0); /* never comes back */
    (void)!anysync_group_close(shared_group, 0, ANYSYNC_FOREVER);
    anysync_future_unref(c);
    anysync_pool_unref(pool);
}

/* --- a consumer that was abandoned stays in its call ------------------------------------------ */

ANYSYNC_GENERATOR(int, source, (struct anysync_future *, gate))
{
    int error = 0;

    pass_gate(gate);
    for (int i = 0; i < 3 && !error; i++)
        error = source_yield(i);
    return error;
}

ANYSYNC_COROUTINE(void, asks_in_shield, (struct anysync_generator *, generator))
{
    struct anysync_scope shield;
    int item;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    return anysync_generator_next(generator, &item, ANYSYNC_FOREVER);
}

static void check_abandoned_consumer(uint32_t read_ahead)
{
    struct anysync_generator_options options = {.read_ahead = read_ahead};
    struct anysync_future *gate = new_gate();
    source_generator generator;
    int item = -1;

    CHECK_EQ(source_open_with(&options, &generator, gate), 0);
    CHECK_EQ(asks_in_shield_run_here_until(generator.generator, anysync_now() + 1000000),
            -ETIMEDOUT);
    open_gate(gate);
    CHECK_EQ(source_next(&generator, &item), 0); /* -EBUSY for ever */
    CHECK_EQ(item, 0);
    source_drop(&generator);
    anysync_future_unref(gate);
}

TEST(an_abandoned_consumer_loses_nothing)
{
    check_abandoned_consumer(0);
}

/* --- a clean-up that "goes on by itself" ------------------------------------------------------ */

struct cleans {
    struct anysync_future *gate;
    atomic_int waited;
};

ANYSYNC_CONTEXT_MANAGER(int, cleans, (struct cleans *, self))
{
    int error = cleans_yield(1);

    atomic_store(&self->waited, anysync_future_wait(self->gate, ANYSYNC_FOREVER));
    return error;
}

static void *drop_manager(void *argument)
{
    anysync_manager_unref(argument);
    return NULL;
}

/* manager.h, exit: "-ETIMEDOUT ... the clean-up goes on by itself"; unref: only "one that was
 * entered and not exited is cancelled". */
TEST(a_clean_up_that_takes_long_is_not_cancelled_by_unref)
{
    static struct cleans self;
    struct anysync_manager *manager = NULL;
    pthread_t thread;

    self.gate = new_gate();
    atomic_store(&self.waited, 99);
    CHECK_EQ(cleans_new(&manager, &self), 0);
    CHECK_EQ(anysync_manager_enter(manager, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_manager_exit(manager, 0, ANYSYNC_POLL), -ETIMEDOUT);
    settle_worker();
    CHECK_EQ(pthread_create(&thread, NULL, drop_manager, manager), 0);
    for (int i = 0; i < 1000 && atomic_load(&self.waited) == 99; i++)
        nap();
    if (atomic_load(&self.waited) == 99)
        open_gate(self.gate);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    while (atomic_load(&self.waited) == 99)
        nap(); /* it goes on by itself */
    CHECK_EQ(atomic_load(&self.waited), 0);
    anysync_future_unref(self.gate);
}
