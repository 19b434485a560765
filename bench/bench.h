/* SPDX-License-Identifier: Apache-2.0 */
/* The groups of cases, and what they share. Called by main.c and the bench_*.c. */
#ifndef LW_BENCH_H
#define LW_BENCH_H

#include "kernels.h"
#include "limits.h"
#include "shim.h"

/* An instruction set that this CPU runs. */
struct bench_isa {
    lw_isa isa;
    const char *name;
    const struct lw_kernels *kernels;
};
/* All of them, from the plainest; returns how many. */
size_t bench_isas(struct bench_isa isas[LW_ISA_COUNT]);

/* The thread counts that cases are run with: 1, and all CPUs if that is more. Returns how many. */
size_t bench_threads(size_t threads[2]);

/* Memory for the cases, aligned to 64 bytes, filled with small numbers that are the same in every run. Ends the
 * process with a sentence when there is none. */
float *bench_floats(size_t count, float least, float most);

/* Flops per iteration, as a rate; and which share of the peak of `isa` that is. After the loop. */
void bench_flops(bench *b, double flops, lw_isa isa, size_t threads);

/* The scalar kernels call a function for each multiply-add on a CPU whose baseline has none: their cases are
 * registered up to this work (flops), all of them when LW_BENCH_ALL=1 is in the environment. */
int bench_worth_it(lw_isa isa, double flops);

void bench_machine_register(void);
void bench_kernels_register(void);
void bench_activations_register(void);
void bench_cells_register(void);

#endif
