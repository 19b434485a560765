/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Optimisers and learning rates: against PyTorch's parameters after 1, 2 and 50 updates and its schedulers' rates,
 * saved and restored, with tensors left out, with numbers that are none, and refusals.
 */
#include "training.h"

#include "random.h"

enum { TENSORS = 4, UPDATES = 50, MOST = 128 };

struct golden_case {
    const char *name;
    lw_optimiser_options options;
};

static lw_optimiser_options options_of(lw_optimiser_kind kind)
{
    return (lw_optimiser_options)LW_OPTIMISER_OPTIONS_INIT(kind);
}

static size_t make_cases(struct golden_case *c)
{
    size_t n = 0;
#define ADD(name_, kind_, change)                   \
    do {                                            \
        lw_optimiser_options o = options_of(kind_); \
        change;                                     \
        c[n++] = (struct golden_case){name_, o};    \
    } while (0)
    ADD("sgd", LW_SGD, (void)0);
    ADD("sgd_decay", LW_SGD, o.decay = 0.1);
    ADD("sgd_momentum", LW_SGD, o.momentum = 0.9);
    ADD("sgd_nesterov", LW_SGD, (o.momentum = 0.8, o.options = LW_NESTEROV, o.decay = 0.01));
    ADD("sgd_norm", LW_SGD, (o.momentum = 0.9, o.clip_norm = 1.5));
    ADD("sgd_value", LW_SGD, o.clip_value = 0.25);
    ADD("rmsprop", LW_RMSPROP, (void)0);
    ADD("rmsprop_momentum", LW_RMSPROP, (o.alpha = 0.9, o.epsilon = 1e-6, o.momentum = 0.5, o.decay = 0.02));
    ADD("adam", LW_ADAM, (void)0);
    ADD("adam_decay", LW_ADAM, (o.beta1 = 0.8, o.beta2 = 0.95, o.epsilon = 1e-5, o.decay = 0.1));
    ADD("adam_norm", LW_ADAM, o.clip_norm = 1.0);
    ADD("adam_value", LW_ADAM, o.clip_value = 0.5);
    ADD("adamw", LW_ADAMW, (void)0);
    ADD("adamw_decay", LW_ADAMW,
        (o.beta1 = 0.85, o.beta2 = 0.99, o.decay = 0.3, o.clip_norm = 2.0, o.clip_value = 0.3));
#undef ADD
    return n;
}

/* The golden run: start, gradients and rates, and the parameters as they move. */
struct run {
    lw_tensors *file;
    size_t counts[TENSORS], total;
    float *start, *gradients;
    double *rates;
    float parameters[MOST];
    float *parts[TENSORS];
};

static void run_open(struct run *r)
{
    lw_tensor tensor;
    r->file = golden_open("optimisers");
    int64_t *counts = golden_read(r->file, "counts", NULL, sizeof(int64_t), false, &tensor);
    cr_assert_eq(tensor.count, TENSORS);
    r->total = 0;
    for (size_t i = 0; i < TENSORS; i++) {
        r->parts[i] = r->parameters + r->total;
        r->counts[i] = (size_t)counts[i];
        r->total += r->counts[i];
    }
    free(counts);
    r->start = golden_read(r->file, "start", NULL, sizeof(float), false, &tensor);
    cr_assert(tensor.count == r->total && r->total <= MOST);
    r->gradients = golden_read(r->file, "gradients", NULL, sizeof(float), false, &tensor);
    cr_assert_eq(tensor.count, UPDATES * r->total);
    r->rates = golden_read(r->file, "rates", NULL, sizeof(double), false, &tensor);
    cr_assert_eq(tensor.count, UPDATES);
}

static void run_close(struct run *r)
{
    free(r->start);
    free(r->gradients);
    free(r->rates);
    lw_tensors_close(r->file);
}

static void run_start(struct run *r)
{
    memcpy(r->parameters, r->start, r->total * sizeof(float));
}

