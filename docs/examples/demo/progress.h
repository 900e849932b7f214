/* SPDX-License-Identifier: MIT */
/* A progress bar of one line on standard error; nothing at all where that is no terminal. */
#ifndef DEMO_PROGRESS_H
#define DEMO_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

struct progress {
    bool is_terminal;
    size_t total;
    char drawn[128]; /* what the line shows now */
};

/* Begin a bar for TOTAL steps. */
void progress_start(struct progress *progress, size_t total);

/* Show that DONE steps have ended, ERRORS of them badly. */
void progress_draw(struct progress *progress, size_t done, size_t errors);

/* Take the bar away. */
void progress_end(struct progress *progress);

#endif
