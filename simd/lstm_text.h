/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM: one step of the hidden units of one vector. Formula in latchwork.h, section 9.
 *   c' = f * c + i * g (one rounding for i * g, one for the sum), h' = o * tanh(c')
 * The gates that a probe or training sees are the very values that the step used.
 */

LW_INLINE lw_vec lstm_sigmoid(const struct lw_step *s, const float *a, const float *b, int gate, const float *peephole,
                              lw_vec c)
{
    lw_vec sum = v_add(v_load(a + gate * LW_LANES), v_load(b + gate * LW_LANES));
    if (peephole)
        sum = v_fma(v_load(peephole), c, sum);
    if (s->gate_clip > 0.0f)
        sum = clipped(sum, s->gate_clip);
    return v_sigmoid(sum);
}

/* V = 4: gates i, f, g, o. V = 3 (coupled): i, g, o with f = 1 - i. */
LW_INLINE void lstm_unit(const int V, const struct lw_step *s, size_t unit, size_t row, const float *a, const float *b)
{
    const float *peephole = s->peephole ? s->peephole + unit * LW_LANES : NULL;
    float *cell = s->c + row * s->c_stride + unit * LW_LANES;
    lw_vec c = v_load(cell);
    lw_vec i = lstm_sigmoid(s, a, b, 0, peephole, c);
    lw_vec f = V == 4 ? lstm_sigmoid(s, a, b, 1, peephole ? peephole + s->peephole_stride : NULL, c)
                      : v_sub(v_set(1.0f), i);
    lw_vec g = v_tanh(gate_argument(s, a, b, V - 2));
    c = v_fma(f, c, v_mul(i, g));
    if (s->cell_clip > 0.0f)
        c = clipped(c, s->cell_clip);
    lw_vec o = lstm_sigmoid(s, a, b, V - 1, peephole ? peephole + 2 * s->peephole_stride : NULL, c);
    v_store(cell, c);
    v_store(s->y + row * s->y_stride + unit * LW_LANES, v_mul(o, v_tanh(c)));
    if (s->gates) {
        float *gates = s->gates + row * s->gates_stride + unit * 5 * LW_LANES;
        v_store(gates, i);
        v_store(gates + LW_LANES, f);
        v_store(gates + 2 * LW_LANES, g);
        v_store(gates + 3 * LW_LANES, o);
        v_store(gates + 4 * LW_LANES, c);
    }
}

LW_INLINE void lstm_unit_4(const struct lw_step *s, size_t unit, size_t row, const float *a, const float *b)
{
    lstm_unit(4, s, unit, row, a, b);
}

LW_INLINE void lstm_unit_3(const struct lw_step *s, size_t unit, size_t row, const float *a, const float *b)
{
    lstm_unit(3, s, unit, row, a, b);
}

static void kernel_lstm(const struct lw_step *s, size_t begin, size_t end)
{
    if (s->recurrent.width == 4)
        walk_step(s, 4, lstm_unit_4, s->h, s->h_stride, begin, end);
    else
        walk_step(s, 3, lstm_unit_3, s->h, s->h_stride, begin, end);
}
