/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine can do at most: its peak of fused multiply-adds and the read bandwidth of each level of memory.
 * Called by the benches and by the peers' driver, to say which share of the limit a case reaches. A figure is measured
 * when it is first asked for, in the process that uses it, and then kept.
 */
#ifndef LW_BENCH_LIMITS_H
#define LW_BENCH_LIMITS_H

#include <latchwork.h>

enum limit_level { LEVEL_L1, LEVEL_L2, LEVEL_L3, LEVEL_DRAM, LEVEL_COUNT };

/* "L1", "L2", "L3", "DRAM". */
const char *limits_name(enum limit_level level);

/* Bytes that each of `threads` threads reads again and again to measure a level: they fit into it, and not into the
 * level before. A multiple of 1024. 0 when the size of the caches is not known. */
size_t limits_bytes(enum limit_level level, size_t threads);

/* Bytes a second that `threads` threads read from a level together, by the best instruction set of this CPU (or the
 * one that LW_ISA names). 0 when it is not known. */
double limits_read(enum limit_level level, size_t threads);
/* Flops a second of `threads` threads together with an instruction set; 0 when it is not supported. */
double limits_peak(lw_isa isa, size_t threads);

/* The nearest level that holds `bytes` of weights, split over `threads` threads. */
enum limit_level limits_holding(size_t bytes, size_t threads);

/* CPUs that this process may use, at least 1. */
size_t limits_cpus(void);

#endif
