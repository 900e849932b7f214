/* SPDX-License-Identifier: MIT */
/*
 * PostgreSQL on any loop and any thread.  (What it offers: postgres.h.)
 *
 * Packages: libpq
 *
 * libpq says what it waits for, anysync_wait_fd() waits: a coroutine suspends, a thread polls.  So
 * one body serves both.
 *
 * A COMMAND     begin(), send, collect() until libpq has no more results, verdict(), end().
 * CUT SHORT     A wait that ended early leaves the server at work.  stop() asks it to cancel, again
 *               if need be, and collects the rest within the grace time, in a shield.  PQcancel()
 *               blocks, so it is a job with a copy of what it needs: who waits for it may leave at
 *               any time.  The answers are collected after PQcancel() has returned, for then the
 *               server's process has had the signal: it cannot hit the next command.  Where that
 *               cannot be made sure the connection is closed.
 * CLOSED        db->conn is NULL; all later calls say -ENOTCONN.
 */
#include "postgres.h"

#include "postgres_open.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRACE_NS INT64_C(1000000000)
#define PATIENCE_NS INT64_C(5000000) /* of who waits for the answer to the first cancel */
#define SHOWN 80                     /* characters of a statement in a sentence */

struct postgres {
    PGconn *conn;                    /* NULL: closed */
    struct anysync_limiter *cancels; /* of its own: no other connection's cancel is in the way */
    int64_t grace_ns;
    bool busy;             /* a command runs, or a generator is open */
    bool doomed;           /* close it when it is not busy any more */
    const char *statement; /* borrowed, of the command that runs */
    PGresult *result;      /* of that, so far: its first failure, or the last */
    PGresult *failure;     /* of the last command, if the server refused it */
    char name[];           /* HOST:PORT */
};

/* Close the connection, but not the handle. */
static void shut(struct postgres *db)
{
    PQfinish(db->conn);
    db->conn = NULL;
}

static int lost(struct postgres *db)
{
    char why[400];

    postgres_one_line(why, sizeof(why), PQerrorMessage(db->conn));
    shut(db);
    return anysync_fail(-ECONNRESET, "%s: the connection was lost during \"%.*s\": %s", db->name,
            SHOWN, db->statement, why);
}

/* --- a command -------------------------------------------------------------------------------- */

static int begin(struct postgres *db, const char *statement, anysync_time deadline)
{
    if (db->busy)
        return anysync_fail(-EBUSY,
                "%s: \"%.*s\" while another command or a generator of rows uses the connection: end"
                " that first, or take one more connection",
                db->name, SHOWN, statement);
    PQclear(db->failure);
    db->failure = NULL;
    if (!db->conn)
        return anysync_fail(
                -ENOTCONN, "%s: the connection was closed before: open another", db->name);
    int error = anysync_check_cancelled();
    if (!error && deadline <= anysync_now())
        error = -ETIMEDOUT;
    if (error)
        return anysync_fail(error, "%s: \"%.*s\" was not sent: %s", db->name, SHOWN, statement,
                anysync_error_text(error));
    db->busy = true;
    db->statement = statement;
    return 0;
}

static void end(struct postgres *db)
{
    PQclear(db->result);
    db->result = NULL;
    db->busy = false;
    db->statement = "";
    if (db->doomed)
        shut(db);
}

/* SENT is what a PQsend function returned. */
static int check_sent(struct postgres *db, int sent)
{
    char why[400];

    if (sent)
        return 0;
    if (PQstatus(db->conn) != CONNECTION_OK)
        return lost(db);
    return anysync_fail(-EINVAL, "%s: \"%.*s\" was not sent: %s", db->name, SHOWN, db->statement,
            postgres_one_line(why, sizeof(why), PQerrorMessage(db->conn)));
}

static int send_query(struct postgres *db, const struct postgres_query *query)
{
    int sent;

    if (query->prepared)
        sent = PQsendQueryPrepared(db->conn, query->prepared, query->count, query->values,
                query->lengths, query->formats, query->binary);
    else
        sent = PQsendQueryParams(db->conn, query->sql, query->count, query->types, query->values,
                query->lengths, query->formats, query->binary);
    return check_sent(db, sent);
}

static const char *statement_of(const struct postgres_query *query)
{
    return query->prepared ? query->prepared : query->sql ? query->sql : "";
}

