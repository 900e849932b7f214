/* SPDX-License-Identifier: MIT */
/*
 * Codes to words.  strerror() is not used: its text changes with the locale and it is not safe in
 * every libc when threads call it at once, while ours say what the code means in this library.
 */
#include <anysync/error.h>

#include <errno.h>
#include <stddef.h>

static const struct word {
    int code;
    const char *name;
    const char *text;
} words[] = {
        {-ECANCELED, "-ECANCELED", "the task was cancelled"}, /* asked for most often */
        {0, "0", "nothing failed"},
        {ANYSYNC_DONE, "ANYSYNC_DONE", "nothing was left to do"},
        {-ETIMEDOUT, "-ETIMEDOUT", "the deadline passed"},
        {-EAGAIN, "-EAGAIN", "not ready yet, or the system is short of something; try again"},
        {-EALREADY, "-EALREADY", "used before, and can be used once only"},
        {-EDEADLK, "-EDEADLK", "waiting here could never end"},
        {-EPERM, "-EPERM", "not possible here"},
        {-ESHUTDOWN, "-ESHUTDOWN", "the executor is stopping or has stopped"},
        {-EOWNERDEAD, "-EOWNERDEAD", "the future belongs to the process this one was forked from"},
        {-ENOMEM, "-ENOMEM", "no memory left"},
        {-EINVAL, "-EINVAL", "an argument makes no sense"},
        {-EINPROGRESS, "-EINPROGRESS", "asked for, and still going on"},
        {-EBUSY, "-EBUSY", "in use"},
        {-EMFILE, "-EMFILE", "this process has no descriptors left"},
        {-ENFILE, "-ENFILE", "this system has no descriptors left"},
        {-EBADF, "-EBADF", "not an open descriptor"},
        {-EPIPE, "-EPIPE", "the other side closed"},
        {-ECONNREFUSED, "-ECONNREFUSED", "nobody listens there"},
        {-ECONNRESET, "-ECONNRESET", "the other side broke the connection"},
        {-ECONNABORTED, "-ECONNABORTED", "the connection was broken off"},
        {-EHOSTUNREACH, "-EHOSTUNREACH", "no way to that host"},
        {-ENETUNREACH, "-ENETUNREACH", "no way to that network"},
        {-EADDRINUSE, "-EADDRINUSE", "the address is in use"},
        {-ENOENT, "-ENOENT", "no such thing"},
        {-EACCES, "-EACCES", "not allowed"},
        {-EEXIST, "-EEXIST", "it exists already"},
        {-EIO, "-EIO", "input or output failed"},
        {-EPROTO, "-EPROTO", "the other side broke the protocol"},
        {-ENOSPC, "-ENOSPC", "no space left"},
        {-EINTR, "-EINTR", "interrupted by a signal"},
        {-ENOSYS, "-ENOSYS", "this system cannot do that"},
        {-ENOTSUP, "-ENOTSUP", "not supported"},
        {-ERANGE, "-ERANGE", "out of range"},
        {-EDOM, "-EDOM", "outside its domain"},
        {-ESTALE, "-ESTALE", "used after its end"},
        {-ENOTCONN, "-ENOTCONN", "not connected"},
        {-ENOTSOCK, "-ENOTSOCK", "not a socket"},
        {-ENODATA, "-ENODATA", "the end came in the middle"},
        {-EMSGSIZE, "-EMSGSIZE", "the message is too long"},
        {-E2BIG, "-E2BIG", "too much at once"},
        {-ECHILD, "-ECHILD", "no such child process"},
};

static const struct word *find(int code)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (words[i].code == code)
            return &words[i];
    }
    return NULL;
}

const char *anysync_error_text(int code)
{
    const struct word *word = find(code);

    return word ? word->text : "it failed";
}

const char *anysync_error_name(int code)
{
    const struct word *word = find(code);

    return word ? word->name : "unknown code";
}
