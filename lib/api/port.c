/* SPDX-License-Identifier: MIT */
/*
 * Ports.
 *
 * A mailbox (thread/mailbox.h) whose consumer is the other loop, and a doorbell for when it sleeps:
 * its descriptor is what that loop watches.  Records wait in their futures' cells as waiters that
 * never leave; the delivery sends the record, as a letter, into the mailbox.  So completing takes
 * no lock, and can be done in a signal handler.
 *
 * READABLE  The mailbox is parked whenever the descriptor is drained, in this order: drain, park.
 *   If something came in between, the park fails, and the descriptor is made readable again or what
 *   came is taken.  Who pushes into a parked mailbox rings, so it is readable then.
 *
 * REFERENCES  A record has one to its port, from being made until it was called or given; and who
 *   delivers one keeps it until after its ring, for the port's thread may have taken the record by
 *   then.
 */
#include <anysync/port.h>

#include "base/list.h"
#include "base/memory.h"
#include "base/race.h"
#include "sched/error.h"
#include "sched/future.h"
#include "sched/turn.h"
#include "thread/doorbell.h"
#include "thread/flag.h"
#include "thread/fork.h"
#include "thread/local.h"
#include "thread/refs.h"

#include <errno.h>

#ifdef ASI_VIRTUAL
enum { AT_ONCE = 1 }; /* scenes have few letters */
#else
enum { AT_ONCE = 1000 };
#endif

struct anysync_port {
    struct asi_mailbox mailbox; /* [atomic] */
    struct asi_doorbell bell;   /* [atomic] */
    struct asi_refs refs;
    uint32_t generation;      /* [const] of the process that made it */
    int descriptor;           /* [const] */
    struct asi_letter *due;   /* [port] taken from the mailbox; NULL: there is none */
    struct record *done;      /* [port] for next, FIFO */
    struct record **done_end; /* [port] */
    bool closed;              /* [port] */
    struct asi_flag shut;     /* [atomic] the same, for others */
};

/* A future that somebody over there waits for. */
struct record {
    union {
        struct {
            struct asi_link link; /* in the future's cell */
            struct asi_waiter waiter;
        };
        struct asi_letter letter; /* after the delivery */
        struct record *next;      /* after that, among the done ones */
    };
    struct anysync_port *port;     /* a reference */
    struct anysync_future *future; /* a reference */
    anysync_done_fn *function;     /* NULL: for next */
    void *argument;
};

/* A function to be called over there.  Of who begins it and who gives it up the second frees it. */
struct call {
    struct asi_letter letter;
    struct asi_party party;  /* of who waits for it */
    struct asi_flag decided; /* raised by both */
    int (*function)(void *argument);
    void *argument;
    int status;
};

/* A dispatch that goes on, on its stack.  Dispatches are within one another, or (in coroutines of
 * one thread) end in any order. */
struct dispatch {
    struct anysync_port *port;
    struct dispatch *next; /* of this thread, which began before */
};

/* --- into the mailbox ------------------------------------------------------------------------- */

static void free_port(struct anysync_port *port)
{
    asi_doorbell_in_child(&port->bell);
    asi_free(port);
}

static void drop(struct anysync_port *port)
{
    if (asi_refs_drop(&port->refs))
        free_port(port);
}

/* False: it is closed, and LETTER is the caller's. */
static bool post(struct anysync_port *port, struct asi_letter *letter)
{
    enum asi_push push = asi_mailbox_push(&port->mailbox, letter);

    asi_race_point();
    if (push == ASI_PUSH_WAKE)
        asi_doorbell_ring(&port->bell);
    return push != ASI_PUSH_CLOSED;
}

static void deliver_record(struct asi_letter *letter, void *receiver);

/* The port has gone: tell that RECORD's function. */
static void tell_gone(struct record *record)
{
    if (record->function)
        record->function(NULL, record->argument);
    anysync_future_unref(record->future);
    asi_free(record);
}

/* RECORD's future is done.  Any thread, signal handlers too, which can only forget what would have
 * to be freed. */
static void send(struct record *record)
{
    struct anysync_port *port = record->port;
    bool in_signal = asi_local.in_signal > 0;

    record->letter.deliver = deliver_record;
    asi_refs_add(&port->refs);
    if (!post(port, &record->letter) && !in_signal) {
        tell_gone(record);
        drop(port);
    }
    if (asi_refs_drop(&port->refs) && !in_signal)
        free_port(port);
}

static void wake(struct asi_waiter *waiter)
{
    send(asi_container_of(waiter, struct record, waiter));
}

/* --- [port] out of it ------------------------------------------------------------------------- */

