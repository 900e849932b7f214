/* SPDX-License-Identifier: MIT */
/* nsync, fix: an object with one plain and one coroutine method, each called from both worlds. */
#include <anysync.h>

#include <stdio.h>

struct counter {
    int value;
};

static int get_plain(const struct counter *self)
{
    return self->value;
}

/* A method is a function with a self argument.  This one may wait. */
ANYSYNC_COROUTINE(int, get_async, (const struct counter *, self))
{
    *result = self->value;
    return anysync_yield();
}

/* Written once; nothing in it tells which world it is in. */
static int use(const struct counter *counter, const char *world)
{
    int value = 0;
    int error = get_async(&value, counter);

    if (!error)
        printf("%s: plain %d, async %d\n", world, get_plain(counter), value);
    return error;
}

ANYSYNC_COROUTINE(void, use_inside, (const struct counter *, counter))
{
    return use(counter, "in a coroutine");
}

int main(void)
{
    const struct counter counter = {1};
    int error = use_inside(&counter);

    if (!error)
        error = use(&counter, "from plain code");
    if (error)
        fprintf(stderr, "%s\n", anysync_last_error()->message);
    return error != 0;
}
