/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * R11: ways in which a process ends, or lets go of the library, while the library is busy.  Each
 * time a process of its own: it brings everything into flight, waits for a random moment, and ends.
 * It has to end within a generous limit, with the right status.
 *
 * In flight are: two threads that do pieces of mix.h, a session on an executor of its own, a task
 * and a timer that nobody waits for, a job that blocks for good, a generator between two items.
 *
 *   ENDS             how often each way is gone
 *   ANYSYNC_LIBRARY  the shared library, for what is said of dlclose()
 */
#include "mix.h"

#include <dlfcn.h>
#include <event2/event.h>
#include <pthread.h>

enum { STATUS = 7, LIMIT_MS = 30000 };

/* --- what is in flight ------------------------------------------------------------------------ */

static struct anysync_executor *own;
static mix_items_generator half_way;

/* Until something stops, in an orderly way. */
static void *keep_busy(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;

    while (mix_once(&seed) == 0)
        ;
    return NULL;
}

ANYSYNC_BLOCKING(void, block_for_good)
{
    for (;;)
        pause();
    return 0;
}

static void start_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, function, argument), 0);
    CHECK_EQ(pthread_detach(thread), 0);
}

static void ignore(struct anysync_future *future, void *argument)
{
    (void)future;
    (void)argument;
}

static void bring_into_flight(unsigned seed)
{
    struct anysync_future *timer;
    int item = 0;

    CHECK_EQ(anysync_executor_new(NULL, &own), 0);
    start_thread(keep_busy, (void *)(uintptr_t)(seed | 1));
    start_thread(keep_busy, (void *)(uintptr_t)(seed ^ 0x5a5a5a5a));
    CHECK_EQ(mix_session_start_on(own, NULL, seed, 1 << 30), 0);
    CHECK_EQ(mix_sleep_long_start(NULL), 0);
    CHECK_EQ(block_for_good_start(NULL), 0);
    CHECK_EQ(anysync_future_at(anysync_in_us(seed % 512), &timer), 0);
    CHECK_EQ(anysync_future_on_done(timer, ignore, NULL), 0);
    CHECK_EQ(mix_items_open(&half_way, 8), 0);
    CHECK_EQ(mix_items_next(&half_way, &item), 0);
    pause_us(seed % 8 * 64);
}

/* --- from the main thread --------------------------------------------------------------------- */

static void by_exit(void)
{
    exit(STATUS);
}

static void by_underscore_exit(void)
{
    _exit(STATUS);
}

static void call_at_exit(void)
{
    int sum = 0;

    if (mix_add_run(&sum, 40, 2) != 0 || sum != 42 || mix_add(&sum, 40, 2) != 0)
        _exit(1);
}

static void by_quick_exit(void)
{
    CHECK_EQ(at_quick_exit(call_at_exit), 0);
    quick_exit(STATUS);
}

static void by_exit_with_a_call(void)
{
    CHECK_EQ(atexit(call_at_exit), 0);
    exit(STATUS);
}

static void cancel_all_at_exit(void)
{
    if (anysync_executor_shutdown(own, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL) != 0 ||
            anysync_shutdown(ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL) != 0)
        _exit(1);
}

static void by_exit_with_a_shutdown(void)
{
    CHECK_EQ(atexit(cancel_all_at_exit), 0);
    exit(STATUS);
}

static void by_abort(void)
{
    abort();
}

static void by_a_signal(void)
{
    kill(getpid(), SIGTERM);
    for (;;)
        pause();
}

static void *exit_soon(void *argument)
{
    (void)argument;
    pause_us(100);
    exit(STATUS);
}

static void by_pthread_exit_and_exit_elsewhere(void)
{
    start_thread(exit_soon, NULL);
    pthread_exit(NULL);
}

static void *drain_for_good(void *argument)
{
    (void)argument;
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0); /* the sleeper stays */
    return NULL;
}

static void by_exit_while_a_shutdown_waits(void)
{
    start_thread(drain_for_good, NULL);
    pause_us(100);
    exit(STATUS);
}

static void by_exit_after_a_shutdown(void)
{
    cancel_all_at_exit();
    exit(STATUS);
}

static struct anysync_future *from_handler;

