/* SPDX-License-Identifier: MIT */
/*
 * The system refuses: memory, mappings, threads, descriptors (CONTRACT K4).
 *
 * Promised                                       Tested by (each name begins with k4_)
 *   K4 a failure at any point gives a code       run_survives_every_failure
 *     and a sentence, nothing is lost or left,   here_survives_every_failure
 *     and the next call works                    nested_survives_every_failure
 *                                                spawn_survives_every_failure
 *                                                await_survives_every_failure
 *                                                a_named_task_survives_every_failure
 *                                                waits_for_descriptors_survive_every_failure
 *                                                an_executor_survives_every_failure
 *   an error means that the task did not run     an_error_means_that_nothing_ran
 *   a wait without memory can be repeated        a_wait_without_memory_can_be_repeated
 *   a code outlives the memory for its sentence  a_code_outlives_the_memory_for_its_sentence
 *   K4 descriptors run out: -EMFILE, no exit     no_descriptor_left_is_emfile
 *     what needs none works all the same         without_descriptors_the_rest_works
 *   K4 address space runs out                    no_address_space_is_an_error
 *   bad input                                    bad_input_gets_a_clear_error
 *                                                a_negative_descriptor_is_ebadf
 *
 * Every failure is made in a process of its own, on first use: later the library has stacks,
 * records and schedulers in store, and asks for less.  What is left over is found by the leak
 * check of that process.
 */
#include "harness.h"

#include "fault.h"

#include <anysync/io.h>
#include <anysync/typed.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

static atomic_int began; /* bodies of `slow` */

/* Long enough for its caller to stop looking and go to sleep. */
ANYSYNC_COROUTINE(int, slow, (int, n))
{
    atomic_fetch_add(&began, 1);
    int error = anysync_sleep(anysync_in_ms(1));
    *result = n + 1;
    return error;
}

ANYSYNC_COROUTINE(int, slow_nested, (int, n))
{
    return slow_run(result, n);
}

ANYSYNC_COROUTINE(int, slow_awaited, (int, n))
{
    return slow_await(result, n);
}

static int use_run(int *value)
{
    return slow_run(value, 41);
}

static int use_here(int *value)
{
    return slow_run_here(value, 41);
}

static int use_nested(int *value)
{
    return slow_nested_run(value, 41);
}

static int use_await(int *value)
{
    return slow_awaited_run_here(value, 41);
}

static int use_spawn(int *value)
{
    slow_future future;
    int error = slow_start(&future, 41);

    CHECK((future.future != NULL) == (error == 0));
    if (error == 0) {
        while ((error = slow_wait(&future, value, ANYSYNC_FOREVER)) == -ENOMEM &&
                !anysync_future_done(future.future))
            ; /* there is no memory to wait with: the future is untouched */
    }
    slow_drop(&future);
    return error;
}

static int use_task(int *value)
{
    struct anysync_task *task = NULL;
    const struct slow_arguments argument = {41};
    int error = anysync_task_new(&slow_function, &argument, "a name that is copied", &task);

    CHECK((task != NULL) == (error == 0));
    if (error == 0)
        error = anysync_task_run(task, value, ANYSYNC_FOREVER);
    anysync_task_unref(task);
    return error;
}

static int use_executor(int *value)
{
    struct anysync_executor *executor = NULL;
    int error = anysync_executor_new(NULL, &executor);

    CHECK((executor != NULL) == (error == 0));
    if (error == 0)
        error = anysync_executor_start(executor);
    if (error == 0)
        error = slow_run_on(executor, value, 41);
    if (error == 0) {
        while ((error = anysync_executor_shutdown(
                        executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL)) == -ENOMEM)
            fault_clear(); /* it goes on; without memory nothing can wait for it */
    }
    anysync_executor_unref(executor);
    return error;
}

/* Ends when FD is readable: 42. */
ANYSYNC_COROUTINE(int, watch, (int, fd))
{
    int ready = anysync_wait_fd(fd, ANYSYNC_READABLE, anysync_in_ms(1));

    CHECK_NE(ready, (int)ANYSYNC_READABLE); /* nobody writes */
    if (ready != -ETIMEDOUT)
        return ready;
    *result = 42;
    return 0;
}

ANYSYNC_COROUTINE(int, watch_nested, (int, fd))
{
    return watch_run(result, fd);
}

static int use_descriptors(int *value)
{
    static int fds[2];
    int ignored;

    if (fds[1] == 0)
        CHECK_EQ(pipe(fds), 0);
    int error = watch_run(&ignored, fds[0]);
    if (error == 0)
        error = watch_run_here(&ignored, fds[0]);
    if (error == 0)
        error = watch_nested_run(value, fds[0]);
    return error;
}

/* --- every failure in turn -------------------------------------------------------------------- */

