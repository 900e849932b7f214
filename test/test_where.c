/* SPDX-License-Identifier: MIT */
/*
 * Contract A: where things run.  (A4 to A6: test_where_recursion.c, A9: test_where_daemon.c.)
 *
 * Promised                                       Tested by
 *   A1  run from a plain thread: on the worker     a1_run_from_a_plain_thread_uses_the_worker
 *       no worker before the first use             a1_no_worker_exists_before_the_first_use
 *       threads racing for first use start one     a1_sixteen_threads_start_one_worker
 *                                                  a1_stress_sixteen_threads_race_for_first_use
 *   A2  run_here: on a loop of this thread         a2_run_here_runs_on_the_calling_thread
 *                                                  a2_tasks_of_a_here_loop_stay_on_its_thread
 *       no worker is started                       a2_run_here_starts_no_worker
 *   A3  run on a here-loop: on the worker          a3_run_on_a_here_loop_uses_the_worker
 *       run on any worker: on a fresh thread       a3_run_on_a_worker_uses_a_fresh_thread
 *                                                  a3_run_in_a_callback_of_a_worker_is_nested_too
 *       joined before the call returns             a3_the_fresh_thread_is_joined_before_the_return
 *   A7  nested run blocks the other tasks          a7_a_nested_run_holds_up_the_workers_other_tasks
 *       of a here-loop too                         a7_run_holds_up_the_other_tasks_of_a_here_loop
 *       option suspend: they go on                 a7_with_option_suspend_the_other_tasks_go_on
 *       await, call: they go on                    a7_during_await_the_other_tasks_go_on
 *                                                  a7_during_a_call_the_other_tasks_go_on
 *       run_on elsewhere: they go on               a7_during_run_on_elsewhere_the_other_tasks_go_on
 *       option error                               a7_with_option_error_a_nested_run_is_refused
 *   A8  one worker serves all threads              a8_eight_sleeps_of_eight_threads_overlap
 *                                                  a8_stress_one_worker_serves_all_threads
 */
#include "worlds.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

enum { RACERS = 16, SLEEPERS = 8 };

ANYSYNC_COROUTINE(unsigned, where)
{
    *result = anysync_thread_serial();
    return 0;
}

/* Also after a suspension. */
ANYSYNC_COROUTINE(unsigned, where_later)
{
    unsigned begin = anysync_thread_serial();
    int error = anysync_sleep(anysync_in_ms(1));

    CHECK_EQ(anysync_thread_serial(), begin);
    *result = begin;
    return error;
}

/* --- A1 --------------------------------------------------------------------------------------- */

static void check_on_worker(void)
{
    unsigned serial = 0;

    CHECK_EQ(where_run(&serial), 0);
    CHECK_NE(serial, 0);
    CHECK_EQ(serial, stats_of(NULL).worker_serial);
    CHECK_NE(serial, anysync_thread_serial());
    CHECK_EQ(where_later_run(&serial), 0);
    CHECK_EQ(serial, stats_of(NULL).worker_serial);
    CHECK_EQ(stats_of(NULL).workers, 1);
}

TEST(a1_run_from_a_plain_thread_uses_the_worker)
{
    in_worlds(PLAIN | FOREIGN, check_on_worker);
}

TEST(a1_no_worker_exists_before_the_first_use)
{
    int threads = test_thread_count();
    struct anysync_executor *executor = NULL;
    struct anysync_task *task = NULL;

    CHECK_EQ(anysync_configure(NULL), 0);
    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(where_new(&task), 0);
    anysync_future_unref(new_gate());
    CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
    CHECK_EQ(stats_of(NULL).workers, 0);
    CHECK_EQ(stats_of(NULL).worker_serial, 0);
    CHECK_EQ(stats_of(executor).workers, 0);
    CHECK_EQ(test_thread_count(), threads);
    anysync_task_unref(task);
    anysync_executor_unref(executor);
    CHECK_EQ(where_run(NULL), 0);
    CHECK_EQ(stats_of(NULL).workers, 1);
}

struct race {
    unsigned serials[RACERS];
};

