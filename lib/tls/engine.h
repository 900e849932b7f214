/* SPDX-License-Identifier: MIT */
/*
 * Engine: one side of one TLS connection.  It does not wait: it brings bytes between its descriptor
 * and OpenSSL as far as that goes, and says what the descriptor has to be ready for.
 *
 * Any thread; calls of several threads take turns.
 */
#ifndef ASI_TLS_ENGINE_H
#define ASI_TLS_ENGINE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct asi_tls_engine;

/* For SSL (consumed, however it ends) and FD (borrowed).  Returns 0, or the error. */
int asi_tls_engine_new(SSL *ssl, bool is_client, int fd, struct asi_tls_engine **ret_engine);
void asi_tls_engine_free(struct asi_tls_engine *engine);

/* Each returns what its name says, -EAGAIN with RET_EVENTS, or the error, which is for ever. */
int asi_tls_engine_shake(struct asi_tls_engine *engine, unsigned *ret_events);
ssize_t asi_tls_engine_read(
        struct asi_tls_engine *engine, void *buffer, size_t size, unsigned *ret_events);
ssize_t asi_tls_engine_write(
        struct asi_tls_engine *engine, const void *data, size_t size, unsigned *ret_events);
int asi_tls_engine_shutdown(struct asi_tls_engine *engine, unsigned *ret_events);

/* Why it failed, if it failed with ERROR; NULL: that says it all. */
const char *asi_tls_engine_reason(const struct asi_tls_engine *engine, int error);

SSL *asi_tls_engine_ssl(const struct asi_tls_engine *engine);

#endif