static void deliver_record(struct asi_letter *letter, void *receiver)
{
    struct record *record = asi_container_of(letter, struct record, letter);
    struct anysync_port *port = receiver;

    if (!port->closed && !record->function) {
        record->next = NULL;
        *port->done_end = record;
        port->done_end = &record->next;
        return;
    }
    if (port->closed) {
        tell_gone(record);
    } else {
        record->function(record->future, record->argument);
        anysync_future_unref(record->future);
        asi_free(record);
    }
    drop(port); /* the caller has one too */
}

static void deliver_call(struct asi_letter *letter, void *receiver)
{
    struct call *call = asi_container_of(letter, struct call, letter);
    struct anysync_port *port = receiver;

    if (asi_flag_raise(&call->decided)) {
        asi_free(call); /* nobody waits for it any more */
        return;
    }
    call->status = port->closed ? -ESHUTDOWN : call->function(call->argument);
    asi_party_deliver(&call->party);
}

/* The next letter, NULL when nothing is due: then the descriptor is not readable until something
 * is. */
static struct asi_letter *take(struct anysync_port *port)
{
    for (;;) {
        struct asi_letter *letter = port->due;
        if (letter) {
            port->due = letter->next;
            return letter;
        }
        if (port->closed)
            return NULL;
        port->due = asi_mailbox_take_all(&port->mailbox);
        if (!port->due) {
            asi_doorbell_drain(&port->bell);
            if (asi_mailbox_park(&port->mailbox))
                return NULL;
            /* What came in between may be more than is taken now: the bell is rung as long as
             * something is due. */
            asi_doorbell_ring(&port->bell);
        }
    }
}

/* Whether this thread is within a dispatch of PORT, perhaps with others within that. */
static bool is_dispatching(const struct anysync_port *port)
{
    struct dispatch *each = asi_local.port;

    while (each && each->port != port)
        each = each->next;
    return each;
}

static void end_dispatch(struct dispatch *dispatch)
{
    struct dispatch *each = asi_local.port;

    if (each == dispatch) {
        asi_local.port = dispatch->next;
        return;
    }
    while (each->next != dispatch)
        each = each->next;
    each->next = dispatch->next;
}

/* Deliver at most AT_ONCE letters; with UNTIL_DONE, until one is there for next. */
static int deliver_due(struct anysync_port *port, bool until_done)
{
    struct dispatch dispatch = {port, asi_local.port};
    int count = 0;

    if (port->generation != asi_fork_generation)
        return asi_call_fails(-EOWNERDEAD, "the port is of the process this one was forked from");
    if (is_dispatching(port))
        return asi_call_fails(-EDEADLK, "a function that a port calls cannot dispatch that port");
    asi_local.port = &dispatch;
    asi_refs_add(&port->refs); /* a function may drop the last one */
    while (count < AT_ONCE && !(until_done && port->done)) {
        struct asi_letter *letter = take(port);
        if (!letter)
            break;
        letter->deliver(letter, port);
        count++;
    }
    end_dispatch(&dispatch);
    drop(port);
    return count;
}

int anysync_port_dispatch(struct anysync_port *port)
{
    return deliver_due(port, false);
}

static int next(struct anysync_port *port, struct anysync_future **ret_future, void **ret_argument)
{
    int count = port->done ? 0 : deliver_due(port, true);
    struct record *record = port->done;

    if (count < 0)
        return count;
    if (!record)
        return asi_call_fails(-EAGAIN, "none of the futures that were added is done");
    port->done = record->next;
    if (!port->done)
        port->done_end = &port->done;
    if (ret_argument)
        *ret_argument = record->argument;
    if (ret_future)
        *ret_future = record->future;
    else
        anysync_future_unref(record->future);
    asi_free(record);
    drop(port);
    return 0;
}

int anysync_port_next(
        struct anysync_port *port, struct anysync_future **ret_future, void **ret_argument)
{
    asi_refs_add(&port->refs); /* a function that is called on the way may drop the last one */
    int status = next(port, ret_future, ret_argument);
    drop(port);
    return status;
}

/* --- adding ----------------------------------------------------------------------------------- */

int anysync_port_on_done(struct anysync_port *port, struct anysync_future *future,
        anysync_done_fn *function, void *argument)
{
    struct record *record;

    if (port->generation != asi_fork_generation || asi_future_is_orphan(future))
        return asi_call_fails(-EOWNERDEAD,
                "the port, or the future, was there before this process was forked: nobody "
                "completes it here");
    if (asi_flag_get(&port->shut))
        return asi_call_fails(-ESHUTDOWN, "the port was closed");
    record = asi_allocate(sizeof(*record));
    if (!record)
        return asi_call_fails(-ENOMEM, "no memory for a future of a port");
    asi_refs_add(&port->refs);
    record->port = port;
    record->future = anysync_future_ref(future);
    record->function = function;
    record->argument = argument;
    asi_waiter_init(&record->waiter, wake);
    asi_waiter_arm(&record->waiter, 0); /* a sleeper: each delivery wakes it */
    if (!asi_cell_join(&future->cell, &record->link, &record->waiter))
        send(record); /* it is done already */
    return 0;
}

