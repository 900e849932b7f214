/* SPDX-License-Identifier: MIT */
/*
 * Contract B3, B5, B7: errors.  (The rest of B: test_values.c; long and shared sentences:
 * test_values_sentences.c.)
 *
 * Promised                                       Tested by
 *   B3  code, message, function and line from run  b3_run_gives_the_error_in_every_world
 *       from run_here                              b3_run_here_gives_the_error_on_plain_threads
 *       from await                                 b3_await_gives_the_error_in_every_coroutine
 *       from call                                  b3_call_gives_the_error_in_every_world
 *       from spawn and wait                        b3_spawn_and_wait_give_the_error_in_every_world
 *       a bare code: the function's own line       b3_a_bare_code_names_the_function
 *       a failure that crossed threads prints its  b3_a_failure_prints_its_chain_of_callers
 *       chain of callers
 *       each caller gets its own                   b3_stress_each_caller_gets_its_own_error
 *   B5  deadline of the call or code of the body   b5_a_deadline_is_told_apart_from_the_bodys_code
 *       a deadline inside the body is the body's   b5_a_deadline_inside_a_task_is_the_tasks_failure
 *       the same of await                          b5_a_deadline_of_await_is_told_apart
 *       the same of wait                           b5_a_deadline_of_wait_is_told_apart
 *       a wait alone tells nothing of the body     b5_waiting_alone_succeeds_for_a_failed_task
 *       caller cancelled, or the task              b5_a_cancelled_caller_is_told_apart
 *   B7  uncollected errors go to the hook          b7_an_error_nobody_collects_goes_to_the_hook
 *       with name, line and sentence               b7_the_hook_is_told_all_about_it
 *       collected ones do not                      b7_a_collected_error_does_not_go_to_the_hook
 *       the default: one line, name and place      b7_the_default_prints_one_line
 */
#include "worlds.h"

#include <errno.h>

enum { FIND_LINE = __LINE__ + 3 };
static int find(const char *name)
{
    return anysync_fail(-ENOENT, "no page named %s", name);
}

ANYSYNC_COROUTINE(int, fetch, (const char *, name), (bool, later))
{
    *result = 1;
    if (later)
        CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
    return find(name);
}

ANYSYNC_COROUTINE(void, return_code, (int, code))
{
    return code;
}

ANYSYNC_COROUTINE(void, succeed)
{
    return 0;
}

ANYSYNC_COROUTINE(void, hang)
{
    return anysync_sleep(ANYSYNC_FOREVER);
}

/* --- B3 --------------------------------------------------------------------------------------- */

static void check_error(int code, int value)
{
    const struct anysync_error *error = anysync_last_error();

    CHECK_EQ(code, -ENOENT);
    CHECK_EQ(value, 0);
    CHECK_EQ(error->code, -ENOENT);
    CHECK_EQ(error->origin, ANYSYNC_ORIGIN_TASK);
    CHECK_STR(error->message, "no page named a.html");
    CHECK_STR(error->function, "find");
    CHECK_STR(error->file, __FILE__);
    CHECK_EQ(error->line, FIND_LINE);
}

ANYSYNC_COROUTINE(void, fail_at_once)
{
    return anysync_fail(-EBADMSG, "at once");
}

TEST(b3_the_failing_function_has_the_name_its_author_gave_it)
{
    CHECK_EQ(fail_at_once_run(), -EBADMSG);
    CHECK_STR(anysync_last_error()->function, "fail_at_once");
    CHECK_STR(anysync_last_error()->frames->function, "fail_at_once");
    CHECK_EQ(fail_at_once(), -EBADMSG);
    CHECK_STR(anysync_last_error()->function, "fail_at_once");
}

/* CALL fails as find() does and leaves `value`, whether the body suspends or not. */
#define CHECK_FAILURE(call)                                                                        \
    for (int later = 0; later < 2; later++) {                                                      \
        int value = 0;                                                                             \
        int code = call;                                                                           \
        check_error(code, value);                                                                  \
    }