static double run_step(struct run *r, lw_optimiser *optimiser, size_t update)
{
    const float *gradients[TENSORS];
    double norm;
    for (size_t i = 0, offset = 0; i < TENSORS; offset += r->counts[i++])
        gradients[i] = r->gradients + update * r->total + offset;
    OK(lw_optimiser_step(optimiser, r->parts, gradients, r->rates[update], &norm));
    return norm;
}

Test(optimisers, golden)
{
    struct golden_case cases[32];
    struct run r;
    run_open(&r);
    for (size_t i = 0, n = make_cases(cases); i < n; i++) {
        lw_optimiser *optimiser;
        lw_tensor tensor;
        OK(lw_optimiser_create(&cases[i].options, r.counts, TENSORS, &optimiser));
        float *after = golden_read(r.file, cases[i].name, "after", sizeof(float), false, &tensor);
        double *norms = golden_read(r.file, cases[i].name, "norms", sizeof(double), true, &tensor);
        cr_assert_eq(norms != NULL, cases[i].options.clip_norm > 0.0);
        run_start(&r);
        for (size_t update = 0, seen = 0; update < UPDATES; update++) {
            double norm = run_step(&r, optimiser, update);
            if (norms)
                expect_near("norm", update, norm, norms[update], 1e-6, 0.0);
            if (update > 1 && update < UPDATES - 1)
                continue;
            for (size_t k = 0; k < r.total; k++)
                expect_near(cases[i].name, update * r.total + k, (double)r.parameters[k],
                            (double)after[seen * r.total + k], 2e-6, 1e-7);
            seen++;
        }
        cr_expect_eq(lw_optimiser_updates(optimiser), UPDATES);
        free(after);
        free(norms);
        lw_optimiser_destroy(optimiser);
    }
    run_close(&r);
}

/* Saved after any number of updates and restored into a fresh optimiser: the same bits as without a break. */
Test(optimisers, restored_goes_on_with_the_same_bits)
{
    struct golden_case cases[32];
    struct run r;
    run_open(&r);
    for (size_t i = 0, n = make_cases(cases); i < n; i++)
        for (size_t cut = 0; cut < 30; cut += 7) {
            lw_optimiser *whole, *first, *second;
            float want[MOST];
            OK(lw_optimiser_create(&cases[i].options, r.counts, TENSORS, &whole));
            OK(lw_optimiser_create(&cases[i].options, r.counts, TENSORS, &first));
            OK(lw_optimiser_create(&cases[i].options, r.counts, TENSORS, &second));
            run_start(&r);
            for (size_t update = 0; update < 30; update++)
                run_step(&r, whole, update);
            memcpy(want, r.parameters, sizeof want);
            run_start(&r);
            for (size_t update = 0; update < cut; update++)
                run_step(&r, first, update);
            const size_t bytes = lw_optimiser_bytes(first);
            unsigned char *saved = malloc(bytes), *again = malloc(bytes);
            OK(lw_optimiser_save(first, saved, bytes));
            OK(lw_optimiser_restore(second, saved, bytes));
            OK(lw_optimiser_save(second, again, bytes));
            cr_expect(memcmp(saved, again, bytes) == 0);
            cr_expect_eq(lw_optimiser_updates(second), cut);
            for (size_t update = cut; update < 30; update++)
                run_step(&r, second, update);
            cr_expect(memcmp(want, r.parameters, r.total * sizeof(float)) == 0, "%s, cut at %zu", cases[i].name, cut);
            free(saved);
            free(again);
            lw_optimiser_destroy(whole);
            lw_optimiser_destroy(first);
            lw_optimiser_destroy(second);
        }
    run_close(&r);
}