struct failure {
    int (*use)(int *value);
    const char *what;
    int nth;
    bool sticky;
    bool strict; /* an error means that the body has not begun */
};

enum { REACHED = 10 };

static void check_error(int error)
{
    if (error != -ENOMEM && error != -EAGAIN && error != -EMFILE)
        test_fail(TEST_HERE, "the code is %d (%s)", error, anysync_error_name(error));
    CHECK_EQ(anysync_last_error()->code, error);
    CHECK(anysync_last_error()->message[0] != '\0');
}

static int fail_once(void *argument)
{
    const struct failure *failure = argument;
    int value = 7;

    fault_fail(failure->what, failure->nth, failure->sticky);
    int error = failure->use(&value);
    bool reached = fault_failed(failure->what) > 0;
    fault_clear();
    if (error) {
        check_error(error);
        CHECK_EQ(value, 7);
        if (failure->strict)
            CHECK_EQ(atomic_load(&began), 0);
    } else {
        CHECK_EQ(value, 42);
    }
    for (int i = 0; i < 2; i++) {
        value = 0;
        CHECK_EQ(failure->use(&value), 0);
        CHECK_EQ(value, 42);
    }
    CHECK_EQ(anysync_shutdown(ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    return reached ? REACHED : 0;
}

/* Walk through all places of WHAT.  Returns how many there are. */
static int walk(struct failure failure)
{
    for (failure.nth = 1;; failure.nth++) {
        struct test_child child = test_child(fail_once, &failure);
        if (!child.exited || (child.status != 0 && child.status != REACHED))
            test_fail(TEST_HERE, "%s %d%s: status %d, signal %d: %s", failure.what, failure.nth,
                    failure.sticky ? " and all that follow" : "", child.status, child.signal,
                    child.errors);
        bool reached = child.status == REACHED;
        free(child.errors);
        if (!reached)
            return failure.nth - 1;
    }
}

/* At least LEAST places can fail. */
static void walk_all(int (*use)(int *value), int least)
{
    static const char *const whats[] = {"malloc", "mmap", "guard", "thread", "eventfd", "base"};

    for (int sticky = 0; sticky < 2; sticky++)
        CHECK_GE(walk((struct failure){.use = use, .what = FAULT_ANY, .sticky = sticky}), least);
    for (size_t i = 0; i < sizeof(whats) / sizeof(*whats); i++)
        walk((struct failure){.use = use, .what = whats[i], .sticky = true});
}

TEST(k4_run_survives_every_failure)
{
    walk_all(use_run, 6);
}

TEST(k4_here_survives_every_failure)
{
    walk_all(use_here, 4);
}

TEST(k4_nested_survives_every_failure)
{
    walk_all(use_nested, 8);
}

TEST(k4_spawn_survives_every_failure)
{
    walk_all(use_spawn, 6);
}

TEST(k4_await_survives_every_failure)
{
    walk_all(use_await, 5);
}

TEST(k4_a_named_task_survives_every_failure)
{
    walk_all(use_task, 7);
}

TEST(k4_waits_for_descriptors_survive_every_failure)
{
    walk_all(use_descriptors, 10);
}

TEST(k4_an_executor_survives_every_failure)
{
    walk_all(use_executor, 7);
}

TEST(k4_an_error_means_that_nothing_ran)
{
    int (*const uses[])(int *value) = {use_run, use_here, use_task};

    for (size_t i = 0; i < sizeof(uses) / sizeof(*uses); i++) {
        for (int sticky = 0; sticky < 2; sticky++)
            walk((struct failure){
                    .use = uses[i], .what = FAULT_ANY, .sticky = sticky, .strict = true});
    }
}

/* --- waits and sentences ---------------------------------------------------------------------- */

enum { MANY = 20 }; /* more than a wait has room for without memory */

struct waiting {
    struct anysync_future *futures[MANY];
    int error;
};

ANYSYNC_COROUTINE(int, wait_for_one, (struct waiting *, waiting))
{
    size_t index = 99;
    int error = anysync_wait_any(waiting->futures, MANY, anysync_in_ms(1), &index);

    CHECK_EQ(error ? 99 : index, error ? (size_t)99 : 3);
    *result = error;
    return 0;
}

static void check_repeats(int (*run)(int *result, struct waiting *waiting))
{
    struct waiting waiting;
    int error = 0, failures = 0;

    for (int i = 0; i < MANY; i++)
        CHECK_EQ(anysync_future_new(0, &waiting.futures[i]), 0);
    CHECK_EQ(run(&error, &waiting), 0); /* all is in store now but what a wait needs */
    CHECK_EQ(error, -ETIMEDOUT);
    for (int nth = 1;; nth++) {
        fault_fail("malloc", nth, false);
        int call = run(&error, &waiting);
        bool reached = fault_failed("malloc") > 0;
        fault_clear();
        if (call == 0) {
            CHECK(error == -ETIMEDOUT || error == -ENOMEM);
            failures += error == -ENOMEM;
        } else {
            check_error(call);
        }
        if (!reached)
            break;
    }
    CHECK_GE(failures, 1);
    CHECK_EQ(anysync_future_set(waiting.futures[3], NULL), 0);
    CHECK_EQ(run(&error, &waiting), 0);
    CHECK_EQ(error, 0);
    for (int i = 0; i < MANY; i++)
        anysync_future_unref(waiting.futures[i]);
}

static int wait_on_worker(int *result, struct waiting *waiting)
{
    return wait_for_one_run(result, waiting);
}

static int wait_here(int *result, struct waiting *waiting)
{
    return wait_for_one_run_here(result, waiting);
}

static int wait_on_thread(int *result, struct waiting *waiting)
{
    size_t index;

    *result = anysync_wait_any(waiting->futures, MANY, anysync_in_ms(1), &index);
    return 0;
}

TEST(k4_a_wait_without_memory_can_be_repeated)
{
    check_repeats(wait_on_thread);
    check_repeats(wait_on_worker);
    check_repeats(wait_here);
}

ANYSYNC_COROUTINE(void, fail_with_a_sentence)
{
    return anysync_fail(-EPROTO, "the %s one: %0200d", "special", 7); /* too long for the record */
}

TEST(k4_a_code_outlives_the_memory_for_its_sentence)
{
    bool lost = false;
    char whole[256];

    CHECK_EQ(fail_with_a_sentence_run_here(), -EPROTO); /* all is in store now but the sentence */
    snprintf(whole, sizeof(whole), "the special one: %0200d", 7);
    CHECK_STR(anysync_last_error()->message, whole);
    for (int nth = 1;; nth++) {
        fault_fail("malloc", nth, true);
        int error = fail_with_a_sentence_run_here();
        bool reached = fault_failed("malloc") > 0;
        fault_clear();
        const char *message = anysync_last_error()->message;
        CHECK_EQ(anysync_last_error()->code, error);
        CHECK(error == -EPROTO || error == -ENOMEM);
        CHECK(message[0] != '\0');
        lost = lost || (error == -EPROTO && strcmp(message, whole) != 0);
        CHECK(error == -ENOMEM || strncmp(message, whole, strlen(message)) == 0 ||
                strcmp(message, anysync_error_text(-EPROTO)) == 0);
        if (!reached)
            break;
    }
    CHECK(lost);
    CHECK_EQ(fail_with_a_sentence_run_here(), -EPROTO);
    CHECK_STR(anysync_last_error()->message, whole);
}

/* --- the real thing --------------------------------------------------------------------------- */

enum { FEW_DESCRIPTORS = 64 };

/* From now on exactly COUNT descriptors can be opened.  Call it once in a process. */
static void leave_descriptors(int count)
{
    int fds[FEW_DESCRIPTORS], opened = 0;
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = FEW_DESCRIPTORS;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while ((fds[opened] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        opened++;
    CHECK_EQ(errno, EMFILE);
    CHECK_GE(opened, count);
    while (count-- > 0)
        close(fds[--opened]);
}

static void allow_descriptors(void)
{
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

struct scarce {
    int left;  /* descriptors */
    int world; /* 0: the worker, 1: here, 2: nested, 3: only asks for the base */
};

ANYSYNC_COROUTINE(int, ask_for_base)
{
    bool given = anysync_event_base() != NULL;

    *result = 42;
    return given ? 0 : anysync_last_error()->code;
}

static int watch_with_few(void *argument)
{
    const struct scarce *scarce = argument;
    int fds[2], value = 7, error;

    CHECK_EQ(pipe(fds), 0);
    leave_descriptors(scarce->left);
    if (scarce->world == 0)
        error = watch_run(&value, fds[0]);
    else if (scarce->world == 1)
        error = watch_run_here(&value, fds[0]);
    else if (scarce->world == 2)
        error = watch_nested_run(&value, fds[0]);
    else
        error = ask_for_base_run(&value);
    CHECK_EQ(value, error ? 7 : 42);
    if (error) {
        CHECK_EQ(error, -EMFILE);
        CHECK_EQ(anysync_last_error()->code, -EMFILE);
        CHECK(anysync_last_error()->message[0] != '\0');
        int fd = open("/dev/null", O_RDONLY); /* nothing was left open */
        CHECK_EQ(fd >= 0, scarce->left > 0);
        if (fd >= 0)
            close(fd);
        CHECK_EQ(slow_run(&value, 41), 0); /* needs no descriptor */
        CHECK_EQ(slow_run_here(&value, 41), 0);
    }
    for (int fd = 3; fd < FEW_DESCRIPTORS; fd++) {
        if (fd != fds[0] && fd != fds[1] && error) /* give them back */
            close(fd);
    }
    if (error)
        CHECK_EQ(watch_run(&value, fds[0]), 0);
    return error ? REACHED : 0;
}

TEST(k4_no_descriptor_left_is_emfile)
{
    for (int world = 0; world < 4; world++) {
        bool failed = true;
        for (int left = 0; failed; left++) {
            struct test_child child =
                    test_child(watch_with_few, &(struct scarce){.left = left, .world = world});
            if (!child.exited || (child.status != 0 && child.status != REACHED))
                test_fail(TEST_HERE, "world %d, %d left: status %d, signal %d: %s", world, left,
                        child.status, child.signal, child.errors);
            failed = child.status == REACHED;
            CHECK(left > 0 || failed);
            free(child.errors);
        }
    }
}

TEST(k4_without_descriptors_the_rest_works)
{
    struct anysync_executor *executor;
    int value = 0;

    leave_descriptors(0);
    CHECK_EQ(use_run(&value), 0);
    CHECK_EQ(use_here(&value), 0);
    CHECK_EQ(use_nested(&value), 0);
    CHECK_EQ(use_spawn(&value), 0);
    CHECK_EQ(use_executor(&value), 0);
    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(slow_run_on(executor, &value, 41), 0);
    CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
    anysync_executor_unref(executor);
    allow_descriptors(); /* a leak checker needs some */
}

static size_t address_space(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

TEST(k4_no_address_space_is_an_error)
{
    struct rlimit before;
    int value = 7;

    if (TEST_SANITIZED)
        test_skip("a sanitizer needs all the address space");
    CHECK_EQ(getrlimit(RLIMIT_AS, &before), 0);
    struct rlimit tight = {address_space() + (6 << 20), before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_AS, &tight), 0);
    CHECK_EQ(slow_run(&value, 41), -EAGAIN); /* no stack for the worker's thread */
    CHECK_CONTAINS(anysync_last_error()->message, "thread");
    CHECK_EQ(slow_run_here(&value, 41), -ENOMEM); /* none for the coroutine */
    CHECK_CONTAINS(anysync_last_error()->message, "ulimit -v");
    CHECK_EQ(value, 7);
    CHECK_EQ(setrlimit(RLIMIT_AS, &before), 0);
    CHECK_EQ(slow_run(&value, 41), 0);
    CHECK_EQ(slow_run_here(&value, 41), 0);
    CHECK_EQ(value, 42);
}

static int result_too_large_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

/* poll() passes over a negative descriptor, and libevent too: nothing would ever end the wait. */
TEST(k4_a_negative_descriptor_is_ebadf)
{
    int ignored;

    CHECK_EQ(anysync_wait_fd(-1, ANYSYNC_READABLE, ANYSYNC_POLL), -EBADF);
    CHECK_EQ(anysync_wait_fd(-1, ANYSYNC_READABLE, ANYSYNC_FOREVER), -EBADF);
    CHECK_EQ(watch_run_here(&ignored, -1), -EBADF);
    CHECK_EQ(watch_run(&ignored, -1), -EBADF);
}

TEST(k4_bad_input_gets_a_clear_error)
{
    struct anysync_function huge = {.name = "huge",
            .file = __FILE__,
            .line = __LINE__,
            .body = result_too_large_body,
            .result_size = SIZE_MAX - 8};
    struct anysync_future *future = NULL;
    struct anysync_task *task = NULL;
    int value = 7;

    CHECK_EQ(anysync_run(&huge, NULL, &value, ANYSYNC_FOREVER), -ENOMEM);
    CHECK_CONTAINS(anysync_last_error()->message, "huge");
    CHECK_EQ(anysync_spawn(&huge, NULL, &future), -ENOMEM);
    CHECK(future == NULL);
    CHECK_EQ(anysync_task_new(&huge, NULL, NULL, &task), -ENOMEM);
    CHECK(task == NULL);
    CHECK_EQ(anysync_future_new(SIZE_MAX - 8, &future), -ENOMEM);
    CHECK(future == NULL);
    CHECK_EQ(anysync_wait_fd(0, 0, ANYSYNC_POLL), -EINVAL);
    CHECK(anysync_last_error()->message[0] != '\0');
    huge.result_size = 0;
    huge.stack_size = SIZE_MAX - 8;
    CHECK_EQ(anysync_run(&huge, NULL, NULL, ANYSYNC_FOREVER), -ENOMEM);
    CHECK_CONTAINS(anysync_last_error()->message, "stack");
    CHECK_EQ(slow_run(&value, 41), 0);
    CHECK_EQ(value, 42);
}
