/* SPDX-License-Identifier: MIT */
/*
 * Uses: descriptors, callbacks, a loop's base, processes.  (What a use is: uses.h.)
 */
#ifndef TEST_RELIABILITY_USES_DESCRIPTORS_H
#define TEST_RELIABILITY_USES_DESCRIPTORS_H

#include "uses_tasks.h"

/* --- descriptors ------------------------------------------------------------------------------ */

static void make_pipe(int fds[2])
{
    int status;

    OWN(status = refused_for_real ? pipe2(fds, O_CLOEXEC) : pipe(fds));
    if (status != 0)
        fds[0] = fds[1] = -1;
    for (int i = 0; i < 2; i++)
        door_watch(fds[i], true);
}

static void shut(int fd)
{
    if (fd < 0)
        return;
    door_watch(fd, false);
    close(fd);
}

ANYSYNC_COROUTINE(int, read_all, (int, fd))
{
    char bytes[2];
    ssize_t count = 0;

    begins();
    do {
        *result += (int)count;
        count = anysync_read(fd, bytes, sizeof(bytes), ANYSYNC_FOREVER);
    } while (count > 0);
    return ends(step_or((int)count, -ECANCELED));
}

static int read_and_write(const int fds[2], int *writer)
{
    read_all_future soon = {NULL};
    int bytes = -7, written = 0;
    int error = step(read_all_start(&soon, fds[0]));

    while (error == 0 && written < 5) {
        ssize_t count = anysync_write(*writer, "abcde", (size_t)(5 - written), ANYSYNC_FOREVER);
        if (count > 0)
            written += (int)count;
        else
            error = step((int)count);
    }
    shut(*writer); /* the end, for who reads */
    *writer = -1;
    if (soon.future) {
        surely_wait(soon.future);
        int status = step(read_all_wait(&soon, &bytes, ANYSYNC_POLL));
        CHECK_EQ(bytes, status ? -7 : written);
        error = either(error, status);
    }
    read_all_drop(&soon);
    return error;
}

static int use_pipe(void)
{
    int fds[2], error;

    make_pipe(fds);
    if (fds[0] < 0)
        return anysync_fail(-EMFILE, "no pipe");
    error = step_or(anysync_wait_fd(fds[0], ANYSYNC_READABLE, anysync_in_us(300)), -ETIMEDOUT);
    CHECK_NE(error, 0);
    if (error == -ETIMEDOUT)
        error = read_and_write(fds, &fds[1]);
    shut(fds[0]);
    shut(fds[1]);
    return error;
}

ANYSYNC_COROUTINE(void, greet, (int, listener))
{
    char byte = 'x';

    begins();
    int fd = anysync_accept(listener, NULL, NULL, ANYSYNC_FOREVER);
    int error = fd < 0 ? step_or(fd, -ECANCELED) : 0;
    if (fd >= 0) {
        door_watch(fd, true);
        ssize_t count = anysync_write(fd, &byte, 1, ANYSYNC_FOREVER);
        error = count < 0 ? step_or((int)count, -ECANCELED) : 0;
        shut(fd);
    }
    return ends(error);
}

static int listen_somewhere(struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *address = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    if (fd < 0)
        return fd;
    CHECK_EQ(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)address, &size), 0);
    CHECK_EQ(listen(fd, 8), 0);
    door_watch(fd, true);
    return fd;
}

/* Connect FD to ADDRESS and read what the greeter says, if it does. */
static int visit(int fd, const struct sockaddr_in *address, struct anysync_future *greeter)
{
    char byte = 0;
    int error = step(anysync_connect(
            fd, (const struct sockaddr *)address, sizeof(*address), ANYSYNC_FOREVER));

    while (error == 0) {
        bool over = anysync_future_done(greeter);
        ssize_t count = anysync_read(fd, &byte, 1, anysync_in_ms(2));
        if (count >= 0) {
            CHECK_EQ(byte, count == 1 ? 'x' : 0);
            return 0;
        }
        error = step_or((int)count, -ETIMEDOUT);
        if (error == -ETIMEDOUT && !over)
            error = 0;
    }
    return error == -ETIMEDOUT ? 0 : error;
}

