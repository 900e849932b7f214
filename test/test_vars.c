/* SPDX-License-Identifier: MIT */
/*
 * Contract F1, F5, F6, B9: context variables (include/anysync/vars.h).
 * (Drop functions, memory, many threads: test_vars_life.c.)
 *
 * Promised                                       Tested by
 *   F1  a task starts with its maker's values      f1_each_way_of_starting_inherits
 *       at the moment of the use                   f1_a_task_object_takes_the_values_of_its_use
 *       changes never come back                    f1_changes_never_come_back
 *       two runs that add 1 to 1 both see 2        f1_two_runs_that_add_one_to_one_both_see_two
 *       each thread has its own                    f1_each_thread_has_its_own
 *       the unset is the initial                   f1_what_was_not_set_is_the_initial
 *   F5  reset restores                             f5_reset_restores
 *                                                  f5_reset_restores_on_a_thread
 *       a token of another context                 f5_a_token_of_another_context_is_refused
 *       a token used twice, dropped                f5_a_token_works_once
 *       copy back is explicit                      f5_a_task_leaves_its_values_in_its_context
 *       apply takes all of them                    f5_apply_takes_all_values
 *   F6  offloaded functions see them               f6_jobs_and_their_ways_back_see_the_values
 *       so do ways back to the loop, changes stay  f6_jobs_and_their_ways_back_see_the_values
 *   B9  a call by name shares the caller's         b9_a_call_by_name_changes_the_callers_values
 */
#include "worlds.h"

#include <errno.h>

ANYSYNC_VAR(int, number, 1);
ANYSYNC_VAR(const char *, text, "unset");

static void set_number(int value)
{
    CHECK_EQ(number_set(value, NULL), 0);
}