/* The next result, NULL when there is none left; owned by the caller. */
static int next_result(struct postgres *db, anysync_time deadline, PGresult **ret_result)
{
    while (PQisBusy(db->conn)) {
        unsigned events = ANYSYNC_READABLE;

        if (PQflush(db->conn) > 0)
            events |= ANYSYNC_WRITABLE;
        if (PQsocket(db->conn) < 0)
            return lost(db);
        int ready = anysync_wait_fd(PQsocket(db->conn), events, deadline);
        if (ready < 0)
            return ready;
        if (((unsigned)ready & ANYSYNC_READABLE) && !PQconsumeInput(db->conn))
            return lost(db);
    }
    *ret_result = PQgetResult(db->conn);
    return 0;
}

static bool has_failed(const PGresult *result)
{
    switch (PQresultStatus(result)) {
    case PGRES_EMPTY_QUERY:
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
        return false;
    default:
        return true;
    }
}

static bool is_copy(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* RESULT (consumed) has come: 0, or -EOPNOTSUPP and the connection is closed. */
static int keep(struct postgres *db, PGresult *result)
{
    if (is_copy(result)) {
        PQclear(result);
        shut(db);
        return anysync_fail(-EOPNOTSUPP,
                "%s: \"%.*s\" copies from or to the client, which cannot be done here: the"
                " connection is closed",
                db->name, SHOWN, db->statement);
    }
    if (db->result && has_failed(db->result)) {
        PQclear(result);
        return 0;
    }
    PQclear(db->result);
    db->result = result;
    return 0;
}

/* Take all that the server answers. */
static int collect(struct postgres *db, anysync_time deadline)
{
    PGresult *result = NULL;
    int error;

    while ((error = next_result(db, deadline, &result)) == 0 && result) {
        error = keep(db, result);
        if (error)
            return error;
    }
    if (!error && PQstatus(db->conn) != CONNECTION_OK)
        return lost(db);
    return error;
}

/* All has been collected: what the server says of the command. */
static int verdict(struct postgres *db)
{
    char why[400];

    if (db->result && !has_failed(db->result))
        return 0;
    db->failure = db->result;
    db->result = NULL;
    const char *state = postgres_sqlstate(db);
    if (!*state) {
        postgres_one_line(why, sizeof(why), PQerrorMessage(db->conn));
        shut(db);
        return anysync_fail(-EPROTO, "%s: the answer to \"%.*s\" makes no sense: %s", db->name,
                SHOWN, db->statement, *why ? why : "there was none");
    }
    const char *said = PQresultErrorField(db->failure, PG_DIAG_MESSAGE_PRIMARY);
    return anysync_fail(-EREMOTEIO, "%s: \"%.*s\": %s (SQLSTATE %s)", db->name, SHOWN,
            db->statement,
            postgres_one_line(why, sizeof(why), said ? said : "the server does not say why"),
            state);
}

/* --- cutting one short ------------------------------------------------------------------------ */

ANYSYNC_BLOCKING(bool, send_cancel, (PGcancel *, cancel))
{
    char why[256];

    *result = PQcancel(cancel, why, sizeof(why)) == 1;
    PQfreeCancel(cancel);
    return 0;
}

static int cancel_command(struct postgres *db, anysync_time deadline)
{
    struct anysync_offload_options options = {.limiter = db->cancels};
    send_cancel_future sending;
    PGcancel *cancel = PQgetCancel(db->conn);
    bool sent = false;

    if (!cancel)
        return -ENOMEM;
    int error = send_cancel_start_with(&options, &sending, cancel);
    if (error)
        PQfreeCancel(cancel);
    else
        error = send_cancel_wait(&sending, &sent, deadline);
    send_cancel_drop(&sending);
    return error || sent ? error : -EIO;
}

/* A server that has not begun with a command does not hear a cancel of it: ask again. */
static int cancel_until_over(struct postgres *db, anysync_time deadline)
{
    for (int64_t patience_ns = PATIENCE_NS;; patience_ns *= 2) {
        int error = cancel_command(db, deadline);
        anysync_time until = anysync_in_ns(patience_ns);

        if (!error)
            error = collect(db, until < deadline ? until : deadline);
        if (error != -ETIMEDOUT || anysync_now() >= deadline)
            return error;
    }
}

/* Look at what has come.  ANYSYNC_DONE: the command is over, there is nothing to cancel. */
static int look(struct postgres *db)
{
    if (!PQconsumeInput(db->conn))
        return lost(db);
    while (!PQisBusy(db->conn)) {
        PGresult *result = PQgetResult(db->conn);
        int error = result ? keep(db, result) : ANYSYNC_DONE;

        if (error)
            return error;
    }
    return 0;
}

/* End the command that runs.  Returns 0 when it is over, and all is collected; otherwise the
 * connection is closed. */
static int stop(struct postgres *db)
{
    anysync_time deadline = anysync_in_ns(db->grace_ns);
    int error = 0;

    ANYSYNC_SHIELD(&error, ANYSYNC_FOREVER)
    {
        error = look(db);
        if (error == 0)
            error = cancel_until_over(db, deadline);
    }
    if (error < 0 && db->conn)
        shut(db);
    return error < 0 ? error : 0;
}

/* A wait for the answer ended early, for WHY. */
static int cut_short(struct postgres *db, int why)
{
    if (stop(db))
        return anysync_fail(why,
                "%s: \"%.*s\": %s; the server did not answer to a cancel within %lld ms, so the"
                " connection is closed, and what was done is not known",
                db->name, SHOWN, db->statement, anysync_error_text(why),
                (long long)(db->grace_ns / 1000000));
    int error = verdict(db);
    if (error == -EREMOTEIO && strcmp(postgres_sqlstate(db), "57014") == 0)
        return anysync_fail(why, "%s: \"%.*s\": %s, and the server has cancelled it", db->name,
                SHOWN, db->statement, anysync_error_text(why));
    return error; /* it was faster */
}

/* The command is under way: wait for its end, and end it. */
static int finish(struct postgres *db, anysync_time deadline, PGresult **ret_result)
{
    int error = collect(db, deadline);

    if (error && db->conn)
        error = cut_short(db, error);
    else if (!error)
        error = verdict(db);
    if (!error && ret_result) {
        *ret_result = db->result;
        db->result = NULL;
    }
    end(db);
    return error;
}

/* --- queries ---------------------------------------------------------------------------------- */

int postgres_query(struct postgres *db, const struct postgres_query *query, anysync_time deadline,
        PGresult **ret_result)
{
    int error = begin(db, statement_of(query), deadline);

    if (error)
        return error;
    error = send_query(db, query);
    if (!error)
        return finish(db, deadline, ret_result);
    end(db);
    return error;
}

/* The same for what was sent by libpq itself; SENT as for check_sent(). */
static int finish_sent(struct postgres *db, int sent, anysync_time deadline, PGresult **ret_result)
{
    int error = check_sent(db, sent);

    if (!error)
        return finish(db, deadline, ret_result);
    end(db);
    return error;
}

int postgres_execute(struct postgres *db, const char *script, anysync_time deadline)
{
    int error = begin(db, script, deadline);

    return error ? error : finish_sent(db, PQsendQuery(db->conn, script), deadline, NULL);
}

int postgres_prepare(struct postgres *db, const char *name, const char *sql, anysync_time deadline)
{
    int error = begin(db, sql, deadline);

    if (error)
        return error;
    return finish_sent(db, PQsendPrepare(db->conn, name, sql, 0, NULL), deadline, NULL);
}

/* The wait for a row ended early, for WHY.  Rows that came after that are dropped, so it is no
 * success if the server was faster. */
static int cut_rows_short(struct postgres *db, int why)
{
    int error = cut_short(db, why);

    return error ? error
                 : anysync_fail(why, "%s: \"%.*s\": %s, and its last rows are dropped", db->name,
                           SHOWN, db->statement, anysync_error_text(why));
}

/* Give each row; all that is no row is kept.  After an error the command is over, or the connection
 * closed. */
static int give_rows(struct postgres *db)
{
    PGresult *result = NULL;
    int error;

    while ((error = next_result(db, ANYSYNC_FOREVER, &result)) == 0 && result) {
        if (PQresultStatus(result) != PGRES_SINGLE_TUPLE) {
            error = keep(db, result);
        } else {
            error = postgres_rows_yield(result);
            PQclear(result);
            if (error)
                stop(db);
        }
        if (error)
            return error;
    }
    return error && db->conn ? cut_rows_short(db, error) : error;
}

ANYSYNC_GENERATOR_DEFINE(const PGresult *, postgres_rows, (struct postgres *, db),
        (const struct postgres_query *, query))
{
    int error = begin(db, statement_of(query), ANYSYNC_FOREVER);

    if (error)
        return error;
    error = send_query(db, query);
    if (!error) {
        PQsetSingleRowMode(db->conn);
        error = give_rows(db);
        if (!error)
            error = PQstatus(db->conn) == CONNECTION_OK ? verdict(db) : lost(db);
    }
    end(db);
    return error;
}

/* --- transactions ----------------------------------------------------------------------------- */

static int commit(struct postgres *db, anysync_time deadline)
{
    PGresult *result = NULL;
    int error = begin(db, "COMMIT", deadline);

    if (!error)
        error = finish_sent(db, PQsendQuery(db->conn, "COMMIT"), deadline, &result);
    if (!error && strcmp(PQcmdStatus(result), "COMMIT") != 0)
        error = anysync_fail(-EREMOTEIO,
                "%s: the transaction was rolled back and not committed: a statement in it had"
                " failed",
                db->name);
    PQclear(result);
    return error;
}

/* Leave no transaction behind.  A connection that does not let go of it is closed. */
static void roll_back(struct postgres *db)
{
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        if (db->conn && PQtransactionStatus(db->conn) != PQTRANS_IDLE &&
                postgres_execute(db, "ROLLBACK", anysync_in_ns(db->grace_ns))) {
            db->doomed = true;
            if (!db->busy && db->conn)
                shut(db);
        }
    }
}

