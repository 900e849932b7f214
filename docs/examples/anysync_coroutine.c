/* SPDX-License-Identifier: MIT */
/* AnySync, coroutine: one function, run from plain code and awaited in a coroutine. */
#include <anysync.h>

#include <stdio.h>

ANYSYNC_COROUTINE(int, answer)
{
    int error = anysync_yield(); /* anything that waits */

    *result = 42;
    return error;
}

ANYSYNC_COROUTINE(int, ask)
{
    return answer(result); /* `await answer()`: a plain call, in the same task */
}

int main(void)
{
    int ran = 0, awaited = 0;
    int error = answer_run(&ran); /* `answer().run()` */

    if (!error)
        error = ask(&awaited); /* from plain code the name alone does what _run does */
    if (error) {
        fprintf(stderr, "%s\n", anysync_last_error()->message);
        return 1;
    }
    printf("run %d, awaited %d\n", ran, awaited);
    return 0;
}
