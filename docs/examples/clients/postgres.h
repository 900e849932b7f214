/* SPDX-License-Identifier: MIT */
/*
 * PostgreSQL for threads and coroutines, through libpq's non-blocking interface.
 *
 *      error = postgres_connect("host=db.example dbname=shop", anysync_in_seconds(5), &db);
 *
 *      struct postgres_query query = {.sql = "SELECT name, price FROM items WHERE id = $1",
 *              .count = 1, .values = (const char *[]){"17"}};
 *      error = postgres_query(db, &query, anysync_in_ms(200), &result);
 *      ... PQgetvalue(result, 0, 1) ...
 *      PQclear(result);
 *
 *      ANYSYNC_FOR(postgres_rows, row, &error, db, &all)          however many there are
 *      {
 *          printf("%s\n", PQgetvalue(row, 0, 0));
 *      }
 *
 *      ANYSYNC_WITH(postgres_transaction, tx, &error, db, NULL, anysync_in_seconds(1))
 *      {
 *          error = postgres_query(tx, &debit, deadline, NULL);
 *          if (!error)
 *              error = postgres_query(tx, &credit, deadline, NULL);
 *      }                                  COMMIT if error is 0 here, otherwise ROLLBACK
 *
 * WORLDS  Each call has one body, for all worlds: in a coroutine it suspends and the loop goes on,
 *   on any other thread it blocks.  To have a future make it the body of an ANYSYNC_COROUTINE, and
 *   start that.  postgres_pool.h lends connections to many coroutines and threads.
 *
 * ONE AT A TIME  A connection has one user at a time, any thread or coroutine; a call that comes
 *   while another runs, or while a generator of rows is open, is told -EBUSY.
 *
 * DEADLINES, CANCEL  When the deadline passes, or the caller is cancelled, in the middle of a
 *   command, the server is asked to cancel it (by PQcancel() on another thread: the loop goes on),
 *   and its answer is taken.  That takes a moment.  Then either
 *     - the server has cancelled the command: nothing of it was done; -ETIMEDOUT or -ECANCELED, and
 *       the connection can be used further (a transaction it is in has failed: roll it back); or
 *     - the command had ended before: its result, as if nothing had happened; or
 *     - the server did not answer within the grace time (postgres_set_grace()): -ETIMEDOUT or
 *       -ECANCELED, the connection is closed, and what was done is not known.
 *
 * All calls that talk to the server return these besides their own; the sentence begins with
 * HOST:PORT and says which statement it was, and what server or libpq said:
 *    -EREMOTEIO  the server refused: postgres_sqlstate(), postgres_failure().  Go on using it.
 *   -ECONNRESET  the connection was lost, and is closed.  What was done is not known.
 *     -ENOTCONN  it was closed before.
 *        -EBUSY  see ONE AT A TIME; nothing was done.
 *     -ETIMEDOUT, -ECANCELED  see above; if before the command was sent, nothing was done.
 *       -EPROTO  the answer made no sense, or there was no memory for it: the connection is closed.
 *       -EINVAL  libpq did not take the arguments.
 *   -EOPNOTSUPP  the statement is a COPY from or to the client: the connection is closed.
 *       -ENOMEM  no memory.
 *
 * Thread  any but callbacks of a loop, where a call that has to wait closes the connection and
 *   says -EDEADLK.   Blocks  see WORLDS.   Cancel  cancellation points, see above.
 * A connection needs some 64 KiB of stack while it is opened with TLS.
 */
#ifndef CLIENTS_POSTGRES_H
#define CLIENTS_POSTGRES_H

#include <anysync.h>
#include <libpq-fe.h>
#include <stdbool.h>

struct postgres; /* a connection; opaque, one owner */

/*
 * Connect.
 *
 * conninfo  as for PQconnectdb(): "host=... dbname=..." or "postgres://..."; borrowed for the call.
 *           Several hosts are tried in turn.  Names of hosts are looked up here, so that the
 *           deadline holds, and each of their addresses is tried (but not those in a service file:
 *           libpq looks those up itself, and blocks).  Of connect_timeout nothing is heard.
 * ret_db    owned by the caller: postgres_close() it.
 *
 * Returns         0  connected.
 *     -ECONNREFUSED  nobody listens there, or no host answers.
 *           -EACCES  the server does not let this user in.
 *           -ENOENT  there is no such database; no host of that name.
 *           -EAGAIN  the server starts, stops, or has too many connections: try later.
 *           -EPROTO  who listens there is no PostgreSQL server, or hung up.
 *     -ECONNABORTED  the server said no for another reason, which is in the sentence.
 *           -EINVAL  CONNINFO makes no sense.
 *        -ETIMEDOUT  DEADLINE passed first.   -ECANCELED  the calling task was cancelled.
 *           -ENOMEM  no memory.
 *   Nothing is left open.
 */
