/* SPDX-License-Identifier: MIT */
/* AnySync, context manager from a function: what is around its yield is around the block. */
#include <anysync.h>

#include <errno.h>
#include <stdio.h>

ANYSYNC_CONTEXT_MANAGER(int, connection, (const char *, url))
{
    int error = anysync_sleep(anysync_in_ms(5)); /* enter: may wait, and may fail */

    if (error)
        return error;
    printf("opened %s\n", url);
    error = connection_yield(42); /* the block runs; this is how it ended */
    printf("closed %s after %s\n", url, anysync_error_name(error));
    return error; /* passes it on; 0 would swallow it */
}

static int use(const char *url, bool well)
{
    int error = 0;

    ANYSYNC_WITH(connection, number, &error, url)
    {
        printf("connection %d\n", number);
        if (!well)
            error = anysync_fail(-EIO, "%s hung up", url);
    }
    return error;
}

ANYSYNC_COROUTINE(void, use_inside)
{
    return use("beta", false);
}

int main(void)
{
    int error = use("alpha", true);

    if (!error)
        error = use_inside();
    printf("%s\n", anysync_last_error()->message);
    return error == -EIO ? 0 : 1;
}
