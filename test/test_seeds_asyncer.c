/* SPDX-License-Identifier: MIT */
/*
 * Asyncer's own tests, by their names; those of its tutorials too.
 *
 * Promised                                                          Tested by
 *   a value that is not there says so, and what to do                 pending_repr
 *   "abandon" leaves a result as it is when nobody cancels            abandon_on_cancel_no
 *   there is one spelling of it; cancelled, the caller goes on        cancellable_warns
 *   a blocking function, called directly, has the loop for itself     asyncify_001
 *     called by its name it runs elsewhere, and the value arrives     asyncify_002
 *   a group waits for its child                                       first_steps
 *   a coroutine function as the main function                         runnify
 *   calls one after the other, and at the same time                   soonify_001, soonify_002
 *   return values after the block                                     soonify_return_001
 *     in the block: -EAGAIN, which ends the group                     soonify_return_002
 *     in the block after a checkpoint: there                          soonify_return_003
 *   back from a blocking function into the loop it came from          syncify
 *     also from plain code, where there is none                       syncify_no_raise
 *     both in turns, each on the right thread                         syncify_no_raise_async
 *
 * docs/from-python.md has these rows too, and what differs.
 */
#include "worlds.h"

#include <errno.h>

struct text {
    char bytes[40];
};

/* What the tutorials print, in order. */
struct output {
    struct text lines[8];
    int count;
};

static void say(struct output *output, const char *prefix, const char *name)
{
    struct text *line = &output->lines[output->count++];

    CHECK(output->count <= 8);
    snprintf(line->bytes, sizeof(line->bytes), "%s%s", prefix, name);
}

/* --- groups ----------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, greet, (struct output *, output), (const char *, name))
{
    int error = anysync_yield();

    say(output, "Hello, ", name);
    return error;
}

static void check_first_steps(void)
{
    struct output output = {.count = 0};
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        error = greet_spawn(group, NULL, &output, "World");
        if (anysync_in_coroutine())
            CHECK_EQ(output.count, 0);
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(output.count, 1);
    CHECK_STR(output.lines[0].bytes, "Hello, World");
}

TEST(first_steps)
{
    in_worlds(EVERYWHERE, check_first_steps);
}

ANYSYNC_COROUTINE(unsigned, async_main, (struct output *, output), (const char *, name))
{
    *result = anysync_thread_serial();
    return greet(output, name);
}

/* Its loop is this thread's, and no other thread is involved. */
TEST(runnify)
{
    struct output output = {.count = 0};
    unsigned serial = 0;

    CHECK_EQ(async_main_run_here(&serial, &output, "World"), 0);
    CHECK_EQ(output.count, 1);
    CHECK_STR(output.lines[0].bytes, "Hello, World");
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_EQ(stats_of(NULL).workers, 0);
}

static const char *const names[] = {"Ada", "Edsger", "Grace"};

static void check_three_greetings(const struct output *output)
{
    CHECK_EQ(output->count, 3);
    CHECK_STR(output->lines[0].bytes, "Hello, Ada");
    CHECK_STR(output->lines[1].bytes, "Hello, Edsger");
    CHECK_STR(output->lines[2].bytes, "Hello, Grace");
}

static void check_one_after_the_other(void)
{
    struct output output = {.count = 0};

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(greet(&output, names[i]), 0);
        CHECK_EQ(output.count, i + 1);
    }
    check_three_greetings(&output);
}

TEST(soonify_001)
{
    in_worlds(EVERYWHERE, check_one_after_the_other);
}

/* Three at the same time, or this hangs: each says that it is there, and waits for the others. */
ANYSYNC_COROUTINE(struct text, work_together, (struct anysync_future **, here), (int, index))
{
    open_gate(here[index]);
    for (int i = 0; i < 3; i++)
        pass_gate(here[i]);
    snprintf(result->bytes, sizeof(result->bytes), "Hello, %s", names[index]);
    return 0;
}

struct meeting {
    struct anysync_future *here[3];
    work_together_future soon[3];
};

static void open_meeting(struct meeting *meeting)
{
    for (int i = 0; i < 3; i++) {
        meeting->here[i] = new_gate();
        meeting->soon[i].future = NULL;
    }
}

static int spawn_all(struct meeting *meeting, struct anysync_group *group)
{
    int error = 0;

    for (int i = 0; i < 3 && !error; i++)
        error = work_together_spawn(group, &meeting->soon[i], meeting->here, i);
    return error;
}