static void leave_in_handler(int number)
{
    (void)number;
    (void)anysync_future_set_from_signal(from_handler, NULL);
    _exit(STATUS);
}

static void by_underscore_exit_in_a_handler(void)
{
    CHECK_EQ(anysync_future_new(0, &from_handler), 0);
    CHECK_EQ(mix_pass_start(NULL, from_handler), 0);
    signal(SIGUSR1, leave_in_handler);
    kill(getpid(), SIGUSR1);
    for (;;)
        pause();
}

/* --- from the library's threads --------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, exit_in_task, (bool, later))
{
    if (later)
        CHECK_EQ(anysync_sleep(anysync_in_us(50)), 0);
    exit(STATUS);
}

ANYSYNC_COROUTINE(void, exit_nested)
{
    return exit_in_task_run(true);
}

ANYSYNC_COROUTINE(void, abort_in_task)
{
    abort();
}

ANYSYNC_COROUTINE(void, exec_in_task)
{
    execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
    return -EIO;
}

ANYSYNC_COROUTINE(void, fork_in_task)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(3);
    int status = pid > 0 ? end_of(pid, LIMIT_MS) : -1;
    exit(WIFEXITED(status) && WEXITSTATUS(status) == 3 ? STATUS : 1);
}

ANYSYNC_BLOCKING(void, exit_in_job, (bool, back))
{
    if (back)
        return exit_in_task_run_back(true);
    exit(STATUS);
}

ANYSYNC_COROUTINE(void, offload_exit, (bool, back))
{
    return exit_in_job(back);
}

ANYSYNC_GENERATOR(int, exit_in_generator)
{
    int error = exit_in_generator_yield(1);

    if (error == 0)
        exit(STATUS);
    return error;
}

ANYSYNC_CONTEXT_MANAGER(int, exit_in_manager, (bool, set_up))
{
    if (set_up)
        exit(STATUS);
    int error = exit_in_manager_yield(1);
    exit(error ? 1 : STATUS);
}

static void by_exit_in_a_task(void)
{
    (void)!exit_in_task_run(false);
}

static void by_exit_in_a_task_that_waited(void)
{
    (void)!exit_in_task_run_on(own, true);
}

static void by_exit_in_a_here_loop(void)
{
    (void)!exit_in_task_run_here(true);
}

static void by_exit_in_a_nested_run(void)
{
    (void)!exit_nested_run();
}

static void by_exit_in_a_task_with_a_call(void)
{
    CHECK_EQ(atexit(call_at_exit), 0);
    (void)!exit_in_task_run(true);
}

static void by_abort_in_a_task(void)
{
    (void)!abort_in_task_run();
}

static void by_exec_in_a_task(void)
{
    (void)!exec_in_task_run();
}

static void by_fork_and_exit_in_a_task(void)
{
    (void)!fork_in_task_run();
}

static void by_exit_in_a_job(void)
{
    (void)!offload_exit_run(false);
}

static void by_exit_on_a_jobs_way_back(void)
{
    (void)!offload_exit_run(true);
}

static void by_exit_in_a_generator(void)
{
    ANYSYNC_FOR(exit_in_generator, item, NULL)
    {
        (void)item;
    }
}

static void by_exit_in_a_set_up(void)
{
    ANYSYNC_WITH(exit_in_manager, value, NULL, true)
    {
        (void)value;
    }
}

static void by_exit_in_a_clean_up(void)
{
    ANYSYNC_WITH(exit_in_manager, value, NULL, false)
    {
        (void)value;
    }
}

static void by_exit_in_a_group(void)
{
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        for (int i = 0; i < 4 && error == 0; i++)
            error = exit_in_task_spawn(group, NULL, i == 3);
    }
}

static void exit_in_callback(struct anysync_future *future, void *argument)
{
    (void)future;
    (void)argument;
    exit(STATUS);
}

static void by_exit_in_a_completion(void)
{
    struct anysync_future *soon;

    CHECK_EQ(anysync_future_at(anysync_in_us(100), &soon), 0);
    CHECK_EQ(anysync_future_on_done(soon, exit_in_callback, NULL), 0);
    pthread_exit(NULL);
}

static void on_event(evutil_socket_t fd, short events, void *argument)
{
    (void)fd;
    (void)events;
    (void)argument;
    exit(STATUS);
}

ANYSYNC_COROUTINE(void, exit_by_event)
{
    CHECK_EQ(event_base_once(anysync_event_base(), -1, EV_TIMEOUT, on_event, NULL, NULL), 0);
    return anysync_sleep(ANYSYNC_FOREVER);
}

static void by_exit_in_an_event(void)
{
    (void)!exit_by_event_run();
}

static void exit_in_hook(const char *task, const struct anysync_error *error, void *context)
{
    (void)error;
    (void)context;
    if (strcmp(task, "mix_fail") == 0)
        exit(STATUS);
}

static void by_exit_in_the_error_hook(void)
{
    anysync_set_error_hook(exit_in_hook, NULL);
    CHECK_EQ(mix_fail_start(NULL, 1), 0);
    for (;;)
        pause();
}

static void exit_in_drop(int *value)
{
    exit(*value);
}

ANYSYNC_VAR_DROP(int, fatal, 0, exit_in_drop);

ANYSYNC_COROUTINE(void, set_fatal)
{
    return fatal_set(STATUS, NULL);
}

static void by_exit_when_a_value_is_dropped(void)
{
    (void)!set_fatal_run();
    for (;;)
        pause();
}

/* --- dlclose() -------------------------------------------------------------------------------- */

