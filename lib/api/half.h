/* SPDX-License-Identifier: MIT */
/* One direction of a stream: its buffer, and who is in it (stream.c). */
#ifndef ASI_API_HALF_H
#define ASI_API_HALF_H

#include "base/assert.h"
#include "base/memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum {
    ASI_HALF_MARK = 8192,              /* bytes of an ordinary buffer */
    ASI_HALF_KEPT = 8 * ASI_HALF_MARK, /* a larger one is not kept when it is empty */
};

struct asi_half {
    bool busy;         /* [lock] */
    char *data;        /* [busy] owned; NULL: none yet */
    size_t capacity;   /* [busy] */
    size_t start, end; /* [busy] */
};

static inline size_t asi_half_held(const struct asi_half *half)
{
    return half->end - half->start;
}

/* Room for SIZE bytes, with those it holds. */
static inline int asi_half_reserve(struct asi_half *half, size_t size)
{
    size_t count = asi_half_held(half);

    if (count == 0) {
        half->start = half->end = 0;
        if (half->capacity > ASI_HALF_KEPT && size <= ASI_HALF_MARK) {
            asi_free(half->data);
            half->data = NULL;
            half->capacity = 0;
        }
    }
    if (half->capacity - half->start >= size)
        return 0;
    if (half->capacity < size) {
        size_t capacity = size < ASI_HALF_MARK ? ASI_HALF_MARK : size;
        char *data = asi_allocate(capacity);
        if (!data)
            return -ENOMEM;
        if (count > 0)
            memcpy(data, half->data + half->start, count);
        asi_free(half->data);
        half->data = data;
        half->capacity = capacity;
    } else {
        ASI_ASSERT(half->data, "a buffer with room has memory");
        memmove(half->data, half->data + half->start, count);
    }
    half->start = 0;
    half->end = count;
    return 0;
}

/* [reserved] SIZE bytes of DATA are put behind. */
static inline void asi_half_append(struct asi_half *half, const void *data, size_t size)
{
    if (size > 0)
        memcpy(half->data + half->end, data, size);
    half->end += size;
}

/* Take the first SIZE bytes off, after a copy to BUFFER. */
static inline void asi_half_take(struct asi_half *half, void *buffer, size_t size)
{
    if (size > 0)
        memcpy(buffer, half->data + half->start, size);
    half->start += size;
}

#endif
