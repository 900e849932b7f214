/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* IF_NAMESIZE */
/*
 * Addresses as text.  Only numbers: names take time to resolve, and can fail in ways of their own.
 *
 * What is parsed is bounded by the sizes of the parts, so nothing is allocated; what the system
 * gives is not trusted to end in a zero byte.
 */
#include "api/address.h"

#include "sched/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char unix_prefix[] = "unix:";
enum { UNIX_PREFIX = sizeof(unix_prefix) - 1, PATH_AT = offsetof(struct sockaddr_un, sun_path) };

static int refuse(const char *call, const char *text, const char *why)
{
    return asi_call_fails(-EINVAL, "%s(): \"%.150s\" %s", call, text, why);
}

static int parse_unix(const char *call, const char *text, struct asi_address *ret_address)
{
    const char *path = text + UNIX_PREFIX;
    size_t length = strlen(path);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (length == 0)
        return refuse(call, text, "has no path");
    if (length >= sizeof(address.sun_path))
        return refuse(call, text, "is a longer path than sockets can have");
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; /* then the name has no end but its size */
    memset(ret_address, 0, sizeof(*ret_address));
    memcpy(&ret_address->storage, &address, sizeof(address));
    ret_address->size = (socklen_t)(PATH_AT + length + (path[0] != '@'));
    return 0;
}

/* Digits only, as strtoul() takes blanks and signs too. */
static bool parse_port(const char *text, in_port_t *ret_port)
{
    size_t length = strspn(text, "0123456789");

    if (length == 0 || length > 5 || text[length] != '\0')
        return false;
    unsigned long port = strtoul(text, NULL, 10);
    if (port > 65535)
        return false;
    *ret_port = htons((in_port_t)port);
    return true;
}

/* HOST without brackets, perhaps with the name or number of an interface. */
static bool parse_ip6(char *host, struct sockaddr_in6 *address)
{
    char *interface = strchr(host, '%');

    if (interface) {
        *interface++ = '\0';
        address->sin6_scope_id = if_nametoindex(interface);
        if (address->sin6_scope_id == 0)
            address->sin6_scope_id = (uint32_t)strtoul(interface, NULL, 10);
        if (address->sin6_scope_id == 0)
            return false;
    }
    return inet_pton(AF_INET6, host, &address->sin6_addr) == 1;
}

int asi_address_parse(const char *call, const char *text, struct asi_address *ret_address)
{
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 4] = "";
    struct sockaddr_in ip4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6};
    in_port_t port = 0;

    if (strncmp(text, unix_prefix, UNIX_PREFIX) == 0)
        return parse_unix(call, text, ret_address);
    const char *colon = strrchr(text, ':');
    if (!colon || !parse_port(colon + 1, &port))
        return refuse(call, text, "has no port: write \"127.0.0.1:80\", or \"unix:/path\"");
    size_t length = (size_t)(colon - text);
    bool brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    if (brackets) {
        text++;
        length -= 2;
    }
    if (length < sizeof(host))
        memcpy(host, text, length);
    memset(ret_address, 0, sizeof(*ret_address));
    if (brackets && parse_ip6(host, &ip6)) {
        ip6.sin6_port = port;
        memcpy(&ret_address->storage, &ip6, sizeof(ip6));
        ret_address->size = sizeof(ip6);
    } else if (!brackets && inet_pton(AF_INET, host, &ip4.sin_addr) == 1) {
        ip4.sin_port = port;
        memcpy(&ret_address->storage, &ip4, sizeof(ip4));
        ret_address->size = sizeof(ip4);
    } else {
        return refuse(call, brackets ? text - 1 : text,
                "is no address: write \"127.0.0.1:80\" or \"[::1]:80\"; names have to be resolved "
                "before");
    }
    return 0;
}

static void format_unix(const struct asi_address *address, char text[ASI_ADDRESS_TEXT])
{
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    size_t size = address->size < sizeof(own) ? address->size : sizeof(own);
    size_t length = size > PATH_AT ? size - PATH_AT : 0;

    memcpy(&own, &address->storage, size);
    if (length > 0 && own.sun_path[0] == '\0')
        own.sun_path[0] = '@';
    (void)snprintf(text, ASI_ADDRESS_TEXT, "%s%.*s", unix_prefix, (int)length, own.sun_path);
}

void asi_address_format(const struct asi_address *address, char text[ASI_ADDRESS_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "";

    text[0] = '\0';
    if (address->size < sizeof(sa_family_t))
        return;
    if (address->storage.ss_family == AF_UNIX) {
        format_unix(address, text);
    } else if (address->storage.ss_family == AF_INET) {
        const struct sockaddr_in *ip4 = (const void *)&address->storage;
        (void)inet_ntop(AF_INET, &ip4->sin_addr, host, sizeof(host));
        (void)snprintf(text, ASI_ADDRESS_TEXT, "%s:%u", host, (unsigned)ntohs(ip4->sin_port));
    } else if (address->storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *ip6 = (const void *)&address->storage;
        char scope[16] = "";
        (void)inet_ntop(AF_INET6, &ip6->sin6_addr, host, sizeof(host));
        if (ip6->sin6_scope_id != 0)
            (void)snprintf(scope, sizeof(scope), "%%%u", (unsigned)ip6->sin6_scope_id);
        (void)snprintf(
                text, ASI_ADDRESS_TEXT, "[%s%s]:%u", host, scope, (unsigned)ntohs(ip6->sin6_port));
    }
}

int asi_address_of(int fd, int own, struct asi_address *ret_address)
{
    struct asi_address address = {.size = sizeof(address.storage)};
    struct sockaddr *pointer = (struct sockaddr *)&address.storage;
    int failed =
            own ? getsockname(fd, pointer, &address.size) : getpeername(fd, pointer, &address.size);

    if (failed) {
        ret_address->size = 0;
        return -errno;
    }
    *ret_address = address;
    return 0;
}
