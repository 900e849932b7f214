/* SPDX-License-Identifier: MIT */
/*
 * Files.  The system has no way to wait for them, so in a coroutine each call is a job of the
 * common pool, with a token of the default limiter (<anysync/offload.h>), but for a close, which
 * waits for other closes only; on a plain thread or in a job it just does it.
 *
 * DEADLINES  Open, stat and the reading of a whole file work on memory of their own: a coroutine
 *   leaves them alone when its deadline passes or it is cancelled.  What is asked of a descriptor,
 *   and the writing of a whole file, is waited for once it has begun, and not begun after the
 *   deadline: otherwise it might use the descriptor's number when that is another file's already,
 *   or replace a file that was replaced since.  A plain thread does
 *   what it is told, and looks at the deadline only before it begins.
 *
 * All calls return these besides their own:
 *    -ETIMEDOUT  DEADLINE passed (see above).
 *    -ECANCELED  the calling task was cancelled (likewise).
 *      -EDEADLK  called by a callback of a loop.
 *   -EAGAIN, -ENOMEM  nothing was begun: no thread, no memory.
 *   other -Exxx  from the system; the sentence says what was done and names the file.
 *
 * Thread  any, tasks too.   Blocks  a thread; suspends a coroutine.   Cancel  cancellation point.
 * Order   as anysync_offload().   Descriptors may be shared among threads and coroutines.
 */
#ifndef ANYSYNC_FILE_H
#define ANYSYNC_FILE_H

#include <anysync/base.h>

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Open PATH (borrowed for the call).
 *
 * flags, mode  as open(); close-on-exec is added.
 * ret_fd       owned by the caller: anysync_file_close() it.
 *
 * Returns  0, or see above.  A file that was opened too late is closed again; one that was to be
 *          created may have been.
 */
ANYSYNC_API int anysync_file_open(const char *path, int flags, mode_t mode, anysync_time deadline,
        int *ret_fd) ANYSYNC_MUST_CHECK;

/* Read SIZE bytes at OFFSET of FD into BUFFER.  Returns how many: fewer only at the file's end; or
 * see above. */
ANYSYNC_API ssize_t anysync_file_read(
        int fd, void *buffer, size_t size, off_t offset, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Write all SIZE bytes of BUFFER at OFFSET of FD.  Returns 0, or see above: some of them may have
 * been written then, unless it is -ETIMEDOUT or -ECANCELED. */
ANYSYNC_API int anysync_file_write(int fd, const void *buffer, size_t size, off_t offset,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Have what was written to FD reach the disk.  Returns 0, or see above. */
ANYSYNC_API int anysync_file_sync(int fd, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Close FD, which is gone in any case, even if this says that something failed: a late error of a
 * write, say.  Not a cancellation point, and without a deadline.  Returns 0, or see above. */
ANYSYNC_API int anysync_file_close(int fd);

/* What stat() tells of PATH (borrowed for the call).  Returns 0, or see above. */
ANYSYNC_API int anysync_file_stat(
        const char *path, anysync_time deadline, struct stat *ret_status) ANYSYNC_MUST_CHECK;

/*
 * Read the whole file PATH (borrowed for the call).
 *
 * limit      the most bytes it may have.
 * ret_bytes  owned by the caller: anysync_free() it.  A zero byte follows, so it is a string too.
 * ret_size   how many; NULL not to know.
 *
 * Returns  0, -EMSGSIZE: it has more bytes than LIMIT; or see above.
 */
ANYSYNC_API int anysync_file_read_all(const char *path, size_t limit, anysync_time deadline,
        char **ret_bytes, size_t *ret_size) ANYSYNC_MUST_CHECK;

/*
 * Make PATH a file of just these SIZE bytes, at once: who looks sees all of
 * the old file or all of the new one, also after a crash.  It is written under another name in the
 * same directory ("PATH.new-..."), brought to the disk, and renamed; a symbolic link is replaced.
 *
 * mode  of the new file, less the umask.
 *
 * Returns  0; -EINPROGRESS: the new file is there, but its directory did not reach the disk, and a
 *          crash may bring the old one back; or see above: the old file is there unchanged.
 */
ANYSYNC_API int anysync_file_write_all(const char *path, const void *bytes, size_t size,
        mode_t mode, anysync_time deadline) ANYSYNC_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
