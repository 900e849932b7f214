/* SPDX-License-Identifier: MIT */
/*
 * Context managers: generators that yield once.
 *
 *   FRESH --enter--> ENTERED --exit--> EXITED        enter that fails: EXITED
 *
 * Enter is the first advance.  Exit is the second: a plain one when the block went well, else a
 * throw of its error; it has to be the end.  The error object itself is thrown, not a copy, so
 * that what comes out can be told apart from it: the same one is passed on, another has it as its
 * cause.
 */
#include "base/memory.h"
#include "sched/relay.h"
#include "sched/scope.h"
#include "thread/flag.h"
#include "thread/fork.h"

#include <anysync/manager.h>

#include <errno.h>
#include <string.h>

struct anysync_manager {
    struct anysync_generator *generator; /* [const] owned */
    struct asi_flag used;                /* [atomic] it was entered, or tried to */
    bool entered;                        /* [its user] */
    struct asi_flag exited;              /* [atomic] */
};

static const char *name_of(struct anysync_manager *self)
{
    return asi_task_name(self->generator->task);
}

int anysync_manager_new_of(const struct anysync_generator_function *function, const void *argument,
        struct anysync_manager **ret_manager)
{
    struct anysync_manager *self = asi_allocate_zero(sizeof(*self));

    if (!self)
        return asi_call_fails(-ENOMEM, "no memory for manager \"%s\"", function->task.name);
    int error = anysync_generator_new(function, argument, NULL, &self->generator);
    if (error) {
        asi_free(self);
        return error;
    }
    asi_flag_init(&self->used);
    asi_flag_init(&self->exited);
    *ret_manager = self;
    return 0;
}

int anysync_manager_new(
        const struct anysync_manager_type *type, void *self, struct anysync_manager **ret_manager)
{
    struct anysync_manager_use use = {type, self};

    ASI_ASSERT(type->enter && type->exit, "a manager type without enter or exit");
    return anysync_manager_new_of(&type->function, &use, ret_manager);
}

/* The task of the struct form. */
int anysync_manager_main(struct anysync_generator *generator, void *argument)
{
    struct anysync_manager_use *use = argument;
    size_t size = use->type->function.item_size;
    _Alignas(16) char few[256];
    void *value = size <= sizeof(few) ? few : asi_allocate(size);

    if (!value)
        return asi_call_fails(-ENOMEM, "no memory for the value of a manager");
    memset(value, 0, size);
    int error = use->type->enter(use->self, value);
    if (!error)
        error = use->type->exit(use->self, anysync_generator_yield(generator, value, NULL));
    if (value != few)
        asi_free(value);
    return error;
}

int anysync_manager_enter(struct anysync_manager *manager, void *ret_value, anysync_time deadline)
{
    struct asi_advance advance = {.kind = ASI_ADVANCE_NEXT, .keep_values = true};
    int error = asi_relay_check(manager->generator, "anysync_manager_enter");

    if (error)
        return error;
    if (asi_flag_raise(&manager->used))
        return asi_call_fails(-EALREADY,
                "manager \"%s\" was entered before: it cannot be used again, make a new one",
                name_of(manager));
    error = asi_relay_advance(manager->generator, &advance, ret_value, deadline);
    manager->entered = error == 0;
    if (error == ANYSYNC_DONE)
        return asi_call_fails(-EINVAL,
                "manager \"%s\" ended without a yield: it has to yield once, between set-up and "
                "clean-up",
                name_of(manager));
    if (error)
        asi_relay_end_gently(manager->generator); /* what it has set up so far is cleaned up */
    return error;
}

/* The caller's error object for ERROR, as one more reference. */
static struct asi_error *object_of(int error)
{
    struct asi_slot slot = asi_slot();

    if (*slot.code == error && *slot.error)
        return asi_error_ref(*slot.error);
    return asi_error_new(error, ANYSYNC_ORIGIN_TASK, NULL);
}

/* Exit returned STATUS for a block that failed with ERROR, BODY (consumed).  The slot is the
 * caller's. */
static int add_cause(int status, int error, struct asi_error *body)
{
    struct asi_slot slot = asi_slot();
    bool same = status == error && body && *slot.error && asi_error_says_same(*slot.error, body);

    if (status < 0 && !same && *slot.code == status)
        *slot.error = asi_error_add_cause(*slot.error, body);
    else
        asi_error_unref(body);
    return status;
}

static int yielded_twice(struct anysync_manager *manager)
{
    asi_relay_end(manager->generator);
    return asi_call_fails(-EINVAL, "manager \"%s\" yielded twice: it has to end after its clean-up",
            name_of(manager));
}

/* The second advance, which a cancel of the caller does not cut short. */
static int leave(
        struct anysync_manager *manager, struct asi_advance *advance, anysync_time deadline)
{
    struct anysync_scope shield;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    int status = asi_relay_advance(manager->generator, advance, NULL, deadline);
    return anysync_scope_exit(&shield, status);
}

int anysync_manager_exit(struct anysync_manager *manager, int error, anysync_time deadline)
{
    struct asi_advance advance = {.kind = ASI_ADVANCE_NEXT, .keep_values = true};
    struct asi_error *body = NULL;
    int status = asi_relay_check(manager->generator, "anysync_manager_exit");

    if (status)
        return status;
    if (!manager->entered)
        return asi_call_fails(-EINVAL, "manager \"%s\" was not entered", name_of(manager));
    if (asi_flag_raise(&manager->exited))
        return asi_call_fails(-EALREADY, "manager \"%s\" was exited before", name_of(manager));
    if (error < 0) {
        body = object_of(error);
        advance = (struct asi_advance){.kind = ASI_ADVANCE_THROW,
                .keep_values = true,
                .code = error,
                .error = asi_error_ref(body)};
    }
    status = leave(manager, &advance, deadline);
    if (status == 0)
        status = yielded_twice(manager);
    return add_cause(status == ANYSYNC_DONE ? 0 : status, error, body);
}

struct anysync_manager *anysync_manager_unref(struct anysync_manager *manager)
{
    if (!manager)
        return NULL;
    if (asi_flag_get(&manager->exited)) /* its clean-up may go on: it is not cancelled */
        asi_relay_unref(manager->generator);
    else
        anysync_generator_unref(manager->generator);
    asi_free(manager);
    return NULL;
}

/* --- the block forms -------------------------------------------------------------------------- */

bool anysync_with_enter(struct asi_with *with, void *value, size_t size)
{
    if (with->over)
        return false;
    with->over = true;
    ASI_ASSERT(size == with->manager->generator->function->item_size,
            "ANYSYNC_WITH_MANAGER() with another type than that of the manager's values");
    int error = anysync_manager_enter(with->manager, value, ANYSYNC_FOREVER);
    with->entered = error == 0;
    if (error && with->error)
        *with->error = error;
    return with->entered;
}

void anysync_with_end(struct asi_with *with)
{
    if (with->entered) {
        int error = anysync_manager_exit(
                with->manager, with->error ? *with->error : 0, ANYSYNC_FOREVER);
        if (with->error)
            *with->error = error;
    }
    if (with->owns)
        anysync_manager_unref(with->manager);
}
