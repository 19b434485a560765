/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix product under every cell: bias + x times a packed matrix, in panels. All multiplication of the library
 * passes through the two loops here. The order of summation is k rising for each output, whatever the tile.
 */

/* acc[r * V + v] += sum over k of w[k][v] * x[r][k]; V and R are constant after inlining. The shorter side of the tile
 * is held in registers and the longer one taken a vector at a time, which is what fits beside the accumulators. Each k
 * also asks for `lines` lines, 1 or 2, of what is needed next, from `ahead` on. */
LW_INLINE void chain(lw_vec *acc, const int V, const int R, const float *restrict w, const float *restrict x,
                     size_t x_stride, size_t k, const size_t lines, const char *ahead)
{
    for (size_t i = 0; i < k; i++, w += V * LW_LANES) {
        v_prefetch(ahead + i * lines * LW_LINE);
        if (lines == 2)
            v_prefetch(ahead + (2 * i + 1) * LW_LINE);
        lw_vec held[8];
        if (V <= R) {
            LW_UNROLL
            for (int v = 0; v < V; v++)
                held[v] = v_load(w + v * LW_LANES);
            LW_UNROLL
            for (int r = 0; r < R; r++) {
                lw_vec b = v_broadcast(x + (size_t)r * x_stride + i);
                LW_UNROLL
                for (int v = 0; v < V; v++)
                    acc[r * V + v] = v_fma(held[v], b, acc[r * V + v]);
            }
        } else {
            LW_UNROLL
            for (int r = 0; r < R; r++)
                held[r] = v_broadcast(x + (size_t)r * x_stride + i);
            LW_UNROLL
            for (int v = 0; v < V; v++) {
                lw_vec a = v_load(w + v * LW_LANES);
                LW_UNROLL
                for (int r = 0; r < R; r++)
                    acc[r * V + v] = v_fma(a, held[r], acc[r * V + v]);
            }
        }
    }
}

/* The same for one row and P neighbouring panels, `panel_stride` floats apart: enough independent chains to hide the
 * latency of the multiply-add. acc[p * V + v]. */
LW_INLINE void chain_row(lw_vec *acc, const int V, const int P, const float *restrict w, size_t panel_stride,
                         const float *restrict x, size_t k)
{
    for (size_t i = 0; i < k; i++) {
        lw_vec b = v_broadcast(x + i);
        LW_UNROLL
        for (int p = 0; p < P; p++) {
            LW_UNROLL
            for (int v = 0; v < V; v++)
                acc[p * V + v] = v_fma(v_load(w + (size_t)p * panel_stride + v * LW_LANES), b, acc[p * V + v]);
        }
        w += V * LW_LANES;
    }
}

/* One tile: out[r][v] = (first ? bias : out) + this block of k. */
LW_INLINE void tile(const int V, const int R, const float *w, const float *x, size_t x_stride, size_t k,
                    const float *bias, float *out, int first, const size_t lines, const char *ahead)
{
    lw_vec acc[LW_MAX_TILE];
    LW_UNROLL
    for (int r = 0; r < R; r++) {
        LW_UNROLL
        for (int v = 0; v < V; v++)
            acc[r * V + v] = v_load(first ? bias + v * LW_LANES : out + (r * V + v) * LW_LANES);
    }
    chain(acc, V, R, w, x, x_stride, k, lines, ahead);
    LW_UNROLL
    for (int i = 0; i < R * V; i++)
        v_store(out + i * LW_LANES, acc[i]);
}

#define LW_TILE_CASE(R_)                                                \
    case R_:                                                            \
        tile(V, R_, w, x, x_stride, k, bias, out, first, lines, ahead); \
        break

/* A tile of `rows` rows, 1 to 8, no more than the instruction set holds for V. */
LW_INLINE void tile_rows(const int V, size_t rows, const float *w, const float *x, size_t x_stride, size_t k,
                         const float *bias, float *out, int first, const size_t lines, const char *ahead)
{
    const int most = V == 4 ? LW_ROWS_4 : V == 3 ? LW_ROWS_3 : V == 2 ? LW_ROWS_2 : LW_ROWS_1;
    switch (rows) {
        LW_TILE_CASE(1);
        LW_TILE_CASE(2);
        LW_TILE_CASE(3);
    case 4:
        if (most >= 4)
            tile(V, 4, w, x, x_stride, k, bias, out, first, lines, ahead);
        break;
    case 5:
        if (most >= 5)
            tile(V, 5, w, x, x_stride, k, bias, out, first, lines, ahead);
        break;
    case 6:
        if (most >= 6)
            tile(V, 6, w, x, x_stride, k, bias, out, first, lines, ahead);
        break;
    case 7:
        if (most >= 7)
            tile(V, 7, w, x, x_stride, k, bias, out, first, lines, ahead);
        break;
    default:
        if (most >= 8)
            tile(V, 8, w, x, x_stride, k, bias, out, first, lines, ahead);
    }
}

