/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine has and can do, measured. */
#ifndef LW_MACHINE_H
#define LW_MACHINE_H

#include "core.h"

void lw_machine_fill(lw_machine *machine);
double lw_machine_measure_peak(size_t threads);
lw_status lw_machine_measure(size_t threads, lw_limits *limits);

#endif
