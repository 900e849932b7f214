/* SPDX-License-Identifier: MIT */
/*
 * The smallest HTTP that examples can talk to each other with: a server on a loop of its own, and
 * a client.  Both are coroutine functions; the client is called from anywhere.  One file includes
 * it.
 */
#ifndef TINY_HTTP_H
#define TINY_HTTP_H

#include <anysync.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_page {
    int status;
    char text[100];
};

/* Fetch PATH of the server at PORT of this machine. */
ANYSYNC_COROUTINE_DECLARE(struct http_page, http_get, (int, port), (const char *, path));

static inline struct sockaddr_in http_address(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
            .sin_port = htons((unsigned short)port),
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Write TEXT, then read to the end, or until END was read.  Waits only by calls of the library. */
static inline int http_exchange(
        int fd, const char *text, char *buffer, size_t size, const char *end, anysync_time deadline)
{
    size_t used = 0;

    while (*text) {
        ssize_t written = anysync_write(fd, text, strlen(text), deadline);
        if (written < 0)
            return (int)written;
        text += written;
    }
    for (buffer[0] = '\0'; used < size - 1 && !(end && strstr(buffer, end));) {
        ssize_t got = anysync_read(fd, buffer + used, size - 1 - used, deadline);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        used += (size_t)got;
        buffer[used] = '\0';
    }
    return 0;
}

ANYSYNC_COROUTINE_DEFINE(struct http_page, http_get, (int, port), (const char *, path))
{
    struct sockaddr_in address = http_address(port);
    anysync_time deadline = anysync_in_seconds(30);
    char request[200], reply[400];
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        return anysync_fail(-errno, "no socket: %s", strerror(errno));
    snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", path);
    int error = anysync_connect(fd, (struct sockaddr *)&address, sizeof(address), deadline);
    if (!error)
        error = http_exchange(fd, request, reply, sizeof(reply), NULL, deadline);
    close(fd);
    if (error)
        return error;
    const char *text = strstr(reply, "\r\n\r\n");
    if (!text || sscanf(reply, "HTTP/1.0 %d", &result->status) != 1)
        return anysync_fail(-EPROTO, "what came is not HTTP");
    snprintf(result->text, sizeof(result->text), "%.99s", text + 4);
    return 0;
}

/* The server's answer to one request: a page that names its path; 404 for /missing. */
ANYSYNC_COROUTINE(void, http_answer, (int, fd))
{
    char request[200], path[80] = "", reply[300];
    anysync_time deadline = anysync_in_seconds(30);
    int error = http_exchange(fd, "", request, sizeof(request), "\r\n\r\n", deadline);

    if (!error && sscanf(request, "GET %79s", path) == 1) {
        bool missing = strcmp(path, "/missing") == 0;
        snprintf(reply, sizeof(reply), "HTTP/1.0 %s\r\n\r\npage of %s",
                missing ? "404 Not Found" : "200 OK", path);
        error = http_exchange(fd, reply, request, 1, NULL, deadline);
    }
    close(fd);
    return error;
}

/* Answers nobody until TOGETHER requests are there: who asks one after the other waits for ever. */
ANYSYNC_COROUTINE(void, http_serve, (int, listener), (int, together))
{
    enum { MOST = 10 };
    int asking[MOST];

    for (;;) {
        for (int i = 0; i < together && i < MOST; i++) {
            asking[i] = anysync_accept(listener, NULL, NULL, ANYSYNC_FOREVER);
            if (asking[i] < 0)
                return asking[i];
        }
        for (int i = 0; i < together && i < MOST; i++) {
            int error = http_answer_start(NULL, asking[i]);
            if (error)
                return error;
        }
    }
}

/* Start a server on a thread of its own, until the process ends.  Returns its port, or an error. */
static inline int http_start(int together)
{
    static struct anysync_executor *server;
    struct sockaddr_in address = http_address(0);
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 10) ||
            fcntl(listener, F_SETFL, O_NONBLOCK) ||
            getsockname(listener, (struct sockaddr *)&address, &size))
        return anysync_fail(-errno, "no server: %s", strerror(errno));
    int error = anysync_executor_new(NULL, &server);
    if (!error)
        error = http_serve_start_on(server, NULL, listener, together);
    return error ? error : ntohs(address.sin_port);
}

#endif