/* A block of k whose weights stay in the first-level cache while the rows pass by. */
#define LW_K_BLOCK 128

/* Where many tiles pass over a block there is time to fetch the next one from the outer levels of the memory: its lines
 * are shared among the first tiles. A few tiles ask for their own outputs instead: fetching costs them as much as it
 * gives, unless the matrix is so large that it comes from beyond the second-level cache of any thread. */
#define LW_FETCH_TILES 6
#define LW_FAR_BYTES ((size_t)8 << 20)
#define LW_FAR_TILES 3 /* with more of them one line for each k is enough */
#define LW_FAR_BLOCK 64

/* One panel: out (rows, V, L) = bias + x times w. Rows are dealt to tiles as evenly as they go. Two lines for each k:
 * the matrix is far. Without a bias the sum goes on from what stands in out. */
LW_INLINE void affine_panel(const int V, const size_t lines, size_t rows, const float *w, const float *x,
                            size_t x_stride, size_t depth, const float *bias, float *out)
{
    const size_t most = V == 4 ? LW_ROWS_4 : V == 3 ? LW_ROWS_3 : V == 2 ? LW_ROWS_2 : LW_ROWS_1;
    size_t tiles = (rows + most - 1) / most;
    if (tiles == 0)
        return;
    size_t block = tiles == 1 ? depth : lines == 2 ? LW_FAR_BLOCK : LW_K_BLOCK;
    size_t least = rows / tiles, more = rows % tiles;
    size_t k = 0;
    do {
        size_t part = depth - k < block ? depth - k : block;
        size_t row = 0;
        const char *next = (const char *)(w + (k + part) * V * LW_LANES);
        for (size_t i = 0; i < tiles; i++) {
            size_t count = least + (i < more);
            const bool fetches = lines == 2 || tiles >= LW_FETCH_TILES;
            tile_rows(V, count, w + k * V * LW_LANES, x + row * x_stride + k, x_stride, part, bias,
                      out + row * V * LW_LANES, k == 0 && bias, lines,
                      fetches ? next + i * block * lines * LW_LINE : (const char *)out);
            row += count;
        }
        k += part;
    } while (k < depth);
}

static void affine_panel_1(size_t rows, const float *w, const float *x, size_t x_stride, size_t depth,
                           const float *bias, float *out)
{
    affine_panel(1, 1, rows, w, x, x_stride, depth, bias, out);
}

static void affine_panel_2(size_t rows, const float *w, const float *x, size_t x_stride, size_t depth,
                           const float *bias, float *out)
{
    affine_panel(2, 1, rows, w, x, x_stride, depth, bias, out);
}

static void affine_panel_3(size_t rows, const float *w, const float *x, size_t x_stride, size_t depth,
                           const float *bias, float *out)
{
    affine_panel(3, 1, rows, w, x, x_stride, depth, bias, out);
}

static void affine_panel_4(size_t rows, const float *w, const float *x, size_t x_stride, size_t depth,
                           const float *bias, float *out)
{
    affine_panel(4, 1, rows, w, x, x_stride, depth, bias, out);
}

static void affine_panel_3_far(size_t rows, const float *w, const float *x, size_t x_stride, size_t depth,
                               const float *bias, float *out)
{
    affine_panel(3, 2, rows, w, x, x_stride, depth, bias, out);
}

static void affine_panel_4_far(size_t rows, const float *w, const float *x, size_t x_stride, size_t depth,
                               const float *bias, float *out)
{
    affine_panel(4, 2, rows, w, x, x_stride, depth, bias, out);
}

/* Whether a few tiles of `most` rows each do the work of a large matrix. */
LW_INLINE bool is_far(const struct lw_matrix *m, size_t rows, size_t most)
{
    return rows > most && rows <= LW_FAR_TILES * most &&
           m->depth * m->columns >= LW_FAR_BYTES / (LW_LANES * sizeof(float));
}

/* Width of panel p: the last one may be narrower. */
LW_INLINE size_t panel_width(const struct lw_matrix *m, size_t p)
{
    size_t rest = m->columns - p * m->width;
    return rest < m->width ? rest : m->width;
}

static void affine_from(const struct lw_matrix *m, size_t p, size_t rows, const float *x, size_t x_stride,
                        const float *bias, float *out)
{
    const float *w = m->w + p * m->width * m->depth * LW_LANES;
    switch (panel_width(m, p)) {
    case 1:
        affine_panel_1(rows, w, x, x_stride, m->depth, bias, out);
        break;
    case 2:
        affine_panel_2(rows, w, x, x_stride, m->depth, bias, out);
        break;
    case 3:
        (is_far(m, rows, LW_ROWS_3) ? affine_panel_3_far : affine_panel_3)(rows, w, x, x_stride, m->depth, bias, out);
        break;
    default:
        (is_far(m, rows, LW_ROWS_4) ? affine_panel_4_far : affine_panel_4)(rows, w, x, x_stride, m->depth, bias, out);
    }
}

