/* SPDX-License-Identifier: MIT */
/* A line for standard error, put together without stdio or malloc: usable in signal handlers, on a
 * stack that has just overflowed, and in a process that is falling apart. */
#ifndef ASI_BASE_SAY_H
#define ASI_BASE_SAY_H

#include <stddef.h>

struct asi_say {
    size_t length;
    char text[512]; /* longer lines are cut */
};

void asi_say_text(struct asi_say *say, const char *text);
void asi_say_number(struct asi_say *say, unsigned long number);

/* Write what was gathered to descriptor 2, in one call where the system lets us. */
void asi_say_out(const struct asi_say *say);

#endif
