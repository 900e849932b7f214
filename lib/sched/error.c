/* SPDX-License-Identifier: MIT */
/*
 * Error objects and slots.
 *
 * THE LOCK  is for the hook for uncollected errors, and for the sentences of cancels.  An object is
 *   constant while it is shared, but for one thing: who shows it to a user first, on whatever
 *   thread, adds the reason of the cancel (tell()).  So of an object that is `late` message, reason
 *   and the second piece are read and copied under the lock; once a user has it there is no reason
 *   left, and it is constant indeed.
 */
#include "sched/error.h"

#include "base/memory.h"
#include "sched/scheduler.h"
#include "sched/task.h"
#include "thread/local.h"
#include "thread/lock.h"

#include <anysync/cancel.h>
#include <anysync/task.h>

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static struct asi_lock lock = ASI_LOCK_INIT;
static anysync_error_hook_fn *hook; /* [lock] */
static void *hook_context;          /* [lock] */

/* What users see, as what it is. */
static struct asi_error *error_of(const struct anysync_error *shown)
{
    return (struct asi_error *)(void *)(uintptr_t)shown;
}

/* --- text ------------------------------------------------------------------------------------- */

/* Whether ERROR, which is nobody else's, has its second piece, or gets it. */
static bool have_more(struct asi_error *error)
{
    if (!error->more)
        error->more = asi_allocate(sizeof(*error->more));
    return error->more;
}

/* The message of ERROR becomes what FORMAT and VALUES say; without memory a piece of it. */
static ANYSYNC_PRINTF(2, 0) void write_text(
        struct asi_error *error, const char *format, va_list values)
{
    va_list again;

    va_copy(again, values);
    error->shown.message = error->text;
    if (vsnprintf(error->text, sizeof(error->text), format, values) >= (int)sizeof(error->text) &&
            have_more(error)) {
        (void)vsnprintf(error->more->message, sizeof(error->more->message), format, again);
        error->shown.message = error->more->message;
    }
    va_end(again);
}

/* The same. */
static void set_text(struct asi_error *error, const char *format, ...) ANYSYNC_PRINTF(2, 3);

static void set_text(struct asi_error *error, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    write_text(error, format, values);
    va_end(values);
}

/* [lock, if it is shared] Put the reason of a cancel into the message.  Of late ones that is the
 * code's until then. */
static void tell(struct asi_error *error)
{
    const char *reason = error->reason;

    error->reason = NULL;
    if (reason)
        set_text(error, "%s: %s", error->shown.message, reason);
}

/* Somebody may look at ERROR and all that hangs on it from here on. */
static void tell_all(const struct anysync_error *shown)
{
    for (; shown; shown = shown->next) {
        if (error_of(shown)->late) {
            asi_lock_take(&lock);
            tell(error_of(shown));
            asi_lock_give(&lock);
        }
        tell_all(shown->cause);
    }
}

/* --- objects ---------------------------------------------------------------------------------- */

/* An error with the code's sentence. */
static inline struct asi_error *new_plain(int code, enum anysync_origin origin)
{
    struct asi_error *error = asi_recycle_take(ASI_RECYCLE_RECORD);

    if (!error)
        return NULL;
    asi_refs_init(&error->refs, 1);
    error->frame_count = 0;
    error->late = false;
    error->reason = NULL;
    error->more = NULL;
    error->shown = (struct anysync_error){.code = code,
            .origin = origin,
            .message = anysync_error_text(code),
            .function = "",
            .file = ""};
    return error;
}

struct asi_error *asi_error_new_list(
        int code, enum anysync_origin origin, const char *format, va_list values)
{
    struct asi_error *error = new_plain(code, origin);

    if (error && format)
        write_text(error, format, values);
    return error;
}

struct asi_error *asi_error_new(int code, enum anysync_origin origin, const char *format, ...)
{
    va_list values;

    if (!format)
        return new_plain(code, origin);
    va_start(values, format);
    struct asi_error *error = asi_error_new_list(code, origin, format, values);
    va_end(values);
    return error;
}

struct asi_error *asi_error_ref(struct asi_error *error)
{
    if (error)
        asi_refs_add(&error->refs);
    return error;
}