static struct {
    void *handle;
    int (*run)(const struct anysync_function *, const void *, void *, anysync_time);
    int (*spawn)(const struct anysync_function *, const void *, struct anysync_future **);
    int (*yield)(void);
} loaded;

static void find(void *ret_function, const char *name)
{
    void *symbol = dlsym(loaded.handle, name);

    CHECK(symbol != NULL);
    memcpy(ret_function, &symbol, sizeof(symbol));
}

static void load(void)
{
    const char *path = getenv("ANYSYNC_LIBRARY");

    loaded.handle = dlopen(path ? path : "build/gcc/libanysync.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!loaded.handle)
        test_fail(TEST_HERE, "dlopen: %s", dlerror());
    find(&loaded.run, "anysync_run");
    find(&loaded.spawn, "anysync_spawn");
    find(&loaded.yield, "anysync_yield");
}

static int yield_for_good(void *argument, void *result)
{
    int (*yield)(void) = loaded.yield;
    int error;

    (void)argument;
    (void)result;
    while ((error = yield()) == 0)
        ;
    return error;
}

static int close_library(void *argument, void *result)
{
    (void)argument;
    (void)result;
    if (dlclose(loaded.handle) != 0)
        _exit(1);
    return loaded.yield();
}

static const struct anysync_function yielding = ANYSYNC_FUNCTION(yielding, yield_for_good, 0, 0);
static const struct anysync_function closing = ANYSYNC_FUNCTION(closing, close_library, 0, 0);

static void load_and_use(void)
{
    load();
    for (int i = 0; i < 4; i++)
        CHECK_EQ(loaded.spawn(&yielding, NULL, NULL), 0);
}

static void by_exit_after_dlclose(void)
{
    load_and_use();
    CHECK_EQ(dlclose(loaded.handle), 0);
    exit(STATUS);
}

static void by_exit_after_dlclose_in_a_task(void)
{
    load_and_use();
    CHECK_EQ(loaded.run(&closing, NULL, NULL, ANYSYNC_FOREVER), 0);
    exit(STATUS);
}

static void by_exit_when_opened_again(void)
{
    load_and_use();
    CHECK_EQ(dlclose(loaded.handle), 0);
    load_and_use();
    CHECK_EQ(dlclose(loaded.handle), 0);
    load_and_use();
    exit(STATUS);
}

/* --- without a call of exit() ----------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, last_words)
{
    return anysync_sleep(anysync_in_us(100));
}

/* The main thread ends, then all others: the last one ends the process. */
static void by_the_end_of_all_threads(void)
{
    struct anysync_pool_options soon = {.idle_ns = 1000000};

    CHECK_EQ(anysync_pool_new(&soon, &mix_pool), 0);
    CHECK_EQ(anysync_executor_new(NULL, &own), 0);
    CHECK_EQ(last_words_run_on(own), 0);
    CHECK_EQ(mix_session_run(1, 20), 0);
    CHECK_EQ(mix_session_start_on(own, NULL, 2, 20), 0);
    CHECK_EQ(last_words_start(NULL), 0);
    anysync_executor_unref(own);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    pthread_exit(NULL);
}

/* --- the check -------------------------------------------------------------------------------- */

#define BY(name) #name, by_##name

static const struct ending {
    const char *name;
    void (*end)(void);
    bool alone; /* nothing else is in flight */
    int status, signal;
} endings[] = {
        {BY(exit), false, STATUS, 0},
        {BY(underscore_exit), false, STATUS, 0},
        {BY(quick_exit), false, STATUS, 0},
        {BY(exit_with_a_call), false, STATUS, 0},
        {BY(exit_with_a_shutdown), false, STATUS, 0},
        {BY(abort), false, 0, SIGABRT},
        {BY(a_signal), false, 0, SIGTERM},
        {BY(pthread_exit_and_exit_elsewhere), false, STATUS, 0},
        {BY(exit_while_a_shutdown_waits), false, STATUS, 0},
        {BY(exit_after_a_shutdown), false, STATUS, 0},
        {BY(underscore_exit_in_a_handler), false, STATUS, 0},
        {BY(exit_in_a_task), false, STATUS, 0},
        {BY(exit_in_a_task_that_waited), false, STATUS, 0},
        {BY(exit_in_a_here_loop), false, STATUS, 0},
        {BY(exit_in_a_nested_run), false, STATUS, 0},
        {BY(exit_in_a_task_with_a_call), false, STATUS, 0},
        {BY(abort_in_a_task), false, 0, SIGABRT},
        {BY(exec_in_a_task), false, STATUS, 0},
        {BY(fork_and_exit_in_a_task), false, STATUS, 0},
        {BY(exit_in_a_job), false, STATUS, 0},
        {BY(exit_on_a_jobs_way_back), false, STATUS, 0},
        {BY(exit_in_a_generator), false, STATUS, 0},
        {BY(exit_in_a_set_up), false, STATUS, 0},
        {BY(exit_in_a_clean_up), false, STATUS, 0},
        {BY(exit_in_a_group), false, STATUS, 0},
        {BY(exit_in_a_completion), false, STATUS, 0},
        {BY(exit_in_an_event), false, STATUS, 0},
        {BY(exit_in_the_error_hook), false, STATUS, 0},
        {BY(exit_when_a_value_is_dropped), false, STATUS, 0},
        {BY(exit_after_dlclose), false, STATUS, 0},
        {BY(exit_after_dlclose_in_a_task), false, STATUS, 0},
        {BY(exit_when_opened_again), false, STATUS, 0},
        {BY(the_end_of_all_threads), true, 0, 0},
};
enum { ENDINGS = sizeof(endings) / sizeof(*endings) };

static void check_end(const struct ending *ending, unsigned seed)
{
    fflush(NULL);
    pid_t pid = fork();

    CHECK_GE(pid, 0);
    if (pid == 0) {
        if (!ending->alone)
            bring_into_flight(seed);
        ending->end();
        _exit(2); /* it came back */
    }
    int status = end_of(pid, LIMIT_MS);
    if (status == -1)
        test_fail(TEST_HERE, "%s, seed %u: it hangs", ending->name, seed);
    if (ending->signal ? !WIFSIGNALED(status) || WTERMSIG(status) != ending->signal
                       : !WIFEXITED(status) || WEXITSTATUS(status) != ending->status)
        test_fail(TEST_HERE, "%s, seed %u: it ended with %#x", ending->name, seed, status);
}

TEST(r11_each_end_is_an_end)
{
    unsigned seed = (unsigned)asked_for("SEED", test_now_ns() & 0xffffff) | 1;
    long times = asked_for("ENDS", 10), count = 0;
    int64_t longest = 0;

    for (long i = 0; i < times; i++) {
        for (int j = 0; j < ENDINGS; j++, count++) {
            int64_t began = test_now_ns();
            check_end(&endings[j], next_random(&seed));
            int64_t took = test_now_ns() - began;
            longest = took > longest ? took : longest;
        }
    }
    tell("ways", ENDINGS);
    tell("ends", count);
    tell("ms at most", (long)(longest / 1000000));
}
