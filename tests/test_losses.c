/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses: against PyTorch's numbers, with strides, lengths and masks, at the ends of the range of f32, and
 * refusals. A gradient is compared at rtol 1e-6; an element of it that is nearly nothing to 1e-12 of the largest
 * that it could be.
 */
#include "training.h"

#include "random.h"

#include <float.h>

struct golden_case {
    const char *name;
    lw_loss_kind kind;
};

static const struct golden_case cases[] = {
    {"squared", LW_SQUARED_ERROR},
    {"squared_one", LW_SQUARED_ERROR},
    {"squared_ragged", LW_SQUARED_ERROR},
    {"squared_masked", LW_SQUARED_ERROR},
    {"classes", LW_CROSS_ENTROPY},
    {"classes_two", LW_CROSS_ENTROPY},
    {"classes_wide", LW_CROSS_ENTROPY},
    {"classes_ignore", LW_CROSS_ENTROPY},
    {"classes_ragged", LW_CROSS_ENTROPY},
    {"classes_sure", LW_CROSS_ENTROPY},
    {"binary", LW_BINARY_CROSS_ENTROPY},
    {"binary_soft", LW_BINARY_CROSS_ENTROPY},
    {"binary_ragged", LW_BINARY_CROSS_ENTROPY},
    {"binary_sure", LW_BINARY_CROSS_ENTROPY},
};

/* A loss with the arrays that it owns. */
struct loaded {
    lw_loss loss;
    float *output, *target, *gradient;
    int32_t *classes;
    size_t *lengths;
    unsigned char *mask;
    size_t elements;
};

static struct loaded load(const lw_tensors *file, const struct golden_case *c)
{
    struct loaded l = {.loss = LW_LOSS_INIT(c->kind)};
    lw_tensor shape, other;
    l.output = golden_read(file, c->name, "output", sizeof(float), false, &shape);
    l.target = golden_read(file, c->name, "target", sizeof(float), c->kind == LW_CROSS_ENTROPY, &other);
    l.classes = golden_read(file, c->name, "classes", sizeof(int32_t), c->kind != LW_CROSS_ENTROPY, &other);
    l.mask = golden_read(file, c->name, "mask", 1, true, &other);
    int64_t *lengths = golden_read(file, c->name, "lengths", sizeof(int64_t), true, &other);
    cr_assert_eq(shape.rank, 3);
    l.elements = shape.count;
    l.gradient = malloc(l.elements * sizeof *l.gradient);
    for (size_t k = 0; k < l.elements; k++)
        l.gradient[k] = 77.0f; /* so that what is left out is seen */
    if (lengths) {
        l.lengths = malloc(shape.shape[1] * sizeof *l.lengths);
        for (size_t b = 0; b < shape.shape[1]; b++)
            l.lengths[b] = (size_t)lengths[b];
        free(lengths);
    }
    l.loss.steps = shape.shape[0];
    l.loss.batch = shape.shape[1];
    l.loss.width = shape.shape[2];
    l.loss.output = l.output;
    l.loss.target = l.target;
    l.loss.classes = l.classes;
    l.loss.lengths = l.lengths;
    l.loss.mask = l.mask;
    l.loss.gradient = l.gradient;
    return l;
}

static void release(struct loaded *l)
{
    free(l->output);
    free(l->target);
    free(l->gradient);
    free(l->classes);
    free(l->lengths);
    free(l->mask);
}

static double number(const lw_tensors *file, const char *group, const char *name)
{
    lw_tensor tensor;
    cr_assert(golden_find(file, group, name, &tensor) && tensor.bytes == 8, "%s.%s", group, name);
    double real;
    int64_t whole;
    memcpy(&real, tensor.data, 8);
    memcpy(&whole, tensor.data, 8);
    return strcmp(tensor.type, "I64") == 0 ? (double)whole : real;
}

