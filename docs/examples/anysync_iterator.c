/* SPDX-License-Identifier: MIT */
/* AnySync, iterator: whatever has a next function, generators too, goes through the same loop. */
#include <anysync.h>

#include <stdio.h>

/* Written by hand. */
struct countdown {
    struct anysync_iterator iterator;
    int left;
};

static int countdown_next(struct anysync_iterator *self, void *ret_item)
{
    struct countdown *countdown = (struct countdown *)self; /* its first member */

    if (countdown->left == 0)
        return ANYSYNC_DONE;
    *(int *)ret_item = countdown->left--;
    return 0;
}

/* The same as a generator. */
ANYSYNC_GENERATOR(int, count_down, (int, from))
{
    int error = 0;

    for (int i = from; i > 0 && !error; i--)
        error = count_down_yield(i);
    return error;
}

static int print_all(struct anysync_iterator *items)
{
    int error = 0;

    ANYSYNC_FOR_EACH(int, item, items, &error)
    {
        printf("%d ", item);
    }
    puts(error ? "failed" : "done");
    return error;
}

int main(void)
{
    struct countdown by_hand = {{countdown_next, NULL}, 3};
    count_down_generator generator;
    int error = print_all(&by_hand.iterator);

    if (!error)
        error = count_down_open(&generator, 3);
    if (!error) {
        error = print_all(count_down_iterator(&generator));
        count_down_drop(&generator);
    }
    return error != 0;
}
