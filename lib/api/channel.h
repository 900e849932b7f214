/* SPDX-License-Identifier: MIT */
/* Channels: what a wait for several of them needs to know. */
#ifndef ASI_API_CHANNEL_H
#define ASI_API_CHANNEL_H

#include "sched/turn.h"
#include "thread/owned.h"
#include "thread/refs.h"

#include <anysync/channel.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct anysync_channel {
    struct asi_owned lock;
    struct asi_refs refs;
    uint32_t generation;       /* [const] of the process that made it */
    bool closed;               /* [lock] */
    size_t capacity;           /* [const] */
    size_t item_size;          /* [const] */
    size_t count;              /* [lock] items in the ring */
    size_t first;              /* [lock] index of the oldest */
    struct asi_list senders;   /* [lock] */
    struct asi_list receivers; /* [lock] */
    _Alignas(16) char ring[];
};

/* [lock] Those who wait to send, or to receive. */
static inline struct asi_list *asi_channel_line(struct anysync_channel *channel, bool sending)
{
    return sending ? &channel->senders : &channel->receivers;
}

/* [lock] Send ITEM, or receive it, without waiting.  Returns -EAGAIN when it was not possible now,
 * or what the call returns.  RET_SERVED: to be told outside the lock; NULL: nobody. */
int asi_channel_try(
        struct anysync_channel *channel, bool sending, void *item, struct asi_turn **ret_served);

/* Note why CALL failed with ERROR (or did not), and return it. */
int asi_channel_say(int error, const char *call);

#endif
