/* SPDX-License-Identifier: Apache-2.0 */
/* Copies the chosen units' signals out of a finished step. Called by forward.c; reads what the step used, so a probe
 * cannot change a result. */
#include "probe.h"

#include <string.h>

/* A probe of no units has nothing to record, and its values may be NULL. */
static bool matches(const lw_probe *probe, const struct lw_level *level, size_t level_index, size_t direction)
{
    return probe->unit_count && probe->layer == level_index &&
           (probe->direction == LW_REVERSE) == lw_level_reverse(level, direction);
}

bool lw_probe_wants(const lw_io *io, const struct lw_level *level, size_t level_index, size_t direction)
{
    for (size_t i = 0; i < io->probe_count; i++)
        if (matches(&io->probes[i], level, level_index, direction))
            return true;
    return false;
}

void lw_probe_clear(const lw_model *model, const lw_io *io)
{
    for (size_t i = 0; i < io->probe_count; i++) {
        const lw_probe *probe = &io->probes[i];
        size_t signals = model->levels[probe->layer].cell->signal_count;
        size_t floats = io->steps * io->batch * signals * probe->unit_count;
        if (floats)
            memset(probe->values, 0, floats * sizeof(float));
    }
}

void lw_probe_record(const lw_model *model, const lw_io *io, size_t level_index, size_t direction, size_t t,
                     const struct lw_step *step, const size_t *user_rows)
{
    const struct lw_level *level = &model->levels[level_index];
    const struct lw_cell *cell = level->cell;
    for (size_t i = 0; i < io->probe_count; i++) {
        const lw_probe *probe = &io->probes[i];
        if (!matches(probe, level, level_index, direction))
            continue;
        for (size_t row = 0; row < step->rows; row++) {
            float *values = probe->values + (t * io->batch + user_rows[row]) * cell->signal_count * probe->unit_count;
            for (size_t signal = 0; signal < cell->signal_count; signal++)
                for (size_t u = 0; u < probe->unit_count; u++)
                    *values++ = cell->signal(level, step, model->lanes, signal, row,
                                             probe->units ? probe->units[u] : u);
        }
    }
}