/* The same, and it passed through the task of fetch first. */
#define CHECK_TASK_FAILURE(call)                                                                   \
    CHECK_FAILURE(call)                                                                            \
    CHECK(anysync_last_error()->frames);                                                           \
    CHECK_STR(anysync_last_error()->frames->function, "fetch");                                    \
    CHECK_STR(anysync_last_error()->frames->file, __FILE__);                                       \
    CHECK_EQ(anysync_last_error()->frames->line, fetch_function.line)

static void check_run_error(void)
{
    CHECK_TASK_FAILURE(fetch_run(&value, "a.html", later));
}

TEST(b3_run_gives_the_error_in_every_world)
{
    in_worlds(EVERYWHERE, check_run_error);
}

static void check_run_here_error(void)
{
    CHECK_TASK_FAILURE(fetch_run_here(&value, "a.html", later));
}

TEST(b3_run_here_gives_the_error_on_plain_threads)
{
    in_worlds(ON_THREADS, check_run_here_error);
}

static void check_await_error(void)
{
    CHECK_TASK_FAILURE(fetch_await(&value, "a.html", later));
}

TEST(b3_await_gives_the_error_in_every_coroutine)
{
    in_worlds(IN_COROUTINES, check_await_error);
}

static void check_call_error(void)
{
    const struct fetch_arguments untyped = {"a.html", true};

    CHECK_FAILURE(fetch(&value, "a.html", later));
    CHECK_FAILURE(anysync_call(&fetch_function, &untyped, &value));
}

TEST(b3_call_gives_the_error_in_every_world)
{
    in_worlds(EVERYWHERE, check_call_error);
}

static int start_and_wait(int *value, bool later)
{
    fetch_future soon;

    CHECK_EQ(fetch_start(&soon, "a.html", later), 0);
    int code = fetch_wait(&soon, value, ANYSYNC_FOREVER);
    CHECK_EQ(anysync_future_result(soon.future, value), code); /* any number of times */
    fetch_drop(&soon);
    return code;
}

static void check_spawn_error(void)
{
    CHECK_TASK_FAILURE(start_and_wait(&value, later));
}

TEST(b3_spawn_and_wait_give_the_error_in_every_world)
{
    in_worlds(EVERYWHERE, check_spawn_error);
}

static void check_bare_code(void)
{
    const struct anysync_error *error;

    CHECK_EQ(return_code_run(-EXDEV), -EXDEV);
    error = anysync_last_error();
    CHECK_EQ(error->code, -EXDEV);
    CHECK_EQ(error->origin, ANYSYNC_ORIGIN_TASK);
    CHECK_STR(error->message, anysync_error_text(-EXDEV));
    CHECK_STR(error->function, "return_code");
    CHECK_STR(error->file, __FILE__);
    CHECK_EQ(error->line, return_code_function.line);
}

TEST(b3_a_bare_code_names_the_function)
{
    in_worlds(EVERYWHERE, check_bare_code);
}

ANYSYNC_COROUTINE(int, inner)
{
    return fetch_run(result, "a.html", true);
}

ANYSYNC_COROUTINE(int, outer)
{
    return inner_run(result);
}

/* fetch on a nested thread, inner on the worker, outer on a loop here. */
TEST(b3_a_failure_prints_its_chain_of_callers)
{
    char expected[1000], text[1000];
    int value = 0;

    check_error(outer_run_here(&value), value);
    const struct anysync_frame *frame = anysync_last_error()->frames;
    snprintf(expected, sizeof(expected),
            "no page named a.html (-ENOENT)\n"
            "  failed in find (%s:%d)\n"
            "  in fetch (%s:%d) on %s\n"
            "  in inner (%s:%d) on anysync\n"
            "  in outer (%s:%d) on here\n",
            __FILE__, FIND_LINE, __FILE__, fetch_function.line, frame->thread, __FILE__,
            inner_function.line, __FILE__, outer_function.line);
    CHECK_EQ(anysync_error_format(anysync_last_error(), text, sizeof(text)), strlen(expected));
    CHECK_STR(text, expected);
}

