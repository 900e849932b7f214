/* SPDX-License-Identifier: MIT */
/* Descriptors: what streams and sockets share with io.c. */
#ifndef ASI_API_IO_H
#define ASI_API_IO_H

/* FD is new, or will be closed: this thread's loop forgets what it kept of that number. */
void asi_io_forget(int fd);

#endif