/* A tensor is updated with the same bits alone, among others, and cut in two: nothing is summed across elements. */
Test(optimisers, elements_do_not_see_each_other)
{
    enum { N = 77 };
    struct golden_case cases[32];
    rng random = {.seed = 5};
    float start[N], gradients[3][N];
    rng_fill(&random, start, N, 2.0f);
    rng_fill(&random, gradients[0], 3 * N, 2.0f);
    for (size_t i = 0, n = make_cases(cases); i < n; i++) {
        cases[i].options.clip_norm = 0.0;
        float whole[N];
        for (size_t cut = 0; cut < N; cut += 19) {
            float p[N];
            lw_optimiser *optimiser;
            memcpy(p, start, sizeof p);
            const size_t counts[2] = {cut ? cut : N, N - cut};
            OK(lw_optimiser_create(&cases[i].options, counts, cut ? 2 : 1, &optimiser));
            for (size_t update = 0; update < 3; update++)
                OK(lw_optimiser_step(optimiser, (float *const[]){p, p + cut},
                                     (const float *const[]){gradients[update], gradients[update] + cut}, 0.01, NULL));
            if (!cut)
                memcpy(whole, p, sizeof p);
            cr_expect(memcmp(whole, p, sizeof p) == 0, "%s cut at %zu", cases[i].name, cut);
            lw_optimiser_destroy(optimiser);
        }
    }
}

/* A tensor without a gradient keeps its parameters, its moments and its number of updates. */
Test(optimisers, a_tensor_can_be_left_out)
{
    const lw_optimiser_options options = LW_OPTIMISER_OPTIONS_INIT(LW_ADAMW);
    const float g[2] = {0.5f, -2.0f};
    float both[2] = {1.0f, 1.0f}, alone = 1.0f;
    lw_optimiser *two, *one;
    OK(lw_optimiser_create(&options, (const size_t[]){1, 1}, 2, &two));
    OK(lw_optimiser_create(&options, (const size_t[]){1}, 1, &one));
    float *const parameters[2] = {&both[0], &both[1]};
    double norm;
    OK(lw_optimiser_step(two, parameters, (const float *const[]){NULL, &g[1]}, 0.1, &norm));
    cr_expect(both[0] == 1.0f && both[1] != 1.0f && norm == 2.0);
    OK(lw_optimiser_step(two, (float *const[]){&both[0], NULL}, (const float *const[]){&g[0], NULL}, 0.1, &norm));
    OK(lw_optimiser_step(one, (float *const[]){&alone}, (const float *const[]){&g[0]}, 0.1, NULL));
    cr_expect(memcmp(&both[0], &alone, sizeof alone) == 0 && norm == 0.5);
    cr_expect_eq(lw_optimiser_updates(two), 2);
    lw_optimiser_destroy(two);
    lw_optimiser_destroy(one);
}

Test(optimisers, norm)
{
    enum { N = 10000 };
    static float g[N], p[N];
    rng random = {.seed = 3};
    rng_fill(&random, g, N, 1.0f);
    const lw_optimiser_options options = LW_OPTIMISER_OPTIONS_INIT(LW_SGD);
    lw_optimiser *optimiser;
    OK(lw_optimiser_create(&options, (const size_t[]){N}, 1, &optimiser));
    double want = 0.0, norm, again;
    for (size_t k = 0; k < N; k++)
        want += (double)g[k] * (double)g[k];
    OK(lw_optimiser_norm(optimiser, (const float *const[]){g}, &norm));
    expect_near("norm", 0, norm, sqrt(want), 1e-13, 0.0);
    OK(lw_optimiser_step(optimiser, (float *const[]){p}, (const float *const[]){g}, 0.0, &again));
    cr_expect(memcmp(&norm, &again, sizeof norm) == 0);
    for (size_t k = 0; k < N; k++)
        cr_expect(p[k] == 0.0f);
    g[0] = 3e38f; /* its square is beyond f32 */
    OK(lw_optimiser_norm(optimiser, (const float *const[]){g}, &norm));
    expect_near("norm", 1, norm, (double)3e38f, 1e-12, 0.0);
    lw_optimiser_destroy(optimiser);
}

