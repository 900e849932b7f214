/* SPDX-License-Identifier: MIT */
/*
 * Contract D: how generators end, whatever ends them.  (Items: test_generators.c.)
 *
 * Promised                                        Tested by
 *   close: clean-up has run, then done              close_waits_for_the_clean_up
 *   the body's later yields say so too              a_closed_body_cannot_yield
 *   within a shield as well                         close_is_heard_within_a_shield
 *   a deadline of close                             close_gives_up_at_its_deadline
 *   while another is in next: that gets done        close_ends_a_next_elsewhere
 *   its own error                                   close_gives_the_error_of_the_clean_up
 *   an error nobody was told goes to the hook       an_error_nobody_was_told_goes_to_the_hook
 *   callbacks of a loop: -EDEADLK                   a_callback_cannot_wait_for_items
 *   executor shut down: no hang                     next_after_a_shutdown_says_so
 *                                                   a_shutdown_ends_a_next
 *   its loop has ended: no hang                     next_after_the_end_of_its_loop_says_so
 *   a body abandoned by its loop: no hang           next_of_an_abandoned_body_says_so
 *   after fork: -EOWNERDEAD                         in_a_forked_child_it_says_so
 *   no memory, at any place                         no_memory_loses_nothing
 *   anysync_exit() in the body                      a_body_may_exit
 */
#include "fault.h"
#include "worlds.h"

#include <errno.h>

static int cleaned;

ANYSYNC_GENERATOR(int, count_to, (int, last))
{
    int error = 0;

    for (int i = 1; i <= last && !error; i++)
        error = count_to_yield(i);
    cleaned++;
    return error;
}

static struct anysync_generator_options with(uint32_t read_ahead)
{
    return (struct anysync_generator_options){.read_ahead = read_ahead};
}

/* --- close ------------------------------------------------------------------------------------ */

ANYSYNC_GENERATOR(int, stubborn, (int, more))
{
    int error = stubborn_yield(0);

    for (int i = 1; i <= more; i++) {
        CHECK_EQ(error, -ECANCELED);
        error = stubborn_yield(i);
    }
    cleaned++;
    return error;
}

static void check_close(void)
{
    for (uint32_t ahead = 0; ahead < 3; ahead++) {
        struct anysync_generator_options options = with(ahead);
        stubborn_generator generator;
        int item = -1;
        cleaned = 0;
        CHECK_EQ(stubborn_open_with(&options, &generator, 0), 0);
        CHECK_EQ(stubborn_next(&generator, &item), 0);
        CHECK_EQ(item, 0);
        if (ahead < 2)
            CHECK_EQ(stubborn_close(&generator), 0);
        else
            (void)!stubborn_close(&generator);
        CHECK_EQ(cleaned, 1);
        CHECK_EQ(stubborn_next(&generator, &item), ANYSYNC_DONE);
        CHECK_EQ(stubborn_close(&generator), 0);
        stubborn_drop(&generator);
        CHECK_EQ(cleaned, 1);
    }
}

TEST(close_waits_for_the_clean_up)
{
    in_worlds(EVERYWHERE, check_close);
}

static void check_stubborn(void)
{
    stubborn_generator generator;
    int item = -1;

    cleaned = 0;
    CHECK_EQ(stubborn_open(&generator, 3), 0);
    CHECK_EQ(stubborn_next(&generator, &item), 0);
    CHECK_EQ(stubborn_close(&generator), 0);
    CHECK_EQ(cleaned, 1);
    CHECK_EQ(stubborn_next(&generator, &item), ANYSYNC_DONE);
    CHECK_EQ(item, 0);
    stubborn_drop(&generator);
}

TEST(a_closed_body_cannot_yield)
{
    in_worlds(EVERYWHERE, check_stubborn);
}

ANYSYNC_GENERATOR(int, shielded)
{
    struct anysync_scope shield;
    int error = 0;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    for (int i = 0; !error; i++)
        error = shielded_yield(i);
    CHECK_EQ(error, -ECANCELED);
    CHECK_EQ(shielded_yield(9), -ECANCELED);
    CHECK_EQ(anysync_yield(), 0); /* its clean-up may wait */
    cleaned++;
    return anysync_scope_exit(&shield, error);
}

