/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM: one step of the hidden units of one vector. Formula in latchwork.h, section 11.
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
    size_t stride;
    const float *h = fed_rows(s, &stride);
    if (s->recurrent.width == 4)
        walk_step(s, 4, lstm_unit_4, h, stride, begin, end);
    else
        walk_step(s, 3, lstm_unit_3, h, stride, begin, end);
}

/*
 * The way back. With dh the gradient of h' and dc that of c' from the step behind:
 *   do = dh tanh(c'),  dc' = dc + dh o (1 - tanh(c')^2) [+ p_o dO],  di = dc' g,  df = dc' c,  dg = dc' i,
 *   dc = dc' f [+ p_i dI + p_f dF];  capital letters: of the gates' arguments. Coupled: di = dc' (g - c).
 */
LW_INLINE void lstm_unit_back(const struct lw_back *b, size_t unit, size_t row)
{
    const size_t H = b->hidden, at = unit * LW_LANES, n = H - at < LW_LANES ? H - at : LW_LANES;
    const float *gates = b->gates + row * b->gates_stride + unit * 5 * LW_LANES;
    lw_vec i = v_load(gates), f = v_load(gates + LW_LANES), g = v_load(gates + 2 * LW_LANES);
    lw_vec o = v_load(gates + 3 * LW_LANES), c = v_load(gates + 4 * LW_LANES), tanh_c = v_tanh(c);
    lw_vec before = v_load(b->c_before + row * b->c_stride + unit * b->c_unit);
    float *dc_at = b->dc + row * b->dc_stride + at, *d = b->d + row * b->d_stride + at;
    lw_vec dh = v_load(b->dh + row * b->dh_stride + at);
    if (b->dy)
        dh = v_add(dh, v_load(b->dy + row * b->dy_stride + at));
    lw_vec d_o = sigmoid_gradient(b, v_mul(dh, tanh_c), o);
    lw_vec dc = v_fma(v_mul(dh, o), v_fma(v_neg(tanh_c), tanh_c, v_set(1.0f)), v_load(dc_at));
    const float *peephole = b->peephole ? b->peephole + at : NULL;
    if (peephole)
        dc = v_fma(d_o, v_load(peephole + 2 * b->peephole_stride), dc);
    if (b->cell_clip > 0.0f) {
        lw_vec size = v_abs(v_fma(f, before, v_mul(i, g)));
        dc = v_select(v_less(v_set(b->cell_clip), size), v_set(0.0f), dc);
    }
    lw_vec d_g = tanh_gradient(b, v_mul(dc, i), g), next = v_mul(dc, f), d_i, d_f = v_set(0.0f);
    if (b->gate_count == 4) {
        d_i = sigmoid_gradient(b, v_mul(dc, g), i);
        d_f = sigmoid_gradient(b, v_mul(dc, before), f);
        store_first(d + H, d_f, n);
    } else {
        d_i = sigmoid_gradient(b, v_mul(dc, v_sub(g, before)), i);
    }
    store_first(d, d_i, n);
    store_first(d + (b->gate_count - 2) * H, d_g, n);
    store_first(d + (b->gate_count - 1) * H, d_o, n);
    if (peephole) {
        float *sums = b->dpeephole + at;
        next = v_fma(d_i, v_load(peephole), next);
        next = v_fma(d_f, v_load(peephole + b->peephole_stride), next);
        v_store(sums, v_fma(d_i, before, v_load(sums)));
        sums += b->peephole_stride;
        v_store(sums, v_fma(d_f, before, v_load(sums)));
        sums += b->peephole_stride;
        v_store(sums, v_fma(d_o, c, v_load(sums)));
    }
    v_store(dc_at, next);
    if (b->aux)
        v_store(b->aux + row * b->aux_stride + at, v_mul(o, tanh_c));
}

static void kernel_lstm_back(const struct lw_back *b, size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++)
        for (size_t row = 0; row < b->rows; row++)
            lstm_unit_back(b, unit, row);
}
