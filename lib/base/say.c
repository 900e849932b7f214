/* SPDX-License-Identifier: MIT */
#include "base/say.h"

#include <errno.h>
#include <unistd.h>

void asi_say_text(struct asi_say *say, const char *text)
{
    while (*text && say->length < sizeof(say->text))
        say->text[say->length++] = *text++;
}

void asi_say_number(struct asi_say *say, unsigned long number)
{
    char digits[24];
    size_t at = sizeof(digits) - 1;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    asi_say_text(say, &digits[at]);
}

void asi_say_out(const struct asi_say *say)
{
    size_t done = 0;

    while (done < say->length) {
        ssize_t count = write(STDERR_FILENO, say->text + done, say->length - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return;
        done += (size_t)count;
    }
}
