/* SPDX-License-Identifier: MIT */
/*
 * TLS: certificates, handshakes, and the transport below a stream.
 *
 * A connection is an engine and the name of the other side.  Its handshake is a loop of steps and
 * waits like that of any stream; after it a stream is put over it, which owns it.
 *
 * This library uses of anysync what a user could, the public calls, and of its own sources what
 * needs no other: memory and locks.
 */
#include <anysync/tls.h>

#include "base/memory.h"
#include "tls/engine.h"

#include <anysync/cancel.h>
#include <anysync/error.h>
#include <anysync/io.h>
#include <anysync/net.h>
#include <anysync/resolve.h>
#include <anysync/transport.h>

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_SIZE = 256, PROTOCOLS_SIZE = 256, TEXT_SIZE = 300 };

/* What is kept with an SSL_CTX, which counts the references. */
struct anysync_tls {
    SSL_CTX *context;
    bool has_certificate, no_checks, clients_sign;
    unsigned char protocols_size;
    unsigned char protocols[PROTOCOLS_SIZE]; /* each after its length */
};

struct connection {
    struct asi_tls_engine *engine;
    char name[NAME_SIZE]; /* for sentences */
    char protocol[PROTOCOLS_SIZE];
};

/* --- certificates ----------------------------------------------------------------------------- */

static int index_of_tls = -1;

/* The SSL_CTX has lost its last reference. */
static void free_tls(void *parent, void *tls, CRYPTO_EX_DATA *data, int index, long long_argument,
        void *argument)
{
    (void)parent, (void)data, (void)index, (void)long_argument, (void)argument;
    asi_free(tls);
}

/* Loops may still run when the process ends, so nothing is cleaned up behind their backs. */
static void __attribute__((constructor)) prepare(void)
{
    (void)OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL);
    index_of_tls = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_tls);
}

static int fail_by_openssl(const char *what, const char *file)
{
    unsigned long error = ERR_peek_last_error();
    const char *text = error ? ERR_reason_error_string(error) : NULL;

    ERR_clear_error();
    return anysync_fail(-EACCES, "TLS: %s %s: %s", what, file, text ? text : "of no use");
}

/* "a,b" to lengths and names. */
static int read_protocols(struct anysync_tls *tls, const char *list)
{
    size_t end = 0;

    while (*list) {
        size_t size = strcspn(list, ",");
        if (size == 0 || end + 1 + size >= PROTOCOLS_SIZE)
            return anysync_fail(-EINVAL, "TLS: \"%s\" is no list of protocols", list);
        tls->protocols[end] = (unsigned char)size;
        memcpy(tls->protocols + end + 1, list, size);
        end += 1 + size;
        list += size;
        if (*list)
            list++;
    }
    tls->protocols_size = (unsigned char)end;
    return 0;
}

