/* SPDX-License-Identifier: MIT */
/* Asyncer, syncify: a blocking function on a pool thread calls back into the loop it came from. */
#include <anysync.h>

#include <stdio.h>

struct text {
    char bytes[24];
};

static unsigned loop_thread; /* written before the others run */

ANYSYNC_COROUTINE(struct text, greet_later, (const char *, name))
{
    snprintf(result->bytes, sizeof(result->bytes), "Hello, %s", name);
    printf("async work: %s\n",
            anysync_thread_serial() == loop_thread ? "on the loop's thread" : "elsewhere");
    return anysync_sleep(anysync_in_ms(5));
}

ANYSYNC_BLOCKING(struct text, greet_slowly, (const char *, name))
{
    printf("sync work: %s\n",
            anysync_thread_serial() == loop_thread ? "on the loop's thread" : "elsewhere");
    return greet_later_run_back(result, name); /* blocks this pool thread, not the loop */
}

ANYSYNC_COROUTINE(void, async_main)
{
    struct text text;

    loop_thread = anysync_thread_serial();
    int error = greet_slowly(&text, "World");
    if (!error)
        puts(text.bytes);
    return error;
}

int main(void)
{
    int error = async_main_run_here();

    if (error)
        fprintf(stderr, "%s\n", anysync_last_error()->message);
    return error != 0;
}