int postgres_connect(
        const char *conninfo, anysync_time deadline, struct postgres **ret_db) ANYSYNC_MUST_CHECK;

/* Close the connection (consumed); a command that was not finished is broken off.  No call and no
 * generator uses it any more.  NULL is fine.  Returns NULL.  Any thread; never blocks. */
struct postgres *postgres_close(struct postgres *db);

/* Let the server have GRACE_NS, not less than 0, to answer when a command is cancelled or a
 * transaction rolled back; one second when nothing is said.  Who uses DB. */
void postgres_set_grace(struct postgres *db, int64_t grace_ns);

/* What is sent.  All zero means defaults; borrowed. */
struct postgres_query {
    const char *sql;           /* one statement, with $1, $2 ... for parameters */
    const char *prepared;      /* or the name of one made by postgres_prepare() */
    int count;                 /* of parameters */
    const char *const *values; /* of each: its text, or its bytes if its format is 1; NULL: NULL */
    const int *lengths;        /* of each, bytes; NULL: all are text */
    const int *formats;        /* of each: 0 text, 1 binary; NULL: all are text */
    const Oid *types;          /* of each; NULL: let the server find out */
    bool binary;               /* results come in binary */
};

/*
 * Send a statement, and get its result.
 *
 * query       borrowed for the call.
 * ret_result  all rows; owned by the caller: PQclear() it.  NULL to leave it.
 *
 * Returns  0, or an error, see above.
 */
int postgres_query(struct postgres *db, const struct postgres_query *query, anysync_time deadline,
        PGresult **ret_result) ANYSYNC_MUST_CHECK;

/* Send a SCRIPT of statements without parameters, separated by semicolons, which are one
 * transaction if it does not say otherwise.  Results are dropped.  Returns as postgres_query(). */
int postgres_execute(
        struct postgres *db, const char *script, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Have the server prepare SQL under NAME, for this connection.  Returns as postgres_query(). */
int postgres_prepare(struct postgres *db, const char *name, const char *sql,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * The rows of QUERY, one after another as the server sends them, whatever their number.
 *
 * db, query  borrowed, as long as the generator is open.
 *
 * An item is a PGresult of one row, borrowed until the next is asked for.  Do not read ahead.  The
 * statement is sent when the first row is asked for.  One that fails in the middle has given the
 * rows before.  Closed early, the generator has the server cancel what is left, drops it, and
 * leaves the connection usable; it is -EBUSY as long as the generator is open.
 */
ANYSYNC_GENERATOR_DECLARE(const PGresult *, postgres_rows, (struct postgres *, db),
        (const struct postgres_query *, query));

/*
 * A transaction as a block: COMMIT when it ended well, ROLLBACK otherwise, and however it is left.
 *
 * db        borrowed; it is the value of the manager too.
 * mode      what follows BEGIN: "ISOLATION LEVEL SERIALIZABLE"; NULL: nothing.
 * deadline  for BEGIN and COMMIT; a ROLLBACK has the grace time.
 *
 * Enter returns  -EALREADY  there is a transaction already; or as postgres_query().
 * Exit returns   0 only if the server has committed.  The error of a block that failed, once it is
 *   rolled back (a connection on which that does not work is closed).  -EREMOTEIO if the server
 *   could not commit: it has rolled back, also when a statement had failed and the block hid that.
 *   Other errors of a COMMIT leave open what was done.
 */
ANYSYNC_CONTEXT_MANAGER_DECLARE(struct postgres *, postgres_transaction, (struct postgres *, db),
        (const char *, mode), (anysync_time, deadline));

/* --- looks ------------------------------------------------------------------------------------ *
 * None waits.  Who uses DB. */

/* The five characters of the SQLSTATE with which the server refused the last call, "23505"; "" if
 * it did not.  Borrowed until the next call. */
const char *postgres_sqlstate(const struct postgres *db);

/* All that the server said of it, for PQresultErrorField(); NULL if it said nothing.  Borrowed
 * until the next call. */
const PGresult *postgres_failure(const struct postgres *db);

/* Whether the connection is open, as far as is known without asking, and no transaction or
 * generator is. */
bool postgres_is_idle(const struct postgres *db);

/* libpq's own handle, for PQparameterStatus(), PQsetNoticeProcessor() and whatever else does not
 * talk to the server; borrowed.  NULL once the connection is closed. */
PGconn *postgres_libpq(const struct postgres *db);

#endif
