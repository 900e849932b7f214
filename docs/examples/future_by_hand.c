/* SPDX-License-Identifier: MIT */
/* A future that a thread completes: how anything that calls back becomes something to wait for. */
#include <anysync.h>

#include <pthread.h>
#include <stdio.h>

static void *compute(void *argument)
{
    struct anysync_future *answer = argument;
    int value = 42; /* after a long computation, which no loop had to wait for */

    anysync_future_set(answer, &value);
    anysync_future_unref(answer); /* this thread's reference */
    return NULL;
}

ANYSYNC_COROUTINE(int, ask)
{
    struct anysync_future *answer;
    pthread_t thread;
    int error = anysync_future_new(sizeof(int), &answer);

    if (error)
        return error;
    int failed = pthread_create(&thread, NULL, compute, anysync_future_ref(answer));
    if (failed) {
        anysync_future_unref(answer);
        anysync_future_unref(answer);
        return anysync_fail(-failed, "no thread to compute with");
    }
    pthread_detach(thread);
    error = anysync_wait(answer, result, anysync_in_seconds(10)); /* suspends */
    anysync_future_unref(answer); /* right also when the wait gave up: the thread has its own */
    return error;
}

int main(void)
{
    int value;
    int error = ask(&value);

    if (error) {
        fprintf(stderr, "%s\n", anysync_last_error()->message);
        return 1;
    }
    printf("the answer is %d\n", value);
    return 0;
}
