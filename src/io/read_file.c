/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a whole regular file into owned memory. Called by lw_tensors_open. A mapped file would change or vanish
 * under the reader; a copy cannot. Opening never blocks, so a FIFO or a device is refused and not waited for.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)    ? "a folder"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISCHR(mode)  ? "a device"
           : S_ISBLK(mode)  ? "a device"
                            : "no regular file";
}

/* Reads until `count` bytes have come or the file ends; *got says how many. `before` them others have been read. */
static lw_status read_fully(int file, const char *source, size_t before, unsigned char *bytes, size_t count,
                            size_t *got)
{
    *got = 0;
    while (*got < count) {
        ssize_t n = read(file, bytes + *got, count - *got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return lw_fail(LW_ERR_FILE, "%s: cannot be read after %zu bytes: %s", source, before + *got,
                           strerror(errno));
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return LW_OK;
}

static lw_status read_open(int file, const char *source, lw_head_check *check, unsigned char **bytes, size_t *size)
{
    struct stat facts;
    if (fstat(file, &facts) != 0)
        return lw_fail(LW_ERR_FILE, "%s: cannot be examined: %s", source, strerror(errno));
    if (!S_ISREG(facts.st_mode))
        return lw_fail(LW_ERR_FILE, "%s: is %s; a regular file is expected", source, kind_of(facts.st_mode));
    if (facts.st_size < 0 || (uintmax_t)facts.st_size >= SIZE_MAX)
        return lw_fail(LW_ERR_UNSUPPORTED, "%s: has %jd bytes, more than this machine can address", source,
                       (intmax_t)facts.st_size);

    size_t total = (size_t)facts.st_size, got;
    unsigned char head[LW_HEAD_BYTES];
    size_t expected = lw_min(total, sizeof head);
    lw_status status = read_fully(file, source, 0, head, expected, &got);
    if (!status)
        status = check(source, head, got, total);
    if (status)
        return status;

    unsigned char *block = lw_alloc(total);
    if (!block) {
        lw_fail_memory(total);
        return lw_fail_in(source, LW_ERR_MEMORY);
    }
    memcpy(block, head, got);
    size_t more = 0;
    unsigned char beyond;
    if (got == expected)
        status = read_fully(file, source, got, block + got, total - got, &more);
    if (!status && got + more < total)
        status = lw_fail(LW_ERR_FILE, "%s: shrank while it was read, from %zu bytes to %zu", source, total, got + more);
    if (!status)
        status = read_fully(file, source, total, &beyond, 1, &more);
    if (!status && more)
        status = lw_fail(LW_ERR_FILE, "%s: grew while it was read, beyond its %zu bytes", source, total);
    if (status) {
        lw_free(block);
        return status;
    }
    *bytes = block;
    *size = total;
    return LW_OK;
}

lw_status lw_read_file(const char *path, const char *source, lw_head_check *check, unsigned char **bytes, size_t *size)
{
    int file;
    do
        file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    while (file < 0 && errno == EINTR);
    if (file < 0)
        return lw_fail(LW_ERR_FILE, "%s: cannot be opened: %s", source, strerror(errno));
    lw_status status = read_open(file, source, check, bytes, size);
    close(file);
    return status;
}
