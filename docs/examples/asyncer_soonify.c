/* SPDX-License-Identifier: MIT */
/* Asyncer, soonify: three calls at the same time, and a block that waits for all of them. */
#include <anysync.h>

#include <stdio.h>

static int working, most; /* of one loop: no lock needed */

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
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        error = greet_spawn(group, NULL, "Ada");
        if (!error)
            error = greet_spawn(group, NULL, "Edsger");
        if (!error)
            error = greet_spawn(group, NULL, "Grace");
    }
    printf("at the same time: %d\n", most);
    return error;
}

int main(void)
{
    return greet_all() != 0;
}