Test(losses, golden)
{
    lw_tensors *file = golden_open("losses");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct golden_case *c = &cases[i];
        struct loaded l = load(file, c);
        lw_tensor tensor;
        double *gradient = golden_read(file, c->name, "gradient", sizeof(double), false, &tensor);
        lw_score score = LW_SCORE_INIT;
        OK(lw_loss_evaluate(&l.loss, &score));
        expect_near(c->name, 0, score.loss, number(file, c->name, "loss"), 1e-12, 0.0);
        cr_expect_eq((double)score.counted, number(file, c->name, "counted"), "%s: %zu counted", c->name,
                     score.counted);
        cr_expect_eq((double)score.correct, number(file, c->name, "correct"), "%s: %zu correct", c->name,
                     score.correct);
        for (size_t k = 0; k < l.elements; k++)
            expect_near(c->name, k, (double)l.gradient[k], gradient[k], 1e-6, 1e-12 / (double)score.counted);
        /* Without a gradient the loss has the same bits. */
        lw_score again = LW_SCORE_INIT;
        l.loss.gradient = NULL;
        OK(lw_loss_evaluate(&l.loss, &again));
        cr_expect(memcmp(&again, &score, sizeof score) == 0, "%s", c->name);
        free(gradient);
        release(&l);
    }
    lw_tensors_close(file);
}

/* Batch first, and rows with gaps: the same bits at other places, the gaps untouched. */
Test(losses, strides_change_no_bit)
{
    lw_tensors *file = golden_open("losses");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct loaded l = load(file, &cases[i]);
        const size_t T_ = l.loss.steps, B_ = l.loss.batch, O_ = l.loss.width, row = O_ + 3, span = T_ * row + 5;
        const bool classes = l.classes != NULL;
        lw_score score = LW_SCORE_INIT, other = LW_SCORE_INIT;
        OK(lw_loss_evaluate(&l.loss, &score));
        float *output = calloc(B_ * span, sizeof *output), *target = calloc(B_ * span, sizeof *target);
        float *gradient = malloc(B_ * span * sizeof *gradient);
        int32_t *moved = calloc(B_ * T_, sizeof *moved);
        for (size_t k = 0; k < B_ * span; k++)
            gradient[k] = -5.0f;
        for (size_t t = 0; t < T_; t++)
            for (size_t b = 0; b < B_; b++) {
                memcpy(output + b * span + t * row, l.output + (t * B_ + b) * O_, O_ * sizeof *output);
                if (classes)
                    moved[b * T_ + t] = l.classes[t * B_ + b];
                else
                    memcpy(target + b * span + t * row, l.target + (t * B_ + b) * O_, O_ * sizeof *target);
            }
        lw_loss strided = l.loss;
        strided.output = output;
        strided.target = classes ? NULL : target;
        strided.classes = classes ? moved : NULL;
        strided.gradient = gradient;
        strided.output_step_stride = strided.gradient_step_stride = row;
        strided.output_row_stride = strided.gradient_row_stride = span;
        strided.target_step_stride = classes ? 1 : row;
        strided.target_row_stride = classes ? T_ : span;
        OK(lw_loss_evaluate(&strided, &other));
        cr_expect(memcmp(&score, &other, sizeof score) == 0, "%s", cases[i].name);
        for (size_t b = 0; b < B_; b++)
            for (size_t k = 0; k < span; k++) {
                size_t t = k / row, o = k % row;
                float want = t < T_ && o < O_ ? l.gradient[(t * B_ + b) * O_ + o] : -5.0f;
                cr_assert(memcmp(&gradient[b * span + k], &want, sizeof want) == 0, "%s: %zu %zu", cases[i].name, b, k);
            }
        free(output);
        free(target);
        free(gradient);
        free(moved);
        release(&l);
    }
    lw_tensors_close(file);
}

