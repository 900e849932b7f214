/* SPDX-License-Identifier: MIT */
/*
 * PostgreSQL servers of tests (postgres_server.h).
 *
 * Packages: libpq
 *
 * A server that is killed leaves a small segment of shared memory behind, by which the next one in
 * the same folder sees whether somebody of the old one is there still.  So who kills one waits
 * until nobody is; and who starts one ends it properly in the end, or segments pile up.
 */
#include "postgres_server.h"

#include <errno.h>
#include <glob.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 6000, TRY_NS = 10000000, SEGMENT_LINE = 7 };

static void __attribute__((noreturn)) give_up(const char *what, const struct server *server)
{
    fprintf(stderr, "%s: see %s/log\n", what, server->folder);
    abort();
}

const char *postgres_program(const char *program)
{
    static char path[4][SERVER_PATH];
    static int next;
    char pattern[SERVER_PATH];
    glob_t found;

    snprintf(pattern, sizeof(pattern), "/usr/lib/postgresql/*/bin/%s", program);
    if (glob(pattern, 0, NULL, &found) != 0)
        return program; /* perhaps it is in PATH */
    char *result = path[next++ % 4];
    snprintf(result, SERVER_PATH, "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return result;
}

const char *postgres_server_info(const struct server *server, const char *more)
{
    static _Thread_local char text[512];

    snprintf(text, sizeof(text), "host=127.0.0.1 port=%d user=postgres dbname=postgres %s",
            server->port, more);
    return text;
}

void postgres_server_new(struct server *server)
{
    char data[SERVER_PATH + 8];

    server_folder(server->folder);
    snprintf(data, sizeof(data), "%s/data", server->folder);
    const char *const initdb[] = {postgres_program("initdb"), "-D", data, "-U", "postgres", "-A",
            "trust", "-E", "UTF8", "--no-locale", "--no-sync", "--wal-segsize=1", NULL};
    if (server_run(server, "postgres", initdb) != 0)
        give_up("initdb", server);
}

void postgres_server_copy(const struct server *from, struct server *server)
{
    char theirs[SERVER_PATH + 8], ours[SERVER_PATH + 8];

    server_folder(server->folder);
    snprintf(theirs, sizeof(theirs), "%s/data", from->folder);
    snprintf(ours, sizeof(ours), "%s/data", server->folder);
    const char *const copy[] = {"cp", "-a", theirs, ours, NULL};
    if (server_run(server, "postgres", copy) != 0)
        give_up("cp", server);
}

void postgres_server_start(struct server *server)
{
    const struct timespec moment = {.tv_nsec = TRY_NS};
    char data[SERVER_PATH + 8], port[16];

    if (server->port == 0)
        server->port = server_free_port();
    snprintf(data, sizeof(data), "%s/data", server->folder);
    snprintf(port, sizeof(port), "%d", server->port);
    const char *const postgres[] = {postgres_program("postgres"), "-D", data, "-p", port, "-h",
            "127.0.0.1", "-k", server->folder, "-F", "-c", "max_wal_size=64MB", "-c",
            "min_wal_size=8MB", NULL};
    server_start(server, server->port, "postgres", postgres);
    for (int tries = 0; PQping(postgres_server_info(server, "")) != PQPING_OK; tries++) {
        if (tries == TRIES)
            give_up("no connections are taken", server);
        nanosleep(&moment, NULL);
    }
}

void postgres_server_stop(struct server *server)
{
    if (server->pid)
        kill(server->pid, SIGINT); /* its "fast" way, which SIGTERM does not take back */
    server_stop(server);
}

/* The segment of shared memory that the server's file of its process names; -1: none. */
static int segment_of(const struct server *server)
{
    char path[SERVER_PATH + 32], line[256] = "";
    int id = -1;

    snprintf(path, sizeof(path), "%s/data/postmaster.pid", server->folder);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    for (int i = 0; i < SEGMENT_LINE && fgets(line, sizeof(line), file); i++)
        continue;
    if (sscanf(line, "%*s %d", &id) != 1)
        id = -1;
    fclose(file);
    return id;
}

void postgres_server_kill(struct server *server)
{
    const struct timespec moment = {.tv_nsec = TRY_NS};
    int segment = segment_of(server);
    struct shmid_ds status;

    server_kill(server);
    for (int tries = 0; shmctl(segment, IPC_STAT, &status) == 0 && status.shm_nattch > 0; tries++) {
        if (tries == TRIES)
            give_up("processes of a killed server live on", server);
        nanosleep(&moment, NULL);
    }
}