ANYSYNC_CONTEXT_MANAGER_DEFINE(struct postgres *, postgres_transaction, (struct postgres *, db),
        (const char *, mode), (anysync_time, deadline))
{
    char start[256];

    if (db->conn && PQtransactionStatus(db->conn) != PQTRANS_IDLE && !db->busy)
        return anysync_fail(-EALREADY, "%s: the connection is in a transaction already", db->name);
    snprintf(start, sizeof(start), "BEGIN %s", mode ? mode : "");
    int error = postgres_execute(db, start, deadline);
    if (error)
        return error;
    error = postgres_transaction_yield(db);
    if (!error)
        error = commit(db, deadline);
    roll_back(db);
    return error;
}

/* --- opening and closing ---------------------------------------------------------------------- */

/* The handle of CONN, which is open and stays the caller's if that fails. */
static int wrap(PGconn *conn, struct postgres **ret_db)
{
    const char *host = PQhost(conn), *port = PQport(conn);
    size_t size = strlen(host) + strlen(port) + 2;
    struct postgres *db = calloc(1, sizeof(*db) + size);

    if (!db || anysync_limiter_new(1, &db->cancels)) {
        free(db);
        return anysync_fail(-ENOMEM, "%s:%s: no memory for a connection", host, port);
    }
    snprintf(db->name, size, "%s:%s", host, port);
    db->conn = conn;
    db->grace_ns = GRACE_NS;
    db->statement = "";
    *ret_db = db;
    return 0;
}

