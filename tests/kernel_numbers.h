/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain numbers of a kernel case, before any packing: shared by the file that runs a case on a table and the one
 * that checks its result, so that both mean the same case.
 */
#ifndef LW_TESTS_KERNEL_NUMBERS_H
#define LW_TESTS_KERNEL_NUMBERS_H

#include "kernel_case.h"
#include "reference.h"

/* By the seed alone, the same for every table. */
struct numbers {
    ref_model *ref;
    float *parameter[8]; /* in the order of the reference's list */
    float *x;            /* (rows, I) */
    float *h;            /* (rows, R) */
    float *c;            /* (rows, H) */
    size_t recurrent;    /* R */
};

struct numbers numbers_create(const kernel_case *c);
void numbers_destroy(struct numbers *n);
/* The numbers of the parameter whose name holds `part`; NULL when the options leave it out. */
const float *numbers_find(const struct numbers *n, const char *part);
/* Gates that the kernel stores for a probe: 5 of an LSTM, 3 of a GRU, or 0 when they are not asked for. */
size_t stored_gates(const kernel_case *c);
/* Those of them that are signals of the reference: all but what r multiplies. */
size_t compared_gates(const kernel_case *c);

#endif
