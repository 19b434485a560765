/* SPDX-License-Identifier: Apache-2.0 */
/* The plain RNN: h' = tanh(a + b), or ReLU. Formula in latchwork.h, section 11. */

LW_INLINE void rnn_tanh_unit(const struct lw_step *s, size_t unit, size_t row, const float *a, const float *b)
{
    v_store(s->y + row * s->y_stride + unit * LW_LANES, v_tanh(gate_argument(s, a, b, 0)));
}

LW_INLINE void rnn_relu_unit(const struct lw_step *s, size_t unit, size_t row, const float *a, const float *b)
{
    v_store(s->y + row * s->y_stride + unit * LW_LANES, v_relu(gate_argument(s, a, b, 0)));
}

static void kernel_rnn(const struct lw_step *s, size_t begin, size_t end)
{
    size_t stride;
    const float *h = fed_rows(s, &stride);
    if (s->function == LW_K_RELU)
        walk_step(s, 1, rnn_relu_unit, h, stride, begin, end);
    else
        walk_step(s, 1, rnn_tanh_unit, h, stride, begin, end);
}

/* The way back: d = dh (1 - h^2), or dh where the ReLU was open. */
LW_INLINE void rnn_unit_back(const struct lw_back *b, size_t unit, size_t row)
{
    const size_t at = unit * LW_LANES, n = b->hidden - at < LW_LANES ? b->hidden - at : LW_LANES;
    lw_vec h = v_load(b->h + row * b->h_stride + at), dh = v_load(b->dh + row * b->dh_stride + at), d;
    if (b->dy)
        dh = v_add(dh, v_load(b->dy + row * b->dy_stride + at));
    if (b->function == LW_K_RELU) {
        d = v_select(v_less(v_set(0.0f), h), dh, v_mul(h, v_set(0.0f)));
        if (b->gate_clip > 0.0f)
            d = v_select(v_less(h, v_set(b->gate_clip)), d, v_mul(h, v_set(0.0f)));
    } else {
        d = tanh_gradient(b, dh, h);
    }
    store_first(b->d + row * b->d_stride + at, d, n);
}

static void kernel_rnn_back(const struct lw_back *b, size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++)
        for (size_t row = 0; row < b->rows; row++)
            rnn_unit_back(b, unit, row);
}
