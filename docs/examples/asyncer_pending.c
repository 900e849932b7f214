/* SPDX-License-Identifier: MIT */
/* Asyncer, return values, too early: inside the block a value is pending, and that is an error. */
#include <anysync.h>

#include <errno.h>
#include <stdio.h>

ANYSYNC_COROUTINE(int, square, (int, n))
{
    *result = n * n;
    return anysync_sleep(anysync_in_ms(5));
}

ANYSYNC_COROUTINE(void, squares)
{
    ANYSYNC_SCOPED_FUTURE(square, soon);
    int value = 0, error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        error = square_spawn(group, &soon, 7);
        if (!error)
            error = square_value(&soon, &value); /* no child has run yet */
    }
    return error; /* the block's own failure: the child was cancelled */
}

int main(void)
{
    int error = squares();

    printf("%s: %s\n", anysync_error_name(error), anysync_last_error()->message);
    return error == -EAGAIN ? 0 : 1;
}
