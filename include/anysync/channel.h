/* SPDX-License-Identifier: MIT */
/*
 * Channels: items from senders to receivers, threads and coroutines alike.
 *
 *      ANYSYNC_CHANNEL(job, struct job)                a type of channel, of struct job
 *
 *      job_channel *jobs;
 *      error = job_channel_new(16, &jobs);             at most 16 wait in it
 *      error = job_channel_send(jobs, this, deadline); waits while it is full
 *      error = job_channel_recv(jobs, &that, deadline) waits while it is empty
 *      job_channel_close(jobs);                        no more to come
 *
 * Items come out in the order they were sent, each once.  Senders and receivers are served first
 * come, first served.  A channel of capacity 0 is a meeting: a send ends when its item was
 * received.
 *
 * One object serves both worlds: a coroutine suspends, any other thread blocks; a callback of a
 * loop can do neither (-EDEADLK), but may send and receive with ANYSYNC_POLL.
 */
#ifndef ANYSYNC_CHANNEL_H
#define ANYSYNC_CHANNEL_H

#include <anysync/base.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_channel; /* opaque; reference-counted */

/*
 * Make a channel.
 *
 * capacity     items it holds that nobody has received yet; 0: none.
 * item_size    bytes of an item; 0 is fine: a count of signals.
 * ret_channel  owned by the caller: anysync_channel_unref() it.
 *
 * Returns  0, or -ENOMEM.
 * Thread   any.
 */
ANYSYNC_API int anysync_channel_new(
        size_t capacity, size_t item_size, struct anysync_channel **ret_channel) ANYSYNC_MUST_CHECK;

/* Take one more reference to CHANNEL, and return it.  Any thread. */
ANYSYNC_API struct anysync_channel *anysync_channel_ref(struct anysync_channel *channel);

/* Drop a reference (consumed).  With the last one items that nobody received are forgotten.  NULL
 * is fine.  Returns NULL.  Any thread. */
ANYSYNC_API struct anysync_channel *anysync_channel_unref(struct anysync_channel *channel);

/*
 * Send an item.
 *
 * channel   borrowed.
 * item      copied; NULL only for items of no size.
 * deadline  absolute; ANYSYNC_POLL: only if there is room, or a receiver waits.
 *
 * Returns     0  it is in the channel, or was received.
 *        -EPIPE  the channel is closed; nothing was sent.
 *    -ETIMEDOUT  DEADLINE passed first; nothing was sent.
 *    -ECANCELED  the calling task was cancelled; nothing was sent.
 *      -EDEADLK  called by a callback of a loop, and it would have to wait.
 *   -EOWNERDEAD  the channel is of the process this one was forked from.
 *
 * Thread  any.
 * Blocks  in a coroutine: suspends.  Elsewhere: blocks the thread.
 * Cancel  cancellation point if it has to wait; nothing is lost.
 * Order   what came before the send happens before the receive of its item returns.
 */
