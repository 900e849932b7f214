/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share: bytes that are read as a program, and how a difference is told. */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* libFuzzer calls it once for each program; it returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The library and the model differ, or they do not. */
#define AGREE(fact)                                                                                \
    do {                                                                                           \
        if (!(fact)) {                                                                             \
            fprintf(stderr, "%s:%d: they differ: %s\n", __FILE__, __LINE__, #fact);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct bytes {
    const uint8_t *at;
    const uint8_t *end;
};

static inline size_t bytes_left(const struct bytes *bytes)
{
    return (size_t)(bytes->end - bytes->at);
}

/* 0 when there are no more. */
static inline uint8_t next_byte(struct bytes *bytes)
{
    return bytes->at < bytes->end ? *bytes->at++ : 0;
}

#endif
