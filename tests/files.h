/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of files share: the corpus's place, whole files, a folder of their own, bytes of a tensor file.
 * Included by test_files.c and test_save.c. Everything asserts, so that a broken set-up is never a passed test.
 */
#ifndef FILES_H
#define FILES_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include <criterion/criterion.h>
#include <latchwork.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 512

typedef struct bytes {
    unsigned char *data;
    size_t count;
} bytes;

static inline const char *corpus_path(const char *name, char path[PATH_BYTES])
{
    const char *root = getenv("LW_SOURCE_ROOT");
    int length = snprintf(path, PATH_BYTES, "%s/tests/corpus%s%s%s", root ? root : ".", name ? "/" : "",
                          name ? name : "", name ? ".safetensors" : "");
    cr_assert(length > 0 && length < PATH_BYTES);
    return path;
}

static inline bytes read_all(const char *path)
{
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s cannot be opened", path);
    bytes b = {0};
    size_t room = 0, n;
    do {
        if (b.count == room)
            cr_assert(b.data = realloc(b.data, room = 2 * room + 4096));
        n = fread(b.data + b.count, 1, room - b.count, file);
        b.count += n;
    } while (n > 0);
    fclose(file);
    return b;
}

static inline bool same_bytes(bytes a, bytes b)
{
    return a.count == b.count && memcmp(a.data, b.data, a.count) == 0;
}

/* A safetensors file of a header and data. */
static inline bytes make_file(const char *header, size_t length, const void *data, size_t count)
{
    bytes b = {malloc(8 + length + count), 8 + length + count};
    cr_assert(b.data);
    for (size_t i = 0; i < 8; i++)
        b.data[i] = (unsigned char)((unsigned long long)length >> (8 * i));
    memcpy(b.data + 8, header, length);
    if (count)
        memcpy(b.data + 8 + length, data, count);
    return b;
}

static inline void make_folder(char path[PATH_BYTES])
{
    const char *base = getenv("TMPDIR");
    snprintf(path, PATH_BYTES, "%s/latchwork-test-XXXXXX", base ? base : "/tmp");
    cr_assert(mkdtemp(path), "no folder can be made at %s", path);
}

static inline const char *join(const char *folder, const char *name, char path[PATH_BYTES])
{
    int length = snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    cr_assert(length > 0 && length < PATH_BYTES);
    return path;
}

static inline size_t count_files(const char *folder)
{
    DIR *directory = opendir(folder);
    cr_assert(directory);
    size_t count = 0;
    for (struct dirent *e; (e = readdir(directory));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(directory);
    return count;
}

static inline void remove_folder(const char *folder)
{
    DIR *directory = opendir(folder);
    cr_assert(directory);
    for (struct dirent *e; (e = readdir(directory));) {
        char path[PATH_BYTES];
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlink(join(folder, e->d_name, path));
    }
    closedir(directory);
    rmdir(folder);
}

/* The privileged may do everything; as nobody, the limits of files hold. False where that cannot be had. */
static inline bool become_nobody(void)
{
    return geteuid() != 0 || seteuid(65534) == 0;
}

static inline void become_root_again(void)
{
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
}

#define EXPECT_REFUSED(call, expected, fragment)                                                                    \
    do {                                                                                                            \
        lw_status status_ = (call);                                                                                 \
        cr_expect_eq(status_, (expected), "%s: %s: %s", #call, lw_status_name(status_), lw_error());                \
        cr_expect(status_ == LW_OK || strstr(lw_error(), (fragment)), "%s: \"%s\" lacks \"%s\"", #call, lw_error(), \
                  (fragment));                                                                                      \
    } while (0)

#define ASSERT_OK(call)                                                                         \
    do {                                                                                        \
        lw_status status_ = (call);                                                             \
        cr_assert_eq(status_, LW_OK, "%s: %s: %s", #call, lw_status_name(status_), lw_error()); \
    } while (0)

#endif
