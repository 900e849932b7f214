/* SPDX-License-Identifier: MIT */
/*
 * Bugs of other runtimes, provoked here: fork, limits of the system, threads that end late, memory
 * given back twice.  Each test says what went wrong elsewhere, and how it is brought about.  (The
 * others: test_history_*.)
 *
 * Promised                                             Tested by (each begins with history_)
 *   a child shares nothing that is under way             13_fork_with_a_wake_under_way
 *   a child may end at once                              14_a_forked_child_exits
 *   no refusal of the system ends the process            18_refusals_are_errors
 *   what is left in a queue is freed once                24_what_is_dropped_is_dropped_once
 *   a thread may end after all else                      25_a_thread_ends_after_the_shutdown
 */
#include "fault.h"
#include "worlds.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

ANYSYNC_COROUTINE(int, add_one, (int, n))
{
    int error = anysync_yield();
    *result = n + 1;
    return error;
}

static void check_runs(struct anysync_executor *executor, long count)
{
    for (long i = 0; i < count; i++) {
        int sum = 0;
        CHECK_EQ(add_one_run_on(executor, &sum, (int)i), 0);
        CHECK_EQ(sum, i + 1);
    }
}

/* --- 13 --------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, block_in_read, (int, fd), (struct anysync_future *, begun))
{
    char byte;

    open_gate(begun);
    return read(fd, &byte, 1) == 1 ? 0 : -EIO; /* the whole loop stands still */
}

ANYSYNC_COROUTINE(void, wait_readable, (int, fd))
{
    int events = anysync_wait_fd(fd, ANYSYNC_READABLE, ANYSYNC_FOREVER);

    return events < 0 ? events : 0;
}

static int child_of_a_stuck_parent(void *argument)
{
    const int *fds = argument;
    char byte = 'c';
    wait_readable_future waiting;
    int own[2];

    check_runs(NULL, 1000);
    CHECK_EQ(pipe(own), 0); /* its own poll hears of its own descriptor only */
    CHECK_EQ(wait_readable_start(&waiting, own[0]), 0);
    CHECK_EQ(write(own[1], &byte, 1), 1);
    CHECK_EQ(wait_readable_wait(&waiting, ANYSYNC_FOREVER), 0);
    wait_readable_drop(&waiting);
    CHECK_EQ(write(fds[1], &byte, 1), 1); /* for a descriptor that the parent's loop watches */
    return 0;
}

static void submit_on(void *argument, int index)
{
    atomic_bool *stop = argument;

    (void)index;
    while (!atomic_load(stop))
        check_runs(NULL, 1);
}

/*
 * libuv #1269, evpp #56, systemd #72, libevent #307, folly #2366: a child took "a wake is on its
 * way" for its own and never woke its loop, or it shared epoll and pipe with the parent and took
 * its events.  Here the parent's worker watches a descriptor, stands still, and has letters that it
 * has not read; then while threads submit, at any moment.  Both sides run 1,000 tasks.
 */
