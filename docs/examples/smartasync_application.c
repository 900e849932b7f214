/* SPDX-License-Identifier: MIT */
/* SmartAsync, async libraries in a plain application: a loop like any other, no event loop. */
#include "tiny_http.h"

#include <anysync.h>

#include <stdio.h>

static void save(int id, const struct http_page *page)
{
    printf("user %d: %s\n", id, page->text);
}

/* http_get() is a coroutine function of somebody's library.  Here it blocks, as getenv() would. */
static int update_users(int port, const int *ids, int count)
{
    for (int i = 0; i < count; i++) {
        struct http_page page;
        char path[40];

        snprintf(path, sizeof(path), "/users/%d", ids[i]);
        int error = http_get(&page, port, path);
        if (error)
            return error;
        save(ids[i], &page);
    }
    return 0;
}

int main(void)
{
    const int ids[] = {3, 5, 8};
    int port = http_start(1);
    int error = port < 0 ? port : update_users(port, ids, 3);

    if (error)
        fprintf(stderr, "%s\n", anysync_last_error()->message);
    return error != 0;
}
