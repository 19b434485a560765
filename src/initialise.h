/* SPDX-License-Identifier: Apache-2.0 */
/* First values of a model's parameters. */
#ifndef LW_INITIALISE_H
#define LW_INITIALISE_H

#include "model.h"

lw_status lw_initialise(lw_model *model, uint64_t seed);

#endif
