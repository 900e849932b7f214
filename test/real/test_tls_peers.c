/* SPDX-License-Identifier: MIT */
/*
 * TLS streams with OpenSSL's own client and server, which are killed, paused, and absent; and with
 * nginx.
 *
 * Promised                                       Tested by
 *   we understand one another                      their_server_answers
 *                                                  their_client_is_answered
 *                                                  tls_1_2_is_understood_too
 *                                                  nginx_is_understood
 *   absent, then there                             an_absent_server_is_named
 *   killed: told, and a new connection works       a_killed_server_is_told_from_one_that_ends
 *   paused: deadlines hold, and it goes on         a_paused_server_does_not_hold_us_up
 *   somebody else is there                         what_is_no_tls_server_is_named
 *
 * Packages: libevent_openssl openssl
 * With: lib/tls/bases.c lib/tls/engine.c lib/tls/tls.c
 */
#include "nginx.h"
#include "tls.h"

#include <anysync/net.h>

/* A server that sends each line back in reverse.  MORE: an option of it, or NULL. */
static void start_theirs(struct server *theirs, const char *more)
{
    char port[16];
    int number = theirs->port ? theirs->port : server_free_port();

    snprintf(port, sizeof(port), "%d", number);
    server_start(theirs, number, NULL,
            (const char *[]){"openssl", "s_server", "-quiet", "-rev", "-accept", port, "-cert",
                    file("good.pem"), "-key", file("good.key"), more, NULL});
}

static struct anysync_stream *dial(const struct server *server)
{
    struct anysync_tls *tls = new_client();
    struct anysync_stream *stream = NULL;
    char port[16];

    snprintf(port, sizeof(port), "%d", server->port);
    CHECK_EQ(anysync_tls_dial(tls, "127.0.0.1", port, ANYSYNC_FOREVER, &stream), 0);
    anysync_tls_unref(tls);
    return stream;
}

static void expect_reversed(struct anysync_stream *stream)
{
    struct both both = {stream, stream};

    say(both, "olleh\n");
    expect_line(stream, "hello");
}

static struct server theirs;

static void check_theirs(void)
{
    struct anysync_stream *stream = dial(&theirs);

    CHECK_STR(anysync_tls_version(stream), "TLSv1.3");
    for (int i = 0; i < 10; i++)
        expect_reversed(stream);
    close_well(stream);
}

TEST(their_server_answers)
{
    start_theirs(&theirs, NULL);
    in_worlds(EVERYWHERE_AND_POOL, check_theirs);
    server_kill(&theirs);
}

