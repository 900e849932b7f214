/* SPDX-License-Identifier: MIT */
/* Asyncer, return values: what children returned is read after the block. */
#include <anysync.h>

#include <stdio.h>

struct text {
    char bytes[24];
};

ANYSYNC_COROUTINE(struct text, greet, (const char *, name))
{
    snprintf(result->bytes, sizeof(result->bytes), "Hello, %s", name);
    return anysync_sleep(anysync_in_ms(5));
}

ANYSYNC_COROUTINE(void, greet_all)
{
    static const char *const names[] = {"Ada", "Edsger", "Grace"};
    greet_future soon[3] = {{NULL}, {NULL}, {NULL}};
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        for (int i = 0; i < 3 && !error; i++)
            error = greet_spawn(group, &soon[i], names[i]);
    }
    for (int i = 0; i < 3; i++) {
        struct text text;
        if (!error)
            error = greet_value(&soon[i], &text); /* there: does not wait */
        if (!error)
            puts(text.bytes);
        greet_drop(&soon[i]);
    }
    return error;
}

int main(void)
{
    return greet_all() != 0;
}