/* Two halves of a sequence with the whole's divisor: the same gradients, and losses that add up. */
Test(losses, parts_make_the_whole)
{
    lw_tensors *file = golden_open("losses");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct loaded l = load(file, &cases[i]);
        if (l.lengths || l.loss.steps < 2) {
            release(&l);
            continue;
        }
        lw_score whole = LW_SCORE_INIT, part = LW_SCORE_INIT;
        OK(lw_loss_evaluate(&l.loss, &whole));
        float *gradient = malloc(l.elements * sizeof *gradient);
        const size_t cut = l.loss.steps / 2, row = l.loss.batch * l.loss.width;
        double loss = 0.0;
        size_t counted = 0, correct = 0;
        for (int half = 0; half < 2; half++) {
            lw_loss p = l.loss;
            const size_t first = half ? cut : 0;
            p.steps = half ? l.loss.steps - cut : cut;
            p.output += first * row;
            p.target = p.target ? p.target + first * row : NULL;
            p.classes = p.classes ? p.classes + first * p.batch : NULL;
            p.gradient = gradient + first * row;
            p.divisor = (double)whole.counted;
            OK(lw_loss_evaluate(&p, &part));
            loss += part.loss;
            counted += part.counted;
            correct += part.correct;
        }
        expect_near(cases[i].name, 0, loss, whole.loss, 1e-14, 0.0);
        cr_expect_eq(counted, whole.counted);
        cr_expect_eq(correct, whole.correct);
        cr_expect(memcmp(gradient, l.gradient, l.elements * sizeof *gradient) == 0, "%s", cases[i].name);
        free(gradient);
        release(&l);
    }
    lw_tensors_close(file);
}

/* A divisor is any positive number, below 1 too. */
Test(losses, small_divisor)
{
    const float output[4] = {1, 2, 3, 4}, target[4] = {0};
    float one[4], half[4];
    lw_loss loss = {.size = sizeof loss};
    lw_score score = LW_SCORE_INIT;
    loss.kind = LW_SQUARED_ERROR;
    loss.steps = 2, loss.batch = 1, loss.width = 2;
    loss.output = output, loss.target = target;
    loss.divisor = 1.0, loss.gradient = one;
    OK(lw_loss_evaluate(&loss, &score));
    const double whole = score.loss;
    loss.divisor = 0.5, loss.gradient = half;
    OK(lw_loss_evaluate(&loss, &score));
    cr_expect_eq(score.loss, 2.0 * whole);
    for (size_t i = 0; i < 4; i++)
        cr_expect_eq(half[i], 2.0f * one[i]);
}

/* A gradient that overlaps no more than the target's last number, or begins right behind it. */
Test(losses, overlap_to_the_last_number)
{
    const float output[16] = {0};
    float target[48] = {0};
    lw_loss loss = {.size = sizeof loss};
    lw_score score = LW_SCORE_INIT;
    loss.kind = LW_SQUARED_ERROR;
    loss.steps = 4, loss.batch = 2, loss.width = 2;
    loss.output = output, loss.target = target + 16;
    loss.gradient = target + 31;
    REFUSED(lw_loss_evaluate(&loss, &score), LW_ERR_ARGUMENT, "overlaps");
    loss.gradient = target + 1;
    REFUSED(lw_loss_evaluate(&loss, &score), LW_ERR_ARGUMENT, "overlaps");
    loss.gradient = target + 32;
    OK(lw_loss_evaluate(&loss, &score));
    loss.gradient = target;
    OK(lw_loss_evaluate(&loss, &score));
}

/* One row of logits. */
static lw_score cross_entropy(const float *y, size_t width, int32_t class, float *dy)
{
    lw_loss loss = LW_LOSS_INIT(LW_CROSS_ENTROPY);
    lw_score score = LW_SCORE_INIT;
    loss.steps = loss.batch = 1;
    loss.width = width;
    loss.output = y;
    loss.classes = &class;
    loss.gradient = dy;
    OK(lw_loss_evaluate(&loss, &score));
    return score;
}

