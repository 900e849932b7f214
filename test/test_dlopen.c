/* SPDX-License-Identifier: MIT */
/*
 * The shared library, loaded and closed while its threads live (CONTRACT K6).
 *
 * Promised                                       Tested by (each name begins with k6_)
 *   K6 dlopen, use, dlclose with a live worker   a_worker_lives_on_after_dlclose
 *      with a task that is suspended             a_task_goes_on_after_dlclose
 *      open again: it still works                opened_again_it_goes_on
 *      on a thread that ends after the close     a_thread_may_end_after_dlclose
 *      fork and exit after the close             a_child_may_be_forked_after_dlclose
 *   two copies in one process do not meet        it_is_apart_from_the_static_one
 *
 * The library of this build is loaded beside the static one that this program is linked with:
 * nothing of the program is in its dynamic symbol table, so the two do not meet.  Functions of the
 * loaded one are called through pointers only.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <anysync/executor.h>
#include <anysync/future.h>
#include <anysync/task.h>

#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int run_fn(const struct anysync_function *, const void *, void *, anysync_time);
typedef int spawn_fn(const struct anysync_function *, const void *, struct anysync_future **);
typedef int shutdown_fn(enum anysync_shutdown, anysync_time, size_t *);

/* The library that was loaded. */
static struct loaded {
    void *handle;
    run_fn *run, *run_here;
    spawn_fn *spawn;
    shutdown_fn *shutdown;
    int (*yield)(void);
    int (*future_new)(size_t, struct anysync_future **);
    int (*future_set)(struct anysync_future *, const void *);
    int (*wait)(struct anysync_future *, void *, anysync_time);
    struct anysync_future *(*unref)(struct anysync_future *);
    void (*stats)(struct anysync_executor *, struct anysync_stats *);
} loaded;

/* Make the library if it is not up to date: tests need the static one only. */
static const char *path_of_library(void)
{
    static char path[512], command[1024];
    const char *build = getenv("BUILD");
    const char *compiler = getenv("CC");

    snprintf(path, sizeof(path), "%s/libanysync.so.0", build ? build : "build/gcc");
    snprintf(command, sizeof(command), "make -j1 --no-print-directory '%s%s' %s >&2",
            compiler ? "CC=" : "V=", compiler ? compiler : "", path);
    if (system(command) != 0)
        test_fail(TEST_HERE, "%s cannot be made", path);
    return path;
}

static void *find(const char *name)
{
    void *symbol = dlsym(loaded.handle, name);

    if (!symbol)
        test_fail(TEST_HERE, "no %s in the library: %s", name, dlerror());
    return symbol;
}

/* ISO C has no cast from an object's address to a function's. */
#define FIND(member, name)                                                                         \
    do {                                                                                           \
        void *symbol_ = find(name);                                                                \
        memcpy(&loaded.member, &symbol_, sizeof(symbol_));                                         \
    } while (0)

static void load(const char *path)
{
    loaded.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!loaded.handle)
        test_fail(TEST_HERE, "dlopen: %s", dlerror());
    FIND(run, "anysync_run");
    FIND(run_here, "anysync_run_here");
    FIND(spawn, "anysync_spawn");
    FIND(shutdown, "anysync_shutdown");
    FIND(yield, "anysync_yield");
    FIND(future_new, "anysync_future_new");
    FIND(future_set, "anysync_future_set");
    FIND(wait, "anysync_wait");
    FIND(unref, "anysync_future_unref");
    FIND(stats, "anysync_executor_stats");
}

/* Nobody calls the library from here on. */
static void unload(void)
{
    CHECK_EQ(dlclose(loaded.handle), 0);
    memset(&loaded, 0, sizeof(loaded));
}

static int add_one_body(void *argument, void *result)
{
    *(int *)result = *(int *)argument + 1;
    return loaded.yield();
}

static const struct anysync_function add_one =
        ANYSYNC_FUNCTION(add_one, add_one_body, sizeof(int), sizeof(int));

/* A task that waits for a gate and then counts. */
struct gated {
    struct anysync_future *gate;
    int *count;
};

static int pass_body(void *argument, void *result)
{
    struct gated *gated = argument;
    int error = loaded.wait(gated->gate, NULL, ANYSYNC_FOREVER);

    (void)result;
    ++*gated->count;
    return error;
}

