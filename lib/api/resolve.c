/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* SOCK_CLOEXEC */
/*
 * Names.
 *
 * The question is copied into a job and its answer is the job's value, a pointer that is freed with
 * the job if nobody takes it.  So a caller whose time is over just leaves.  The jobs have a pool
 * and a limiter of their own: a resolver that hangs takes no thread from anybody else.
 */
#include <anysync/resolve.h>

#include "base/assert.h"
#include "base/memory.h"
#include "sched/error.h"
#include "sched/limiter.h"
#include "thread/pool.h"

#include <anysync/io.h>
#include <anysync/offload.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HOST_SIZE = 1025, SERVICE_SIZE = 64, SHOWN_SIZE = 200 };

struct question {
    bool has_host, has_service;
    char host[HOST_SIZE], service[SERVICE_SIZE];
    struct anysync_resolve_options options;
};

/* "host, service", for sentences. */
static const char *shown(const char *host, const char *service, char text[SHOWN_SIZE])
{
    (void)snprintf(text, SHOWN_SIZE, "%.120s, %.60s", host ? host : "this machine",
            service ? service : "no service");
    return text;
}

/* --- the question ----------------------------------------------------------------------------- */

static int code_of(int status, int system_error)
{
    switch (status) {
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return system_error > 0 ? -system_error : -EIO;
    case EAI_FAIL:
        return -EIO;
    case EAI_BADFLAGS:
    case EAI_FAMILY:
    case EAI_SOCKTYPE:
        return -EINVAL;
    default: /* EAI_NONAME, EAI_SERVICE, EAI_NODATA, EAI_ADDRFAMILY */
        return -ENOENT;
    }
}

_Static_assert(sizeof(struct anysync_addresses) % _Alignof(struct anysync_address) == 0,
        "the list stands behind its head");

/* FOUND as our own list, in one piece; NULL: no memory. */
static struct anysync_addresses *copy(const struct addrinfo *found)
{
    struct anysync_addresses *addresses;
    size_t count = 0;

    for (const struct addrinfo *info = found; info; info = info->ai_next)
        count++;
    addresses = asi_allocate_zero(sizeof(*addresses) + count * sizeof(*addresses->list));
    if (!addresses)
        return NULL;
    addresses->list = (struct anysync_address *)(void *)(addresses + 1);
    for (const struct addrinfo *info = found; info; info = info->ai_next) {
        struct anysync_address *to = &addresses->list[addresses->count];
        ASI_ASSERT(info->ai_addrlen <= sizeof(to->at), "an address is longer than any may be");
        to->family = info->ai_family;
        to->type = info->ai_socktype;
        to->protocol = info->ai_protocol;
        to->size = info->ai_addrlen;
        memcpy(&to->at, info->ai_addr, info->ai_addrlen);
        addresses->count++;
    }
    return addresses;
}

/* Ask the C library, on this thread.  MORE_FLAGS: what makes it answer at once. */
static int ask(
        const struct question *question, int more_flags, struct anysync_addresses **ret_addresses)
{
    const struct anysync_resolve_options *options = &question->options;
    const struct addrinfo hints = {.ai_family = options->family,
            .ai_socktype = options->type ? options->type : SOCK_STREAM,
            .ai_flags = options->flags | more_flags};
    const char *host = question->has_host ? question->host : NULL;
    const char *service = question->has_service ? question->service : NULL;
    struct addrinfo *found = NULL;
    char text[SHOWN_SIZE];

    int status = getaddrinfo(host, service, &hints, &found);
    int system_error = errno;
    if (status != 0)
        return asi_call_fails(code_of(status, system_error), "%s: %s", shown(host, service, text),
                status == EAI_SYSTEM ? anysync_error_text(code_of(status, system_error))
                                     : gai_strerror(status));
    struct anysync_addresses *addresses = copy(found);
    freeaddrinfo(found);
    if (!addresses)
        return asi_call_fails(
                -ENOMEM, "%s: no memory for the addresses", shown(host, service, text));
    *ret_addresses = addresses;
    return 0;
}

