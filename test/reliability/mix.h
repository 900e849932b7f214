/* SPDX-License-Identifier: MIT */
/*
 * A little of everything: what a program does with this library, in small pieces, each of which
 * checks what it gets.  For checks that need a busy process: mix_once() does one piece, picked by
 * chance, on a plain thread or in a coroutine alike.
 *
 * A piece returns 0, or the code of a call that was cut: in a coroutine whose executor is being
 * cancelled.  It has then given back all it had, like a careful program.
 */
#ifndef TEST_MIX_H
#define TEST_MIX_H

#include "look.h"

#include <anysync.h>

#include <fcntl.h>
#include <stdatomic.h>

/* Tasks and jobs whose body has begun, callbacks that were called, values that are set. */
static atomic_long mix_tasks, mix_callbacks, mix_values;

static struct anysync_pool *mix_pool; /* of the jobs; NULL: the common one */

static inline void mix_count(void)
{
    atomic_fetch_add_explicit(&mix_tasks, 1, memory_order_relaxed);
}

/* --- the tasks -------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, mix_add, (int, a), (int, b))
{
    mix_count();
    *result = a + b;
    return 0;
}

ANYSYNC_COROUTINE(int, mix_add_later, (int, a), (int, b))
{
    mix_count();
    *result = a + b;
    return a % 2 ? anysync_yield() : anysync_sleep(anysync_in_us(a % 32));
}

ANYSYNC_COROUTINE(void, mix_sleep_long)
{
    mix_count();
    return anysync_sleep(anysync_in_seconds(3600));
}

ANYSYNC_COROUTINE(void, mix_fail, (int, number))
{
    mix_count();
    return anysync_fail(-EPROTO, "no %d today", number);
}

ANYSYNC_COROUTINE(int, mix_nested, (int, a), (int, b))
{
    mix_count();
    return mix_add_run(result, a, b);
}

ANYSYNC_BLOCKING(int, mix_square, (int, number), (bool, back))
{
    mix_count();
    if (back)
        return mix_add_run_back_or_here(result, number * number, 0);
    *result = number * number;
    return 0;
}

ANYSYNC_GENERATOR(int, mix_items, (int, last))
{
    mix_count();
    for (int i = 1; i <= last; i++) {
        int error = mix_items_yield(i);
        if (error)
            return error;
    }
    return 0;
}

ANYSYNC_CHANNEL(mix, int);

ANYSYNC_COROUTINE(void, mix_send, (mix_channel *, channel), (int, count))
{
    int error = 0;

    mix_count();
    for (int i = 0; i < count && error == 0; i++)
        error = mix_channel_send(channel, i, ANYSYNC_FOREVER);
    mix_channel_close(channel);
    return error;
}

ANYSYNC_CONTEXT_MANAGER(int, mix_lent, (int, value))
{
    mix_count();
    int error = anysync_yield();
    return error ? error : mix_lent_yield(value);
}

ANYSYNC_COROUTINE(void, mix_pass, (struct anysync_future *, gate))
{
    mix_count();
    return anysync_future_wait(gate, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(char, mix_read, (int, fd))
{
    mix_count();
    ssize_t count = anysync_read(fd, result, 1, ANYSYNC_FOREVER);
    return count < 0 ? (int)count : count == 1 ? 0 : -EIO;
}

static inline void mix_drop_value(char **value)
{
    atomic_fetch_sub(&mix_values, *value != NULL);
    free(*value);
}

ANYSYNC_VAR_DROP(char *, mix_var, NULL, mix_drop_value);

ANYSYNC_COROUTINE(char, mix_look)
{
    mix_count();
    *result = mix_var_get() ? mix_var_get()[0] : '-';
    return 0;
}

/* --- the pieces ------------------------------------------------------------------------------- */

typedef int mix_fn(int number);

static int mix_calls(int number)
{
    int sum = 0;
    int error = mix_add(&sum, number, 1);

    CHECK(error != 0 || sum == number + 1);
    return error;
}

static int mix_spawns(int number)
{
    enum { COUNT = 8 };
    mix_add_later_future soon[COUNT] = {{NULL}};
    struct anysync_future *left[COUNT] = {NULL};
    size_t index = 0;
    int error = 0, sum = 0;

    for (int i = 0; i < COUNT && error == 0; i++) {
        error = mix_add_later_start(&soon[i], number, i);
        left[i] = soon[i].future;
    }
    while (error == 0 && (error = anysync_wait_any(left, COUNT, ANYSYNC_FOREVER, &index)) == 0) {
        error = mix_add_later_wait(&soon[index], &sum, ANYSYNC_POLL);
        CHECK(error != 0 || sum == number + (int)index);
        left[index] = NULL;
    }
    for (int i = 0; i < COUNT; i++)
        mix_add_later_drop(&soon[i]);
    return error == ANYSYNC_DONE ? 0 : error;
}