static const struct anysync_function pass =
        ANYSYNC_FUNCTION(pass, pass_body, sizeof(struct gated), 0);

static void check_works(void)
{
    int number = 41, sum = 0;

    CHECK_EQ(loaded.run(&add_one, &number, &sum, ANYSYNC_FOREVER), 0);
    CHECK_EQ(sum, 42);
    sum = 0;
    CHECK_EQ(loaded.run_here(&add_one, &number, &sum, ANYSYNC_FOREVER), 0);
    CHECK_EQ(sum, 42);
}

/* Give the threads of the library every chance to run code that may be gone. */
static void let_them_run(void)
{
    for (int i = 0; i < 20; i++) {
        struct timespec little = {.tv_nsec = 1000000};
        nanosleep(&little, NULL); /* not to synchronise: nothing is there that could */
    }
}

TEST(k6_a_worker_lives_on_after_dlclose)
{
    load(path_of_library());
    check_works();
    CHECK_GE(test_thread_count(), 2);
    unload();
    let_them_run();
    CHECK_GE(test_thread_count(), 2);
}

TEST(k6_opened_again_it_goes_on)
{
    const char *path = path_of_library();
    struct anysync_stats stats;

    for (int i = 0; i < 20; i++) {
        load(path);
        check_works();
        loaded.stats(NULL, &stats);
        CHECK_EQ(stats.workers, 1); /* the same worker as before, not one more */
        CHECK_EQ(stats.tasks, i + 1);
        unload();
    }
    load(path);
    CHECK_EQ(loaded.shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    unload();
}

TEST(k6_a_task_goes_on_after_dlclose)
{
    const char *path = path_of_library();
    struct anysync_future *future;
    struct gated gated;
    int count = 0;

    load(path);
    gated.count = &count;
    CHECK_EQ(loaded.future_new(0, &gated.gate), 0);
    CHECK_EQ(loaded.spawn(&pass, &gated, &future), 0);
    check_works(); /* it came after: the task waits by now */
    CHECK_EQ(dlclose(loaded.handle), 0);
    let_them_run();
    load(path);
    CHECK_EQ(loaded.future_set(gated.gate, NULL), 0);
    CHECK_EQ(loaded.wait(future, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(count, 1);
    loaded.unref(future);
    loaded.unref(gated.gate);
    unload();
}

static pthread_barrier_t used, closed;

static void *use_and_end_later(void *argument)
{
    (void)argument;
    check_works();
    pthread_barrier_wait(&used);
    pthread_barrier_wait(&closed);
    return NULL; /* the library's end-of-thread function runs */
}

TEST(k6_a_thread_may_end_after_dlclose)
{
    pthread_t thread;

    load(path_of_library());
    pthread_barrier_init(&used, NULL, 2);
    pthread_barrier_init(&closed, NULL, 2);
    CHECK_EQ(pthread_create(&thread, NULL, use_and_end_later, NULL), 0);
    pthread_barrier_wait(&used);
    unload();
    pthread_barrier_wait(&closed);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(k6_a_child_may_be_forked_after_dlclose)
{
    const char *path = path_of_library();
    int status = -1;

    load(path);
    check_works();
    unload();
    pid_t pid = fork(); /* the library's fork handlers run */
    CHECK_GE(pid, 0);
    if (pid == 0) {
        load(path);
        check_works();
        unload();
        _exit(7);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 7);
    load(path);
    check_works();
    unload();
}

static int add_two_body(void *argument, void *result)
{
    *(int *)result = *(int *)argument + 2;
    return anysync_yield();
}

static const struct anysync_function add_two =
        ANYSYNC_FUNCTION(add_two, add_two_body, sizeof(int), sizeof(int));

TEST(k6_it_is_apart_from_the_static_one)
{
    struct anysync_stats stats;
    int number = 40, sum = 0;

    load(path_of_library());
    check_works();
    anysync_executor_stats(NULL, &stats);
    CHECK_EQ(stats.workers, 0);
    CHECK_EQ(anysync_run(&add_two, &number, &sum, ANYSYNC_FOREVER), 0);
    CHECK_EQ(sum, 42);
    unload();
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
}
