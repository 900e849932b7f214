/* SPDX-License-Identifier: MIT */
/*
 * PostgreSQL: reads by primary key, a prepared statement each, on 1, 8 and 32 connections.
 *
 * Packages: libpq
 * With: docs/examples/clients/postgres.c docs/examples/clients/postgres_open.c
 * With: test/real/postgres_server.c
 *
 * Ours is a coroutine for each connection, all on one loop.  By hand is pgbench, PostgreSQL's own
 * program for this, with as many connections on one thread, the same table, statement and protocol:
 * what counts is the rate it prints, in which its start and its connects are left out, as here.
 * The floor is libpq alone: its descriptors in one poll(), nothing between.
 *
 * The server is the same for all, and has a process for each connection: most of the time is its.
 */
#include "bench.h"
#include "postgres.h"
#include "postgres_server.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 32, ACCOUNTS = 100000 };

static struct server server;
static struct postgres *dbs[MOST];
static PGconn *conns[MOST];

/* A pseudo-random key as text; STATE is the caller's. */
static void next_key(uint64_t *state, char text[16])
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    snprintf(text, 16, "%d", 1 + (int)((*state >> 33) % ACCOUNTS));
}

/* --- ours ------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, read_accounts, (int, index), (int64_t, count))
{
    char key[16];
    const char *const values[] = {key};
    struct postgres_query query = {.prepared = "read", .count = 1, .values = values};
    uint64_t state = (uint64_t)index;

    for (int64_t i = 0; i < count; i++) {
        PGresult *row = NULL;

        next_key(&state, key);
        int error = postgres_query(dbs[index], &query, ANYSYNC_FOREVER, &row);
        if (error)
            return error;
        bench_check(PQntuples(row) != 1, "an account");
        PQclear(row);
    }
    return 0;
}

static int64_t ours(int64_t count, int connections)
{
    read_accounts_future soon[MOST];
    int64_t start = bench_now_ns();

    for (int i = 0; i < connections; i++)
        bench_check(read_accounts_start(&soon[i], i, count / connections), "start");
    for (int i = 0; i < connections; i++) {
        if (read_accounts_wait(&soon[i], ANYSYNC_FOREVER))
            bench_check(1, anysync_last_error()->message);
        read_accounts_drop(&soon[i]);
    }
    return bench_now_ns() - start;
}

/* --- pgbench ---------------------------------------------------------------------------------- */

static int64_t pgbench(int64_t count, int connections)
{
    char command[1000], line[400];
    double rate = 0;

    snprintf(command, sizeof(command),
            "%s -n -S -M prepared -c %d -j 1 -t %lld -h %s -p %d -U postgres postgres 2>&1",
            postgres_program("pgbench"), connections, (long long)(count / connections),
            server.folder, server.port);
    FILE *output = popen(command, "r");
    bench_check(output == NULL, "pgbench");
    while (fgets(line, sizeof(line), output))
        if (sscanf(line, "tps = %lf (without", &rate) != 1 && strstr(line, "error"))
            fputs(line, stderr);
    bench_check(pclose(output) != 0 || rate <= 0, "pgbench");
    return (int64_t)((double)count * 1e9 / rate);
}

/* --- libpq alone ------------------------------------------------------------------------------ */

static void send_one(PGconn *conn, uint64_t *state)
{
    char key[16];
    const char *const values[] = {key};

    next_key(state, key);
    bench_check(!PQsendQueryPrepared(conn, "read", 1, values, NULL, NULL, 0), "send");
}

/* Take what has come.  Returns whether the answer is complete. */
static bool take(PGconn *conn)
{
    bench_check(!PQconsumeInput(conn), "consume");
    while (!PQisBusy(conn)) {
        PGresult *result = PQgetResult(conn);

        if (!result)
            return true;
        bench_check(PQntuples(result) != 1, "an account");
        PQclear(result);
    }
    return false;
}

static int64_t libpq_alone(int64_t count, int connections)
{
    struct pollfd sockets[MOST];
    uint64_t states[MOST];
    int64_t left[MOST], going = connections, start = bench_now_ns();

    for (int i = 0; i < connections; i++) {
        sockets[i] = (struct pollfd){.fd = PQsocket(conns[i]), .events = POLLIN};
        states[i] = (uint64_t)i;
        left[i] = count / connections;
        send_one(conns[i], &states[i]);
    }
    while (going > 0) {
        bench_check(poll(sockets, (nfds_t)connections, -1) < 0, "poll");
        for (int i = 0; i < connections; i++) {
            if (!(sockets[i].revents & POLLIN) || !take(conns[i]))
                continue;
            if (--left[i] > 0) {
                send_one(conns[i], &states[i]);
            } else {
                sockets[i].fd = -1;
                going--;
            }
        }
    }
    return bench_now_ns() - start;
}

/* --- rows ------------------------------------------------------------------------------------- */

static void set_up(void)
{
    static const char sql[] = "SELECT abalance FROM pgbench_accounts WHERE aid = $1";
    char info[400];

    postgres_server_new(&server);
    postgres_server_start(&server);
    snprintf(info, sizeof(info), "%d", server.port);
    const char *const init[] = {postgres_program("pgbench"), "-i", "-q", "-h", server.folder, "-p",
            info, "-U", "postgres", "postgres", NULL};
    bench_check(server_run(&server, "postgres", init), "pgbench -i");
    snprintf(info, sizeof(info), "host=%s port=%d user=postgres dbname=postgres", server.folder,
            server.port);
    for (int i = 0; i < MOST; i++) {
        bench_check(postgres_connect(info, anysync_in_seconds(60), &dbs[i]), "connect");
        bench_check(postgres_prepare(dbs[i], "read", sql, anysync_in_seconds(60)), "prepare");
        conns[i] = PQconnectdb(info);
        PQclear(PQprepare(conns[i], "read", sql, 0, NULL));
        bench_check(PQstatus(conns[i]) != CONNECTION_OK, "connect");
    }
}

__attribute__((destructor)) static void tear_down(void)
{
    postgres_server_stop(&server);
}

static double nearly_pgbench(const double medians[BENCH_MEDIANS])
{
    return medians[BENCH_BY_HAND] * 0.9;
}

#define SIDES(connections)                                                                         \
    static int64_t ours_##connections(int64_t count)                                               \
    {                                                                                              \
        return ours(count, connections);                                                           \
    }                                                                                              \
    static int64_t pgbench_##connections(int64_t count)                                            \
    {                                                                                              \
        return pgbench(count, connections);                                                        \
    }                                                                                              \
    static int64_t alone_##connections(int64_t count)                                              \
    {                                                                                              \
        return libpq_alone(count, connections);                                                    \
    }
SIDES(1)
SIDES(8)
SIDES(32)

#define ROW(connections, operations)                                                               \
    {                                                                                              \
        .key = "W23-" #connections, .work = "W23 PostgreSQL, " #connections " connections",        \
        .unit = BENCH_THOUSANDS,                                                                   \
        .run = {ours_##connections, pgbench_##connections, alone_##connections},                   \
        .count = operations, .setup = set_up, .target = "0.9 x pgbench", .limit = nearly_pgbench   \
    }

const struct bench_row bench_rows[] = {ROW(1, 8000), ROW(8, 32000), ROW(32, 32000)};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
