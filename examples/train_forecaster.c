/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trains a forecaster: an LSTM reads 40 values of a series and gives the next one.
 *     train_forecaster [MODEL.safetensors]    prints its error beside that of persistence (the last value once more)
 */
#include <latchwork.h>
#include <math.h>
#include <stdio.h>

enum { T = 40, B = 32, LENGTH = 2000, UPDATES = 600, PARAMETERS = 6, ROOM = 4096 };
static float series[LENGTH], x[T * B], y[B], target[B], dy[B], values[PARAMETERS][ROOM], slopes[PARAMETERS][ROOM];

int main(int argc, char **argv)
{
    lw_brick bricks[2] = {LW_BRICK_INIT(LW_LSTM), LW_BRICK_INIT(LW_DENSE)};
    bricks[0].input = bricks[1].hidden = 1, bricks[0].hidden = 24;
    lw_optimiser_options options = LW_OPTIMISER_OPTIONS_INIT(LW_ADAM);
    options.clip_norm = 1.0;
    lw_model *model,
        *trained; /* a model is immutable while a tape holds it: the trained weights go into a second one */
    lw_tape *tape;
    lw_optimiser *optimiser;
    float *p[PARAMETERS], *dp[PARAMETERS], naive = 0.0f;
    size_t counts[PARAMETERS];
    int bad = lw_model_create(bricks, 2, NULL, &model) || lw_model_initialise(model, 1);
    for (size_t i = 0; !bad && i < PARAMETERS; i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        bad = lw_model_parameter(model, i, &parameter) || (counts[i] = parameter.count) > ROOM ||
              lw_model_parameter_get(model, i, p[i] = values[i], counts[i]);
        dp[i] = slopes[i];
    }
    bad = bad || lw_tape_create(model, NULL, &tape) || lw_optimiser_create(&options, counts, PARAMETERS, &optimiser);
    for (int t = 0; t < LENGTH; t++)
        series[t] = sinf(0.21f * (float)t) * cosf(0.037f * (float)t);
    lw_io io = {.size = sizeof io, .steps = T, .batch = B, .input = x, .output = y, .output_kind = LW_OUTPUT_LAST};
    lw_loss loss = {.size = sizeof loss, .kind = LW_SQUARED_ERROR, .steps = 1, .batch = B, .width = 1, .output = y};
    loss.target = target, loss.gradient = dy;
    lw_score score = LW_SCORE_INIT;
    lw_gradients gradients = {.size = sizeof gradients, .output = dy, .parameters = dp};
    for (int n = 0; !bad && n <= UPDATES; n++) { /* the last batch is new to the network, and only measured */
        for (int b = 0; b < B; b++) {
            const float *from = series + (n < UPDATES ? (n * 37 + b * 53) % (LENGTH - 440) : LENGTH - 400 + b * 11);
            for (int t = 0; t < T; t++)
                x[t * B + b] = from[t];
            target[b] = from[T];
            naive += n < UPDATES ? 0.0f : (from[T] - from[T - 1]) * (from[T] - from[T - 1]) / (float)B;
        }
        bad = lw_tape_forward(tape, (const float *const *)p, NULL, &io) || lw_loss_evaluate(&loss, &score) ||
              (n < UPDATES && (lw_tape_backward(tape, &gradients) ||
                               lw_optimiser_step(optimiser, p, (const float *const *)dp, 0.005, NULL)));
    }
    bad = bad || lw_model_create(bricks, 2, NULL, &trained);
    for (size_t i = 0; !bad && i < PARAMETERS; i++)
        bad = lw_model_parameter_set(trained, i, p[i], counts[i]);
    if (bad || (argc > 1 && lw_model_save(trained, argv[1])))
        return fprintf(stderr, "train_forecaster: %s\n", lw_error()), 1;
    printf("squared error %.5f, persistence %.5f\n", score.loss, (double)naive);
    return !(score.loss < 0.1 * (double)naive);
}