ANYSYNC_COROUTINE(void, fail_in_detail, (int, index), (int, round))
{
    int error = anysync_yield();

    return error ? error : anysync_fail(-1000 - index, "%d failed in round %d", index, round);
}

static void fail_many(void *argument, int index)
{
    char text[100];

    (void)argument;
    for (int round = 0; round < (int)test_scaled(1000); round++) {
        int code = round % 3 ? fail_in_detail_run(index, round)
                             : fail_in_detail_run_here(index, round);

        snprintf(text, sizeof(text), "%d failed in round %d", index, round);
        CHECK_EQ(code, -1000 - index);
        CHECK_STR(anysync_last_error()->message, text);
    }
}

TEST(b3_stress_each_caller_gets_its_own_error)
{
    test_together(6, fail_many, NULL);
}

/* --- B5 --------------------------------------------------------------------------------------- */

static void check_failed(int code, int expected, enum anysync_origin origin)
{
    CHECK_EQ(code, expected);
    CHECK_EQ(anysync_last_error()->code, expected);
    CHECK_EQ(anysync_last_error()->origin, origin);
}

static void check_run_deadline(void)
{
    check_failed(hang_run_until(anysync_in_ms(1)), -ETIMEDOUT, ANYSYNC_ORIGIN_CALL);
    check_failed(return_code_run(-ETIMEDOUT), -ETIMEDOUT, ANYSYNC_ORIGIN_TASK);
    if (anysync_in_coroutine())
        return;
    check_failed(hang_run_here_until(anysync_in_ms(1)), -ETIMEDOUT, ANYSYNC_ORIGIN_CALL);
    check_failed(return_code_run_here(-ETIMEDOUT), -ETIMEDOUT, ANYSYNC_ORIGIN_TASK);
}

TEST(b5_a_deadline_is_told_apart_from_the_bodys_code)
{
    in_worlds(EVERYWHERE, check_run_deadline);
}

/* Passes on what a call of its own failed with. */
ANYSYNC_COROUTINE(void, time_out_inside)
{
    int error = hang_await_until(anysync_in_ms(1));

    check_failed(error, -ETIMEDOUT, ANYSYNC_ORIGIN_CALL);
    return error;
}

static void check_inner_deadline(void)
{
    time_out_inside_future soon;

    check_failed(time_out_inside_run(), -ETIMEDOUT, ANYSYNC_ORIGIN_TASK);
    if (anysync_in_coroutine())
        check_failed(time_out_inside_await(), -ETIMEDOUT, ANYSYNC_ORIGIN_TASK);
    else
        check_failed(time_out_inside_run_here(), -ETIMEDOUT, ANYSYNC_ORIGIN_TASK);
    CHECK_EQ(time_out_inside_start(&soon), 0);
    check_failed(time_out_inside_wait(&soon, ANYSYNC_FOREVER), -ETIMEDOUT, ANYSYNC_ORIGIN_TASK);
    time_out_inside_drop(&soon);
}

TEST(b5_a_deadline_inside_a_task_is_the_tasks_failure)
{
    in_worlds(EVERYWHERE, check_inner_deadline);
}

static void check_await_deadline(void)
{
    check_failed(hang_await_until(anysync_in_ms(1)), -ETIMEDOUT, ANYSYNC_ORIGIN_CALL);
    check_failed(return_code_await(-ETIMEDOUT), -ETIMEDOUT, ANYSYNC_ORIGIN_TASK);
}

TEST(b5_a_deadline_of_await_is_told_apart)
{
    in_worlds(IN_COROUTINES, check_await_deadline);
}

