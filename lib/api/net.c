/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* IPV6_V6ONLY, SOCK_CLOEXEC */
/*
 * Sockets by their address.
 *
 * A server is a group of handlers and a semaphore with a count for each that may run.  The count is
 * taken before the accept, so that a connection which there is no room for stays in the system's
 * queue.  A connection's descriptor is the server's until its handler begins: the record is on the
 * list, and what is still there when the group has ended, as its task never began, is closed.
 */
#include <anysync/net.h>

#include "api/address.h"
#include "api/io.h"
#include "base/list.h"
#include "base/memory.h"
#include "sched/error.h"
#include "thread/lock.h"

#include <anysync/event.h>
#include <anysync/group.h>
#include <anysync/io.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(ASI_ADDRESS_TEXT <= ANYSYNC_ADDRESS_SIZE, "an address is longer than its room");

static int fail(int error, const char *call, const char *address)
{
    return asi_call_fails(error, "%s(\"%.150s\"): %s", call, address, anysync_error_text(error));
}

/* A socket that is closed by exec() and does not block; or the error. */
static int new_socket(int family, int type)
{
#if defined(__linux__)
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
    int fd = socket(family, type, 0);
    if (fd >= 0) {
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    }
#endif
    if (fd < 0)
        return -errno;
    asi_io_forget(fd);
    return fd;
}

static void close_socket(int fd)
{
    asi_io_forget(fd);
    close(fd);
}

static void send_at_once(int fd)
{
    const int one = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* not TCP: it fails */
}

/* --- listen, bind, dial ----------------------------------------------------------------------- */

/* Whether the file of a Unix socket at ADDRESS, which is there, is of one that nobody has any more:
 * then it is removed. */