static void close_meeting(struct meeting *meeting)
{
    for (int i = 0; i < 3; i++) {
        work_together_drop(&meeting->soon[i]);
        anysync_future_unref(meeting->here[i]);
    }
}

static void check_at_the_same_time(void)
{
    struct meeting meeting;
    int error = 0;

    open_meeting(&meeting);
    ANYSYNC_GROUP(group, &error)
    {
        error = spawn_all(&meeting, group);
    }
    CHECK_EQ(error, 0);
    for (int i = 0; i < 3; i++)
        CHECK(anysync_future_done(meeting.soon[i].future));
    close_meeting(&meeting);
}

TEST(soonify_002)
{
    in_worlds(EVERYWHERE, check_at_the_same_time);
}

/* --- their values ----------------------------------------------------------------------------- */

static void check_values_after_the_block(void)
{
    struct output output = {.count = 0};
    struct meeting meeting;
    int error = 0;

    open_meeting(&meeting);
    ANYSYNC_GROUP(group, &error)
    {
        error = spawn_all(&meeting, group);
    }
    CHECK_EQ(error, 0);
    for (int i = 0; i < 3; i++) {
        struct text text = {""};
        CHECK_EQ(work_together_value(&meeting.soon[i], &text), 0);
        say(&output, "", text.bytes);
    }
    check_three_greetings(&output);
    close_meeting(&meeting);
}

TEST(soonify_return_001)
{
    in_worlds(EVERYWHERE, check_values_after_the_block);
}

ANYSYNC_COROUTINE(int, wait_for_ever, (int, value))
{
    *result = value;
    return anysync_sleep(ANYSYNC_FOREVER);
}

/* The child never ends by itself: the block's own failure cancels it. */
static void check_value_in_the_block(void)
{
    wait_for_ever_future soon = {NULL};
    int value = 0, error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        CHECK_EQ(wait_for_ever_spawn(group, &soon, 1), 0);
        error = wait_for_ever_value(&soon, &value);
        CHECK_EQ(error, -EAGAIN);
    }
    CHECK_EQ(error, -EAGAIN);
    CHECK_EQ(value, 0);
    CHECK(!wait_for_ever_ready(&soon));
    wait_for_ever_drop(&soon);
}

TEST(soonify_return_002)
{
    in_worlds(EVERYWHERE, check_value_in_the_block);
}

static void check_value_after_a_checkpoint(void)
{
    struct output output = {.count = 0};
    struct meeting meeting;
    struct text text = {""};
    int error = 0;

    open_meeting(&meeting);
    ANYSYNC_GROUP(group, &error)
    {
        error = spawn_all(&meeting, group);
        if (anysync_in_coroutine())
            CHECK(!work_together_ready(&meeting.soon[0]));
        while (!work_together_ready(&meeting.soon[0]))
            CHECK_EQ(anysync_yield(), 0);
        CHECK_EQ(work_together_value(&meeting.soon[0], &text), 0);
        say(&output, "Preview: ", text.bytes);
    }
    CHECK_EQ(error, 0);
    CHECK_STR(output.lines[0].bytes, "Preview: Hello, Ada");
    output.count = 0;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(work_together_value(&meeting.soon[i], &text), 0);
        say(&output, "", text.bytes);
    }
    check_three_greetings(&output);
    close_meeting(&meeting);
}

TEST(soonify_return_003)
{
    in_worlds(EVERYWHERE, check_value_after_a_checkpoint);
}

/* What a pending value says of itself: the sentence of the code, not a special value. */
static void check_pending_text(void)
{
    wait_for_ever_future soon = {NULL};
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        CHECK_EQ(wait_for_ever_spawn(group, &soon, 1), 0);
        CHECK_EQ(wait_for_ever_value(&soon, NULL), -EAGAIN);
        CHECK_CONTAINS(anysync_last_error()->message, "wait_for_ever");
        CHECK_CONTAINS(anysync_last_error()->message, "wait");
        anysync_group_cancel(group, NULL);
    }
    CHECK_EQ(error, -ECANCELED);
    wait_for_ever_drop(&soon);
}

TEST(pending_repr)
{
    in_worlds(EVERYWHERE, check_pending_text);
}

/* --- blocking functions ----------------------------------------------------------------------- */