int postgres_connect(const char *conninfo, anysync_time deadline, struct postgres **ret_db)
{
    PGconn *conn = NULL;
    int error = postgres_open(conninfo, deadline, &conn);

    if (!error)
        error = wrap(conn, ret_db);
    if (error)
        PQfinish(conn);
    return error;
}

struct postgres *postgres_close(struct postgres *db)
{
    if (!db)
        return NULL;
    PQfinish(db->conn);
    PQclear(db->result);
    PQclear(db->failure);
    anysync_limiter_unref(db->cancels);
    free(db);
    return NULL;
}

/* --- looks ------------------------------------------------------------------------------------ */

void postgres_set_grace(struct postgres *db, int64_t grace_ns)
{
    db->grace_ns = grace_ns;
}

const char *postgres_sqlstate(const struct postgres *db)
{
    const char *state = PQresultErrorField(db->failure, PG_DIAG_SQLSTATE);

    return state ? state : "";
}

const PGresult *postgres_failure(const struct postgres *db)
{
    return db->failure;
}

bool postgres_is_idle(const struct postgres *db)
{
    return db->conn && !db->busy && PQtransactionStatus(db->conn) == PQTRANS_IDLE;
}

PGconn *postgres_libpq(const struct postgres *db)
{
    return db->conn;
}
