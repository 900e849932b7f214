/* SPDX-License-Identifier: MIT */
/*
 * Doorbell.  (What it promises: doorbell.h.)
 *
 * ORDERING
 *   D1  ring, load of target     relaxed  a needed ring follows a push that replaced PARKED; that
 *       push acquired what the loop stored before it parked (mailbox.c M1, M6), D2 included.
 *   D2  use_*, store of target   relaxed  published by the park that follows.
 *   D3  ring, add to rings       release  see Order in the header; pairs with D4.
 *   D4  ticket and after sleep   acquire
 */
#define _GNU_SOURCE /* pipe2() */
#include "thread/doorbell.h"

#include "base/memory.h"
#include "thread/futex.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/eventfd.h>
#endif

void asi_doorbell_init(struct asi_doorbell *bell)
{
    asi_store(&bell->target, -1, relaxed); /* D2 */
    asi_store(&bell->rings, 0, relaxed);   /* before it is shared */
    bell->read_fd = -1;
    bell->write_fd = -1;
}

void asi_doorbell_ring(struct asi_doorbell *bell)
{
    int fd = asi_load(&bell->target, relaxed); /* D1 */

    if (fd < 0) {
        asi_add(&bell->rings, 1, release); /* D3 */
        asi_futex_wake(&bell->rings);
        return;
    }
    int saved = errno;
    uint64_t one = 1;
    /* A full pipe or counter has woken the loop already. */
    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    errno = saved;
}

uint32_t asi_doorbell_ticket(struct asi_doorbell *bell)
{
    return asi_load(&bell->rings, acquire); /* D4 */
}

bool asi_doorbell_sleep(struct asi_doorbell *bell, uint32_t ticket, anysync_time deadline)
{
    return asi_futex_wait(&bell->rings, ticket, deadline);
}

static int make_descriptors(struct asi_doorbell *bell)
{
    if (asi_fault("eventfd"))
        return -EMFILE;
#if defined(__linux__)
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    bell->read_fd = fd;
    bell->write_fd = fd;
#else
    int fds[2];
    if (pipe(fds) != 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        (void)fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    bell->read_fd = fds[0];
    bell->write_fd = fds[1];
#endif
    return 0;
}

int asi_doorbell_use_descriptor(struct asi_doorbell *bell)
{
    if (bell->read_fd < 0) {
        int error = make_descriptors(bell);
        if (error)
            return error;
    }
    asi_store(&bell->target, bell->write_fd, relaxed); /* D2 */
    return bell->read_fd;
}

void asi_doorbell_use_word(struct asi_doorbell *bell)
{
    asi_store(&bell->target, -1, relaxed); /* D2 */
}

bool asi_doorbell_is_level(const struct asi_doorbell *bell)
{
    return bell->read_fd != bell->write_fd;
}

void asi_doorbell_drain(struct asi_doorbell *bell)
{
    char bytes[256];

    while (read(bell->read_fd, bytes, sizeof(bytes)) > 0)
        ;
}

void asi_doorbell_in_child(struct asi_doorbell *bell)
{
    if (bell->read_fd >= 0)
        close(bell->read_fd);
    if (bell->write_fd >= 0 && bell->write_fd != bell->read_fd)
        close(bell->write_fd);
    asi_doorbell_init(bell);
}
