/* SPDX-License-Identifier: MIT */
#include "thread/once.h"

#include "thread/lock.h"

static struct asi_lock lock = ASI_LOCK_INIT; /* of whatever is being done once */

void asi_once_run_slowly(struct asi_once *once, void (*function)(void))
{
    asi_lock_take(&lock);
    if (!asi_pointer_get(&once->done)) {
        function();
        asi_pointer_set(&once->done, once);
    }
    asi_lock_give(&lock);
}

void asi_once_before_fork(void)
{
    asi_lock_take(&lock);
}

void asi_once_after_fork(void)
{
    asi_lock_give(&lock);
}
