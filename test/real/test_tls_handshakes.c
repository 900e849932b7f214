/* SPDX-License-Identifier: MIT */
/*
 * TLS (include/anysync/tls.h): handshakes that do not come about, options, and what is left.
 *
 * Promised                                       Tested by
 *   who is not trusted is not talked to            who_is_not_trusted_is_refused
 *                                                  a_client_may_have_to_sign_too
 *   deadlines and cancels hold in handshakes       a_silent_side_is_left_at_the_deadline
 *   garbage, and who leaves                        what_is_no_tls_is_told
 *   protocols                                      protocols_are_agreed_on
 *   names of hosts                                 a_host_that_is_none_is_told
 *   once is enough                                 nobody_is_made_to_shake_hands_again
 *   files and options                              files_that_are_of_no_use_are_named
 *   nothing leaks                                  no_descriptor_is_left
 *                                                  without_memory_nothing_is_lost
 *                                                  without_memory_below_nothing_is_freed_twice
 *   fork                                           a_forked_child_can_only_close
 *
 * Packages: libevent_openssl openssl
 * With: lib/tls/bases.c lib/tls/engine.c lib/tls/tls.c
 */
#define _GNU_SOURCE 1 /* RTLD_NEXT */
#include "tls.h"

#include "fault.h"

#include <dlfcn.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <string.h>

/* --- who is there ----------------------------------------------------------------------------- */

/* A handshake that comes to nothing.  Both TLS are consumed. */
static void expect_refusal(struct anysync_tls *client, struct anysync_tls *server, const char *host,
        int code, const char *why)
{
    struct anysync_stream *stream = NULL;
    accept_tls_future task;
    int pair[2];

    open_pair(SOCKET, pair);
    CHECK_EQ(accept_tls_start(&task, server, pair[1]), 0);
    CHECK_EQ(anysync_tls_connect(client, pair[0], host, ANYSYNC_FOREVER, &stream), code);
    CHECK(stream == NULL);
    CHECK_CONTAINS(anysync_last_error()->message, host);
    CHECK_CONTAINS(anysync_last_error()->message, why);
    close(pair[0]);
    int error = accept_tls_wait(&task, &stream, ANYSYNC_FOREVER);
    CHECK(error == -EACCES || error == -EPROTO);
    accept_tls_drop(&task);
    close(pair[1]);
    anysync_tls_unref(client);
    anysync_tls_unref(server);
}

static void check_refused(void)
{
    struct anysync_tls *old = new_tls(NULL, "old.pem", "good.key", NULL);
    struct anysync_tls *other = new_tls(NULL, "other.pem", "other.key", NULL);

    expect_refusal(new_client(), new_server(), "there.test", -EACCES, "ostname mismatch");
    expect_refusal(new_client(), new_server(), "127.0.0.2", -EACCES, "IP address mismatch");
    expect_refusal(new_client(), old, "here.test", -EACCES, "certificate has expired");
    expect_refusal(new_client(), other, "here.test", -EACCES, "self");
    expect_refusal(new_tls("other.pem", NULL, NULL, NULL), new_server(), "here.test", -EACCES,
            "certificate verify failed");

    int pair[2];
    open_pair(SOCKET, pair);
    const struct anysync_tls_options blind = {.no_checks = true};
    close_both(shake_hands(new_tls("ca.pem", NULL, NULL, &blind),
            new_tls(NULL, "other.pem", "other.key", NULL), pair));
}

TEST(who_is_not_trusted_is_refused)
{
    in_every_world(check_refused);
}