/* Two sides of a question that only a loop that goes on can answer. */
struct talk {
    struct anysync_future *asked, *answered;
};

ANYSYNC_COROUTINE(void, answer_once, (struct talk, talk))
{
    pass_gate(talk.asked);
    open_gate(talk.answered);
    return 0;
}

static struct text block(struct talk *talk, const char *name)
{
    struct text text;

    snprintf(text.bytes, sizeof(text.bytes), "Hello, %s", name);
    open_gate(talk->asked);
    return text;
}

/* A plain function that a coroutine calls: nobody else has run when it returns. */
static void check_direct_call(void)
{
    struct talk talk = {new_gate(), new_gate()};
    answer_once_future other;
    struct text text;

    CHECK_EQ(answer_once_start(&other, talk), 0);
    CHECK_EQ(anysync_yield(), 0); /* it waits for the question */
    text = block(&talk, "World");
    CHECK_STR(text.bytes, "Hello, World");
    CHECK(!anysync_future_done(talk.answered));
    CHECK_EQ(answer_once_wait(&other, ANYSYNC_FOREVER), 0);
    answer_once_drop(&other);
    anysync_future_unref(talk.asked);
    anysync_future_unref(talk.answered);
}

TEST(asyncify_001)
{
    in_worlds(IN_COROUTINES, check_direct_call);
}

/* Returns when the loop has answered. */
ANYSYNC_BLOCKING(struct text, greet_slowly, (struct talk, talk), (const char *, name))
{
    CHECK(!anysync_in_coroutine()); /* so what waits here blocks */
    *result = block(&talk, name);
    pass_gate(talk.answered);
    return 0;
}

static void check_asyncify(void)
{
    struct talk talk = {new_gate(), new_gate()};
    answer_once_future other;
    struct text text = {""};

    CHECK_EQ(answer_once_start(&other, talk), 0);
    CHECK_EQ(greet_slowly(&text, talk, "World"), 0);
    CHECK_STR(text.bytes, "Hello, World");
    CHECK_EQ(answer_once_wait(&other, ANYSYNC_FOREVER), 0);
    answer_once_drop(&other);
    anysync_future_unref(talk.asked);
    anysync_future_unref(talk.answered);
}

TEST(asyncify_002)
{
    in_worlds(EVERYWHERE, check_asyncify);
}

/* --- abandon ---------------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(struct text, hello_world)
{
    *result = (struct text){"Hello World!"};
    return 0;
}

static void check_not_abandoned(void)
{
    const struct anysync_offload_options options = {.abandon = true};
    struct text text = {""};

    CHECK_EQ(hello_world_offload(&options, &text), 0);
    CHECK_STR(text.bytes, "Hello World!");
}

TEST(abandon_on_cancel_no)
{
    in_worlds(EVERYWHERE, check_not_abandoned);
}

static struct anysync_future *begun, *may_end, *dropped;

ANYSYNC_BLOCKING(int, outlast_the_caller)
{
    int error = 0;

    open_gate(begun);
    ANYSYNC_SHIELD(&error, ANYSYNC_FOREVER)
    {
        pass_gate(may_end);
    }
    CHECK_EQ(anysync_check_cancelled(), -ECANCELED); /* it was asked, and did not listen */
    *result = 42;
    return error;
}

static void on_drop(void *value)
{
    CHECK_EQ(anysync_future_set(dropped, value), 0);
}

ANYSYNC_COROUTINE(int, impatient)
{
    const struct anysync_offload_options options = {.abandon = true, .drop = on_drop};

    return outlast_the_caller_offload(&options, result);
}

/* The job still runs when its cancelled caller has ended; then its value goes to the function that
 * drops it. */
