/* SPDX-License-Identifier: MIT */
/* Which orders are tried: what schedule.c asks for each choice. */
#ifndef VIRTUAL_EXPLORE_H
#define VIRTUAL_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum way { BY_DEPTH, AT_RANDOM, BY_RANK };

/* The execution that runs. */
extern struct explore {
    enum way way;
    unsigned points;      /* so far */
    int preemptions;      /* turns that ended early */
    int delays;           /* stores that were delayed */
    int interruptions;    /* sleeps that may end for no reason still */
    bool punctual;        /* deadlines pass only when nobody can go on */
    int refusals;         /* allocations, and starts of threads, that may fail still */
    int most_preemptions; /* by depth */
    int most_delays;      /* likewise; at random: some */
    bool chose;           /* there was more than one way to go on */
} explore;

/* Static memory of the library and of the scenes; what they have for each thread, and how that is
 * when one begins. */
extern char data_begin[] __asm__("__start_asi_data");
extern char data_end[] __asm__("__stop_asi_data");
extern char tls_begin[] __asm__("__start_asi_tls");
extern char tls_end[] __asm__("__stop_asi_tls");
extern char tls_fresh[];

bool explore_may_switch(void);
bool explore_may_delay(void);
unsigned explore_choose(unsigned count); /* 0 to COUNT - 1: orders differ by it */
int explore_rank(void);

/* Whether what may happen *LEFT times more happens now; then it is once less. */
bool explore_disturbs(int *left);

/* For the report of a failure. */
void explore_note(const char *operation, const volatile void *object, const char *where);

/* A thread that is awaited has ended: whether that was the last. */
bool explore_is_over(void);

/* All threads sleep for ever: fail. */
void explore_stuck(void) __attribute__((noreturn));

/* The machine itself cannot go on: the end of the program. */
void explore_give_up(const char *why) __attribute__((noreturn));

#endif
