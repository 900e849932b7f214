/* SPDX-License-Identifier: MIT */
#ifndef CANARIES_BUGS_H
#define CANARIES_BUGS_H

/* Gives POINTER, in a way that the compiler cannot follow. */
void *hide(void *pointer);

/* correct.c: a little of everything, on four loops; many tasks that end by anysync_exit(). */
int correct(void);
int correct_exits(void);

#endif
