/* SPDX-License-Identifier: MIT */
/* The two halves of one fuzz target: fuzz_calls.c and fuzz_objects.c. */
#ifndef TEST_FUZZ_CALLS_H
#define TEST_FUZZ_CALLS_H

#include "fuzz.h"

#include <anysync.h>

/* Before a program; an operation, in a task; at its end, in the same task. */
void begin_objects(void);
void use_objects(uint8_t op, struct bytes *bytes);
void end_objects(void);

#endif
