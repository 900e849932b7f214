/* SPDX-License-Identifier: MIT */
/*
 * Names of hosts to addresses, with deadlines that hold.
 *
 * getaddrinfo() cannot be given a deadline, so it runs on threads of its own ("anysync-names"), at
 * most eight at once, and is left alone when time is over: what it needs and finds is its own.  A
 * resolver that hangs in all eight makes later names wait in line until their deadlines, but keeps
 * nothing else from running.  Addresses written in numbers, with a service in numbers, need no
 * thread and are never waited for.
 */
#ifndef ANYSYNC_RESOLVE_H
#define ANYSYNC_RESOLVE_H

#include <anysync/base.h>

#include <stddef.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One address of a name. */
struct anysync_address {
    int family;     /* AF_INET, AF_INET6 */
    int type;       /* SOCK_STREAM, SOCK_DGRAM */
    int protocol;   /* for socket() */
    socklen_t size; /* bytes of `at` that are used */
    union {
        struct sockaddr address; /* for connect() and bind() */
        struct sockaddr_storage room;
    } at;
};

struct anysync_addresses {
    size_t count;                 /* at least 1 */
    struct anysync_address *list; /* of the same piece of memory */
};

/* What is asked for.  All zero: stream sockets of any family. */
struct anysync_resolve_options {
    int family; /* AF_UNSPEC (0), AF_INET, AF_INET6 */
    int type;   /* SOCK_STREAM (also for 0), SOCK_DGRAM */
    int flags;  /* as ai_flags of getaddrinfo(): AI_PASSIVE and the like */
};

/*
 * Find the addresses of HOST and SERVICE, in the order in which they should be tried.
 *
 * host           a name or an address in numbers, up to 1024 bytes; borrowed for the call; NULL:
 *                this machine.
 * service        a name or a port number, up to 63 bytes; likewise; NULL: port 0.
 * options        borrowed for the call; NULL: all defaults.
 * ret_addresses  owned by the caller: anysync_free() it.
 *
 * Returns     0  found.
 *       -ENOENT  there is no such host, or no such service, or it has no such address.
 *       -EAGAIN  the name server did not answer, or no thread could be started: try later.
 *       -EINVAL  the options make no sense, or a name is too long; neither host nor service.
 *    -ETIMEDOUT  DEADLINE passed; what was asked is left to itself.
 *    -ECANCELED  the calling task was cancelled; likewise.
 *      -EDEADLK  called by a callback of a loop, with names.
 *   -ENOMEM; -EIO  the name server failed; other: from the system.
 *   The sentence names host and service, and says what the resolver says.
 *
 * Thread  any, tasks too.   Blocks  a thread; suspends a coroutine.   Cancel  cancellation point.
 */
ANYSYNC_API int anysync_resolve(const char *host, const char *service,
        const struct anysync_resolve_options *options, anysync_time deadline,
        struct anysync_addresses **ret_addresses) ANYSYNC_MUST_CHECK;

/*
 * Connect to SERVICE of HOST: each of its addresses is tried in turn, with an even share of the
 * time that is left, until one answers.
 *
 * host, service  as for anysync_resolve().
 * ret_fd         a stream socket, owned by the caller: close-on-exec, non-blocking.
 *
 * Returns  0; what anysync_resolve() says; or what the last address said, as anysync_connect().
 *          -ETIMEDOUT also if the last one did not answer in its share.  The sentence names host
 *          and service, and how many addresses were tried.
 *
 * Thread, Blocks, Cancel  as anysync_resolve().
 */
ANYSYNC_API int anysync_dial_name(const char *host, const char *service, anysync_time deadline,
        int *ret_fd) ANYSYNC_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
