/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initialisers: orthogonality, bounds and deviations, the distribution of chrono biases, the default's bits, seeds,
 * and refusals that leave the model as it was.
 */
#include "training.h"

static lw_initialise_options options_with(lw_initial input, lw_initial recurrent, lw_initial bias, size_t chrono)
{
    lw_initialise_options options = LW_INITIALISE_OPTIONS_INIT;
    options.seed = 7;
    options.input = input;
    options.recurrent = recurrent;
    options.bias = bias;
    options.chrono = chrono;
    return options;
}

/* A copy of a parameter. The caller frees it. */
static float *values_of(const lw_model *model, const char *name, lw_parameter *parameter)
{
    size_t index;
    *parameter = (lw_parameter){.size = sizeof *parameter};
    OK(lw_model_parameter_find(model, name, &index));
    OK(lw_model_parameter(model, index, parameter));
    float *values = malloc(parameter->count * sizeof *values);
    OK(lw_model_parameter_get(model, index, values, parameter->count));
    return values;
}

/* All parameters one after the other. */
static float *all_values(const lw_model *model, size_t *count)
{
    float *all = NULL;
    *count = 0;
    for (size_t i = 0; i < lw_model_parameter_count(model); i++) {
        lw_parameter p = {.size = sizeof p};
        OK(lw_model_parameter(model, i, &p));
        all = realloc(all, (*count + p.count) * sizeof *all);
        OK(lw_model_parameter_get(model, i, all + *count, p.count));
        *count += p.count;
    }
    return all;
}

static lw_model *make(const lw_brick *bricks, size_t count)
{
    lw_model *model;
    OK(lw_model_create(bricks, count, NULL, &model));
    return model;
}

/* Every cell, option and direction that has tensors of its own. */
static lw_model *make_all(void)
{
    lw_brick bricks[] = {
        BRICK(LW_LSTM, .input = 5, .hidden = 12, .name = "a", .direction = LW_BIDIRECTIONAL, .projection = 7,
              .options = LW_PEEPHOLES, .forget_bias = 1.5f),
        BRICK(LW_LSTM, .hidden = 9, .name = "b", .options = LW_COUPLED),
        BRICK(LW_GRU, .hidden = 8, .name = "c", .direction = LW_REVERSE),
        BRICK(LW_RNN, .hidden = 17, .name = "d"),
        BRICK(LW_DENSE, .hidden = 4, .name = "e"),
    };
    bricks[0].layers = 2;
    return make(bricks, COUNT_OF(bricks));
}

Test(initialise, default_has_the_bits_of_the_plain_one)
{
    lw_model *plain = make_all(), *with = make_all();
    size_t n, m;
    const lw_initialise_options options = options_with(LW_INITIAL_UNIFORM, LW_INITIAL_UNIFORM, LW_INITIAL_UNIFORM, 0);
    OK(lw_model_initialise(plain, 7));
    OK(lw_model_initialise_with(with, &options));
    float *a = all_values(plain, &n), *b = all_values(with, &m);
    cr_expect(n == m && memcmp(a, b, n * sizeof *a) == 0);
    free(a);
    free(b);
    lw_model_destroy(plain);
    lw_model_destroy(with);
}

/* The rows or columns of each gate, whichever are fewer, are orthonormal. */
static void expect_orthogonal(const lw_model *model, const char *name, size_t gates)
{
    lw_parameter p;
    float *values = values_of(model, name, &p);
    const size_t rows = p.shape[0] / gates, columns = p.shape[1], n = rows < columns ? rows : columns;
    for (size_t gate = 0; gate < gates; gate++) {
        const float *w = values + gate * rows * columns;
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j <= i; j++) {
                double dot = 0.0;
                for (size_t k = 0; k < (rows < columns ? columns : rows); k++)
                    dot += rows < columns ? (double)w[i * columns + k] * (double)w[j * columns + k]
                                          : (double)w[k * columns + i] * (double)w[k * columns + j];
                cr_assert(fabs(dot - (i == j)) < 2e-7, "%s gate %zu: %zu . %zu is %g", name, gate, i, j, dot);
            }
        for (size_t other = 0; other < gate; other++)
            cr_assert(memcmp(w, values + other * rows * columns, rows * columns * sizeof *w) != 0);
    }
    free(values);
}

