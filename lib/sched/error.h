/* SPDX-License-Identifier: MIT */
/*
 * Error objects and the slots they wait in (what users see of them: <anysync/error.h>).
 *
 * An error object is made when something fails, and never on the way of a success.  It is
 * reference-counted and changed only while it has one holder.  Each task has a slot, and each
 * thread one for its code outside tasks; asi_slot() finds the right one.
 *
 * Most failures are looked at by their code alone, cancels above all.  So an object is a record of
 * the recycler that points to the code's sentence, and holds what was written for it if that is
 * short.  What is long, and more than one frame, is in a second piece, made when it is needed.  The
 * reason of a cancel is put into the sentence by the first who looks at it.
 */
#ifndef ASI_SCHED_ERROR_H
#define ASI_SCHED_ERROR_H

#include "thread/recycle.h"
#include "thread/refs.h"

#include <anysync/error.h>

#include <stdarg.h>
#include <stdbool.h>

struct anysync_function;

enum {
    ASI_MESSAGE_SIZE = 512,
    ASI_MOST_FRAMES = 12,
    ASI_THREAD_NAME_SIZE = 16,
    ASI_FUNCTION_NAME_SIZE = 64
};

/* A frame and the name of its thread. */
struct asi_error_frame {
    struct anysync_frame shown;
    char thread[ASI_THREAD_NAME_SIZE];
};

/* What few errors need. */
struct asi_error_more {
    struct asi_error_frame frames[ASI_MOST_FRAMES - 1]; /* after the first */
    char message[ASI_MESSAGE_SIZE];
    char function[ASI_FUNCTION_NAME_SIZE]; /* shown.function of a typed one */
};

struct asi_error {
    struct anysync_error shown; /* first: users get a pointer to it; owns cause and next */
    struct asi_refs refs;
    unsigned char frame_count;
    bool late;                   /* [const] it was made with a reason */
    const char *reason;          /* [text lock] to be put at the end of the message; NULL: none */
    struct asi_error_more *more; /* owned; NULL: there is none; [text lock] if it is late */
    struct asi_error_frame first;
    char text[ASI_RECYCLE_RECORD_SIZE - 144]; /* a message that is short */
};

_Static_assert(sizeof(struct asi_error) <= ASI_RECYCLE_RECORD_SIZE,
        "an error has to fit the recycler's records");

/* Where the last failure of a task or thread is noted. */
struct asi_slot {
    struct asi_error **error; /* owned; NULL with a code: there was no memory for it */
    int *code;                /* 0: none yet */
};

/* The slot of the calling task, or of the calling thread outside tasks. */
struct asi_slot asi_slot(void);

/* Put ERROR (consumed, may be NULL) with CODE into SLOT. */
void asi_slot_put(struct asi_slot slot, int code, struct asi_error *error);

/* A new error with one reference, or NULL when there is no memory.  FORMAT NULL: the code's
 * sentence. */
struct asi_error *asi_error_new(int code, enum anysync_origin origin, const char *format, ...)
        ANYSYNC_PRINTF(3, 4);
struct asi_error *asi_error_new_list(int code, enum anysync_origin origin, const char *format,
        va_list values) ANYSYNC_PRINTF(3, 0);
struct asi_error *asi_error_ref(struct asi_error *error);
void asi_error_free(struct asi_error *error); /* the last reference is gone */

/* NULL is fine; returns NULL. */
static inline struct asi_error *asi_error_unref(struct asi_error *error)
{
    if (error && asi_refs_drop(&error->refs))
        asi_error_free(error);
    return NULL;
}

/* ERROR (consumed) with CAUSE (consumed) under it, or with NEXT (consumed) after the last that
 * follows it.  Each may be NULL; the result may be another object.  Without memory they are left
 * out. */
struct asi_error *asi_error_add_cause(struct asi_error *error, struct asi_error *cause);
struct asi_error *asi_error_add_next(struct asi_error *error, struct asi_error *next);

/* ERROR (consumed, may be NULL) with more at the end of its sentence, if there is memory to copy it
 * where others hold it too. */
struct asi_error *asi_error_add_text(struct asi_error *error, const char *format, ...)
        ANYSYNC_PRINTF(2, 3);

/* Whether both have the same sentence. */
bool asi_error_says_same(struct asi_error *one, struct asi_error *other);

/* ERROR (consumed) as that of a task of FUNCTION, which ends with it on THREAD: one more frame
 * outside the others, which is also where it failed if that is not known.  May be another one. */
struct asi_error *asi_error_of_task(
        struct asi_error *error, const struct anysync_function *function, const char *thread);

/* A call of the library fails: note the sentence, return CODE. */
int asi_call_fails(int code, const char *format, ...) ANYSYNC_PRINTF(2, 3);

/* Once in a process, and around fork(). */
void asi_error_prepare(void);
void asi_error_before_fork(void);
void asi_error_after_fork(void);

/* Tell the hook of an error that nobody collected. */
void asi_error_report(
        const char *task, const char *file, int line, int code, struct asi_error *error);

#endif
