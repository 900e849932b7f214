/* SPDX-License-Identifier: MIT */
/*
 * Corners of the headers that no other test comes to: each is a sentence of one.
 *
 * Promised                                                Tested by
 *   a callback of a loop cannot wait: -EDEADLK              callbacks_cannot_wait
 *     and nests on a thread where a coroutine suspends      a_callback_nests_on_a_thread
 *   what is of the process before a fork: -EOWNERDEAD       a_child_is_told_whose_objects_these_are
 *   a coroutine that forks can make nothing on its loop     a_forked_coroutine_makes_nothing
 *   a cancelled task waits for nothing, not even at first   a_cancelled_task_does_not_begin_to_wait
 *   delays beyond all time                                  a_delay_beyond_time_is_for_ever
 *   a thread without a loop has no base                     a_plain_thread_has_no_base
 *   a job that calls a job knows who asked                  a_job_within_a_job_hears_of_the_cancel
 *   failures of a group, each with its cause                an_error_prints_causes_and_others
 *   connecting and accepting, where no waiting is needed    sockets_that_need_no_waiting
 *   a generator whose body goes on after its cancel         a_body_that_yields_on_after_its_cancel
 *   children that come while the opener waits               a_group_takes_children_from_elsewhere
 *   a close in a scope whose time ends                      a_close_may_be_cut_short
 *   mutexes need not be given up last first                 mutexes_are_unlocked_in_any_order
 */
#include "unordered.h"
#include "worlds.h"

#include <anysync/callback.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

ANYSYNC_COROUTINE(int, add_one, (int, n))
{
    *result = n + 1;
    return anysync_yield();
}

ANYSYNC_BLOCKING(int, add_one_job, (int, n))
{
    *result = n + 1;
    return 0;
}

ANYSYNC_GENERATOR(int, count, (int, to))
{
    int error = 0;

    for (int i = 0; i < to && !error; i++)
        error = count_yield(i);
    return error;
}

ANYSYNC_CHANNEL(number, int);

/* --- callbacks -------------------------------------------------------------------------------- */

typedef void check_fn(void);

static void run_check(struct anysync_future *future, void *argument)
{
    struct anysync_future *done = ((void **)argument)[0];
    check_fn *check = *(check_fn **)((void **)argument)[1];

    CHECK(future != NULL);
    check();
    open_gate(done);
}

/* Run CHECK in a callback of the loop of the caller. */
static void in_callback(check_fn *check)
{
    struct anysync_future *due = NULL, *done = new_gate();
    void *arguments[2] = {done, &check};

    CHECK_EQ(anysync_future_at(ANYSYNC_POLL, &due), 0);
    CHECK_EQ(anysync_future_on_done(due, run_check, arguments), 0);
    pass_gate(done);
    anysync_future_unref(due);
    anysync_future_unref(done);
}

static struct anysync_generator *half_way; /* it has given an item, and waits */

static int never_called(void *argument)
{
    (void)argument;
    CHECK(false);
    return 0;
}