static lw_score binary(float y, float t, float *dy)
{
    lw_loss loss = LW_LOSS_INIT(LW_BINARY_CROSS_ENTROPY);
    lw_score score = LW_SCORE_INIT;
    loss.steps = loss.batch = loss.width = 1;
    loss.output = &y;
    loss.target = &t;
    loss.gradient = dy;
    OK(lw_loss_evaluate(&loss, &score));
    return score;
}

Test(losses, extreme_logits_of_classes)
{
    float dy[3];
    lw_score score = cross_entropy((float[]){1e4f, -1e4f, 0.0f}, 3, 0, dy);
    cr_expect(score.loss == 0.0 && score.correct == 1);
    cr_expect(dy[0] == 0.0f && dy[1] == 0.0f && dy[2] == 0.0f);
    score = cross_entropy((float[]){1e4f, -1e4f, 0.0f}, 3, 1, dy);
    cr_expect(score.loss == 2e4 && score.correct == 0);
    cr_expect(dy[0] == 1.0f && dy[1] == -1.0f && dy[2] == 0.0f);
    score = cross_entropy((float[]){FLT_MAX, -FLT_MAX, FLT_MAX}, 3, 2, dy);
    expect_near("two largest", 0, score.loss, log(2.0), 1e-15, 0.0);
    cr_expect(dy[0] == 0.5f && dy[1] == 0.0f && dy[2] == -0.5f);
    cr_expect_eq(score.correct, 0, "the first of equals is the largest");
    score = cross_entropy((float[]){0.0f, -INFINITY, 0.0f}, 3, 0, dy);
    expect_near("-inf is no class", 0, score.loss, log(2.0), 1e-15, 0.0);
    cr_expect(dy[0] == -0.5f && dy[1] == 0.0f && dy[2] == 0.5f && score.correct == 1);
    score = cross_entropy((float[]){0.0f, -INFINITY, 0.0f}, 3, 1, dy);
    cr_expect(isinf(score.loss) && score.loss > 0.0 && dy[1] == -1.0f);
    const float bad[][3] = {{0, NAN, 1}, {NAN, NAN, NAN}, {INFINITY, 0, 1}, {-INFINITY, -INFINITY, -INFINITY}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        score = cross_entropy(bad[i], 3, 2, dy);
        cr_expect(isnan(score.loss) && isnan(dy[0]) && isnan(dy[1]) && isnan(dy[2]), "row %zu", i);
        cr_expect_eq(score.correct, 0);
    }
    score = cross_entropy((float[]){-3.0f}, 1, 0, dy);
    cr_expect(score.loss == 0.0 && dy[0] == 0.0f && score.correct == 1);
}

Test(losses, extreme_logits_of_bits)
{
    float dy;
    cr_expect(binary(1e4f, 1.0f, &dy).loss < 1e-300 && dy == 0.0f);
    cr_expect(binary(1e4f, 0.0f, &dy).loss == 1e4 && dy == 1.0f);
    cr_expect(binary(-1e4f, 1.0f, &dy).loss == 1e4 && dy == -1.0f);
    cr_expect(binary(-1e4f, 0.0f, &dy).loss < 1e-300 && dy == 0.0f);
    cr_expect(binary(-FLT_MAX, 1.0f, &dy).loss == (double)FLT_MAX && dy == -1.0f);
    expect_near("nothing", 0, binary(0.0f, 1.0f, &dy).loss, log(2.0), 1e-15, 0.0);
    cr_expect(dy == -0.5f);
    /* Far out the loss and the gradient are e^-|y|, to all digits. */
    expect_near("sure", 0, binary(60.0f, 1.0f, &dy).loss, exp(-60.0), 1e-14, 0.0);
    expect_near("sure", 1, (double)dy, -exp(-60.0), 1e-7, 0.0);
    expect_near("sure", 2, binary(-60.0f, 0.0f, &dy).loss, exp(-60.0), 1e-14, 0.0);
    expect_near("sure", 3, (double)dy, exp(-60.0), 1e-7, 0.0);
    cr_expect(binary(INFINITY, 0.0f, &dy).loss == INFINITY && dy == 1.0f);
    cr_expect(binary(-INFINITY, 1.0f, &dy).loss == INFINITY && dy == -1.0f);
    cr_expect(isnan(binary(INFINITY, 1.0f, &dy).loss) && dy == 0.0f);
    cr_expect(isnan(binary(NAN, 1.0f, &dy).loss) && isnan(dy));
    cr_expect(isnan(binary(1.0f, NAN, &dy).loss) && isnan(dy));
    cr_expect_eq(binary(NAN, 0.0f, &dy).correct, 0);
    cr_expect_eq(binary(0.5f, 1.0f, &dy).correct, 1);
    cr_expect_eq(binary(-0.5f, 1.0f, &dy).correct, 0);
    cr_expect_eq(binary(-0.5f, 0.0f, &dy).correct, 1);
}

