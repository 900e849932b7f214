/* SPDX-License-Identifier: MIT */
/*
 * Typed blocking functions: as <anysync/typed.h> describes coroutine functions, for functions that
 * block their thread (<anysync/offload.h> tells where they run).
 *
 *      ANYSYNC_BLOCKING(int, count_lines, (const char *, path))
 *      {
 *          FILE *file = fopen(path, "r");
 *          ...
 *          *result = lines;
 *          return 0;
 *      }
 *
 *   count_lines(&n, "a.txt")                 thread: a plain call; coroutine: suspends for a job
 *   count_lines_offload(&options, &n, "a.txt")     always a job: blocks a thread, or suspends
 *   count_lines_offload_until(&options, &n, "a.txt", deadline)
 *
 *   count_lines_future soon;                 a typed handle
 *   count_lines_start(&soon, "a.txt")        a job, now; _start(NULL, "a.txt"): on its own
 *   count_lines_start_with(&options, &soon, "a.txt")
 *   count_lines_wait(&soon, &n, deadline)    any number of times, from any number of threads
 *   count_lines_cancel(&soon)                asks the job to end
 *   count_lines_drop(&soon)                  ends the use of the handle; the job runs on
 *
 *   count_lines_new(&task, "a.txt")          a struct anysync_task that is not started yet
 *   count_lines_function                     its struct anysync_function, for untyped calls
 *
 * Each stands for the call of <anysync/offload.h>, <anysync/task.h> or <anysync/future.h> of that
 * name (_start for anysync_spawn(), _start_with for anysync_offload_start(), the name alone for
 * anysync_call()).  Options NULL: all defaults.  Results, handles, types and ANYSYNC_SCOPED_FUTURE
 * are as in <anysync/typed.h>; `void` in the place of the result likewise.
 *
 *   A function that files share:
 *
 *      ANYSYNC_BLOCKING_DECLARE(int, count_lines, (const char *, path));
 *      ANYSYNC_BLOCKING_DEFINE(int, count_lines, (const char *, path)) {...}
 */
#ifndef ANYSYNC_BLOCKING_H
#define ANYSYNC_BLOCKING_H

#include <anysync/offload.h>
#include <anysync/typed_parts.h>

// clang-format off
#define ANYSYNC_BLOCKING(...)         ASI_TYPED(ASI_BLOCKING_LOCAL, 0, __VA_ARGS__)
#define ANYSYNC_BLOCKING_DECLARE(...) ASI_TYPED(ASI_BLOCKING_DECLARE, 0, __VA_ARGS__)
#define ANYSYNC_BLOCKING_DEFINE(...)  ASI_TYPED(ASI_BLOCKING_DEFINE, 0, __VA_ARGS__)

/* --- the rest is how (typed_parts.h explains) ------------------------------------------------- */

#define ASI_BLOCKING_LOCAL(stack, ...) \
    ASI_TYPES(__VA_ARGS__) \
    static ASI_BODY(__VA_ARGS__); \
    ASI_DESCRIPTOR(static, BLOCKING, stack, __VA_ARGS__) \
    ASI_BLOCKING_FORMS(__VA_ARGS__) \
    static ASI_BODY(__VA_ARGS__)

#define ASI_BLOCKING_DECLARE(stack, ...) \
    ASI_TYPES(__VA_ARGS__) \
    ASI_EXTERN ASI_BODY(__VA_ARGS__); \
    ASI_DESCRIPTOR_DECLARE(__VA_ARGS__) \
    ASI_BLOCKING_FORMS(__VA_ARGS__) \
    ASI_SEMICOLON(__VA_ARGS__)

#define ASI_BLOCKING_DEFINE(stack, ...) \
    ASI_DESCRIPTOR(, BLOCKING, stack, __VA_ARGS__) \
    ASI_BODY(__VA_ARGS__)

#define ASI_BLOCKING_FORMS(kind, n, type, name, list) \
    ASI_FORM(name, (~ ASI_RESULT_##kind(type) ASI_EACH(ASI_ONLY_##kind, n, list)), \
        n, name, list, anysync_call(&name##_function, asi_argument, ASI_TO_##kind)) \
    ASI_FORM(name##_offload, (~, const struct anysync_offload_options *asi_options \
        ASI_RESULT_##kind(type) ASI_EACH(ASI_PARAMETER, n, list)), \
        n, name, list, anysync_offload(&name##_function, asi_argument, ASI_TO_##kind, \
            asi_options, ANYSYNC_FOREVER)) \
    ASI_FORM(name##_offload_until, (~, const struct anysync_offload_options *asi_options \
        ASI_RESULT_##kind(type) ASI_EACH(ASI_PARAMETER, n, list), anysync_time asi_deadline), \
        n, name, list, anysync_offload(&name##_function, asi_argument, ASI_TO_##kind, \
            asi_options, asi_deadline)) \
    ASI_FORM(name##_start_with, (~, const struct anysync_offload_options *asi_options, \
        name##_future *asi_future ASI_EACH(ASI_PARAMETER, n, list)), \
        n, name, list, anysync_offload_start(&name##_function, asi_argument, asi_options, \
            asi_future ? asi_empty(&asi_future->future) : NULL)) \
    ASI_HANDLE_FORMS(kind, n, type, name, list)
// clang-format on

#endif
