/* SPDX-License-Identifier: MIT */
/*
 * TLS by libevent's bufferevents, without a descriptor in them.
 *
 *      stream <-- filter (OpenSSL) <-- near ==== wire <-- here: recv(), send() --> descriptor
 *
 * near and wire are a pair: what is written to one comes out of the other.  The filter encrypts
 * into near and decrypts what comes from it; this file carries bytes between wire and the
 * descriptor.  libevent knows OpenSSL's states, which of them wants to read before it can write,
 * and what of a record is still inside; the descriptor, the waiting and its deadlines stay the
 * stream's.
 *
 * A step holds the base (bases.h), so one thread at a time is in here; it never waits.
 *
 * READING  takes from the descriptor only when nothing decrypted is left, and one piece at a time,
 *   so what a slow reader does not read stays with the system.
 *
 * WRITING  takes one piece at a time, and says that it went when the system has its last encrypted
 *   byte.  Until then it is `pending`, and its caller comes with the same bytes again.
 *
 * THE END  close_notify, then 0 for ever.  The descriptor's end without it is -ECONNRESET: somebody
 *   may have cut it off.  Failures of each half are kept apart: who can still be heard is heard,
 *   though it hears us no longer.
 */
#include "tls/engine.h"

#include "base/memory.h"
#include "tls/bases.h"

#include <anysync/io.h>

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/util.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { PIECE = 16384, REASON_SIZE = 160 };

/* Fields are [base] where nothing else is said. */
struct asi_tls_engine {
    struct asi_tls_base *base;                /* [const] */
    int fd;                                   /* [const] */
    bool is_client;                           /* [const] */
    SSL *ssl;                                 /* [const] */
    struct bufferevent *filter, *near, *wire; /* [const] */
    bool connected;                           /* the handshake is over */
    bool ended;                               /* close_notify has come */
    bool told;                                /* we have sent ours */
    size_t pending;           /* bytes that a write has brought, and that have not gone */
    int failed;               /* why nothing more is read; 0: it is */
    int send_failed;          /* why nothing more is sent; 0: it is */
    char reason[REASON_SIZE]; /* of `failed`, if it begins; written once */
};

/* --- what libevent says ----------------------------------------------------------------------- */

/* Note why, if nobody was first. */
static void fail(struct asi_tls_engine *engine, int error, const char *reason)
{
    if (engine->failed)
        return;
    (void)snprintf(engine->reason, sizeof(engine->reason), "%s", reason ? reason : "");
    engine->failed = error;
}

static bool is_about_certificate(int reason)
{
    return reason == SSL_R_CERTIFICATE_VERIFY_FAILED ||
           reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE ||
           reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE ||
           reason == SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED ||
           reason == SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED ||
           reason == SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN ||
           reason == SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE ||
           reason == SSL_R_TLSV1_ALERT_UNKNOWN_CA || reason == SSL_R_TLSV1_ALERT_ACCESS_DENIED ||
           reason == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED;
}

static void fail_by_openssl(struct asi_tls_engine *engine)
{
    unsigned long error = bufferevent_get_openssl_error(engine->filter);
    long verified = SSL_get_verify_mode(engine->ssl) == SSL_VERIFY_NONE
                            ? X509_V_OK
                            : SSL_get_verify_result(engine->ssl);
    const char *text = error ? ERR_reason_error_string(error) : NULL;
    char reason[REASON_SIZE];

    (void)snprintf(reason, sizeof(reason), "%s%s%s", text ? text : "OpenSSL does not say why",
            verified == X509_V_OK ? "" : ": ",
            verified == X509_V_OK ? "" : X509_verify_cert_error_string(verified));
    fail(engine,
            error && ERR_GET_LIB(error) == ERR_LIB_SSL &&
                            is_about_certificate(ERR_GET_REASON(error))
                    ? -EACCES
                    : -EPROTO,
            reason);
}

static void on_event(struct bufferevent *filter, short what, void *context)
{
    struct asi_tls_engine *engine = context;

    (void)filter;
    if (what & BEV_EVENT_CONNECTED)
        engine->connected = true;
    if (what & BEV_EVENT_EOF)
        engine->ended = true;
    if (what & BEV_EVENT_ERROR)
        fail_by_openssl(engine);
}

