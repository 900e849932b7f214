/* SPDX-License-Identifier: MIT */
/*
 * Error objects and slots.
 *
 * The hook for uncollected errors is the one piece of shared state: a pair of words under a lock,
 * read only when an error is about to be reported.
 */
#include "sched/error.h"

#include "base/memory.h"
#include "sched/scheduler.h"
#include "sched/task.h"
#include "thread/local.h"
#include "thread/lock.h"

#include <anysync/cancel.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct asi_lock hook_lock = ASI_LOCK_INIT;
static anysync_error_hook_fn *hook; /* [hook_lock] */
static void *hook_context;          /* [hook_lock] */

struct asi_error *asi_error_new_list(
        int code, enum anysync_origin origin, const char *format, va_list values)
{
    struct asi_error *error = asi_allocate(sizeof(*error));

    if (!error)
        return NULL;
    asi_refs_init(&error->refs, 1);
    error->cause = NULL;
    error->next = NULL;
    error->frame_count = 0;
    error->shown = (struct anysync_error){
            .code = code, .origin = origin, .message = error->message, .function = "", .file = ""};
    if (format)
        vsnprintf(error->message, sizeof(error->message), format, values);
    else
        snprintf(error->message, sizeof(error->message), "%s", anysync_error_text(code));
    return error;
}

struct asi_error *asi_error_new(int code, enum anysync_origin origin, const char *format, ...)
{
    va_list values;

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

struct asi_error *asi_error_unref(struct asi_error *error)
{
    while (error && asi_refs_drop(&error->refs)) {
        struct asi_error *next = error->next;
        asi_error_unref(error->cause); /* a cause of a cause of a cause: as deep as users nest */
        asi_free(error);
        error = next;
    }
    return NULL;
}

/* Make *ERROR one that nobody else holds, so that it may be changed: perhaps a copy.  False: there
 * is no memory for one. */
static bool make_own(struct asi_error **error)
{
    struct asi_error *from = *error;

    if (asi_refs_is_one(&from->refs))
        return true;
    struct asi_error *copy = asi_allocate(sizeof(*copy));
    if (!copy)
        return false;
    memcpy(copy, from, offsetof(struct asi_error, refs));
    asi_refs_init(&copy->refs, 1);
    copy->shown.message = copy->message;
    if (from->shown.function == from->function)
        copy->shown.function = copy->function;
    for (int i = 0; i < copy->frame_count; i++) {
        copy->frames[i].thread = copy->threads[i];
        copy->frames[i].outer = i + 1 < copy->frame_count ? &copy->frames[i + 1] : NULL;
    }
    copy->shown.frames = copy->frame_count ? copy->frames : NULL;
    asi_error_ref(copy->cause);
    asi_error_ref(copy->next);
    asi_error_unref(from);
    *error = copy;
    return true;
}

struct asi_error *asi_error_add_cause(struct asi_error *error, struct asi_error *cause)
{
    if (!error || !cause || error->cause || !make_own(&error)) {
        asi_error_unref(cause);
        return error;
    }
    error->cause = cause;
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
    for (last = error; last->next; last = last->next)
        ; /* those that were added are nobody else's either */
    last->next = next;
    last->shown.next = &next->shown;
    return error;
}

struct asi_error *asi_error_add_text(struct asi_error *error, const char *format, ...)
{
    va_list values;

    if (!error || !make_own(&error))
        return error;
    size_t length = strlen(error->message);
    va_start(values, format);
    vsnprintf(error->message + length, sizeof(error->message) - length, format, values);
    va_end(values);
    return error;
}

struct asi_error *asi_error_add_frame(struct asi_error *error, const struct anysync_frame *frame)
{
    if (error->frame_count == ASI_MOST_FRAMES || !make_own(&error))
        return error; /* one frame less in the chain */
    int last = error->frame_count++;
    error->frames[last] = *frame;
    snprintf(error->threads[last], sizeof(error->threads[last]), "%s", frame->thread);
    error->frames[last].thread = error->threads[last];
    error->frames[last].outer = NULL;
    if (last > 0)
        error->frames[last - 1].outer = &error->frames[last];
    error->shown.frames = error->frames;
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
    asi_lock_take(&hook_lock);
}

void asi_error_after_fork(void)
{
    asi_lock_give(&hook_lock);
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

int asi_call_fails(int code, const char *format, ...)
{
    va_list values;

    if (!format && code == -ECANCELED)
        return asi_call_fails(code, "%s%s%s", anysync_error_text(code),
                anysync_cancel_reason() ? ": " : "",
                anysync_cancel_reason() ? anysync_cancel_reason() : "");
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
            shown >= sizeof(error->function))
        return;
    memcpy(error->function, function, shown);
    error->function[shown] = '\0';
    error->shown.function = error->function;
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

    if (*slot.error)
        return &(*slot.error)->shown;
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
    asi_lock_take(&hook_lock);
    hook = new_hook;
    hook_context = context;
    asi_lock_give(&hook_lock);
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

    asi_lock_take(&hook_lock);
    anysync_error_hook_fn *call = hook;
    void *context = hook_context;
    asi_lock_give(&hook_lock);
    if (call)
        call(task, shown, context);
    else
        fprintf(stderr, "anysync: task \"%s\" (%s:%d) failed and nobody looked: %s (%s)\n", task,
                file, line, shown->message, anysync_error_name(code));
}