/* A NaN stays where it is without clipping by norm, which carries it into all; clipping by value lets it through. */
Test(optimisers, numbers_that_are_none)
{
    lw_optimiser_options options = LW_OPTIMISER_OPTIONS_INIT(LW_ADAM);
    float g[3] = {1.0f, NAN, INFINITY};
    double norm;
    for (int clip = 0; clip < 3; clip++) {
        float p[3] = {1.0f, 1.0f, 1.0f};
        lw_optimiser *optimiser;
        options.clip_norm = clip == 1;
        options.clip_value = clip == 2;
        OK(lw_optimiser_create(&options, (const size_t[]){3}, 1, &optimiser));
        OK(lw_optimiser_step(optimiser, (float *const[]){p}, (const float *const[]){g}, 0.1, &norm));
        cr_expect(isnan(norm));
        cr_expect_eq(isnan(p[0]) != 0, clip == 1);
        cr_expect(isnan(p[1]));
        cr_expect_eq(isnan(p[2]) != 0, clip != 2, "infinity / infinity, or 1 when clipped");
        lw_optimiser_destroy(optimiser);
    }
    g[1] = 0.0f;
    lw_optimiser *optimiser;
    options.clip_value = 0.0;
    OK(lw_optimiser_create(&options, (const size_t[]){3}, 1, &optimiser));
    OK(lw_optimiser_norm(optimiser, (const float *const[]){g}, &norm));
    cr_expect(isinf(norm));
    lw_optimiser_destroy(optimiser);
}

Test(optimisers, damaged_bytes)
{
    struct golden_case cases[32];
    struct run r;
    run_open(&r);
    for (size_t i = 0, n = make_cases(cases); i < n; i++) {
        lw_optimiser *optimiser;
        OK(lw_optimiser_create(&cases[i].options, r.counts, TENSORS, &optimiser));
        run_start(&r);
        for (size_t update = 0; update < 3; update++)
            run_step(&r, optimiser, update);
        const size_t bytes = lw_optimiser_bytes(optimiser), head = 48 + 16 * TENSORS;
        unsigned char *saved = malloc(bytes), *bad = malloc(bytes), *after = malloc(bytes);
        OK(lw_optimiser_save(optimiser, saved, bytes));
        for (size_t bit = 0; bit < 8 * bytes; bit++) {
            memcpy(bad, saved, bytes);
            bad[bit / 8] ^= (unsigned char)(1u << bit % 8);
            lw_status status = lw_optimiser_restore(optimiser, bad, bytes);
            OK(lw_optimiser_save(optimiser, after, bytes));
            cr_assert(memcmp(after, status ? saved : bad, bytes) == 0, "bit %zu: neither as before nor restored", bit);
            /* In the header all is checked but the numbers of updates, which may be any that fit each other. */
            bool counter = (bit / 8 >= 40 && bit / 8 < 48) || (bit / 8 >= 48 && bit / 8 < head && bit / 8 % 16 >= 8);
            cr_assert(status || counter || bit / 8 >= head, "%s: bit %zu went unseen", cases[i].name, bit);
            OK(lw_optimiser_restore(optimiser, saved, bytes));
        }
        REFUSED(lw_optimiser_restore(optimiser, saved, bytes - 1), LW_ERR_SHAPE, "bytes, but a saved optimiser");
        REFUSED(lw_optimiser_restore(optimiser, saved, bytes + 1), LW_ERR_SHAPE, "bytes, but a saved optimiser");
        REFUSED(lw_optimiser_restore(optimiser, saved, 0), LW_ERR_SHAPE, "0 bytes");
        free(saved);
        free(bad);
        free(after);
        lw_optimiser_destroy(optimiser);
    }
    run_close(&r);
}