Test(initialise, orthogonal)
{
    const lw_initialise_options options = options_with(LW_INITIAL_ORTHOGONAL, LW_INITIAL_ORTHOGONAL, LW_INITIAL_ZERO,
                                                       0);
    lw_model *model = make_all();
    OK(lw_model_initialise_with(model, &options));
    expect_orthogonal(model, "a.weight_hh_l0", 4);
    expect_orthogonal(model, "a.weight_hh_l1_reverse", 4);
    expect_orthogonal(model, "a.weight_ih_l0", 4);
    expect_orthogonal(model, "a.weight_ih_l1", 4);
    expect_orthogonal(model, "a.weight_hr_l0", 1);
    expect_orthogonal(model, "b.weight_hh_l0", 3);
    expect_orthogonal(model, "c.weight_hh_l0_reverse", 3);
    expect_orthogonal(model, "d.weight_hh_l0", 1);
    expect_orthogonal(model, "d.weight_ih_l0", 1);
    expect_orthogonal(model, "e.weight", 1);
    lw_model_destroy(model);
    for (size_t hidden = 1; hidden <= 130; hidden += hidden < 5 ? 1 : 31) {
        const lw_brick brick = BRICK(LW_RNN, .input = 1, .hidden = hidden, .name = "r");
        model = make(&brick, 1);
        OK(lw_model_initialise_with(model, &options));
        expect_orthogonal(model, "r.weight_hh_l0", 1);
        lw_model_destroy(model);
    }
}

/* Uniform over rotations: over many seeds each element of a 3 x 3 matrix has mean 0 and mean square 1/3, and both
 * signs of the determinant come up. 4 standard errors. */
Test(initialise, orthogonal_has_no_favourite)
{
    enum { SEEDS = 4000 };
    double sum[9] = {0}, square[9] = {0};
    size_t positive = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const lw_brick brick = BRICK(LW_RNN, .input = 1, .hidden = 3, .name = "r");
        lw_initialise_options options = options_with(LW_INITIAL_UNIFORM, LW_INITIAL_ORTHOGONAL, LW_INITIAL_UNIFORM, 0);
        options.seed = seed;
        lw_model *model = make(&brick, 1);
        OK(lw_model_initialise_with(model, &options));
        lw_parameter p;
        float *w = values_of(model, "r.weight_hh_l0", &p);
        for (size_t k = 0; k < 9; k++) {
            sum[k] += (double)w[k];
            square[k] += (double)w[k] * (double)w[k];
        }
        double determinant = w[0] * (w[4] * w[8] - w[5] * w[7]) - w[1] * (w[3] * w[8] - w[5] * w[6]) +
                             w[2] * (w[3] * w[7] - w[4] * w[6]);
        positive += determinant > 0.0;
        free(w);
        lw_model_destroy(model);
    }
    for (size_t k = 0; k < 9; k++) {
        cr_expect(fabs(sum[k] / SEEDS) < 4.0 * sqrt(1.0 / 3.0 / SEEDS), "element %zu: mean %g", k, sum[k] / SEEDS);
        cr_expect(fabs(square[k] / SEEDS - 1.0 / 3.0) < 4.0 * sqrt(4.0 / 45.0 / SEEDS), "element %zu: %g", k,
                  square[k] / SEEDS);
    }
    cr_expect(fabs((double)positive / SEEDS - 0.5) < 4.0 * 0.5 / sqrt(SEEDS), "%zu", positive);
}

