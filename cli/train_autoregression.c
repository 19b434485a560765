/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second forecast that a network must beat: a linear autoregression, every number of the horizon a linear function
 * of all numbers of the window, by least squares over the training windows (normal equations, Cholesky, in double).
 * Called by train_series.c.
 */
#include "train_autoregression.h"

#include "report.h"

#include <math.h>
#include <stdlib.h>

#define UNKNOWNS_MAX 512
#define WORK_MAX 2e10 /* multiplications, some ten seconds */
#define RIDGE 1e-6    /* times the windows: settles columns that say the same */

struct fit {
    size_t unknowns, outputs; /* the numbers of a window and a constant; those of the horizon */
    double *square;           /* (unknowns, unknowns): X'X, then its lower factor */
    double *sides;            /* (unknowns, outputs): X'Y, then the solution */
};

static double input_at(const struct fit *fit, const float *window, size_t i)
{
    return i + 1 < fit->unknowns ? (double)window[i] : 1.0;
}

static void add_window(struct fit *fit, const float *window)
{
    const size_t n = fit->unknowns;
    const float *next = window + n - 1;
    for (size_t i = 0; i < n; i++) {
        double x = input_at(fit, window, i);
        for (size_t j = 0; j <= i; j++)
            fit->square[i * n + j] += x * input_at(fit, window, j);
        for (size_t k = 0; k < fit->outputs; k++)
            fit->sides[i * fit->outputs + k] += x * (double)next[k];
    }
}

/* Solves in place; 0 when the matrix is not positive definite. */
static int solve(struct fit *fit)
{
    const size_t n = fit->unknowns, outputs = fit->outputs;
    double *a = fit->square, *b = fit->sides;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (size_t k = 0; k < j; k++)
                sum -= a[i * n + k] * a[j * n + k];
            if (i == j && !(sum > 0))
                return 0;
            a[i * n + j] = i == j ? sqrt(sum) : sum / a[j * n + j];
        }
    for (size_t o = 0; o < outputs; o++) {
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; k < i; k++)
                b[i * outputs + o] -= a[i * n + k] * b[k * outputs + o];
            b[i * outputs + o] /= a[i * n + i];
        }
        for (size_t i = n; i-- > 0;) {
            for (size_t k = i + 1; k < n; k++)
                b[i * outputs + o] -= a[k * n + i] * b[k * outputs + o];
            b[i * outputs + o] /= a[i * n + i];
        }
    }
    return 1;
}

static double squared_error(const struct fit *fit, const float *window)
{
    double sum = 0;
    const float *next = window + fit->unknowns - 1;
    for (size_t o = 0; o < fit->outputs; o++) {
        double error = -(double)next[o];
        for (size_t i = 0; i < fit->unknowns; i++)
            error += input_at(fit, window, i) * fit->sides[i * fit->outputs + o];
        sum += error * error;
    }
    return sum;
}

double autoregression_loss(const float *train, size_t train_count, const float *check, size_t check_count,
                           size_t columns, size_t window, size_t horizon)
{
    struct fit fit = {.unknowns = product(window, columns), .outputs = product(horizon, columns)};
    double n = (double)++fit.unknowns, sum = 0;
    if (n > UNKNOWNS_MAX || (double)train_count * n * (n / 2 + (double)fit.outputs) > WORK_MAX)
        return NAN;
    fit.square = calloc(fit.unknowns * fit.unknowns, sizeof(double));
    fit.sides = calloc(fit.unknowns, product(fit.outputs, sizeof(double)));
    int good = fit.square && fit.sides;
    for (size_t k = 0; good && k < train_count; k++)
        add_window(&fit, train + k * columns);
    for (size_t i = 0; good && i < fit.unknowns; i++)
        fit.square[i * fit.unknowns + i] += RIDGE * (double)train_count;
    good = good && solve(&fit);
    for (size_t k = 0; good && k < check_count; k++)
        sum += squared_error(&fit, check + k * columns);
    free(fit.square);
    free(fit.sides);
    return good ? sum / ((double)check_count * (double)fit.outputs) : NAN;
}
