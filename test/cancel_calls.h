/* SPDX-License-Identifier: MIT */
/*
 * Calls to be cut at each of their suspension points (cancel_points.h): those of objects that
 * threads and coroutines share, of input and output, and of the system.
 *
 * A call whose object is for one user alone has one of its own, and a helper: a child that does the
 * other side's part as soon as the scene is fed, and is cancelled if the call was.
 *
 * getaddrinfo() is this program's: a name takes a moment, and nothing that an abandoned job would
 * still hold is open meanwhile.
 */
#ifndef TEST_CANCEL_CALLS_H
#define TEST_CANCEL_CALLS_H

#include "cancel_points.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

static inline int one_byte(ssize_t count)
{
    CHECK(count < 0 || count == 1);
    return count < 0 ? (int)count : 0;
}

/* Wait until HELPER, a task of this loop (consumed), has ended, and return how. */
static inline int end_helper(struct anysync_future *helper)
{
    struct anysync_scope shield;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    int error = anysync_wait(helper, NULL, ANYSYNC_FOREVER);
    anysync_scope_exit(&shield, 0);
    anysync_future_unref(helper);
    return error;
}

/* --- objects that threads and coroutines share ------------------------------------------------ */

static int in_mutex(struct point_scene *scene)
{
    int error = anysync_mutex_lock(scene->mutex, ANYSYNC_FOREVER);

    if (error)
        return error;
    error = anysync_yield(); /* with the mutex */
    anysync_mutex_unlock(scene->mutex);
    return error;
}

static int in_condition(struct point_scene *scene)
{
    int error = anysync_mutex_lock(scene->inner, ANYSYNC_FOREVER);

    if (error)
        return error;
    while (!error && !scene->told)
        error = anysync_condition_wait(scene->condition, scene->inner, ANYSYNC_FOREVER);
    anysync_mutex_unlock(scene->inner); /* also when it was cut: it has it */
    return error;
}

static int in_event(struct point_scene *scene)
{
    return anysync_event_wait(scene->event, ANYSYNC_FOREVER);
}