static void check_shielded(void)
{
    for (uint32_t ahead = 0; ahead < 3; ahead++) {
        struct anysync_generator_options options = with(ahead);
        shielded_generator generator;
        int item = -1;
        cleaned = 0;
        CHECK_EQ(shielded_open_with(&options, &generator), 0);
        CHECK_EQ(shielded_next(&generator, &item), 0);
        CHECK_EQ(shielded_close(&generator), 0);
        CHECK_EQ(cleaned, 1);
        shielded_drop(&generator);
    }
}

TEST(close_is_heard_within_a_shield)
{
    in_worlds(EVERYWHERE, check_shielded);
}

static struct anysync_future *gate, *inside;

ANYSYNC_GENERATOR(int, slow_to_end)
{
    struct anysync_scope shield;
    int error = slow_to_end_yield(1);

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    pass_gate(gate);
    cleaned++;
    return anysync_scope_exit(&shield, error);
}

static void check_slow(void)
{
    slow_to_end_generator generator;
    int item = -1;

    cleaned = 0;
    gate = new_gate();
    CHECK_EQ(slow_to_end_open(&generator), 0);
    CHECK_EQ(slow_to_end_next(&generator, &item), 0);
    CHECK_EQ(anysync_generator_close(generator.generator, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(anysync_generator_close(generator.generator, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(cleaned, 0);
    open_gate(gate);
    CHECK_EQ(slow_to_end_close(&generator), 0);
    CHECK_EQ(cleaned, 1);
    slow_to_end_drop(&generator);
    anysync_future_unref(gate);
}

TEST(close_gives_up_at_its_deadline)
{
    in_worlds(EVERYWHERE, check_slow);
}

ANYSYNC_GENERATOR(int, never)
{
    open_gate(inside);
    return anysync_sleep(ANYSYNC_FOREVER);
}

static never_generator shared;

static void next_never(void *argument, int index)
{
    int item = -1;

    (void)index;
    *(int *)argument = never_next(&shared, &item);
}

static void check_close_elsewhere(void)
{
    for (uint32_t ahead = 0; ahead < 2; ahead++) {
        struct anysync_generator_options options = with(ahead);
        int got = -1;
        inside = new_gate();
        CHECK_EQ(never_open_with(&options, &shared), 0);
        struct test_threads *threads = test_threads_start(1, next_never, &got);
        pass_gate(inside);
        CHECK_EQ(never_close(&shared), 0);
        test_threads_join(threads);
        CHECK_EQ(got, ANYSYNC_DONE);
        never_drop(&shared);
        anysync_future_unref(inside);
    }
}

TEST(close_ends_a_next_elsewhere)
{
    in_worlds(EVERYWHERE, check_close_elsewhere);
}

ANYSYNC_GENERATOR(int, fails_to_end)
{
    int error = fails_to_end_yield(1);

    return error ? anysync_fail(-ENOSPC, "no room") : 0;
}

static void check_failing_close(void)
{
    fails_to_end_generator generator;
    int item = 0;

    CHECK_EQ(fails_to_end_open(&generator), 0);
    CHECK_EQ(fails_to_end_next(&generator, &item), 0);
    CHECK_EQ(fails_to_end_close(&generator), -ENOSPC);
    CHECK_STR(anysync_last_error()->message, "no room");
    CHECK_EQ(fails_to_end_close(&generator), 0); /* it was told */
    CHECK_EQ(fails_to_end_next(&generator, &item), ANYSYNC_DONE);
    fails_to_end_drop(&generator);
}

TEST(close_gives_the_error_of_the_clean_up)
{
    in_worlds(EVERYWHERE, check_failing_close);
}

static void note_code(const char *task, const struct anysync_error *error, void *context)
{
    CHECK_STR(task, "fails_to_end");
    *(int *)context = error->code;
}

static void check_untold(void)
{
    fails_to_end_generator generator;
    int item = 0, code = 0;

    anysync_set_error_hook(note_code, &code);
    CHECK_EQ(fails_to_end_open(&generator), 0);
    CHECK_EQ(fails_to_end_next(&generator, &item), 0);
    fails_to_end_drop(&generator);
    if (world_now & IN_COROUTINES) /* elsewhere its loop may be the last to let go */
        CHECK_EQ(code, -ENOSPC);
    else
        CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(code, -ENOSPC);
    CHECK_EQ(anysync_executor_start(NULL), 0);
    anysync_set_error_hook(NULL, NULL);
}

TEST(an_error_nobody_was_told_goes_to_the_hook)
{
    in_worlds(PLAIN | WORKER | HERE, check_untold);
}

/* --- where it cannot go on -------------------------------------------------------------------- */

static void in_callback(evutil_socket_t fd, short events, void *argument)
{
    count_to_generator generator;
    int item = 0;

    (void)fd;
    (void)events;
    for (uint32_t ahead = 0; ahead < 2; ahead++) {
        struct anysync_generator_options options = with(ahead);
        CHECK_EQ(count_to_open_with(&options, &generator, 3), 0);
        CHECK_EQ(count_to_next(&generator, &item), -EDEADLK);
        CHECK_CONTAINS(anysync_last_error()->message, "spawn");
        count_to_drop(&generator); /* it does not wait */
    }
    open_gate(*(struct anysync_future **)argument);
}

ANYSYNC_COROUTINE(void, call_back)
{
    struct event_base *base = anysync_event_base();

    CHECK(base);
    gate = new_gate();
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, in_callback, &gate, NULL), 0);
    pass_gate(gate);
    anysync_future_unref(gate);
    return anysync_yield();
}

TEST(a_callback_cannot_wait_for_items)
{
    CHECK_EQ(call_back_run(), 0);
    CHECK_EQ(call_back_run_here(), 0);
}

static void check_shutdown(uint32_t ahead, bool fresh)
{
    struct anysync_generator_options options = with(ahead);
    struct anysync_executor *executor = NULL;
    count_to_generator generator, late;
    int item = 0;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    options.executor = executor;
    CHECK_EQ(count_to_open_with(&options, &generator, 9), 0);
    if (!fresh)
        CHECK_EQ(count_to_next(&generator, &item), 0);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    int error = 0;
    for (int read = 0; !error; read++) { /* what it had read ahead is not lost */
        error = count_to_next(&generator, &item);
        CHECK_GE((int)ahead, read);
    }
    CHECK_EQ(error, -ECANCELED);
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    CHECK_EQ(count_to_next(&generator, &item), ANYSYNC_DONE);
    CHECK_EQ(count_to_close(&generator), 0);
    count_to_drop(&generator);
    CHECK_EQ(count_to_open_with(&options, &late, 9), -ESHUTDOWN);
    count_to_drop(&late);
    anysync_executor_unref(executor);
}

TEST(next_after_a_shutdown_says_so)
{
    for (uint32_t ahead = 0; ahead < 3; ahead++) {
        check_shutdown(ahead, true);
        check_shutdown(ahead, false);
    }
}

TEST(a_shutdown_ends_a_next)
{
    for (uint32_t ahead = 0; ahead < 2; ahead++) {
        struct anysync_generator_options options = with(ahead);
        int got = 0;
        inside = new_gate();
        CHECK_EQ(never_open_with(&options, &shared), 0);
        struct test_threads *threads = test_threads_start(1, next_never, &got);
        pass_gate(inside);
        CHECK_EQ(anysync_shutdown(ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
        test_threads_join(threads);
        CHECK_EQ(got, -ECANCELED);
        never_drop(&shared);
        anysync_future_unref(inside);
        CHECK_EQ(anysync_executor_start(NULL), 0);
    }
}

ANYSYNC_COROUTINE(void, open_here, (count_to_generator *, generator), (uint32_t, ahead), (bool, go))
{
    struct anysync_generator_options options = with(ahead);
    int item = 0, error = count_to_open_with(&options, generator, 5);

    return !error && go ? count_to_next(generator, &item) : error;
}

TEST(next_after_the_end_of_its_loop_says_so)
{
    for (uint32_t ahead = 0; ahead < 3; ahead++) {
        for (int go = 0; go < 2; go++) {
            count_to_generator generator;
            int item = 0, error = 0;
            CHECK_EQ(open_here_run_here(&generator, ahead, go), 0);
            while (!error)
                error = count_to_next(&generator, &item);
            CHECK_EQ(error, -ECANCELED);
            CHECK_EQ(count_to_next(&generator, &item), ANYSYNC_DONE);
            count_to_drop(&generator);
        }
    }
}

ANYSYNC_GENERATOR(int, deaf)
{
    struct anysync_scope shield;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    open_gate(inside);
    return anysync_sleep(ANYSYNC_FOREVER);
}

static deaf_generator abandoned;

static void next_deaf(void *argument, int index)
{
    int item = 0;

    (void)index;
    *(int *)argument = deaf_next(&abandoned, &item);
}

ANYSYNC_COROUTINE(
        void, leave_deaf, (struct test_threads **, threads), (int *, got), (uint32_t, ahead))
{
    struct anysync_generator_options options = with(ahead);

    CHECK_EQ(deaf_open_with(&options, &abandoned), 0);
    *threads = test_threads_start(1, next_deaf, got);
    pass_gate(inside);
    return 0;
}

TEST(next_of_an_abandoned_body_says_so)
{
    if (TEST_ASAN)
        test_skip("an abandoned body is a leak");
    for (uint32_t ahead = 0; ahead < 2; ahead++) {
        struct test_threads *threads;
        int got = 0;
        inside = new_gate();
        CHECK_EQ(leave_deaf_run_here(&threads, &got, ahead), 0);
        test_threads_join(threads);
        CHECK_EQ(got, -ECANCELED);
        CHECK_EQ(deaf_next(&abandoned, &got), ANYSYNC_DONE);
        deaf_drop(&abandoned);
        anysync_future_unref(inside);
    }
}

static int in_child(void *argument)
{
    count_to_generator *generators = argument;
    int item = 0;

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(count_to_next(&generators[i], &item), -EOWNERDEAD);
        CHECK_EQ(count_to_close(&generators[i]), -EOWNERDEAD);
        count_to_drop(&generators[i]);
    }
    CHECK_EQ(count_to_open(&generators[0], 1), 0); /* a new one works */
    CHECK_EQ(count_to_next(&generators[0], &item), 0);
    count_to_drop(&generators[0]);
    _Exit(0);
}

TEST(in_a_forked_child_it_says_so)
{
    count_to_generator generators[3];
    int item = 0;

    test_forks_among_threads();

    for (uint32_t i = 0; i < 3; i++) {
        struct anysync_generator_options options = with(i == 1 ? 2 : 0);
        CHECK_EQ(count_to_open_with(&options, &generators[i], 3), 0);
        if (i < 2)
            CHECK_EQ(count_to_next(&generators[i], &item), 0);
    }
    struct test_child child = test_child(in_child, generators);
    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(count_to_next(&generators[i], &item), 0);
        CHECK_EQ(item, i < 2 ? 2 : 1);
        count_to_drop(&generators[i]);
    }
}

static void check_no_memory(uint32_t ahead)
{
    struct anysync_generator_options options = with(ahead);
    bool reached = true;

    for (int nth = 1; reached; nth++) {
        count_to_generator generator;
        int item = 0, expected = 0, error;
        fault_fail(FAULT_ANY, nth, false);
        error = count_to_open_with(&options, &generator, 4);
        for (int i = 0; !error && i < 5; i++) {
            error = count_to_next_until(
                    &generator, &item, i == 1 ? anysync_in_us(1) : ANYSYNC_FOREVER);
            if (!error)
                CHECK_EQ(item, ++expected);
            if (error == -ETIMEDOUT)
                error = 0;
        }
        if (generator.generator && error == ANYSYNC_DONE)
            error = count_to_close(&generator);
        reached = fault_failed(FAULT_ANY) > 0;
        fault_clear();
        CHECK(error == 0 || error == -ENOMEM || error == -EAGAIN || error == -EMFILE);
        count_to_drop(&generator);
    }
}

static void check_no_memory_both(void)
{
    check_no_memory(0);
    check_no_memory(2);
}

TEST(no_memory_loses_nothing)
{
    in_worlds(EVERYWHERE, check_no_memory_both);
}

ANYSYNC_GENERATOR(int, exits, (int, status))
{
    int error = exits_yield(1);

    anysync_exit(error ? error : status);
}

static void check_exits(void)
{
    exits_generator generator;
    int item = 0;

    CHECK_EQ(exits_open(&generator, -EPROTO), 0);
    CHECK_EQ(exits_next(&generator, &item), 0);
    CHECK_EQ(exits_next(&generator, &item), -EPROTO);
    CHECK_EQ(exits_next(&generator, &item), ANYSYNC_DONE);
    exits_drop(&generator);
}

TEST(a_body_may_exit)
{
    in_worlds(EVERYWHERE, check_exits);
}
