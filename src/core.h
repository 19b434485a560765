/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every file of the library shares: failing with a sentence, checked sizes, memory.
 * Included by all of src/; keeps no state of its own.
 */
#ifndef LW_CORE_H
#define LW_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "latchwork.h"

/* Stores the sentence that lw_error() gives in this thread and returns `status`. (error.c) */
lw_status lw_fail(lw_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The usual sentence for a failed allocation of `bytes`. */
lw_status lw_fail_memory(size_t bytes);

/* *out = a * b, a + b, a * b + c; false when it overflows (then *out is untouched). */
static inline bool lw_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool lw_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool lw_mul_add(size_t a, size_t b, size_t c, size_t *out)
{
    size_t r;
    return lw_mul(a, b, &r) && lw_add(r, c, out);
}

/* True if `need` bytes starting at `offset` lie inside a buffer of `size` bytes. */
static inline bool lw_fits(size_t offset, size_t need, size_t size)
{
    return offset <= size && need <= size - offset;
}

static inline size_t lw_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t lw_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

static inline size_t lw_ceil_div(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static inline size_t lw_round_up(size_t a, size_t b)
{
    return lw_ceil_div(a, b) * b;
}

/* Memory (arena.c, the only file that allocates). Blocks are zeroed and aligned to 64 bytes; NULL when there is
 * none. lw_alloc(0) gives a block. */
void *lw_alloc(size_t bytes);
void *lw_alloc_array(size_t count, size_t size); /* NULL when the product overflows too */
void lw_free(void *block);
char *lw_copy_string(const char *text);

#endif