/* --- F1 --------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, looks)
{
    *result = number_get();
    return 0;
}

ANYSYNC_COROUTINE(int, adds_one)
{
    int error = number_set(number_get() + 1, NULL);

    *result = number_get();
    return error;
}

static struct anysync_executor *other;

static void check_inherits(void)
{
    looks_future soon;
    struct anysync_task *task;
    struct anysync_group *group;
    int value = 0;

    set_number(42);
    CHECK_EQ(looks_run(&value), 0);
    CHECK_EQ(value, 42);
    CHECK_EQ(looks_run_on(other, &value), 0);
    CHECK_EQ(value, 42);
    CHECK_EQ(looks_start(&soon), 0);
    set_number(43); /* it has what was there then */
    CHECK_EQ(looks_wait(&soon, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 42);
    looks_drop(&soon);
    CHECK_EQ(looks_start_on(other, &soon), 0);
    CHECK_EQ(looks_wait(&soon, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 43);
    looks_drop(&soon);
    CHECK_EQ(looks(&value), 0);
    CHECK_EQ(value, 43);
    CHECK_EQ(anysync_group_open(&group), 0);
    CHECK_EQ(looks_spawn(group, &soon), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    CHECK_EQ(looks_value(&soon, &value), 0);
    CHECK_EQ(value, 43);
    looks_drop(&soon);
    if (anysync_in_coroutine())
        CHECK_EQ(looks_await(&value), 0);
    else
        CHECK_EQ(looks_run_here(&value), 0);
    CHECK_EQ(value, 43);
    CHECK_EQ(looks_new(&task), 0);
    CHECK_EQ(anysync_task_run(task, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 43);
    anysync_task_unref(task);
}

TEST(f1_each_way_of_starting_inherits)
{
    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    in_worlds(EVERYWHERE, check_inherits);
    CHECK_EQ(anysync_executor_shutdown(other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(other);
}

static void check_use(void)
{
    struct anysync_task *task;
    int value = 0;

    set_number(5);
    CHECK_EQ(looks_new(&task), 0);
    set_number(6);
    CHECK_EQ(anysync_task_run(task, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 6);
    anysync_task_unref(task);
}

TEST(f1_a_task_object_takes_the_values_of_its_use)
{
    in_worlds(EVERYWHERE, check_use);
}

static void check_changes(void)
{
    int value = 0;

    set_number(10);
    CHECK_EQ(adds_one_run(&value), 0);
    CHECK_EQ(value, 11);
    CHECK_EQ(number_get(), 10);
    if (anysync_in_coroutine())
        CHECK_EQ(adds_one_await(&value), 0);
    else
        CHECK_EQ(adds_one_run_here(&value), 0);
    CHECK_EQ(value, 11);
    CHECK_EQ(number_get(), 10);
}

TEST(f1_changes_never_come_back)
{
    in_worlds(EVERYWHERE, check_changes);
}

static void check_two_runs(void)
{
    adds_one_future first, second;
    int one = 0, two = 0;

    set_number(1);
    CHECK_EQ(adds_one_run(&one), 0);
    CHECK_EQ(adds_one_run(&two), 0);
    CHECK_EQ(one, 2);
    CHECK_EQ(two, 2);
    CHECK_EQ(adds_one_start(&first), 0);
    CHECK_EQ(adds_one_start(&second), 0);
    CHECK_EQ(adds_one_wait(&first, &one, ANYSYNC_FOREVER), 0);
    CHECK_EQ(adds_one_wait(&second, &two, ANYSYNC_FOREVER), 0);
    CHECK_EQ(one, 2);
    CHECK_EQ(two, 2);
    CHECK_EQ(number_get(), 1);
    adds_one_drop(&first);
    adds_one_drop(&second);
}

TEST(f1_two_runs_that_add_one_to_one_both_see_two)
{
    in_worlds(EVERYWHERE, check_two_runs);
}

static void see_own(void *argument, int index)
{
    int value = 0;

    (void)argument;
    CHECK_EQ(number_get(), 1);
    set_number(100 + index);
    CHECK_EQ(looks_run(&value), 0);
    CHECK_EQ(value, 100 + index);
    CHECK_EQ(number_get(), 100 + index);
}

TEST(f1_each_thread_has_its_own)
{
    set_number(7);
    test_together(4, see_own, NULL);
    CHECK_EQ(number_get(), 7);
}

static const struct anysync_var bare = {"bare", sizeof(int), NULL, NULL};

static void check_initial(void)
{
    struct anysync_token token;
    int value = 3;

    CHECK(anysync_var_look(&bare) == NULL);
    CHECK_STR(text_get(), "unset");
    CHECK_EQ(anysync_var_set(&bare, &value, &token), 0);
    value = 4; /* it was copied */
    CHECK_EQ(*(const int *)anysync_var_look(&bare), 3);
    CHECK_EQ(anysync_var_reset(&token), 0);
    CHECK(anysync_var_look(&bare) == NULL);
    CHECK_STR(text_get(), "unset");
}

TEST(f1_what_was_not_set_is_the_initial)
{
    in_worlds(EVERYWHERE, check_initial);
}

/* --- B9 --------------------------------------------------------------------------------------- */

static void check_call_by_name(void)
{
    int value = 0;

    set_number(20);
    CHECK_EQ(adds_one(&value), 0);
    CHECK_EQ(value, 21);
    CHECK_EQ(number_get(), anysync_in_coroutine() ? 21 : 20);
    CHECK_EQ(anysync_call(&adds_one_function, NULL, &value), 0);
    CHECK_EQ(number_get(), anysync_in_coroutine() ? 22 : 20);
}

TEST(b9_a_call_by_name_changes_the_callers_values)
{
    in_worlds(EVERYWHERE, check_call_by_name);
}

/* --- F5: tokens ------------------------------------------------------------------------------- */

static void check_reset(void)
{
    struct anysync_token first, second;

    CHECK_EQ(number_get(), 1);
    CHECK_EQ(number_set(2, &first), 0);
    CHECK_EQ(text_set("two", NULL), 0);
    CHECK_EQ(number_set(3, &second), 0);
    CHECK_EQ(number_get(), 3);
    CHECK_EQ(looks_run(NULL), 0); /* shares the values, and lets go of them */
    CHECK_EQ(anysync_var_reset(&second), 0);
    CHECK_EQ(number_get(), 2);
    CHECK_STR(text_get(), "two");
    CHECK_EQ(anysync_var_reset(&first), 0);
    CHECK_EQ(number_get(), 1);
    CHECK_STR(text_get(), "two");
}

TEST(f5_reset_restores)
{
    in_worlds(EVERYWHERE & ~PLAIN, check_reset);
}

TEST(f5_reset_restores_on_a_thread)
{
    check_reset();
}

ANYSYNC_COROUTINE(int, resets, (struct anysync_token *, token), (bool, own))
{
    int error = own ? number_set(9, NULL) : 0; /* the values are its own then */

    CHECK_EQ(error, 0);
    *result = anysync_var_reset(token);
    CHECK_EQ(number_get(), own ? 9 : 2);
    return 0;
}

static void check_other_context(void)
{
    struct anysync_token token;
    struct anysync_context *context;
    int code = 0;

    CHECK_EQ(number_set(2, &token), 0);
    for (int own = 0; own < 2; own++) {
        CHECK_EQ(resets_run(&code, &token, own), 0);
        CHECK_EQ(code, -EINVAL);
        if (anysync_in_coroutine()) {
            CHECK_EQ(resets_await(&code, &token, own), 0);
            CHECK_EQ(code, -EINVAL);
        }
    }
    CHECK_EQ(anysync_var_reset(&token), 0); /* here it works */
    CHECK_NE(number_get(), 2);
    CHECK_EQ(number_set(2, &token), 0);
    CHECK_EQ(anysync_context_capture(&context), 0);
    anysync_context_apply(context);
    CHECK_EQ(anysync_var_reset(&token), -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "number was set in another context");
    anysync_token_drop(&token);
    anysync_context_unref(context);
    set_number(1);
}

TEST(f5_a_token_of_another_context_is_refused)
{
    in_worlds(EVERYWHERE, check_other_context);
}

static void check_once(void)
{
    struct anysync_token token;

    CHECK_EQ(number_set(2, &token), 0);
    CHECK_EQ(anysync_var_reset(&token), 0);
    CHECK_EQ(anysync_var_reset(&token), -EALREADY);
    CHECK_CONTAINS(anysync_last_error()->message, "used before");
    anysync_token_drop(&token);
    CHECK_EQ(number_set(3, &token), 0);
    anysync_token_drop(&token);
    CHECK_EQ(number_get(), 3);
    CHECK_EQ(anysync_var_reset(&token), -EALREADY);
    anysync_token_drop(&token);
}

TEST(f5_a_token_works_once)
{
    in_worlds(EVERYWHERE, check_once);
}

/* --- F5: contexts ----------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, changes_both, (int, by))
{
    int error = number_set(number_get() + by, NULL);

    if (!error)
        error = text_set("changed", NULL);
    *result = number_get();
    return error;
}

static int run_with(struct anysync_context *context, int by)
{
    struct anysync_task *task;
    int value = 0;

    CHECK_EQ(changes_both_new(&task, by), 0);
    CHECK_EQ(anysync_task_use_context(task, context), 0);
    CHECK_EQ(anysync_task_use_context(task, context), -EALREADY);
    CHECK_EQ(anysync_task_run(task, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_task_use_context(task, context), -EALREADY);
    anysync_task_unref(task);
    return value;
}

static void check_copy_back(void)
{
    struct anysync_context *context;

    set_number(5);
    CHECK_EQ(text_set("mine", NULL), 0);
    CHECK_EQ(anysync_context_capture(&context), 0);
    set_number(6); /* is not in it */
    CHECK_EQ(run_with(context, 10), 15);
    CHECK_EQ(number_get(), 6);
    CHECK_EQ(run_with(context, 10), 25); /* it starts with what the first left */
    CHECK_STR(text_get(), "mine");
    anysync_context_apply(context);
    CHECK_EQ(number_get(), 25);
    CHECK_STR(text_get(), "changed");
    set_number(26);
    CHECK(anysync_context_ref(context) == context);
    CHECK(anysync_context_unref(context) == NULL);
    CHECK_EQ(run_with(context, 1), 26); /* the context is not ours */
    anysync_context_unref(context);
    CHECK(anysync_context_unref(NULL) == NULL);
    set_number(1);
    CHECK_EQ(text_set("unset", NULL), 0);
}

TEST(f5_a_task_leaves_its_values_in_its_context)
{
    in_worlds(EVERYWHERE, check_copy_back);
}

static void check_apply(void)
{
    struct anysync_context *empty, *full;

    CHECK_EQ(anysync_context_capture(&empty), 0);
    set_number(4);
    CHECK_EQ(text_set("four", NULL), 0);
    CHECK_EQ(anysync_context_capture(&full), 0);
    anysync_context_apply(empty);
    CHECK_EQ(number_get(), 1);
    CHECK_STR(text_get(), "unset");
    set_number(8);
    anysync_context_apply(full);
    CHECK_EQ(number_get(), 4);
    CHECK_STR(text_get(), "four");
    anysync_context_apply(empty);
    anysync_context_unref(empty);
    anysync_context_unref(full);
}

TEST(f5_apply_takes_all_values)
{
    in_worlds(EVERYWHERE, check_apply);
}

/* --- F6 --------------------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(int, goes_back)
{
    CHECK_EQ(number_get(), 42);
    set_number(50);
    int error = adds_one_run_back_or_here(result);
    CHECK_EQ(number_get(), 50); /* what the way back changed stays there */
    return error;
}

static void check_goes_back(void)
{
    int value = 0;

    set_number(42);
    CHECK_EQ(goes_back_offload(NULL, &value), 0);
    CHECK_EQ(value, 51);
    CHECK_EQ(number_get(), 42); /* and what the job changed, there */
    CHECK_EQ(goes_back_offload(NULL, &value), 0);
    CHECK_EQ(value, 51);
}

TEST(f6_jobs_and_their_ways_back_see_the_values)
{
    in_worlds(EVERYWHERE_AND_POOL, check_goes_back);
}