static int greet_visitor(int listener, int fd, const struct sockaddr_in *address)
{
    greet_future soon = {NULL};
    int error = step(greet_start(&soon, listener));

    if (error == 0)
        error = visit(fd, address, soon.future);
    if (soon.future) {
        if (error)
            (void)anysync_cancel(soon.future);
        surely_wait(soon.future);
        int status = step_or(greet_wait(&soon, ANYSYNC_POLL), -ECANCELED);
        CHECK(error || status != -ECANCELED);
        error = either(error, status);
    }
    greet_drop(&soon);
    return error;
}

static int use_sockets(void)
{
    struct sockaddr_in address;
    int listener = listen_somewhere(&address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = -EMFILE;

    door_watch(fd, true);
    if (listener < 0 || fd < 0)
        error = anysync_fail(error, "no socket");
    else
        error = greet_visitor(listener, fd, &address);
    shut(fd);
    shut(listener);
    return error;
}

/* --- callbacks, the base, processes ----------------------------------------------------------- */

static void open_it(struct anysync_future *future, void *gate)
{
    (void)future;
    CHECK_EQ(anysync_future_set(gate, NULL), 0);
}

/* Have GATE opened when FUTURE is done. */
static int hang_on(struct anysync_future *future, struct anysync_future *gate)
{
    return future ? step(anysync_future_on_done(future, open_it, gate)) : 0;
}

static int use_callbacks(void)
{
    struct anysync_future *timer = NULL, *hand = NULL;
    struct anysync_future *gates[2] = {NULL, NULL};
    int error, hung[2] = {-1, -1};

    gates[0] = some_gate(&error);
    if (error == 0)
        gates[1] = some_gate(&error);
    if (error == 0)
        hand = some_gate(&error);
    if (error == 0)
        error = step(anysync_future_at(anysync_in_us(200), &timer));
    if (error == 0)
        error = hung[0] = hang_on(timer, gates[0]);
    if (error == 0)
        error = hung[1] = hang_on(hand, gates[1]);
    if (hand)
        CHECK_EQ(anysync_cancel(hand), 0);
    if (timer && error)
        (void)anysync_cancel(timer);
    for (int i = 0; i < 2; i++) {
        if (hung[i] == 0)
            surely_wait(gates[i]);
        anysync_future_unref(gates[i]);
    }
    anysync_future_unref(timer);
    anysync_future_unref(hand);
    return error;
}

static void on_event(evutil_socket_t fd, short events, void *gate)
{
    (void)fd;
    (void)events;
    CHECK_EQ(anysync_future_set(gate, NULL), 0);
}

static int use_base(void)
{
    const struct timeval soon = {0, 100};
    int error;
    struct anysync_future *gate = some_gate(&error);
    struct event_base *base = error ? NULL : anysync_event_base();

    if (error == 0 && !base)
        error = step(anysync_last_error()->code);
    /* Not event_base_once(): where it has no memory libevent 2.1.12 keeps the base locked. */
    struct event *event = base ? event_new(base, -1, 0, on_event, gate) : NULL;
    if (error == 0 && (!event || event_add(event, &soon) != 0))
        error = anysync_fail(-ENOMEM, "libevent has no memory for an event");
    if (error == 0)
        surely_wait(gate);
    if (event)
        event_free(event);
    anysync_future_unref(gate);
    return error;
}

static int use_process(void)
{
    char *arguments[] = {(char *)(intptr_t) "true", NULL};
    int pid = -1, status = -1;
    int error = step(anysync_process_start("/bin/true", arguments, &pid));

    CHECK_EQ(pid == -1, error != 0);
    if (error == 0) {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        CHECK(status == 0 || refused_for_real); /* it has the same limits */
    }
    return error;
}

#endif
