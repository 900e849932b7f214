/* SPDX-License-Identifier: MIT */
/* SmartAsync, interactive use: a debugger is C's shell, and calls an ordinary function. */
#include <anysync.h>

#include <stdio.h>

struct page {
    char text[40];
};

ANYSYNC_COROUTINE(struct page, fetch, (const char *, path))
{
    int error = anysync_sleep(anysync_in_ms(5)); /* the network */

    snprintf(result->text, sizeof(result->text), "page of %s", path);
    return error;
}

/* For debuggers, which cannot call what the compiler may inline:
 *
 *      (gdb) break ready
 *      (gdb) run
 *      (gdb) call explore("/api/users")
 *      $1 = "page of /api/users"
 */
const char *explore(const char *path);

const char *explore(const char *path)
{
    static struct page last; /* stays to be looked at */
    int error = fetch(&last, path);

    return error ? anysync_last_error()->message : last.text;
}

/* A good place to stop. */
void ready(void);

void ready(void)
{
    puts(explore("/api/users"));
}

int main(void)
{
    ready();
    return 0;
}