static int mix_awaits(int number)
{
    int sum = 0;
    int error = anysync_in_coroutine() ? mix_add_later_await(&sum, number, 2)
                                       : mix_add_later_run_here(&sum, number, 2);

    CHECK(error != 0 || sum == number + 2);
    return error;
}

static int mix_sleeps(int number)
{
    anysync_time end = anysync_in_us(number % 64);
    int error = anysync_sleep(end);

    CHECK(error != 0 || anysync_now() >= end);
    return error;
}

static int mix_offloads(int number)
{
    struct anysync_offload_options options = {.pool = mix_pool};
    int square = 0;
    int error = mix_square_offload(&options, &square, number % 1000, number % 4 == 0);

    CHECK(error != 0 || square == number % 1000 * (number % 1000));
    return error;
}

static int mix_groups(int number)
{
    enum { COUNT = 6 };
    mix_add_later_future slots[COUNT] = {{NULL}};
    bool fails = number % 4 == 0;
    int error = 0, sum = 0;

    ANYSYNC_GROUP(group, &error)
    {
        for (int i = 0; i < COUNT && error == 0; i++)
            error = mix_add_later_spawn(group, &slots[i], number, i);
        if (fails && error == 0)
            error = mix_fail_spawn(group, NULL, number);
    }
    for (int i = 0; i < COUNT; i++) {
        if (error == 0 && mix_add_later_value(&slots[i], &sum) == -EAGAIN)
            error = -ECANCELED; /* the executor cut it, not the group */
        CHECK(error != 0 || sum == number + i);
        mix_add_later_drop(&slots[i]);
    }
    CHECK(!fails || error != 0);
    return fails && error == -EPROTO ? 0 : error;
}

static int mix_generates(int number)
{
    struct anysync_generator_options ahead = {.read_ahead = 4};
    mix_items_generator items = {NULL};
    int error = 0, sum = 0;
    int stop = number % 2 ? 4 : 100;

    error = mix_items_open_with(number % 3 ? NULL : &ahead, &items, 8);
    if (error)
        return error;
    ANYSYNC_FOR_REST(mix_items, item, &error, &items)
    {
        sum += item;
        if (item == stop)
            break;
    }
    mix_items_drop(&items);
    CHECK(error != 0 || sum == (number % 2 ? 10 : 36));
    return error;
}

static int mix_channels(int number)
{
    enum { COUNT = 8 };
    mix_channel *channel = NULL;
    mix_send_future sender = {NULL};
    int error = mix_channel_new((size_t)(number % 3), &channel), item, count = 0;

    if (error)
        return error;
    error = mix_send_start(&sender, channel, COUNT);
    while (error == 0 && (error = mix_channel_recv(channel, &item, ANYSYNC_FOREVER)) == 0)
        CHECK_EQ(item, count++);
    mix_channel_close(channel); /* a sender that is left hears of it */
    if (sender.future) {
        ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
        {
            int ended = mix_send_wait(&sender, ANYSYNC_FOREVER);
            CHECK(error < 0 || ended != 0 || count == COUNT);
            error = error < 0 ? error : ended;
        }
    }
    mix_send_drop(&sender);
    mix_channel_unref(channel);
    return error;
}

static int mix_cancels(int number)
{
    mix_sleep_long_future soon = {NULL};
    int error = mix_sleep_long_start(&soon);

    if (error == 0 && number % 2)
        error = anysync_yield();
    if (soon.future) {
        int asked = mix_sleep_long_cancel(&soon);
        CHECK(asked == 0 || asked == ANYSYNC_DONE);
    }
    if (error == 0)
        CHECK_EQ(mix_sleep_long_wait(&soon, ANYSYNC_FOREVER), -ECANCELED);
    mix_sleep_long_drop(&soon);
    return error;
}

static int mix_deadlines(int number)
{
    anysync_time deadline = anysync_in_us(number % 32);
    int error = anysync_in_coroutine() ? mix_sleep_long_await_until(deadline)
                                       : mix_sleep_long_run_until(deadline);

    CHECK_NE(error, 0);
    if (error != -ETIMEDOUT)
        return error;
    error = 0;
    ANYSYNC_SCOPE(&error, anysync_in_us(number % 32))
    {
        error = anysync_sleep(ANYSYNC_FOREVER);
    }
    CHECK_NE(error, 0);
    return error == -ETIMEDOUT ? 0 : error;
}

