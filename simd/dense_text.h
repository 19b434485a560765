/* SPDX-License-Identifier: Apache-2.0 */
/* The output as a linear combination, y = function(bias + x w): dense bricks, and projections without bias. */

LW_INLINE lw_vec apply(enum lw_kernel_function function, lw_vec a)
{
    switch (function) {
    case LW_K_RELU:
        return v_relu(a);
    case LW_K_TANH:
        return v_tanh(a);
    case LW_K_SIGMOID:
        return v_sigmoid(a);
    case LW_K_EXP:
        return v_exp(a);
    default:
        return a;
    }
}

static void kernel_dense(const struct lw_matrix *m, enum lw_kernel_function function, size_t rows, const float *x,
                         size_t x_stride, float *y, size_t y_stride, size_t begin, size_t end)
{
    float part[LW_ROW_BLOCK * LW_WIDE * LW_LANES];
    const size_t block = even_block(rows);
    for (size_t p = begin, panels; p < end; p += panels) {
        panels = rows == 1 ? row_panels(m, p, end) : 1;
        const size_t width = panel_width(m, p);
        for (size_t first = 0, count; first < rows; first += count) {
            count = rows - first < block ? rows - first : block;
            if (rows == 1)
                affine_row_panels(m, p, panels, x, part);
            else
                affine_one(m, p, count, x + first * x_stride, x_stride, part);
            /* One row's panels are neighbours in y, as its columns are. */
            for (size_t r = 0; r < count; r++)
                for (size_t v = 0; v < panels * width; v++)
                    v_store(y + (first + r) * y_stride + (p * m->width + v) * LW_LANES,
                            apply(function, v_load(part + (r * width + v) * LW_LANES)));
        }
    }
}

/* The way back: d = dy times the derivative, which the function's value h tells. */
static void kernel_function_back(const struct lw_back *b, size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++)
        for (size_t row = 0; row < b->rows; row++) {
            const size_t at = unit * LW_LANES, n = b->hidden - at < LW_LANES ? b->hidden - at : LW_LANES;
            lw_vec h = v_load(b->h + row * b->h_stride + at), d = v_load(b->dy + row * b->dy_stride + at);
            if (b->function == LW_K_RELU)
                d = v_select(v_less(v_set(0.0f), h), d, v_mul(h, v_set(0.0f)));
            else if (b->function == LW_K_TANH)
                d = v_mul(d, v_fma(v_neg(h), h, v_set(1.0f)));
            else if (b->function == LW_K_SIGMOID)
                d = v_mul(d, v_mul(h, v_sub(v_set(1.0f), h)));
            store_first(b->d + row * b->d_stride + at, d, n);
        }
}

static void kernel_activate(enum lw_kernel_function function, size_t n, const float *from, float *to)
{
    switch (function) {
    case LW_K_RELU:
        kernel_relu(n, from, to);
        break;
    case LW_K_TANH:
        kernel_tanh(n, from, to);
        break;
    case LW_K_SIGMOID:
        kernel_sigmoid(n, from, to);
        break;
    case LW_K_EXP:
        kernel_exp(n, from, to);
        break;
    default:
        memmove(to, from, n * sizeof(float));
    }
}