static void check_wait_deadline(void)
{
    hang_future never;
    return_code_future soon;

    CHECK_EQ(hang_start(&never), 0);
    check_failed(hang_wait(&never, anysync_in_ms(1)), -ETIMEDOUT, ANYSYNC_ORIGIN_CALL);
    CHECK_EQ(hang_cancel(&never), 0);
    check_failed(hang_wait(&never, ANYSYNC_FOREVER), -ECANCELED, ANYSYNC_ORIGIN_TASK);
    hang_drop(&never);
    CHECK_EQ(return_code_start(&soon, -ETIMEDOUT), 0);
    check_failed(return_code_wait(&soon, ANYSYNC_FOREVER), -ETIMEDOUT, ANYSYNC_ORIGIN_TASK);
    return_code_drop(&soon);
}

TEST(b5_a_deadline_of_wait_is_told_apart)
{
    in_worlds(EVERYWHERE, check_wait_deadline);
}

static void check_wait_alone(void)
{
    return_code_future soon;

    CHECK_EQ(return_code_start(&soon, -ETIMEDOUT), 0);
    CHECK_EQ(anysync_future_wait(soon.future, ANYSYNC_FOREVER), 0);
    check_failed(anysync_future_result(soon.future, NULL), -ETIMEDOUT, ANYSYNC_ORIGIN_TASK);
    return_code_drop(&soon);
}

TEST(b5_waiting_alone_succeeds_for_a_failed_task)
{
    in_worlds(EVERYWHERE, check_wait_alone);
}

/* Awaits a task that would go on for ever, and is cancelled itself meanwhile. */
ANYSYNC_COROUTINE(void, be_cancelled, (bool, in_await))
{
    hang_future never;

    if (in_await) {
        check_failed(hang_await(), -ECANCELED, ANYSYNC_ORIGIN_CALL);
        return 0;
    }
    CHECK_EQ(hang_start(&never), 0);
    check_failed(hang_wait(&never, ANYSYNC_FOREVER), -ECANCELED, ANYSYNC_ORIGIN_CALL);
    CHECK_EQ(hang_cancel(&never), 0);
    hang_drop(&never);
    return 0;
}

static void check_cancelled_caller(void)
{
    for (int in_await = 0; in_await < 2; in_await++) {
        be_cancelled_future soon;

        CHECK_EQ(be_cancelled_start(&soon, in_await), 0);
        CHECK_EQ(anysync_yield(), 0); /* it is in its wait now */
        CHECK_EQ(be_cancelled_cancel(&soon), 0);
        CHECK_EQ(be_cancelled_wait(&soon, ANYSYNC_FOREVER), 0);
        be_cancelled_drop(&soon);
    }
    check_failed(return_code_await(-ECANCELED), -ECANCELED, ANYSYNC_ORIGIN_TASK);
}

TEST(b5_a_cancelled_caller_is_told_apart)
{
    in_worlds(IN_COROUTINES, check_cancelled_caller);
}

/* --- B7 --------------------------------------------------------------------------------------- */

/* What the hook was told; it opens the gate when it was called. */
struct heard {
    struct anysync_future *gate;
    char task[50], message[100], file[200];
    int count, code, line;
};

static struct heard heard;

static void hear(const char *task, const struct anysync_error *error, void *context)
{
    struct heard *to = context;

    to->count++;
    to->code = error->code;
    to->line = error->line;
    snprintf(to->task, sizeof(to->task), "%s", task);
    snprintf(to->message, sizeof(to->message), "%s", error->message);
    snprintf(to->file, sizeof(to->file), "%s", error->file);
    open_gate(to->gate);
}

static void begin_to_hear(void)
{
    heard = (struct heard){.gate = new_gate()};
    anysync_set_error_hook(hear, &heard);
}

static void check_heard(int code)
{
    pass_gate(heard.gate);
    CHECK_EQ(heard.count, 1);
    CHECK_EQ(heard.code, code);
    CHECK_STR(heard.task, "return_code");
    anysync_future_unref(heard.gate);
}

