/* SPDX-License-Identifier: Apache-2.0 */
/* Which table of kernels runs. */
#ifndef LW_DISPATCH_H
#define LW_DISPATCH_H

#include "core.h"
#include "kernels.h"

/* The table of an instruction set, or NULL when the build lacks it. */
const struct lw_kernels *lw_kernels_of(lw_isa isa);
/* The current instruction set: lw_isa_set's, or the best that CPU and LW_ISA allow. */
lw_isa lw_dispatch_current(void);
void lw_dispatch_set(lw_isa isa);
bool lw_dispatch_supported(lw_isa isa);

#endif
