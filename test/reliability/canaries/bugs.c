/* SPDX-License-Identifier: MIT */
/*
 * A user's program with a bug of the user's, on a coroutine stack: does the tool that watches it
 * say so, and name the line?  And the program without a bug: is every tool silent?
 *
 *      bugs none | NAME      each bug is a coroutine function below; what matrix.sh says of them
 *
 * The line that has to be in the report ends in a comment, BUG and the name.  Only the public
 * headers are used, as a user would.
 */
#include "bugs.h"

#include <anysync.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hidden from the compiler, which would warn of most of this. */
static void *volatile veil;
static volatile int sink;

void *hide(void *pointer)
{
    veil = pointer;
    return veil;
}

static void die(const char *what, int error)
{
    fprintf(stderr, "bugs: %s: %s\n", what, anysync_error_text(error));
    exit(3);
}

/* --- memory ----------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, heap_use_after_free)
{
    int *block = hide(malloc(64));

    free(block);
    int error = anysync_yield();
    sink = block[3]; /* BUG heap_use_after_free */
    return error;
}

ANYSYNC_COROUTINE(void, heap_overflow)
{
    char *block = hide(malloc(40));
    int error = anysync_yield();

    block[40] = 1; /* BUG heap_overflow */
    free(block);
    return error;
}

ANYSYNC_COROUTINE(void, double_free)
{
    void *block = hide(malloc(40));
    int error = anysync_yield();

    free(block);
    free(hide(block)); /* BUG double_free */
    return error;
}

ANYSYNC_COROUTINE(void, free_of_stack)
{
    char block[64];
    int error = anysync_yield();

    free(hide(block)); /* BUG free_of_stack */
    return error;
}

ANYSYNC_COROUTINE(void, stack_overflow_of_array)
{
    char block[40];
    char *at = hide(block);
    int error = anysync_yield();

    at[40] = 1; /* BUG stack_overflow_of_array */
    return error;
}

static __attribute__((noinline)) int *address_of_local(void)
{
    int local[256] = {7}; /* valgrind leaves a function 128 bytes below its frame */

    return hide(local);
}

ANYSYNC_COROUTINE(void, use_after_return)
{
    int *dead = address_of_local();

    sink = dead[0]; /* BUG use_after_return */
    return 0;
}

ANYSYNC_COROUTINE(void, use_after_scope)
{
    int *dead;

    {
        int local[256] = {7}; /* valgrind leaves a function 128 bytes below its frame */
        dead = hide(local);
    }
    int error = anysync_yield();
    sink = dead[0]; /* BUG use_after_scope */
    return error;
}

ANYSYNC_COROUTINE(int *, ends_soon)
{
    int local[256] = {7};
    int error = anysync_yield();

    *result = hide(local);
    return error;
}

ANYSYNC_COROUTINE(void, stack_of_the_dead)
{
    int *dead = NULL;
    int error = ends_soon_await(&dead);

    if (!error)
        sink = dead[0]; /* BUG stack_of_the_dead */
    return error;
}

/* --- what is not initialized ------------------------------------------------------------------ */

ANYSYNC_COROUTINE(void, uninitialized_local)
{
    int block[16];
    int *at = hide(block);
    int error = anysync_yield();

    if (at[3] == 42) /* BUG uninitialized_local */
        sink = 1;
    return error;
}

ANYSYNC_COROUTINE(void, uninitialized_heap)
{
    int *block = hide(malloc(64));
    int error = anysync_yield();

    if (block[3] == 42) /* BUG uninitialized_heap */
        sink = 1;
    free(block);
    return error;
}

struct pair {
    int first, second;
};

ANYSYNC_COROUTINE(int, take_pair, (struct pair, pair))
{
    if (pair.second == 42) /* BUG uninitialized_argument */
        *result = 1;
    return anysync_yield();
}

ANYSYNC_COROUTINE(void, uninitialized_argument)
{
    struct pair *block = hide(malloc(sizeof(*block)));
    int value = 0;

    block->first = 1;
    int error = take_pair_await(&value, *block);
    free(block);
    return error;
}

