/* SPDX-License-Identifier: MIT */
/*
 * HTTP: our server on evhttp, our client on libcurl (docs/examples/clients).
 *
 * Packages: libcurl libevent_core libevent_extra
 * With: docs/examples/clients/http.c docs/examples/clients/http_exchange.c
 * With: docs/examples/clients/curl_loop.c
 * With: docs/examples/clients/http_server.c docs/examples/clients/http_call.c
 *
 * W22-server  wrk with 64 connections on the first processor asks for six bytes for a second; the
 *   server is on the second: ours a coroutine for each request, by hand a callback of evhttp.
 * W22-client  64 transfers under way from the first processor, nginx on the second: ours a
 *   coroutine for each, by hand curl_multi_perform() and curl_multi_poll(), each handle used again.
 */
#include "bench.h"
#include "by_hand.h"
#include "http.h"
#include "http_server.h"
#include "nginx.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <pthread.h>
#include <sys/socket.h>

enum { AT_ONCE = 64, ANSWERS = 10000 };

static const char hello[] = "hello\n";

/* --- the server's row ------------------------------------------------------------------------- */

static int ports[BENCH_SIDES];

static int answer(struct http_call *call, void *unused)
{
    (void)unused;
    return http_reply(call, 200, "text/plain", hello, sizeof(hello) - 1);
}

ANYSYNC_COROUTINE(void, pin_server)
{
    bench_pin(bench_cores() > 1);
    return 0;
}

static void start_ours(void)
{
    static struct http_server *server; /* as long as the process */

    bench_check(pin_server_run(), "pin_server");
    bench_check(http_server_start("127.0.0.1:0", NULL, answer, NULL, &server), "http_server_start");
    ports[BENCH_OURS] = http_server_port(server);
}

static void on_request(struct evhttp_request *request, void *buffer)
{
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "text/plain");
    evbuffer_add(buffer, hello, sizeof(hello) - 1);
    evhttp_send_reply(request, 200, NULL, buffer);
}

static void *hand_server(void *base)
{
    bench_pin(bench_cores() > 1);
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static void start_by_hand(void)
{
    struct event_base *base = by_hand_base_new();
    struct evhttp *http = evhttp_new(base);
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    pthread_t thread;

    bench_check(!http, "evhttp_new");
    evhttp_set_gencb(http, on_request, evbuffer_new());
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    bench_check(!bound, "evhttp_bind_socket");
    bench_check(
            getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &size) != 0,
            "getsockname");
    ports[BENCH_BY_HAND] = ntohs(address.sin_port);
    bench_check(pthread_create(&thread, NULL, hand_server, base) != 0, "pthread_create");
}

static void set_up_servers(void)
{
    start_ours();
    start_by_hand();
}

/* What wrk says of the server on PORT in a second, as the time for COUNT answers. */
static int64_t ask_by_wrk(int port, int64_t count)
{
    char command[200], line[200];
    double rate = 0;

    bench_pin(0); /* wrk stays there */
    snprintf(command, sizeof(command), "wrk -t1 -c%d -d1 http://127.0.0.1:%d/ 2>&1", AT_ONCE, port);
    FILE *wrk = popen(command, "r");
    bench_check(!wrk, "wrk");
    while (fgets(line, sizeof(line), wrk)) {
        sscanf(line, "Requests/sec: %lf", &rate);
        bench_check(strstr(line, "Socket errors") || strstr(line, "Non-2xx"), "an answer");
    }
    bench_check(pclose(wrk) != 0 || rate <= 0, "wrk");
    bench_unpin();
    return (int64_t)((double)count / rate * 1e9);
}

static int64_t server_ours(int64_t count)
{
    return ask_by_wrk(ports[BENCH_OURS], count);
}

static int64_t server_by_hand(int64_t count)
{
    return ask_by_wrk(ports[BENCH_BY_HAND], count);
}

/* --- the client's row ------------------------------------------------------------------------- */

