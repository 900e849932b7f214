/* SPDX-License-Identifier: MIT */
/*
 * Tasks: the public calls.  Each checks its arguments, makes a task where it is given a function,
 * and leaves the rest to run.c.
 */
#include "api/executor.h"
#include "api/run.h"
#include "base/memory.h"
#include "sched/job.h"
#include "sched/quick.h"
#include "sched/scope.h"
#include "thread/fork.h"
#include "thread/local.h"

#include <anysync/offload.h>

#include <errno.h>
#include <string.h>

enum { SMALL = 256, CALLERS_AND_LOOPS = 2 /* references */ };

static void check_function(const struct anysync_function *function, const void *argument)
{
    ASI_ASSERT(function && function->body && function->name, "a function without body or name");
    ASI_ASSERT(
            argument || function->argument_size == 0, "the function takes an argument: NULL given");
}

static inline __attribute__((always_inline)) struct anysync_task *make(
        const struct anysync_function *function, const void *argument, uint32_t refs)
{
    check_function(function, argument);
    struct anysync_task *task = asi_quick_new(function, argument, refs);
    if (!task)
        asi_call_fails(-ENOMEM, "no memory for a task of %s", function->name);
    return task;
}

struct anysync_task *asi_task_make(
        const struct anysync_function *function, const void *argument, uint32_t refs)
{
    return make(function, argument, refs);
}

int anysync_run(const struct anysync_function *function, const void *argument, void *ret_result,
        anysync_time deadline)
{
    struct anysync_task *task = asi_task_make(function, argument, CALLERS_AND_LOOPS);

    if (!task)
        return -ENOMEM;
    int status = asi_run(task, ret_result, deadline);
    anysync_task_unref(task);
    return status;
}

int anysync_run_here(const struct anysync_function *function, const void *argument,
        void *ret_result, anysync_time deadline)
{
    struct anysync_task *task = asi_task_make(function, argument, CALLERS_AND_LOOPS);

    if (!task)
        return -ENOMEM;
    int status = asi_run_here(task, ret_result, deadline);
    anysync_task_unref(task);
    return status;
}

int anysync_await(const struct anysync_function *function, const void *argument, void *ret_result,
        anysync_time deadline)
{
    struct anysync_task *task = asi_task_make(function, argument, CALLERS_AND_LOOPS);

    if (!task)
        return -ENOMEM;
    int status = asi_await(task, ret_result, deadline);
    anysync_task_unref(task);
    return status;
}

int anysync_run_on(struct anysync_executor *executor, const struct anysync_function *function,
        const void *argument, void *ret_result, anysync_time deadline)
{
    struct anysync_task *task = asi_task_make(function, argument, CALLERS_AND_LOOPS);

    if (!task)
        return -ENOMEM;
    int status = asi_run_on(executor, task, ret_result, deadline);
    anysync_task_unref(task);
    return status;
}

/* Call FUNCTION's body here.  The body gets copies, as it would in a task of its own. */
static int call_body(
        const struct anysync_function *function, const void *argument, void *ret_result)
{
    _Alignas(16) char small[SMALL];
    size_t result_at = (function->argument_size + 15) & ~(size_t)15;
    size_t size = result_at + function->result_size;
    bool silly = (function->argument_size | function->result_size) > ASI_MOST_BYTES;
    char *memory = silly ? NULL : size <= SMALL ? small : asi_allocate(size);

    if (!memory)
        return asi_call_fails(-ENOMEM, "no memory to call %s", function->name);
    if (function->argument_size > 0)
        memcpy(memory, argument, function->argument_size);
    memset(memory + result_at, 0, function->result_size);
    int status = function->body(memory, memory + result_at);
    if (status == 0 && ret_result && function->result_size > 0)
        memcpy(ret_result, memory + result_at, function->result_size);
    if (memory != small)
        asi_free(memory);
    return status;
}

int anysync_call(const struct anysync_function *function, const void *argument, void *ret_result)
{
    check_function(function, argument);
    bool blocking = function->kind == ANYSYNC_KIND_BLOCKING;
    switch (asi_world()) {
    case ASI_WORLD_TASK:
        return blocking ? anysync_offload(function, argument, ret_result, NULL, ANYSYNC_FOREVER)
                        : call_body(function, argument, ret_result);
    case ASI_WORLD_CALLBACK:
        return asi_call_fails(-EDEADLK,
                "a callback of the loop cannot wait for %s: use anysync_spawn() there",
                function->name);
    case ASI_WORLD_THREAD:
        if (blocking)
            return call_body(function, argument, ret_result);
        break;
    }
    return anysync_run(function, argument, ret_result, ANYSYNC_FOREVER);
}

/* --- start now, collect later ----------------------------------------------------------------- */

/* TASK has a reference for the loop and, if RET_FUTURE, one that becomes the caller's future. */
static int start(bool anywhere, struct anysync_executor *executor, struct anysync_task *task,
        struct anysync_future **ret_future)
{
    int error = anywhere ? asi_start(task) : asi_start_on(executor, task);

    /* Without RET_FUTURE the task may be gone by now. */
    if (!ret_future)
        return error;
    if (error)
        anysync_future_unref(&task->future);
    else
        *ret_future = &task->future;
    return error;
}

/* Whether a task of FUNCTION that is started here joins this very loop. */
static inline struct asi_scheduler *joins_here(const struct anysync_function *function)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (ASI_LIKELY(here && function->kind != ANYSYNC_KIND_BLOCKING &&
                   here->generation == asi_fork_generation))
        return here;
    return NULL;
}

int anysync_spawn(const struct anysync_function *function, const void *argument,
        struct anysync_future **ret_future)
{
    struct anysync_task *task = make(function, argument, ret_future ? CALLERS_AND_LOOPS : 1);
    struct asi_scheduler *here = joins_here(function);

