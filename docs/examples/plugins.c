/* SPDX-License-Identifier: MIT */
/*
 * A table of plugins, some of them coroutines, some blocking functions: all are called the same
 * way, from plain code and from a coroutine.
 */
#include <anysync.h>
#include <stdio.h>

struct counter {
    int hits;
};

/* Waits by a call of the library: it needs a loop. */
ANYSYNC_COROUTINE(int, after_a_while, (struct counter *, self), (int, number))
{
    int error = anysync_sleep(anysync_in_ms(1));

    self->hits++;
    *result = number + 1;
    return error;
}

/* Blocks its thread: it must not run on a loop's. */
ANYSYNC_BLOCKING(int, the_hard_way, (struct counter *, self), (int, number))
{
    if (anysync_in_coroutine())
        return anysync_fail(-1, "this would hold up everybody else");
    self->hits++;
    *result = number * 2;
    return 0;
}

/* The first argument is the plugin's own: so these are methods. */
struct plugin {
    const char *name;
    struct counter *self;
    const struct anysync_function *run;
};

static struct counter counters[2];
static const struct plugin plugins[] = {
        {"coroutine", &counters[0], &after_a_while_function},
        {"blocking", &counters[1], &the_hard_way_function},
};

static int run_all(const char *where)
{
    for (size_t i = 0; i < sizeof(plugins) / sizeof(plugins[0]); i++) {
        struct after_a_while_arguments arguments = {.self = plugins[i].self, .number = 20};
        int value;
        int error = anysync_call(plugins[i].run, &arguments, &value);
        if (error)
            return error;
        printf("%s: %s plugin says %d, hit %d\n", where, plugins[i].name, value,
                plugins[i].self->hits);
    }
    return 0;
}

ANYSYNC_COROUTINE(void, run_all_in_a_coroutine)
{
    return run_all("coroutine");
}

int main(void)
{
    int error = run_all("plain code");

    if (!error)
        error = run_all_in_a_coroutine();
    if (error)
        fprintf(stderr, "%s\n", anysync_last_error()->message);
    return error != 0;
}
