/* SPDX-License-Identifier: MIT */
/* Descriptors: what streams and sockets share with io.c. */
#ifndef ASI_API_IO_H
#define ASI_API_IO_H

#include <anysync/base.h>

/* FD is new, or will be closed: this thread's loop forgets what it kept of that number. */
void asi_io_forget(int fd);

/* Wait a moment, until DEADLINE at most, for what the system does not tell of.  Returns 0, or why
 * the caller has to give up. */
int asi_io_pause(anysync_time deadline);

#endif
