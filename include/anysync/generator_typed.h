/* SPDX-License-Identifier: MIT */
/*
 * Typed generators, and loops over them.
 *
 *      ANYSYNC_GENERATOR(int, count_to, (int, last))
 *      {
 *          for (int i = 1; i <= last; i++) {
 *              int error = count_to_yield(i);
 *              if (error)
 *                  return error;
 *          }
 *          return 0;
 *      }
 *
 *      int error = 0;
 *      ANYSYNC_FOR(count_to, i, &error, 3)
 *      {
 *          printf("%d\n", i);
 *      }
 *
 * The body gets the arguments by name, and returns 0 or a negative code.  It yields from anywhere,
 * also from functions that it calls:
 *
 *   count_to_yield(item)                 0: go on; else clean up, and return it (or deal with it)
 *   count_to_yield_receive(item, &sent)  the same, and what the consumer sent
 *
 * The macro makes this family for consumers; each stands for the call of <anysync/generator.h> of
 * that name, and codes, threads, cancellation are told there.  No deadline means for ever.
 *
 *   count_to_generator counter;                        a typed handle
 *   count_to_open(&counter, 3)                         one that could not be opened is empty
 *   count_to_open_with(&options, &counter, 3)          reading ahead; on another executor
 *   count_to_next(&counter, &item)                     0, ANYSYNC_DONE, or an error
 *   count_to_next_until(&counter, &item, deadline)
 *   count_to_send(&counter, value, &item)
 *   count_to_throw(&counter, code, message, &item)
 *   count_to_close(&counter)                           closes it, and waits for its clean-up
 *   count_to_drop(&counter)                            closes it, waits, and empties the handle
 *   count_to_iterator(&counter)                        it as a struct anysync_iterator
 *
 * LOOPS  Each declares its item, and closes what it went over when it is left in any way: at its
 *   end, by break, return or goto.  The clean-up of the body has run when the next statement does.
 *   ERROR (int *, may be NULL) is set when the generator failed, in its clean-up too, and is left
 *   alone otherwise.  The body of the generator keeps its own context variables.
 *
 *      ANYSYNC_FOR(count_to, i, &error, 3) {...}             opens one
 *      ANYSYNC_FOR_REST(count_to, i, &error, &counter) {...}      goes on with an open one; the
 *                                                            handle has still to be dropped
 *      ANYSYNC_FOR_EACH(int, i, iterator, &error) {...}      over any struct anysync_iterator
 *
 * TYPES  as for typed functions, <anysync/typed.h>; the item is no void.
 *
 * VARIANTS
 *      ANYSYNC_GENERATOR_SENT(int, const char *, name, ...) {...}   values of another type are sent
 *      ANYSYNC_GENERATOR_STACK(1 << 20, int, name, ...) {...}       with so many bytes of stack
 *
 *   These are local to their file.  One that files share is declared in a header and defined in one
 *   file that includes it; both have a _SENT form:
 *
 *      ANYSYNC_GENERATOR_DECLARE(int, count_to, (int, last));
 *      ANYSYNC_GENERATOR_DEFINE(int, count_to, (int, last)) {...}
 */
#ifndef ANYSYNC_GENERATOR_TYPED_H
#define ANYSYNC_GENERATOR_TYPED_H

#include <anysync/generator.h>
#include <anysync/typed.h>

#include <stdbool.h>
#include <stddef.h>

// clang-format off
#define ANYSYNC_GENERATOR(item, ...) \
    ASI_GEN(ASI_GEN_LOCAL, 0, item, item, __VA_ARGS__)
#define ANYSYNC_GENERATOR_SENT(item, sent, ...) \
    ASI_GEN(ASI_GEN_LOCAL, 0, item, sent, __VA_ARGS__)
#define ANYSYNC_GENERATOR_STACK(bytes, item, ...) \
    ASI_GEN(ASI_GEN_LOCAL, bytes, item, item, __VA_ARGS__)
#define ANYSYNC_GENERATOR_DECLARE(item, ...) \
    ASI_GEN(ASI_GEN_DECLARE, 0, item, item, __VA_ARGS__)
#define ANYSYNC_GENERATOR_DEFINE(item, ...) \
    ASI_GEN(ASI_GEN_DEFINE, 0, item, item, __VA_ARGS__)
#define ANYSYNC_GENERATOR_DECLARE_SENT(item, sent, ...) \
    ASI_GEN(ASI_GEN_DECLARE, 0, item, sent, __VA_ARGS__)
#define ANYSYNC_GENERATOR_DEFINE_SENT(item, sent, ...) \
    ASI_GEN(ASI_GEN_DEFINE, 0, item, sent, __VA_ARGS__)