static int mix_vars(int number)
{
    struct anysync_token token;
    char *value = malloc(2), seen = 0;

    CHECK(value != NULL);
    value[0] = (char)('a' + number % 26);
    value[1] = '\0';
    char first = value[0];
    atomic_fetch_add(&mix_values, 1);
    CHECK_EQ(mix_var_set(value, &token), 0);
    int error = anysync_in_coroutine() ? mix_look_await(&seen) : mix_look_run(&seen);
    CHECK(error != 0 || seen == first);
    CHECK_EQ(anysync_var_reset(&token), 0);
    return error;
}

static int mix_errors(int number)
{
    char sentence[32];
    int error = anysync_in_coroutine() ? mix_fail_await(number) : mix_fail_run(number);

    snprintf(sentence, sizeof(sentence), "no %d today", number);
    if (error != -EPROTO)
        return error;
    CHECK_STR(anysync_last_error()->message, sentence);
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    return 0;
}

static int mix_manages(int number)
{
    int error = 0, seen = 0;

    ANYSYNC_WITH(mix_lent, value, &error, number)
    {
        seen = value;
        error = anysync_yield();
    }
    CHECK(error != 0 || seen == number);
    return error;
}

static int mix_nests(int number)
{
    int sum = 0, error = mix_nested_run(&sum, number, 3);

    CHECK(error != 0 || sum == number + 3);
    return error;
}

static void mix_on_done(struct anysync_future *future, void *gate)
{
    atomic_fetch_add(&mix_callbacks, 1);
    CHECK(!future || anysync_future_result(future, NULL) != -EAGAIN);
    (void)anysync_future_set(gate, NULL);
    anysync_future_unref(gate);
}

static int mix_calls_back(int number)
{
    struct anysync_future *gate = NULL, *soon = NULL;
    int error = anysync_future_new(0, &gate);

    if (error == 0)
        error = anysync_future_at(anysync_in_us(number % 64), &soon);
    if (error == 0)
        error = anysync_future_on_done(soon, mix_on_done, anysync_future_ref(gate));
    if (error && soon)
        anysync_future_unref(gate);
    if (error == 0 && number % 2)
        CHECK_GE(anysync_cancel(soon), 0);
    if (error == 0)
        error = anysync_future_wait(gate, ANYSYNC_FOREVER);
    anysync_future_unref(soon);
    anysync_future_unref(gate);
    return error;
}

static int mix_gates(int number)
{
    struct anysync_future *gate = NULL;
    mix_pass_future soon = {NULL};
    int error = anysync_future_new(0, &gate);

    if (error == 0)
        error = mix_pass_start(&soon, gate);
    if (error == 0 && number % 2)
        error = anysync_yield();
    if (gate)
        CHECK_EQ(anysync_future_set(gate, NULL), 0);
    if (error == 0)
        error = mix_pass_wait(&soon, ANYSYNC_FOREVER);
    mix_pass_drop(&soon);
    anysync_future_unref(gate);
    return error;
}

static int mix_reads(int number)
{
    mix_read_future soon = {NULL};
    int fds[2], error;
    char byte = 0;

    (void)number;
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    error = mix_read_start(&soon, fds[0]);
    if (error == 0) {
        error = anysync_yield();
        CHECK_EQ(write(fds[1], "x", 1), 1);
        ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER) /* it reads from what is closed next */
        {
            int ended = mix_read_wait(&soon, &byte, ANYSYNC_FOREVER);
            CHECK(ended != 0 || byte == 'x');
            error = error ? error : ended;
        }
    }
    mix_read_drop(&soon);
    close(fds[0]);
    close(fds[1]);
    return error;
}

/* --- all of them ------------------------------------------------------------------------------ */

static mix_fn *const mix_pieces[] = {
        mix_calls,
        mix_spawns,
        mix_awaits,
        mix_sleeps,
        mix_offloads,
        mix_groups,
        mix_generates,
        mix_channels,
        mix_cancels,
        mix_deadlines,
        mix_vars,
        mix_errors,
        mix_manages,
        mix_calls_back,
        mix_gates,
};
enum { MIX_PIECES = sizeof(mix_pieces) / sizeof(*mix_pieces) };

/* One piece, by chance.  A nested run and a pipe cost more than all others: they come rarely. */
static inline int mix_once(unsigned *seed)
{
    unsigned chance = next_random(seed);
    int number = (int)(chance >> 8 & 0xffff);

    if (chance % 256 == 0)
        return mix_nests(number);
    if (chance % 256 == 1)
        return mix_reads(number);
    return mix_pieces[chance / 256 % MIX_PIECES](number);
}

ANYSYNC_COROUTINE(void, mix_session, (unsigned, seed), (int, count))
{
    int error = 0;

    mix_count();
    for (int i = 0; i < count && error == 0; i++)
        error = mix_once(&seed);
    return error;
}

#endif
