/* SPDX-License-Identifier: Apache-2.0 */
/* The plain RNN: h' = tanh(a + b), or ReLU. Formula in latchwork.h, section 9. */

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
    if (s->function == LW_K_RELU)
        walk_step(s, 1, rnn_relu_unit, s->h, s->h_stride, begin, end);
    else
        walk_step(s, 1, rnn_tanh_unit, s->h, s->h_stride, begin, end);
}
