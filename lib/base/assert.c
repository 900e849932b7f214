/* SPDX-License-Identifier: MIT */
#include "base/assert.h"

#include "base/say.h"

#include <stdlib.h>

void asi_stop(const char *file, int line, const char *sentence)
{
    struct asi_say say = {.length = 0};

    asi_say_text(&say, "anysync: ");
    asi_say_text(&say, sentence);
    asi_say_text(&say, " (");
    asi_say_text(&say, file);
    asi_say_text(&say, ":");
    asi_say_number(&say, (unsigned long)line);
    asi_say_text(&say, ")\n");
    asi_say_out(&say);
    abort();
}