/* --- leaks ------------------------------------------------------------------------------------ */

ANYSYNC_COROUTINE(void, leak)
{
    char *block = malloc(1000); /* BUG leak */
    int error = anysync_yield();

    sink = block != NULL;
    return error;
}

/* The task ends while it holds a block: nobody unwinds its stack. */
ANYSYNC_COROUTINE(void, leak_of_an_exit)
{
    char *block = malloc(1000); /* BUG leak_of_an_exit */
    int error = anysync_yield();

    sink = block != NULL;
    anysync_exit(error);
}

ANYSYNC_COROUTINE(void, nothing)
{
    return anysync_yield();
}

ANYSYNC_COROUTINE(void, leak_of_a_future)
{
    nothing_future soon;
    int error = nothing_start(&soon); /* BUG leak_of_a_future */

    if (!error)
        error = nothing_wait(&soon, ANYSYNC_FOREVER);
    soon.future = NULL; /* where nothing_drop() should be */
    return error;
}

/* --- two threads ------------------------------------------------------------------------------ */

static int shared;
static pthread_mutex_t left = PTHREAD_MUTEX_INITIALIZER, right = PTHREAD_MUTEX_INITIALIZER;

ANYSYNC_COROUTINE(void, count_up)
{
    int error = anysync_yield();

    shared++; /* BUG race_of_thread BUG race_of_loops */
    return error;
}

static int race_of_thread(void)
{
    count_up_future soon;
    int error = count_up_start(&soon);

    shared++;
    if (!error)
        error = count_up_wait(&soon, ANYSYNC_FOREVER);
    count_up_drop(&soon);
    return error;
}

static int race_of_loops(void)
{
    struct anysync_executor *other = NULL;
    count_up_future soon[2] = {{NULL}, {NULL}};
    int error = anysync_executor_new(NULL, &other);

    if (!error)
        error = count_up_start_on(other, &soon[0]);
    if (!error)
        error = count_up_start(&soon[1]);
    for (int i = 0; i < 2; i++) {
        if (!error)
            error = count_up_wait(&soon[i], ANYSYNC_FOREVER);
        count_up_drop(&soon[i]);
    }
    if (anysync_executor_shutdown(other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) != 0)
        die("shutdown", -EINVAL);
    anysync_executor_unref(other);
    return error;
}

ANYSYNC_BLOCKING(void, count_in_a_job)
{
    shared++; /* BUG race_of_job */
    return 0;
}

ANYSYNC_COROUTINE(void, race_of_job)
{
    count_in_a_job_future soon;
    int error = count_in_a_job_start(&soon);

    shared++;
    if (!error)
        error = count_in_a_job_wait(&soon, ANYSYNC_FOREVER);
    count_in_a_job_drop(&soon);
    return error;
}

static void lock_both(pthread_mutex_t *first, pthread_mutex_t *second)
{
    pthread_mutex_lock(first);
    pthread_mutex_lock(second); /* BUG lock_order */
    pthread_mutex_unlock(second);
    pthread_mutex_unlock(first);
}

ANYSYNC_COROUTINE(void, lock_left_first)
{
    lock_both(&left, &right);
    return anysync_yield();
}

static int lock_order(void)
{
    int error = lock_left_first_run();

    lock_both(&right, &left);
    return error;
}

/* --- arithmetic ------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, signed_overflow)
{
    int error = anysync_yield();
    int large = 0x7ffffff0 + sink;

    sink = large + 100; /* BUG signed_overflow */
    return error;
}

ANYSYNC_COROUTINE(void, large_shift)
{
    int error = anysync_yield();
    int bits = 40 + sink;

    sink = 1 << bits; /* BUG large_shift */
    return error;
}

/* --- the library itself has to notice --------------------------------------------------------- */

static __attribute__((noinline)) int deeper(int depth)
{
    char block[4096];

    memset(hide(block), depth, sizeof(block));
    return depth > 1000000 ? 0 : deeper(depth + 1) + block[7]; /* BUG guard */
}

