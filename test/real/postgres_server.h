/* SPDX-License-Identifier: MIT */
/*
 * A PostgreSQL server of a test's own: a new cluster, who is let in is everybody on this machine as
 * user postgres, nothing is synced.  It listens on 127.0.0.1 and on a socket in its folder.
 */
#ifndef TEST_REAL_POSTGRES_SERVER_H
#define TEST_REAL_POSTGRES_SERVER_H

#include "servers.h"

/* Make a cluster in SERVER's folder, which is made. */
void postgres_server_new(struct server *server);

/* The same, as a copy of FROM, which does not run: that is faster. */
void postgres_server_copy(const struct server *from, struct server *server);

/* Start it, and wait until it takes connections; on the port it had before if it had one. */
void postgres_server_start(struct server *server);

/* End it, with all who are connected. */
void postgres_server_stop(struct server *server);

/* Kill the server's first process, and wait until the others have noticed. */
void postgres_server_kill(struct server *server);

/* How to connect to it; MORE is added: "sslmode=disable".  Kept until the next call. */
const char *postgres_server_info(const struct server *server, const char *more);

/* Where PROGRAM of the newest PostgreSQL of this machine is, as psql or pgbench.  Kept for ever. */
const char *postgres_program(const char *program);

#endif
