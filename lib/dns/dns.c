/* SPDX-License-Identifier: MIT */
/*
 * Names by evdns.
 *
 * evdns lives on one base, so it has a loop of its own, an executor's.  Each question is a task on
 * that loop: it asks, and waits for a future that evdns' callback completes.  Who asks waits for
 * the task; whoever gives up cancels it, and the task takes the question back and waits until evdns
 * has said that it is gone.  That takes no time but turns of the loop, so it is waited for, and all
 * that a question needs is in its asker's memory.
 *
 * This library uses of anysync what a user could, and memory.h.
 */
#include <anysync/dns.h>

#include "base/memory.h"

#include <anysync/cancel.h>
#include <anysync/error.h>
#include <anysync/executor.h>
#include <anysync/typed.h>

#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_SIZE = 40, SHOWN_SIZE = 200 };

struct anysync_dns {
    struct anysync_executor *executor;
    struct evdns_base *base; /* [its loop] */
};

struct question {
    struct anysync_dns *dns;
    const char *host, *service;
    const struct anysync_resolve_options *options;
    struct anysync_future *answered; /* the rest: [its loop] */
    int status;                      /* of evdns */
    struct evutil_addrinfo *found;
};

static const char *shown(const struct question *question, char text[SHOWN_SIZE])
{
    (void)snprintf(text, SHOWN_SIZE, "%.120s, %.60s",
            question->host ? question->host : "this machine",
            question->service ? question->service : "no service");
    return text;
}

/* --- on its loop ------------------------------------------------------------------------------ */

static int code_of(int status)
{
    switch (status) {
    case EVUTIL_EAI_AGAIN: /* a server's failure, and its silence: evdns does not say which */
    case EVUTIL_EAI_FAIL:
        return -EAGAIN;
    case EVUTIL_EAI_MEMORY:
        return -ENOMEM;
    case EVUTIL_EAI_CANCEL:
        return -ECANCELED;
    case EVUTIL_EAI_SYSTEM:
        return -EIO;
    case EVUTIL_EAI_BADFLAGS:
    case EVUTIL_EAI_FAMILY:
    case EVUTIL_EAI_SOCKTYPE:
        return -EINVAL;
    default:
        return -ENOENT;
    }
}

/* What evdns found, in one piece of memory; NULL: there is none. */
static struct anysync_addresses *copy(const struct evutil_addrinfo *found)
{
    struct anysync_addresses *addresses;
    size_t count = 0;

    for (const struct evutil_addrinfo *info = found; info; info = info->ai_next)
        count++;
    addresses = asi_allocate_zero(sizeof(*addresses) + count * sizeof(*addresses->list));
    if (!addresses)
        return NULL;
    addresses->list = (struct anysync_address *)(void *)(addresses + 1);
    for (const struct evutil_addrinfo *info = found; info; info = info->ai_next) {
        struct anysync_address *to = &addresses->list[addresses->count++];
        to->family = info->ai_family;
        to->type = info->ai_socktype;
        to->protocol = info->ai_protocol;
        to->size = info->ai_addrlen;
        memcpy(&to->at, info->ai_addr, info->ai_addrlen);
    }
    return addresses;
}

static void on_answer(int status, struct evutil_addrinfo *found, void *context)
{
    struct question *question = context;

    question->status = status;
    question->found = found;
    (void)anysync_future_set(question->answered, NULL);
}

/* Wait for evdns, whatever happens; a cancel takes the question back. */
static void wait_for_answer(struct question *question, struct evdns_getaddrinfo_request *request)
{
    if (anysync_future_wait(question->answered, ANYSYNC_FOREVER) == 0)
        return;
    if (!anysync_future_done(question->answered))
        evdns_getaddrinfo_cancel(request);
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        (void)!anysync_future_wait(question->answered, ANYSYNC_FOREVER);
    }
}

ANYSYNC_COROUTINE(struct anysync_addresses *, ask, (struct question *, question))
{
    const struct anysync_resolve_options *options = question->options;
    const struct evutil_addrinfo hints = {.ai_family = options ? options->family : 0,
            .ai_socktype = options && options->type ? options->type : SOCK_STREAM,
            .ai_flags = options ? options->flags : 0};
    char text[SHOWN_SIZE];

    int error = anysync_future_new(0, &question->answered);
    if (error)
        return error;
    struct evdns_getaddrinfo_request *request = evdns_getaddrinfo(
            question->dns->base, question->host, question->service, &hints, on_answer, question);
    if (request)
        wait_for_answer(question, request);
    anysync_future_unref(question->answered);
    if (question->status == EVUTIL_EAI_CANCEL)
        return -ECANCELED;
    if (question->status != 0)
        return anysync_fail(code_of(question->status), "%s: %s", shown(question, text),
                evutil_gai_strerror(question->status));
    *result = copy(question->found);
    evutil_freeaddrinfo(question->found);
    return *result ? 0 : anysync_fail(-ENOMEM, "%s: no memory", shown(question, text));
}