static void race_for_first_use(void *argument, int index)
{
    struct race *race = argument;

    CHECK_EQ(where_run(&race->serials[index]), 0);
}

static int race_once(void *argument)
{
    struct race race = {{0}};

    (void)argument;
    test_together(RACERS, race_for_first_use, &race);
    for (int i = 0; i < RACERS; i++)
        CHECK_EQ(race.serials[i], stats_of(NULL).worker_serial);
    CHECK_EQ(stats_of(NULL).workers, 1);
    return 0;
}

TEST(a1_sixteen_threads_start_one_worker)
{
    CHECK_EQ(race_once(NULL), 0);
}

/* First use is once in a process: each round is a process of its own. */
TEST(a1_stress_sixteen_threads_race_for_first_use)
{
    for (long round = test_scaled(40); round > 0; round--) {
        struct test_child child = test_child(race_once, NULL);

        CHECK_STR(child.errors, "");
        CHECK(child.exited);
        CHECK_EQ(child.status, 0);
        free(child.errors);
    }
}

/* --- A2 --------------------------------------------------------------------------------------- */

static void check_here(void)
{
    unsigned serial = 0;

    CHECK_EQ(where_run_here(&serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_EQ(where_later_run_here(&serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
}

TEST(a2_run_here_runs_on_the_calling_thread)
{
    in_worlds(PLAIN | FOREIGN, check_here);
}

static void check_children_stay(void)
{
    unsigned here = anysync_thread_serial(), serial = 0;
    where_later_future soon;

    CHECK_EQ(where_later_await(&serial), 0);
    CHECK_EQ(serial, here);
    CHECK_EQ(where_later(&serial), 0);
    CHECK_EQ(serial, here);
    CHECK_EQ(where_later_start(&soon), 0);
    CHECK_EQ(where_later_wait(&soon, &serial, ANYSYNC_FOREVER), 0);
    CHECK_EQ(serial, here);
    where_later_drop(&soon);
}

TEST(a2_tasks_of_a_here_loop_stay_on_its_thread)
{
    in_worlds(HERE, check_children_stay);
}

TEST(a2_run_here_starts_no_worker)
{
    int threads = test_thread_count();

    in_worlds(PLAIN | FOREIGN, check_here);
    in_worlds(HERE, check_children_stay);
    CHECK_EQ(test_thread_count(), threads);
    CHECK_EQ(stats_of(NULL).workers, 0);
}

/* --- A3 --------------------------------------------------------------------------------------- */

TEST(a3_run_on_a_here_loop_uses_the_worker)
{
    in_worlds(HERE, check_on_worker);
}

/* A thread gets its number when somebody asks there first: a fresh one a greater one than ours. */
static void check_fresh_thread(void)
{
    unsigned here = anysync_thread_serial(), first = 0, second = 0;

    CHECK_EQ(where_run(&first), 0);
    CHECK_EQ(where_later_run(&second), 0);
    CHECK_NE(first, stats_of(NULL).worker_serial);
    CHECK_GE(first, here + 1);
    CHECK_GE(second, first + 1);
}

TEST(a3_run_on_a_worker_uses_a_fresh_thread)
{
    in_worlds(ON_WORKERS, check_fresh_thread);
}

static struct anysync_future *called_back;

static void on_turn(evutil_socket_t fd, short events, void *argument)
{
    (void)fd;
    (void)events;
    (void)argument;
    CHECK(!anysync_in_coroutine());
    if (world_now == HERE)
        check_on_worker();
    else
        check_fresh_thread();
    open_gate(called_back);
}

static void check_in_callback(void)
{
    struct event_base *base = anysync_event_base();

    CHECK(base);
    called_back = new_gate();
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, on_turn, NULL, NULL), 0);
    pass_gate(called_back);
    anysync_future_unref(called_back);
}

TEST(a3_run_in_a_callback_of_a_worker_is_nested_too)
{
    in_worlds(IN_COROUTINES, check_in_callback);
}

static pthread_key_t at_thread_end;

/* Slow, so that a caller who does not join is far ahead. */
static void note_thread_end(void *ended)
{
    nanosleep(&(struct timespec){0, 50 * 1000 * 1000}, NULL);
    *(bool *)ended = true;
}

ANYSYNC_COROUTINE(void, watch_thread_end, (bool *, ended))
{
    CHECK_EQ(pthread_setspecific(at_thread_end, ended), 0);
    return 0;
}

static void check_joined(void)
{
    bool ended = false;

    CHECK_EQ(watch_thread_end_run(&ended), 0);
    CHECK(ended);
}

TEST(a3_the_fresh_thread_is_joined_before_the_return)
{
    CHECK_EQ(pthread_key_create(&at_thread_end, note_thread_end), 0);
    in_worlds(ON_WORKERS, check_joined);
}

/* --- A7: a neighbour that sleeps a little, beside something that takes longer ----------------- */

enum { A_LITTLE_MS = 10, LONGER_MS = 40 };

struct neighbour {
    struct anysync_future *begun;
    struct anysync_future *ended;
    anysync_time wakes; /* when its sleep is over */
};

ANYSYNC_COROUTINE(void, live_next_door, (struct neighbour *, neighbour))
{
    neighbour->wakes = anysync_in_ms(A_LITTLE_MS);
    open_gate(neighbour->begun);
    int error = anysync_sleep(neighbour->wakes);
    open_gate(neighbour->ended);
    return error;
}

/* Takes until long after the neighbour should have ended. */
ANYSYNC_COROUTINE(void, outlast, (anysync_time, wakes))
{
    return anysync_sleep(wakes + LONGER_MS * (int64_t)1000000);
}

/* Takes until the neighbour has ended: hangs if that never happens meanwhile. */
ANYSYNC_COROUTINE(void, outlive, (struct anysync_future *, ended))
{
    return anysync_wait(ended, NULL, ANYSYNC_FOREVER);
}

static live_next_door_future move_in(struct neighbour *neighbour)
{
    live_next_door_future soon;

    neighbour->begun = new_gate();
    neighbour->ended = new_gate();
    CHECK_EQ(live_next_door_start(&soon, neighbour), 0);
    pass_gate(neighbour->begun);
    CHECK(!anysync_future_done(neighbour->ended));
    return soon;
}

static void move_out(live_next_door_future *soon, struct neighbour *neighbour)
{
    CHECK_EQ(live_next_door_wait(soon, ANYSYNC_FOREVER), 0);
    live_next_door_drop(soon);
    anysync_future_unref(neighbour->begun);
    anysync_future_unref(neighbour->ended);
}

static void check_neighbour_is_held_up(void)
{
    struct neighbour neighbour;
    live_next_door_future soon = move_in(&neighbour);

    CHECK_EQ(outlast_run(neighbour.wakes), 0);
    CHECK_GE(anysync_now(), neighbour.wakes);
    CHECK(!anysync_future_done(neighbour.ended));
    move_out(&soon, &neighbour);
}

TEST(a7_a_nested_run_holds_up_the_workers_other_tasks)
{
    in_worlds(ON_WORKERS, check_neighbour_is_held_up);
}

TEST(a7_run_holds_up_the_other_tasks_of_a_here_loop)
{
    in_worlds(HERE, check_neighbour_is_held_up);
}

/* CALL ends only after the neighbour has. */
#define CHECK_NEIGHBOUR_GOES_ON(call)                                                              \
    do {                                                                                           \
        struct neighbour neighbour;                                                                \
        live_next_door_future soon = move_in(&neighbour);                                          \
        CHECK_EQ(call, 0);                                                                         \
        CHECK(anysync_future_done(neighbour.ended));                                               \
        move_out(&soon, &neighbour);                                                               \
    } while (0)

static void run_beside_neighbour(void)
{
    CHECK_NEIGHBOUR_GOES_ON(outlast_run(neighbour.wakes));
    CHECK_NEIGHBOUR_GOES_ON(outlive_run(neighbour.ended));
}

static void nested_run_beside_neighbour(void)
{
    CHECK_EQ(world_body_await(run_beside_neighbour), 0);
}

TEST(a7_with_option_suspend_the_other_tasks_go_on)
{
    const struct anysync_executor_options options = {.nested = ANYSYNC_NESTED_SUSPEND};
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_configure(&options), 0);
    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    CHECK_EQ(world_body_run(run_beside_neighbour), 0);
    CHECK_EQ(world_body_run(nested_run_beside_neighbour), 0);
    CHECK_EQ(world_body_run_on(executor, run_beside_neighbour), 0);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
}

static void await_beside_neighbour(void)
{
    CHECK_NEIGHBOUR_GOES_ON(outlast_await(neighbour.wakes));
    CHECK_NEIGHBOUR_GOES_ON(outlive_await(neighbour.ended));
}

TEST(a7_during_await_the_other_tasks_go_on)
{
    in_worlds(IN_COROUTINES, await_beside_neighbour);
}

static void call_beside_neighbour(void)
{
    CHECK_NEIGHBOUR_GOES_ON(outlast(neighbour.wakes));
    CHECK_NEIGHBOUR_GOES_ON(outlive(neighbour.ended));
}

TEST(a7_during_a_call_the_other_tasks_go_on)
{
    in_worlds(IN_COROUTINES, call_beside_neighbour);
}

static struct anysync_executor *elsewhere;

static void run_elsewhere_beside_neighbour(void)
{
    CHECK_NEIGHBOUR_GOES_ON(outlive_run_on(elsewhere, neighbour.ended));
}

TEST(a7_during_run_on_elsewhere_the_other_tasks_go_on)
{
    CHECK_EQ(anysync_executor_new(NULL, &elsewhere), 0);
    in_worlds(IN_COROUTINES, run_elsewhere_beside_neighbour);
    CHECK_EQ(anysync_executor_shutdown(elsewhere, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(elsewhere);
}

static void run_is_refused(void)
{
    unsigned serial = 0;

    CHECK_EQ(where_run(&serial), -EDEADLK);
    CHECK_EQ(serial, 0);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_await()");
}

TEST(a7_with_option_error_a_nested_run_is_refused)
{
    const struct anysync_executor_options options = {.nested = ANYSYNC_NESTED_ERROR};

    CHECK_EQ(anysync_configure(&options), 0);
    CHECK_EQ(world_body_run(run_is_refused), 0);
}

/* --- A8 --------------------------------------------------------------------------------------- */

struct dormitory {
    int asleep; /* only tasks of the one worker touch it */
    unsigned serials[SLEEPERS];
};

/* Sleeps on until all have gone to sleep: hangs if they take turns. */
ANYSYNC_COROUTINE(unsigned, sleep_together, (struct dormitory *, room))
{
    room->asleep++;
    do {
        int error = anysync_sleep(anysync_in_ms(10));
        if (error)
            return error;
    } while (room->asleep < SLEEPERS);
    *result = anysync_thread_serial();
    return 0;
}

static void go_to_sleep(void *argument, int index)
{
    struct dormitory *room = argument;
    anysync_time wakes = anysync_in_ms(10);

    CHECK_EQ(sleep_together_run(&room->serials[index], room), 0);
    CHECK_GE(anysync_now(), wakes);
}

TEST(a8_eight_sleeps_of_eight_threads_overlap)
{
    struct dormitory room = {0};

    test_together(SLEEPERS, go_to_sleep, &room);
    for (int i = 0; i < SLEEPERS; i++)
        CHECK_EQ(room.serials[i], stats_of(NULL).worker_serial);
    CHECK_EQ(stats_of(NULL).workers, 1);
}

/* Adds without a lock, and suspends in between: right only on one thread. */
ANYSYNC_COROUTINE(void, add_one, (long *, sum))
{
    ++*sum;
    int error = anysync_yield();
    ++*sum;
    return error;
}

static void add_many(void *argument, int index)
{
    (void)index;
    for (long i = test_scaled(2000); i > 0; i--)
        CHECK_EQ(add_one_run(argument), 0);
}

TEST(a8_stress_one_worker_serves_all_threads)
{
    long sum = 0;

    test_together(SLEEPERS, add_many, &sum);
    CHECK_EQ(sum, 2 * SLEEPERS * test_scaled(2000));
    CHECK_EQ(stats_of(NULL).workers, 1);
}
