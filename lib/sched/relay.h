/* SPDX-License-Identifier: MIT */
/*
 * Relay: a task that gives items, and whoever asks it for them.  Generators and context managers
 * are made of it.  (What it promises to users: <anysync/generator.h>.)
 *
 *      FRESH --advance--> RUNNING --yield--> YIELDED        any --end of the task--> over
 *                            ^                  |
 *                            +-----advance------+
 *
 * HOME  All that moves is the loop's on which the task lives, from open on: a fresh one is parked
 *   there without a stack.  A consumer in the same loop just reads and writes it: no atomic, no
 *   letter.  A consumer from elsewhere has its request done there: one letter, in the relay
 *   itself, and a party that the answer is delivered to.  When the task has ended nothing moves
 *   any more, and what is left to be taken is taken under the relay's lock, on any thread.
 *
 * NOTHING IS LOST  A consumer that leaves early (deadline, cancel) takes back its claim to the
 *   answer, not the request.  The item then waits in the slot, and the next consumer gets it.
 *
 * AHEAD  With read-ahead the items go through a ring (thread/ring.h) instead: ahead.c.
 *
 * REFERENCES  One of the user's handle, one of the task until it has ended, one of each letter on
 *   its way.
 */
#ifndef ASI_SCHED_RELAY_H
#define ASI_SCHED_RELAY_H

#include "sched/task.h"
#include "sched/wait.h"
#include "thread/brief.h"
#include "thread/flag.h"
#include "thread/owned.h"
#include "thread/refs.h"
#include "thread/ring.h"

#include <anysync/generator.h>

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct asi_vars;

enum asi_advance_kind { ASI_ADVANCE_NEXT, ASI_ADVANCE_SEND, ASI_ADVANCE_THROW };

/* One request to go on to the next item. */
struct asi_advance {
    enum asi_advance_kind kind;
    bool keep_values;        /* go on with the generator's own context variables */
    int code;                /* of a throw */
    const void *value;       /* of a send; borrowed */
    struct asi_error *error; /* of a throw; owned, may be NULL */
    struct asi_vars *vars;   /* the caller's context variables; owned, may be NULL */
};

/* How a request went, on the loop's side. */
enum asi_advanced {
    ASI_ADVANCED_ITEM,
    ASI_ADVANCED_LATER,   /* the body is on its way */
    ASI_ADVANCED_OVER,    /* the task has ended */
    ASI_ADVANCED_RUNNING, /* refused: somebody else waits for the item */
    ASI_ADVANCED_DUE,     /* refused: an item that was asked for before has to be taken first */
    ASI_ADVANCED_FRESH    /* refused: a value was sent before the first item */
};

enum asi_relay_phase {
    ASI_RELAY_FRESH,
    ASI_RELAY_RUNNING,
    ASI_RELAY_YIELDED, /* parked in its yield; the item is in the slot */
    ASI_RELAY_OPEN     /* parked in its yield, the item was taken, and nobody waits */
};

/* A coroutine of the same loop that waits for an item. */
struct asi_seeker {
    struct asi_local_wait wait; /* who asks, for the generator's task */
    void *to;                   /* may be NULL */
    enum asi_advanced result;
    bool woken;
};

enum { ASI_SMALL_ITEM = 24 };

/* A consumer from elsewhere, on its own stack.  What the loop writes is one cache line: answer,
 * small item, and the word the consumer looks at. */
struct asi_consumer {
    _Alignas(64) void *to; /* where the item goes; may be NULL */
    unsigned char result;  /* enum asi_advanced; of who took it out, until the delivery */
    bool edge;             /* [const] its wait may be one of the wait-for graph */
    _Alignas(8) char small[ASI_SMALL_ITEM]; /* a small item, which its consumer copies; as result */
    struct asi_party party;                 /* begins with the word */
};

_Static_assert(offsetof(struct asi_consumer, party) + sizeof(struct asi_waiter) <= 64,
        "the answer to a consumer has outgrown its cache line");

/* What a consumer from elsewhere shares with the loop. */
struct asi_remote {
    _Alignas(64) struct asi_brief lock; /* a line of its own: the loop's side is not in it */
    bool kept;                          /* [lock] the letter's reference is there */
    bool in_flight;                     /* [lock] a request was sent, and was not answered */
    struct asi_consumer *consumer; /* [lock] who waits for the answer; NULL: nobody, or answered */
    void *sent;                    /* sent_size bytes; the consumer's, then the letter's */
    struct asi_advance advance;    /* likewise */
    struct asi_letter letter;
};

/* What read-ahead needs. */
struct asi_ahead {
    _Alignas(64) struct asi_ring ring;
    _Alignas(64) struct asi_owned seat; /* around each look at the consumer's side of the ring */
    bool taken;                         /* [seat] a consumer waits; nobody else may look */

    _Alignas(64) struct asi_party *party; /* the consumer that sleeps; carried by the ring */
    char *items;
    struct asi_letter letter; /* wakes the producer */
    bool owed;                /* [loop] that letter is on its way */
};

/* The first line is what consumers on other threads read, and never changes; then the loop's. */
struct anysync_generator {
    struct anysync_iterator iterator;                  /* first */
    const struct anysync_generator_function *function; /* [const] */
    struct anysync_task *task;                         /* [const] a reference of the relay's */
    struct asi_scheduler *home;                        /* [const] since it was opened: its task's */
    void *argument;                                    /* [const] the copy of it */
    uint32_t generation;                               /* [const] of the process that made it */
    bool reads_ahead;                                  /* [const] */
    bool spares; /* [loop] since before it was closed: that does not cancel a body in its yield */
    struct asi_flag closed; /* [atomic] somebody closed it */
    void *slot;             /* [loop] item_size bytes */

