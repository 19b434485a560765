/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM and GRU shapes of DeepBench (S. Narang and others, Baidu Research, 2016): code/kernels/rnn_problems.h in
 * github.com/baidu-research/DeepBench. Its training set is measured as training and as inference, its server set as
 * inference. The input is as wide as the state.
 */
#include "deepbench.h"

#include "../report.h"

enum { BATCHES_MOST = 4 };

static const struct shapes {
    enum workload_cell cell;
    size_t hidden, steps;
    size_t training[BATCHES_MOST], server[BATCHES_MOST]; /* batches, 0 behind the last */
} shapes[] = {
    {CELL_LSTM, 512, 25, {16, 32, 64, 128}, {1, 2, 4}},
    {CELL_LSTM, 1024, 25, {16, 32, 64, 128}, {1, 2, 4}},
    {CELL_LSTM, 2048, 25, {16, 32, 64, 128}, {1, 2, 4}},
    {CELL_LSTM, 4096, 25, {16, 32, 64, 128}, {0}},
    {CELL_LSTM, 1536, 50, {8, 16, 32}, {1, 2, 4}},
    {CELL_LSTM, 256, 150, {16, 32, 64}, {1, 2, 4}},
    {CELL_GRU, 2816, 1500, {0}, {1, 2, 4}},
    {CELL_GRU, 2816, 750, {32}, {1, 2, 4}},
    {CELL_GRU, 2816, 375, {32}, {1, 2, 4}},
    {CELL_GRU, 2816, 187, {32}, {1, 2, 4}},
    {CELL_GRU, 2048, 1500, {32}, {1, 2, 4}},
    {CELL_GRU, 2048, 750, {32}, {1, 2, 4}},
    {CELL_GRU, 2048, 375, {32}, {1, 2, 4}},
    {CELL_GRU, 2048, 187, {32}, {1, 2, 4}},
    {CELL_GRU, 1536, 1500, {32}, {1, 2, 4}},
    {CELL_GRU, 1536, 750, {32}, {1, 2, 4}},
    {CELL_GRU, 1536, 375, {32}, {1, 2, 4}},
    {CELL_GRU, 1536, 187, {32}, {1, 2, 4}},
    {CELL_GRU, 2560, 1500, {32}, {1, 2, 4}},
    {CELL_GRU, 2560, 750, {32}, {1, 2, 4}},
    {CELL_GRU, 2560, 375, {32}, {1, 2, 4}},
    {CELL_GRU, 2560, 187, {32}, {1, 2, 4}},
    {CELL_GRU, 512, 1, {32}, {1, 2, 4}},
    {CELL_GRU, 1024, 1500, {32, 64}, {1, 2, 4}},
};

static enum extent extent_of(const struct workload *w)
{
    const double products = (double)(w->steps * w->batch) * (double)workload_gates(w) * (double)w->hidden;
    const double flops = 2.0 * products * (double)(w->input + w->hidden) * (w->train ? 3.0 : 1.0);
    return flops <= 1.8e9 && w->batch >= 16 ? EXTENT_QUICK : flops <= 4e10 ? EXTENT_USUAL : EXTENT_FULL;
}

static int add(struct suite *suite, const struct shapes *shape, size_t batch, enum workload_train train,
               enum extent extent)
{
    struct workload w = workload_default();
    w.cell = shape->cell;
    w.input = w.hidden = shape->hidden;
    w.steps = shape->steps;
    w.batch = batch;
    w.train = train;
    return extent_of(&w) <= extent ? suite_add(suite, "deepbench", &w) : EXIT_OK;
}

int deepbench_add(struct suite *suite, enum extent extent)
{
    int status = EXIT_OK;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const struct shapes *shape = &shapes[i];
        for (size_t b = 0; status == EXIT_OK && b < BATCHES_MOST && shape->server[b]; b++)
            status = add(suite, shape, shape->server[b], TRAIN_NONE, extent);
        for (size_t b = 0; status == EXIT_OK && b < BATCHES_MOST && shape->training[b]; b++) {
            status = add(suite, shape, shape->training[b], TRAIN_NONE, extent);
            if (status == EXIT_OK)
                status = add(suite, shape, shape->training[b], TRAIN_GRADIENTS, extent);
        }
    }
    return status;
}
