/* SPDX-License-Identifier: MIT */
/*
 * Error objects and the slots they wait in (what users see of them: <anysync/error.h>).
 *
 * An error object is made when something fails, and never on the way of a success.  It is
 * reference-counted and changed only while it has one holder.  Each task has a slot, and each
 * thread one for its code outside tasks; asi_slot() finds the right one.
 */
#ifndef ASI_SCHED_ERROR_H
#define ASI_SCHED_ERROR_H

#include "thread/refs.h"

#include <anysync/error.h>

#include <stdarg.h>

enum {
    ASI_MESSAGE_SIZE = 512,
    ASI_MOST_FRAMES = 12,
    ASI_THREAD_NAME_SIZE = 16,
    ASI_FUNCTION_NAME_SIZE = 64
};

struct asi_error {
    struct anysync_error shown; /* first: users get a pointer to it */
    struct asi_error *cause;    /* owned; shown.cause */
    struct asi_error *next;     /* owned; shown.next */
    int frame_count;
    struct anysync_frame frames[ASI_MOST_FRAMES];
    char threads[ASI_MOST_FRAMES][ASI_THREAD_NAME_SIZE]; /* the frames' thread names */
    char message[ASI_MESSAGE_SIZE];
    char function[ASI_FUNCTION_NAME_SIZE]; /* shown.function of a typed one */
    struct asi_refs refs; /* last: all before it is constant once it is shared, and copied */
};

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
struct asi_error *asi_error_new_list(
        int code, enum anysync_origin origin, const char *format, va_list values);
struct asi_error *asi_error_ref(struct asi_error *error);
struct asi_error *asi_error_unref(struct asi_error *error); /* NULL is fine; returns NULL */

/* ERROR (consumed) with CAUSE (consumed) under it, or with NEXT (consumed) after the last that
 * follows it.  Each may be NULL; the result may be another object.  Without memory they are left
 * out. */
struct asi_error *asi_error_add_cause(struct asi_error *error, struct asi_error *cause);
struct asi_error *asi_error_add_next(struct asi_error *error, struct asi_error *next);

/* ERROR (consumed, may be NULL) with more at the end of its sentence, if there is memory to copy it
 * where others hold it too. */
struct asi_error *asi_error_add_text(struct asi_error *error, const char *format, ...)
        ANYSYNC_PRINTF(2, 3);

/* ERROR (consumed) with one more frame outside the others; may be another object. */
struct asi_error *asi_error_add_frame(struct asi_error *error, const struct anysync_frame *frame);

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