static int in_semaphore(struct point_scene *scene)
{
    return anysync_semaphore_wait(scene->semaphore, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(
        void, arrives, (struct anysync_future *, future), (struct anysync_barrier *, barrier))
{
    int error = anysync_future_wait(future, ANYSYNC_FOREVER);

    if (!error)
        error = anysync_barrier_wait(barrier, ANYSYNC_FOREVER);
    return error < 0 ? error : 0;
}

static int in_barrier(struct point_scene *scene)
{
    struct anysync_barrier *barrier = NULL;
    arrives_future helper;

    CHECK_EQ(anysync_barrier_new(2, &barrier), 0);
    CHECK_EQ(arrives_start(&helper, scene->future, barrier), 0);
    int error = anysync_barrier_wait(barrier, ANYSYNC_FOREVER);
    if (error < 0)
        arrives_cancel(&helper);
    CHECK_EQ(end_helper(helper.future), error < 0 ? -ECANCELED : 0);
    anysync_barrier_unref(barrier);
    return error < 0 ? error : 0;
}

/* Who is cut in it leaves it to the other caller. */
static int in_once(struct point_scene *scene)
{
    return anysync_once_run(&scene->untried, pass_once, scene->future, ANYSYNC_FOREVER);
}

static int in_once_by_another(struct point_scene *scene)
{
    return anysync_once_run(&scene->once, pass_once, scene->future, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(
        void, sends_later, (struct anysync_future *, future), (struct anysync_channel *, channel))
{
    int item = 7, error = anysync_future_wait(future, ANYSYNC_FOREVER);

    return error ? error : anysync_channel_send(channel, &item, ANYSYNC_FOREVER);
}

static int in_select(struct point_scene *scene)
{
    struct anysync_channel *mine = NULL;
    int item = 0, other = 5;
    size_t index = 9;
    sends_later_future helper;

    CHECK_EQ(anysync_channel_new(0, sizeof(int), &mine), 0);
    struct anysync_choice choices[] = {{scene->channel, &other, NULL}, {mine, NULL, &item}};
    CHECK_EQ(sends_later_start(&helper, scene->future, mine), 0);
    int error = anysync_select(choices, 2, ANYSYNC_FOREVER, &index); /* nobody receives the other */
    CHECK_EQ(item, error ? 0 : 7);
    CHECK_EQ(index, error ? 9 : 1);
    if (error)
        sends_later_cancel(&helper);
    CHECK_EQ(end_helper(helper.future), error ? -ECANCELED : 0);
    anysync_channel_unref(mine);
    return error;
}

static int add_here(void *sum)
{
    ++*(int *)sum;
    return 0;
}

static int in_port_call(struct point_scene *scene)
{
    int sum = 0, error = anysync_port_call(scene->port, add_here, &sum, ANYSYNC_FOREVER);

    CHECK_EQ(sum, error ? 0 : 1);
    return error;
}

/* --- input and output ------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, writes_line, (struct anysync_future *, future), (int, fd))
{
    int error = anysync_future_wait(future, ANYSYNC_FOREVER);

    if (!error)
        error = anysync_write_all(fd, "hel", 3, NULL, ANYSYNC_FOREVER);
    if (!error)
        error = anysync_yield();
    if (!error)
        error = anysync_write_all(fd, "lo\n", 3, NULL, ANYSYNC_FOREVER);
    close(fd);
    return error == -EPIPE ? 0 : error; /* nobody reads any more */
}

static int in_stream_read(struct point_scene *scene)
{
    struct anysync_stream *stream = NULL;
    char *line = NULL;
    size_t size = 0;
    int pair[2];
    writes_line_future helper;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(anysync_stream_open(pair[0], &stream), 0);
    CHECK_EQ(writes_line_start(&helper, scene->future, pair[1]), 0);
    int error = anysync_stream_read_until(stream, "\n", 1, 9, &line, &size, ANYSYNC_FOREVER);
    CHECK_EQ(size, error ? 0 : 5);
    CHECK(error || strcmp(line, "hello") == 0);
    int closed = anysync_stream_close(stream, ANYSYNC_POLL);
    CHECK_EQ(closed, 0); /* there is nothing to send: also when it was cancelled */
    CHECK_EQ(end_helper(helper.future), 0);
    return error;
}

ANYSYNC_COROUTINE(void, reads_all, (struct anysync_future *, future), (int, fd))
{
    char bytes[4096];
    ssize_t count = anysync_future_wait(future, ANYSYNC_FOREVER);

    while (count == 0 && (count = anysync_read(fd, bytes, sizeof(bytes), ANYSYNC_FOREVER)) > 0)
        count = 0;
    close(fd);
    return (int)count;
}

static int in_stream_flush(struct point_scene *scene)
{
    static const char load[400 * 1000];
    struct anysync_stream *stream = NULL;
    int pair[2];
    reads_all_future helper;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(anysync_stream_open(pair[0], &stream), 0);
    CHECK_EQ(reads_all_start(&helper, scene->future, pair[1]), 0);
    CHECK_EQ(anysync_stream_write(stream, load, sizeof(load), ANYSYNC_POLL), 0);
    int error = anysync_stream_flush(stream, ANYSYNC_FOREVER);
    CHECK_EQ(anysync_stream_unsent(stream) > 0, error != 0);
    int closed = anysync_stream_close(stream, ANYSYNC_POLL); /* the helper finds the end */
    CHECK(closed == 0 || error);
    CHECK_EQ(end_helper(helper.future), 0);
    return error;
}

static int in_dial(struct point_scene *scene)
{
    char address[ANYSYNC_ADDRESS_SIZE];
    int fd = -1;

    CHECK_EQ(anysync_local_address(scene->listener, address), 0);
    int error = anysync_dial(address, &fd, ANYSYNC_FOREVER);
    CHECK_EQ(fd >= 0, error == 0);
    if (!error)
        close(fd);
    return error;
}

ANYSYNC_COROUTINE(void, accepts_one, (struct anysync_future *, future), (int, listener))
{
    int error = anysync_future_wait(future, ANYSYNC_FOREVER);
    int fd = error ? error : anysync_accept(listener, NULL, NULL, ANYSYNC_FOREVER);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

/* The queue of a Unix socket that listens is full until one is accepted. */
static int in_dial_full(struct point_scene *scene)
{
    static atomic_int number;
    char address[60];
    int listener = -1, fds[8], count = 0, fd = -1;
    accepts_one_future helper;

    snprintf(address, sizeof(address), "unix:@anysync-points-%d-%d", (int)getpid(),
            atomic_fetch_add(&number, 1));
    CHECK_EQ(anysync_listen(address, 1, &listener), 0);
    while (anysync_dial(address, &fd, ANYSYNC_POLL) == 0) {
        CHECK_GE(7, count);
        fds[count++] = fd;
    }
    CHECK_EQ(accepts_one_start(&helper, scene->future, listener), 0);
    int error = anysync_dial(address, &fd, ANYSYNC_FOREVER);
    if (!error)
        close(fd);
    while (count > 0)
        close(fds[--count]);
    CHECK_EQ(end_helper(helper.future), 0);
    close(listener);
    return error;
}

static int in_receive(struct point_scene *scene)
{
    char byte;

    return one_byte(anysync_receive_from(scene->datagrams[0], &byte, 1, NULL, ANYSYNC_FOREVER));
}

ANYSYNC_COROUTINE(void, sends_descriptor, (struct anysync_future *, future), (int, fd))
{
    int error = anysync_future_wait(future, ANYSYNC_FOREVER);

    if (!error)
        error = anysync_send_descriptor(fd, fd, ANYSYNC_FOREVER);
    close(fd);
    return error == -EPIPE ? 0 : error;
}

static int in_receive_descriptor(struct point_scene *scene)
{
    int pair[2], got = -1;
    sends_descriptor_future helper;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(sends_descriptor_start(&helper, scene->future, pair[1]), 0);
    int error = anysync_receive_descriptor(pair[0], &got, ANYSYNC_FOREVER);
    CHECK_EQ(got >= 0, error == 0);
    if (!error)
        close(got);
    close(pair[0]);
    CHECK_EQ(end_helper(helper.future), 0);
    return error;
}

/* --- the system ------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, closes_later, (struct anysync_future *, future), (int, fd))
{
    int error = anysync_future_wait(future, ANYSYNC_FOREVER);

    close(fd);
    return error;
}

/* The child ends when its input does; a cancel leaves it alone. */
static int in_process(struct point_scene *scene)
{
    static char *const arguments[] = {"cat", NULL};
    const struct anysync_process_options options = {
            .input.kind = ANYSYNC_STDIO_PIPE, .output.kind = ANYSYNC_STDIO_NULL};
    struct anysync_process *process = NULL;
    struct anysync_ending ending = {.status = 99};
    struct anysync_scope shield;
    closes_later_future helper;

    CHECK_EQ(anysync_process_new("cat", arguments, &options, &process), 0);
    int input = anysync_process_take_pipe(process, 0);
    CHECK_EQ(closes_later_start(&helper, scene->future, input), 0);
    int error = anysync_process_wait(process, ANYSYNC_FOREVER, &ending);
    CHECK_EQ(ending.status, error ? 99 : 0);
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    int ended = anysync_process_wait(process, ANYSYNC_FOREVER, NULL);
    CHECK_EQ(ended, 0);
    anysync_scope_exit(&shield, 0);
    CHECK_EQ(end_helper(helper.future), 0);
    anysync_process_unref(process);
    return error;
}

/* A cancel kills the child, and waits for its end. */
static int in_command(struct point_scene *scene)
{
    static char *const arguments[] = {"cat", NULL};
    const struct anysync_command_options options = {.input = "hello", .input_size = 5};
    struct anysync_command_result result;
    int error = anysync_future_wait(scene->future, ANYSYNC_FOREVER);

    if (!error)
        error = anysync_command_run(arguments, &options, ANYSYNC_FOREVER, &result);
    if (error)
        return error;
    CHECK_STR(result.output, "hello");
    anysync_command_clear(&result);
    return 0;
}

/* Here and now: the library's threads block all signals. */
static void raise_here(int number)
{
    sigset_t set, before;

    sigemptyset(&set);
    sigaddset(&set, number);
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, &before), 0);
    CHECK_EQ(raise(number), 0);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

ANYSYNC_COROUTINE(void, raises_later, (struct anysync_future *, future))
{
    int error = anysync_future_wait(future, ANYSYNC_FOREVER);

    raise_here(SIGUSR1); /* in any case: it is in somebody's set */
    return error;
}

static int in_signal(struct point_scene *scene)
{
    struct anysync_signals *signals = NULL;
    struct anysync_signal got = {.number = 0};
    struct anysync_scope shield;
    raises_later_future helper;

    CHECK_EQ(anysync_signals_open(&(int){SIGUSR1}, 1, &signals), 0);
    CHECK_EQ(raises_later_start(&helper, scene->future), 0);
    int error = anysync_signal_wait(signals, ANYSYNC_FOREVER, &got);
    CHECK_EQ(got.number, error ? 0 : SIGUSR1);
    CHECK_EQ(end_helper(helper.future), 0);
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    int later = error ? anysync_signal_wait(signals, ANYSYNC_POLL, &got) : 0;
    CHECK_EQ(later, 0); /* nothing was lost */
    anysync_scope_exit(&shield, 0);
    anysync_signals_close(signals);
    return error;
}

/* An address of this machine; SERVICE is its port. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
        struct addrinfo **found)
{
    struct {
        struct addrinfo info;
        struct sockaddr_in address;
    } * one;

    (void)host;
    if (hints->ai_flags & AI_NUMERICHOST)
        return EAI_NONAME;
    nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    one = calloc(1, sizeof(*one));
    CHECK(one != NULL);
    one->info = (struct addrinfo){.ai_family = AF_INET,
            .ai_socktype = SOCK_STREAM,
            .ai_addr = (struct sockaddr *)&one->address,
            .ai_addrlen = sizeof(one->address)};
    one->address = (struct sockaddr_in){.sin_family = AF_INET,
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
            .sin_port = htons((in_port_t)atoi(service))};
    *found = &one->info;
    return 0;
}

void freeaddrinfo(struct addrinfo *found)
{
    free(found);
}

static int in_resolve(struct point_scene *scene)
{
    struct anysync_addresses *addresses = NULL;

    (void)scene;
    int error = anysync_resolve("here.test", "80", NULL, ANYSYNC_FOREVER, &addresses);
    CHECK_EQ(addresses != NULL, error == 0);
    anysync_free(addresses);
    return error;
}

static int in_dial_name(struct point_scene *scene)
{
    char port[10];
    int fd = -1;

    snprintf(port, sizeof(port), "%d", ntohs(scene->address.sin_port));
    int error = anysync_dial_name("here.test", port, ANYSYNC_FOREVER, &fd);
    CHECK_EQ(fd >= 0, error == 0);
    if (!error)
        close(fd);
    return error;
}

static int in_file_read(struct point_scene *scene)
{
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    char byte = 'x';

    (void)scene;
    int error = one_byte(anysync_file_read(fd, &byte, 1, 0, ANYSYNC_FOREVER));
    close(fd);
    return error;
}

/* Which no cancel ends. */
static int in_file_close(struct point_scene *scene)
{
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    (void)scene;
    CHECK_EQ(anysync_file_close(fd), 0);
    return 0;
}

#endif
