/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRU: one step of the hidden units of one vector, in both forms. Formula in latchwork.h, section 9.
 *   reset after:  n = tanh(a_n + r * b_n), one kernel
 *   reset before: n = tanh(a_n + b_n) with b_n from r * h, so all of r must be there first: two kernels
 *   h' = n + z * (h - n), the sum and product in one rounding
 */

LW_INLINE lw_vec gru_blend(lw_vec z, lw_vec n, lw_vec h)
{
    return v_fma(z, v_sub(h, n), n);
}

/* Gates that a probe or training sees: (r, z, n) of one vector of units. */
LW_INLINE float *gru_gates(const struct lw_step *s, size_t unit, size_t row)
{
    return s->gates + row * s->gates_stride + unit * 3 * LW_LANES;
}

LW_INLINE void gru_unit(const struct lw_step *s, size_t unit, size_t row, const float *a, const float *b)
{
    lw_vec h = v_load(s->h + row * s->h_stride + unit * LW_LANES);
    lw_vec r = v_sigmoid(gate_argument(s, a, b, 0));
    lw_vec z = v_sigmoid(gate_argument(s, a, b, 1));
    lw_vec argument = v_fma(r, v_load(b + 2 * LW_LANES), v_load(a + 2 * LW_LANES));
    if (s->gate_clip > 0.0f)
        argument = clipped(argument, s->gate_clip);
    lw_vec n = v_tanh(argument);
    v_store(s->y + row * s->y_stride + unit * LW_LANES, gru_blend(z, n, h));
    if (s->gates) {
        float *gates = gru_gates(s, unit, row);
        v_store(gates, r);
        v_store(gates + LW_LANES, z);
        v_store(gates + 2 * LW_LANES, n);
    }
}

LW_INLINE void gru_reset_unit(const struct lw_step *s, size_t unit, size_t row, const float *a, const float *b)
{
    lw_vec h = v_load(s->h + row * s->h_stride + unit * LW_LANES);
    lw_vec r = v_sigmoid(gate_argument(s, a, b, 0));
    lw_vec z = v_sigmoid(gate_argument(s, a, b, 1));
    v_store(s->c + row * s->c_stride + unit * LW_LANES, v_mul(r, h));
    v_store(s->z + row * s->z_stride + unit * LW_LANES, z);
    if (s->gates) {
        v_store(gru_gates(s, unit, row), r);
        v_store(gru_gates(s, unit, row) + LW_LANES, z);
    }
}

LW_INLINE void gru_candidate_unit(const struct lw_step *s, size_t unit, size_t row, const float *a, const float *b)
{
    lw_vec h = v_load(s->h + row * s->h_stride + unit * LW_LANES);
    lw_vec z = v_load(s->z + row * s->z_stride + unit * LW_LANES);
    lw_vec n = v_tanh(gate_argument(s, a, b, 0));
    v_store(s->y + row * s->y_stride + unit * LW_LANES, gru_blend(z, n, h));
    if (s->gates)
        v_store(gru_gates(s, unit, row) + 2 * LW_LANES, n);
}

static void kernel_gru(const struct lw_step *s, size_t begin, size_t end)
{
    walk_step(s, 3, gru_unit, s->h, s->h_stride, begin, end);
}

static void kernel_gru_reset(const struct lw_step *s, size_t begin, size_t end)
{
    walk_step(s, 2, gru_reset_unit, s->h, s->h_stride, begin, end);
}

static void kernel_gru_candidate(const struct lw_step *s, size_t begin, size_t end)
{
    walk_step(s, 1, gru_candidate_unit, s->c, s->c_stride, begin, end);
}
