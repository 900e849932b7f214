/* SPDX-License-Identifier: MIT */
/*
 * Typed coroutine functions: a macro describes one, and the compiler checks every call of it.
 *
 *      ANYSYNC_COROUTINE(int, add_later, (int, a), (int, b))
 *      {
 *          int error = anysync_sleep(anysync_in_ms(10));
 *          if (error)
 *              return error;
 *          *result = a + b;
 *          return 0;
 *      }
 *
 * The body gets `int *result` and the arguments by name, and returns 0 or a negative code.  The
 * macro makes this family of functions; those not used take no room and cause no warning:
 *
 *   add_later(&sum, 1, 2)                    thread: blocks; coroutine: a plain call of the body
 *   add_later_run(&sum, 1, 2)                blocks always; nested: on a fresh thread
 *   add_later_run_here(&sum, 1, 2)           blocks, on a loop of this thread
 *   add_later_run_on(executor, &sum, 1, 2)   blocks or suspends, on that executor; NULL: global
 *   add_later_await(&sum, 1, 2)              suspends, for a new task of this loop
 *   add_later_run_back(&sum, 1, 2)           in a job: blocks, on the loop it came from
 *   add_later_run_back_or_here(&sum, 1, 2)   the same; without such a loop as _run_here
 *   add_later_run_until(&sum, 1, 2, deadline)      these with a deadline, as last argument;
 *            _run_here_until, _run_on_until, _await_until, _run_back_until and _or_here_until too
 *
 *   add_later_future soon;                   a typed handle: each function has its own type
 *   add_later_start(&soon, 1, 2)             a new task, now; _start(NULL, 1, 2): on its own
 *   add_later_start_on(executor, &soon, 1, 2)
 *   add_later_wait(&soon, &sum, deadline)    any number of times, from any number of threads
 *   add_later_cancel(&soon)                  asks the task to end
 *   add_later_drop(&soon)                    ends the use of the handle; the task runs on
 *   add_later_spawn(group, &soon, 1, 2)      with _ready and _value: <anysync/group.h>
 *   add_later_new(&task, 1, 2)               a struct anysync_task that is not started yet
 *   add_later_function                       its struct anysync_function, for untyped calls
 *
 * Each stands for the call of <anysync/task.h>, _future.h or _offload.h of that name (_start for
 * anysync_spawn(), the name alone for anysync_call()): codes, threads, cancellation are told there.
 *
 * THE RESULT  It starts all zero, is copied to the caller when the body returned 0, and is left
 *   untouched otherwise, in every world alike.  NULL in the place of &sum leaves it.
 *
 * HANDLES  _start fills the handle even when it fails, so that _drop is right in any case, and
 *   twice.  A wait that timed out can be repeated.  Every handle that was started must be dropped;
 *   ANYSYNC_SCOPED_FUTURE does it at the end of the block, however the block is left:
 *
 *      ANYSYNC_SCOPED_FUTURE(add_later, soon);
 *      int error = add_later_start(&soon, 1, 2);
 *      if (error == 0)
 *          error = add_later_wait(&soon, &sum, anysync_in_seconds(1));
 *      return error;
 *
 *   soon.future is the untyped future: borrow it for anysync_wait_any() and the like.
 *
 * TYPES  The result and up to 8 arguments can be of any complete type that is written without a
 *   comma and is no array and no function: const char *, struct page.  C++ types must be trivially
 *   copyable.  No argument can be called `result`.  In C, gcc before 14 only warns of a wrong
 *   pointer: build with -Werror=incompatible-pointer-types.
 *
 * VARIANTS
 *      ANYSYNC_COROUTINE(int, answer) {...}            no arguments: answer(&n)
 *      ANYSYNC_COROUTINE(void, tick, (int, n)) {...}   no result: tick_wait(&soon, deadline)
 *      ANYSYNC_COROUTINE_STACK(1 << 20, int, deep, (int, n)) {...}   with so many bytes of stack;
 *                                            a plain call stays on the stack of its caller
 *
 *   All of these are local to their file.  A function that files share is declared in a header, for
 *   C and C++ alike, and defined in one file that includes it:
 *
 *      ANYSYNC_COROUTINE_DECLARE(int, add_later, (int, a), (int, b));
 *      ANYSYNC_COROUTINE_DEFINE(int, add_later, (int, a), (int, b)) {...}
 *      ANYSYNC_COROUTINE_DEFINE_STACK(1 << 20, int, add_later, (int, a), (int, b)) {...}
 */
#ifndef ANYSYNC_TYPED_H
#define ANYSYNC_TYPED_H

