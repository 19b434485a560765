/* SPDX-License-Identifier: Apache-2.0 */
/* Recording what the gates let through. */
#ifndef LW_PROBE_H
#define LW_PROBE_H

#include "model.h"

/* True if a probe wants this level and direction. */
bool lw_probe_wants(const lw_io *io, const struct lw_level *level, size_t level_index, size_t direction);
/* Zeroes the values of every probe. */
void lw_probe_clear(const lw_model *model, const lw_io *io);
/* Records step t of the rows of a finished step; row i of it is the caller's row user_rows[i]. */
void lw_probe_record(const lw_model *model, const lw_io *io, size_t level_index, size_t direction, size_t t,
                     const struct lw_step *step, const size_t *user_rows);

#endif