Test(optimisers, saved_state_of_another)
{
    lw_optimiser *adam, *adamw, *other;
    unsigned char bytes[1024];
    lw_optimiser_options options = LW_OPTIMISER_OPTIONS_INIT(LW_ADAM);
    OK(lw_optimiser_create(&options, (const size_t[]){3, 4}, 2, &adam));
    OK(lw_optimiser_create(&options, (const size_t[]){4, 3}, 2, &other));
    options.kind = LW_ADAMW;
    OK(lw_optimiser_create(&options, (const size_t[]){3, 4}, 2, &adamw));
    const size_t count = lw_optimiser_bytes(adam);
    OK(lw_optimiser_save(adam, bytes, sizeof bytes));
    REFUSED(lw_optimiser_restore(adamw, bytes, count), LW_ERR_SHAPE, "of kind 3 with moments 3, this one 4");
    REFUSED(lw_optimiser_restore(other, bytes, count), LW_ERR_SHAPE, "tensor 0 of the saved optimiser has 3 floats");
    REFUSED(lw_optimiser_save(adam, bytes, count - 1), LW_ERR_SHAPE, "expected");
    bytes[0] ^= 1;
    REFUSED(lw_optimiser_restore(adam, bytes, count), LW_ERR_FORMAT, "do not begin with LWOPTIM1");
    bytes[0] ^= 1;
    bytes[48 + 8] = 1;
    REFUSED(lw_optimiser_restore(adam, bytes, count), LW_ERR_FORMAT, "tensor 0 has 1 updates of 0");
    bytes[48 + 8] = 0;
    bytes[count - 1] = 0xbf;
    REFUSED(lw_optimiser_restore(adam, bytes, count), LW_ERR_FORMAT, "mean square 3 of tensor 1 is negative");
    lw_optimiser_destroy(adam);
    lw_optimiser_destroy(adamw);
    lw_optimiser_destroy(other);
}