static char url[100];
static struct http_client *client;
static int64_t left;

static void set_up_clients(void)
{
    struct http_options options = {.at_once = AT_ONCE};

    bench_pin(bench_cores() > 1);
    start_nginx(); /* which stays there */
    bench_unpin();
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/hello", nginx.port);
    bench_check(http_open(&options, &client), "http_open");
}

ANYSYNC_COROUTINE(void, get_some)
{
    struct http_answer got;
    int error = 0;

    while (!error && left-- > 0) {
        error = http_get(&got, client, url);
        if (!error)
            http_answer_free(&got);
    }
    return error;
}

ANYSYNC_COROUTINE(int64_t, get_all, (int64_t, count))
{
    int error = 0;

    bench_pin(0);
    left = count;
    int64_t start = bench_now_ns();
    ANYSYNC_GROUP(group, &error)
    {
        for (int i = 0; i < AT_ONCE && !error; i++)
            error = get_some_spawn(group, NULL);
    }
    *result = bench_now_ns() - start;
    return error;
}

static int64_t client_ours(int64_t count)
{
    int64_t took = 0;

    bench_check(get_all_run(&took, count), "get_all");
    return took;
}

struct body {
    char *data;
    size_t size;
};

static size_t on_data(char *data, size_t one, size_t size, void *context)
{
    struct body *body = context;

    body->data = realloc(body->data, body->size + size * one + 1);
    bench_check(!body->data, "memory");
    memcpy(body->data + body->size, data, size * one);
    body->size += size * one;
    return size * one;
}

static int64_t client_by_hand(int64_t count)
{
    static CURLM *multi;
    static CURL *easy[AT_ONCE];
    static struct body bodies[AT_ONCE];
    int running, messages;
    int64_t begun = 0, done = 0;

    bench_pin(0);
    for (int i = 0; i < AT_ONCE && !multi; i++) {
        easy[i] = curl_easy_init();
        curl_easy_setopt(easy[i], CURLOPT_URL, url);
        curl_easy_setopt(easy[i], CURLOPT_WRITEFUNCTION, on_data);
        curl_easy_setopt(easy[i], CURLOPT_WRITEDATA, &bodies[i]);
        curl_easy_setopt(easy[i], CURLOPT_PRIVATE, &bodies[i]);
    }
    multi = multi ? multi : curl_multi_init();
    int64_t start = bench_now_ns();
    for (; begun < AT_ONCE && begun < count; begun++)
        curl_multi_add_handle(multi, easy[begun]);
    while (done < count) {
        CURLMsg *message;
        curl_multi_perform(multi, &running);
        while ((message = curl_multi_info_read(multi, &messages))) {
            CURL *ended = message->easy_handle;
            struct body *body;
            bench_check(message->data.result != CURLE_OK, "a transfer");
            curl_easy_getinfo(ended, CURLINFO_PRIVATE, &body);
            free(body->data);
            *body = (struct body){0};
            curl_multi_remove_handle(multi, ended);
            done++;
            if (begun++ < count)
                curl_multi_add_handle(multi, ended);
        }
        if (done < count)
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    start = bench_now_ns() - start;
    bench_unpin();
    return start;
}

static double most_of_by_hand(const double *medians)
{
    return medians[BENCH_BY_HAND] * 0.9;
}

const struct bench_row bench_rows[] = {
        {.key = "W22-server",
                .work = "W22 HTTP server, wrk with 64 connections",
                .unit = BENCH_THOUSANDS,
                .run = {server_ours, server_by_hand},
                .count = ANSWERS,
                .setup = set_up_servers,
                .repetitions = 5,
                .target = "0.9 x by hand",
                .limit = most_of_by_hand},
        {.key = "W22-client",
                .work = "W22 HTTP client, 64 transfers at once",
                .unit = BENCH_THOUSANDS,
                .run = {client_ours, client_by_hand},
                .setup = set_up_clients},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
