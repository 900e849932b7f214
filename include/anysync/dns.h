/* SPDX-License-Identifier: MIT */
/*
 * Names of hosts by libevent's evdns: asked of name servers directly, without a thread for each.
 *
 * Not a part of <anysync.h>, and in a library of its own: libanysync_dns (pkg-config anysync_dns).
 *
 *      const char *const servers[] = {"127.0.0.1:53", NULL};
 *      struct anysync_dns_options options = {.servers = servers};
 *
 *      error = anysync_dns_new(&options, &dns);
 *      if (!error)
 *          error = anysync_dns_resolve(dns, "example.org", "80", NULL, deadline, &addresses);
 *      ...
 *      anysync_dns_free(dns);
 *
 * anysync_resolve() (<anysync/resolve.h>) asks the C library, which knows all that a machine is set
 * up for, and needs a thread for each name that is asked for, at most eight.  This asks DNS and
 * /etc/hosts only, thousands of names at once on one thread ("anysync-dns"), servers of your own
 * choice, and a question that nobody waits for any more is taken back.  evdns writes of servers
 * that do not answer to libevent's log, standard error unless evdns_set_log_fn() says otherwise.
 */
#ifndef ANYSYNC_DNS_H
#define ANYSYNC_DNS_H

#include <anysync/base.h>
#include <anysync/resolve.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_dns; /* opaque; its owner frees it */

/* All zero: the system's name servers and hosts, as /etc/resolv.conf and /etc/hosts say. */
struct anysync_dns_options {
    const char *const *servers; /* addresses in numbers, "127.0.0.1:53", "[::1]:53"; NULL ends */
    int64_t try_ns;             /* how long a server has for an answer; 0: 5 seconds */
    int tries;                  /* how often it is asked; 0: 3 times */
};

/*
 * Start to ask name servers.
 *
 * options  borrowed for the call; NULL: all defaults.
 * ret_dns  owned by the caller: anysync_dns_free() it.
 *
 * Returns  0; -EINVAL: an address of a server is none; -ENOENT: the system names no server;
 *          -EAGAIN, -EMFILE, -ENOMEM: no thread, descriptor or memory; -ECANCELED.
 * Thread   any.   Blocks  until its thread has begun.   Cancel  cancellation point.
 */
ANYSYNC_API int anysync_dns_new(
        const struct anysync_dns_options *options, struct anysync_dns **ret_dns) ANYSYNC_MUST_CHECK;

/* End it, when nobody asks any more (consumed).  NULL is fine.  Any thread, but not a callback of a
 * loop.  Blocks until its thread has ended. */
ANYSYNC_API void anysync_dns_free(struct anysync_dns *dns);

/*
 * Find the addresses of HOST and SERVICE.  All but `dns` as for anysync_resolve(), and so is what
 * it returns, with these differences:
 *
 *  -ETIMEDOUT  DEADLINE passed; what was asked is taken back.
 *     -EAGAIN  the servers fail, refuse, answer what makes no sense, or not at all in all their
 *              tries.
 */
ANYSYNC_API int anysync_dns_resolve(struct anysync_dns *dns, const char *host, const char *service,
        const struct anysync_resolve_options *options, anysync_time deadline,
        struct anysync_addresses **ret_addresses) ANYSYNC_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
