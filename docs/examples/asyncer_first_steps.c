/* SPDX-License-Identifier: MIT */
/* Asyncer, first steps: a group, one child in it, and a block that ends when the child has. */
#include <anysync.h>

#include <stdio.h>

ANYSYNC_COROUTINE(void, greet, (const char *, name))
{
    int error = anysync_sleep(anysync_in_ms(5));

    if (!error)
        printf("Hello, %s\n", name);
    return error;
}

ANYSYNC_COROUTINE(void, async_main)
{
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        error = greet_spawn(group, NULL, "World"); /* soon: nothing has run yet */
    }
    return error; /* the child's, too: the block has waited for it */
}

int main(void)
{
    int error = async_main();

    if (error)
        fprintf(stderr, "%s\n", anysync_last_error()->message);
    return error != 0;
}
