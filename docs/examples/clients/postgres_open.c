/* SPDX-License-Identifier: MIT */
/*
 * Opening a connection to PostgreSQL.
 *
 * Packages: libpq
 *
 * libpq would look names of hosts up in a call that blocks.  So they are looked up here, and libpq
 * gets each address as a host of its own, under the name that certificates are checked against.
 * After that PQconnectPoll() says what to wait for.
 */
#include "postgres_open.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *postgres_one_line(char *text, size_t size, const char *message)
{
    size_t used = 0;

    for (; *message && used + 2 < size; message++) {
        bool blank = isspace((unsigned char)*message);

        if (!blank)
            text[used++] = *message;
        else if (used > 0 && text[used - 1] != ' ')
            text[used++] = ' ';
    }
    while (used > 0 && text[used - 1] == ' ')
        used--;
    text[used] = '\0';
    return text;
}

/* libpq's lists of hosts, their addresses and ports: comma between. */
enum list { HOSTS, ADDRESSES, PORTS, LISTS };

struct hosts {
    FILE *file[LISTS];
    char *text[LISTS];
    size_t size[LISTS];
    int count;
};

static void add_host(struct hosts *hosts, const char *name, const char *address, const char *port)
{
    const char *const items[LISTS] = {name, address, port};

    for (int i = 0; i < LISTS; i++)
        fprintf(hosts->file[i], "%s%s", hosts->count ? "," : "", items[i]);
    hosts->count++;
}

/* Add NAME with each of its addresses; a path has none. */
static int find_host(struct hosts *hosts, const char *name, const char *port, anysync_time deadline)
{
    struct anysync_addresses *found = NULL;

    if (!*name || *name == '/' || *name == '@') {
        add_host(hosts, name, "", port);
        return 0;
    }
    int error = anysync_resolve(name, NULL, NULL, deadline, &found);
    for (size_t i = 0; !error && i < found->count; i++) {
        char text[64];

        if (getnameinfo(&found->list[i].at.address, found->list[i].size, text, sizeof(text), NULL,
                    0, NI_NUMERICHOST) == 0)
            add_host(hosts, name, text, port);
    }
    anysync_free(found);
    return error;
}

/* The next item of LIST into TEXT; moves LIST on. */
static void next_item(const char **list, char *text, size_t size)
{
    size_t length = strcspn(*list, ",");

    snprintf(text, size, "%.*s", (int)length, *list);
    *list += length;
    *list += **list == ',';
}

/* NAMES and PORTS are lists.  One host that is found is enough. */
static int find_hosts(
        struct hosts *hosts, const char *names, const char *ports, anysync_time deadline)
{
    bool one_port = !strchr(ports, ',');
    char name[1100], port[64];
    int error = 0;

    do {
        next_item(&names, name, sizeof(name));
        if (one_port)
            snprintf(port, sizeof(port), "%s", ports);
        else
            next_item(&ports, port, sizeof(port));
        error = find_host(hosts, name, port, deadline);
    } while (*names && error != -ETIMEDOUT && error != -ECANCELED);
    return hosts->count > 0 && error != -ETIMEDOUT && error != -ECANCELED ? 0 : error;
}

static int open_lists(struct hosts *hosts)
{
    int error = 0;

    for (int i = 0; i < LISTS; i++)
        if ((hosts->file[i] = open_memstream(&hosts->text[i], &hosts->size[i])) == NULL)
            error = anysync_fail(-ENOMEM, "no memory for names of hosts");
    return error;
}

/* Their texts can be read from now on. */
static int close_lists(struct hosts *hosts)
{
    int error = 0;

    for (int i = 0; i < LISTS; i++) {
        if (hosts->file[i] && fclose(hosts->file[i]) != 0)
            error = -ENOMEM;
        hosts->file[i] = NULL;
    }
    return error ? anysync_fail(error, "no memory for names of hosts") : 0;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val;
    return NULL;
}

/* Begin to connect; HOSTS, if there are any, in the place of what OPTIONS say. */
static PGconn *start(const PQconninfoOption *options, const struct hosts *hosts)
{
    enum { MOST = 80 }; /* libpq has some 50 options */
    const char *keywords[MOST + LISTS + 1], *values[MOST + LISTS + 1];
    static const char *const names[LISTS] = {"host", "hostaddr", "port"};
    int count = 0;

    for (; options->keyword && count < MOST; options++) {
        if (!options->val)
            continue;
        keywords[count] = options->keyword;
        values[count++] = options->val;
    }
    for (int i = 0; hosts->count > 0 && i < LISTS; i++) {
        keywords[count] = names[i]; /* the last one of a name counts */
        values[count++] = hosts->text[i];
    }
    keywords[count] = values[count] = NULL;
    return PQconnectStartParams(keywords, values, 0);
}

