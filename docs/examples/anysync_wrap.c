/* SPDX-License-Identifier: MIT */
/* AnySync, the four wraps: existing functions and objects are described, and work both ways. */
#include <anysync.h>

#include <stdio.h>

/* Four things that somebody wrote, without a macro of this library. */
static int twice(void *argument, void *result)
{
    *(int *)result = 2 * *(int *)argument;
    return anysync_yield();
}

static int count(struct anysync_generator *self, void *argument)
{
    int error = 0;

    for (int i = 1; i <= *(int *)argument && !error; i++)
        error = anysync_generator_yield(self, &i, NULL);
    return error;
}

static int switch_on(void *self, void *ret_value)
{
    *(int *)ret_value = *(int *)self = 1;
    return 0;
}

static int switch_off(void *self, int error)
{
    *(int *)self = 0;
    return error;
}

/* wrap_coroutine, wrap_generator, wrap_context_manager; constants, whoever uses them. */
static const struct anysync_function wrapped_twice =
        ANYSYNC_FUNCTION(twice, twice, sizeof(int), sizeof(int));
static const struct anysync_generator_function wrapped_count =
        ANYSYNC_GENERATOR_FUNCTION(count, count, sizeof(int), sizeof(int), 0);
static const struct anysync_manager_type wrapped_switch =
        ANYSYNC_MANAGER_TYPE(wrapped_switch, sizeof(int), switch_on, switch_off);

static int use(const char *world)
{
    struct anysync_generator *generator = NULL;
    struct anysync_manager *manager = NULL;
    int light = 0, sum = 0, two = 0, on = 0;
    int error = anysync_call(&wrapped_twice, &(int){1}, &two);

    if (!error)
        error = anysync_generator_new(&wrapped_count, &(int){3}, NULL, &generator);
    if (error)
        return error;
    /* wrap_iterator; once more, and the same comes back */
    struct anysync_iterator *items = anysync_generator_iterator(generator);
    bool same = items == anysync_generator_iterator(generator);
    ANYSYNC_FOR_EACH(int, item, items, &error)
    {
        sum += item;
    }
    anysync_generator_unref(generator);
    if (!error)
        error = anysync_manager_new(&wrapped_switch, &light, &manager);
    if (!error) {
        ANYSYNC_WITH_MANAGER(int, value, manager, &error)
        {
            on = value && light;
        }
    }
    anysync_manager_unref(manager);
    printf("%s: %d, %d, on %d, off %d, %s\n", world, two, sum, on, !light, same ? "same" : "new");
    return error;
}

ANYSYNC_COROUTINE(void, use_inside)
{
    return use("in a coroutine");
}

int main(void)
{
    int error = use("plain");

    if (!error)
        error = use_inside();
    return error != 0;
}
