/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarded buffers by mmap and mprotect. A mapping is: forbidden page, whole pages that hold the buffer and the
 * canaries around it, forbidden page.
 */
#define _DEFAULT_SOURCE
#include "guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CANARY 0xc5

static size_t page_bytes(void)
{
    static size_t bytes;
    if (!bytes)
        bytes = (size_t)sysconf(_SC_PAGESIZE);
    return bytes;
}

static _Noreturn void give_up(const char *what)
{
    perror(what);
    abort();
}

guard guard_create(size_t count, guard_side side, size_t offset)
{
    size_t page = page_bytes();
    size_t bytes = count * sizeof(float);
    size_t gap = offset * sizeof(float);
    size_t inner = (bytes + gap + page - 1) / page * page;
    if (inner == 0)
        inner = page;
    guard g = {.count = count, .map_bytes = inner + 2 * page};
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED)
        give_up("mmap");
    if (mprotect(g.map, page, PROT_NONE) || mprotect(g.map + page + inner, page, PROT_NONE))
        give_up("mprotect");
    char *start = side == GUARD_BEFORE ? g.map + page + gap : g.map + page + inner - gap - bytes;
    g.data = (float *)(void *)start;
    guard_clear(&g);
    return g;
}

void guard_destroy(guard *g)
{
    if (g->map)
        munmap(g->map, g->map_bytes);
    *g = (guard){0};
}

void guard_clear(guard *g)
{
    size_t page = page_bytes();
    const uint32_t unwritten = GUARD_UNWRITTEN;
    memset(g->map + page, CANARY, g->map_bytes - 2 * page);
    for (size_t k = 0; k < g->count; k++)
        memcpy(g->data + k, &unwritten, sizeof unwritten);
}

static bool all_canaries(const char *from, const char *to)
{
    for (; from < to; from++)
        if ((unsigned char)*from != CANARY)
            return false;
    return true;
}

bool guard_intact(const guard *g)
{
    size_t page = page_bytes();
    const char *start = (const char *)g->data;
    const char *end = start + g->count * sizeof(float);
    return all_canaries(g->map + page, start) && all_canaries(end, g->map + g->map_bytes - page);
}

size_t guard_unwritten(const guard *g)
{
    size_t left = 0;
    for (size_t k = 0; k < g->count; k++) {
        uint32_t bits;
        memcpy(&bits, g->data + k, sizeof bits);
        left += bits == GUARD_UNWRITTEN;
    }
    return left;
}

void guard_read_only(guard *g)
{
    size_t page = page_bytes();
    if (mprotect(g->map + page, g->map_bytes - 2 * page, PROT_READ))
        give_up("mprotect");
}