ANYSYNC_COROUTINE(void, guard)
{
    int error = anysync_yield();

    sink = deeper(0);
    return error;
}

ANYSYNC_COROUTINE(void, double_unref)
{
    struct anysync_future *future = NULL;
    int error = anysync_future_new(0, &future);

    if (error)
        return error;
    anysync_future_unref(future);
    anysync_future_unref(hide(future)); /* BUG double_unref */
    return anysync_yield();
}

ANYSYNC_COROUTINE(void, future_after_unref)
{
    struct anysync_future *future = NULL;
    int error = anysync_future_new(0, &future);

    if (error)
        return error;
    anysync_future_unref(future);
    return anysync_future_set(hide(future), NULL); /* BUG future_after_unref */
}

ANYSYNC_COROUTINE(void, waits, (struct anysync_future **, whom))
{
    int error = anysync_yield();

    return error ? error : anysync_wait(*whom, NULL, ANYSYNC_FOREVER);
}

static int report(int error)
{
    fprintf(stderr, "%s\n", anysync_last_error()->message);
    return error == -EDEADLK ? 0 : -EINVAL;
}

ANYSYNC_COROUTINE(void, waits_for_itself)
{
    struct anysync_future *self = NULL;
    waits_future soon;
    int error = waits_start(&soon, &self);

    if (error)
        return error;
    self = soon.future;
    error = report(waits_wait(&soon, ANYSYNC_FOREVER));
    waits_drop(&soon);
    return error;
}

ANYSYNC_COROUTINE(void, wait_for_each_other)
{
    struct anysync_future *each[2] = {NULL, NULL};
    waits_future soon[2] = {{NULL}, {NULL}};
    int error = 0;

    for (int i = 0; i < 2 && !error; i++) {
        error = waits_start(&soon[i], &each[1 - i]);
        each[i] = soon[i].future;
    }
    if (!error)
        error = report(waits_wait(&soon[0], ANYSYNC_FOREVER));
    for (int i = 0; i < 2; i++)
        waits_drop(&soon[i]);
    return error;
}

static const struct {
    const char *name;
    int (*run)(void);
} bugs[] = {{"none", correct}, {"none_exits", correct_exits},
        {"heap_use_after_free", heap_use_after_free_run}, {"heap_overflow", heap_overflow_run},
        {"double_free", double_free_run}, {"free_of_stack", free_of_stack_run},
        {"stack_overflow_of_array", stack_overflow_of_array_run},
        {"use_after_return", use_after_return_run}, {"use_after_scope", use_after_scope_run},
        {"stack_of_the_dead", stack_of_the_dead_run},
        {"uninitialized_local", uninitialized_local_run},
        {"uninitialized_heap", uninitialized_heap_run},
        {"uninitialized_argument", uninitialized_argument_run}, {"leak", leak_run},
        {"leak_of_an_exit", leak_of_an_exit_run}, {"leak_of_a_future", leak_of_a_future_run},
        {"race_of_thread", race_of_thread}, {"race_of_loops", race_of_loops},
        {"race_of_job", race_of_job_run}, {"lock_order", lock_order},
        {"signed_overflow", signed_overflow_run}, {"large_shift", large_shift_run},
        {"guard", guard_run}, {"double_unref", double_unref_run},
        {"future_after_unref", future_after_unref_run}, {"waits_for_itself", waits_for_itself_run},
        {"wait_for_each_other", wait_for_each_other_run}};

int main(int argc, char **argv)
{
    int error = -EINVAL;

    for (size_t i = 0; argc == 2 && i < sizeof(bugs) / sizeof(bugs[0]); i++) {
        if (strcmp(argv[1], bugs[i].name) != 0)
            continue;
        if (nothing_run() != 0) /* the worker runs, and its first stack was used */
            die("the first run", -EINVAL);
        error = bugs[i].run();
    }
    if (error)
        die(argc == 2 ? argv[1] : "usage: bugs NAME", error);
    error = anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL);
    if (error)
        die("shutdown", error);
    return 0;
}
