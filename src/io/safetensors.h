/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tensor file in memory, as its reader builds it and its lookups see it. Included by safetensors.c and
 * safetensors_parse.c alone. Names and metadata are sorted once and found by bisection.
 */
#ifndef LW_SAFETENSORS_H
#define LW_SAFETENSORS_H

#include "io.h"

typedef struct lw_entry {
    const char *name;
    const lw_type *type;
    size_t begin, end; /* in the data */
    size_t count;
    size_t rank;
    size_t shape[LW_RANK_MAX];
} lw_entry;

typedef struct lw_pair {
    const char *key, *value;
} lw_pair;

struct lw_tensors {
    char source[LW_SOURCE_BYTES];
    unsigned char *bytes; /* the whole file */
    const unsigned char *data;
    size_t data_bytes;
    char *text; /* names and metadata, unescaped, one after the other */
    lw_entry *entries;
    size_t count;
    lw_entry **by_name;
    lw_pair *metadata; /* sorted by key once the file is read */
    size_t metadata_count;
};

/* Checks what the first bytes of a file of `size` bytes tell; a lw_head_check. */
lw_status lw_tensors_check_start(const char *source, const unsigned char *head, size_t have, size_t size);
/* Validates a whole file. Takes the bytes over, also when it fails. */
lw_status lw_tensors_parse_owned(const char *source, unsigned char *bytes, size_t count, lw_tensors **tensors);
/* Orders of `by_name` and of `metadata`, for qsort and bsearch. */
int lw_compare_names(const void *a, const void *b);
int lw_compare_keys(const void *a, const void *b);

#endif
