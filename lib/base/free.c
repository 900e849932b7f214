/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <anysync/base.h>

void anysync_free(void *memory)
{
    asi_free(memory);
}
