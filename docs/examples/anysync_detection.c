/* SPDX-License-Identifier: MIT */
/* AnySync, automatic detection: work() is plain C and gives the same value in both worlds. */
#include <anysync.h>

#include <ctype.h>
#include <stdio.h>

struct word {
    char text[16];
};

ANYSYNC_COROUTINE(struct word, request)
{
    *result = (struct word){"hello"};
    return anysync_yield();
}

/* Knows nothing of coroutines.  request() fills `reply`, or fails, whoever calls work(). */
static int work(struct word *ret_word)
{
    struct word reply;
    int error = request(&reply);

    if (error)
        return error;
    for (char *letter = reply.text; *letter; letter++)
        *letter = (char)toupper((unsigned char)*letter);
    *ret_word = reply;
    return 0;
}

ANYSYNC_COROUTINE(struct word, work_inside)
{
    return work(result);
}

int main(void)
{
    struct word plain, inside;
    int error = work(&plain);

    if (!error)
        error = work_inside(&inside);
    if (error) {
        fprintf(stderr, "%s\n", anysync_last_error()->message);
        return 1;
    }
    printf("plain: %s, in a coroutine: %s\n", plain.text, inside.text);
    return 0;
}