static void check_hook(void)
{
    return_code_future soon;

    begin_to_hear(); /* nobody ever had a handle */
    CHECK_EQ(return_code_start(NULL, -EIO), 0);
    check_heard(-EIO);

    begin_to_hear(); /* the handle was dropped, perhaps before the end */
    CHECK_EQ(return_code_start(&soon, -EXDEV), 0);
    return_code_drop(&soon);
    check_heard(-EXDEV);

    begin_to_hear(); /* it was dropped after the end, and only its end was waited for */
    CHECK_EQ(return_code_start(&soon, -EPROTO), 0);
    CHECK_EQ(anysync_future_wait(soon.future, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_yield(), 0);
    return_code_drop(&soon);
    check_heard(-EPROTO);
    anysync_set_error_hook(NULL, NULL);
}

TEST(b7_an_error_nobody_collects_goes_to_the_hook)
{
    in_worlds(EVERYWHERE, check_hook);
}

static void check_all_told(void)
{
    const struct fetch_arguments page = {"a.html", true};
    struct anysync_task *task = NULL;

    begin_to_hear();
    CHECK_EQ(anysync_task_new(&fetch_function, &page, "page 7", &task), 0);
    CHECK_EQ(anysync_task_start(task, NULL), 0);
    anysync_task_unref(task);
    pass_gate(heard.gate);
    CHECK_EQ(heard.code, -ENOENT);
    CHECK_STR(heard.task, "page 7");
    CHECK_STR(heard.message, "no page named a.html");
    CHECK_STR(heard.file, __FILE__);
    CHECK_EQ(heard.line, FIND_LINE);
    anysync_future_unref(heard.gate);
}

TEST(b7_the_hook_is_told_all_about_it)
{
    in_worlds(EVERYWHERE, check_all_told);
}

ANYSYNC_COROUTINE(void, fail_in_clean_up)
{
    CHECK_EQ(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED);
    return -EIO;
}

static void collect_all(void)
{
    hang_future never;
    int value = 0;

    CHECK_EQ(return_code_run(-EIO), -EIO);
    CHECK_EQ(return_code(-EIO), -EIO);
    CHECK_EQ(start_and_wait(&value, true), -ENOENT);
    CHECK_EQ(hang_run_until(anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(fail_in_clean_up_run_until(anysync_in_ms(1)), -ETIMEDOUT); /* it told its caller */
    if (anysync_in_coroutine())
        CHECK_EQ(return_code_await(-EIO), -EIO);
    else
        CHECK_EQ(return_code_run_here(-EIO), -EIO);
    CHECK_EQ(succeed_start(NULL), 0); /* no error */
    CHECK_EQ(hang_start(&never), 0);  /* asked to end, and did */
    CHECK_EQ(hang_cancel(&never), 0);
    hang_drop(&never);
}

TEST(b7_a_collected_error_does_not_go_to_the_hook)
{
    begin_to_hear();
    in_worlds(EVERYWHERE, collect_all);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(heard.count, 0);
    anysync_future_unref(heard.gate);
}

static int leave_an_error(void *argument)
{
    (void)argument;
    CHECK_EQ(fetch_start(NULL, "a.html", true), 0);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    return 0;
}

TEST(b7_the_default_prints_one_line)
{
    char place[300];
    struct test_child child = test_child(leave_an_error, NULL);

    snprintf(place, sizeof(place), "%s:%d", __FILE__, fetch_function.line);
    CHECK_EQ(child.status, 0);
    CHECK_CONTAINS(child.errors, "\"fetch\"");
    CHECK_CONTAINS(child.errors, place);
    CHECK_CONTAINS(child.errors, "no page named a.html");
    CHECK(strchr(child.errors, '\n') == child.errors + strlen(child.errors) - 1);
    free(child.errors);
}
