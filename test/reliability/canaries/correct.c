/* SPDX-License-Identifier: MIT */
/*
 * A user's program without a bug, that does a little of everything: every tool has to be silent.
 */
#include "bugs.h"

#include <anysync.h>

#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ANYSYNC_GENERATOR(int, numbers, (int, count))
{
    char *note = malloc(10);
    int error = 0;

    for (int i = 0; i < count && !error; i++)
        error = numbers_yield(i);
    free(note);
    return error;
}

ANYSYNC_BLOCKING(int, length, (const char *, text))
{
    *result = (int)strlen(text);
    return 0;
}

static __attribute__((noinline)) int jump(jmp_buf where, int depth)
{
    char block[300];

    memset(hide(block), depth, sizeof(block));
    if (depth == 0)
        longjmp(where, 1);
    return jump(where, depth - 1) + block[7];
}

/* Leaves frames behind: once by a jump, once for good. */
ANYSYNC_COROUTINE(int, leaves, (bool, for_good))
{
    jmp_buf where;
    int error = anysync_yield();

    if (setjmp(where) == 0)
        jump(where, 20);
    *result = 1;
    if (!error && !for_good)
        error = anysync_sleep(anysync_in_us(100));
    if (for_good)
        anysync_exit(error);
    return error;
}

ANYSYNC_COROUTINE(void, sends, (int, fd), (struct anysync_channel *, channel))
{
    char *text = malloc(20);
    int error = anysync_channel_send(channel, &(int){7}, ANYSYNC_FOREVER);

    snprintf(hide(text), 20, "hello");
    if (!error && anysync_write(fd, text, 6, ANYSYNC_FOREVER) != 6)
        error = -EPIPE;
    free(text);
    return error;
}

ANYSYNC_COROUTINE(void, sleeps)
{
    char *text = malloc(20);
    int error = anysync_sleep(ANYSYNC_FOREVER);

    free(text);
    return error;
}

static int count_all(int *total, int read_end, int write_end, struct anysync_channel *channel)
{
    char text[6];
    int item = 0, error = 0;

    ANYSYNC_FOR(numbers, i, &error, 20)
    {
        *total += i;
    }
    ANYSYNC_GROUP(group, &error)
    {
        sleeps_future asleep;
        int more[4] = {0};
        for (int i = 0; i < 4 && !error; i++)
            error = leaves_spawn(group, NULL, i % 2 == 1);
        if (!error)
            error = sends_spawn(group, NULL, write_end, channel);
        if (!error)
            error = anysync_channel_recv(channel, &item, ANYSYNC_FOREVER);
        if (!error && anysync_read(read_end, text, 6, ANYSYNC_FOREVER) != 6)
            error = -EPIPE;
        if (!error)
            error = sleeps_start(&asleep);
        if (!error) {
            error = length(&more[0], text);
            sleeps_cancel(&asleep);
            sleeps_drop(&asleep);
        }
        *total += item + more[0];
    }
    return error;
}

ANYSYNC_COROUTINE(int, counts_all)
{
    struct anysync_channel *channel = NULL;
    int ends[2], error = anysync_channel_new(1, sizeof(int), &channel);

    if (!error && pipe(ends) != 0)
        error = -EMFILE;
    if (error)
        return error;
    error = count_all(result, ends[0], ends[1], channel);
    close(ends[0]);
    close(ends[1]);
    anysync_channel_unref(channel);
    return error;
}

int correct(void)
{
    struct anysync_executor *other = NULL;
    int total[4] = {0};
    int error = counts_all_run(&total[0]);

    if (!error)
        error = counts_all_run_here(&total[1]);
    if (!error)
        error = anysync_executor_new(NULL, &other);
    if (!error)
        error = counts_all_run_on(other, &total[2]);
    if (!error)
        error = counts_all(&total[3]);
    for (int i = 0; i < 4; i++) {
        if (!error && total[i] != 190 + 7 + 5)
            error = -EILSEQ;
    }
    if (other && anysync_executor_shutdown(other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) != 0)
        error = -EINVAL;
    anysync_executor_unref(other);
    return error;
}

ANYSYNC_COROUTINE(void, exits)
{
    anysync_exit(0);
}

/* Many ends that return from nothing: a tool that counts calls has to hear of each. */
ANYSYNC_COROUTINE(void, many_exits)
{
    int error = 0;

    for (int i = 0; i < 20000 && !error; i++)
        error = exits_await();
    return error;
}

int correct_exits(void)
{
    return many_exits_run();
}
