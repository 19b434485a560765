/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file that allocates. Every block of the library comes from here, zeroed and aligned to a cache line,
 * which is also the widest vector. Large blocks come from fresh pages, so untouched workspace costs no memory.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core.h"

#define ALIGNMENT 64
#define HUGE_PAGE ((size_t)2 << 20)

/* Weights are read from end to end at every step: with small pages the walk of the page table costs as much as the
 * cache. A hint only: where it is refused, small pages do. */
static void advise(char *block, size_t bytes)
{
#if defined(MADV_HUGEPAGE)
    uintptr_t start = (uintptr_t)block, skip = (HUGE_PAGE - start % HUGE_PAGE) % HUGE_PAGE;
    if (bytes > skip + HUGE_PAGE)
        madvise(block + skip, (bytes - skip) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#else
    (void)block, (void)bytes;
#endif
}

/* calloc gives zero pages without touching them, which aligned_alloc and memset would not; the block is aligned
 * by hand, and the pointer that free() wants stands just before it. */
void *lw_alloc(size_t bytes)
{
    size_t total;
    if (!lw_add(bytes, ALIGNMENT + sizeof(void *), &total))
        return NULL;
    char *raw = calloc(1, total);
    if (!raw)
        return NULL;
    uintptr_t start = (uintptr_t)raw + sizeof(void *) + ALIGNMENT - 1;
    char *block = (char *)(start - start % ALIGNMENT);
    memcpy(block - sizeof(void *), &raw, sizeof raw);
    advise(block, bytes);
    return block;
}

void *lw_alloc_array(size_t count, size_t size)
{
    size_t bytes;
    return lw_mul(count, size, &bytes) ? lw_alloc(bytes) : NULL;
}

void lw_free(void *block)
{
    if (!block)
        return;
    void *raw;
    memcpy(&raw, (char *)block - sizeof(void *), sizeof raw);
    free(raw);
}

char *lw_copy_string(const char *text)
{
    size_t length = strlen(text);
    char *copy = lw_alloc(length + 1);
    if (copy)
        memcpy(copy, text, length + 1);
    return copy;
}
