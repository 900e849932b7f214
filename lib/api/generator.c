/* SPDX-License-Identifier: MIT */
/*
 * Generators: the public calls.  Each checks its arguments and who calls, and leaves the rest to
 * sched/relay.c.
 */
#include "api/executor.h"
#include "base/memory.h"
#include "sched/relay.h"
#include "sched/scheduler.h"
#include "thread/fork.h"

#include <errno.h>

/* --- open ------------------------------------------------------------------------------------- */

static int open_here(struct asi_scheduler *here, struct anysync_generator *self)
{
    if (here->generation != asi_fork_generation)
        return asi_call_fails(
                -EOWNERDEAD, "the loop belongs to the process this one was forked from");
    self->task->scheduler = here;
    asi_scheduler_park(here, self->task);
    return 0;
}

static int submit(struct anysync_executor *executor, struct anysync_generator *self)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (here && (!executor || asi_executor_is_here(executor)))
        return open_here(here, self);
    self->task->letter.deliver = asi_task_deliver_parked;
    return asi_executor_submit(executor, self->task);
}

static int next_of(struct anysync_iterator *iterator, void *ret_item)
{
    return anysync_generator_step(asi_container_of(iterator, struct anysync_generator, iterator),
            ret_item, ANYSYNC_FOREVER);
}

/* What its body failed with stays to be told, by the error hook if by nobody else. */
static void close_of(struct anysync_iterator *iterator)
{
    asi_relay_end(asi_container_of(iterator, struct anysync_generator, iterator));
}

int anysync_generator_new(const struct anysync_generator_function *function, const void *argument,
        const struct anysync_generator_options *options, struct anysync_generator **ret_generator)
{
    ASI_ASSERT(function && function->body && function->task.body == anysync_generator_main,
            "a generator function that was not made by ANYSYNC_GENERATOR_FUNCTION()");
    ASI_ASSERT(argument || function->argument_size == 0,
            "the generator takes an argument: NULL given");
    struct anysync_generator *self =
            asi_relay_new(function, argument, options ? options->read_ahead : 0);

    if (!self)
        return asi_call_fails(-ENOMEM, "no memory for generator \"%s\"", function->task.name);
    int error = submit(options ? options->executor : NULL, self);
    if (error) {
        anysync_future_unref(&self->task->future); /* the loop's reference */
        asi_relay_discard(self);
        return error;
    }
    self->home = self->task->scheduler;
    self->iterator = (struct anysync_iterator){next_of, close_of};
    *ret_generator = self;
    return 0;
}

/* --- items ------------------------------------------------------------------------------------ */

static int advance(struct anysync_generator *self, struct asi_advance *request, const char *call,
        void *ret_item, anysync_time deadline)
{
    int error = asi_relay_check(self, call);

    if (!error)
        return asi_relay_advance(self, request, ret_item, deadline);
    asi_error_unref(request->error);
    return error;
}

int anysync_generator_next(
        struct anysync_generator *generator, void *ret_item, anysync_time deadline)
{
    if (generator->reads_ahead)
        return asi_ahead_next(generator, "anysync_generator_next", ret_item, deadline);
    return asi_relay_next(generator, false, "anysync_generator_next", ret_item, deadline);
}

int anysync_generator_step(
        struct anysync_generator *generator, void *ret_item, anysync_time deadline)
{
    if (generator->reads_ahead)
        return asi_ahead_next(generator, "anysync_generator_step", ret_item, deadline);
    return asi_relay_next(generator, true, "anysync_generator_step", ret_item, deadline);
}

static int runs_ahead(struct anysync_generator *self, const char *what)
{
    return asi_call_fails(-EINVAL,
            "generator \"%s\" reads ahead: its body is not where its consumer is, so nothing can "
            "be %s it; open it with read_ahead 0",
            asi_task_name(self->task), what);
}

int anysync_generator_send(struct anysync_generator *generator, const void *value, void *ret_item,
        anysync_time deadline)
{
    struct asi_advance request = {.kind = ASI_ADVANCE_SEND, .value = value};

    if (!value)
        return anysync_generator_next(generator, ret_item, deadline);
    if (generator->function->sent_size == 0)
        return asi_call_fails(
                -EINVAL, "generator \"%s\" takes no values", asi_task_name(generator->task));
    if (generator->reads_ahead)
        return runs_ahead(generator, "sent to");
    return advance(generator, &request, "anysync_generator_send", ret_item, deadline);
}

