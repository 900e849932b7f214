/* SPDX-License-Identifier: MIT */
/* SmartAsync, plugins of both kinds: one table, one call, and each runs where it may. */
#include <anysync.h>

#include <stdio.h>

/* What plugins get, and give. */
struct event {
    const char *name;
};

struct reply {
    char text[32];
};

ANYSYNC_COROUTINE(struct reply, mail_it, (struct event, event))
{
    snprintf(result->text, sizeof(result->text), "mailed %s", event.name);
    return anysync_sleep(anysync_in_ms(5)); /* waits by the library's calls */
}

ANYSYNC_BLOCKING(struct reply, log_it, (struct event, event))
{
    snprintf(result->text, sizeof(result->text), "logged %s", event.name);
    return 0; /* may write to a slow disk: not on a loop */
}

static const struct anysync_function *const plugins[] = {
        &mail_it_function,
        &log_it_function,
};

static int run_plugins(const char *name)
{
    const struct event event = {name};

    for (size_t i = 0; i < sizeof(plugins) / sizeof(plugins[0]); i++) {
        struct reply reply;
        int error = anysync_call(plugins[i], &event, &reply); /* knows the kind */
        if (error)
            return error;
        puts(reply.text);
    }
    return 0;
}

ANYSYNC_COROUTINE(void, run_inside)
{
    return run_plugins("in a coroutine");
}

int main(void)
{
    int error = run_plugins("from plain code");

    if (!error)
        error = run_inside();
    return error != 0;
}
