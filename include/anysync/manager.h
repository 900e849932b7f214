/* SPDX-License-Identifier: MIT */
/*
 * Context managers: what has to be set up before a piece of code and cleaned up after it, in
 * whatever way that is left.
 *
 *      ANYSYNC_CONTEXT_MANAGER(struct db *, connected, (const char *, url))
 *      {
 *          struct db *db;
 *          int error = db_open(&db, url);
 *          if (error)
 *              return error;                  enter fails: the block does not run
 *          error = connected_yield(db);       the block runs; how it ended
 *          db_close(db);
 *          return error;                      0 would swallow the error, another replaces it
 *      }
 *
 *      ANYSYNC_WITH(connected, db, &error, "host")
 *      {
 *          error = query(db);
 *      }
 *
 * WHERE  Set-up and clean-up run in one task, on the global worker if a thread outside loops uses
 *   it, in the same loop if a coroutine does; the block runs where it stands, in its caller.  They
 *   wait as coroutines do.  What they set in context variables is theirs: the block does not see
 *   it.
 *
 * ERRORS  The clean-up is told how the block ended: 0 or a code, and its sentence.  What it returns
 *   counts: 0 swallows, the same code passes on, another code replaces it and has the block's error
 *   as its cause.
 *
 * CANCEL  A cancel of the caller does not cut the clean-up short, but the executor's end does.  A
 *   set-up that is not done yet is cancelled with its caller.
 *
 * ONCE  A manager is used once.  The block forms make a new one each time.
 */
#ifndef ANYSYNC_MANAGER_H
#define ANYSYNC_MANAGER_H

#include <anysync/base.h>
#include <anysync/generator.h>
#include <anysync/generator_typed.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_manager; /* opaque; one owner */

/*
 * A manager as two functions of a struct of yours.  Constant.
 *
 * enter  sets up; writes value_size bytes to RET_VALUE (all zero at first).  Returns 0 or a code.
 * exit   cleans up; ERROR is how the block ended.  Returns ERROR, 0, or another code.
 */
struct anysync_manager_type {
    struct anysync_generator_function function; /* name, file, line, value_size */
    int (*enter)(void *self, void *ret_value);
    int (*exit)(void *self, int error);
};

/* One: NAME is for messages, VALUE_SIZE the bytes of its value. */
#define ANYSYNC_MANAGER_TYPE(name, value_size, enter, exit)                                        \
    {                                                                                              \
        ANYSYNC_GENERATOR_FUNCTION(                                                                \
                name, anysync_manager_main, sizeof(struct anysync_manager_use), value_size, 0),    \
                enter, exit                                                                        \
    }

/*
 * Make a manager of TYPE for SELF.  Nothing runs yet.
 *
 * type, self   borrowed, until it is gone.
 * ret_manager  owned by the caller: anysync_manager_unref() it.
 *
 * Returns  0, or -ENOMEM, -EAGAIN, -EMFILE, -ESHUTDOWN as anysync_spawn(): nothing was made.
 * Thread   any, callbacks too.   Blocks  never, except for the first start of the worker.
 */
ANYSYNC_API int anysync_manager_new(const struct anysync_manager_type *type, void *self,
        struct anysync_manager **ret_manager) ANYSYNC_MUST_CHECK;

/*
 * Make a manager of a function that yields once: what is before its yield is enter, what is after
 * it exit.  Its items are the values.  Otherwise as anysync_manager_new().
 *
 * argument  argument_size bytes, copied; NULL when 0.
 */
ANYSYNC_API int anysync_manager_new_of(const struct anysync_generator_function *function,
        const void *argument, struct anysync_manager **ret_manager) ANYSYNC_MUST_CHECK;

/*
 * Enter: set up, and get the value.
 *
 * ret_value  value_size bytes, written when the return is 0; NULL to leave it.
 *
 * Returns     0  entered: anysync_manager_exit() has to follow.
 *     -EALREADY  it was entered before, and cannot be used again.
 *       -EINVAL  its function has ended without a yield.
 *    -ETIMEDOUT  DEADLINE passed; what was set up is cleaned up again.
 *    -ECANCELED  the calling task was cancelled; likewise.
 *      -EDEADLK  called by a callback of a loop.
 *   -EOWNERDEAD  it belongs to the process this one was forked from.
 *         other  what the set-up returned.
 *
 * Thread  any but callbacks of a loop.
 * Blocks  in a coroutine: suspends.  Elsewhere: blocks the thread.
 * Cancel  cancellation point.
 */
