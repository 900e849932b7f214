/* SPDX-License-Identifier: MIT */
/* Asyncer, before soonify: three calls one after the other, each waits for the one before. */
#include <anysync.h>

#include <stdio.h>

static int working, most;

ANYSYNC_COROUTINE(void, greet, (const char *, name))
{
    if (++working > most)
        most = working;
    int error = anysync_sleep(anysync_in_ms(5));
    working--;
    if (!error)
        printf("Hello, %s\n", name);
    return error;
}

ANYSYNC_COROUTINE(void, greet_all)
{
    int error = greet("Ada");

    if (!error)
        error = greet("Edsger");
    if (!error)
        error = greet("Grace");
    printf("at the same time: %d\n", most);
    return error;
}

int main(void)
{
    return greet_all() != 0;
}
