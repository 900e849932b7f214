/* SPDX-License-Identifier: MIT */
/* Where a URL leads: its parts, and the addresses of its host. */
#ifndef DEMO_TARGET_H
#define DEMO_TARGET_H

#include <anysync.h>

#include <sys/socket.h>

#define TARGET_ADDRESSES 4

struct target {
    char *host;   /* to look up: no brackets around an IPv6 address */
    char *header; /* of the Host: header */
    char *path;   /* with its query; never empty */
    int port;
};

/* Numeric addresses of one host, in the order to try them. */
struct addresses {
    int count;
    char list[TARGET_ADDRESSES][64];
};

/* Take URL apart.  Returns 0, or -EINVAL or -ENOMEM with a sentence; target_free() it after 0. */
int target_parse(const char *url, struct target *target);

/* Free what a target holds. */
void target_free(struct target *target);

/*
 * The addresses of TARGET's host.  A coroutine suspends meanwhile, a plain thread blocks.
 * Returns 0, or -EHOSTUNREACH, -ETIMEDOUT, -ECANCELED, -ENOMEM, -EAGAIN.
 */
int target_resolve(const struct target *target, anysync_time deadline, struct addresses *addresses);

#endif