void asi_error_free(struct asi_error *error)
{
    do {
        struct asi_error *next = error_of(error->shown.next);
        if (error->shown.cause) /* a cause of a cause of a cause: as deep as users nest */
            asi_error_unref(error_of(error->shown.cause));
        if (error->more)
            asi_free(error->more);
        asi_recycle_give(ASI_RECYCLE_RECORD, error);
        error = next;
    } while (error && asi_refs_drop(&error->refs));
}

/* POINTER, into COPY if it was into FROM, and into COPY's second piece if it was into FROM's. */
static const char *moved(
        const char *pointer, const struct asi_error *from, const struct asi_error *copy)
{
    uintptr_t at = (uintptr_t)pointer - (uintptr_t)from;
    uintptr_t at_more = (uintptr_t)pointer - (uintptr_t)from->more;

    if (at < sizeof(*from))
        return (const char *)copy + at;
    if (from->more && at_more < sizeof(*from->more))
        return (const char *)copy->more + at_more;
    return pointer;
}

static struct asi_error_frame *frame_at(struct asi_error *error, int index)
{
    return index == 0 ? &error->first : &error->more->frames[index - 1];
}

/* Have the frames of ERROR point to one another. */
static void link_frames(struct asi_error *error)
{
    for (int i = 0; i < error->frame_count; i++) {
        struct asi_error_frame *each = frame_at(error, i);
        each->shown.thread = each->thread;
        each->shown.outer = i + 1 < error->frame_count ? &frame_at(error, i + 1)->shown : NULL;
    }
    error->shown.frames = error->frame_count > 0 ? &error->first.shown : NULL;
}

/* [lock, if it is late] COPY becomes like FROM, with a reference of its own.  False: there is no
 * memory. */
static bool copy_all(struct asi_error *copy, const struct asi_error *from)
{
    memcpy(copy, from, offsetof(struct asi_error, refs));
    memcpy(&copy->frame_count, &from->frame_count,
            sizeof(*copy) - offsetof(struct asi_error, frame_count));
    asi_refs_init(&copy->refs, 1);
    if (from->more) {
        copy->more = asi_allocate(sizeof(*copy->more));
        if (!copy->more)
            return false;
        memcpy(copy->more, from->more, sizeof(*copy->more));
    }
    copy->shown.message = moved(from->shown.message, from, copy);
    copy->shown.function = moved(from->shown.function, from, copy);
    link_frames(copy);
    return true;
}

/* *ERROR, which others hold too, becomes a copy. */
static bool copy_to_own(struct asi_error **error)
{
    struct asi_error *from = *error;
    struct asi_error *copy = asi_recycle_take(ASI_RECYCLE_RECORD);
    if (!copy)
        return false;
    if (from->late)
        asi_lock_take(&lock);
    bool copied = copy_all(copy, from);
    if (from->late)
        asi_lock_give(&lock);
    if (!copied) {
        asi_recycle_give(ASI_RECYCLE_RECORD, copy);
        return false;
    }
    asi_error_ref(error_of(copy->shown.cause));
    asi_error_ref(error_of(copy->shown.next));
    asi_error_unref(from);
    *error = copy;
    return true;
}

/* Make *ERROR one that nobody else holds, so that it may be changed.  False: there is no memory for
 * a copy. */
static inline bool make_own(struct asi_error **error)
{
    return asi_refs_is_one(&(*error)->refs) || copy_to_own(error);
}

struct asi_error *asi_error_add_cause(struct asi_error *error, struct asi_error *cause)
{
    if (!error || !cause || error->shown.cause || !make_own(&error)) {
        asi_error_unref(cause);
        return error;
    }
    error->shown.cause = &cause->shown;
    return error;
}

struct asi_error *asi_error_add_next(struct asi_error *error, struct asi_error *next)
{
    struct asi_error *last;

    if (!error || !next)
        return error ? error : next;
    if (!make_own(&error) || !make_own(&next)) {
        asi_error_unref(next);
        return error;
    }
    for (last = error; last->shown.next; last = error_of(last->shown.next))
        ; /* those that were added are nobody else's either */
    last->shown.next = &next->shown;
    return error;
}

