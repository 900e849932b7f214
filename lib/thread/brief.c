/* SPDX-License-Identifier: MIT */
#include "thread/brief.h"

#include "base/race.h"
#include "thread/futex.h"
#include "thread/spin.h"
#include "thread/thread.h"

enum { LOOKS = 100, YIELDS = 50, NAP_NS = 50 * 1000 };

/* Sleep for a moment: nobody wakes us. */
static void nap(void)
{
    asi_atomic(uint32_t) word;

    asi_store(&word, 0, relaxed); /* nobody else knows it */
    (void)asi_futex_wait(&word, 0, anysync_in_ns(NAP_NS));
}

void asi_brief_wait(struct asi_brief *brief)
{
    int looks = asi_processors() > 1 ? LOOKS : 1;

    for (int i = 0;; i++) {
        if (!asi_load(&brief->held, relaxed)) /* B2 */
            return;
        if (i < looks)
            asi_spin_pause();
        else if (i < looks + YIELDS)
            asi_thread_yield();
        else
            nap(); /* a thread of lower priority may hold it: let it run */
    }
}