int anysync_generator_throw(struct anysync_generator *generator, int code, const char *message,
        void *ret_item, anysync_time deadline)
{
    ASI_ASSERT(code < 0, "anysync_generator_throw() was given a code that is not negative");
    if (generator->reads_ahead)
        return runs_ahead(generator, "thrown into");
    struct asi_advance request = {.kind = ASI_ADVANCE_THROW,
            .code = code,
            .error = asi_error_new(
                    code, ANYSYNC_ORIGIN_TASK, "%s", message ? message : anysync_error_text(code))};
    return advance(generator, &request, "anysync_generator_throw", ret_item, deadline);
}

/* --- close ------------------------------------------------------------------------------------ */

static bool is_own_body(struct anysync_generator *self)
{
    struct asi_scheduler *here = asi_scheduler_here();

    return here && here->current == self->task;
}

/* What can be said before it is closed. */
static int check_close(struct anysync_generator *self)
{
    if (self->generation != asi_fork_generation)
        return asi_relay_check(self, "anysync_generator_close");
    if (is_own_body(self))
        return asi_call_fails(-EDEADLK,
                "the body of generator \"%s\" cannot wait for its own end: it can return",
                asi_task_name(self->task));
    return 0;
}

/* The body has ended. */
static int closed(struct anysync_generator *self)
{
    int error = asi_relay_over(self, NULL);

    return error == ANYSYNC_DONE ? 0 : error;
}

int anysync_generator_finish(struct anysync_generator *generator)
{
    int error = check_close(generator);

    if (error)
        return error;
    asi_relay_end(generator);
    return asi_relay_is_over(generator) ? closed(generator)
                                        : asi_relay_check(generator, "anysync_generator_finish");
}

int anysync_generator_close(struct anysync_generator *generator, anysync_time deadline)
{
    int error = check_close(generator);

    if (error)
        return error;
    asi_relay_ask_close(generator);
    if (asi_world() == ASI_WORLD_CALLBACK && !asi_relay_is_over(generator))
        return asi_relay_check(generator, "anysync_generator_close");
    error = asi_wait_started(asi_world(), &generator->task->future, deadline);
    if (error == -ETIMEDOUT)
        return asi_call_fails(error, "generator \"%s\" was closed and did not end in time",
                asi_task_name(generator->task));
    if (error)
        return asi_call_fails(error, NULL);
    return closed(generator);
}

struct anysync_generator *anysync_generator_unref(struct anysync_generator *generator)
{
    if (!generator)
        return NULL;
    asi_relay_end(generator);
    asi_relay_unref(generator);
    return NULL;
}

struct anysync_iterator *anysync_generator_iterator(struct anysync_generator *generator)
{
    return &generator->iterator;
}

/* --- in the body ------------------------------------------------------------------------------ */

int anysync_generator_main(void *argument, void *result)
{
    struct anysync_generator *self = *(struct anysync_generator **)argument;

    (void)result;
    return self->function->body(self, self->argument);
}

int anysync_generator_yield(struct anysync_generator *self, const void *item, void *ret_sent)
{
    if (ASI_UNLIKELY(!is_own_body(self)))
        return asi_call_fails(-EPERM,
                "only the body of generator \"%s\" itself can yield: this code runs in another "
                "task or thread",
                asi_task_name(self->task));
    return asi_relay_yield(self, item, ret_sent);
}

int anysync_generator_yield_in(
        const struct anysync_generator_function *function, const void *item, void *ret_sent)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct anysync_task *task = here ? here->current : NULL;

    if (ASI_UNLIKELY(!task || task->function != &function->task))
        return asi_call_fails(-EPERM,
                "this code does not run in the body of a \"%s\": only there can it yield",
                function->task.name);
    struct anysync_generator *self = *(struct anysync_generator **)asi_task_argument(task);
    return asi_relay_yield(self, item, ret_sent);
}
