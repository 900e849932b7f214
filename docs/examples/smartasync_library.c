/* SPDX-License-Identifier: MIT */
/* SmartAsync, unified library API: one function in the header serves both kinds of users. */
#include <anysync.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- database.h: what users see ----------------------------------------------------------- */

struct rows {
    int count;
};

/* Count the rows that SQL selects.  -EINVAL: not a SELECT. */
ANYSYNC_COROUTINE_DECLARE(struct rows, select_rows, (const char *, sql));

/* --- database.c: written once ------------------------------------------------------------- */

ANYSYNC_COROUTINE_DEFINE(struct rows, select_rows, (const char *, sql))
{
    if (strncmp(sql, "SELECT ", 7) != 0)
        return anysync_fail(-EINVAL, "not a SELECT: %s", sql);
    result->count = (int)strlen(sql);
    return anysync_sleep(anysync_in_ms(5)); /* the server thinks */
}

/* --- two users ---------------------------------------------------------------------------- */

static int report(const char *world, const char *sql)
{
    struct rows rows;
    int error = select_rows(&rows, sql);

    if (error)
        printf("%s: %s\n", world, anysync_last_error()->message);
    else
        printf("%s: %d rows\n", world, rows.count);
    return error;
}

ANYSYNC_COROUTINE(int, service)
{
    return report("coroutine", "SELECT name FROM people");
}

int main(void)
{
    int error = report("plain", "SELECT name FROM people");

    if (!error)
        error = service(NULL);
    if (!error)
        error = report("plain", "DROP TABLE people") == -EINVAL ? 0 : 1;
    return error != 0;
}
