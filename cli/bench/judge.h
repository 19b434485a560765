/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of a judgement about one workload: the noise floor, the comparison, the repetition of a suspect. It knows
 * nothing of processes: where a pair's ratio comes from is the caller's business, so that the tests can put recorded
 * noise in the machine's place and count how often it errs.
 */
#ifndef CLI_BENCH_JUDGE_H
#define CLI_BENCH_JUDGE_H

#include "ratios.h"

enum pairing { PAIR_BASE_BASE, PAIR_BASE_NEW };

struct judge_plan {
    double threshold;   /* 0.03: 3 % */
    size_t floor_pairs; /* 1 or more: base against itself */
    size_t least, most; /* pairs of a comparison */
    uint64_t seed;
};

struct pairs {
    double *logs; /* of the ratios, in the order in which they were taken */
    size_t count;
};

struct judgement {
    enum verdict verdict;
    struct effect floor, effect, again; /* again.count 0: it was not repeated */
    struct pairs floor_pairs, pairs, again_pairs;
};

/* Writes the logarithm of NEW's time by BASE's; 0 when there is none any more: the judgement is VERDICT_FAILED. */
typedef int judge_pair(void *source, enum pairing pairing, double *log_ratio);

/* Returns 1, or 0 when a pair could not be taken; what was measured until then is there. */
int judge(judge_pair *pair, void *source, const struct judge_plan *plan, struct judgement *judgement);
void judgement_free(struct judgement *judgement);

#endif