static void get(struct anysync_stream *stream, const char *path)
{
    char request[100];

    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: here.test\r\n\r\n", path);
    CHECK_EQ(anysync_stream_write(stream, request, strlen(request), ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_flush(stream, ANYSYNC_FOREVER), 0);
}

/* The head of the answer; its length of the body. */
static size_t read_head(struct anysync_stream *stream)
{
    const char *found;
    char *head = NULL;
    size_t size;

    CHECK_EQ(anysync_stream_read_until(stream, "\r\n\r\n", 4, 4000, &head, &size, ANYSYNC_FOREVER),
            0);
    CHECK_CONTAINS(head, "HTTP/1.1 200 OK");
    found = strstr(head, "Content-Length: ");
    CHECK(found != NULL);
    size = strtoul(found + strlen("Content-Length: "), NULL, 10);
    return size;
}

static void check_nginx(void)
{
    struct anysync_tls_options trust = {.trust_file = nginx.certificate};
    struct anysync_stream *stream = NULL;
    struct anysync_tls *tls = NULL;
    static char bytes[1 << 20];
    char port[16];

    snprintf(port, sizeof(port), "%d", nginx.tls_port);
    CHECK_EQ(anysync_tls_new(&trust, &tls), 0);
    CHECK_EQ(anysync_tls_dial(tls, "127.0.0.1", port, ANYSYNC_FOREVER, &stream), 0);
    anysync_tls_unref(tls);
    for (int i = 0; i < 3; i++) { /* on one connection */
        get(stream, "/hello");
        CHECK_EQ(read_head(stream), 6);
        CHECK_EQ(anysync_stream_read_exactly(stream, bytes, 6, ANYSYNC_FOREVER), 0);
        CHECK_EQ(memcmp(bytes, "hello\n", 6), 0);
    }
    get(stream, "/big");
    CHECK_EQ(read_head(stream), NGINX_BIG);
    for (size_t left = NGINX_BIG; left > 0; left -= sizeof(bytes))
        CHECK_EQ(anysync_stream_read_exactly(stream, bytes, sizeof(bytes), ANYSYNC_FOREVER), 0);
    get(stream, "/hello");
    CHECK_EQ(read_head(stream), 6);
    close_well(stream);
}

TEST(nginx_is_understood)
{
    start_nginx();
    in_worlds(EVERYWHERE_AND_POOL, check_nginx);
    server_kill(&nginx.server);
}

static void check_older(void)
{
    struct anysync_stream *stream = dial(&theirs);

    CHECK_STR(anysync_tls_version(stream), "TLSv1.2");
    expect_reversed(stream);
    close_well(stream);
}

TEST(tls_1_2_is_understood_too)
{
    start_theirs(&theirs, "-tls1_2");
    in_every_world(check_older);
    server_kill(&theirs);
}

/* --- our server ------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, echo_line, (int, listener))
{
    struct anysync_tls *tls = new_server();
    struct anysync_stream *stream = NULL;
    char *data = NULL;
    size_t size = 0;
    int error = 0;

    do { /* who only looks whether we listen has not shaken hands */
        int fd = anysync_accept(listener, NULL, NULL, ANYSYNC_FOREVER);
        CHECK_GE(fd, 0);
        error = anysync_tls_accept(tls, fd, ANYSYNC_FOREVER, &stream);
        if (error)
            close(fd);
    } while (error == -ECONNRESET);
    CHECK_EQ(error, 0);
    CHECK_EQ(anysync_stream_read_until(stream, "\n", 1, 99, &data, &size, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_write(stream, "you said ", 9, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_write(stream, data, size, ANYSYNC_FOREVER), 0);
    close_well(stream);
    anysync_tls_unref(tls);
    return 0;
}

/* What openssl's client makes of us: it checks us, sends a line, and writes what it was told. */
static const char ask[] = "echo hello | openssl s_client -quiet -connect $0 -CAfile $1 "
                          "-verify_return_error -verify_hostname here.test >$2";

TEST(their_client_is_answered)
{
    char address[ANYSYNC_ADDRESS_SIZE], text[64] = "";
    struct server client = {0};
    echo_line_future task;
    int listener = -1;

    CHECK_EQ(anysync_listen("127.0.0.1:0", 0, &listener), 0);
    CHECK_EQ(anysync_local_address(listener, address), 0);
    const char *said = file("said");
    CHECK_EQ(echo_line_start(&task, listener), 0);
    CHECK_EQ(server_run(&client, NULL,
                     (const char *[]){"sh", "-c", ask, address, file("ca.pem"), said, NULL}),
            0);
    CHECK_EQ(echo_line_wait(&task, ANYSYNC_FOREVER), 0);
    echo_line_drop(&task);
    close(listener);
    FILE *answer = fopen(said, "r");
    CHECK(answer != NULL);
    CHECK(fgets(text, sizeof(text), answer) != NULL);
    fclose(answer);
    CHECK_STR(text, "you said hello");
}

/* --- faults ----------------------------------------------------------------------------------- */

static void check_absent(void)
{
    struct anysync_tls *tls = new_client();
    struct anysync_stream *stream = NULL;
    char port[16];

    snprintf(port, sizeof(port), "%d", theirs.port);
    CHECK_EQ(anysync_tls_dial(tls, "127.0.0.1", port, ANYSYNC_FOREVER, &stream), -ECONNREFUSED);
    CHECK_CONTAINS(anysync_last_error()->message, "127.0.0.1");
    CHECK_CONTAINS(anysync_last_error()->message, port);
    CHECK(stream == NULL);
    anysync_tls_unref(tls);
}

TEST(an_absent_server_is_named)
{
    theirs.port = server_free_port();
    in_every_world(check_absent);
    start_theirs(&theirs, NULL);
    in_every_world(check_theirs);
    server_kill(&theirs);
    in_every_world(check_absent);
}

static void check_killed(void)
{
    char got[9], address[ANYSYNC_ADDRESS_SIZE];

    start_theirs(&theirs, NULL);
    struct anysync_stream *stream = dial(&theirs);
    expect_reversed(stream);
    CHECK_EQ(anysync_peer_address(anysync_stream_descriptor(stream), address), 0);
    server_kill(&theirs);
    CHECK_EQ(anysync_stream_read_exactly(stream, got, 9, ANYSYNC_FOREVER), -ECONNRESET);
    CHECK_CONTAINS(anysync_last_error()->message, address);
    CHECK_CONTAINS(anysync_last_error()->message, "without close_notify");
    CHECK_EQ(anysync_stream_close(stream, ANYSYNC_FOREVER), 0); /* nothing was to be sent */
    start_theirs(&theirs, NULL);
    check_theirs();
    server_kill(&theirs);
}

TEST(a_killed_server_is_told_from_one_that_ends)
{
    in_every_world(check_killed);
}

static void check_paused(void)
{
    struct anysync_stream *stream = dial(&theirs);
    struct anysync_stream *other = NULL;
    struct anysync_tls *tls = new_client();
    char got[6] = "", port[16];

    expect_reversed(stream);
    server_pause(&theirs);
    CHECK_EQ(anysync_stream_write(stream, "olleh\n", 6, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_flush(stream, ANYSYNC_FOREVER), 0);
    anysync_time deadline = anysync_in_ms(1);
    CHECK_EQ(anysync_stream_read_exactly(stream, got, 5, deadline), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    snprintf(port, sizeof(port), "%d", theirs.port);
    CHECK_EQ(anysync_tls_dial(tls, "127.0.0.1", port, anysync_in_ms(5), &other), -ETIMEDOUT);
    CHECK(other == NULL);
    server_go_on(&theirs);
    CHECK_EQ(anysync_stream_read_exactly(stream, got, 5, ANYSYNC_FOREVER), 0);
    CHECK_STR(got, "hello");
    close_well(stream);
    anysync_tls_unref(tls);
}

TEST(a_paused_server_does_not_hold_us_up)
{
    start_theirs(&theirs, NULL);
    in_every_world(check_paused);
    server_kill(&theirs);
}

static void check_pretender(void)
{
    static const char texts[][40] = {"220 mail.test ESMTP\r\n", "\x16\x03\x03\xff\xff garbage", ""};
    struct anysync_tls *tls = new_client();
    struct anysync_stream *stream = NULL;
    char port[16];

    for (int i = 0; i < 3; i++) {
        struct server pretender = {0};
        server_pretend(&pretender, 0, texts[i], strlen(texts[i]), true);
        snprintf(port, sizeof(port), "%d", pretender.port);
        int error = anysync_tls_dial(tls, "127.0.0.1", port, ANYSYNC_FOREVER, &stream);
        CHECK(error == -EPROTO || error == -ECONNRESET || error == -EPIPE);
        CHECK(i == 2 || error != -EPIPE);
        CHECK_CONTAINS(anysync_last_error()->message, "127.0.0.1");
        CHECK(stream == NULL);
        server_kill(&pretender);
    }
    anysync_tls_unref(tls);
}

TEST(what_is_no_tls_server_is_named)
{
    in_every_world(check_pretender);
}