static bool remove_dead(const struct asi_address *address, int type)
{
    const struct sockaddr_un *own = (const void *)&address->storage;
    struct stat status;

    if (address->storage.ss_family != AF_UNIX || own->sun_path[0] == '\0')
        return false;
    if (lstat(own->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return false; /* a connect() to any other file is refused in the same way */
    int fd = new_socket(AF_UNIX, type);
    if (fd < 0)
        return false;
    bool dead =
            connect(fd, asi_address_pointer(address), address->size) != 0 && errno == ECONNREFUSED;
    close_socket(fd);
    return dead && unlink(own->sun_path) == 0;
}

static int bind_socket(int fd, int type, const struct asi_address *address)
{
    const int one = 1;
    int family = address->storage.ss_family;

    if (type == SOCK_STREAM && family != AF_UNIX)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    int error = bind(fd, asi_address_pointer(address), address->size) == 0 ? 0 : -errno;
    if (error == -EADDRINUSE && remove_dead(address, type))
        error = bind(fd, asi_address_pointer(address), address->size) == 0 ? 0 : -errno;
    return error;
}

static int open_bound(const char *call, const char *text, int type, int backlog, int *ret_fd)
{
    struct asi_address address;
    int error = asi_address_parse(call, text, &address);

    if (error)
        return error;
    int fd = new_socket(address.storage.ss_family, type);
    if (fd < 0)
        return fail(fd, call, text);
    error = bind_socket(fd, type, &address);
    if (!error && type == SOCK_STREAM && listen(fd, backlog > 0 ? backlog : SOMAXCONN) != 0)
        error = -errno;
    if (error) {
        close_socket(fd);
        return fail(error, call, text);
    }
    *ret_fd = fd;
    return 0;
}

int anysync_listen(const char *address, int backlog, int *ret_fd)
{
    return open_bound("anysync_listen", address, SOCK_STREAM, backlog, ret_fd);
}

int anysync_bind(const char *address, int *ret_fd)
{
    return open_bound("anysync_bind", address, SOCK_DGRAM, 0, ret_fd);
}

int anysync_dial(const char *text, int *ret_fd, anysync_time deadline)
{
    struct asi_address address;
    int error = asi_address_parse("anysync_dial", text, &address);

    if (error)
        return error;
    int fd = new_socket(address.storage.ss_family, SOCK_STREAM);
    if (fd < 0)
        return fail(fd, "anysync_dial", text);
    do { /* -EAGAIN: the backlog of a Unix socket is full, and it cannot be waited for */
        error = anysync_connect(fd, asi_address_pointer(&address), address.size, deadline);
    } while (error == -EAGAIN && address.storage.ss_family == AF_UNIX &&
             (error = asi_io_pause(deadline)) == 0);
    if (error) {
        close_socket(fd);
        return fail(error, "anysync_dial", text);
    }
    send_at_once(fd);
    *ret_fd = fd;
    return 0;
}

static int address_of(const char *call, int fd, bool own, char *ret_text)
{
    struct asi_address address;
    int error = asi_address_of(fd, own, &address);

    if (error)
        return asi_call_fails(
                error, "%s() of descriptor %d: %s", call, fd, anysync_error_text(error));
    asi_address_format(&address, ret_text);
    return 0;
}

int anysync_local_address(int fd, char *ret_text)
{
    return address_of("anysync_local_address", fd, true, ret_text);
}

int anysync_peer_address(int fd, char *ret_text)
{
    return address_of("anysync_peer_address", fd, false, ret_text);
}

/* --- serve ------------------------------------------------------------------------------------ */

struct server {
    int fd;
    anysync_serve_fn *handler;
    void *argument;
    struct anysync_group *group;
    struct anysync_semaphore *room; /* owned */
    struct asi_lock lock;
    struct asi_list waiting; /* [lock] connections whose handlers have not begun */
};

struct connection {
    struct asi_list list;
    struct server *server;
    int fd; /* owned */
};

/* The handler fails: nobody else would hear of it. */
static void report(int status)
{
    struct asi_slot slot = asi_slot();
    struct asi_error *error =
            *slot.code == status && *slot.error ? asi_error_ref(*slot.error) : NULL;

    if (!error)
        error = asi_error_new(status, ANYSYNC_ORIGIN_TASK, NULL);
    asi_error_report("a connection's handler", __FILE__, __LINE__, status, error);
    asi_error_unref(error);
}

/* CONNECTION (consumed) does not wait for its handler any more. */
static void forget(struct connection *connection)
{
    struct server *server = connection->server;

    asi_lock_take(&server->lock);
    asi_list_remove(&connection->list);
    asi_lock_give(&server->lock);
    asi_free(connection);
}

static int handle(void *argument, void *result)
{
    struct connection *connection = *(struct connection **)argument;
    struct server *server = connection->server;
    int fd = connection->fd;

    (void)result;
    forget(connection);
    int status = server->handler(fd, server->argument);
    if (status < 0 && status != -ECANCELED)
        report(status);
    anysync_semaphore_post(server->room, 1);
    return 0;
}

static const struct anysync_function handle_function =
        ANYSYNC_FUNCTION(anysync_serve, handle, sizeof(struct connection *), 0);

/* Start the handler of FD (consumed). */
static int start_handler(struct server *server, int fd)
{
    struct connection *connection = asi_allocate(sizeof(*connection));

    if (!connection) {
        close_socket(fd);
        return asi_call_fails(-ENOMEM, "no memory for a connection");
    }
    connection->server = server;
    connection->fd = fd;
    asi_lock_take(&server->lock);
    asi_list_add(&server->waiting, &connection->list);
    asi_lock_give(&server->lock);
    int error = anysync_group_spawn(server->group, &handle_function, &connection, NULL);
    if (error) {
        forget(connection);
        close_socket(fd);
    }
    return error;
}

/* Whether ERROR is of a time that passes: RET_PAUSE, after a while. */
static bool passes(int error, bool *ret_pause)
{
    *ret_pause = true;
    switch (-error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EAGAIN:
        return true;
    case ECONNABORTED: /* what befell one connection before it was accepted: the next may be well */
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EPERM:
        *ret_pause = false;
        return true;
    default:
        return false;
    }
}

/* Accept one connection, with a count of `room` taken.  RET_PAUSE: what failed was only put off. */
static int accept_one(struct server *server, bool *ret_pause, anysync_time deadline)
{
    int fd = anysync_accept(server->fd, NULL, NULL, deadline);
    int error = fd < 0 ? fd : 0;

    if (!error) {
        send_at_once(fd);
        error = start_handler(server, fd);
    }
    if (!error)
        return 0;
    anysync_semaphore_post(server->room, 1);
    return passes(error, ret_pause) ? 0 : error;
}

static int accept_all(struct server *server, anysync_time deadline)
{
    for (;;) {
        bool pause = false;
        int error = anysync_semaphore_wait(server->room, deadline);
        if (!error)
            error = accept_one(server, &pause, deadline);
        if (!error && pause)
            error = asi_io_pause(deadline);
        if (error == -ETIMEDOUT)
            return asi_call_fails(error, "anysync_serve() on descriptor %d: %s", server->fd,
                    anysync_error_text(error));
        if (error)
            return error;
    }
}

/* All tasks have ended: these never began. */
static void close_waiting(struct server *server)
{
    while (!asi_list_is_empty(&server->waiting)) {
        struct connection *connection =
                asi_container_of(server->waiting.next, struct connection, list);
        asi_list_remove(&connection->list);
        close_socket(connection->fd);
        asi_free(connection);
    }
}

int anysync_serve(
        int fd, size_t most, anysync_serve_fn *handler, void *argument, anysync_time deadline)
{
    struct server server = {
            .fd = fd, .handler = handler, .argument = argument, .lock = ASI_LOCK_INIT};

    if (most == 0)
        return asi_call_fails(-EINVAL, "anysync_serve() has to have room for a connection");
    asi_list_init(&server.waiting);
    int error = anysync_semaphore_new(most, &server.room);
    if (error)
        return error;
    error = anysync_group_open(&server.group);
    if (!error) {
        error = anysync_group_close(server.group, accept_all(&server, deadline), ANYSYNC_FOREVER);
        close_waiting(&server);
    }
    anysync_semaphore_unref(server.room);
    return error;
}
