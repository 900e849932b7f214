/* SPDX-License-Identifier: MIT */
/* The line is drawn over the old one in a single write, and only if it changed: no flicker. */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR 30

void progress_start(struct progress *progress, size_t total)
{
    memset(progress, 0, sizeof *progress);
    progress->is_terminal = isatty(STDERR_FILENO) == 1;
    progress->total = total;
}

/* One write past stdio.  A terminal that is gone is no matter. */
static void put(const char *text, size_t size)
{
    ssize_t written = write(STDERR_FILENO, text, size);

    (void)written;
}

void progress_draw(struct progress *progress, size_t done, size_t errors)
{
    char bar[BAR + 1];
    char line[sizeof progress->drawn];
    size_t total = progress->total ? progress->total : 1;
    size_t filled = done * BAR / total;
    int size;

    if (!progress->is_terminal)
        return;
    if (filled > BAR)
        filled = BAR;
    memset(bar, '#', filled);
    memset(bar + filled, '.', BAR - filled);
    bar[BAR] = '\0';
    size = snprintf(line, sizeof line, "\r[%s] %3zu %%  %zu of %zu, %zu errors", bar,
            done * 100 / total, done, progress->total, errors);
    if (size < 0 || strcmp(line, progress->drawn) == 0)
        return;
    memcpy(progress->drawn, line, sizeof line);
    put(line, strlen(line));
}

void progress_end(struct progress *progress)
{
    static const char erase[] = "\r\033[K";

    if (progress->is_terminal && progress->drawn[0])
        put(erase, sizeof erase - 1);
}