/* A NaN in a row that does not count does not matter; in one that does it reaches the loss and its own gradient
 * only. */
Test(losses, nan_stays_in_its_row)
{
    float y[4] = {1.0f, NAN, 2.0f, 3.0f}, t[4] = {0}, dy[4];
    lw_loss loss = LW_LOSS_INIT(LW_SQUARED_ERROR);
    lw_score score = LW_SCORE_INIT;
    loss.steps = loss.batch = 2;
    loss.width = 1;
    loss.output = y;
    loss.target = t;
    loss.gradient = dy;
    OK(lw_loss_evaluate(&loss, &score));
    cr_expect(isnan(score.loss) && dy[0] == 0.5f && isnan(dy[1]) && dy[2] == 1.0f && dy[3] == 1.5f);
    loss.mask = (const unsigned char[]){1, 0, 2, 1};
    OK(lw_loss_evaluate(&loss, &score));
    expect_near("masked", 0, score.loss, 14.0 / 3.0, 1e-15, 0.0);
    cr_expect(score.counted == 3 && dy[1] == 0.0f && dy[2] == (float)(4.0 / 3.0));
    loss.mask = NULL;
    loss.lengths = (const size_t[]){2, 0};
    OK(lw_loss_evaluate(&loss, &score));
    cr_expect(score.loss == 2.5 && score.counted == 2 && dy[1] == 0.0f && dy[3] == 0.0f);
}

Test(losses, nothing_counts)
{
    float y[2] = {1.0f, 2.0f}, dy[2] = {9.0f, 9.0f};
    int32_t classes[1] = {-100};
    lw_loss loss = LW_LOSS_INIT(LW_CROSS_ENTROPY);
    lw_score score = LW_SCORE_INIT;
    loss.steps = loss.batch = 1;
    loss.width = 2;
    loss.output = y;
    loss.classes = classes;
    loss.gradient = dy;
    OK(lw_loss_evaluate(&loss, &score));
    cr_expect(score.loss == 0.0 && score.counted == 0 && score.correct == 0 && dy[0] == 0.0f && dy[1] == 0.0f);
    classes[0] = 1;
    loss.ignore = 1;
    OK(lw_loss_evaluate(&loss, &score));
    cr_expect_eq(score.counted, 0);
    loss.steps = 0;
    loss.output = NULL;
    loss.classes = NULL;
    OK(lw_loss_evaluate(&loss, &score));
    cr_expect(score.loss == 0.0 && score.counted == 0);
}

/* The documented order of a sum: eight partial sums, added pairwise. */
Test(losses, order_of_sums)
{
    rng r = {.seed = 11};
    for (size_t width = 1; width <= 200; width += width < 20 ? 1 : 23) {
        float y[200], t[200];
        rng_fill(&r, y, width, 3.0f);
        rng_fill(&r, t, width, 3.0f);
        double s[8] = {0};
        for (size_t k = 0; k < width; k++) {
            double d = (double)y[k] - (double)t[k];
            s[k % 8] += d * d;
        }
        double want = (((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))) / (double)width;
        lw_loss loss = LW_LOSS_INIT(LW_SQUARED_ERROR);
        lw_score score = LW_SCORE_INIT;
        loss.steps = loss.batch = 1;
        loss.width = width;
        loss.output = y;
        loss.target = t;
        OK(lw_loss_evaluate(&loss, &score));
        cr_expect(memcmp(&score.loss, &want, sizeof want) == 0, "width %zu", width);
    }
}

