/* SPDX-License-Identifier: MIT */
/* An executor of one's own: work kept apart, called from threads and coroutines, shut down. */
#include <anysync.h>

#include <errno.h>
#include <stdio.h>

ANYSYNC_COROUTINE(unsigned, where)
{
    *result = anysync_thread_serial();
    return 0;
}

/* Runs on the global executor, and has something done on STORE: suspends meanwhile. */
ANYSYNC_COROUTINE(int, elsewhere, (struct anysync_executor *, store))
{
    unsigned there = 0;
    int error = where_run_on(store, &there);

    *result = there != anysync_thread_serial();
    return error;
}

int main(void)
{
    const struct anysync_executor_options options = {.name = "store", .stack_size = 64 * 1024};
    struct anysync_executor *store;
    unsigned first = 0, second = 0;
    int other = 0;

    if (anysync_executor_new(&options, &store))
        return 1;
    int error = where_run_on(store, &first); /* its worker starts now */
    if (!error)
        error = where_run_on(store, &second);
    if (!error)
        error = elsewhere(&other, store);
    if (error)
        return 1;
    printf("one worker: %s, another thread than the global one's: %s\n",
            first == second ? "yes" : "no", other ? "yes" : "no");

    error = anysync_executor_shutdown(store, ANYSYNC_DRAIN, anysync_in_seconds(10), NULL);
    printf("shutdown: %s\n", anysync_error_name(error));
    error = where_run_on(store, &first);
    printf("afterwards: %s\n", anysync_error_name(error));
    anysync_executor_unref(store);
    return error == -ESHUTDOWN ? 0 : 1;
}