/* A server takes the first of its own that the client has as well. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
        const unsigned char *offered, unsigned offered_size, void *argument)
{
    struct anysync_tls *tls = argument;
    unsigned char *chosen = NULL;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_size, tls->protocols, tls->protocols_size, offered,
                offered_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int read_trust(SSL_CTX *context, const struct anysync_tls_options *options)
{
    const char *file = options->trust_file, *folder = options->trust_folder;

    if (!file && !folder)
        return SSL_CTX_set_default_verify_paths(context) == 1
                       ? 0
                       : fail_by_openssl("the system's", "certificates");
    if (SSL_CTX_load_verify_locations(context, file, folder) != 1)
        return fail_by_openssl("certificates in", file ? file : folder);
    return 0;
}

static int read_certificate(struct anysync_tls *tls, const struct anysync_tls_options *options)
{
    const char *file = options->certificate_file;
    const char *key = options->key_file ? options->key_file : file;

    if (!file)
        return options->key_file ? anysync_fail(-EINVAL, "TLS: a key without a certificate") : 0;
    if (SSL_CTX_use_certificate_chain_file(tls->context, file) != 1)
        return fail_by_openssl("the certificate in", file);
    if (SSL_CTX_use_PrivateKey_file(tls->context, key, SSL_FILETYPE_PEM) != 1)
        return fail_by_openssl("the key in", key);
    if (SSL_CTX_check_private_key(tls->context) != 1)
        return fail_by_openssl("the certificate is not for the key in", key);
    tls->has_certificate = true;
    return 0;
}

static int read_options(struct anysync_tls *tls, const struct anysync_tls_options *options)
{
    SSL_CTX *context = tls->context;
    int error = read_trust(context, options);

    if (!error)
        error = read_certificate(tls, options);
    if (!error && options->protocols)
        error = read_protocols(tls, options->protocols);
    if (error)
        return error;
    tls->no_checks = options->no_checks;
    tls->clients_sign = options->clients_sign;
    if (tls->protocols_size > 0) {
        SSL_CTX_set_alpn_select_cb(context, choose_protocol, tls);
        if (SSL_CTX_set_alpn_protos(context, tls->protocols, tls->protocols_size) != 0)
            return anysync_fail(-ENOMEM, "TLS: no memory for the protocols");
    }
    return 0;
}

int anysync_tls_new(const struct anysync_tls_options *options, struct anysync_tls **ret_tls)
{
    static const struct anysync_tls_options defaults;
    static const unsigned char id[] = "anysync";
    struct anysync_tls *tls = asi_allocate_zero(sizeof(*tls));
    SSL_CTX *context = tls ? SSL_CTX_new(TLS_method()) : NULL;

    ERR_clear_error();
    if (!context || SSL_CTX_set_ex_data(context, index_of_tls, tls) != 1) {
        SSL_CTX_free(context);
        asi_free(tls);
        return anysync_fail(-ENOMEM, "TLS: no memory for certificates");
    }
    tls->context = context;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    /* in the middle of that a writer would have to read, perhaps what a reader waits for */
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    int error = read_options(tls, options ? options : &defaults);
    if (error)
        anysync_tls_unref(tls);
    else
        *ret_tls = tls;
    return error;
}

struct anysync_tls *anysync_tls_ref(struct anysync_tls *tls)
{
    SSL_CTX_up_ref(tls->context);
    return tls;
}

struct anysync_tls *anysync_tls_unref(struct anysync_tls *tls)
{
    if (tls)
        SSL_CTX_free(tls->context);
    return NULL;
}

struct ssl_ctx_st *anysync_tls_ssl_context(struct anysync_tls *tls)
{
    return tls->context;
}

/* --- the transport ---------------------------------------------------------------------------- */

static ssize_t read_some(void *context, void *buffer, size_t size, unsigned *ret_events)
{
    return asi_tls_engine_read(((struct connection *)context)->engine, buffer, size, ret_events);
}

static ssize_t write_some(void *context, const void *data, size_t size, unsigned *ret_events)
{
    return asi_tls_engine_write(((struct connection *)context)->engine, data, size, ret_events);
}

static int tell_end(void *context, unsigned *ret_events)
{
    return asi_tls_engine_shutdown(((struct connection *)context)->engine, ret_events);
}

static void close_connection(void *context)
{
    struct connection *connection = context;

    asi_tls_engine_free(connection->engine);
    asi_free(connection);
}

static const char *name_of(const void *context)
{
    return ((const struct connection *)context)->name;
}

static const char *reason_of(const void *context, int error)
{
    return asi_tls_engine_reason(((const struct connection *)context)->engine, error);
}

static const struct anysync_transport transport = {
        read_some, write_some, tell_end, close_connection, name_of, reason_of};

static struct connection *connection_of(const struct anysync_stream *stream)
{
    return anysync_stream_context(stream, &transport);
}

struct ssl_st *anysync_tls_ssl(const struct anysync_stream *stream)
{
    struct connection *connection = connection_of(stream);

    return connection ? asi_tls_engine_ssl(connection->engine) : NULL;
}

const char *anysync_tls_protocol(const struct anysync_stream *stream)
{
    struct connection *connection = connection_of(stream);

    return connection && connection->protocol[0] ? connection->protocol : NULL;
}

const char *anysync_tls_version(const struct anysync_stream *stream)
{
    SSL *ssl = anysync_tls_ssl(stream);

    return ssl ? SSL_get_version(ssl) : NULL;
}

/* --- handshakes ------------------------------------------------------------------------------- */