    _Alignas(64) enum asi_relay_phase phase; /* [loop] */
    bool asked;                              /* [loop] the body shall go on */
    bool closing;                            /* [loop] */
    bool item_ready;                         /* [loop], when over [lock]: in the slot */
    bool crowded;                            /* [loop] the body waits for the slot */
    bool room;                               /* [loop] it was emptied */
    bool remote_waits;                       /* [loop] the answer is for the remote */
    bool told;                               /* [lock] how it ended was told */
    enum asi_advance_kind kind;              /* [loop] what it was asked */
    int thrown;                              /* [loop] the code */
    struct asi_error *thrown_error;          /* [loop] owned */
    struct asi_seeker *seeker;               /* [loop] */
    void *sent;                              /* [loop] sent_size bytes */
    struct asi_task_hook hook;
    struct asi_refs refs;
    struct asi_letter close_letter;
    struct asi_remote remote;
    struct asi_ahead ahead; /* set up if reads_ahead */
};

/* A relay with a copy of ARGUMENT, not submitted: two references, its task's and the caller's; the
 * task has one for the loop.  NULL: no memory. */
struct anysync_generator *asi_relay_new(const struct anysync_generator_function *function,
        const void *argument, uint32_t read_ahead);

/* The task could not be submitted (and its loop reference is dropped): free it all. */
void asi_relay_discard(struct anysync_generator *self);

/* The hook of its task. */
void asi_relay_ended(struct asi_task_hook *hook, struct anysync_task *task);

struct anysync_generator *asi_relay_ref(struct anysync_generator *self);
void asi_relay_unref(struct anysync_generator *self);

/* Advance to the next item: 0, ANYSYNC_DONE or an error with its sentence.  ADVANCE is consumed. */
int asi_relay_advance(struct anysync_generator *self, struct asi_advance *advance, void *ret_item,
        anysync_time deadline);

/* The same for a plain next; CALL is its name for messages.  Checks who calls, and what SELF is. */
int asi_relay_next(struct anysync_generator *self, bool keep_values, const char *call,
        void *ret_item, anysync_time deadline);

/* The running task is SELF's: give ITEM. */
int asi_relay_yield(struct anysync_generator *self, const void *item, void *ret_sent);

/* Ask the task to end; no wait.  Any thread. */
void asi_relay_ask_close(struct anysync_generator *self);

/* Close it and wait for its end, whatever happens to this task meanwhile; in a callback: no wait.
 */
void asi_relay_end(struct anysync_generator *self);

/* The same for one whose body, if it has come to its yield, cleans up undisturbed: the yield
 * returns -ECANCELED, but the waits after it do not. */
void asi_relay_end_gently(struct anysync_generator *self);

/* SELF's task has ended: what there is to take or to tell. */
int asi_relay_over(struct anysync_generator *self, void *ret_item);

/* The first part of a yield: whether the body has to stop, and a chance for others then. */
int asi_relay_checkpoint(struct anysync_generator *self);

/* A consumer's wait ended with ERROR: say so. */
int asi_relay_gave_up(struct anysync_generator *self, int error);

/* Another consumer is at it, or the caller is the body itself. */
int asi_relay_refuse(struct anysync_generator *self, enum asi_advanced why);

/* Whether the calling code may wait for SELF, or the error, with its sentence. */
int asi_relay_check(struct anysync_generator *self, const char *call);

static inline bool asi_relay_is_over(struct anysync_generator *self)
{
    return asi_cell_done(&self->task->future.cell);
}

/* On the loop: ADVANCE takes effect; what it uses is taken out of it.  For ITEM there is one in the
 * slot. */
enum asi_advanced asi_relay_start(struct anysync_generator *self, struct asi_advance *advance);

/* On the loop: the item in the slot was copied. */
void asi_relay_take_slot(struct anysync_generator *self);

/* Free what ADVANCE owns. */
void asi_relay_drop(struct asi_advance *advance);

/* Small items, the usual ones, without a call. */
static inline void asi_relay_copy(void *to, const void *from, size_t size)
{
    if (!to || size == 0)
        return;
    if (size == 4)
        memcpy(to, from, 4);
    else if (size == 8)
        memcpy(to, from, 8);
    else
        memcpy(to, from, size);
}

/* --- remote.c --------------------------------------------------------------------------------- */

/* On the loop: give the remote consumer its answer.  Returns whether somebody was there. */
bool asi_remote_answer(struct anysync_generator *self, enum asi_advanced result, const void *item);

/* On the loop: whether one waits; one that has left is forgotten. */
bool asi_remote_is_there(struct anysync_generator *self);

/* The body has ended, and all who waited know. */
void asi_remote_over(struct anysync_generator *self);

/* Off the loop: advance.  ADVANCE is consumed or left as it is; LATER: RET_ERROR says why. */
enum asi_advanced asi_remote_advance(struct anysync_generator *self, struct asi_advance *advance,
        void *ret_item, anysync_time deadline, int *ret_error);

/* --- ahead.c ---------------------------------------------------------------------------------- */

/* All of a next, with its checks; CALL is its name for messages. */
int asi_ahead_next(
        struct anysync_generator *self, const char *call, void *ret_item, anysync_time deadline);
int asi_ahead_yield(struct anysync_generator *self, const void *item);
void asi_ahead_over(struct anysync_generator *self); /* on the loop: the task has ended */
void asi_ahead_init(struct anysync_generator *self, uint32_t read_ahead, char *items);

#endif
