/* SPDX-License-Identifier: MIT */
/* Asyncer, syncify without an error: the same blocking function in a program without a loop. */
#include <anysync.h>

#include <stdio.h>

struct text {
    char bytes[24];
};

ANYSYNC_COROUTINE(struct text, greet_later, (const char *, name))
{
    snprintf(result->bytes, sizeof(result->bytes), "Hello, %s", name);
    return anysync_sleep(anysync_in_ms(5));
}

/* Back into the loop it came from; or, where there is none, on a loop of its own. */
ANYSYNC_BLOCKING(struct text, greet_slowly, (const char *, name))
{
    return greet_later_run_back_or_here(result, name);
}

ANYSYNC_COROUTINE(struct text, async_main)
{
    return greet_slowly(result, "World"); /* on a thread of the pool */
}

int main(void)
{
    struct text text;
    int error = async_main_run_here(&text);

    if (!error) {
        puts(text.bytes);
        error = greet_slowly(&text, "Sync World"); /* a direct call, on this thread */
    }
    if (!error)
        puts(text.bytes);
    return error != 0;
}
