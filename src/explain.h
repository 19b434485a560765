/* SPDX-License-Identifier: Apache-2.0 */
/* What a run would do, and why. */
#ifndef LW_EXPLAIN_H
#define LW_EXPLAIN_H

#include "context.h"

lw_status lw_explain_run(const lw_context *context, size_t steps, size_t batch, const lw_limits *limits,
                         lw_explanation *explanation);

#endif
