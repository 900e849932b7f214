/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include "base/assert.h"

anysync_time anysync_now(void)
{
    struct timespec now;
    int error = clock_gettime(CLOCK_MONOTONIC, &now);

    ASI_ASSERT(error == 0, "this system has no monotonic clock");
    return (anysync_time)now.tv_sec * ASI_NS_PER_SECOND + now.tv_nsec;
}

struct timespec asi_clock_timespec(anysync_time deadline)
{
    if (deadline < 0)
        deadline = 0;
    return (struct timespec){
            .tv_sec = (time_t)(deadline / ASI_NS_PER_SECOND),
            .tv_nsec = (long)(deadline % ASI_NS_PER_SECOND),
    };
}

anysync_time asi_clock_after(anysync_time start, int64_t delay_ns)
{
    if (delay_ns <= 0)
        return start;
    return delay_ns > ANYSYNC_FOREVER - start ? ANYSYNC_FOREVER : start + delay_ns;
}

static anysync_time in_units(int64_t delay, int64_t unit_ns)
{
    if (delay > ANYSYNC_FOREVER / unit_ns)
        return ANYSYNC_FOREVER;
    return asi_clock_after(anysync_now(), delay <= 0 ? 0 : delay * unit_ns);
}

anysync_time anysync_in_ns(int64_t delay_ns)
{
    return in_units(delay_ns, 1);
}

anysync_time anysync_in_us(int64_t delay_us)
{
    return in_units(delay_us, ASI_NS_PER_US);
}

anysync_time anysync_in_ms(int64_t delay_ms)
{
    return in_units(delay_ms, ASI_NS_PER_MS);
}

anysync_time anysync_in_seconds(int64_t delay_seconds)
{
    return in_units(delay_seconds, ASI_NS_PER_SECOND);
}
