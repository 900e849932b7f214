/* SPDX-License-Identifier: MIT */
/* SmartAsync, web scraping: plain code wants many pages, and they are fetched at the same time. */
#include "tiny_http.h"

#include <anysync.h>

#include <stdio.h>

enum { PAGES = 4 };

/* The server answers when all four have asked: one after the other would never end. */
ANYSYNC_COROUTINE(int, scrape, (int, port), (const char *const *, paths))
{
    http_get_future soon[PAGES] = {{NULL}};
    int error = 0;

    for (int i = 0; i < PAGES && !error; i++)
        error = http_get_start(&soon[i], port, paths[i]); /* a task each, on this loop */
    for (int i = 0; i < PAGES; i++) {
        struct http_page page;
        if (!error)
            error = http_get_wait(&soon[i], &page, ANYSYNC_FOREVER);
        if (!error) {
            printf("%d %s\n", page.status, page.text);
            *result += page.status == 200;
        }
        http_get_drop(&soon[i]);
    }
    return error;
}

int main(void)
{
    static const char *const paths[PAGES] = {"/", "/news", "/missing", "/about"};
    int port = http_start(PAGES), found = 0;
    int error = port < 0 ? port : scrape(&found, port, paths);

    if (error)
        fprintf(stderr, "%s\n", anysync_last_error()->message);
    else
        printf("%d of %d found\n", found, PAGES);
    return error != 0;
}