static int resolve_body(void *argument, void *ret_result)
{
    return ask(argument, 0, ret_result);
}

static const struct anysync_function resolve_function = {"resolve", __FILE__, __LINE__,
        resolve_body, sizeof(struct question), sizeof(struct anysync_addresses *), 0,
        ANYSYNC_KIND_BLOCKING};

static void drop_addresses(void *result)
{
    struct anysync_addresses **addresses = result;

    anysync_free(*addresses);
}

/* --- where it runs ---------------------------------------------------------------------------- */

static struct anysync_offload_options get_options(void)
{
    return (struct anysync_offload_options){.limiter = asi_limiter_of_names(),
            .pool = asi_pool_of_names(),
            .abandon = true,
            .drop = drop_addresses};
}

static int fill(struct question *question, const char *host, const char *service,
        const struct anysync_resolve_options *options)
{
    memset(question, 0, sizeof(*question));
    if (!host && !service)
        return asi_call_fails(-EINVAL, "neither a host nor a service was given to resolve");
    if ((host && strlen(host) >= HOST_SIZE) || (service && strlen(service) >= SERVICE_SIZE))
        return asi_call_fails(-EINVAL, "%.60s: a name of that length is none",
                host && strlen(host) >= HOST_SIZE ? host : service);
    question->has_host = host;
    question->has_service = service;
    if (host)
        memcpy(question->host, host, strlen(host));
    if (service)
        memcpy(question->service, service, strlen(service));
    if (options)
        question->options = *options;
    return 0;
}

int anysync_resolve(const char *host, const char *service,
        const struct anysync_resolve_options *options, anysync_time deadline,
        struct anysync_addresses **ret_addresses)
{
    const struct anysync_offload_options how = get_options();
    struct question question;
    char text[SHOWN_SIZE];
    int error = fill(&question, host, service, options);

    if (error)
        return error;
    error = ask(&question, AI_NUMERICHOST | AI_NUMERICSERV, ret_addresses);
    if (error != -ENOENT || (question.options.flags & AI_NUMERICHOST && !service))
        return error; /* numbers, or wrong anyhow */
    error = anysync_offload(&resolve_function, &question, ret_addresses, &how, deadline);
    if (error && anysync_last_error()->origin != ANYSYNC_ORIGIN_TASK)
        return asi_call_fails(error, "%s was not resolved: %s", shown(host, service, text),
                error == -EDEADLK
                        ? "a callback of the loop cannot wait: spawn a coroutine that does"
                        : anysync_error_text(error));
    return error;
}

/* --- dialling --------------------------------------------------------------------------------- */

/* An even share of what is left until DEADLINE, for the first of COUNT. */
static anysync_time share(anysync_time deadline, size_t count)
{
    anysync_time now = anysync_now();

    if (deadline == ANYSYNC_FOREVER || deadline <= now)
        return deadline;
    return now + (deadline - now) / (anysync_time)count;
}

static int dial(const struct anysync_address *address, anysync_time deadline, int *ret_fd)
{
    int fd = socket(
            address->family, address->type | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);

    if (fd < 0)
        return -errno;
    int error = anysync_connect(fd, &address->at.address, address->size, deadline);
    if (error)
        close(fd);
    else
        *ret_fd = fd;
    return error;
}

int anysync_dial_name(const char *host, const char *service, anysync_time deadline, int *ret_fd)
{
    struct anysync_addresses *addresses = NULL;
    char text[SHOWN_SIZE];
    size_t tried = 0;
    int error = anysync_resolve(host, service, NULL, deadline, &addresses);

    if (error)
        return error;
    ASI_ASSERT(addresses && addresses->count > 0, "a name that is found has an address");
    do {
        error = dial(&addresses->list[tried], share(deadline, addresses->count - tried), ret_fd);
        tried++;
    } while (error && error != -ECANCELED && error != -EDEADLK && tried < addresses->count);
    anysync_free(addresses);
    if (!error)
        return 0;
    return asi_call_fails(error, "%s: not connected, %zu address%s tried: %s",
            shown(host, service, text), tried, tried == 1 ? "" : "es", anysync_error_text(error));
}
