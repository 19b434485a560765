/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gradient of a packed matrix: a sum of outer products over all steps and rows, in their order, for each weight by
 * itself. The same tiles as in affine_text.h with the parts exchanged: the gates' gradients are the vectors, the inputs
 * the broadcasts.
 */

#define LW_OUTER_BLOCK 128 /* rows of d that stay in the first-level cache while the inputs of a panel pass by */

/* Inputs of a tile: with V vectors held, as many as fit the registers. */
#define LW_OUTER_ROWS(V) ((V) == 4 ? LW_ROWS_4 : (V) == 3 ? LW_ROWS_3 : (V) == 2 ? LW_ROWS_2 : LW_ROWS_1)

LW_INLINE void outer_tile(const int V, const int R, const float *const *d, ptrdiff_t d_step, const float *x,
                          ptrdiff_t x_step, size_t count, float *dw)
{
    lw_vec acc[LW_MAX_TILE];
    LW_UNROLL
    for (int i = 0; i < R * V; i++)
        acc[i] = v_load(dw + i * LW_LANES);
    for (ptrdiff_t k = 0; k < (ptrdiff_t)count; k++) {
        lw_vec held[8];
        if (V <= R) {
            LW_UNROLL
            for (int v = 0; v < V; v++)
                held[v] = v_load(d[v] + k * d_step);
            LW_UNROLL
            for (int r = 0; r < R; r++) {
                lw_vec b = v_broadcast(x + k * x_step + r);
                LW_UNROLL
                for (int v = 0; v < V; v++)
                    acc[r * V + v] = v_fma(held[v], b, acc[r * V + v]);
            }
        } else {
            LW_UNROLL
            for (int r = 0; r < R; r++)
                held[r] = v_broadcast(x + k * x_step + r);
            LW_UNROLL
            for (int v = 0; v < V; v++) {
                lw_vec a = v_load(d[v] + k * d_step);
                LW_UNROLL
                for (int r = 0; r < R; r++)
                    acc[r * V + v] = v_fma(a, held[r], acc[r * V + v]);
            }
        }
    }
    LW_UNROLL
    for (int i = 0; i < R * V; i++)
        v_store(dw + i * LW_LANES, acc[i]);
}

#define LW_OUTER_CASE(R_)                                       \
    case R_:                                                    \
        if (R_ <= most)                                         \
            outer_tile(V, R_, d, d_step, x, x_step, count, dw); \
        break

LW_INLINE void outer_rows(const int V, size_t rows, const float *const *d, ptrdiff_t d_step, const float *x,
                          ptrdiff_t x_step, size_t count, float *dw)
{
    const int most = LW_OUTER_ROWS(V);
    switch (rows) {
        LW_OUTER_CASE(1);
        LW_OUTER_CASE(2);
        LW_OUTER_CASE(3);
        LW_OUTER_CASE(4);
        LW_OUTER_CASE(5);
        LW_OUTER_CASE(6);
        LW_OUTER_CASE(7);
        LW_OUTER_CASE(8);
    }
}

/* One panel: blocks of k outside, tiles of inputs inside. */
LW_INLINE void outer_panel(const int V, const float *const *d, const struct lw_outer *o, size_t depth, float *dw,
                           float *dbias)
{
    const size_t most = LW_OUTER_ROWS(V), tiles = (depth + most - 1) / most;
    const float *block[4];
    for (size_t k = 0, part; k < o->count; k += part) {
        part = o->count - k < LW_OUTER_BLOCK ? o->count - k : LW_OUTER_BLOCK;
        LW_UNROLL
        for (int v = 0; v < V; v++) {
            block[v] = d[v] + (ptrdiff_t)k * o->d_step;
            lw_vec sum = v_load(dbias + v * LW_LANES);
            for (size_t i = 0; i < part; i++)
                sum = v_add(sum, v_load(block[v] + (ptrdiff_t)i * o->d_step));
            v_store(dbias + v * LW_LANES, sum);
        }
        for (size_t tile = 0, first = 0, rows; tile < tiles; tile++, first += rows) {
            rows = depth / tiles + (tile < depth % tiles);
            outer_rows(V, rows, block, o->d_step, o->x + (ptrdiff_t)k * o->x_step + first, o->x_step, part,
                       dw + first * V * LW_LANES);
        }
    }
}

static void outer_panel_1(const float *const *d, const struct lw_outer *o, size_t depth, float *dw, float *dbias)
{
    outer_panel(1, d, o, depth, dw, dbias);
}

static void outer_panel_2(const float *const *d, const struct lw_outer *o, size_t depth, float *dw, float *dbias)
{
    outer_panel(2, d, o, depth, dw, dbias);
}

static void outer_panel_3(const float *const *d, const struct lw_outer *o, size_t depth, float *dw, float *dbias)
{
    outer_panel(3, d, o, depth, dw, dbias);
}

static void outer_panel_4(const float *const *d, const struct lw_outer *o, size_t depth, float *dw, float *dbias)
{
    outer_panel(4, d, o, depth, dw, dbias);
}

static void kernel_outer(const struct lw_matrix *m, const struct lw_outer *o, float *dw, float *dbias, size_t begin,
                         size_t end)
{
    for (size_t p = begin; p < end; p++) {
        const size_t width = panel_width(m, p), first = p * m->width;
        const float *d[4];
        for (size_t v = 0; v < width; v++) {
            size_t unit = (first + v) / o->gates, gate = (first + v) % o->gates;
            d[v] = o->d + o->offset[gate] + unit * LW_LANES;
        }
        float *weights = dw + first * m->depth * LW_LANES, *bias = dbias + first * LW_LANES;
        switch (width) {
        case 1:
            outer_panel_1(d, o, m->depth, weights, bias);
            break;
        case 2:
            outer_panel_2(d, o, m->depth, weights, bias);
            break;
        case 3:
            outer_panel_3(d, o, m->depth, weights, bias);
            break;
        default:
            outer_panel_4(d, o, m->depth, weights, bias);
        }
    }
}