/* Panel p of matrix m for `rows` rows into out, */
static void affine_one(const struct lw_matrix *m, size_t p, size_t rows, const float *x, size_t x_stride, float *out)
{
    affine_from(m, p, rows, x, x_stride, m->bias + p * m->width * LW_LANES, out);
}

/* or added to it. */
static void affine_more(const struct lw_matrix *m, size_t p, size_t rows, const float *x, size_t x_stride, float *out)
{
    affine_from(m, p, rows, x, x_stride, NULL, out);
}

/* One row through P neighbouring panels of width V at once: out (P, V, L) = bias + x times w. */
LW_INLINE void affine_row(const int V, const int P, const struct lw_matrix *m, size_t panel, const float *x, float *out)
{
    lw_vec acc[LW_MAX_TILE];
    const float *bias = m->bias + panel * V * LW_LANES;
    size_t stride = m->depth * V * LW_LANES;
    LW_UNROLL
    for (int i = 0; i < P * V; i++)
        acc[i] = v_load(bias + i * LW_LANES);
    chain_row(acc, V, P, m->w + panel * stride, stride, x, m->depth);
    LW_UNROLL
    for (int i = 0; i < P * V; i++)
        v_store(out + i * LW_LANES, acc[i]);
}

/* Panels that one row takes together from panel p on: three chains hide the latency, two and two are better than three
 * and one, and a narrower last panel goes alone. */
LW_INLINE size_t row_panels(const struct lw_matrix *m, size_t p, size_t end)
{
    size_t full = m->columns / m->width;
    size_t left = (end < full ? end : full) - (p < full ? p : full);
    return left >= 5 || left == 3 ? 3 : left >= 2 ? 2 : 1;
}

static void affine_row_panels(const struct lw_matrix *m, size_t p, size_t count, const float *x, float *out)
{
    if (count == 1) {
        affine_one(m, p, 1, x, 0, out);
        return;
    }
    switch (m->width * 4 + count) {
    case 1 * 4 + 2:
        affine_row(1, 2, m, p, x, out);
        break;
    case 1 * 4 + 3:
        affine_row(1, 3, m, p, x, out);
        break;
    case 2 * 4 + 2:
        affine_row(2, 2, m, p, x, out);
        break;
    case 2 * 4 + 3:
        affine_row(2, 3, m, p, x, out);
        break;
    case 3 * 4 + 2:
        affine_row(3, 2, m, p, x, out);
        break;
    case 3 * 4 + 3:
        affine_row(3, 3, m, p, x, out);
        break;
    case 4 * 4 + 2:
        affine_row(4, 2, m, p, x, out);
        break;
    default:
        affine_row(4, 3, m, p, x, out);
    }
}

static void kernel_affine(const struct lw_matrix *m, size_t rows, const float *x, size_t x_stride, float *out,
                          size_t begin, size_t end)
{
    for (size_t p = begin, n; p < end; p += n) {
        float *panel = out + p * m->width * rows * LW_LANES;
        n = rows == 1 ? row_panels(m, p, end) : 1;
        if (rows == 1)
            affine_row_panels(m, p, n, x, panel);
        else
            affine_one(m, p, rows, x, x_stride, panel);
    }
}

#define LW_ADD_ROWS 48

/* y += x w: a panel of a wide matrix with the outputs' old values in place of the bias. */
static void kernel_dense_add(const struct lw_matrix *m, size_t rows, const float *x, size_t x_stride, float *y,
                             size_t y_stride, size_t begin, size_t end)
{
    for (size_t p = begin; p < end; p++) {
        const size_t width = panel_width(m, p);
        for (size_t row = 0; row < rows; row += LW_ADD_ROWS) {
            const size_t count = rows - row < LW_ADD_ROWS ? rows - row : LW_ADD_ROWS;
            float part[LW_ADD_ROWS * 4 * LW_LANES];
            for (size_t r = 0; r < count; r++)
                for (size_t v = 0; v < width; v++)
                    v_store(part + (r * width + v) * LW_LANES,
                            v_load(y + (row + r) * y_stride + (p * m->width + v) * LW_LANES));
            affine_more(m, p, count, x + row * x_stride, x_stride, part);
            for (size_t r = 0; r < count; r++)
                for (size_t v = 0; v < width; v++)
                    v_store(y + (row + r) * y_stride + (p * m->width + v) * LW_LANES,
                            v_load(part + (r * width + v) * LW_LANES));
        }
    }
}
