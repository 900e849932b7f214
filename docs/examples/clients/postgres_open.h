/* SPDX-License-Identifier: MIT */
/* What postgres.c is made of: a connection of libpq, opened in any world. */
#ifndef CLIENTS_POSTGRES_OPEN_H
#define CLIENTS_POSTGRES_OPEN_H

#include <anysync.h>
#include <libpq-fe.h>
#include <stddef.h>

/* Open a connection, non-blocking, owned by the caller: PQfinish() it.  Parameters, Returns, Blocks
 * and Cancel as postgres_connect() (postgres.h). */
int postgres_open(
        const char *conninfo, anysync_time deadline, PGconn **ret_conn) ANYSYNC_MUST_CHECK;

/* Write a MESSAGE of libpq, which has several lines, into TEXT of SIZE bytes as one line.  Returns
 * TEXT. */
const char *postgres_one_line(char *text, size_t size, const char *message);

#endif