static void check_abandoned(void)
{
    impatient_future soon;
    int value = 0;

    begun = new_gate();
    may_end = new_gate();
    CHECK_EQ(anysync_future_new(sizeof(int), &dropped), 0);
    CHECK_EQ(impatient_start(&soon), 0);
    pass_gate(begun);
    CHECK_EQ(impatient_cancel(&soon), 0);
    CHECK_EQ(impatient_wait(&soon, &value, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(value, 0);
    open_gate(may_end);
    CHECK_EQ(anysync_wait(dropped, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 42);
    impatient_drop(&soon);
    anysync_future_unref(begun);
    anysync_future_unref(may_end);
    anysync_future_unref(dropped);
}

TEST(cancellable_warns)
{
    in_worlds(EVERYWHERE, check_abandoned);
}

/* --- and back --------------------------------------------------------------------------------- */

struct place {
    struct text text;
    unsigned blocking, coroutine; /* threads */
};

ANYSYNC_COROUTINE(struct place, greet_later, (const char *, name))
{
    snprintf(result->text.bytes, sizeof(result->text.bytes), "Hello, %s", name);
    result->coroutine = anysync_thread_serial();
    return anysync_yield();
}

ANYSYNC_BLOCKING(struct place, greet_back, (const char *, name))
{
    int error = greet_later_run_back(result, name);

    result->blocking = anysync_thread_serial();
    return error;
}

static void check_syncify(void)
{
    struct place place = {{""}, 0, 0};

    CHECK_EQ(greet_back(&place, "World"), 0);
    CHECK_STR(place.text.bytes, "Hello, World");
    CHECK_EQ(place.coroutine, anysync_thread_serial());
    CHECK_NE(place.blocking, anysync_thread_serial());
}

TEST(syncify)
{
    in_worlds(IN_COROUTINES, check_syncify);
}

ANYSYNC_BLOCKING(struct place, greet_anywhere, (const char *, name))
{
    int error = greet_later_run_back_or_here(result, name);

    result->blocking = anysync_thread_serial();
    return error;
}

static void check_syncify_anywhere(void)
{
    struct place place = {{""}, 0, 0};

    CHECK_EQ(greet_anywhere(&place, "Sync World"), 0);
    CHECK_STR(place.text.bytes, "Hello, Sync World");
    CHECK_EQ(place.coroutine, anysync_thread_serial());
    if (anysync_in_coroutine()) {
        CHECK_NE(place.blocking, anysync_thread_serial());
    } else {
        CHECK_EQ(place.blocking, anysync_thread_serial());
        CHECK_EQ(greet_back(&place, "nobody"), -EPERM); /* the form that raises */
    }
}

TEST(syncify_no_raise)
{
    in_worlds(EVERYWHERE, check_syncify_anywhere);
}

/* Who ran where, in order; each waits for the next, so they report one at a time. */
struct reports {
    const char *functions[10];
    unsigned threads[10];
    int count;
};

static void report(struct reports *reports, const char *function)
{
    CHECK(reports->count < 10);
    reports->functions[reports->count] = function;
    reports->threads[reports->count++] = anysync_thread_serial();
}

static int back_or_here(const struct anysync_function *function, struct reports *reports)
{
    return anysync_run_back_or_here(function, &reports, NULL, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, sub_async, (struct reports *, reports))
{
    report(reports, "sub_async");
    return 0;
}

ANYSYNC_BLOCKING(void, sub_sync, (struct reports *, reports))
{
    report(reports, "sub_sync");
    return back_or_here(&sub_async_function, reports);
}

ANYSYNC_COROUTINE(void, outer_async, (struct reports *, reports))
{
    report(reports, "outer_async");
    return sub_sync(reports);
}

ANYSYNC_BLOCKING(void, outer_sync, (struct reports *, reports))
{
    report(reports, "outer_sync");
    return back_or_here(&outer_async_function, reports);
}

ANYSYNC_COROUTINE(void, start_in_coroutine, (struct reports *, reports))
{
    report(reports, "start");
    return outer_sync(reports);
}

/* HERE: which of the five ran on this thread. */
static void check_reports(const struct reports *reports, const bool *here)
{
    static const char *const expected[] = {
            "start", "outer_sync", "outer_async", "sub_sync", "sub_async"};

    CHECK_EQ(reports->count, 5);
    for (int i = 0; i < 5; i++) {
        CHECK_STR(reports->functions[i], expected[i]);
        CHECK_EQ(reports->threads[i] == anysync_thread_serial(), here[i]);
    }
}

TEST(syncify_no_raise_async)
{
    struct reports reports = {.count = 0};

    CHECK_EQ(start_in_coroutine_run_here(&reports), 0);
    check_reports(&reports, (const bool[]){true, false, true, false, true});

    reports.count = 0;
    report(&reports, "start"); /* plain code: the outer blocking function is a plain call */
    CHECK_EQ(outer_sync(&reports), 0);
    check_reports(&reports, (const bool[]){true, true, true, false, true});
}