/* Mean and mean square of a tensor, within 4 standard errors, and its bound. */
static void expect_spread(const lw_model *model, const char *name, double deviation, double bound, double kurtosis)
{
    lw_parameter p;
    float *values = values_of(model, name, &p);
    double sum = 0.0, square = 0.0, most = 0.0, count = (double)p.count, variance = deviation * deviation;
    for (size_t k = 0; k < p.count; k++) {
        sum += (double)values[k];
        square += (double)values[k] * (double)values[k];
        most = fmax(most, fabs((double)values[k]));
    }
    cr_expect(fabs(sum / count) < 4.0 * deviation / sqrt(count), "%s: mean %g", name, sum / count);
    cr_expect(fabs(square / count - variance) < 4.0 * variance * sqrt((kurtosis - 1.0) / count),
              "%s: variance %g, not %g", name, square / count, variance);
    cr_expect(most <= bound, "%s: %g is beyond %g", name, most, bound);
    cr_expect(most > 2.0 * deviation * (kurtosis > 2.0) || most > 0.99 * bound);
    free(values);
}

Test(initialise, xavier)
{
    const lw_brick bricks[] = {BRICK(LW_LSTM, .input = 40, .hidden = 64, .name = "a"),
                               BRICK(LW_DENSE, .hidden = 30, .name = "b")};
    lw_model *model = make(bricks, 2);
    lw_initialise_options options = options_with(LW_INITIAL_XAVIER_UNIFORM, LW_INITIAL_XAVIER_NORMAL, LW_INITIAL_ZERO,
                                                 0);
    OK(lw_model_initialise_with(model, &options));
    expect_spread(model, "a.weight_ih_l0", sqrt(2.0 / 104), sqrt(6.0 / 104) * 1.000001, 1.8);
    expect_spread(model, "a.weight_hh_l0", sqrt(2.0 / 128), sqrt(2.0 / 128) * 6.0, 3.0);
    expect_spread(model, "b.weight", sqrt(2.0 / 94), sqrt(6.0 / 94) * 1.000001, 1.8);
    options.input = LW_INITIAL_XAVIER_NORMAL;
    options.recurrent = LW_INITIAL_XAVIER_UNIFORM;
    OK(lw_model_initialise_with(model, &options));
    expect_spread(model, "a.weight_ih_l0", sqrt(2.0 / 104), sqrt(2.0 / 104) * 6.0, 3.0);
    expect_spread(model, "a.weight_hh_l0", sqrt(2.0 / 128), sqrt(6.0 / 128) * 1.000001, 1.8);
    lw_model_destroy(model);
}

Test(initialise, zero_biases_but_the_forget_gate)
{
    lw_model *model = make_all();
    const lw_initialise_options options = options_with(LW_INITIAL_UNIFORM, LW_INITIAL_UNIFORM, LW_INITIAL_ZERO, 0);
    OK(lw_model_initialise_with(model, &options));
    size_t seen = 0;
    for (size_t i = 0; i < lw_model_parameter_count(model); i++) {
        lw_parameter p = {.size = sizeof p};
        OK(lw_model_parameter(model, i, &p));
        if (!strstr(p.name, "bias") && !strstr(p.name, "peephole"))
            continue;
        float *values = values_of(model, p.name, &p);
        const bool forget = strncmp(p.name, "a.bias_ih", 9) == 0;
        for (size_t k = 0; k < p.count; k++)
            cr_expect_eq(values[k], forget && k >= 12 && k < 24 ? 1.5f : 0.0f, "%s[%zu]", p.name, k);
        free(values);
        seen++;
    }
    cr_expect_eq(seen, 4 * 3 + 2 + 2 + 2 + 1);
    lw_model_destroy(model);
}

