/* SPDX-License-Identifier: MIT */
/* SmartAsync, one function for both contexts: load() is called the same way in each. */
#include <anysync.h>

#include <stdio.h>
#include <string.h>

struct record {
    char text[40];
};

ANYSYNC_COROUTINE(struct record, load, (const char *, name))
{
    int error = anysync_sleep(anysync_in_ms(5)); /* the network */

    snprintf(result->text, sizeof(result->text), "all about %s", name);
    return error;
}

static int plain_main(void)
{
    struct record record;
    int error = load(&record, "users"); /* blocks this thread */

    if (!error)
        printf("plain: %s\n", record.text);
    return error;
}

ANYSYNC_COROUTINE(void, async_main)
{
    struct record record;
    int error = load(&record, "orders"); /* suspends this coroutine; its loop goes on */

    if (!error)
        printf("async: %s\n", record.text);
    return error;
}

int main(void)
{
    int error = plain_main();

    if (!error)
        error = async_main();
    return error != 0;
}