Test(optimisers, refused_options)
{
    const size_t counts[2] = {3, 4};
    lw_optimiser *optimiser = NULL;
    lw_optimiser_options bad = LW_OPTIMISER_OPTIONS_INIT(LW_ADAM);
#define BAD(kind_, field, value, fragment)                                                    \
    do {                                                                                      \
        bad = options_of(kind_);                                                              \
        bad.field = (value);                                                                  \
        REFUSED(lw_optimiser_create(&bad, counts, 2, &optimiser), LW_ERR_ARGUMENT, fragment); \
    } while (0)
    REFUSED(lw_optimiser_create(NULL, counts, 2, &optimiser), LW_ERR_ARGUMENT, "options is NULL");
    REFUSED(lw_optimiser_create(&bad, NULL, 2, &optimiser), LW_ERR_ARGUMENT, "counts is NULL");
    REFUSED(lw_optimiser_create(&bad, counts, 2, NULL), LW_ERR_ARGUMENT, "optimiser is NULL");
    REFUSED(lw_optimiser_create(&bad, counts, 0, &optimiser), LW_ERR_ARGUMENT, "an optimiser of 0 tensors");
    REFUSED(lw_optimiser_create(&bad, NULL, 0, &optimiser), LW_ERR_ARGUMENT, "an optimiser of 0 tensors");
    REFUSED(lw_optimiser_create(&bad, counts, SIZE_MAX, &optimiser), LW_ERR_ARGUMENT, "tensors, expected");
    REFUSED(lw_optimiser_create(&bad, (const size_t[]){3, 0}, 2, &optimiser), LW_ERR_ARGUMENT, "counts[1] is 0");
    REFUSED(lw_optimiser_create(&bad, (const size_t[]){3, SIZE_MAX}, 2, &optimiser), LW_ERR_SHAPE, "overflows");
    REFUSED(lw_optimiser_create(&bad, (const size_t[]){SIZE_MAX / 17, SIZE_MAX / 17}, 2, &optimiser), LW_ERR_SHAPE,
            "overflows at tensor 1");
    REFUSED(lw_optimiser_create(&bad, (const size_t[]){SIZE_MAX / 32, 1}, 2, &optimiser), LW_ERR_MEMORY,
            "out of memory");
    BAD(LW_ADAM, size, 4, "options->size is 4");
    BAD(LW_ADAM, kind, 0, "optimiser kind 0");
    BAD(LW_ADAM, kind, 5, "optimiser kind 5, expected LW_SGD");
    BAD(LW_ADAM, beta1, 1.0, "beta1 is 1, expected at least 0 and less than 1");
    BAD(LW_ADAM, beta2, -0.1, "beta2 is -0.1");
    BAD(LW_ADAMW, beta2, (double)NAN, "beta2 is");
    BAD(LW_ADAM, epsilon, 0.0, "epsilon is 0, expected more than 0");
    BAD(LW_RMSPROP, epsilon, (double)INFINITY, "epsilon is inf");
    BAD(LW_RMSPROP, alpha, 1.5, "alpha is 1.5");
    BAD(LW_RMSPROP, momentum, -1.0, "momentum is -1");
    BAD(LW_SGD, momentum, 1.0, "momentum is 1,");
    BAD(LW_SGD, decay, -1.0, "decay is -1");
    BAD(LW_SGD, clip_norm, -1.0, "clip_norm is -1");
    BAD(LW_SGD, clip_value, (double)INFINITY, "clip_value is inf");
    BAD(LW_SGD, options, LW_NESTEROV, "LW_NESTEROV is for LW_SGD with a momentum");
    BAD(LW_ADAM, options, LW_NESTEROV, "LW_NESTEROV is for LW_SGD");
    BAD(LW_SGD, options, 2, "options is 0x2");
#undef BAD
    cr_expect_null(optimiser);
    /* What belongs to other kinds is ignored. */
    bad = options_of(LW_SGD);
    bad.epsilon = -1.0;
    bad.beta1 = bad.beta2 = bad.alpha = 7.0;
    OK(lw_optimiser_create(&bad, counts, 2, &optimiser));
    lw_optimiser_destroy(optimiser);
    lw_optimiser_destroy(NULL);
}