TEST(history_13_fork_with_a_wake_under_way)
{
    int watched[2], stuck[2], sum = 0;
    struct anysync_future *begun = new_gate();
    wait_readable_future waiting;
    add_one_future pending;

    if (TEST_MSAN)
        test_skip("its malloc() may be locked in a child of many threads");
    CHECK_EQ(pipe(watched), 0);
    CHECK_EQ(pipe(stuck), 0);
    CHECK_EQ(wait_readable_start(&waiting, watched[0]), 0);
    check_runs(NULL, 1);
    CHECK_EQ(block_in_read_start(NULL, stuck[0], begun), 0);
    pass_gate(begun);
    CHECK_EQ(add_one_start(&pending, 41), 0); /* a letter under way */
    struct test_child child = test_child(child_of_a_stuck_parent, watched);
    bool confused = TEST_TSAN && child.status == 66; /* it cannot follow a child of threads */
    if (!confused && (!child.exited || child.status != 0))
        test_fail(TEST_HERE, "%d, %d: %s", child.status, child.signal, child.errors);
    free(child.errors);
    CHECK_EQ(write(stuck[1], "x", 1), 1);
    if (confused)
        CHECK_EQ(write(watched[1], "x", 1), 1);
    CHECK_EQ(add_one_wait(&pending, &sum, ANYSYNC_FOREVER), 0);
    CHECK_EQ(sum, 42);
    CHECK_EQ(wait_readable_wait(&waiting, ANYSYNC_FOREVER), 0);
    check_runs(NULL, 1000);
    add_one_drop(&pending);
    wait_readable_drop(&waiting);
    anysync_future_unref(begun);
    if (TEST_ASAN || TEST_TSAN)
        return; /* a sanitizer's malloc() may be locked in a child of busy threads */

    atomic_bool stop = false;
    struct test_threads *threads = test_threads_start(2, submit_on, &stop);
    for (long i = test_scaled(30); i > 0; i--) {
        int status;
        pid_t pid = fork();
        CHECK_GE(pid, 0);
        if (pid == 0) {
            check_runs(NULL, 100);
            _exit(0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
    }
    atomic_store(&stop, true);
    test_threads_join(threads);
}

/* --- 14 --------------------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(int, job, (int, n))
{
    *result = n;
    return 0;
}

static int leave(void *argument)
{
    anysync_executor_unref(argument); /* the last reference: its worker is not in this process */
    return anysync_shutdown(ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL) ? 1 : 7;
}

/*
 * libuv #4443: a destructor joined the threads of a pool which the child did not have, and aborted.
 * Here the parent has a worker, an executor of its own, pool threads and a here-loop; the child
 * drops what it inherited and leaves by exit(), so that all destructors and handlers run.
 */
TEST(history_14_a_forked_child_exits)
{
    struct anysync_executor *executor = NULL;
    int value;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    check_runs(NULL, 10);
    check_runs(executor, 10);
    CHECK_EQ(add_one_run_here(&value, 1), 0);
    CHECK_EQ(job_offload(NULL, &value, 1), 0);
    for (int i = 0; i < 10; i++) {
        struct test_child child = test_child(leave, executor);
        if (!TEST_ASAN) /* its leak checker minds the parent's threads */
            CHECK_STR(child.errors, "");
        CHECK(child.exited);
        CHECK_EQ(child.status, 7);
        free(child.errors);
    }
    check_runs(executor, 10);
    anysync_executor_unref(executor);
}

/* --- 18 --------------------------------------------------------------------------------------- */

/* Has libevent make its base, which takes several descriptors. */
ANYSYNC_COROUTINE(void, ask_for_base)
{
    return anysync_event_base() ? 0 : anysync_last_error()->code;
}

static int ask_with_few(void *argument)
{
    struct rlimit before, few;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){(rlim_t) * (const int *)argument, before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    int error = ask_for_base_run();
    CHECK(error == 0 || error == -EMFILE || error == -ENOMEM);
    check_runs(NULL, 1); /* needs none */
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_EQ(ask_for_base_run(), 0); /* all is well again */
    return error ? 7 : 0;
}

/*
 * libevent signal.c:189, libuv threadpool.c:245, tokio #2286: the process ended, or a lock stayed
 * broken, when descriptors or threads ran out.  Here a coroutine asks for libevent's base at each
 * limit from none left to enough, and each thread that the library starts is refused in turn: an
 * error each time, and the next call works.
 */
TEST(history_18_refusals_are_errors)
{
    int refused = 0, sum;

    for (int limit = 3, status = 7; status == 7; limit++) {
        struct test_child child = test_child(ask_with_few, &limit);
        if (!child.exited || (child.status != 0 && child.status != 7))
            test_fail(TEST_HERE, "%d descriptors: %s", limit, child.errors);
        status = child.status;
        refused += status == 7;
        free(child.errors);
    }
    CHECK_GE(refused, 8);

    fault_fail("thread", 1, true);
    CHECK_EQ(add_one_run(&sum, 1), -EAGAIN);
    CHECK_EQ(job_offload(NULL, &sum, 1), -EAGAIN);
    CHECK_EQ(add_one_run_here(&sum, 1), 0);
    fault_clear();
    CHECK_EQ(add_one_run(&sum, 41), 0);
    CHECK_EQ(sum, 42);
    CHECK_EQ(job_offload(NULL, &sum, 41), 0);
}

/* --- 24 --------------------------------------------------------------------------------------- */

static atomic_long made, dropped;

static void drop_value(int **value)
{
    free(*value); /* twice is seen by malloc, or by the sanitizer */
    atomic_fetch_add(&dropped, 1);
}

static void drop_result(void *result)
{
    drop_value(result);
}

ANYSYNC_VAR_DROP(int *, carried, NULL, drop_value);

static int *new_value(void)
{
    int *value = malloc(sizeof(*value));

    CHECK(value != NULL);
    atomic_fetch_add(&made, 1);
    return value;
}

/* Each task has a value in its variables: it goes with the task, however that ends. */
ANYSYNC_COROUTINE(void, carry)
{
    CHECK_EQ(carried_set(new_value(), NULL), 0);
    return anysync_yield();
}

static void push_tasks(void *argument, int index)
{
    (void)index;
    for (int i = 0; i < 20; i++) {
        int error = carry_start_on(argument, NULL);
        CHECK(error == 0 || error == -ESHUTDOWN);
    }
}

ANYSYNC_BLOCKING(int *, make_value)
{
    *result = new_value();
    return 0;
}

ANYSYNC_CHANNEL(number, long);

static void send_numbers(void *argument, int index)
{
    for (long i = 0; i < 20; i++) {
        int error = number_channel_send(argument, i + index, ANYSYNC_FOREVER);
        CHECK(error == 0 || error == -EPIPE);
    }
}

/*
 * crossbeam #1187 (RUSTSEC-2025-0024): the mend of a leak freed a queue's last block twice, when it
 * was dropped while a push was under way.  Here 0, 1 and more tasks, items and results of jobs are
 * in what is dropped, while others are on their way to it: each value is freed, and freed once.
 */
TEST(history_24_what_is_dropped_is_dropped_once)
{
    struct anysync_offload_options with_drop = {.drop = drop_result};

    for (long round = test_scaled(60); round > 0; round--) {
        struct anysync_executor *executor = NULL;
        CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
        for (long i = round % 3; i > 0; i--)
            CHECK_EQ(carry_start_on(executor, NULL), 0);
        struct test_threads *pushers = test_threads_start(round % 2 ? 2 : 1, push_tasks, executor);
        CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
        test_threads_join(pushers);
        anysync_executor_unref(executor);

        number_channel *channel = NULL;
        long number;
        CHECK_EQ(number_channel_new((size_t)(round % 4), &channel), 0);
        struct test_threads *senders = test_threads_start(2, send_numbers, channel);
        for (long i = round % 5; i > 0; i--)
            CHECK_EQ(number_channel_recv(channel, &number, ANYSYNC_FOREVER), 0);
        number_channel_close(channel);
        test_threads_join(senders);
        number_channel_unref(channel);

        for (long i = 0; i < round % 3; i++) {
            ANYSYNC_SCOPED_FUTURE(make_value, making);
            int *value = NULL;
            CHECK_EQ(make_value_start_with(&with_drop, &making), 0);
            if (i == 1 && make_value_wait(&making, &value, ANYSYNC_FOREVER) == 0)
                drop_value(&value); /* taken: the job does not drop it */
            if (i == 0)
                make_value_cancel(&making);
        }
    }
    while (atomic_load(&dropped) < atomic_load(&made))
        sched_yield(); /* jobs end late */
    CHECK_EQ(atomic_load(&dropped), atomic_load(&made));
}

/* --- 25 --------------------------------------------------------------------------------------- */

static pthread_key_t key;
static atomic_int late_calls;

/* Runs before or after the library's own: it may be called all the same. */
static void at_thread_end(void *argument)
{
    int sum = 0;

    (void)argument;
    (void)*(int *const *)anysync_var_look(&carried_var);
    CHECK_EQ(add_one_run(&sum, 1), -ESHUTDOWN);
    CHECK_EQ(anysync_sleep(anysync_in_us(1)), 0);
    CHECK_EQ(add_one_run_here(&sum, 1), 0);
    CHECK_EQ(sum, 2);
    atomic_fetch_add(&late_calls, 1);
}

static void outlive(void *argument, int index)
{
    struct anysync_future **gates = argument;
    int sum;

    CHECK_EQ(pthread_setspecific(key, gates), 0);
    if (index == 0)
        CHECK_EQ(add_one_run(&sum, 1), 0);
    CHECK_EQ(carried_set(new_value(), NULL), 0);
    if (index == 1)
        CHECK_EQ(add_one_run_here(&sum, 1), 0);
    open_gate(gates[index]);
    pass_gate(gates[2]);
}

/*
 * folly #794: a destructor of thread-local data ran when the runtime was gone already, and used it.
 * Here threads with context variables, a last error and a here-loop end after the shutdown; a
 * destructor of the program's calls the library once more.
 */
TEST(history_25_a_thread_ends_after_the_shutdown)
{
    struct anysync_future *gates[3] = {new_gate(), new_gate(), new_gate()};

    CHECK_EQ(pthread_key_create(&key, at_thread_end), 0);
    struct test_threads *threads = test_threads_start(2, outlive, gates);
    pass_gate(gates[0]);
    pass_gate(gates[1]);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    open_gate(gates[2]);
    test_threads_join(threads);
    CHECK_EQ(atomic_load(&late_calls), 2);
    CHECK_EQ(atomic_load(&dropped), atomic_load(&made));
    for (int i = 0; i < 3; i++)
        anysync_future_unref(gates[i]);
}
