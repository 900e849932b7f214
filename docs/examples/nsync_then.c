/* SPDX-License-Identifier: MIT */
/* nsync, a then-list: who wants to be called waits for the future in a small task of its own. */
#include <anysync.h>

#include <stdio.h>

typedef void then_fn(int value, int *slot);

/* CALLBACK runs once, on the worker, when FUTURE (consumed) has its value. */
ANYSYNC_COROUTINE(
        void, then, (struct anysync_future *, future), (then_fn *, callback), (int *, slot))
{
    int value = 0;
    int error = anysync_wait(future, &value, ANYSYNC_FOREVER);

    if (!error)
        callback(value, slot);
    anysync_future_unref(future);
    return error;
}

static void keep(int value, int *slot)
{
    *slot = value;
}

static void keep_double(int value, int *slot)
{
    *slot = 2 * value;
}

int main(void)
{
    then_fn *const list[] = {keep, keep_double};
    then_future called[2] = {{NULL}, {NULL}};
    int slots[2] = {0};
    struct anysync_future *promise = NULL;
    int error = anysync_future_new(sizeof(int), &promise);

    for (int i = 0; i < 2 && !error; i++) { /* before it is resolved; later would be as good */
        error = then_start(&called[i], anysync_future_ref(promise), list[i], &slots[i]);
        if (error)
            anysync_future_unref(promise);
    }
    if (!error)
        error = anysync_future_set(promise, &(int){21}); /* once: a second set is -EALREADY */
    for (int i = 0; i < 2; i++) {
        if (!error)
            error = then_wait(&called[i], ANYSYNC_FOREVER);
        then_drop(&called[i]);
    }
    anysync_future_unref(promise);
    printf("first %d, second %d\n", slots[0], slots[1]);
    return error != 0;
}