    if (ASI_UNLIKELY(!task))
        return -ENOMEM;
    if (!here)
        return start(true, NULL, task, ret_future);
    task->scheduler = here;
    asi_scheduler_add(here, task);
    if (ret_future)
        *ret_future = &task->future;
    return 0;
}

int anysync_spawn_on(struct anysync_executor *executor, const struct anysync_function *function,
        const void *argument, struct anysync_future **ret_future)
{
    struct anysync_task *task = make(function, argument, ret_future ? CALLERS_AND_LOOPS : 1);

    return task ? start(false, executor, task, ret_future) : -ENOMEM;
}

/* --- task objects ----------------------------------------------------------------------------- */

int anysync_task_new(const struct anysync_function *function, const void *argument,
        const char *name, struct anysync_task **ret_task)
{
    struct anysync_task *task = asi_task_make(function, argument, 1);

    if (!task)
        return -ENOMEM;
    asi_flag_init(&task->used);
    task->vars_given = false;
    if (name) {
        size_t size = strlen(name) + 1;
        char *copy = asi_allocate(size);
        if (!copy) {
            anysync_task_unref(task);
            return asi_call_fails(-ENOMEM, "no memory for the name of a task");
        }
        memcpy(copy, name, size);
        task->own_name = copy;
        task->future.named = true;
    }
    *ret_task = task;
    return 0;
}

struct anysync_task *anysync_task_unref(struct anysync_task *task)
{
    if (task)
        anysync_future_unref(&task->future);
    return NULL;
}

/* The right to use TASK, which is given once, and the loop's reference with it. */
static int use(struct anysync_task *task)
{
    if (asi_flag_raise(&task->used))
        return asi_call_fails(-EALREADY,
                "task \"%s\" was run, awaited or started before: a task runs once, make a new one",
                asi_task_name(task));
    anysync_future_ref(&task->future);
    task->future.generation = asi_fork_generation; /* it may have been made before a fork */
    if (!task->vars_given)
        asi_vars_start_with(task, asi_vars_capture());
    return 0;
}

int anysync_task_run(struct anysync_task *task, void *ret_result, anysync_time deadline)
{
    int error = use(task);

    return error ? error : asi_run(task, ret_result, deadline);
}

int anysync_task_run_here(struct anysync_task *task, void *ret_result, anysync_time deadline)
{
    int error = use(task);

    return error ? error : asi_run_here(task, ret_result, deadline);
}

int anysync_task_await(struct anysync_task *task, void *ret_result, anysync_time deadline)
{
    int error = use(task);

    return error ? error : asi_await(task, ret_result, deadline);
}

static int start_task(bool anywhere, struct anysync_executor *executor, struct anysync_task *task,
        struct anysync_future **ret_future)
{
    int error = use(task);

    if (error)
        return error;
    if (ret_future)
        anysync_future_ref(&task->future);
    return start(anywhere, executor, task, ret_future);
}

int anysync_task_start(struct anysync_task *task, struct anysync_future **ret_future)
{
    return start_task(true, NULL, task, ret_future);
}

int anysync_task_start_on(struct anysync_executor *executor, struct anysync_task *task,
        struct anysync_future **ret_future)
{
    return start_task(false, executor, task, ret_future);
}

/* --- inside a task ---------------------------------------------------------------------------- */

bool anysync_in_coroutine(void)
{
    return asi_world() == ASI_WORLD_TASK;
}

const char *anysync_task_name(void)
{
    if (asi_world() == ASI_WORLD_TASK)
        return asi_task_name(asi_scheduler_here()->current);
    return asi_job_here() ? asi_task_name(asi_job_here()) : NULL;
}

uint64_t anysync_tasks_started(void)
{
    struct asi_scheduler *here = asi_scheduler_here();

    return here ? asi_counter_get(&here->tasks) : 0;
}

void anysync_exit(int status)
{
    struct asi_scheduler *here = asi_scheduler_here();

    ASI_ASSERT(here && here->current, "anysync_exit() was called outside a task");
    struct anysync_task *task = here->current;
    here->current = NULL; /* what is called from here on is not in the task any more */
    if (task->scoped)
        asi_scope_leave_all(task);
    asi_task_end(here, task, status);
    asi_scheduler_leave(here);
}

/* --- time ------------------------------------------------------------------------------------- */

static int callback_cannot(const char *call)
{
    return asi_call_fails(-EDEADLK,
            "a callback of the loop cannot wait in %s(): spawn a coroutine that does", call);
}

static int yield_outside(struct asi_scheduler *here)
{
    if (here)
        return callback_cannot("anysync_yield");
    asi_thread_yield();
    return 0;
}

int anysync_yield(void)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (ASI_UNLIKELY(!here || !here->current))
        return yield_outside(here);
    int error = asi_wait_checkpoint();
    if (ASI_UNLIKELY(error))
        return asi_call_fails(error, NULL);
    return asi_scheduler_yield_call(here);
}

/* Block this thread: nobody wakes it. */
static int sleep_thread(anysync_time deadline)
{
    struct asi_party party;

    asi_party_init(&party, ASI_WORLD_THREAD);
    return asi_party_wait(&party, 0, deadline, true);
}

int anysync_sleep(anysync_time deadline)
{
    static const bool never = false;
    int error = 0;

    switch (asi_world()) {
    case ASI_WORLD_CALLBACK:
        return callback_cannot("anysync_sleep");
    case ASI_WORLD_THREAD:
        error = sleep_thread(deadline);
        break;
    case ASI_WORLD_TASK:
        error = asi_wait_local(&never, deadline);
        break;
    }
    return error == -ETIMEDOUT ? 0 : asi_call_fails(error, NULL);
}