Test(optimisers, refused_steps)
{
    const lw_optimiser_options options = LW_OPTIMISER_OPTIONS_INIT(LW_ADAM);
    float p[8] = {1, 2, 3, 4, 5, 6, 7, 8}, g[8] = {1, 1, 1, 1, 1, 1, 1, 1}, before[8];
    double norm = -1.0;
    lw_optimiser *optimiser;
    unsigned char saved[1024], after[1024];
    OK(lw_optimiser_create(&options, (const size_t[]){3, 4}, 2, &optimiser));
    float *const parameters[2] = {p, p + 3};
    const float *const gradients[2] = {g, g + 3};
    OK(lw_optimiser_step(optimiser, parameters, gradients, 0.1, NULL));
    const size_t bytes = lw_optimiser_bytes(optimiser);
    OK(lw_optimiser_save(optimiser, saved, sizeof saved));
    memcpy(before, p, sizeof p);
    REFUSED(lw_optimiser_step(NULL, parameters, gradients, 0.1, &norm), LW_ERR_ARGUMENT, "optimiser is NULL");
    REFUSED(lw_optimiser_step(optimiser, NULL, gradients, 0.1, &norm), LW_ERR_ARGUMENT, "parameters is NULL");
    REFUSED(lw_optimiser_step(optimiser, parameters, NULL, 0.1, &norm), LW_ERR_ARGUMENT, "gradients is NULL");
    REFUSED(lw_optimiser_step(optimiser, parameters, gradients, -0.1, &norm), LW_ERR_ARGUMENT, "rate is -0.1");
    REFUSED(lw_optimiser_step(optimiser, parameters, gradients, (double)NAN, &norm), LW_ERR_ARGUMENT, "rate is");
    REFUSED(lw_optimiser_step(optimiser, parameters, gradients, (double)INFINITY, &norm), LW_ERR_ARGUMENT, "inf");
    REFUSED(lw_optimiser_step(optimiser, (float *const[]){p, NULL}, gradients, 0.1, &norm), LW_ERR_ARGUMENT,
            "parameters[1] is NULL, but its gradient is not");
    REFUSED(lw_optimiser_step(optimiser, parameters, (const float *const[]){g, p + 4}, 0.1, &norm), LW_ERR_ARGUMENT,
            "parameters[1] and its gradient overlap");
    REFUSED(lw_optimiser_norm(NULL, gradients, &norm), LW_ERR_ARGUMENT, "optimiser is NULL");
    REFUSED(lw_optimiser_norm(optimiser, NULL, &norm), LW_ERR_ARGUMENT, "gradients is NULL");
    REFUSED(lw_optimiser_norm(optimiser, gradients, NULL), LW_ERR_ARGUMENT, "norm is NULL");
    REFUSED(lw_optimiser_save(NULL, saved, bytes), LW_ERR_ARGUMENT, "optimiser is NULL");
    REFUSED(lw_optimiser_save(optimiser, NULL, bytes), LW_ERR_ARGUMENT, "buffer is NULL");
    REFUSED(lw_optimiser_restore(NULL, saved, bytes), LW_ERR_ARGUMENT, "optimiser is NULL");
    REFUSED(lw_optimiser_restore(optimiser, NULL, bytes), LW_ERR_ARGUMENT, "buffer is NULL");
    OK(lw_optimiser_save(optimiser, after, sizeof after));
    cr_expect(memcmp(saved, after, bytes) == 0 && memcmp(before, p, sizeof p) == 0 && norm == -1.0);
    cr_expect(p[7] == 8.0f, "a float behind the parameters was written");
    cr_expect(lw_optimiser_updates(NULL) == 0 && lw_optimiser_bytes(NULL) == 0);
    lw_optimiser_destroy(optimiser);
}

/* ---- learning rates ---- */

static double rate_at(const lw_learning_rate *schedule, uint64_t update)
{
    double rate = -1.0;
    OK(lw_learning_rate_at(schedule, update, &rate));
    return rate;
}

Test(rates, golden)
{
    static const struct {
        const char *name;
        lw_rate_kind kind;
        uint64_t warm_up;
    } cases[] = {
        {"constant", LW_RATE_CONSTANT, 0},      {"step", LW_RATE_STEP, 0},      {"cosine", LW_RATE_COSINE, 0},
        {"constant_warm", LW_RATE_CONSTANT, 5}, {"step_warm", LW_RATE_STEP, 3}, {"cosine_warm", LW_RATE_COSINE, 6},
    };
    lw_tensors *file = golden_open("rates");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        lw_learning_rate schedule = LW_LEARNING_RATE_INIT(0.03);
        schedule.kind = cases[i].kind;
        schedule.warm_up = cases[i].warm_up;
        schedule.every = 4;
        schedule.gamma = 0.7;
        schedule.updates = 20;
        schedule.floor = 0.002;
        lw_tensor tensor;
        double *rates = golden_read(file, cases[i].name, NULL, sizeof(double), false, &tensor);
        cr_assert_gt(tensor.count, 5);
        for (size_t n = 0; n < tensor.count; n++)
            expect_near(cases[i].name, n, rate_at(&schedule, n), rates[n], 1e-13, 0.0);
        free(rates);
    }
    lw_tensors_close(file);
}

