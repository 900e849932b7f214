/* SPDX-License-Identifier: MIT */
/*
 * What waking a thread costs on this machine: measured once in a process, for lib/thread/spin.h.
 *
 * The first worker that may look before it sleeps has itself woken a few times by a timer, each
 * time from a short sleep.  That is nearly what a wake by another processor is: an interrupt, a
 * processor that leaves its idle state, a switch.  It needs no second thread, which the system
 * might put on the same processor, where a wake is ten times cheaper and looking helps nobody.  No
 * further sleep begins when MOST_NS of sleeping are over, so on a quiet machine it is that long.
 */
#ifndef ASI_THREAD_GAUGE_H
#define ASI_THREAD_GAUGE_H

/* Measure, unless that was done or there is one processor.  The calling thread sleeps meanwhile. */
void asi_gauge(void);

#endif