#include <anysync/cancel.h>
#include <anysync/executor.h>
#include <anysync/future.h>
#include <anysync/offload.h>
#include <anysync/task.h>
#include <anysync/typed_parts.h>

#include <stddef.h>

// clang-format off
#define ANYSYNC_COROUTINE(...)                    ASI_TYPED(ASI_TYPED_LOCAL, 0, __VA_ARGS__)
#define ANYSYNC_COROUTINE_STACK(bytes, ...)       ASI_TYPED(ASI_TYPED_LOCAL, bytes, __VA_ARGS__)
#define ANYSYNC_COROUTINE_DECLARE(...)            ASI_TYPED(ASI_TYPED_DECLARE, 0, __VA_ARGS__)
#define ANYSYNC_COROUTINE_DEFINE(...)             ASI_TYPED(ASI_TYPED_DEFINE, 0, __VA_ARGS__)
#define ANYSYNC_COROUTINE_DEFINE_STACK(bytes, ...) ASI_TYPED(ASI_TYPED_DEFINE, bytes, __VA_ARGS__)

/* --- the rest is how (typed_parts.h explains) ------------------------------------------------- */

#define ASI_TYPED_LOCAL(stack, ...) \
    ASI_TYPES(__VA_ARGS__) \
    static ASI_BODY(__VA_ARGS__); \
    ASI_DESCRIPTOR(static, COROUTINE, stack, __VA_ARGS__) \
    ASI_FORMS(__VA_ARGS__) \
    static ASI_BODY(__VA_ARGS__)

#define ASI_TYPED_DECLARE(stack, ...) \
    ASI_TYPES(__VA_ARGS__) \
    ASI_EXTERN ASI_BODY(__VA_ARGS__); \
    ASI_DESCRIPTOR_DECLARE(__VA_ARGS__) \
    ASI_FORMS(__VA_ARGS__) \
    ASI_SEMICOLON(__VA_ARGS__)

#define ASI_TYPED_DEFINE(stack, ...) \
    ASI_DESCRIPTOR(, COROUTINE, stack, __VA_ARGS__) \
    ASI_BODY(__VA_ARGS__)

/* The plain call of the body: into a result of its own, a failure leaves the caller's alone. */
#define ASI_DIRECT_value(n, type, name, list) \
    type asi_own = ASI_ZERO; \
    int asi_error = name##_asi_body(&asi_own ASI_EACH(ASI_GIVEN, n, list)); \
    if (asi_error == 0 && asi_result) \
        *asi_result = asi_own; \
    return asi_error;
#define ASI_DIRECT_nothing(n, type, name, list) \
    return name##_asi_body(NULL ASI_EACH(ASI_GIVEN, n, list));

#define ASI_FORMS(kind, n, type, name, list) \
    ASI_CHECKED int name(ASI_APPLY(ASI_STRIP, \
        ~ ASI_RESULT_##kind(type) ASI_EACH(ASI_ONLY_##kind, n, list))) \
    { \
        if (anysync_in_coroutine()) { \
            ASI_DIRECT_##kind(n, type, name, list) \
        } else { \
            ASI_ARGUMENTS(n, name, list) \
            return anysync_call(&name##_function, asi_argument, ASI_TO_##kind); \
        } \
    } \
    ASI_RUN(name##_run, anysync_run, ASI_ONLY_##kind, , , kind, n, type, name, list) \
    ASI_RUN(name##_run_here, anysync_run_here, ASI_ONLY_##kind, , , kind, n, type, name, list) \
    ASI_RUN(name##_await, anysync_await, ASI_ONLY_##kind, , , kind, n, type, name, list) \
    ASI_RUN(name##_run_back, anysync_run_back, ASI_ONLY_##kind, , , kind, n, type, name, list) \
    ASI_RUN(name##_run_back_or_here, anysync_run_back_or_here, ASI_ONLY_##kind, , , \
        kind, n, type, name, list) \
    ASI_RUN(name##_run_on, anysync_run_on, ASI_PARAMETER, asi_executor ASI_COMMA, \
        ASI_COMMA struct anysync_executor *asi_executor, kind, n, type, name, list) \
    ASI_FORM(name##_start_on, (~, struct anysync_executor *asi_executor, \
        name##_future *asi_future ASI_EACH(ASI_PARAMETER, n, list)), \
        n, name, list, anysync_spawn_on(asi_executor, &name##_function, asi_argument, \
            asi_future ? asi_empty(&asi_future->future) : NULL)) \
    ASI_HANDLE_FORMS(kind, n, type, name, list)
// clang-format on

#endif