Test(rates, borders)
{
    lw_learning_rate schedule = LW_LEARNING_RATE_INIT(0.5);
    cr_expect(rate_at(&schedule, 0) == 0.5 && rate_at(&schedule, UINT64_MAX) == 0.5);
    schedule.warm_up = 1;
    cr_expect(rate_at(&schedule, 0) == 0.25 && rate_at(&schedule, 1) == 0.5);
    schedule.warm_up = UINT64_MAX;
    cr_expect(rate_at(&schedule, 0) > 0.0 && rate_at(&schedule, UINT64_MAX - 1) <= 0.5);
    schedule.warm_up = 0;
    schedule.kind = LW_RATE_COSINE;
    schedule.updates = 8;
    schedule.floor = 0.1;
    cr_expect(rate_at(&schedule, 0) == 0.5 && rate_at(&schedule, 8) == 0.1 && rate_at(&schedule, UINT64_MAX) == 0.1);
    expect_near("the middle", 0, rate_at(&schedule, 4), 0.3, 1e-15, 0.0);
    for (uint64_t n = 0; n < 8; n++) {
        cr_expect(rate_at(&schedule, n) > rate_at(&schedule, n + 1));
        expect_near("cosine", n, rate_at(&schedule, n), 0.1 + 0.2 * (1.0 + cos(acos(-1.0) * (double)n / 8.0)), 1e-15,
                    0.0);
    }
    schedule.updates = 1;
    cr_expect(rate_at(&schedule, 0) == 0.5 && rate_at(&schedule, 1) == 0.1);
    schedule.floor = 0.5;
    cr_expect(rate_at(&schedule, 0) == 0.5);
    schedule.kind = LW_RATE_STEP;
    schedule.every = 3;
    schedule.gamma = 0.5;
    cr_expect(rate_at(&schedule, 2) == 0.5 && rate_at(&schedule, 3) == 0.25 && rate_at(&schedule, 8) == 0.125);
    cr_expect_eq(rate_at(&schedule, UINT64_MAX), 0.0);
    schedule.gamma = 0.0;
    cr_expect(rate_at(&schedule, 2) == 0.5 && rate_at(&schedule, 3) == 0.0);
    schedule.gamma = 1.0;
    cr_expect_eq(rate_at(&schedule, UINT64_MAX), 0.5);
}

Test(rates, refusals)
{
    const lw_learning_rate good = LW_LEARNING_RATE_INIT(0.5);
    lw_learning_rate bad;
    double rate = -1.0;
#define BAD(kind_, field, value, fragment)                                       \
    do {                                                                         \
        bad = good;                                                              \
        bad.kind = kind_;                                                        \
        bad.field = (value);                                                     \
        REFUSED(lw_learning_rate_at(&bad, 0, &rate), LW_ERR_ARGUMENT, fragment); \
    } while (0)
    REFUSED(lw_learning_rate_at(NULL, 0, &rate), LW_ERR_ARGUMENT, "schedule is NULL");
    REFUSED(lw_learning_rate_at(&good, 0, NULL), LW_ERR_ARGUMENT, "rate is NULL");
    BAD(LW_RATE_CONSTANT, size, 1, "schedule->size is 1");
    BAD(LW_RATE_CONSTANT, kind, 3, "learning rate kind 3");
    BAD(LW_RATE_CONSTANT, kind, -1, "learning rate kind -1");
    BAD(LW_RATE_CONSTANT, rate, -1.0, "rate is -1");
    BAD(LW_RATE_CONSTANT, rate, (double)NAN, "rate is");
    BAD(LW_RATE_CONSTANT, rate, (double)INFINITY, "rate is inf");
    BAD(LW_RATE_STEP, every, 0, "every is 0");
    BAD(LW_RATE_STEP, gamma, 1.5, "gamma is 1.5, expected 0 to 1");
    BAD(LW_RATE_STEP, gamma, (double)NAN, "gamma is");
    BAD(LW_RATE_COSINE, updates, 0, "updates is 0");
    BAD(LW_RATE_COSINE, floor, 0.6, "floor is 0.6, expected 0 to the rate, 0.5");
    BAD(LW_RATE_COSINE, floor, (double)NAN, "floor is");
#undef BAD
    cr_expect_eq(rate, -1.0);
}