TEST(a_client_may_have_to_sign_too)
{
    const struct anysync_tls_options strict = {.clients_sign = true};
    struct anysync_stream *stream = NULL;
    struct both both;
    char got;
    int pair[2];

    open_pair(SOCKET, pair);
    close_both(shake_hands(new_tls("ca.pem", "good.pem", "good.key", NULL),
            new_tls("ca.pem", "good.pem", "good.key", &strict), pair));
    /* In TLS 1.3 the client has shaken hands before it hears that it may not. */
    struct anysync_tls *client = new_client(),
                       *server = new_tls("ca.pem", "good.pem", "good.key", &strict);
    accept_tls_future task;
    open_pair(SOCKET, pair);
    CHECK_EQ(accept_tls_start(&task, server, pair[1]), 0);
    CHECK_EQ(anysync_tls_connect(client, pair[0], "here.test", ANYSYNC_FOREVER, &both.in), 0);
    CHECK_EQ(accept_tls_wait(&task, &stream, ANYSYNC_FOREVER), -EACCES);
    CHECK_CONTAINS(anysync_last_error()->message, "did not return a certificate");
    CHECK_EQ(anysync_stream_read(both.in, &got, 1, ANYSYNC_FOREVER), -EACCES);
    CHECK_CONTAINS(anysync_last_error()->message, "certificate required");
    CHECK_EQ(anysync_stream_write(both.in, "x", 1, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_flush(both.in, ANYSYNC_FOREVER), -EACCES);
    CHECK_EQ(anysync_stream_close(both.in, ANYSYNC_FOREVER), -EACCES);
    close(pair[1]);
    accept_tls_drop(&task);
    anysync_tls_unref(client);
    anysync_tls_unref(server);
}

/* --- handshakes that do not end well ---------------------------------------------------------- */

ANYSYNC_COROUTINE(void, connect_tls, (struct anysync_tls *, tls), (int, fd))
{
    struct anysync_stream *stream = NULL;

    return anysync_tls_connect(tls, fd, "here.test", ANYSYNC_FOREVER, &stream);
}

static void check_silent(void)
{
    struct anysync_tls *client = new_client(), *server = new_server();
    struct anysync_stream *stream = NULL;
    int pair[2];

    open_pair(SOCKET, pair);
    anysync_time deadline = anysync_in_us(300);
    CHECK_EQ(anysync_tls_connect(client, pair[0], "here.test", deadline, &stream), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_CONTAINS(anysync_last_error()->message, "host here.test: the deadline passed");
    CHECK_EQ(anysync_tls_accept(server, pair[0], ANYSYNC_POLL, &stream), -ETIMEDOUT);
    CHECK(stream == NULL);
    close_pair(pair);
    anysync_tls_unref(client);
    anysync_tls_unref(server);
}

static void check_silent_cancel(void)
{
    struct anysync_tls *client = new_client();
    connect_tls_future task;
    int pair[2];

    open_pair(SOCKET, pair);
    CHECK_EQ(connect_tls_start(&task, client, pair[0]), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_cancel_because(task.future, "enough"), 0);
    CHECK_EQ(connect_tls_wait(&task, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "enough");
    connect_tls_drop(&task);
    close_pair(pair);
    anysync_tls_unref(client);
}

TEST(a_silent_side_is_left_at_the_deadline)
{
    in_worlds(EVERYWHERE_AND_POOL, check_silent);
    CHECK_EQ(in_coroutine_run(check_silent_cancel), 0);
    CHECK_EQ(in_coroutine_run_here(check_silent_cancel), 0);
}

static void check_garbage(void)
{
    static const char garbage[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    struct anysync_tls *client = new_client(), *server = new_server();
    struct anysync_stream *stream = NULL;
    int pair[2];

    open_pair(SOCKET, pair);
    CHECK_EQ(write(pair[1], garbage, sizeof(garbage)), sizeof(garbage));
    CHECK_EQ(anysync_tls_connect(client, pair[0], "here.test", ANYSYNC_FOREVER, &stream), -EPROTO);
    CHECK_CONTAINS(anysync_last_error()->message, "wrong version number");
    close_pair(pair);
    open_pair(SOCKET, pair);
    CHECK_EQ(write(pair[1], "GET / HTTP/1.0\r\n\r\n", 18), 18);
    CHECK_EQ(anysync_tls_accept(server, pair[0], ANYSYNC_FOREVER, &stream), -EPROTO);
    CHECK_CONTAINS(anysync_last_error()->message, "http request");
    close_pair(pair);
    open_pair(SOCKET, pair);
    close(pair[1]);
    CHECK_EQ(anysync_tls_connect(client, pair[0], "here.test", ANYSYNC_FOREVER, &stream),
            -ECONNRESET);
    CHECK_CONTAINS(anysync_last_error()->message, "ended in the handshake");
    close(pair[0]);

    /* What is damaged later. */
    struct both both = open_tls();
    char got;
    CHECK_EQ(write(anysync_stream_descriptor(both.out), garbage, sizeof(garbage)), sizeof(garbage));
    CHECK_EQ(anysync_stream_read(both.in, &got, 1, ANYSYNC_FOREVER), -EPROTO);
    CHECK_CONTAINS(anysync_last_error()->message, "wrong version number");
    close_well(both.out);
    CHECK_EQ(anysync_stream_close(both.in, ANYSYNC_FOREVER), -EPROTO);
    anysync_tls_unref(client);
    anysync_tls_unref(server);
}

TEST(what_is_no_tls_is_told)
{
    in_every_world(check_garbage);
}

/* --- options ---------------------------------------------------------------------------------- */

static struct anysync_tls *with_protocols(bool is_server, const char *protocols)
{
    const struct anysync_tls_options options = {.protocols = protocols};

    return new_tls(
            "ca.pem", is_server ? "good.pem" : NULL, is_server ? "good.key" : NULL, &options);
}

TEST(protocols_are_agreed_on)
{
    struct anysync_tls *tls = NULL;
    int pair[2];

    open_pair(SOCKET, pair);
    struct both both = shake_hands(
            with_protocols(false, "spdy,http/1.1,h2"), with_protocols(true, "h2,http/1.1"), pair);
    CHECK_STR(anysync_tls_protocol(both.in), "h2");
    CHECK_STR(anysync_tls_protocol(both.out), "h2");
    close_both(both);
    expect_refusal(with_protocols(false, "h2"), with_protocols(true, "http/1.1"), "here.test",
            -EPROTO, "no application protocol");
    CHECK_EQ(anysync_tls_new(&(struct anysync_tls_options){.protocols = "h2,,a"}, &tls), -EINVAL);
    CHECK(tls == NULL);
}

TEST(files_that_are_of_no_use_are_named)
{
    struct anysync_tls *tls = NULL;
    struct anysync_stream *stream = NULL;
    const struct {
        struct anysync_tls_options options;
        const char *named;
    } bad[] = {
            {{.trust_file = file("none.pem")}, "none.pem"},
            {{.trust_file = file("good.key")}, "good.key"},
            {{.certificate_file = file("none.pem")}, "none.pem"},
            {{.certificate_file = file("good.pem")}, "good.pem"}, /* no key in there */
            {{.certificate_file = file("good.pem"), .key_file = file("other.key")}, "other.key"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQ(anysync_tls_new(&bad[i].options, &tls), -EACCES);
        CHECK_CONTAINS(anysync_last_error()->message, bad[i].named);
    }
    CHECK_EQ(anysync_tls_new(&(struct anysync_tls_options){.key_file = "a"}, &tls), -EINVAL);
    CHECK(tls == NULL);
    CHECK_EQ(anysync_tls_new(NULL, &tls), 0);
    CHECK_EQ(anysync_tls_accept(tls, 0, ANYSYNC_POLL, &stream), -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "needs a certificate");
    CHECK(anysync_tls_ref(tls) == tls);
    CHECK(anysync_tls_ssl_context(tls) != NULL);
    anysync_tls_unref(tls);
    anysync_tls_unref(tls);
    CHECK(anysync_tls_unref(NULL) == NULL);
    int pair[2];
    open_pair(SOCKET, pair);
    struct both both = {open_stream_of(pair[0]), open_stream_of(pair[1])};
    CHECK(anysync_tls_ssl(both.in) == NULL && anysync_tls_version(both.in) == NULL);
    close_both(both);
}

/* --- nothing is left -------------------------------------------------------------------------- */

/* A loop that never had to rest has no descriptors yet. */
ANYSYNC_COROUTINE(void, make_descriptors)
{
    CHECK(anysync_event_base() != NULL);
    return anysync_sleep(anysync_in_ms(1));
}

static void check_descriptors(void)
{
    close_both(open_tls());
    CHECK_EQ(make_descriptors_run_on(NULL), 0); /* the worker has all of its own */
    CHECK_EQ(make_descriptors(), 0);            /* and so has the loop of this world */
    int before = test_fd_count();
    enum { PAIRS = 20 };
    struct both both[PAIRS];

    for (int i = 0; i < PAIRS; i++)
        both[i] = open_tls();
    CHECK_GE(before + 4 * PAIRS + 40, test_fd_count());
    for (int i = 0; i < PAIRS; i++)
        close_both(both[i]);
    check_refused();
    check_garbage();
    check_silent();
    CHECK_EQ(test_fd_count(), before);
}

TEST(no_descriptor_is_left)
{
    check_descriptors();
}

static int open_and_close(void)
{
    struct anysync_tls *client = NULL;
    struct anysync_stream *stream = NULL;
    const struct anysync_tls_options options = {.trust_file = file("ca.pem"), .protocols = "h2"};
    int pair[2];

    int error = anysync_tls_new(&options, &client);
    if (error)
        return error;
    open_pair(SOCKET, pair);
    error = anysync_tls_connect(client, pair[0], "here.test", ANYSYNC_POLL, &stream);
    close_pair(pair);
    anysync_tls_unref(client);
    return error;
}

TEST(without_memory_nothing_is_lost)
{
    CHECK_EQ(open_and_close(), -ETIMEDOUT);
    for (int nth = 1;; nth++) {
        fault_fail("malloc", nth, false);
        int error = open_and_close();
        bool reached = fault_failed("malloc") > 0;
        fault_clear();
        CHECK(error == -ENOMEM || error == -ETIMEDOUT);
        if (!reached)
            break;
        CHECK_GE(100, nth);
    }
}

static bool filters_fail;            /* for want of memory */
static _Thread_local bool is_scarce; /* now, for libevent */

static void *scarce_malloc(size_t size)
{
    return is_scarce ? NULL : malloc(size);
}

/* In the place of libevent's, which is called.  (Later in there it does not survive that itself.)
 */
struct bufferevent *bufferevent_openssl_filter_new(struct event_base *base,
        struct bufferevent *below, struct ssl_st *ssl, enum bufferevent_ssl_state state,
        int options)
{
    struct bufferevent *(*original)(struct event_base *, struct bufferevent *, struct ssl_st *,
            enum bufferevent_ssl_state, int);
    void *address = dlsym(RTLD_NEXT, __func__);

    memcpy(&original, &address, sizeof(original));
    is_scarce = filters_fail;
    struct bufferevent *filter = original(base, below, ssl, state, options);
    is_scarce = false;
    return filter;
}

TEST(without_memory_below_nothing_is_freed_twice)
{
    event_set_mem_functions(scarce_malloc, realloc, free);
    CHECK_EQ(open_and_close(), -ETIMEDOUT);
    filters_fail = true;
    CHECK_EQ(open_and_close(), -ENOMEM);
    filters_fail = false;
    CHECK_EQ(open_and_close(), -ETIMEDOUT);
}

static int close_in_child(void *argument)
{
    struct both *both = argument;
    char got;

    CHECK_EQ(anysync_stream_read(both->in, &got, 1, ANYSYNC_POLL), -EOWNERDEAD);
    close_both(*both);
    close_both(open_tls()); /* new ones are fine */
    _exit(0); /* what OpenSSL keeps for threads that are not here would be taken for a leak */
}

TEST(a_forked_child_can_only_close)
{
    struct both both = open_tls();

    struct test_child child = test_child(close_in_child, &both);
    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
    say(both, "hello\n");
    expect_line(both.in, "hello");
    close_both(both);
}

TEST(a_host_that_is_none_is_told)
{
    struct anysync_tls *client = new_client();
    struct anysync_stream *stream = NULL;
    char name[300];
    int pair[2];

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    open_pair(SOCKET, pair);
    CHECK_EQ(anysync_tls_connect(client, pair[0], "", ANYSYNC_FOREVER, &stream), -EINVAL);
    CHECK_EQ(anysync_tls_connect(client, pair[0], name, ANYSYNC_FOREVER, &stream), -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "no host has such a name");
    close(pair[0]);
    close(pair[1]);
    anysync_tls_unref(client);
}

/* --- a second handshake ----------------------------------------------------------------------- */

/* A server of TLS 1.2 that asks for one more handshake, says a line, and listens. */
ANYSYNC_BLOCKING(void, renegotiate, (int, fd))
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    char heard[100];

    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    CHECK_EQ(SSL_CTX_use_certificate_chain_file(context, file("good.pem")), 1);
    CHECK_EQ(SSL_CTX_use_PrivateKey_file(context, file("good.key"), SSL_FILETYPE_PEM), 1);
    SSL *ssl = SSL_new(context);
    CHECK_EQ(SSL_set_fd(ssl, fd), 1);
    CHECK_EQ(SSL_accept(ssl), 1);
    CHECK_EQ(SSL_renegotiate(ssl), 1);
    CHECK_EQ(SSL_do_handshake(ssl), 1); /* asked for: it is done while we read */
    CHECK_EQ(SSL_write(ssl, "again\n", 6), 6);
    (void)!SSL_read(ssl, heard, sizeof(heard));
    SSL_free(ssl);
    SSL_CTX_free(context);
    return 0;
}

/* Who is in the middle of it has to read before it can write, and here nobody reads. */
TEST(nobody_is_made_to_shake_hands_again)
{
    struct anysync_tls *client = new_client();
    struct anysync_stream *stream = NULL;
    renegotiate_future server;
    int pair[2];

    open_pair(SOCKET, pair);
    CHECK_EQ(renegotiate_start(&server, pair[1]), 0);
    CHECK_EQ(anysync_tls_connect(client, pair[0], "here.test", ANYSYNC_FOREVER, &stream), 0);
    expect_line(stream, "again");
    CHECK_EQ(anysync_stream_write(stream, "hello\n", 6, anysync_in_seconds(1)), 0);
    CHECK_EQ(anysync_stream_flush(stream, anysync_in_seconds(1)), 0);
    CHECK_EQ(renegotiate_wait(&server, ANYSYNC_FOREVER), 0);
    renegotiate_drop(&server);
    (void)!anysync_stream_close(stream, ANYSYNC_FOREVER);
    close(pair[1]);
    anysync_tls_unref(client);
}