/* log u with u uniform in [1, most]: within the range, and its mean within 4 standard errors. */
static void expect_chrono(const float *biases, size_t count, double sign, double most)
{
    double sum = 0.0;
    for (size_t k = 0; k < count; k++) {
        double u = exp(sign * (double)biases[k]);
        cr_assert(u > 1.0 - 1e-6 && u < most * (1.0 + 1e-6), "unit %zu: %g", k, u);
        sum += u;
    }
    cr_expect(fabs(sum / (double)count - 0.5 * (1.0 + most)) < 4.0 * (most - 1.0) / sqrt(12.0 * (double)count), "%g",
              sum / (double)count);
}

Test(initialise, chrono)
{
    enum { H = 200 };
    const lw_brick bricks[] = {BRICK(LW_LSTM, .input = 2, .hidden = H, .name = "full", .forget_bias = 3.0f),
                               BRICK(LW_LSTM, .hidden = H, .name = "coupled", .options = LW_COUPLED),
                               BRICK(LW_GRU, .hidden = H, .name = "gru"), BRICK(LW_RNN, .hidden = H, .name = "rnn")};
    for (int zero = 0; zero < 2; zero++) {
        lw_model *model = make(bricks, COUNT_OF(bricks)), *plain = make(bricks, COUNT_OF(bricks));
        const lw_initialise_options options = options_with(LW_INITIAL_UNIFORM, LW_INITIAL_UNIFORM,
                                                           zero ? LW_INITIAL_ZERO : LW_INITIAL_UNIFORM, 1000);
        OK(lw_model_initialise_with(model, &options));
        OK(lw_model_initialise(plain, options.seed));
        lw_parameter p;
        float *full = values_of(model, "full.bias_ih_l0", &p), *second = values_of(model, "full.bias_hh_l0", &p);
        expect_chrono(full + H, H, 1.0, 999.0);
        for (size_t k = 0; k < H; k++)
            cr_expect(full[k] == -full[H + k] && second[k] == 0.0f && second[H + k] == 0.0f);
        float *before = values_of(plain, "full.bias_ih_l0", &p);
        for (size_t k = 2 * H; k < 4 * H; k++)
            cr_expect_eq(full[k], zero ? 0.0f : before[k]);
        float *coupled = values_of(model, "coupled.bias_ih_l0", &p), *gru = values_of(model, "gru.bias_ih_l0", &p);
        expect_chrono(coupled, H, -1.0, 999.0);
        expect_chrono(gru + H, H, 1.0, 999.0);
        float *gru_before = values_of(plain, "gru.bias_ih_l0", &p);
        for (size_t k = 0; k < H; k++)
            cr_expect_eq(gru[k], zero ? 0.0f : gru_before[k]);
        float *rnn = values_of(model, "rnn.bias_ih_l0", &p), *rnn_before = values_of(plain, "rnn.bias_ih_l0", &p);
        for (size_t k = 0; k < H; k++)
            cr_expect_eq(rnn[k], zero ? 0.0f : rnn_before[k]);
        cr_expect(memcmp(gru + H, full + H, H * sizeof *gru) != 0, "each brick draws its own");
        float *owned[] = {full, second, before, coupled, gru, gru_before, rnn, rnn_before};
        for (size_t k = 0; k < COUNT_OF(owned); k++)
            free(owned[k]);
        lw_model_destroy(model);
        lw_model_destroy(plain);
    }
    const lw_brick brick = BRICK(LW_LSTM, .input = 2, .hidden = 3, .name = "x");
    lw_model *model = make(&brick, 1);
    const lw_initialise_options options = options_with(LW_INITIAL_UNIFORM, LW_INITIAL_UNIFORM, LW_INITIAL_UNIFORM, 2);
    OK(lw_model_initialise_with(model, &options));
    lw_parameter p;
    float *bias = values_of(model, "x.bias_ih_l0", &p);
    for (size_t k = 0; k < 6; k++)
        cr_expect_eq(bias[k], 0.0f);
    free(bias);
    lw_model_destroy(model);
}