static int add_servers(struct evdns_base *base, const struct anysync_dns_options *options)
{
    char text[OPTION_SIZE];

    for (const char *const *server = options->servers; server && *server; server++) {
        if (evdns_base_nameserver_ip_add(base, *server) != 0)
            return anysync_fail(-EINVAL, "\"%.60s\" is no address of a name server", *server);
    }
    if (evdns_base_count_nameservers(base) == 0)
        return anysync_fail(-ENOENT, "there is no name server to ask");
    if (options->try_ns > 0) {
        (void)snprintf(text, sizeof(text), "%.6f", (double)options->try_ns / 1e9);
        (void)evdns_base_set_option(base, "timeout", text);
    }
    if (options->tries > 0) {
        (void)snprintf(text, sizeof(text), "%d", options->tries);
        (void)evdns_base_set_option(base, "attempts", text);
    }
    return 0;
}

ANYSYNC_COROUTINE(
        void, begin, (struct anysync_dns *, dns), (const struct anysync_dns_options *, options))
{
    struct event_base *base = anysync_event_base();

    if (!base)
        return anysync_last_error()->code;
    dns->base = evdns_base_new(base, options->servers ? 0 : EVDNS_BASE_INITIALIZE_NAMESERVERS);
    if (!dns->base)
        return anysync_fail(-ENOENT, "the system's name servers could not be read");
    int error = add_servers(dns->base, options);
    if (error)
        evdns_base_free(dns->base, 0);
    return error;
}

ANYSYNC_COROUTINE(void, finish, (struct anysync_dns *, dns))
{
    evdns_base_free(dns->base, 0);
    return anysync_yield(); /* what it has put off */
}

/* --- for others ------------------------------------------------------------------------------- */

static void end_executor(struct anysync_executor *executor)
{
    (void)!anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL);
    anysync_executor_unref(executor);
}

int anysync_dns_new(const struct anysync_dns_options *options, struct anysync_dns **ret_dns)
{
    static const struct anysync_dns_options defaults;
    struct anysync_dns *dns = asi_allocate_zero(sizeof(*dns));

    if (!dns)
        return anysync_fail(-ENOMEM, "no memory to ask name servers");
    int error = anysync_executor_new(
            &(struct anysync_executor_options){.name = "anysync-dns"}, &dns->executor);
    if (!error) {
        error = begin_run_on(dns->executor, dns, options ? options : &defaults);
        if (error)
            end_executor(dns->executor);
    }
    if (error)
        asi_free(dns);
    else
        *ret_dns = dns;
    return error;
}

void anysync_dns_free(struct anysync_dns *dns)
{
    if (!dns)
        return;
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        (void)!finish_run_on(dns->executor, dns);
        end_executor(dns->executor);
    }
    asi_free(dns);
}

/* The asker gives up: the question is taken back, and an answer that came all the same is dropped.
 */
static void take_back(ask_future *task)
{
    struct anysync_addresses *late = NULL;

    (void)!ask_cancel(task);
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        if (ask_wait(task, &late, ANYSYNC_FOREVER) == 0)
            anysync_free(late);
    }
}

int anysync_dns_resolve(struct anysync_dns *dns, const char *host, const char *service,
        const struct anysync_resolve_options *options, anysync_time deadline,
        struct anysync_addresses **ret_addresses)
{
    struct question question = {.dns = dns, .host = host, .service = service, .options = options};
    char text[SHOWN_SIZE];
    ask_future task;

    if (!host && !service)
        return anysync_fail(-EINVAL, "neither a host nor a service was given to resolve");
    if (!anysync_in_coroutine() && anysync_event_base()) /* a callback: it could not take it back */
        return anysync_fail(-EDEADLK, "%s was not resolved: a callback of the loop cannot wait",
                shown(&question, text));
    int error = ask_start_on(dns->executor, &task, &question);
    if (error)
        return error;
    error = ask_wait(&task, ret_addresses, deadline);
    /* Not whether the task is done: it may be by now, and its answer would be nobody's. */
    bool gave_up = error && anysync_last_error()->origin == ANYSYNC_ORIGIN_CALL;
    if (gave_up)
        take_back(&task);
    ask_drop(&task);
    return gave_up ? anysync_fail(error, "%s was not resolved: %s", shown(&question, text),
                             anysync_error_text(error))
                   : error;
}