ANYSYNC_API int anysync_manager_enter(
        struct anysync_manager *manager, void *ret_value, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Exit: clean up.
 *
 * error  how the block ended: 0 or a code, whose sentence is taken from anysync_last_error() if
 *        that is about it.
 *
 * Returns     0  cleaned up; ERROR was 0, or was swallowed.
 *     -EALREADY  it was exited before.
 *       -EINVAL  it was not entered; or its function yielded twice: it is ended.
 *    -ETIMEDOUT  DEADLINE passed first; the clean-up goes on by itself.
 *         other  what the clean-up returned: ERROR, or another code with ERROR as its cause.
 *
 * Thread, Blocks  as anysync_manager_enter().   Cancel  no cancellation point.
 */
ANYSYNC_API int anysync_manager_exit(
        struct anysync_manager *manager, int error, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Free it.  One that was entered and not exited is cancelled, and waited for; a clean-up that takes
 * longer than its exit waited goes on by itself.  NULL is fine.  Returns NULL.  Any thread. */
ANYSYNC_API struct anysync_manager *anysync_manager_unref(struct anysync_manager *manager);

// clang-format off
/*
 * Typed managers, with these for the caller; codes are told above:
 *   connected_yield(value)                   in the function: 0, or how the block failed
 *   connected_new(&manager, "host")          a struct anysync_manager
 * VALUE is a type as for typed functions, no void.  Local to their file; a shared one is declared
 * in a header and defined in one file that includes it.
 */
#define ANYSYNC_CONTEXT_MANAGER(value, ...) \
    ASI_GEN(ASI_MAN_LOCAL, 0, value, char, __VA_ARGS__)
#define ANYSYNC_CONTEXT_MANAGER_DECLARE(value, ...) \
    ASI_GEN(ASI_MAN_DECLARE, 0, value, char, __VA_ARGS__)
#define ANYSYNC_CONTEXT_MANAGER_DEFINE(value, ...) \
    ASI_GEN(ASI_GEN_DEFINE, 0, value, char, __VA_ARGS__)

/* A block within a new manager of NAME; VALUE is declared.  ERROR (int *, may be NULL): *ERROR is
 * how the block ended, and becomes what exit returns, or the error of enter.  It may be left by
 * break, return and goto: exit has run when the next statement does. */
#define ANYSYNC_WITH(name, value, ...) \
    ASI_WITH(ASI_UNIQUE(asi_with_##value), ASI_UNIQUE(asi_once_##value), name##_asi_value, value, \
        name##_asi_with, __VA_ARGS__)

/* The same with a MANAGER of your own (borrowed), whose values are of TYPE. */
#define ANYSYNC_WITH_MANAGER(type, value, manager, error) \
    ASI_WITH(ASI_UNIQUE(asi_with_##value), ASI_UNIQUE(asi_once_##value), type, value, \
        asi_with_given, error, manager)

/* --- the rest is how -------------------------------------------------------------------------- */

/* The outer `for` runs once and holds the manager; the middle one enters, or leaves the block out;
 * the inner one runs once: a break leaves it only. */
#define ASI_WITH(with, once, type, value, begin, ...) \
    for (struct asi_with with __attribute__((cleanup(anysync_with_end))), \
            *once = begin(&with, __VA_ARGS__); once; once = NULL) \
        for (type value ASI_UNUSED = ASI_ZERO; anysync_with_enter(once, &value, sizeof(value));)

#define ASI_MAN_LOCAL(stack, ...) \
    ASI_MAN_TYPES(__VA_ARGS__) \
    static ASI_GEN_BODY(__VA_ARGS__); \
    ASI_GEN_DESCRIPTOR(static, stack, __VA_ARGS__) \
    ASI_MAN_FORMS(__VA_ARGS__) \
    static ASI_GEN_BODY(__VA_ARGS__)

#define ASI_MAN_DECLARE(stack, ...) \
    ASI_MAN_TYPES(__VA_ARGS__) \
    ASI_EXTERN ASI_GEN_BODY(__VA_ARGS__); \
    ASI_GEN_EXTERN(__VA_ARGS__) \
    ASI_MAN_FORMS(__VA_ARGS__) \
    ASI_GEN_SEMICOLON(__VA_ARGS__)

#define ASI_MAN_TYPES(n, value, sent, name, list) \
    struct name##_arguments { ASI_EACH(ASI_MEMBER, n, list) }; \
    typedef value name##_asi_value; \
    ASI_COPYABLE(struct name##_arguments, "arguments") \
    ASI_COPYABLE(value, "value")

#define ASI_MAN_FORMS(n, value, sent, name, list) \
    ASI_CHECKED int name##_yield(value asi_value) \
    { \
        return anysync_generator_yield_in(&name##_function, &asi_value, NULL); \
    } \
    ASI_CHECKED int name##_new(struct anysync_manager **asi_manager \
        ASI_EACH(ASI_PARAMETER, n, list)) \
    { \
        ASI_ARGUMENTS(n, name, list) \
        return anysync_manager_new_of(&name##_function, asi_argument, asi_manager); \
    } \
    ASI_INLINE struct asi_with *name##_asi_with(struct asi_with *asi_with, int *asi_error \
        ASI_EACH(ASI_PARAMETER, n, list)) \
    { \
        struct anysync_manager *asi_manager = NULL; \
        int asi_code = name##_new(&asi_manager ASI_EACH(ASI_GIVEN, n, list)); \
        return asi_with_begin(asi_with, asi_manager, true, asi_error, asi_code); \
    }
// clang-format on

struct anysync_manager_use {
    const struct anysync_manager_type *type;
    void *self;
};

/* The body of the struct form: see ANYSYNC_MANAGER_TYPE(). */
ANYSYNC_API int anysync_manager_main(struct anysync_generator *generator, void *argument);

struct asi_with {
    struct anysync_manager *manager; /* NULL: there was none to be had */
    int *error;
    bool owns;
    bool entered;
    bool over; /* the block has run, or will not */
};

/* Enter, and run the block once if that worked.  SIZE is that of what VALUE points to. */
ANYSYNC_API bool anysync_with_enter(struct asi_with *with, void *value, size_t size);
/* Exit, if it was entered, and free what it owns. */
ANYSYNC_API void anysync_with_end(struct asi_with *with);

static inline struct asi_with *asi_with_begin(
        struct asi_with *with, struct anysync_manager *manager, bool owns, int *error, int code)
{
    with->manager = manager;
    with->error = error;
    with->owns = owns;
    with->entered = false;
    with->over = code != 0;
    if (code && error)
        *error = code;
    return with;
}

static inline struct asi_with *asi_with_given(
        struct asi_with *with, int *error, struct anysync_manager *manager)
{
    return asi_with_begin(with, manager, false, error, 0);
}

#ifdef __cplusplus
}
#endif

#endif
