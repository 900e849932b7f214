/* SPDX-License-Identifier: MIT */
/*
 * TLS: streams (<anysync/stream.h>) that are encrypted, by OpenSSL and libevent's bufferevents.
 *
 * Not a part of <anysync.h>, and in a library of its own: libanysync_tls (pkg-config anysync_tls).
 *
 *      error = anysync_tls_new(NULL, &tls);                          // trusts who the system does
 *      if (!error)
 *          error = anysync_tls_dial(tls, "example.org", "https", deadline, &stream);
 *      if (!error)
 *          error = anysync_stream_write(stream, request, size, deadline);
 *      ...                                                           // any call of streams
 *      closed = anysync_stream_close(stream, deadline);
 *      anysync_tls_unref(tls);
 *
 * and a server, in a handler of anysync_serve():
 *
 *      options = (struct anysync_tls_options){.certificate_file = "fullchain.pem",
 *              .key_file = "key.pem"};
 *      error = anysync_tls_new(&options, &tls);
 *      error = anysync_tls_accept(tls, fd, deadline, &stream);
 *
 * A stream that was made here is read, written, shut down and closed like any other: all deadlines,
 * cancels and promises of <anysync/stream.h> hold.  What is special:
 *
 * THE END  The other side's last word (close_notify) is the end of the file.  A connection that
 *   ends without it may have been cut off: -ECONNRESET, after all that has come.  A shutdown and a
 *   close say it for our side; after a shutdown reading goes on.
 *
 * CHECKS  A client accepts a certificate that somebody it trusts has signed, that is valid today,
 *   and that is for the host it asked for, which it also names to the server (SNI).  TLS 1.2 is the
 *   least, and nobody shakes hands twice: who asks for that on a connection of TLS 1.2 is refused.
 *   That OpenSSL 1.1.1 or later is below may be used: see anysync_tls_ssl().
 *
 * CODES of a handshake, and of reads and writes after it.  The sentence names descriptor, address,
 * host, and what OpenSSL says:
 *      -EACCES  a certificate was not accepted: ours by them (-EPROTO if they do not say so), or
 *               theirs by us.
 *      -EPROTO  what came is no TLS, is damaged, or there is no version, cipher or protocol that
 *               both want.
 *  -ECONNRESET  the other side went away, in the handshake or without a last word.
 *   -ETIMEDOUT, -ECANCELED, -EDEADLK, -ENOMEM, others of the system: as for streams.
 *
 * DESCRIPTORS  Each connection has its own, and all together up to 32 of libevent's, which are
 *   closed with the last connection.
 */
#ifndef ANYSYNC_TLS_H
#define ANYSYNC_TLS_H

#include <anysync/base.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_stream;
struct anysync_tls; /* opaque; reference-counted */

/* What all connections of one struct anysync_tls have in common.  Files are PEM, and read once.
 * All zero: a client that trusts who the system trusts. */
struct anysync_tls_options {
    const char *trust_file;   /* certificates of those who may sign the other side's */
    const char *trust_folder; /* the same, as made by "openssl rehash"; both NULL: the system's */
    const char *certificate_file; /* ours, then those up to who is trusted; a server needs one */
    const char *key_file;         /* its key; NULL: it is in CERTIFICATE_FILE */
    const char *protocols;        /* ALPN, the most wanted first: "h2,http/1.1"; NULL: none */
    bool no_checks;    /* a client takes any certificate: anybody may be on the other side */
    bool clients_sign; /* a server takes only clients with a certificate that it trusts */
};

/*
 * Read certificates and keys.
 *
 * options  borrowed for the call; NULL: all defaults.
 * ret_tls  owned by the caller: anysync_tls_unref() it.  Serves clients and servers.
 *
 * Returns  0, -ENOMEM, -EINVAL: the protocols make no sense; -EACCES: a file cannot be read, holds
 *          no certificate or key, or they do not belong together.  The sentence names it.
 * Thread   any; reads files.
 */
ANYSYNC_API int anysync_tls_new(
        const struct anysync_tls_options *options, struct anysync_tls **ret_tls) ANYSYNC_MUST_CHECK;

/* Take one more reference to TLS, and return it.  Any thread. */
ANYSYNC_API struct anysync_tls *anysync_tls_ref(struct anysync_tls *tls);

/* Drop a reference (consumed).  Connections stay as they are.  NULL is fine.  Returns NULL.  Any
 * thread. */
ANYSYNC_API struct anysync_tls *anysync_tls_unref(struct anysync_tls *tls);

/*
 * Be the client on FD: shake hands, and check who is there.
 *
 * tls         borrowed for the call.
 * fd          a connected stream socket; consumed if the return is 0, borrowed otherwise: then it
 *             can only be closed.
 * host        whom to expect, a name or an address in numbers, borrowed.  NULL: whoever has a
 *             certificate that TLS trusts.
 * deadline    of the handshake.
 * ret_stream  owned by the caller: anysync_stream_close() it.
 *
 * Returns  0, or see CODES above; -EINVAL: HOST is empty, or too long for a name.
 * Thread   any.   Blocks  a thread; suspends a coroutine.   Cancel  cancellation point.
 */
ANYSYNC_API int anysync_tls_connect(struct anysync_tls *tls, int fd, const char *host,
        anysync_time deadline, struct anysync_stream **ret_stream) ANYSYNC_MUST_CHECK;

/* Find HOST, connect to SERVICE there (as anysync_dial_name()), and be the client: all that until
 * DEADLINE.  Returns and the rest as those two. */
ANYSYNC_API int anysync_tls_dial(struct anysync_tls *tls, const char *host, const char *service,
        anysync_time deadline, struct anysync_stream **ret_stream) ANYSYNC_MUST_CHECK;

/* Be the server on FD; otherwise as anysync_tls_connect().  -EINVAL: TLS has no certificate. */
ANYSYNC_API int anysync_tls_accept(struct anysync_tls *tls, int fd, anysync_time deadline,
        struct anysync_stream **ret_stream) ANYSYNC_MUST_CHECK;

/* What both sides have agreed on, of STREAM that was made here: a protocol of the options (NULL:
 * none), and "TLSv1.3" or the like.  Borrowed, valid until the close.  Any thread. */
ANYSYNC_API const char *anysync_tls_protocol(const struct anysync_stream *stream);
ANYSYNC_API const char *anysync_tls_version(const struct anysync_stream *stream);

/* OpenSSL's objects, borrowed, for all that is not here: the SSL_CTX of TLS, before its first
 * connection; the SSL of STREAM (NULL if it was not made here), to be looked at while nobody reads
 * or writes. */
ANYSYNC_API struct ssl_ctx_st *anysync_tls_ssl_context(struct anysync_tls *tls);
ANYSYNC_API struct ssl_st *anysync_tls_ssl(const struct anysync_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
