/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces a file in one atomic step. Called by the tensor writer. The new bytes go to a temporary file in the same
 * folder, reach the disk, and take the old file's place by a rename: at every moment the name stands for the whole
 * old file or the whole new one. A link keeps standing; what it leads to is replaced.
 *
 * The owner of a temporary file holds a lock on it until the end, which goes with its process. So one without a lock
 * was left behind by a process that was killed, and whoever saves next in that folder removes it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"

#define ATTEMPTS 1000 /* names for the temporary file; each is taken by a save that is going on */

/* Length of the folder part of a path, with its slash; 0 when the path has none. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static lw_status find_target(lw_replacement *replacement, const char *path, mode_t *mode, struct stat *old,
                             bool *exists)
{
    const char *source = replacement->source;
    *exists = lstat(path, old) == 0;
    *mode = 0666;
    if (!*exists && errno != ENOENT)
        return lw_fail(LW_ERR_FILE, "%s: cannot be written: %s", source, strerror(errno));
    const char *final = path;
    char *resolved = NULL;
    if (*exists && S_ISLNK(old->st_mode)) {
        final = resolved = realpath(path, NULL);
        if (!resolved || stat(resolved, old) != 0) {
            int reason = errno;
            free(resolved);
            if (reason == ENOMEM)
                return lw_fail_memory(strlen(path) + 1);
            return lw_fail(LW_ERR_FILE, "%s: is a link that cannot be followed: %s", source, strerror(reason));
        }
    }
    replacement->target = lw_copy_string(final);
    free(resolved);
    if (!replacement->target)
        return lw_fail_memory(strlen(path) + 1);
    if (!*exists)
        return LW_OK;
    if (!S_ISREG(old->st_mode))
        return lw_fail(LW_ERR_FILE, "%s: is %s; a regular file or a new name is expected", source,
                       S_ISDIR(old->st_mode) ? "a folder" : "no regular file");
    /* A rename would replace a write-protected file without a word. */
    if (faccessat(AT_FDCWD, replacement->target, W_OK, AT_EACCESS) != 0)
        return lw_fail(LW_ERR_FILE, "%s: cannot be written: %s", source, strerror(errno));
    *mode = old->st_mode & 0777;
    return LW_OK;
}

/* Whether the path still names the open file. */
static bool is_at(int file, const char *path)
{
    struct stat opened, named;
    return fstat(file, &opened) == 0 && lstat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino && S_ISREG(opened.st_mode);
}

/* Removes a file that nobody holds. False if somebody does, or it may not be removed. For writing, because NFS gives
 * an exclusive lock to no other descriptor. */
static bool remove_stale(const char *path)
{
    int file = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return false;
    bool removed = flock(file, LOCK_EX | LOCK_NB) == 0 && is_at(file, path) && unlink(path) == 0;
    close(file);
    return removed;
}

/* Creates the file and holds it; -1 with errno. Whoever took it for a stale one between the two steps has removed it.
 * */
static int create_held(const char *path, mode_t mode)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (file < 0)
        return -1;
    /* Where there are no locks nobody can take it for stale either. */
    if ((flock(file, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) && is_at(file, path))
        return file;
    close(file);
    errno = EEXIST;
    return -1;
}

static lw_status open_temporary(lw_replacement *replacement, mode_t mode)
{
    size_t folder = folder_length(replacement->target), bytes;
    if (!lw_add(folder, 64, &bytes) || !(replacement->temporary = lw_alloc(bytes)))
        return lw_fail_memory(folder + 64);
    memcpy(replacement->temporary, replacement->target, folder);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        snprintf(replacement->temporary + folder, 64, ".latchwork-%d.tmp", attempt);
        replacement->file = create_held(replacement->temporary, mode);
        if (replacement->file < 0 && errno == EEXIST) {
            if (remove_stale(replacement->temporary))
                replacement->file = create_held(replacement->temporary, mode);
            else
                errno = EEXIST;
        }
        if (replacement->file >= 0)
            return LW_OK;
        if (errno != EEXIST && errno != EINTR)
            break;
    }
    int reason = errno;
    lw_free(replacement->temporary); /* not ours to remove */
    replacement->temporary = NULL;
    return lw_fail(LW_ERR_FILE, "%s: no file can be created in its folder: %s", replacement->source, strerror(reason));
}

