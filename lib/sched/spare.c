/* SPDX-License-Identifier: MIT */
#include "sched/spare.h"

#include "base/clock.h"
#include "base/list.h"
#include "sched/scheduler.h"

#include <limits.h>

enum {
    PERIOD_NS = 200 * 1000000, /* so two periods and the portions are less than a second */
    STACKS = 4096,             /* of a portion: a millisecond or two */
    BATCHES = 512,
    BLOCKS = 16
};

static void on_time(struct asi_timer *timer)
{
    struct asi_scheduler *scheduler = asi_container_of(timer, struct asi_scheduler, spare_timer);
    bool stacks = asi_stacks_trim(false, STACKS), records = asi_recycle_trim(false, BATCHES);
    bool blocks = asi_slabs_trim(false, BLOCKS);

    if (stacks || records || blocks) /* in the next turn: not before what else is due now */
        asi_timer_arm(&scheduler->timers, timer, anysync_now() + 1);
    else if (asi_spare_any())
        asi_spare_watch(scheduler);
}

void asi_spare_watch(struct asi_scheduler *scheduler)
{
    if (scheduler->spare_timer.armed)
        return;
    asi_timer_init(&scheduler->spare_timer, on_time);
    asi_timer_arm(
            &scheduler->timers, &scheduler->spare_timer, asi_clock_after(anysync_now(), PERIOD_NS));
}

void asi_spare_trim_all(void)
{
    asi_stacks_trim(true, UINT_MAX);
    asi_recycle_trim(true, UINT_MAX);
    asi_slabs_trim(true, UINT_MAX);
}