static void cannot_wait(void)
{
    struct anysync_future *gate = new_gate();
    struct anysync_generator *generator = NULL;
    struct anysync_manager *manager = NULL;
    int to = 3, value = 0, error = 0;
    bool ran = false;

    CHECK_EQ(anysync_yield(), -EDEADLK);
    CHECK_EQ(anysync_sleep(anysync_in_ms(1)), -EDEADLK);
    CHECK_EQ(anysync_future_wait(gate, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_EQ(anysync_future_wait(gate, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(add_one_job_offload(NULL, &value, 1), -EDEADLK);
    CHECK_EQ(add_one_job(&value, 1), -EDEADLK);
    CHECK_EQ(add_one_run_back(&value, 1), -EDEADLK);
    CHECK_EQ(add_one_run_back_or_here(&value, 1), -EDEADLK);
    CHECK_EQ(add_one_run_on(NULL, &value, 1), -EDEADLK);
    CHECK_EQ(add_one_await(&value, 1), -EPERM);
    CHECK_EQ(anysync_generator_new(&count_function, &to, NULL, &generator), 0);
    CHECK_EQ(anysync_generator_next(generator, &value, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_EQ(anysync_generator_close(generator, ANYSYNC_FOREVER), 0); /* it had not begun */
    anysync_generator_unref(generator);
    CHECK_EQ(anysync_generator_close(half_way, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_EQ(anysync_manager_new_of(&count_function, &to, &manager), 0);
    CHECK_EQ(anysync_manager_enter(manager, &value, ANYSYNC_FOREVER), -EDEADLK);
    anysync_manager_unref(manager);
    ANYSYNC_GROUP(group, &error)
    {
        ran = group != NULL;
    }
    CHECK_EQ(error, -EDEADLK);
    CHECK(!ran);
    struct anysync_port *port = NULL;
    CHECK_EQ(anysync_port_new(&port), 0);
    CHECK_EQ(anysync_port_call(port, never_called, NULL, ANYSYNC_FOREVER), -EDEADLK);
    anysync_port_close(port);
    anysync_port_unref(port);
    CHECK_EQ(anysync_limiter_acquire(anysync_default_limiter(), ANYSYNC_POLL), 0);
    anysync_limiter_release(anysync_default_limiter());
    CHECK_EQ(value, 0);
    anysync_future_unref(gate);
}

static void check_callbacks(void)
{
    int to = 3, item;

    CHECK_EQ(anysync_generator_new(&count_function, &to, NULL, &half_way), 0);
    CHECK_EQ(anysync_generator_next(half_way, &item, ANYSYNC_FOREVER), 0);
    in_callback(cannot_wait);
    anysync_generator_unref(half_way);
}

TEST(callbacks_cannot_wait)
{
    CHECK_EQ(world_body_run(check_callbacks), 0); /* a callback of the global worker's loop */
}

static void nests(void)
{
    int value = 0;

    CHECK_EQ(add_one_run(&value, 41), 0);
    CHECK_EQ(value, 42);
}

static void check_nests(void)
{
    in_callback(nests);
}

TEST(a_callback_nests_on_a_thread)
{
    struct anysync_executor_options options = {.nested = ANYSYNC_NESTED_SUSPEND};
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    CHECK_EQ(world_body_run_on(executor, check_nests), 0);
    anysync_executor_unref(executor);
}

/* --- forks ------------------------------------------------------------------------------------ */

static struct inherited {
    struct anysync_generator *generator, *ahead;
    struct anysync_manager *manager;
    struct anysync_group *group;
    number_channel *channel;
} inherited;

static int use_inherited(void *argument)
{
    int value;

    (void)argument;
    struct anysync_generator *const both[] = {inherited.generator, inherited.ahead};
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(anysync_generator_next(both[i], &value, ANYSYNC_FOREVER), -EOWNERDEAD);
        int code = i ? -EINVAL : -EOWNERDEAD; /* one that reads ahead takes neither */
        CHECK_EQ(anysync_generator_send(both[i], &value, &value, ANYSYNC_FOREVER), code);
        CHECK_EQ(anysync_generator_throw(both[i], -EIO, "why", &value, ANYSYNC_FOREVER), code);
        CHECK_EQ(anysync_generator_close(both[i], ANYSYNC_FOREVER), -EOWNERDEAD);
        CHECK_EQ(anysync_generator_finish(both[i]), -EOWNERDEAD);
        anysync_generator_unref(both[i]);
    }
    CHECK_EQ(anysync_manager_enter(inherited.manager, &value, ANYSYNC_FOREVER), -EOWNERDEAD);
    CHECK_EQ(anysync_manager_exit(inherited.manager, 0, ANYSYNC_FOREVER), -EOWNERDEAD);
    anysync_manager_unref(inherited.manager);
    CHECK_EQ(anysync_group_spawn(inherited.group, &add_one_function, &value, NULL), -EOWNERDEAD);
    anysync_group_cancel(inherited.group, NULL);
    CHECK_EQ(anysync_group_close(inherited.group, 0, ANYSYNC_FOREVER), -EOWNERDEAD);
    CHECK_EQ(number_channel_send(inherited.channel, 1, ANYSYNC_FOREVER), -EOWNERDEAD);
    CHECK_EQ(anysync_channel_count((struct anysync_channel *)(void *)inherited.channel), 0);
    number_channel_close(inherited.channel);
    number_channel_unref(inherited.channel);
    return 0;
}

TEST(a_child_is_told_whose_objects_these_are)
{
    struct anysync_generator_options options = {.read_ahead = 2};
    int to = 3;

    test_forks_among_threads();
    CHECK_EQ(anysync_generator_new(&count_function, &to, NULL, &inherited.generator), 0);
    CHECK_EQ(anysync_generator_new(&count_function, &to, &options, &inherited.ahead), 0);
    CHECK_EQ(anysync_manager_new_of(&count_function, &to, &inherited.manager), 0);
    CHECK_EQ(anysync_group_open(&inherited.group), 0);
    CHECK_EQ(number_channel_new(1, &inherited.channel), 0);
    CHECK_EQ(number_channel_send(inherited.channel, 1, ANYSYNC_POLL), 0);
    struct test_child child = test_child(use_inherited, NULL);
    if (!child.exited || child.status != 0)
        test_fail(TEST_HERE, "%s", child.errors);
    free(child.errors);
    anysync_generator_unref(inherited.generator);
    anysync_generator_unref(inherited.ahead);
    anysync_manager_unref(inherited.manager);
    CHECK_EQ(anysync_group_close(inherited.group, 0, ANYSYNC_FOREVER), 0);
    number_channel_unref(inherited.channel);
}

ANYSYNC_COROUTINE(int, fork_and_make)
{
    struct anysync_future *future = NULL;
    struct anysync_generator *generator = NULL;
    int status, to = 1;
    pid_t pid = fork();

    CHECK_GE(pid, 0);
    if (pid == 0) {
        CHECK_EQ(anysync_future_at(anysync_in_ms(1), &future), -EOWNERDEAD);
        future = new_gate();
        CHECK_EQ(anysync_future_on_done(future, run_check, NULL), -EOWNERDEAD);
        CHECK_EQ(anysync_generator_new(&count_function, &to, NULL, &generator), -EOWNERDEAD);
        CHECK_EQ(add_one_start(NULL, 1), -EOWNERDEAD);
        CHECK_EQ(add_one_job(&to, 1), -EOWNERDEAD);
        _exit(7);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    *result = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return 0;
}

TEST(a_forked_coroutine_makes_nothing)
{
    int status = 0;

    CHECK_EQ(fork_and_make_run_here(&status), 0);
    CHECK_EQ(status, 7);
}

/* --- cancelled -------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, begin_waits, (number_channel *, full), (struct anysync_future *, gate),
        (struct anysync_future *, waits))
{
    struct anysync_generator *generator = NULL, *begun_before = NULL;
    int to = 2, value = 7, item;

    CHECK_EQ(anysync_generator_new(&count_function, &to, NULL, &generator), 0);
    CHECK_EQ(anysync_generator_new(&count_function, &to, NULL, &begun_before), 0);
    CHECK_EQ(anysync_generator_next(begun_before, &item, ANYSYNC_FOREVER), 0);
    open_gate(waits);
    CHECK_EQ(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(number_channel_send(full, 1, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(number_channel_send(full, 1, ANYSYNC_POLL), -ECANCELED);
    CHECK_EQ(anysync_future_wait(gate, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(add_one_await(&value, 1), -ECANCELED);
    CHECK_EQ(add_one_run_on(NULL, &value, 1), -ECANCELED);
    CHECK_EQ(add_one_job_offload(NULL, &value, 1), -ECANCELED);
    CHECK_EQ(add_one_job(&value, 1), -ECANCELED);
    CHECK_EQ(anysync_limiter_acquire(anysync_default_limiter(), ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(anysync_generator_next(generator, &value, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(value, 7);
    anysync_generator_unref(generator);
    CHECK_EQ(anysync_generator_close(begun_before, ANYSYNC_FOREVER), 0); /* it is over by then */
    anysync_generator_unref(begun_before);
    return 0;
}

TEST(a_cancelled_task_does_not_begin_to_wait)
{
    struct anysync_executor *executor = NULL;
    struct anysync_future *gate = new_gate();
    number_channel *full = NULL;
    ANYSYNC_SCOPED_FUTURE(begin_waits, waiting);

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(number_channel_new(1, &full), 0);
    CHECK_EQ(number_channel_send(full, 1, ANYSYNC_POLL), 0);
    struct anysync_future *waits = new_gate();
    CHECK_EQ(begin_waits_start_on(executor, &waiting, full, gate, waits), 0);
    pass_gate(waits); /* a task that did not begin never would */
    begin_waits_cancel(&waiting);
    int error = begin_waits_wait(&waiting, ANYSYNC_FOREVER);
    CHECK_EQ(error, 0);
    number_channel_unref(full);
    anysync_future_unref(gate);
    anysync_future_unref(waits);
    anysync_executor_unref(executor);
}

/* --- small ones ------------------------------------------------------------------------------- */

/* A clean-up that takes as long as GATE is closed. */
ANYSYNC_GENERATOR(int, cleans_up, (struct anysync_future *, gate))
{
    struct anysync_scope shield;
    int error = cleans_up_yield(1);

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    CHECK_EQ(anysync_future_wait(gate, ANYSYNC_FOREVER), 0);
    return anysync_scope_exit(&shield, error);
}

static void check_cut_close(void)
{
    struct anysync_future *gate = new_gate();
    struct anysync_generator *generator = NULL;
    struct anysync_scope scope;
    int item = 0;

    CHECK_EQ(anysync_generator_new(&cleans_up_function, &gate, NULL, &generator), 0);
    CHECK_EQ(anysync_generator_next(generator, &item, ANYSYNC_FOREVER), 0);
    anysync_scope_enter(&scope, anysync_in_ms(1));
    int error = anysync_generator_close(generator, ANYSYNC_FOREVER);
    CHECK_EQ(error, -ECANCELED);
    CHECK_EQ(anysync_scope_exit(&scope, error), -ETIMEDOUT);
    open_gate(gate);
    CHECK_EQ(anysync_generator_close(generator, ANYSYNC_FOREVER), 0);
    anysync_generator_unref(generator);
    anysync_future_unref(gate);
}

TEST(a_close_may_be_cut_short)
{
    in_worlds(IN_COROUTINES, check_cut_close);
}

static void check_two_mutexes(void)
{
    struct anysync_mutex *one, *other;

    CHECK_EQ(anysync_mutex_new(&one), 0);
    CHECK_EQ(anysync_mutex_new(&other), 0);
    CHECK_EQ(anysync_mutex_lock(one, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_mutex_lock(other, ANYSYNC_FOREVER), 0);
    anysync_mutex_unlock(one);
    CHECK_EQ(anysync_mutex_lock(one, ANYSYNC_FOREVER), 0);
    anysync_mutex_unlock(other);
    anysync_mutex_unlock(one);
    anysync_mutex_unref(one);
    anysync_mutex_unref(other);
}

TEST(mutexes_are_unlocked_in_any_order)
{
    in_worlds(EVERYWHERE_AND_POOL, check_two_mutexes);
}

TEST(a_delay_beyond_time_is_for_ever)
{
    CHECK_EQ(anysync_in_seconds(INT64_MAX), ANYSYNC_FOREVER);
    CHECK_EQ(anysync_in_ms(INT64_MAX / 2), ANYSYNC_FOREVER);
    CHECK_EQ(anysync_in_ns(INT64_MAX), ANYSYNC_FOREVER);
    CHECK(anysync_in_seconds(INT64_MIN) <= anysync_now());
}

TEST(a_plain_thread_has_no_base)
{
    CHECK(anysync_event_base() == NULL);
    CHECK_EQ(anysync_last_error()->code, -EPERM);
}

static atomic_bool asked_twice;

ANYSYNC_BLOCKING(void, inner_job, (struct anysync_future *, begun))
{
    open_gate(begun);
    while (anysync_check_cancelled() == 0)
        CHECK_EQ(anysync_sleep(anysync_in_us(100)), 0);
    unordered_wait(&asked_twice); /* an ended job would say so to the second */
    return -ECANCELED;
}

/* In a job run_here of a blocking function is a plain call. */
ANYSYNC_BLOCKING(void, outer_job, (struct anysync_future *, begun))
{
    int value;

    CHECK_EQ(add_one_run_back_or_here(&value, 1), 0);
    return anysync_run_here(&inner_job_function, &begun, NULL, ANYSYNC_FOREVER);
}

TEST(a_job_within_a_job_hears_of_the_cancel)
{
    struct anysync_future *begun = new_gate();
    ANYSYNC_SCOPED_FUTURE(outer_job, working);

    CHECK_EQ(outer_job_start(&working, begun), 0);
    pass_gate(begun);
    CHECK_EQ(outer_job_cancel(&working), 0);
    CHECK_EQ(outer_job_cancel(&working), 0);
    unordered_open(&asked_twice);
    CHECK_EQ(outer_job_wait(&working, ANYSYNC_FOREVER), -ECANCELED);
    anysync_future_unref(begun);
}

ANYSYNC_GENERATOR(int, replace, (int, n))
{
    int error = replace_yield(n);

    return error ? anysync_fail(-ERANGE, "the clean-up failed, too") : 0;
}

ANYSYNC_COROUTINE(void, fail_with_cause, (int, n))
{
    struct anysync_manager *manager = NULL;
    int value;

    CHECK_EQ(anysync_manager_new_of(&replace_function, &n, &manager), 0);
    CHECK_EQ(anysync_manager_enter(manager, &value, ANYSYNC_FOREVER), 0);
    int error =
            anysync_manager_exit(manager, anysync_fail(-EDOM, "the block failed"), ANYSYNC_FOREVER);
    anysync_manager_unref(manager);
    return error;
}

TEST(an_error_prints_causes_and_others)
{
    char text[2000];
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        for (int i = 0; i < 2 && !error; i++)
            error = fail_with_cause_spawn(group, NULL, i);
    }
    CHECK_EQ(error, -ERANGE);
    size_t size = anysync_error_format(anysync_last_error(), text, sizeof(text));
    CHECK_EQ(size, strlen(text));
    CHECK_CONTAINS(text, "the clean-up failed, too");
    CHECK_CONTAINS(text, "on top of: the block failed");
    CHECK_EQ(anysync_error_format(anysync_last_error(), NULL, 0), size);
}

static void check_sockets(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 20);
    int listening = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path + 1, 18, "covered-%d", (int)getpid()); /* an abstract name */
    CHECK_EQ(anysync_connect(client, (struct sockaddr *)&address, size, ANYSYNC_FOREVER),
            -ECONNREFUSED);
    CHECK_EQ(bind(listening, (struct sockaddr *)&address, size), 0);
    CHECK_EQ(listen(listening, 3), 0);
    CHECK_EQ(anysync_connect(client, (struct sockaddr *)&address, size, ANYSYNC_FOREVER), 0);
    int accepted = anysync_accept(listening, NULL, NULL, ANYSYNC_FOREVER);
    CHECK_GE(accepted, 0);
    close(accepted);
    close(listening);
    close(client);
    CHECK_EQ(anysync_wait_fd(-1, ANYSYNC_READABLE, ANYSYNC_FOREVER), -EBADF);
    CHECK_EQ(anysync_connect(-1, (struct sockaddr *)&address, size, ANYSYNC_FOREVER), -EBADF);
    CHECK_EQ(anysync_accept(-1, NULL, NULL, ANYSYNC_FOREVER), -EBADF);
    int plain = open("/dev/null", O_RDONLY);
    CHECK_EQ(anysync_accept(plain, NULL, NULL, ANYSYNC_FOREVER), -ENOTSOCK);
    close(plain);
}

TEST(sockets_that_need_no_waiting)
{
    in_worlds(PLAIN | HERE, check_sockets);
}

/* --- at the end ------------------------------------------------------------------------------- */

ANYSYNC_GENERATOR(int, stubborn, (struct anysync_future *, hears))
{
    int error = stubborn_yield(1), rest = 0;

    if (error != -ECANCELED)
        error = stubborn_yield(2);
    open_gate(hears);
    ANYSYNC_SHIELD(&rest, ANYSYNC_FOREVER)
    {
        rest = stubborn_yield(3);
    }
    return error;
}

/* Nobody takes the item that is there when its executor is cancelled. */
TEST(a_body_that_yields_on_after_its_cancel)
{
    struct anysync_executor *executor = NULL;
    struct anysync_future *hears = new_gate();
    stubborn_generator generator;
    int item = 0;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    struct anysync_generator_options options = {.executor = executor};
    CHECK_EQ(stubborn_open_with(&options, &generator, hears), 0);
    CHECK_EQ(stubborn_next(&generator, &item), 0);
    CHECK_EQ(item, 1);
    (void)!stubborn_next_until(&generator, &item, ANYSYNC_POLL); /* asks, and leaves */
    int error = anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_POLL, NULL);
    CHECK(error == 0 || error == -ETIMEDOUT);
    pass_gate(hears);
    stubborn_drop(&generator);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
    anysync_future_unref(hears);
}

struct left {
    struct anysync_group *group;
    struct anysync_future *opened, *gate;
};

ANYSYNC_COROUTINE(void, open_and_wait, (struct left *, left))
{
    CHECK_EQ(anysync_group_open(&left->group), 0);
    open_gate(left->opened);
    return anysync_future_wait(left->gate, ANYSYNC_FOREVER)
                   ? -ECANCELED
                   : anysync_group_close(left->group, 0, ANYSYNC_FOREVER);
}

static void spawn_late(void *argument, int index)
{
    struct left *left = argument;
    int n = index;

    pass_gate(left->opened);
    for (int i = 0; i < 100; i++) {
        int error = anysync_group_spawn(left->group, &add_one_function, &n, NULL);
        CHECK_EQ(error, 0);
    }
    open_gate(left->gate);
}

TEST(a_group_takes_children_from_elsewhere)
{
    struct left left = {.opened = new_gate(), .gate = new_gate()};
    struct test_threads *spawner = test_threads_start(1, spawn_late, &left);

    CHECK_EQ(open_and_wait_run_here(&left), 0);
    test_threads_join(spawner);
    anysync_future_unref(left.opened);
    anysync_future_unref(left.gate);
}
