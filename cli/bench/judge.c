/* SPDX-License-Identifier: Apache-2.0 */
/* The order of a judgement; see judge.h. */
#include "judge.h"

#include <math.h>
#include <stdlib.h>

/* Half the interval that is aimed at, as a share of the threshold, and how many standard errors that half has. */
#define FINE 0.33
#define ERRORS 2.58

static int add_pairs(judge_pair *pair, void *source, enum pairing pairing, size_t count, struct pairs *pairs)
{
    double *logs = realloc(pairs->logs, (pairs->count + count) * sizeof *logs);
    if (!logs)
        return 0;
    pairs->logs = logs;
    for (size_t i = 0; i < count; i++) {
        if (!pair(source, pairing, &logs[pairs->count]) || !isfinite(logs[pairs->count]))
            return 0;
        pairs->count++;
    }
    return 1;
}

static size_t pairs_needed(double spread, const struct judge_plan *plan)
{
    const double errors = ERRORS * spread / (FINE * plan->threshold), needed = ceil(errors * errors);
    return !(needed > (double)plan->least) ? plan->least : needed < (double)plan->most ? (size_t)needed : plan->most;
}

/* What the machine favours one of two equal sides by for certain, it can favour the other by again. */
static double bias_of(const struct effect *floor)
{
    return floor->low > 1.0 ? floor->low : floor->high < 1.0 ? 1.0 / floor->high : 1.0;
}

/* As many pairs as the spread asks for, and more of them while it is too noisy to tell. */
static int compare(judge_pair *pair, void *source, const struct judge_plan *plan, const struct effect *floor,
                   struct pairs *pairs, struct effect *effect)
{
    size_t needed = pairs_needed(floor->spread, plan);
    int good = 1;
    while (good && pairs->count < needed) {
        good = add_pairs(pair, source, PAIR_BASE_NEW, needed - pairs->count, pairs);
        if (!pairs->count)
            return 0;
        *effect = effect_paired(pairs->logs, pairs->count, plan->seed);
        effect_widen(effect, bias_of(floor));
        needed = pairs_needed(effect->spread, plan);
        if (needed <= pairs->count && verdict_of(effect, plan->threshold) == VERDICT_NOISY)
            needed = pairs->count + plan->least < plan->most ? pairs->count + plan->least : plan->most;
    }
    return good;
}

int judge(judge_pair *pair, void *source, const struct judge_plan *plan, struct judgement *judgement)
{
    *judgement = (struct judgement){.verdict = VERDICT_FAILED};
    int good = add_pairs(pair, source, PAIR_BASE_BASE, plan->floor_pairs, &judgement->floor_pairs);
    if (judgement->floor_pairs.count)
        judgement->floor = effect_paired(judgement->floor_pairs.logs, judgement->floor_pairs.count, plan->seed);
    if (!good || !compare(pair, source, plan, &judgement->floor, &judgement->pairs, &judgement->effect))
        return 0;
    judgement->verdict = verdict_of(&judgement->effect, plan->threshold);
    if (judgement->verdict != VERDICT_SLOWER)
        return 1;
    /* The repetition knows nothing of the first time. */
    good = compare(pair, source, plan, &judgement->floor, &judgement->again_pairs, &judgement->again);
    const enum verdict second = good ? verdict_of(&judgement->again, plan->threshold) : VERDICT_FAILED;
    judgement->verdict = second == VERDICT_FASTER ? VERDICT_NOISY : second;
    return good;
}

void judgement_free(struct judgement *judgement)
{
    free(judgement->floor_pairs.logs);
    free(judgement->pairs.logs);
    free(judgement->again_pairs.logs);
    *judgement = (struct judgement){.verdict = VERDICT_FAILED};
}
