/* SPDX-License-Identifier: MIT */
/*
 * Contract B3: sentences that are long, or that several read at once.
 *
 * Promised                                       Tested by
 *   B3  a long sentence arrives whole              b3_a_long_sentence_arrives_whole
 *       the reason of a cancel arrives             b3_stress_all_who_wait_read_the_reason
 */
#include "worlds.h"

#include <errno.h>

ANYSYNC_COROUTINE(void, succeed)
{
    return 0;
}

ANYSYNC_COROUTINE(void, hang)
{
    return anysync_sleep(ANYSYNC_FOREVER);
}

enum { LONG = 300 };

static const char *long_text(void)
{
    static char text[LONG + 1];

    memset(text, 'x', LONG);
    return text;
}

ANYSYNC_COROUTINE(void, fail_at_length)
{
    return anysync_fail(-ENOENT, "%s", long_text());
}

/* Its error is one that the future of the other task holds as well. */
ANYSYNC_COROUTINE(void, pass_on, (struct anysync_future *, from))
{
    return anysync_wait(from, NULL, ANYSYNC_FOREVER);
}

static void check_long_sentence(void)
{
    fail_at_length_future first;
    pass_on_future second;

    CHECK_EQ(fail_at_length_start(&first), 0);
    CHECK_EQ(pass_on_start(&second, first.future), 0);
    CHECK_EQ(pass_on_wait(&second, ANYSYNC_FOREVER), -ENOENT);
    CHECK_STR(anysync_last_error()->message, long_text());
    CHECK_STR(anysync_last_error()->function, "fail_at_length");
    CHECK_STR(anysync_last_error()->frames->function, "fail_at_length");
    CHECK_STR(anysync_last_error()->frames->outer->function, "pass_on");
    CHECK(!anysync_last_error()->frames->outer->outer);
    CHECK_EQ(fail_at_length_wait(&first, ANYSYNC_FOREVER), -ENOENT);
    CHECK_STR(anysync_last_error()->message, long_text());
    CHECK(!anysync_last_error()->frames->outer);
    pass_on_drop(&second);
    fail_at_length_drop(&first);
}

TEST(b3_a_long_sentence_arrives_whole)
{
    in_worlds(EVERYWHERE & ~FOREIGN, check_long_sentence);
}

enum { CANCELLED = 50 };

static void check_reason(int error, const char *function)
{
    CHECK_EQ(error, -ECANCELED);
    CHECK_STR(anysync_last_error()->message, "the task was cancelled: nobody wants it");
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    CHECK_STR(anysync_last_error()->function, "hang");
    CHECK_STR(anysync_last_error()->frames->function, "hang");
    if (function)
        CHECK_STR(anysync_last_error()->frames->outer->function, function);
}

static void read_reasons(void *argument, int index)
{
    hang_future *futures = argument;

    for (int i = 0; i < CANCELLED; i++) {
        if (index % 2)
            check_reason(pass_on_run(futures[i].future), "pass_on");
        else
            check_reason(hang_wait(&futures[i], ANYSYNC_FOREVER), NULL);
    }
}

/* They share one error, and the first who looks at it puts the sentence together. */
TEST(b3_stress_all_who_wait_read_the_reason)
{
    hang_future futures[CANCELLED];

    for (int round = 0; round < (int)test_scaled(40); round++) {
        for (int i = 0; i < CANCELLED; i++) {
            CHECK_EQ(hang_start(&futures[i]), 0);
            CHECK_EQ(succeed_run(), 0); /* so it has begun, and is in its wait */
            CHECK_EQ(anysync_cancel_because(futures[i].future, "nobody wants it"), 0);
        }
        test_together(4, read_reasons, futures);
        for (int i = 0; i < CANCELLED; i++)
            hang_drop(&futures[i]);
    }
}
