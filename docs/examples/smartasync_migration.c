/* SPDX-License-Identifier: MIT */
/* SmartAsync, gradual migration: one step of a plain function has become a coroutine function. */
#include <anysync.h>

#include <stdio.h>

struct order {
    int id;
    int cents;
};

/* Not migrated yet. */
static struct order find_order(int id)
{
    return (struct order){id, 100 * id};
}

/* Migrated: its callers did not change. */
ANYSYNC_COROUTINE(int, charge, (struct order, order))
{
    *result = order.cents;
    return anysync_sleep(anysync_in_ms(5)); /* the bank */
}

/* Not migrated yet. */
static void notify(struct order order, int paid)
{
    printf("order %d: paid %d\n", order.id, paid);
}

/* Not migrated yet.  Once a coroutine calls it, it suspends there instead of blocking. */
static int bill(int id)
{
    struct order order = find_order(id);
    int paid = 0;
    int error = charge(&paid, order);

    if (error)
        return error;
    notify(order, paid);
    return 0;
}

ANYSYNC_COROUTINE(void, shop_of_tomorrow)
{
    return bill(2);
}

int main(void)
{
    int error = bill(1);

    if (!error)
        error = shop_of_tomorrow();
    return error != 0;
}