/* Whom to expect, and to name to it. */
static bool expect_host(SSL *ssl, const char *host)
{
    unsigned char numbers[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, host, numbers) == 1 || inet_pton(AF_INET6, host, numbers) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static SSL *new_ssl(struct anysync_tls *tls, bool is_client, const char *host)
{
    SSL *ssl = SSL_new(tls->context);

    if (!ssl)
        return NULL;
    if (is_client)
        SSL_set_verify(ssl, tls->no_checks ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    else if (tls->clients_sign)
        SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (is_client && host && !expect_host(ssl, host)) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

static int new_connection(struct anysync_tls *tls, int fd, bool is_client, const char *host,
        struct connection **ret_connection)
{
    struct connection *connection = asi_allocate_zero(sizeof(*connection));
    SSL *ssl = connection ? new_ssl(tls, is_client, host) : NULL;
    int error = ssl ? asi_tls_engine_new(ssl, is_client, fd, &connection->engine) : -ENOMEM;

    if (error) {
        asi_free(connection);
        return error;
    }
    (void)snprintf(
            connection->name, NAME_SIZE, "TLS with %.240s", is_client && host ? host : "anybody");
    *ret_connection = connection;
    return 0;
}

static int shake(struct connection *connection, int fd, anysync_time deadline)
{
    for (;;) {
        unsigned events = ANYSYNC_READABLE;
        int status = asi_tls_engine_shake(connection->engine, &events);
        if (status != -EAGAIN)
            return status;
        int ready = anysync_wait_fd(fd, events, deadline);
        if (ready < 0)
            return ready;
    }
}

static int say(const char *call, int fd, const char *host, const char *reason, int error)
{
    char peer[ANYSYNC_ADDRESS_SIZE] = "";

    if (anysync_peer_address(fd, peer) != 0)
        peer[0] = '\0';
    return anysync_fail(error, "%s() on descriptor %d%s%s%s%.200s: %s%s%s", call, fd,
            peer[0] ? " to " : "", peer, host ? ", host " : "", host ? host : "",
            anysync_error_text(error), reason ? ": " : "", reason ? reason : "");
}

static int open_connection(struct anysync_tls *tls, const char *call, int fd, const char *host,
        anysync_time deadline, struct anysync_stream **ret_stream)
{
    bool is_client = strcmp(call, "anysync_tls_accept") != 0;
    struct connection *connection = NULL;
    const unsigned char *protocol = NULL;
    unsigned protocol_size = 0;
    char reason[TEXT_SIZE] = "";

    if (host && (!*host || strlen(host) > TLSEXT_MAXLEN_host_name))
        return say(call, fd, host, "no host has such a name", -EINVAL);
    int error = new_connection(tls, fd, is_client, host, &connection);
    if (error)
        return say(call, fd, host, NULL, error);
    error = shake(connection, fd, deadline);
    if (!error) {
        SSL_get0_alpn_selected(asi_tls_engine_ssl(connection->engine), &protocol, &protocol_size);
        if (protocol_size > 0 && protocol_size < sizeof(connection->protocol))
            memcpy(connection->protocol, protocol, protocol_size);
        error = anysync_stream_open_over(fd, &transport, connection, ret_stream);
    }
    if (!error)
        return 0;
    const char *why = error == -ECANCELED ? anysync_cancel_reason()
                                          : asi_tls_engine_reason(connection->engine, error);
    if (why)
        (void)snprintf(reason, sizeof(reason), "%s", why);
    close_connection(connection);
    return say(call, fd, host, reason[0] ? reason : NULL, error);
}

int anysync_tls_connect(struct anysync_tls *tls, int fd, const char *host, anysync_time deadline,
        struct anysync_stream **ret_stream)
{
    return open_connection(tls, "anysync_tls_connect", fd, host, deadline, ret_stream);
}

int anysync_tls_accept(
        struct anysync_tls *tls, int fd, anysync_time deadline, struct anysync_stream **ret_stream)
{
    if (!tls->has_certificate)
        return say("anysync_tls_accept", fd, NULL, "a server needs a certificate", -EINVAL);
    return open_connection(tls, "anysync_tls_accept", fd, NULL, deadline, ret_stream);
}

int anysync_tls_dial(struct anysync_tls *tls, const char *host, const char *service,
        anysync_time deadline, struct anysync_stream **ret_stream)
{
    int fd = -1, error = anysync_dial_name(host, service, deadline, &fd);

    if (!error)
        error = open_connection(tls, "anysync_tls_dial", fd, host, deadline, ret_stream);
    if (error && fd >= 0)
        close(fd);
    return error;
}
