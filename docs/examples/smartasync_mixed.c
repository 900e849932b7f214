/* SPDX-License-Identifier: MIT */
/* SmartAsync, mixed frameworks: a web front of plain threads, a service layer, async clients. */
#include "tiny_http.h"

#include <anysync.h>

#include <pthread.h>
#include <stdio.h>

/* The service layer: written once, knows neither the front nor its threads. */
ANYSYNC_COROUTINE(struct http_page, profile, (int, backend), (int, user))
{
    char path[40];

    snprintf(path, sizeof(path), "/profiles/%d", user);
    return http_get(result, backend, path);
}

/* One request of the front, on a thread as such frameworks have it. */
struct request {
    int backend;
    int user;
    int error;
    struct http_page reply;
};

static void *handle(void *argument)
{
    struct request *request = argument;

    request->error = profile(&request->reply, request->backend, request->user);
    return NULL;
}

/* Three at once: three threads block, one worker serves them all. */
int main(void)
{
    enum { THREADS = 3 };
    struct request requests[THREADS];
    pthread_t threads[THREADS];
    int backend = http_start(THREADS); /* answers when all have asked */

    for (int i = 0; i < THREADS; i++) {
        requests[i] = (struct request){.backend = backend, .user = i + 1};
        if (backend < 0 || pthread_create(&threads[i], NULL, handle, &requests[i]))
            return 1;
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        if (requests[i].error)
            return 1;
        printf("%d %s\n", requests[i].reply.status, requests[i].reply.text);
    }
    return 0;
}
