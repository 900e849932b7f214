/* SPDX-License-Identifier: MIT */
/* A Redis for tests and benchmarks (servers.h). */
#ifndef TEST_REAL_REDIS_SERVER_H
#define TEST_REAL_REDIS_SERVER_H

#include "servers.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between server_free_port() and the start somebody else may have taken the port, and answers in
 * SERVER's place: say so, before a test waits for what happens elsewhere. */
static inline void redis_server_check(const struct server *server)
{
    redisContext *context = redisConnect("127.0.0.1", server->port);
    redisReply *reply = context && !context->err ? redisCommand(context, "INFO server") : NULL;
    const char *pid = reply && reply->str ? strstr(reply->str, "process_id:") : NULL;

    /* Without INFO it is loading its data, which somebody's fresh one does not. */
    if (reply && reply->type != REDIS_REPLY_ERROR && (!pid || atoi(pid + 11) != server->pid)) {
        fprintf(stderr, "port %d was taken by somebody else: run this again\n", server->port);
        abort();
    }
    if (reply)
        freeReplyObject(reply);
    if (context)
        redisFree(context);
}

/* Start one on PORT, with its data in SERVER's folder.  KEEPS: what it said it has done is on disk,
 * and there again after a kill. */
static inline void redis_server_start(struct server *server, int port, bool keeps)
{
    char number[16];

    if (!server->folder[0])
        server_folder(server->folder);
    snprintf(number, sizeof(number), "%d", port);
    server_start(server, port, NULL,
            (const char *const[]){"redis-server", "--port", number, "--bind", "127.0.0.1", "--save",
                    "", "--dir", server->folder, "--appendonly", keeps ? "yes" : "no",
                    "--appendfsync", keeps ? "always" : "no", NULL});
    redis_server_check(server);
}

#endif
