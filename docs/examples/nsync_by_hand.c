/* SPDX-License-Identifier: MIT */
/* nsync, driving a coroutine by hand: it hands out what it wishes for, its driver makes it so. */
#include <anysync.h>

#include <stdio.h>

struct wish {
    int sleep_ms;
};

/* `await Sleep(5)` hands a wish to whoever drives this. */
ANYSYNC_GENERATOR(struct wish, add_one, (int, a), (int *, ret_sum))
{
    int error = add_one_yield((struct wish){.sleep_ms = 5});

    if (error)
        return error;
    *ret_sum = a + 1;
    return 0;
}

/* The whole event loop.  What it does about a wish is its own affair. */
static int sync_await(add_one_generator *coroutine)
{
    struct wish wish;
    int error = add_one_next(coroutine, &wish); /* `coroutine.send(None)` */

    while (error == 0) {
        printf("it wishes to sleep for %d ms\n", wish.sleep_ms);
        error = anysync_sleep(anysync_in_ms(wish.sleep_ms));
        if (!error)
            error = add_one_next(coroutine, &wish);
    }
    return error == ANYSYNC_DONE ? 0 : error; /* `StopIteration` */
}

int main(void)
{
    add_one_generator coroutine;
    int sum = 0;
    int error = add_one_open(&coroutine, 5, &sum); /* nothing runs yet */

    if (!error)
        error = sync_await(&coroutine);
    add_one_drop(&coroutine);
    if (!error)
        printf("5 + 1 = %d\n", sum);
    return error != 0;
}
