/* SPDX-License-Identifier: MIT */
/* AnySync, thread count, scenario 2: what blocks the worker gets a fresh thread, each time. */
#include <anysync.h>

#include <stdio.h>

static unsigned seen[8]; /* serial numbers of threads; a caller is blocked while its task notes */
static int seen_count;

static void note_thread(void)
{
    unsigned self = anysync_thread_serial();

    for (int i = 0; i < seen_count; i++)
        if (seen[i] == self)
            return;
    seen[seen_count++] = self;
}

ANYSYNC_COROUTINE(int, h)
{
    note_thread(); /* on a fresh thread, which is joined before h_run returns */
    *result = 42;
    return 0;
}

ANYSYNC_COROUTINE(int, g)
{
    note_thread(); /* on the global worker, which h_run blocks */
    return h_run(result);
}

ANYSYNC_COROUTINE(int, f)
{
    note_thread(); /* on the main thread */
    return g_run(result);
}

int main(void)
{
    int value = 0;

    for (int call = 0; call < 2; call++) {
        int error = f_run_here(&value);
        if (error) {
            fprintf(stderr, "%s\n", anysync_last_error()->message);
            return 1;
        }
    }
    printf("%d, by %d threads besides main\n", value, seen_count - 1);
    return 0;
}
