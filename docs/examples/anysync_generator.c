/* SPDX-License-Identifier: MIT */
/* AnySync, generator: one loop for plain code and for coroutines; here it fills an array. */
#include <anysync.h>

#include <stdio.h>

enum { ROOM = 8 };

ANYSYNC_GENERATOR(int, count_to, (int, last))
{
    for (int i = 1; i <= last; i++) {
        int error = count_to_yield(i); /* may wait as coroutines do, before and after */
        if (error)
            return error;
    }
    return 0;
}

/* `list(count_to(last))` */
static int list(int *items, int *ret_count, int last)
{
    int error = 0, count = 0;

    ANYSYNC_FOR(count_to, item, &error, last)
    {
        if (count == ROOM)
            break; /* closes the generator */
        items[count++] = item;
    }
    *ret_count = count;
    return error;
}

ANYSYNC_COROUTINE(int, sum_to, (int, last))
{
    int items[ROOM], count = 0;
    int error = list(items, &count, last); /* the same function, in a coroutine */

    for (int i = 0; i < count; i++)
        *result += items[i];
    return error;
}

int main(void)
{
    int items[ROOM], count = 0, sum = 0;
    int error = list(items, &count, 3);

    if (!error)
        printf("plain: %d, %d, %d: %d items\n", items[0], items[1], items[2], count);
    if (!error)
        error = sum_to(&sum, 3);
    if (!error)
        printf("in a coroutine they add up to %d\n", sum);
    return error != 0;
}
