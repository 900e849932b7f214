/* SPDX-License-Identifier: MIT */
/* The one place that reads the clock. */
#ifndef ASI_BASE_CLOCK_H
#define ASI_BASE_CLOCK_H

#include <anysync/base.h>

#include <time.h>

enum { ASI_NS_PER_US = 1000, ASI_NS_PER_MS = 1000000, ASI_NS_PER_SECOND = 1000000000 };

/* DEADLINE as the system's calls take it; for finite deadlines. */
struct timespec asi_clock_timespec(anysync_time deadline);

/* The sum, at most ANYSYNC_FOREVER; DELAY_NS below zero counts as zero. */
anysync_time asi_clock_after(anysync_time start, int64_t delay_ns);

#endif
