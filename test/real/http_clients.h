/* SPDX-License-Identifier: MIT */
/* What the tests of the HTTP client share. */
#ifndef TEST_REAL_HTTP_CLIENTS_H
#define TEST_REAL_HTTP_CLIENTS_H

#include "http.h"
#include "nginx.h"
#include "worlds.h"

#include <errno.h>

static struct http_client *client;

static inline const char *url_of(const char *path)
{
    static char urls[4][SERVER_PATH];
    static int turn;
    char *url = urls[turn++ % 4];

    snprintf(url, SERVER_PATH, "http://127.0.0.1:%d%s", nginx.port, path);
    return url;
}

static inline const char *tls_url_of(const char *path)
{
    static char url[SERVER_PATH];

    snprintf(url, SERVER_PATH, "https://127.0.0.1:%d%s", nginx.tls_port, path);
    return url;
}

static inline const char *said(void)
{
    return anysync_last_error()->message;
}

static inline void open_client(void)
{
    CHECK_EQ(http_open(NULL, &client), 0);
}

/* GET of URL ends with ERROR, and the sentence has ADDRESS and PART. */
static inline void expect_failure(const char *url, int error, const char *part)
{
    struct http_answer answer = {0};

    CHECK_EQ(http_get(&answer, client, url), error);
    CHECK_CONTAINS(said(), url);
    CHECK_CONTAINS(said(), part);
    CHECK(!answer.body);
}

static inline void expect_hello_from(const char *url)
{
    struct http_answer answer = {0};
    int error = http_get(&answer, client, url);

    if (error)
        test_fail(TEST_HERE, "%s", said());
    CHECK_EQ(answer.status, 200);
    CHECK_STR(answer.body, "hello\n");
    http_answer_free(&answer);
}

static inline void expect_hello(void)
{
    expect_hello_from(url_of("/hello"));
}

/* Three bodies that are not wanted to their end. */
static inline void leave_in_the_middle(void)
{
    for (int i = 0; i < 3; i++) {
        int error = 0;
        ANYSYNC_WITH(http_exchanging, exchange, &error, client,
                (struct http_request){.url = url_of(i == 1 ? "/slow" : "/big")})
        {
            ANYSYNC_FOR(http_body, chunk, &error, exchange)
            {
                CHECK_GE(chunk.size, 1);
                break;
            }
        }
        CHECK_EQ(error, 0);
    }
    expect_hello();
}

#endif
