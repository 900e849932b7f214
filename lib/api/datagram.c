/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* struct msghdr, MSG_CMSG_CLOEXEC */
/*
 * Messages: datagrams, and descriptors between processes.
 *
 * Each is one call of the system, tried in a way that cannot block; only if it would have to wait
 * does the caller wait until the socket is ready.  So a message is sent or received as a whole, or
 * not at all.  Descriptors arrive in the process with the call that receives them: all that came
 * are closed before an error is returned.
 */
#include "api/address.h"
#include "api/io.h"
#include "sched/error.h"

#include <anysync/io.h>
#include <anysync/net.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif

static int fail(int error, const char *call, int fd)
{
    return asi_call_fails(error, "%s() on descriptor %d: %s", call, fd,
            error == -EDEADLK ? "a callback of the loop cannot wait: spawn a coroutine that does"
                              : anysync_error_text(error));
}

/* After a trial failed: 0, try again; else why not. */
static int after_failure(int fd, unsigned events, anysync_time deadline)
{
    int error = errno;

    if (error == EINTR)
        return 0;
    if (error != EAGAIN && error != EWOULDBLOCK)
        return -error;
    int ready = anysync_wait_fd(fd, events, deadline);
    return ready < 0 ? ready : 0;
}

/* Whether what was just tried failed as the queue of the Unix socket that MESSAGE names is full: FD
 * itself, which is not connected to it, is ready all the same. */
static bool other_is_full(const struct msghdr *message)
{
    const struct sockaddr *to = message->msg_name;

    return (errno == EAGAIN || errno == EWOULDBLOCK) && to && to->sa_family == AF_UNIX;
}

/* Returns how many bytes were sent, or an error without sentence of its own. */
static ssize_t send_message(int fd, const struct msghdr *message, anysync_time deadline)
{
    for (;;) {
        ssize_t count = sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count >= 0)
            return count;
        bool pauses = other_is_full(message);
        int error = after_failure(fd, ANYSYNC_WRITABLE, deadline);
        if (!error && pauses)
            error = asi_io_pause(deadline);
        if (error)
            return error;
    }
}

static ssize_t receive_message(int fd, struct msghdr *message, anysync_time deadline)
{
    const struct msghdr asked = *message;

    for (;;) {
        ssize_t count = recvmsg(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (count >= 0)
            return count;
        int error = after_failure(fd, ANYSYNC_READABLE, deadline);
        if (error)
            return error;
        *message = asked;
    }
}

/* --- datagrams -------------------------------------------------------------------------------- */

int anysync_send_to(
        int fd, const void *data, size_t size, const char *address, anysync_time deadline)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    struct asi_address to;

    if (address) {
        int error = asi_address_parse("anysync_send_to", address, &to);
        if (error)
            return error;
        message.msg_name = &to.storage;
        message.msg_namelen = to.size;
    }
    ssize_t sent = send_message(fd, &message, deadline);
    return sent < 0 ? fail((int)sent, "anysync_send_to", fd) : 0;
}

ssize_t anysync_receive_from(
        int fd, void *buffer, size_t size, char *ret_from, anysync_time deadline)
{
    struct iovec piece = {.iov_base = buffer, .iov_len = size};
    struct asi_address from;
    struct msghdr message = {.msg_iov = &piece,
            .msg_iovlen = 1,
            .msg_name = &from.storage,
            .msg_namelen = sizeof(from.storage)};
    ssize_t count = receive_message(fd, &message, deadline);

    if (count < 0)
        return fail((int)count, "anysync_receive_from", fd);
    if (message.msg_flags & MSG_TRUNC)
        return asi_call_fails(-EMSGSIZE,
                "anysync_receive_from() on descriptor %d: the datagram is longer than %zu bytes, "
                "and lost",
                fd, size);
    from.size = message.msg_namelen;
    if (ret_from)
        asi_address_format(&from, ret_from);
    return count;
}

/* --- descriptors ------------------------------------------------------------------------------ */

/* Aligned for a header, with room for one descriptor; the padding may have room for one more. */
union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

int anysync_send_descriptor(int fd, int descriptor, anysync_time deadline)
{
    char byte = 0;
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    union control control;
    struct msghdr message = {.msg_iov = &piece,
            .msg_iovlen = 1,
            .msg_control = &control,
            .msg_controllen = sizeof(control.room)};

    memset(&control, 0, sizeof(control));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    ssize_t sent = send_message(fd, &message, deadline);
    return sent < 0 ? fail((int)sent, "anysync_send_descriptor", fd) : 0;
}

/* The descriptors of MESSAGE: the first goes to RET_FIRST, the others are closed.  Returns how many
 * there were. */
static int take_descriptors(struct msghdr *message, int *ret_first)
{
    int count = 0;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
            header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t bytes = (size_t)header->cmsg_len - CMSG_LEN(0);
        for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
            int got;
            memcpy(&got, CMSG_DATA(header) + at, sizeof(int));
            asi_io_forget(got);
            if (count++ == 0)
                *ret_first = got;
            else
                close(got);
        }
    }
    return count;
}

int anysync_receive_descriptor(int fd, int *ret_descriptor, anysync_time deadline)
{
    char byte;
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    union control control;
    struct msghdr message = {.msg_iov = &piece,
            .msg_iovlen = 1,
            .msg_control = &control,
            .msg_controllen = sizeof(control.room)};
    int got = -1;
    ssize_t size = receive_message(fd, &message, deadline);

    if (size < 0)
        return fail((int)size, "anysync_receive_descriptor", fd);
    int count = take_descriptors(&message, &got);
    if (count == 0 && size == 0)
        return ANYSYNC_DONE;
    if (count != 1 || size != 1 || (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC))) {
        if (count > 0)
            close(got);
        return asi_call_fails(-EPROTO,
                "anysync_receive_descriptor() on descriptor %d: what came is not one byte with one "
                "descriptor",
                fd);
    }
    if (!MSG_CMSG_CLOEXEC)
        (void)fcntl(got, F_SETFD, FD_CLOEXEC);
    *ret_descriptor = got;
    return 0;
}