static int refuse_call(struct anysync_port *port, anysync_time deadline)
{
    if (port->generation != asi_fork_generation)
        return asi_call_fails(-EOWNERDEAD, "the port is of the process this one was forked from");
    if (is_dispatching(port))
        return asi_call_fails(-EDEADLK,
                "this is the port's thread, within its dispatch: call the function directly");
    int error = asi_turn_may_wait(deadline);
    if (error == -EDEADLK)
        return asi_call_fails(error,
                "a callback of the loop cannot wait for a call by a port: spawn a coroutine that "
                "does");
    return error ? asi_call_fails(error, NULL) : 0;
}

/* CALL was posted: its status is there, or it was given up.  RET_MINE: whether it is the caller's
 * to free. */
static int wait_for_call(struct call *call, anysync_time deadline, bool *ret_mine)
{
    int error = asi_party_wait(&call->party, 0, deadline, true);

    asi_race_point();
    *ret_mine = !error || asi_flag_raise(&call->decided);
    if (!*ret_mine)
        return asi_call_fails(error, NULL); /* it never begins */
    while (error && asi_party_wait(&call->party, 0, ANYSYNC_FOREVER, false) != 0)
        ;
    return call->status < 0 ? asi_call_fails(call->status, NULL) : call->status;
}

int anysync_port_call(struct anysync_port *port, int (*function)(void *argument), void *argument,
        anysync_time deadline)
{
    int status = refuse_call(port, deadline);
    bool mine = true;

    if (status)
        return status;
    struct call *call = asi_allocate(sizeof(*call));
    if (!call)
        return asi_call_fails(-ENOMEM, "no memory for a call by a port");
    call->letter.deliver = deliver_call;
    call->function = function;
    call->argument = argument;
    asi_flag_init(&call->decided);
    asi_party_init(&call->party, asi_world());
    asi_refs_add(&port->refs); /* what is called may drop it, before the ring is over */
    bool posted = post(port, &call->letter);
    drop(port);
    if (posted)
        status = wait_for_call(call, deadline, &mine);
    else
        status = asi_call_fails(-ESHUTDOWN, "the port was closed");
    if (mine)
        asi_free(call);
    return status;
}

/* --- life ------------------------------------------------------------------------------------- */

int anysync_port_new(struct anysync_port **ret_port)
{
    struct anysync_port *port = asi_allocate_zero(sizeof(*port));

    if (!port)
        return asi_call_fails(-ENOMEM, "no memory for a port");
    asi_doorbell_init(&port->bell);
    port->descriptor = asi_doorbell_use_descriptor(&port->bell);
    if (port->descriptor < 0) {
        int error = port->descriptor;
        asi_free(port);
        return asi_call_fails(error, "no descriptor left for a port");
    }
    asi_scheduler_prepare_process();
    asi_mailbox_init(&port->mailbox);
    (void)asi_mailbox_park(&port->mailbox);
    asi_refs_init(&port->refs, 1);
    asi_flag_init(&port->shut);
    port->generation = asi_fork_generation;
    port->done_end = &port->done;
    *ret_port = port;
    return 0;
}

struct anysync_port *anysync_port_ref(struct anysync_port *port)
{
    asi_refs_add(&port->refs);
    return port;
}

struct anysync_port *anysync_port_unref(struct anysync_port *port)
{
    if (port)
        drop(port);
    return NULL;
}

int anysync_port_descriptor(struct anysync_port *port)
{
    return port->descriptor;
}

/* What next would have given. */
static void forget_done(struct anysync_port *port)
{
    while (port->done) {
        struct record *record = port->done;
        port->done = record->next;
        tell_gone(record);
        drop(port);
    }
    port->done_end = &port->done;
}

void anysync_port_close(struct anysync_port *port)
{
    if (port->closed || port->generation != asi_fork_generation)
        return;
    asi_refs_add(&port->refs);
    port->closed = true;
    asi_flag_set(&port->shut);
    do { /* without parking: a parked one could not be closed */
        if (!port->due)
            port->due = asi_mailbox_take_all(&port->mailbox);
        while (port->due) {
            struct asi_letter *letter = port->due;
            port->due = letter->next;
            letter->deliver(letter, port);
        }
    } while (!asi_mailbox_close(&port->mailbox));
    forget_done(port);
    drop(port);
}
