/* SPDX-License-Identifier: Apache-2.0 */
/* Learning rates: the formula stands in latchwork.h at lw_learning_rate. Called by api_train.c; no state. */
#include "real.h"
#include "train.h"

double lw_rate_at(const lw_learning_rate *schedule, uint64_t update)
{
    if (update < schedule->warm_up)
        return schedule->rate * (((double)update + 1.0) / ((double)schedule->warm_up + 1.0));
    const uint64_t k = update - schedule->warm_up;
    switch (schedule->kind) {
    case LW_RATE_STEP:
        return schedule->rate * lw_real_power(schedule->gamma, k / schedule->every);
    case LW_RATE_COSINE: {
        if (k >= schedule->updates)
            return schedule->floor;
        const double share = (double)k / (double)schedule->updates;
        return schedule->floor + (schedule->rate - schedule->floor) * 0.5 * (1.0 + lw_real_cos_turns(0.5 * share));
    }
    default:
        return schedule->rate;
    }
}