/* The five characters after "FATAL:  " in what libpq says in its verbose way, and the end of that
 * line; NULL if the server said nothing.  There is no call to ask for it. */
static const char *find_state(const char *message, const char **ret_end)
{
    for (const char *at = message; (at = strstr(at, ":  ")) != NULL; at++) {
        size_t length = strspn(at + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");

        if (length == 5 && at[8] == ':') {
            *ret_end = at + strcspn(at, "\n");
            return at + 3;
        }
    }
    return NULL;
}

static bool begins_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* CONN could not be opened.  REACHED: somebody listens there. */
static int refused(const PGconn *conn, bool reached)
{
    char message[500], line[500];
    const char *end = NULL;
    int code = -ECONNABORTED;

    snprintf(message, sizeof(message), "%s", PQerrorMessage(conn));
    const char *state = find_state(message, &end);
    if (!state)
        code = reached ? -EPROTO : -ECONNREFUSED;
    else if (begins_with(state, "28"))
        code = -EACCES;
    else if (begins_with(state, "3D000"))
        code = -ENOENT;
    else if (begins_with(state, "57P0") || begins_with(state, "53"))
        code = -EAGAIN;
    if (state)
        message[end - message] = '\0';
    const char *host = PQhost(conn), *port = PQport(conn);
    return anysync_fail(code, "%s:%s: %s", host ? host : "", port ? port : "",
            postgres_one_line(line, sizeof(line), message));
}

/* Go on with it until it is open. */
static int connected(PGconn *conn, anysync_time deadline)
{
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    bool reached = false;

    PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
    if (PQstatus(conn) == CONNECTION_BAD)
        next = PGRES_POLLING_FAILED;
    while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
        unsigned events = next == PGRES_POLLING_READING ? ANYSYNC_READABLE : ANYSYNC_WRITABLE;
        int ready = anysync_wait_fd(PQsocket(conn), events, deadline);

        if (ready < 0)
            return anysync_fail(ready, "%s:%s: not connected: %s", PQhost(conn), PQport(conn),
                    anysync_error_text(ready));
        next = PQconnectPoll(conn);
        reached |= next != PGRES_POLLING_FAILED && PQstatus(conn) != CONNECTION_STARTED;
    }
    if (next != PGRES_POLLING_OK)
        return refused(conn, reached);
    PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
    return PQsetnonblocking(conn, 1) == 0 ? 0 : refused(conn, true);
}

static int open_connection(const PQconninfoOption *options, const struct hosts *hosts,
        anysync_time deadline, PGconn **ret_conn)
{
    PGconn *conn = start(options, hosts);
    int error = conn ? connected(conn, deadline)
                     : anysync_fail(-ENOMEM, "no memory for a connection to PostgreSQL");

    if (error)
        PQfinish(conn);
    else
        *ret_conn = conn;
    return error;
}

int postgres_open(const char *conninfo, anysync_time deadline, PGconn **ret_conn)
{
    struct hosts hosts = {0};
    char *why = NULL, line[300];
    PQconninfoOption *options = PQconninfoParse(conninfo, &why);
    int error = options ? open_lists(&hosts)
                        : anysync_fail(why ? -EINVAL : -ENOMEM, "postgres_open(): %s",
                                  postgres_one_line(line, sizeof(line), why ? why : "no memory"));

    PQfreemem(why);
    if (!error) {
        const char *names = value_of(options, "host"), *ports = value_of(options, "port");
        bool elsewhere = value_of(options, "hostaddr") || value_of(options, "service");

        if (!names && !elsewhere)
            names = getenv("PGHOST");
        if (!ports) /* libpq takes no port of a list from there */
            ports = getenv("PGPORT");
        if (names && *names && !elsewhere)
            error = find_hosts(&hosts, names, ports ? ports : "", deadline);
        int closed = close_lists(&hosts);
        error = error ? error : closed;
    }
    if (!error)
        error = open_connection(options, &hosts, deadline, ret_conn);
    close_lists(&hosts);
    for (int i = 0; i < LISTS; i++)
        free(hosts.text[i]);
    PQconninfoFree(options);
    return error;
}
