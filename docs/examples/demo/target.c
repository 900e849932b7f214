/* SPDX-License-Identifier: MIT */
/*
 * URLs and addresses.
 *
 * Addresses that are numbers are understood on the spot.  For a name the system has only a call
 * that blocks, getaddrinfo(), and a loop must not block: a thread makes the call and completes a
 * future, which the coroutine awaits.  That is all it takes to bring a blocking call into a
 * coroutine.  A caller that gives up leaves; the thread has its own copy of the name and its own
 * reference.
 */
#include "target.h"

#include <errno.h>
#include <event2/http.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct lookup {
    struct anysync_future *future; /* a reference of the thread's own */
    char host[];
};

static char *copy_text(const char *text, size_t size)
{
    char *copy = malloc(size + 1);

    if (!copy)
        return NULL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

static char *join(const char *first, const char *separator, const char *second)
{
    size_t size = strlen(first) + strlen(separator) + strlen(second) + 1;
    char *text = malloc(size);

    if (text)
        snprintf(text, size, "%s%s%s", first, separator, second);
    return text;
}

static int take_parts(const struct evhttp_uri *uri, struct target *target)
{
    const char *host = evhttp_uri_get_host(uri);
    const char *path = evhttp_uri_get_path(uri);
    const char *query = evhttp_uri_get_query(uri);
    size_t size = strlen(host);
    int port = evhttp_uri_get_port(uri);
    char digits[16] = "";

    target->port = port > 0 ? port : 80;
    if (target->port != 80)
        snprintf(digits, sizeof digits, "%d", target->port);
    if (host[0] == '[' && host[size - 1] == ']')
        target->host = copy_text(host + 1, size - 2);
    else
        target->host = copy_text(host, size);
    target->header = join(host, *digits ? ":" : "", digits);
    target->path = join(path && *path ? path : "/", query ? "?" : "", query ? query : "");
    if (!target->host || !target->header || !target->path) {
        target_free(target);
        return anysync_fail(-ENOMEM, "no memory for a URL");
    }
    return 0;
}

int target_parse(const char *url, struct target *target)
{
    struct evhttp_uri *uri = evhttp_uri_parse(url);
    const char *scheme = uri ? evhttp_uri_get_scheme(uri) : NULL;
    const char *host = uri ? evhttp_uri_get_host(uri) : NULL;
    int error;

    memset(target, 0, sizeof *target);
    if (!scheme)
        error = anysync_fail(-EINVAL, "%s: not a URL; one looks like http://host:port/path", url);
    else if (strcasecmp(scheme, "http") != 0)
        error = anysync_fail(-EINVAL, "%s: cannot speak %s, only http", url, scheme);
    else if (!host || !*host)
        error = anysync_fail(-EINVAL, "%s: the URL names no host", url);
    else if (evhttp_uri_get_port(uri) == 0)
        error = anysync_fail(-EINVAL, "%s: 0 is no port to connect to", url);
    else
        error = take_parts(uri, target);
    if (uri)
        evhttp_uri_free(uri);
    return error;
}

void target_free(struct target *target)
{
    free(target->host);
    free(target->header);
    free(target->path);
    memset(target, 0, sizeof *target);
}

/* Returns 0 or a code of getaddrinfo(). */
static int look_up(const char *host, int flags, struct addresses *addresses)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(host, NULL, &hints, &found);

    if (code)
        return code;
    addresses->count = 0;
    for (struct addrinfo *at = found; at && addresses->count < TARGET_ADDRESSES; at = at->ai_next) {
        char *text = addresses->list[addresses->count];

        if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof addresses->list[0], NULL, 0,
                    NI_NUMERICHOST) == 0)
            addresses->count++;
    }
    freeaddrinfo(found);
    return addresses->count > 0 ? 0 : EAI_NONAME;
}

static void *lookup_main(void *argument)
{
    struct lookup *lookup = argument;
    struct addresses addresses;
    int code = look_up(lookup->host, 0, &addresses);

    /* -EALREADY is no error here: whoever asked may have cancelled the future. */
    if (code == 0)
        (void)anysync_future_set(lookup->future, &addresses);
    else
        (void)anysync_future_fail(
                lookup->future, -EHOSTUNREACH, "host %s: %s", lookup->host, gai_strerror(code));
    anysync_future_unref(lookup->future);
    free(lookup);
    return NULL;
}

static int lookup_start(const char *host, struct anysync_future *future)
{
    size_t size = strlen(host) + 1;
    struct lookup *lookup = malloc(sizeof *lookup + size);
    pthread_t thread;
    int code;

    if (!lookup)
        return anysync_fail(-ENOMEM, "no memory to look up host %s", host);
    memcpy(lookup->host, host, size);
    lookup->future = anysync_future_ref(future);
    code = pthread_create(&thread, NULL, lookup_main, lookup);
    if (code) {
        anysync_future_unref(future);
        free(lookup);
        return anysync_fail(-code, "no thread to look up host %s: %s", host, strerror(code));
    }
    pthread_detach(thread);
    return 0;
}

int target_resolve(const struct target *target, anysync_time deadline, struct addresses *addresses)
{
    struct anysync_future *future;
    int error;

    if (look_up(target->host, AI_NUMERICHOST, addresses) == 0)
        return 0;
    error = anysync_future_new(sizeof *addresses, &future);
    if (error)
        return error;
    error = lookup_start(target->host, future);
    if (!error)
        error = anysync_wait(future, addresses, deadline);
    anysync_future_unref(future);
    return error;
}
