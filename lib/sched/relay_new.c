/* SPDX-License-Identifier: MIT */
/* The relay's memory: one allocation for it, its argument, the slot, the values sent, the items. */
#include "sched/relay.h"

#include "base/memory.h"
#include "sched/scheduler.h"
#include "thread/fork.h"

static size_t rounded(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

/* The next SIZE bytes at *AT. */
static void *cut(char **at, size_t size)
{
    void *piece = *at;

    *at += rounded(size);
    return piece;
}

struct anysync_generator *asi_relay_new(const struct anysync_generator_function *function,
        const void *argument, uint32_t read_ahead)
{
    size_t item = rounded(function->item_size), sent = rounded(function->sent_size);
    size_t places = read_ahead && read_ahead <= UINT32_MAX / 2 ? asi_ring_places(read_ahead) : 0;
    size_t rest = rounded(function->argument_size) + item + 2 * sent;

    if ((function->argument_size | function->item_size | function->sent_size) > ASI_MOST_BYTES)
        return NULL;
    if (read_ahead > UINT32_MAX / 2 || places > (SIZE_MAX / 2 - rest) / (item + 1))
        return NULL;
    struct anysync_generator *self =
            asi_allocate_zero(rounded(sizeof(*self)) + rest + places * function->item_size);
    if (!self)
        return NULL;
    self->task = asi_task_new(&function->task, &self, 2);
    if (!self->task) {
        asi_free(self);
        return NULL;
    }
    char *at = (char *)self + rounded(sizeof(*self));
    self->function = function;
    self->argument = cut(&at, function->argument_size);
    self->slot = cut(&at, function->item_size);
    self->sent = cut(&at, function->sent_size);
    self->remote.sent = cut(&at, function->sent_size);
    asi_brief_init(&self->remote.lock);
    self->remote.kept = true;
    asi_relay_copy(self->argument, argument, function->argument_size);
    self->generation = asi_fork_generation;
    asi_flag_init(&self->closed);
    asi_refs_init(&self->refs, 3); /* with the letter's */
    self->reads_ahead = read_ahead;
    if (read_ahead)
        asi_ahead_init(self, read_ahead, at);
    self->hook = (struct asi_task_hook){.ended = asi_relay_ended};
    asi_task_hook_in(self->task, &self->hook);
    return self;
}

struct anysync_generator *asi_relay_ref(struct anysync_generator *self)
{
    asi_refs_add(&self->refs);
    return self;
}

static void relay_free(struct anysync_generator *self)
{
    asi_error_unref(self->thrown_error);
    anysync_future_unref(&self->task->future);
    asi_free(self);
}

void asi_relay_unref(struct anysync_generator *self)
{
    if (asi_refs_drop(&self->refs))
        relay_free(self);
}

void asi_relay_discard(struct anysync_generator *self)
{
    relay_free(self);
}