struct asi_error *asi_error_add_text(struct asi_error *error, const char *format, ...)
{
    char message[ASI_MESSAGE_SIZE];
    va_list values;

    if (!error || !make_own(&error))
        return error;
    tell(error);
    int length = snprintf(message, sizeof(message), "%s", error->shown.message);
    va_start(values, format);
    (void)vsnprintf(message + length, sizeof(message) - (size_t)length, format, values);
    va_end(values);
    set_text(error, "%s", message);
    return error;
}

bool asi_error_says_same(struct asi_error *one, struct asi_error *other)
{
    tell_all(&one->shown);
    tell_all(&other->shown);
    return strcmp(one->shown.message, other->shown.message) == 0;
}

/* ERROR, which is nobody else's, came through a task of FUNCTION. */
static void add_frame(
        struct asi_error *error, const struct anysync_function *function, const char *thread)
{
    struct asi_error_frame *last = &error->first;
    size_t i = 0;

    if (error->frame_count == 0) {
        error->shown.frames = &last->shown;
    } else {
        if (error->frame_count == ASI_MOST_FRAMES || !have_more(error))
            return; /* one frame less in the chain */
        last = frame_at(error, error->frame_count);
        frame_at(error, error->frame_count - 1)->shown.outer = &last->shown;
    }
    error->frame_count++;
    last->shown = (struct anysync_frame){.function = function->name,
            .file = function->file,
            .line = function->line,
            .thread = last->thread};
    for (; thread[i] && i + 1 < sizeof(last->thread); i++)
        last->thread[i] = thread[i];
    last->thread[i] = '\0';
}

struct asi_error *asi_error_of_task(
        struct asi_error *error, const struct anysync_function *function, const char *thread)
{
    if (!make_own(&error))
        return error;
    add_frame(error, function, thread);
    error->shown.origin = ANYSYNC_ORIGIN_TASK;
    if (!error->shown.function[0]) {
        error->shown.function = function->name;
        error->shown.file = function->file;
        error->shown.line = function->line;
    }
    return error;
}

/* --- slots --------------------------------------------------------------------------------------
 */

static void forget_thread_slot(struct asi_local *local)
{
    local->error = asi_error_unref(local->error);
    local->error_code = 0;
}

void asi_error_prepare(void)
{
    asi_local_at_exit(forget_thread_slot);
}

void asi_error_before_fork(void)
{
    asi_lock_take(&lock);
}

void asi_error_after_fork(void)
{
    asi_lock_give(&lock);
}

struct asi_slot asi_slot(void)
{
    struct asi_scheduler *scheduler = asi_scheduler_here();

    if (scheduler && scheduler->current) {
        struct anysync_task *task = scheduler->current;
        return asi_task_slot(task);
    }
    if (asi_local.job)
        return asi_task_slot(asi_local.job);
    asi_scheduler_prepare_process();
    asi_local_attach();
    return (struct asi_slot){&asi_local.error, &asi_local.error_code};
}

void asi_slot_put(struct asi_slot slot, int code, struct asi_error *error)
{
    struct asi_error *before = *slot.error;

    *slot.error = error;
    *slot.code = code;
    asi_error_unref(before);
}

/* The caller was cancelled. */
static int cancel_fails(void)
{
    struct asi_error *error = new_plain(-ECANCELED, ANYSYNC_ORIGIN_CALL);

    if (error) {
        error->reason = anysync_cancel_reason();
        error->late = error->reason;
    }
    asi_slot_put(asi_slot(), -ECANCELED, error);
    return -ECANCELED;
}

int asi_call_fails(int code, const char *format, ...)
{
    va_list values;

    if (!format && code == -ECANCELED)
        return cancel_fails();
    va_start(values, format);
    asi_slot_put(asi_slot(), code, asi_error_new_list(code, ANYSYNC_ORIGIN_CALL, format, values));
    va_end(values);
    return code;
}

