/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A training loop whose loss and update are the program's own: forward, loss, backward, update by hand.
 * A GRU reads T random bits and learns to tell, at each step, whether this bit differs from the one before. The library
 * gives y and the gradients; the loss here is a Huber loss and the update plain gradient descent with momentum.
 *     custom_loop
 * prints the loss as it falls and the share of right answers; exit code 1 when it did not learn.
 */
#include <latchwork.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define T 20
#define B 16
#define UPDATES 400

struct tensor {
    size_t count;
    float *value, *gradient, *speed;
};

static float x[T * B], y[T * B], target[T * B], dy[T * B];

static void make_batch(uint32_t *random)
{
    for (size_t b = 0; b < B; b++) {
        float before = 0.0f;
        for (size_t t = 0; t < T; t++) {
            *random = *random * 1664525u + 1013904223u;
            float bit = (float)(*random >> 31);
            x[t * B + b] = bit;
            target[t * B + b] = bit != before ? 1.0f : -1.0f;
            before = bit;
        }
    }
}

/* Huber's loss: squared near the target, linear far away. Writes its gradient to dy. */
static float huber(size_t *right)
{
    float sum = 0.0f;
    *right = 0;
    for (size_t i = 0; i < T * B; i++) {
        float d = y[i] - target[i];
        sum += fabsf(d) < 1.0f ? 0.5f * d * d : fabsf(d) - 0.5f;
        dy[i] = fmaxf(-1.0f, fminf(1.0f, d)) / (float)(T * B);
        *right += (y[i] > 0.0f) == (target[i] > 0.0f);
    }
    return sum / (float)(T * B);
}

static void descend(struct tensor *tensors, size_t count, float rate)
{
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < tensors[k].count; i++) {
            tensors[k].speed[i] = 0.9f * tensors[k].speed[i] + tensors[k].gradient[i];
            tensors[k].value[i] -= rate * tensors[k].speed[i];
        }
}

static int read_tensors(const lw_model *model, struct tensor *tensors, float **values, float **gradients, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        lw_parameter parameter = {.size = sizeof parameter};
        if (lw_model_parameter(model, k, &parameter))
            return 1;
        tensors[k].count = parameter.count;
        values[k] = tensors[k].value = calloc(parameter.count, sizeof(float));
        gradients[k] = tensors[k].gradient = calloc(parameter.count, sizeof(float));
        tensors[k].speed = calloc(parameter.count, sizeof(float));
        if (!values[k] || !gradients[k] || !tensors[k].speed ||
            lw_model_parameter_get(model, k, values[k], parameter.count))
            return 1;
    }
    return 0;
}

static int train(lw_tape *tape, struct tensor *tensors, float **values, float **gradients, size_t count)
{
    uint32_t random = 1;
    size_t right = 0;
    lw_io io = LW_IO_INIT;
    io.steps = T;
    io.batch = B;
    io.input = x;
    io.output = y;
    lw_gradients back = LW_GRADIENTS_INIT;
    back.output = dy;
    back.parameters = gradients;
    for (int n = 1; n <= UPDATES; n++) {
        make_batch(&random);
        if (lw_tape_forward(tape, (const float *const *)values, NULL, &io))
            return 1;
        float loss = huber(&right);
        if (lw_tape_backward(tape, &back))
            return 1;
        descend(tensors, count, 0.3f);
        if (n % 100 == 0)
            printf("update %3d: loss %.4f, %.1f %% right\n", n, (double)loss, 100.0 * (double)right / (T * B));
    }
    return right < T * B * 95 / 100;
}

int main(void)
{
    enum { MOST = 8 };
    struct tensor tensors[MOST] = {0};
    float *values[MOST], *gradients[MOST];
    lw_model *model = NULL;
    lw_tape *tape = NULL;
    lw_brick bricks[2] = {LW_BRICK_INIT(LW_GRU), LW_BRICK_INIT(LW_DENSE)};
    bricks[0].input = bricks[1].hidden = 1;
    bricks[0].hidden = 16;
    size_t count = 0;
    int bad = lw_model_create(bricks, 2, NULL, &model) || lw_model_initialise(model, 1);
    if (!bad)
        count = lw_model_parameter_count(model);
    bad = bad || count > MOST || read_tensors(model, tensors, values, gradients, count) ||
          lw_tape_create(model, NULL, &tape) || train(tape, tensors, values, gradients, count);
    if (bad)
        fprintf(stderr, "custom_loop: %s\n", *lw_error() ? lw_error() : "it did not learn");
    for (size_t k = 0; k < MOST; k++) {
        free(tensors[k].value);
        free(tensors[k].gradient);
        free(tensors[k].speed);
    }
    lw_tape_destroy(tape);
    lw_model_destroy(model);
    return bad;
}
