/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers that make a wrong access visible. A buffer stands between two pages that nobody may touch, flush
 * against one of them or a few floats away from it; the gap to either page is filled with canaries. A read or
 * write outside then ends the test with SIGSEGV, or is found by guard_intact. Used by the kernel tests and
 * by the plain runner, hence free of any test framework.
 */
#ifndef LW_TESTS_GUARD_H
#define LW_TESTS_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum guard_side {
    GUARD_BEFORE = 0, /* the first byte stands right after the forbidden page */
    GUARD_AFTER = 1,  /* the last byte stands right before the forbidden page */
} guard_side;

typedef struct guard {
    float *data;
    size_t count; /* floats */
    char *map;
    size_t map_bytes;
} guard;

/* The bits of a NaN that no kernel makes: an element that still has them was not written. */
#define GUARD_UNWRITTEN 0x7fbadbadu

/* A buffer of `count` floats, `offset` floats away from the page on `side`. Every element holds
 * GUARD_UNWRITTEN. Ends the program when there is no memory. */
guard guard_create(size_t count, guard_side side, size_t offset);
void guard_destroy(guard *g);
/* Every element GUARD_UNWRITTEN again, canaries anew. */
void guard_clear(guard *g);
/* True if no byte around the buffer was changed. */
bool guard_intact(const guard *g);
/* Number of elements that still hold GUARD_UNWRITTEN. */
size_t guard_unwritten(const guard *g);
/* From now on only reading is allowed: a kernel that writes to its input ends with SIGSEGV. */
void guard_read_only(guard *g);

#endif