ANYSYNC_API int anysync_channel_send(struct anysync_channel *channel, const void *item,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Receive an item.
 *
 * ret_item  filled when the return is 0, untouched otherwise.
 *
 * Returns      0  with an item.
 *   ANYSYNC_DONE  the channel is closed, and empty.
 *   others        as anysync_channel_send(); no item is lost.
 *
 * Thread, Blocks, Cancel  as anysync_channel_send().
 */
ANYSYNC_API int anysync_channel_recv(
        struct anysync_channel *channel, void *ret_item, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* No more to come: sends fail from now on, those that wait too; what is in the channel can still be
 * received.  Again is fine.  Any thread, callbacks too.  Never blocks. */
ANYSYNC_API void anysync_channel_close(struct anysync_channel *channel);

/* One of several things to do with channels: see anysync_select(). */
struct anysync_choice {
    struct anysync_channel *channel; /* borrowed; NULL: this one is passed over */
    const void *sends;               /* the item to send, borrowed; NULL to receive */
    void *receives;                  /* where a received item goes; NULL to send */
};

/*
 * Do one of several things, whichever is possible first: send to one channel, or receive from
 * another.  Of those that are possible at once it does one, and in turn another the next time, so
 * that no channel can keep the others waiting.
 *
 * choices    borrowed, COUNT of them.  With items of no size, point to anything.
 * deadline   absolute; ANYSYNC_POLL: only what is possible now.
 * ret_index  which one was done, or is closed; COUNT when all were passed over.
 *
 * Returns      0  choices[*ret_index] was done, and nothing else.
 *   ANYSYNC_DONE  choices[*ret_index] receives from a channel that is closed and empty: set its
 *                 channel to NULL, and go on with the others; COUNT: there are none.
 *         -EPIPE  choices[*ret_index] sends to a channel that is closed.
 *        -EINVAL  one of them neither sends nor receives, or both.
 *        -ENOMEM  more than eight choices, and no memory to wait with.
 *         others  as anysync_channel_send(); nothing was done.
 *
 * Thread, Blocks, Cancel, Order  as anysync_channel_send().
 */
ANYSYNC_API int anysync_select(const struct anysync_choice *choices, size_t count,
        anysync_time deadline, size_t *ret_index) ANYSYNC_MUST_CHECK;

/* How many items are in CHANNEL.  Any thread; a snapshot. */
ANYSYNC_API size_t anysync_channel_count(struct anysync_channel *channel);

// clang-format off
/* A typed channel: the type name_channel, and the calls above as name_channel_new, _send (which
 * takes the item itself), _recv, _close, _ref, _unref; and name_channel_sends(channel, &item) and
 * _recvs(channel, &item), which make a choice of anysync_select().  Each type of channel is its
 * own. */
#define ANYSYNC_CHANNEL(name, type) \
    typedef struct name##_channel { char asi_none; } name##_channel; \
    ASI_CHANNEL_FORM int name##_channel_new(size_t capacity, name##_channel **ret_channel) \
    { \
        return anysync_channel_new( \
                capacity, sizeof(type), (struct anysync_channel **)(void *)ret_channel); \
    } \
    ASI_CHANNEL_FORM int name##_channel_send( \
            name##_channel *channel, type item, anysync_time deadline) \
    { \
        return anysync_channel_send((struct anysync_channel *)(void *)channel, &item, deadline); \
    } \
    ASI_CHANNEL_FORM int name##_channel_recv( \
            name##_channel *channel, type *ret_item, anysync_time deadline) \
    { \
        return anysync_channel_recv( \
                (struct anysync_channel *)(void *)channel, ret_item, deadline); \
    } \
    __attribute__((unused)) static inline void name##_channel_close(name##_channel *channel) \
    { \
        anysync_channel_close((struct anysync_channel *)(void *)channel); \
    } \
    __attribute__((unused)) static inline name##_channel *name##_channel_ref( \
            name##_channel *channel) \
    { \
        return (name##_channel *)(void *)anysync_channel_ref( \
                (struct anysync_channel *)(void *)channel); \
    } \
    __attribute__((unused)) static inline name##_channel *name##_channel_unref( \
            name##_channel *channel) \
    { \
        return (name##_channel *)(void *)anysync_channel_unref( \
                (struct anysync_channel *)(void *)channel); \
    } \
    __attribute__((unused)) static inline struct anysync_choice name##_channel_sends( \
            name##_channel *channel, const type *item) \
    { \
        struct anysync_choice choice = {(struct anysync_channel *)(void *)channel, item, 0}; \
        return choice; \
    } \
    __attribute__((unused)) static inline struct anysync_choice name##_channel_recvs( \
            name##_channel *channel, type *ret_item) \
    { \
        struct anysync_choice choice = {(struct anysync_channel *)(void *)channel, 0, ret_item}; \
        return choice; \
    } \
    struct name##_channel
#define ASI_CHANNEL_FORM __attribute__((unused, warn_unused_result)) static inline
// clang-format on

#ifdef __cplusplus
}
#endif

#endif