lw_status lw_replacement_begin(lw_replacement *replacement, const char *path)
{
    *replacement = (lw_replacement){.file = -1};
    lw_source_name(path, replacement->source);
    size_t folder = folder_length(path);
    if (!path[0] || !path[folder])
        return lw_fail(LW_ERR_FILE, "%s: names no file; a path that ends with a file's name is expected",
                       path[0] ? replacement->source : "\"\"");
    struct stat old;
    mode_t mode;
    bool exists;
    lw_status status = find_target(replacement, path, &mode, &old, &exists);
    if (!status)
        status = open_temporary(replacement, mode);
    if (!status && exists) {
        /* The owner comes first, since changing it may clear bits of the mode. It is a courtesy: only a
         * privileged process can give a file away. */
        int kept = fchown(replacement->file, old.st_uid, old.st_gid);
        (void)kept;
        if (fchmod(replacement->file, mode) != 0)
            status = lw_fail(LW_ERR_FILE, "%s: the old file's mode cannot be kept: %s", replacement->source,
                             strerror(errno));
    }
    if (status)
        lw_replacement_drop(replacement);
    return status;
}

lw_status lw_replacement_put(lw_replacement *replacement, const void *bytes, size_t count)
{
    const unsigned char *next = bytes;
    while (count > 0) {
        ssize_t n = write(replacement->file, next, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            lw_status status = lw_fail(LW_ERR_FILE, "%s: cannot be written: %s", replacement->source,
                                       n < 0 ? strerror(errno) : "no byte was taken");
            lw_replacement_drop(replacement);
            return status;
        }
        next += n;
        count -= (size_t)n;
    }
    return LW_OK;
}

/* Some file systems know no flushing of a file or folder, and say EINVAL. */
static bool flush(int file)
{
    int result;
    do
        result = fsync(file);
    while (result != 0 && errno == EINTR);
    return result == 0 || errno == EINVAL;
}

static bool flush_folder(char *path)
{
    size_t folder = folder_length(path);
    path[folder] = '\0';
    int file;
    do
        file = open(folder ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (file < 0 && errno == EINTR);
    if (file < 0)
        return errno == EACCES; /* a folder that may be written but not listed */
    bool flushed = flush(file);
    int reason = errno;
    close(file);
    errno = reason;
    return flushed;
}

/* The file is closed last, because its lock goes with it; what fsync has written no close can lose. */
lw_status lw_replacement_finish(lw_replacement *replacement)
{
    const char *failed = NULL;
    if (!flush(replacement->file))
        failed = "cannot be flushed to the disk";
    else if (rename(replacement->temporary, replacement->target) != 0)
        failed = "the new file cannot take the old one's place";
    lw_status status = LW_OK;
    if (failed) {
        status = lw_fail(LW_ERR_FILE, "%s: %s: %s", replacement->source, failed, strerror(errno));
    } else {
        if (!flush_folder(replacement->temporary))
            status = lw_fail(LW_ERR_FILE, "%s: is written and in place, but its folder cannot be flushed: %s",
                             replacement->source, strerror(errno));
        lw_free(replacement->temporary);
        replacement->temporary = NULL;
    }
    lw_replacement_drop(replacement);
    return status;
}

/* The name goes before the lock does: nobody may take it for stale, and another's of that name be removed. */
void lw_replacement_drop(lw_replacement *replacement)
{
    if (replacement->temporary)
        unlink(replacement->temporary);
    if (replacement->file >= 0)
        close(replacement->file);
    lw_free(replacement->temporary);
    lw_free(replacement->target);
    replacement->temporary = replacement->target = NULL;
    replacement->file = -1;
}
