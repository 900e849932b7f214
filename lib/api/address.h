/* SPDX-License-Identifier: MIT */
/* Addresses of sockets as text: "127.0.0.1:80", "[::1]:80", "unix:/path", and on Linux
 * "unix:@name", which is in no file system. */
#ifndef ASI_API_ADDRESS_H
#define ASI_API_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Room for each address as text. */
enum { ASI_ADDRESS_TEXT = sizeof(struct sockaddr_un) + 8 };

struct asi_address {
    struct sockaddr_storage storage;
    socklen_t size; /* 0: there is none */
};

/* TEXT (for the call CALL, a literal) to RET_ADDRESS.  Returns 0, or -EINVAL with a sentence. */
int asi_address_parse(const char *call, const char *text, struct asi_address *ret_address);

/* ADDRESS as text; empty if it is of no kind that has one. */
void asi_address_format(const struct asi_address *address, char text[ASI_ADDRESS_TEXT]);

/* Where the other side of FD is (or FD itself: OWN).  Returns 0 or the error: its size is 0. */
int asi_address_of(int fd, int own, struct asi_address *ret_address);

static inline const struct sockaddr *asi_address_pointer(const struct asi_address *address)
{
    return (const struct sockaddr *)&address->storage;
}

#endif
