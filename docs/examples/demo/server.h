/* SPDX-License-Identifier: MIT */
/*
 * A small web server on a worker thread of its own: it offers the regular files below a folder, and
 * a few paths that misbehave, for tests of the client:
 *
 *      /slow      never answers
 *      /die       promises a long document and closes the connection in the middle
 *      /garbage   says something that is not HTTP
 *      anything unknown is answered 404
 */
#ifndef DEMO_SERVER_H
#define DEMO_SERVER_H

#include <anysync.h>

struct server {
    struct anysync_executor *executor;
    int port; /* on 127.0.0.1 */
};

/*
 * Start a server of the files below FOLDER (borrowed for the call) on a free port of 127.0.0.1.
 * Returns 0, or a negative code with its sentence.  server_stop() it after 0.
 */
int server_start(struct server *server, const char *folder);

/* Close all its connections and end its thread. */
void server_stop(struct server *server);

#endif