#define ANYSYNC_FOR(name, item, ...) \
    ASI_FOR(ASI_UNIQUE(asi_loop_##item), ASI_UNIQUE(asi_once_##item), name##_asi_item, item, \
        name##_asi_for, __VA_ARGS__)
#define ANYSYNC_FOR_REST(name, item, error, generator) \
    ASI_FOR(ASI_UNIQUE(asi_loop_##item), ASI_UNIQUE(asi_once_##item), name##_asi_item, item, \
        name##_asi_for_rest, error, generator)
#define ANYSYNC_FOR_EACH(type, item, iterator, error) \
    ASI_FOR(ASI_UNIQUE(asi_loop_##item), ASI_UNIQUE(asi_once_##item), type, item, \
        asi_loop_iterate, error, iterator)

/* --- the rest is how -------------------------------------------------------------------------- *
 *
 * The outer `for` runs once, and holds what has to be ended; a break leaves the inner one only.
 */
#define ASI_FOR(loop, once, type, item, begin, ...) \
    for (struct asi_loop loop __attribute__((cleanup(asi_loop_end))), \
            *once = begin(&loop, __VA_ARGS__); once; once = NULL) \
        for (type item = ASI_ZERO; asi_loop_next(once, &item);)

/* As ASI_TYPED in typed.h; `item` and `sent` in the place of the result. */
#define ASI_GEN(make, stack, item, sent, ...) \
    make(stack, ASI_COUNT(__VA_ARGS__), item, sent, ASI_FIRST(__VA_ARGS__, ~), (__VA_ARGS__))

#define ASI_GEN_LOCAL(stack, ...) \
    ASI_GEN_TYPES(__VA_ARGS__) \
    static ASI_GEN_BODY(__VA_ARGS__); \
    ASI_GEN_DESCRIPTOR(static, stack, __VA_ARGS__) \
    ASI_GEN_FORMS(__VA_ARGS__) \
    static ASI_GEN_BODY(__VA_ARGS__)

#define ASI_GEN_DECLARE(stack, ...) \
    ASI_GEN_TYPES(__VA_ARGS__) \
    ASI_EXTERN ASI_GEN_BODY(__VA_ARGS__); \
    ASI_GEN_EXTERN(__VA_ARGS__) \
    ASI_GEN_FORMS(__VA_ARGS__) \
    ASI_GEN_SEMICOLON(__VA_ARGS__)

#define ASI_GEN_DEFINE(stack, ...) \
    ASI_GEN_DESCRIPTOR(, stack, __VA_ARGS__) \
    ASI_GEN_BODY(__VA_ARGS__)

#define ASI_GEN_TYPES(n, item, sent, name, list) \
    struct name##_arguments { ASI_EACH(ASI_MEMBER, n, list) }; \
    typedef struct { struct anysync_generator *generator; } name##_generator; \
    typedef item name##_asi_item; \
    typedef sent name##_asi_sent; \
    ASI_COPYABLE(struct name##_arguments, "arguments") \
    ASI_COPYABLE(item, "item") \
    ASI_COPYABLE(sent, "value that is sent")

#define ASI_GEN_SEMICOLON(n, item, sent, name, list) struct name##_arguments
#define ASI_GEN_EXTERN(n, item, sent, name, list) \
    ASI_EXTERN const struct anysync_generator_function name##_function;

#define ASI_GEN_BODY(n, item, sent, name, list) \
    ASI_UNUSED int name##_asi_body( \
        struct anysync_generator *asi_self ASI_UNUSED ASI_EACH(ASI_PARAMETER, n, list))

#define ASI_GEN_DESCRIPTOR(linkage, stack, n, item, sent, name, list) \
    ASI_UNUSED static int name##_asi_main(struct anysync_generator *asi_self, void *asi_argument) \
    { \
        struct name##_arguments *asi_arguments = (struct name##_arguments *)asi_argument; \
        (void)asi_arguments; \
        return name##_asi_body(asi_self ASI_EACH(ASI_TAKEN, n, list)); \
    } \
    ASI_UNUSED linkage const struct anysync_generator_function name##_function = { \
        {#name, __FILE__, __LINE__, anysync_generator_main, sizeof(void *), 0, (size_t)(stack), \
            ANYSYNC_KIND_COROUTINE}, \
        name##_asi_main, (n) ? sizeof(struct name##_arguments) : 0, sizeof(item), sizeof(sent)};

#define ASI_GEN_FORMS(n, item, sent, name, list) \
    ASI_CHECKED int name##_yield(item asi_item) \
    { \
        return anysync_generator_yield_in(&name##_function, &asi_item, NULL); \
    } \
    ASI_CHECKED int name##_yield_receive(item asi_item, name##_asi_sent *asi_received) \
    { \
        return anysync_generator_yield_in(&name##_function, &asi_item, asi_received); \
    } \
    ASI_CHECKED int name##_open_with(const struct anysync_generator_options *asi_options, \
        name##_generator *asi_generator ASI_EACH(ASI_PARAMETER, n, list)) \
    { \
        ASI_ARGUMENTS(n, name, list) \
        asi_generator->generator = NULL; \
        return anysync_generator_new(&name##_function, asi_argument, asi_options, \
            &asi_generator->generator); \
    } \
    ASI_CHECKED int name##_open(name##_generator *asi_generator ASI_EACH(ASI_PARAMETER, n, list)) \
    { \
        return name##_open_with(NULL, asi_generator ASI_EACH(ASI_GIVEN, n, list)); \
    } \
    ASI_CHECKED int name##_next_until(name##_generator *asi_generator, \
        name##_asi_item *asi_item, anysync_time asi_deadline) \
    { \
        return anysync_generator_next(asi_generator->generator, asi_item, asi_deadline); \
    } \
    ASI_CHECKED int name##_next(name##_generator *asi_generator, name##_asi_item *asi_item) \
    { \
        return anysync_generator_next(asi_generator->generator, asi_item, ANYSYNC_FOREVER); \
    } \
    ASI_CHECKED int name##_send(name##_generator *asi_generator, sent asi_value, \
        name##_asi_item *asi_item) \
    { \
        return anysync_generator_send(asi_generator->generator, &asi_value, asi_item, \
            ANYSYNC_FOREVER); \
    } \
    ASI_CHECKED int name##_throw(name##_generator *asi_generator, int asi_code, \
        const char *asi_message, name##_asi_item *asi_item) \
    { \
        return anysync_generator_throw(asi_generator->generator, asi_code, asi_message, asi_item, \
            ANYSYNC_FOREVER); \
    } \
    ASI_CHECKED int name##_close(name##_generator *asi_generator) \
    { \
        return anysync_generator_close(asi_generator->generator, ANYSYNC_FOREVER); \
    } \
    ASI_INLINE void name##_drop(name##_generator *asi_generator) \
    { \
        asi_generator->generator = anysync_generator_unref(asi_generator->generator); \
    } \
    ASI_INLINE struct anysync_iterator *name##_iterator(name##_generator *asi_generator) \
    { \
        return anysync_generator_iterator(asi_generator->generator); \
    } \
    ASI_INLINE struct asi_loop *name##_asi_for(struct asi_loop *asi_loop, int *asi_error \
        ASI_EACH(ASI_PARAMETER, n, list)) \
    { \
        name##_generator asi_opened; \
        int asi_code = name##_open(&asi_opened ASI_EACH(ASI_GIVEN, n, list)); \
        return asi_loop_begin(asi_loop, asi_opened.generator, true, asi_error, asi_code); \
    } \
    ASI_INLINE struct asi_loop *name##_asi_for_rest(struct asi_loop *asi_loop, int *asi_error, \
        name##_generator *asi_generator) \
    { \
        return asi_loop_begin(asi_loop, asi_generator->generator, false, asi_error, 0); \
    }
// clang-format on

struct asi_loop {
    struct anysync_generator *generator; /* NULL: over an iterator, or nothing was opened */
    struct anysync_iterator *iterator;   /* NULL: over a generator */
    int *error;
    bool owns;
    bool failed;
};

/* Note CODE of the generator, if it is an error and the first.  Returns whether it is an item. */
static inline bool asi_loop_note(struct asi_loop *loop, int code)
{
    if (code < 0 && !loop->failed) {
        loop->failed = true;
        if (loop->error)
            *loop->error = code;
    }
    return code == 0;
}

static inline struct asi_loop *asi_loop_begin(
        struct asi_loop *loop, struct anysync_generator *generator, bool owns, int *error, int code)
{
    loop->generator = generator;
    loop->iterator = NULL;
    loop->error = error;
    loop->owns = owns;
    loop->failed = false;
    asi_loop_note(loop, code);
    return loop;
}

static inline struct asi_loop *asi_loop_iterate(
        struct asi_loop *loop, int *error, struct anysync_iterator *iterator)
{
    asi_loop_begin(loop, NULL, false, error, 0);
    loop->iterator = iterator;
    return loop;
}

static inline bool asi_loop_next(struct asi_loop *loop, void *item)
{
    if (loop->generator)
        return asi_loop_note(loop, anysync_generator_step(loop->generator, item, ANYSYNC_FOREVER));
    return loop->iterator && asi_loop_note(loop, loop->iterator->next(loop->iterator, item));
}

static inline void asi_loop_end(struct asi_loop *loop)
{
    if (loop->generator)
        asi_loop_note(loop, anysync_generator_finish(loop->generator));
    if (loop->owns)
        anysync_generator_unref(loop->generator);
    if (loop->iterator && loop->iterator->close)
        loop->iterator->close(loop->iterator);
}

#endif
