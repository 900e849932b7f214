/* SPDX-License-Identifier: MIT */
/* Asyncer, return values, ready after a checkpoint: inside the block, but not before it waits. */
#include <anysync.h>

#include <stdio.h>

ANYSYNC_COROUTINE(int, square, (int, n))
{
    *result = n * n;
    return anysync_sleep(anysync_in_ms(n));
}

ANYSYNC_COROUTINE(void, squares)
{
    ANYSYNC_SCOPED_FUTURE(square, first);
    ANYSYNC_SCOPED_FUTURE(square, second);
    int value = 0, error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        error = square_spawn(group, &first, 2);
        if (!error)
            error = square_spawn(group, &second, 9);
        printf("ready at once: %s\n", square_ready(&first) ? "yes" : "no");
        while (!error && !square_ready(&first))
            error = anysync_sleep(anysync_in_ms(1)); /* a checkpoint: the children run */
        if (!error && square_value(&first, &value) == 0)
            printf("preview: %d\n", value);
    }
    if (!error)
        error = square_value(&second, &value);
    if (!error)
        printf("after the block: %d\n", value);
    return error;
}

int main(void)
{
    return squares() != 0;
}
