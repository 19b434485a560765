/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of one time step, shared by every cell: for each panel and block of rows it makes the input part and the
 * recurrent part (two chains, added last) and hands them to the cell's unit function, one vector of hidden units of
 * one row at a time, while both are still in the first-level cache.
 */

/* The parts are vectors of L floats, one for each gate: a from the input, b from the state. `unit` counts vectors of
 * hidden units. */
typedef void (*unit_function)(const struct lw_step *s, size_t unit, size_t row, const float *a, const float *b);

#define LW_ROW_BLOCK 48 /* rows of a block: a multiple of every tile; its two parts take 24 KiB at most */

/* Rows of the blocks that `rows` rows are dealt to, about the same for each: a short last one would pay for its weights
 * with little work. */
LW_INLINE size_t even_block(size_t rows)
{
    size_t blocks = (rows + LW_ROW_BLOCK - 1) / LW_ROW_BLOCK;
    return blocks ? (rows + blocks - 1) / blocks : 1;
}

/* Clips to [-limit, limit]; a NaN stays one. */
LW_INLINE lw_vec clipped(lw_vec a, float limit)
{
    return v_min(v_set(limit), v_max(v_set(-limit), a));
}

/* The argument of a gate's activation. */
LW_INLINE lw_vec gate_argument(const struct lw_step *s, const float *a, const float *b, int gate)
{
    lw_vec sum = v_add(v_load(a + gate * LW_LANES), v_load(b + gate * LW_LANES));
    return s->gate_clip > 0.0f ? clipped(sum, s->gate_clip) : sum;
}

/* `gates` columns make a unit (1 in wide matrices); `h` is the factor of the recurrent part. */
LW_INLINE void walk_step(const struct lw_step *s, const int gates, unit_function unit, const float *h, size_t h_stride,
                         size_t begin, size_t end)
{
    float own[LW_ROW_BLOCK * 4 * LW_LANES], part[LW_ROW_BLOCK * 4 * LW_LANES];
    const struct lw_matrix *m = &s->recurrent;
    const size_t full = m->width * LW_LANES, block = even_block(s->rows);
    for (size_t p = begin, panels; p < end; p += panels) {
        panels = s->rows == 1 ? row_panels(m, p, end) : 1;
        const size_t width = panel_width(m, p) * LW_LANES;
        const size_t units = panel_width(m, p) / gates;
        for (size_t first = 0, rows; first < s->rows; first += rows) {
            rows = s->rows - first < block ? s->rows - first : block;
            const float *input = own;
            size_t next = rows * width; /* from a panel's input part to the next one's */
            if (s->merged) {
                input = s->merged + p * full * s->merged_rows + (s->merged_row + first) * width;
                next = s->merged_rows * full;
            } else if (s->rows == 1) {
                affine_row_panels(&s->input, p, panels, s->x, own);
            } else {
                affine_one(&s->input, p, rows, s->x + first * s->x_stride, s->x_stride, own);
            }
            if (s->rows == 1)
                affine_row_panels(m, p, panels, h, part);
            else
                affine_one(m, p, rows, h + first * h_stride, h_stride, part);
            for (size_t q = 0; q < panels; q++)
                for (size_t r = 0; r < rows; r++)
                    for (size_t u = 0; u < units; u++)
                        unit(s, (p + q) * (m->width / gates) + u, first + r,
                             input + q * next + r * width + u * gates * LW_LANES,
                             part + (q * rows + r) * width + u * gates * LW_LANES);
        }
    }
}

/* What the recurrent part multiplies. */
LW_INLINE const float *fed_rows(const struct lw_step *s, size_t *stride)
{
    *stride = s->fed ? s->fed_stride : s->h_stride;
    return s->fed ? s->fed : s->h;
}

/* Writes the first n lanes: the last vector of a gate must not run into the next gate. */
LW_INLINE void store_first(float *to, lw_vec a, size_t n)
{
    if (n >= LW_LANES) {
        v_store(to, a);
        return;
    }
    float all[LW_LANES];
    v_store(all, a);
    memcpy(to, all, n * sizeof(float));
}

/* Gradient of an argument from that of its activation a, whose derivative is `slope`. None where the argument was
 * beyond the limit, which shows in the activation: it has the value that the limit gives. A NaN stays one. */
LW_INLINE lw_vec argument_gradient(const struct lw_back *b, lw_vec da, lw_vec slope, lw_vec a, lw_vec low, lw_vec high)
{
    lw_vec d = v_mul(da, slope), none = v_mul(d, v_set(0.0f));
    if (b->gate_clip > 0.0f)
        d = v_select(v_less(low, a), v_select(v_less(a, high), d, none), none);
    return d;
}

LW_INLINE lw_vec sigmoid_gradient(const struct lw_back *b, lw_vec da, lw_vec a)
{
    lw_vec slope = v_mul(a, v_sub(v_set(1.0f), a));
    return argument_gradient(b, da, slope, a, v_sigmoid(v_set(-b->gate_clip)), v_sigmoid(v_set(b->gate_clip)));
}

LW_INLINE lw_vec tanh_gradient(const struct lw_back *b, lw_vec da, lw_vec a)
{
    lw_vec slope = v_fma(v_neg(a), a, v_set(1.0f)), high = v_tanh(v_set(b->gate_clip));
    return argument_gradient(b, da, slope, a, v_neg(high), high);
}