/* The body of a typed function has a name of its own; what its author wrote is shown. */
static void show_function(struct asi_error *error, const char *function)
{
    static const char suffix[] = "_asi_body"; /* <anysync/typed.h> */
    size_t length = strlen(function);
    size_t shown = length - (sizeof(suffix) - 1);

    error->shown.function = function;
    if (length < sizeof(suffix) || strcmp(function + shown, suffix) != 0 ||
            shown >= ASI_FUNCTION_NAME_SIZE || !have_more(error))
        return;
    memcpy(error->more->function, function, shown);
    error->more->function[shown] = '\0';
    error->shown.function = error->more->function;
}

int anysync_fail_at(
        int code, const char *function, const char *file, int line, const char *format, ...)
{
    va_list values;

    ASI_ASSERT(code < 0, "anysync_fail() was given a code that is not negative");
    va_start(values, format);
    struct asi_error *error = asi_error_new_list(code, ANYSYNC_ORIGIN_TASK, format, values);
    va_end(values);
    if (error) {
        show_function(error, function);
        error->shown.file = file;
        error->shown.line = line;
    }
    asi_slot_put(asi_slot(), code, error);
    return code;
}

const struct anysync_error *anysync_last_error(void)
{
    static _Thread_local struct anysync_error plain;
    struct asi_slot slot = asi_slot();
    int code = *slot.code;

    struct asi_error *error = *slot.error;

    if (error) {
        tell_all(&error->shown);
        return &error->shown;
    }
    plain = (struct anysync_error){.code = code,
            .origin = code ? ANYSYNC_ORIGIN_CALL : ANYSYNC_ORIGIN_NONE,
            .message = code ? anysync_error_text(code) : "",
            .function = "",
            .file = ""};
    return &plain;
}

/* --- printing -----------------------------------------------------------------------------------
 */

struct text {
    char *buffer;
    size_t size;
    size_t length;
};

static void add(struct text *text, const char *format, ...) ANYSYNC_PRINTF(2, 3);

static void add(struct text *text, const char *format, ...)
{
    size_t at = text->length < text->size ? text->length : text->size;
    va_list values;

    va_start(values, format);
    int count =
            vsnprintf(at < text->size ? text->buffer + at : NULL, text->size - at, format, values);
    va_end(values);
    if (count > 0)
        text->length += (size_t)count;
}

static void add_one(struct text *text, const struct anysync_error *error)
{
    add(text, "%s (%s)\n", error->message, anysync_error_name(error->code));
    if (error->function[0])
        add(text, "  failed in %s (%s:%d)\n", error->function, error->file, error->line);
    for (const struct anysync_frame *frame = error->frames; frame; frame = frame->outer)
        add(text, "  in %s (%s:%d) on %s\n", frame->function, frame->file, frame->line,
                frame->thread);
}

size_t anysync_error_format(const struct anysync_error *error, char *buffer, size_t size)
{
    struct text text = {buffer, size, 0};

    if (size > 0)
        buffer[0] = '\0';
    for (const struct anysync_error *each = error; each; each = each->next) {
        if (each != error)
            add(&text, "and: ");
        add_one(&text, each);
        for (const struct anysync_error *cause = each->cause; cause; cause = cause->cause) {
            add(&text, "on top of: ");
            add_one(&text, cause);
        }
    }
    return text.length;
}

/* --- errors that nobody collected ---------------------------------------------------------------
 */

void anysync_set_error_hook(anysync_error_hook_fn *new_hook, void *context)
{
    asi_lock_take(&lock);
    hook = new_hook;
    hook_context = context;
    asi_lock_give(&lock);
}

void asi_error_report(
        const char *task, const char *file, int line, int code, struct asi_error *error)
{
    struct anysync_error plain = {.code = code,
            .origin = ANYSYNC_ORIGIN_TASK,
            .message = anysync_error_text(code),
            .function = "",
            .file = file,
            .line = line};
    const struct anysync_error *shown = error ? &error->shown : &plain;

    tell_all(shown == &plain ? NULL : shown);
    asi_lock_take(&lock);
    anysync_error_hook_fn *call = hook;
    void *context = hook_context;
    asi_lock_give(&lock);
    if (call)
        call(task, shown, context);
    else
        (void)fprintf(stderr, "anysync: task \"%s\" (%s:%d) failed and nobody looked: %s (%s)\n",
                task, file, line, shown->message, anysync_error_name(code));
}
