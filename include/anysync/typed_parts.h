/* SPDX-License-Identifier: MIT */
/* What the macros of <anysync/typed.h> and <anysync/blocking.h> are made of.  Nothing here is for
 * users but ANYSYNC_SCOPED_FUTURE. */
#ifndef ANYSYNC_TYPED_PARTS_H
#define ANYSYNC_TYPED_PARTS_H

#include <anysync/cancel.h>
#include <anysync/future.h>
#include <anysync/group.h>
#include <anysync/task.h>

#include <stddef.h>

// clang-format off
/* A handle of FUNCTION that is dropped at the end of its block. */
#define ANYSYNC_SCOPED_FUTURE(function, variable) \
    __attribute__((cleanup(function##_drop))) function##_future variable = {NULL}

/*
 * ASI_TYPED takes the description apart once, and hands these five on to everything below:
 *
 *      kind   value or nothing: whether there is a result
 *      n      how many arguments
 *      type   of the result
 *      name   of the function
 *      list   (name, (type, argument), ...): never empty, as a C11 `...` must not be
 *
 * Lists of parameters and values are built of items with a comma before each, `, int a`; ASI_STRIP
 * takes the first comma away.  Names of our own start with asi_, so that no argument can meet them.
 */
#define ASI_TYPED(make, stack, type, ...) \
    make(stack, ASI_KIND(type), ASI_COUNT(__VA_ARGS__), type, ASI_FIRST(__VA_ARGS__, ~), \
        (__VA_ARGS__))

#ifdef __cplusplus
#define ASI_EXTERN extern "C"
#define ASI_ZERO {}
#define ASI_COPYABLE(type, what) \
    static_assert(__is_trivially_copyable(type), "anysync copies the " what " byte by byte");
#else
#define ASI_EXTERN extern
#define ASI_ZERO {0}
#define ASI_COPYABLE(type, what)
#endif

#define ASI_UNUSED __attribute__((unused)) /* perhaps so: no warning */
#define ASI_INLINE static inline __attribute__((unused))
#define ASI_CHECKED static inline __attribute__((unused, warn_unused_result))

/* void is told by pasting: ASI_VOID_void meets its parenthesis; ASI_VOID_void * does not. */
#define ASI_KIND(type) ASI_SECOND(ASI_VOID_##type(~), value, ~)
#define ASI_VOID_void(ignored) ~, nothing
#define ASI_SECOND(...) ASI_SECOND_OF(__VA_ARGS__)
#define ASI_SECOND_OF(first, second, ...) second
#define ASI_FIRST(first, ...) first
#define ASI_STRIP(first, ...) __VA_ARGS__
#define ASI_COMMA ,
#define ASI_UNPACK(...) __VA_ARGS__
#define ASI_APPLY(macro, ...) macro(__VA_ARGS__)

#define ASI_COUNT(...) ASI_COUNT_OF(__VA_ARGS__, more_than_8_arguments, more_than_8_arguments, \
    more_than_8_arguments, more_than_8_arguments, 8, 7, 6, 5, 4, 3, 2, 1, 0, ~)
#define ASI_COUNT_OF(name, a, b, c, d, e, f, g, h, i, j, k, l, count, ...) count

/* ITEM of each argument, as ASI_ITEM_PARAMETER (int, a); ITEM_NONE where there are none. */
#define ASI_EACH(item, n, list) ASI_APPLY(ASI_EACH_##n, item, ASI_UNPACK list)
#define ASI_EACH_0(I, name) I##_NONE
#define ASI_EACH_1(I, name, a) I a
#define ASI_EACH_2(I, name, a, b) I a I b
#define ASI_EACH_3(I, name, a, b, c) I a I b I c
#define ASI_EACH_4(I, name, a, b, c, d) I a I b I c I d
#define ASI_EACH_5(I, name, a, b, c, d, e) I a I b I c I d I e
#define ASI_EACH_6(I, name, a, b, c, d, e, f) I a I b I c I d I e I f
#define ASI_EACH_7(I, name, a, b, c, d, e, f, g) I a I b I c I d I e I f I g
#define ASI_EACH_8(I, name, a, b, c, d, e, f, g, h) I a I b I c I d I e I f I g I h

#define ASI_MEMBER(type, argument) type argument;
#define ASI_MEMBER_NONE char asi_none;
#define ASI_INITIAL(type, argument) argument,
#define ASI_INITIAL_NONE 0
#define ASI_GIVEN(type, argument) , argument
#define ASI_GIVEN_NONE
#define ASI_TAKEN(type, argument) , asi_arguments->argument
#define ASI_TAKEN_NONE
#define ASI_PARAMETER(type, argument) , type argument
#define ASI_PARAMETER_NONE
#define ASI_ONLY_value ASI_PARAMETER /* for lists of nothing but result and arguments */
#define ASI_ONLY_nothing ASI_ALONE
#define ASI_ALONE(type, argument) , type argument
#define ASI_ALONE_NONE , void

/* What a result is, for each kind. */
#define ASI_RESULT_value(type) , type *asi_result
#define ASI_RESULT_nothing(type)
#define ASI_TO_value asi_result
#define ASI_TO_nothing NULL
#define ASI_SIZE_value(type) sizeof(type)
#define ASI_SIZE_nothing(type) 0
#define ASI_BODY_RESULT_value(type) type *result ASI_UNUSED
#define ASI_BODY_RESULT_nothing(type) void *asi_result ASI_UNUSED
#define ASI_FROM_value(type) (type *)asi_result
#define ASI_FROM_nothing(type) asi_result
#define ASI_COPYABLE_value(type) ASI_COPYABLE(type, "result")
#define ASI_COPYABLE_nothing(type)

#define ASI_TYPES(kind, n, type, name, list) \
    struct name##_arguments { ASI_EACH(ASI_MEMBER, n, list) }; \
    typedef struct { struct anysync_future *future; } name##_future; \
    ASI_COPYABLE(struct name##_arguments, "arguments") \
    ASI_COPYABLE_##kind(type)

#define ASI_SEMICOLON(kind, n, type, name, list) struct name##_arguments

#define ASI_BODY(kind, n, type, name, list) \
    ASI_UNUSED int name##_asi_body(ASI_BODY_RESULT_##kind(type) ASI_EACH(ASI_PARAMETER, n, list))

#define ASI_DESCRIPTOR_DECLARE(kind, n, type, name, list) \
    ASI_EXTERN const struct anysync_function name##_function;

/* WHAT: COROUTINE or BLOCKING. */
#define ASI_DESCRIPTOR(linkage, what, stack, kind, n, type, name, list) \
    ASI_UNUSED static int name##_task_body(void *asi_argument, void *asi_result) \
    { \
        struct name##_arguments *asi_arguments = (struct name##_arguments *)asi_argument; \
        (void)asi_arguments; \
        return name##_asi_body(ASI_FROM_##kind(type) ASI_EACH(ASI_TAKEN, n, list)); \
    } \
    ASI_UNUSED linkage const struct anysync_function name##_function = { \
        #name, __FILE__, __LINE__, name##_task_body, (n) ? sizeof(struct name##_arguments) : 0, \
        ASI_SIZE_##kind(type), (size_t)(stack), ANYSYNC_KIND_##what};

#define ASI_ARGUMENTS(n, name, list) \
    const struct name##_arguments asi_arguments = {ASI_EACH(ASI_INITIAL, n, list)}; \
    const void *asi_argument = (n) ? &asi_arguments : NULL;

/* One form: the name, its parameters as (~, ...), what it returns. */
#define ASI_FORM(function, parameters, n, name, list, ...) \
    ASI_CHECKED int function(ASI_STRIP parameters) \
    { \
        ASI_ARGUMENTS(n, name, list) \
        return __VA_ARGS__; \
    }

/* CALL in two forms, for ever and until a deadline.  GIVE, WANT: an executor, or nothing. */
#define ASI_RUN(function, call, item, give, want, kind, n, type, name, list) \
    ASI_FORM(function, (~ want ASI_RESULT_##kind(type) ASI_EACH(item, n, list)), \
        n, name, list, call(give &name##_function, asi_argument, ASI_TO_##kind, ANYSYNC_FOREVER)) \
    ASI_FORM(function##_until, (~ want ASI_RESULT_##kind(type) \
        ASI_EACH(ASI_PARAMETER, n, list), anysync_time asi_deadline), \
        n, name, list, call(give &name##_function, asi_argument, ASI_TO_##kind, asi_deadline))

/* Forms that every typed function has: of its handle, and a task that is not started yet. */
#define ASI_HANDLE_FORMS(kind, n, type, name, list) \
    ASI_FORM(name##_start, (~, name##_future *asi_future ASI_EACH(ASI_PARAMETER, n, list)), \
        n, name, list, anysync_spawn(&name##_function, asi_argument, \
            asi_future ? asi_empty(&asi_future->future) : NULL)) \
    ASI_FORM(name##_new, (~, struct anysync_task **asi_task ASI_EACH(ASI_PARAMETER, n, list)), \
        n, name, list, anysync_task_new(&name##_function, asi_argument, NULL, asi_task)) \
    ASI_CHECKED int name##_wait(name##_future *asi_future ASI_RESULT_##kind(type), \
        anysync_time asi_deadline) \
    { \
        return anysync_wait(asi_future->future, ASI_TO_##kind, asi_deadline); \
    } \
    ASI_INLINE int name##_cancel(name##_future *asi_future) \
    { \
        return anysync_cancel(asi_future->future); \
    } \
    ASI_INLINE void name##_drop(name##_future *asi_future) \
    { \
        asi_future->future = anysync_future_unref(asi_future->future); \
    } \
    ASI_GROUP_FORMS(kind, n, type, name, list)
// clang-format on

/* Where a start puts its future: empty first, so that a failed start leaves no garbage. */
static inline struct anysync_future **asi_empty(struct anysync_future **slot)
{
    *slot = NULL;
    return slot;
}

#endif