Test(losses, refusals)
{
    float y[12] = {0}, t[12] = {0}, dy[12];
    int32_t classes[6] = {0, 1, 0, 1, 0, 1};
    size_t lengths[3] = {2, 1, 3};
    for (size_t k = 0; k < 12; k++)
        dy[k] = 5.0f;
    lw_score score = LW_SCORE_INIT, before;
    score.loss = 3.0;
    before = score;
    lw_loss good = LW_LOSS_INIT(LW_CROSS_ENTROPY), bad;
    good.steps = 2;
    good.batch = 3;
    good.width = 2;
    good.output = y;
    good.classes = classes;
    good.gradient = dy;
#define BAD(field, value) bad = good, bad.field = (value)
    REFUSED(lw_loss_evaluate(NULL, &score), LW_ERR_ARGUMENT, "loss is NULL");
    REFUSED(lw_loss_evaluate(&good, NULL), LW_ERR_ARGUMENT, "score is NULL");
    REFUSED(lw_loss_evaluate(&good, &(lw_score){0}), LW_ERR_ARGUMENT, "score->size is 0");
    BAD(size, 8);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "loss->size is 8");
    BAD(kind, 0);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "loss kind 0, expected LW_SQUARED_ERROR");
    BAD(kind, 4);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "loss kind 4");
    BAD(kind, LW_SQUARED_ERROR);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "classes must be NULL");
    BAD(target, t);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "target must be NULL");
    BAD(width, 0);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "rows of 0 outputs");
    BAD(width, LW_SIZE_MAX + 1);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "expected 1 to 16777216");
    BAD(output, NULL);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "output is NULL");
    BAD(classes, NULL);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "classes is NULL");
    BAD(steps, SIZE_MAX / 2);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_SHAPE, "overflow");
    BAD(batch, SIZE_MAX);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_SHAPE, "overflow");
    BAD(gradient_row_stride, 1);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_SHAPE, "gradient: strides of 0 (step) and 1 (row)");
    BAD(output_step_stride, 5);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_SHAPE, "output: strides of 5 (step)");
    BAD(target_step_stride, SIZE_MAX);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_SHAPE, "classes: ");
    BAD(divisor, -1.0);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "divisor is -1");
    BAD(divisor, (double)NAN);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "divisor is");
    BAD(divisor, (double)INFINITY);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "divisor is inf");
    BAD(gradient, y + 1);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_ARGUMENT, "overlaps");
    BAD(lengths, lengths);
    REFUSED(lw_loss_evaluate(&bad, &score), LW_ERR_SHAPE, "lengths[2] is 3, expected 0 to 2");
    classes[4] = 2;
    REFUSED(lw_loss_evaluate(&good, &score), LW_ERR_ARGUMENT, "the class at step 1 of row 1 is 2, expected 0 to 1");
    classes[4] = -1;
    REFUSED(lw_loss_evaluate(&good, &score), LW_ERR_ARGUMENT, "is -1, expected 0 to 1, or -100 to ignore");
    classes[4] = INT32_MIN;
    REFUSED(lw_loss_evaluate(&good, &score), LW_ERR_ARGUMENT, "is -2147483648");
    cr_expect(memcmp(&score, &before, sizeof score) == 0, "a refused call changed the score");
    for (size_t k = 0; k < 12; k++)
        cr_expect(dy[k] == 5.0f, "a refused call changed the gradient");
    /* What does not count is not looked at. */
    good.lengths = (const size_t[]){2, 1, 2};
    OK(lw_loss_evaluate(&good, &score));
    cr_expect_eq(score.counted, 5);
}
