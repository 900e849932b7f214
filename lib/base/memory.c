/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64 };

bool (*asi_fault_hook)(const char *what);

void *asi_allocate(size_t size)
{
    size_t rounded = (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);

    if (rounded < size || asi_fault("malloc"))
        return NULL;
    return aligned_alloc(CACHE_LINE, rounded ? rounded : CACHE_LINE);
}

void *asi_allocate_zero(size_t size)
{
    void *memory = asi_allocate(size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

void asi_free(void *memory)
{
    free(memory);
}