/* --- bytes ------------------------------------------------------------------------------------ */

static struct evbuffer *plain_in(const struct asi_tls_engine *engine)
{
    return bufferevent_get_input(engine->filter);
}

/* Send what is encrypted, as far as that goes.  Returns whether all of it went. */
static bool send_out(struct asi_tls_engine *engine)
{
    struct evbuffer *out = bufferevent_get_input(engine->wire);
    struct evbuffer_iovec piece;

    while (!engine->send_failed && evbuffer_peek(out, -1, NULL, &piece, 1) > 0) {
        ssize_t count =
                send(engine->fd, piece.iov_base, piece.iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count >= 0)
            (void)evbuffer_drain(out, (size_t)count);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        else if (errno != EINTR)
            engine->send_failed = -errno;
        asi_tls_base_run(engine->base); /* there may be more, for which there was no room */
    }
    return evbuffer_get_length(out) == 0;
}

/* Take one piece from the descriptor.  Returns whether there was one. */
static bool take_in(struct asi_tls_engine *engine)
{
    char piece[PIECE];
    ssize_t count;

    do
        count = recv(engine->fd, piece, sizeof(piece), MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    if (count < 0)
        fail(engine, -errno, NULL);
    else if (count == 0)
        fail(engine, -ECONNRESET,
                engine->connected
                        ? "the other side ended without close_notify: something may be missing"
                        : "the other side ended in the handshake");
    else if (bufferevent_write(engine->wire, piece, (size_t)count) != 0)
        fail(engine, -ENOMEM, NULL);
    asi_tls_base_run(engine->base);
    return true;
}

/* What to wait for, for somebody who wants to read. */
static unsigned wanted(const struct asi_tls_engine *engine)
{
    bool all_went = evbuffer_get_length(bufferevent_get_input(engine->wire)) == 0;

    return all_went || engine->send_failed ? ANYSYNC_READABLE : ANYSYNC_READABLE | ANYSYNC_WRITABLE;
}

/* --- steps ------------------------------------------------------------------------------------ */

static void begin(struct asi_tls_engine *engine)
{
    asi_tls_base_take(engine->base);
    ERR_clear_error(); /* OpenSSL takes what others left on this thread for its own */
}

int asi_tls_engine_shake(struct asi_tls_engine *engine, unsigned *ret_events)
{
    begin(engine);
    do
        (void)send_out(engine);
    while (!engine->connected && !engine->failed && take_in(engine));
    (void)send_out(engine); /* also what tells the other side why not */
    int status = engine->failed && !engine->connected ? engine->failed
                 : !engine->connected                 ? -EAGAIN
                                                      : 0;
    *ret_events = wanted(engine);
    asi_tls_base_give(engine->base);
    return status;
}

ssize_t asi_tls_engine_read(
        struct asi_tls_engine *engine, void *buffer, size_t size, unsigned *ret_events)
{
    struct evbuffer *in = plain_in(engine);
    ssize_t count;

    begin(engine);
    asi_tls_base_run(engine->base);
    do
        count = evbuffer_remove(in, buffer, size);
    while (count <= 0 && !engine->ended && !engine->failed && take_in(engine));
    (void)send_out(engine); /* what the other side asked for */
    if (count <= 0)
        count = engine->ended ? 0 : engine->failed ? engine->failed : -EAGAIN;
    *ret_events = wanted(engine);
    asi_tls_base_give(engine->base);
    return count;
}

/* Whether all that was written has gone. */
static bool all_gone(struct asi_tls_engine *engine)
{
    asi_tls_base_run(engine->base);
    return send_out(engine) && evbuffer_get_length(bufferevent_get_output(engine->filter)) == 0;
}

static int why_not_sent(const struct asi_tls_engine *engine)
{
    return engine->send_failed                                      ? engine->send_failed
           : engine->failed == -EPROTO || engine->failed == -EACCES ? engine->failed
           : engine->told                                           ? -EPIPE
                                                                    : 0;
}

ssize_t asi_tls_engine_write(
        struct asi_tls_engine *engine, const void *data, size_t size, unsigned *ret_events)
{
    ssize_t status;

    begin(engine);
    if (engine->pending == 0 && !why_not_sent(engine)) {
        size_t piece = size < PIECE ? size : PIECE;
        if (bufferevent_write(engine->filter, data, piece) == 0)
            engine->pending = piece;
        else
            engine->send_failed = -ENOMEM;
    }
    bool gone = all_gone(engine);
    status = why_not_sent(engine);
    if (!status && !gone)
        status = -EAGAIN;
    if (!status) {
        status = (ssize_t)engine->pending;
        engine->pending = 0;
    }
    *ret_events = ANYSYNC_WRITABLE;
    asi_tls_base_give(engine->base);
    return status;
}

int asi_tls_engine_shutdown(struct asi_tls_engine *engine, unsigned *ret_events)
{
    begin(engine);
    if (!engine->told && !why_not_sent(engine) && all_gone(engine)) {
        (void)SSL_shutdown(engine->ssl);
        engine->told = true;
    }
    bool gone = all_gone(engine);
    int status = engine->send_failed ? engine->send_failed : gone && engine->told ? 0 : -EAGAIN;
    if (!engine->told && why_not_sent(engine))
        status = why_not_sent(engine);
    *ret_events = ANYSYNC_WRITABLE;
    asi_tls_base_give(engine->base);
    return status;
}

const char *asi_tls_engine_reason(const struct asi_tls_engine *engine, int error)
{
    asi_tls_base_take(engine->base); /* the other half may fail just now; what is there stays */
    bool is_known = error == engine->failed && engine->reason[0];
    asi_tls_base_give(engine->base);
    return is_known ? engine->reason : NULL;
}

SSL *asi_tls_engine_ssl(const struct asi_tls_engine *engine)
{
    return engine->ssl;
}

/* --- life ------------------------------------------------------------------------------------- */

/* [base taken] The pair and the filter over it.  SSL is consumed if the return is 0. */
static int build(struct asi_tls_engine *engine, SSL *ssl)
{
    struct event_base *event = asi_tls_base_event(engine->base);
    struct bufferevent *pair[2];

    if (bufferevent_pair_new(event, 0, pair) != 0)
        return -ENOMEM;
    engine->filter = asi_tls_filter_new(engine->base, pair[0], ssl,
            engine->is_client ? BUFFEREVENT_SSL_CONNECTING : BUFFEREVENT_SSL_ACCEPTING);
    if (!engine->filter) {
        bufferevent_free(pair[0]);
        bufferevent_free(pair[1]);
        asi_tls_base_run(engine->base);
        return -ENOMEM;
    }
    engine->ssl = ssl;
    engine->near = pair[0];
    engine->wire = pair[1];
    bufferevent_setcb(engine->filter, NULL, NULL, on_event, engine);
    bufferevent_enable(engine->filter, EV_READ | EV_WRITE);
    bufferevent_enable(engine->wire, EV_READ | EV_WRITE);
    bufferevent_trigger(pair[0], EV_WRITE, 0); /* a client speaks first */
    asi_tls_base_run(engine->base);
    return 0;
}

int asi_tls_engine_new(SSL *ssl, bool is_client, int fd, struct asi_tls_engine **ret_engine)
{
    struct asi_tls_engine *engine = asi_allocate_zero(sizeof(*engine));
    int error = engine ? asi_tls_base_get(&engine->base) : -ENOMEM;

    if (!error) {
        engine->fd = fd;
        engine->is_client = is_client;
        begin(engine);
        error = build(engine, ssl);
        if (!error) {
            asi_tls_base_give(engine->base);
            *ret_engine = engine;
            return 0;
        }
        asi_tls_base_put(engine->base);
    }
    SSL_free(ssl);
    asi_free(engine);
    return error;
}

void asi_tls_engine_free(struct asi_tls_engine *engine)
{
    begin(engine);
    bufferevent_free(engine->filter);
    bufferevent_free(engine->near);
    bufferevent_free(engine->wire);
    asi_tls_base_run(engine->base);
    SSL_free(engine->ssl);
    asi_tls_base_put(engine->base);
    asi_free(engine);
}
