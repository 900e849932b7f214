/* SPDX-License-Identifier: MIT */
/* A few event bases that connections share: what a bufferevent cannot be without. */
#ifndef ASI_TLS_BASES_H
#define ASI_TLS_BASES_H

#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>

struct asi_tls_base;
struct event_base;

/* A base for one more connection.  Returns 0, -EMFILE or the like, or -ENOMEM. */
int asi_tls_base_get(struct asi_tls_base **ret_base);

/* One connection less; taken, and given back by this. */
void asi_tls_base_put(struct asi_tls_base *base);

/* Have it for oneself, for a moment in which nothing waits. */
void asi_tls_base_take(struct asi_tls_base *base);
void asi_tls_base_give(struct asi_tls_base *base);

/* [taken] libevent's filter over BELOW, which stays the caller's, as SSL does.  One at a time: with
 * the first it makes what all share, without a lock. */
struct bufferevent *asi_tls_filter_new(struct asi_tls_base *base, struct bufferevent *below,
        SSL *ssl, enum bufferevent_ssl_state state);

/* [taken] */
struct event_base *asi_tls_base_event(struct asi_tls_base *base);

/* [taken] Run all callbacks that are due. */
void asi_tls_base_run(struct asi_tls_base *base);

#endif
