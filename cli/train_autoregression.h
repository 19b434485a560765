/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A linear autoregression as a measure for `train series`.
 */
#ifndef CLI_TRAIN_AUTOREGRESSION_H
#define CLI_TRAIN_AUTOREGRESSION_H

#include <stddef.h>

/* Mean squared error over `check_count` windows of a linear forecast fitted to `train_count` windows. Window k begins
 * at line k of its array, (lines, columns), and its horizon follows it. Not a number where it would take too long or
 * has no solution. */
double autoregression_loss(const float *train, size_t train_count, const float *check, size_t check_count,
                           size_t columns, size_t window, size_t horizon);

#endif