Test(initialise, seeds)
{
    const lw_initial rules[] = {LW_INITIAL_UNIFORM, LW_INITIAL_XAVIER_UNIFORM, LW_INITIAL_XAVIER_NORMAL,
                                LW_INITIAL_ORTHOGONAL};
    float *first = NULL;
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        lw_model *a = make_all(), *b = make_all(), *c = make_all();
        lw_initialise_options options = options_with(rules[i], rules[i], LW_INITIAL_UNIFORM, 50);
        size_t n;
        OK(lw_model_initialise_with(a, &options));
        OK(lw_model_initialise_with(b, &options));
        OK(lw_model_initialise_with(b, &options));
        options.seed++;
        OK(lw_model_initialise_with(c, &options));
        float *x = all_values(a, &n), *y = all_values(b, &n), *z = all_values(c, &n);
        size_t same = 0;
        for (size_t k = 0; k < n; k++) {
            cr_assert(isfinite(x[k]));
            same += x[k] == z[k];
        }
        cr_expect(memcmp(x, y, n * sizeof *x) == 0, "rule %zu", i);
        /* Those that chrono sets to 0 are the same; hardly any other. */
        cr_expect(same <= 4 * 24 + 9 + 8 + 3, "rule %zu: %zu of %zu the same for another seed", i, same, n);
        cr_expect(!first || memcmp(first, x, n * sizeof *x) != 0);
        free(first);
        first = x;
        free(y);
        free(z);
        lw_model_destroy(a);
        lw_model_destroy(b);
        lw_model_destroy(c);
    }
    free(first);
}

Test(initialise, refusals)
{
    const lw_brick bricks[] = {BRICK(LW_DENSE, .input = 3, .hidden = 4, .name = "d", .options = LW_NO_BIAS),
                               BRICK(LW_GRU, .hidden = 4, .name = "g", .options = LW_NO_BIAS)};
    lw_model *model = make(bricks, 2);
    lw_context *context;
    size_t n;
    const lw_initialise_options good = options_with(LW_INITIAL_UNIFORM, LW_INITIAL_ORTHOGONAL, LW_INITIAL_ZERO, 0);
    OK(lw_model_initialise_with(model, &good));
    float *before = all_values(model, &n);
    lw_initialise_options bad;
#define BAD(field, value, fragment)                                                \
    do {                                                                           \
        bad = good;                                                                \
        bad.seed = 99;                                                             \
        bad.field = (value);                                                       \
        REFUSED(lw_model_initialise_with(model, &bad), LW_ERR_ARGUMENT, fragment); \
    } while (0)
    REFUSED(lw_model_initialise_with(NULL, &good), LW_ERR_ARGUMENT, "model is NULL");
    REFUSED(lw_model_initialise_with(model, NULL), LW_ERR_ARGUMENT, "options is NULL");
    BAD(size, 3, "options->size is 3");
    BAD(input, LW_INITIAL_ZERO, "input is 1, expected LW_INITIAL_UNIFORM");
    BAD(input, 5, "input is 5");
    BAD(recurrent, LW_INITIAL_ZERO, "recurrent is 1");
    BAD(recurrent, -1, "recurrent is -1");
    BAD(bias, LW_INITIAL_ORTHOGONAL, "bias is 4, expected LW_INITIAL_UNIFORM or LW_INITIAL_ZERO");
    BAD(chrono, 1, "chrono is 1, expected 0 (off) or 2");
    BAD(chrono, 100, "chrono is 100, but brick 1 (g) has no biases");
#undef BAD
    OK(lw_context_create(model, NULL, &context));
    bad = good;
    bad.seed = 99;
    REFUSED(lw_model_initialise_with(model, &bad), LW_ERR_BUSY, "stay as they are");
    float *after = all_values(model, &n);
    cr_expect(memcmp(before, after, n * sizeof *before) == 0);
    free(before);
    free(after);
    lw_context_destroy(context);
    lw_model_destroy(model);
}
