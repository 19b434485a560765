/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRU: one step of the hidden units of one vector, in both forms. Formula in latchwork.h, section 11.
 *   reset after:  n = tanh(a_n + r * b_n), one kernel
 *   reset before: n = tanh(a_n + b_n) with b_n from r * h, so all of r must be there first: two kernels
 *   h' = n + z * (h - n), the sum and product in one rounding
 */

LW_INLINE lw_vec gru_blend(lw_vec z, lw_vec n, lw_vec h)
{
    return v_fma(z, v_sub(h, n), n);
}

/* Gates that a probe or training sees: (r, z, n, what r multiplies) of one vector of units. */
LW_INLINE float *gru_gates(const struct lw_step *s, size_t unit, size_t row)
{
    return s->gates + row * s->gates_stride + unit * 4 * LW_LANES;
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
        v_store(gates + 3 * LW_LANES, v_load(b + 2 * LW_LANES));
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
        v_store(gru_gates(s, unit, row) + 3 * LW_LANES, h);
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
    size_t stride;
    const float *h = fed_rows(s, &stride);
    walk_step(s, 3, gru_unit, h, stride, begin, end);
}

static void kernel_gru_reset(const struct lw_step *s, size_t begin, size_t end)
{
    struct lw_step fed = *s; /* r multiplies what is fed back, too */
    fed.h = fed_rows(s, &fed.h_stride);
    walk_step(&fed, 2, gru_reset_unit, fed.h, fed.h_stride, begin, end);
}

static void kernel_gru_candidate(const struct lw_step *s, size_t begin, size_t end)
{
    walk_step(s, 1, gru_candidate_unit, s->c, s->c_stride, begin, end);
}

/*
 * The way back. With dh the gradient of h' and capital letters for the gates' arguments:
 *   dz = dh (h - n),  dn = dh (1 - z),  and dh z goes past the gates;
 *   reset after:  dr = dN q with q = R_n h + d_n, and what q gets is dN r;
 *   reset before: with e = R_n' dN the gradient of r * h, dr = e h, and h gets e r besides.
 * d holds N, R, Z and, with reset after, dN r.
 */
struct gru_back_parts {
    size_t at, count; /* of the unit's floats in a row, and how many of them are units */
    const float *gates;
    lw_vec dn; /* of the candidate's argument */
};

/* What both forms have in common: N and Z, and dh past the gates. */
LW_INLINE struct gru_back_parts gru_back_begin(const struct lw_back *b, size_t unit, size_t row)
{
    const size_t H = b->hidden, at = unit * LW_LANES;
    struct gru_back_parts parts = {.at = at, .count = H - at < LW_LANES ? H - at : LW_LANES};
    parts.gates = b->gates + row * b->gates_stride + unit * 4 * LW_LANES;
    lw_vec z = v_load(parts.gates + LW_LANES), n = v_load(parts.gates + 2 * LW_LANES);
    lw_vec h = v_load(b->h_before + row * b->h_stride + at);
    float *dh_at = b->dh + row * b->dh_stride + at, *d = b->d + row * b->d_stride + at;
    lw_vec dh = v_load(dh_at);
    if (b->dy)
        dh = v_add(dh, v_load(b->dy + row * b->dy_stride + at));
    parts.dn = tanh_gradient(b, v_mul(dh, v_sub(v_set(1.0f), z)), n);
    store_first(d, parts.dn, parts.count);
    store_first(d + 2 * H, sigmoid_gradient(b, v_mul(dh, v_sub(h, n)), z), parts.count);
    v_store(dh_at, v_mul(dh, z));
    return parts;
}

static void kernel_gru_back(const struct lw_back *b, size_t begin, size_t end)
{
    const size_t H = b->hidden;
    for (size_t unit = begin; unit < end; unit++)
        for (size_t row = 0; row < b->rows; row++) {
            struct gru_back_parts p = gru_back_begin(b, unit, row);
            float *d = b->d + row * b->d_stride + p.at;
            lw_vec r = v_load(p.gates), q = v_load(p.gates + 3 * LW_LANES);
            store_first(d + H, sigmoid_gradient(b, v_mul(p.dn, q), r), p.count);
            store_first(d + 3 * H, v_mul(p.dn, r), p.count);
        }
}

static void kernel_gru_candidate_back(const struct lw_back *b, size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++)
        for (size_t row = 0; row < b->rows; row++) {
            struct gru_back_parts p = gru_back_begin(b, unit, row);
            lw_vec h = v_load(p.gates + 3 * LW_LANES);
            v_store(b->aux + row * b->aux_stride + p.at, v_mul(v_load(p.gates), h));
        }
}

static void kernel_gru_reset_back(const struct lw_back *b, size_t begin, size_t end)
{
    const size_t H = b->hidden;
    for (size_t unit = begin; unit < end; unit++)
        for (size_t row = 0; row < b->rows; row++) {
            const size_t at = unit * LW_LANES, n = H - at < LW_LANES ? H - at : LW_LANES;
            const float *gates = b->gates + row * b->gates_stride + unit * 4 * LW_LANES;
            lw_vec r = v_load(gates), h = v_load(gates + 3 * LW_LANES), e = v_load(b->drh + row * b->drh_stride + at);
            float *dh_at = b->dh + row * b->dh_stride + at;
            store_first(b->d + row * b->d_stride + H + at, sigmoid_gradient(b, v_mul(e, h), r), n);
            v_store(dh_at, v_fma(e, r, v_load(dh_at)));
        }
}
