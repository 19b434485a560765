/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of the array functions; see math_case.h. The exact value is glibc's double-precision function, whose
 * error of some 1e-16 is nothing beside an f32's ulp.
 */
#include "math_case.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "random.h"

#define INFINITE_INDEX 0x7f800000u

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float math_float(uint32_t index)
{
    return from_bits(index <= INFINITE_INDEX ? 0x80000000u | (INFINITE_INDEX - index) : index - INFINITE_INDEX - 1);
}

uint32_t math_index(float value)
{
    uint32_t bits = bits_of(value);
    return bits >> 31 ? INFINITE_INDEX - (bits & 0x7fffffffu) : bits + INFINITE_INDEX + 1;
}

static double exact(enum lw_kernel_function function, double x)
{
    switch (function) {
    case LW_K_EXP:
        return exp(x);
    case LW_K_SIGMOID: {
        const double small = exp(-fabs(x));
        return (x < 0 ? small : 1) / (1 + small);
    }
    case LW_K_TANH:
        return tanh(x);
    case LW_K_RELU:
        return x > 0 ? x : 0;
    default:
        return x;
    }
}

/* The gap between floats at |value|; denormals have that of the smallest normal number. Beyond the largest float the
 * gap goes on, so that infinity counts as 2^128. */
static double ulp_of(double value)
{
    double size = fabs(value), ulp;
    size = size < (double)FLT_MIN ? (double)FLT_MIN : size > (double)FLT_MAX ? (double)FLT_MAX : size;
    uint64_t bits; /* by the exponent: this is asked for every float there is */
    memcpy(&bits, &size, sizeof bits);
    bits = ((bits >> 52) - 23) << 52;
    memcpy(&ulp, &bits, sizeof ulp);
    return ulp;
}

static double ulp_error(float got, double want)
{
    const double beyond = 0x1p128;
    double g = isinf(got) ? copysign(beyond, (double)got) : (double)got;
    double w = fabs(want) > beyond ? copysign(beyond, want) : want;
    return fabs(g - w) / ulp_of(w);
}

static bool wrong(const math_function *f, const struct lw_kernels *table, float x, float got, const char *what,
                  char why[WHY_SIZE])
{
    snprintf(why, WHY_SIZE, "%s: %s(%a) = %a (exact %.17g): %s", table->name, f->name, (double)x, (double)got,
             exact(f->function, (double)x), what);
    return false;
}

static bool in_range(enum lw_kernel_function function, float got)
{
    switch (function) {
    case LW_K_SIGMOID:
        return got >= 0 && got <= 1;
    case LW_K_TANH:
        return got >= -1 && got <= 1;
    case LW_K_EXP:
    case LW_K_RELU:
        return got >= 0;
    default:
        return true;
    }
}

bool math_block_check(const math_function *f, const struct lw_kernels *table, uint32_t first, uint32_t count,
                      double *worst, uint64_t *hash, char why[WHY_SIZE])
{
    float x[MATH_BLOCK + 1] = {0}, negative[MATH_BLOCK + 1], got[MATH_BLOCK + 1], mirrored[MATH_BLOCK + 1] = {0};
    /* One float more in front, for the order across blocks. */
    uint32_t before = first > 0;
    size_t n = count + before;
    for (size_t k = 0; k < n; k++) {
        x[k] = math_float((uint32_t)(first - before + k));
        negative[k] = -x[k];
    }
    table->activate(f->function, n, x, got);
    if (f->function == LW_K_TANH)
        table->activate(f->function, n, negative, mirrored);
    char text[96];
    for (size_t k = 0; k < n; k++) {
        double error = ulp_error(got[k], exact(f->function, (double)x[k]));
        if (!(error <= f->ulp)) {
            snprintf(text, sizeof text, "%.3f ulp off, %.1f allowed", error, f->ulp);
            return wrong(f, table, x[k], got[k], text, why);
        }
        *worst = error > *worst ? error : *worst;
        if (!in_range(f->function, got[k]))
            return wrong(f, table, x[k], got[k], "out of range", why);
        if (k > 0 && !(got[k] >= got[k - 1]))
            return wrong(f, table, x[k], got[k], "smaller than at the float before", why);
        if (f->function == LW_K_TANH && bits_of(mirrored[k]) != (bits_of(got[k]) ^ 0x80000000u))
            return wrong(f, table, x[k], got[k], "not the negative of its mirror image", why);
    }
    if (hash)
        *hash = hash_bytes(*hash, got + before, count * sizeof *got);
    return true;
}

bool math_bits_check(const math_function *f, const struct lw_kernels *table, uint32_t first, uint32_t count,
                     char why[WHY_SIZE])
{
    float x[MATH_BLOCK] = {0}, got[MATH_BLOCK], scalar[MATH_BLOCK];
    for (size_t k = 0; k < count; k++)
        x[k] = math_float((uint32_t)(first + k));
    table->activate(f->function, count, x, got);
    lw_kernels_scalar.activate(f->function, count, x, scalar);
    for (size_t k = 0; k < count; k++)
        if (bits_of(got[k]) != bits_of(scalar[k])) {
            char text[96];
            snprintf(text, sizeof text, "but %a with the scalar kernels", (double)scalar[k]);
            return wrong(f, table, x[k], got[k], text, why);
        }
    return true;
}

bool math_strided_check(const math_function *f, const struct lw_kernels *table, uint32_t count, uint32_t stride,
                        double *worst, uint64_t *hash, char why[WHY_SIZE])
{
    for (uint64_t first = 0; first < MATH_FLOATS; first += (uint64_t)count * stride) {
        uint64_t left = MATH_FLOATS - first;
        uint32_t n = left < count ? (uint32_t)left : count;
        if (!math_block_check(f, table, (uint32_t)first, n, worst, hash, why) ||
            !math_bits_check(f, table, (uint32_t)first, n, why))
            return false;
    }
    return true;
}

bool math_special_check(const math_function *f, const struct lw_kernels *table, char why[WHY_SIZE])
{
    static const uint32_t nans[] = {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu};
    for (size_t k = 0; k < sizeof nans / sizeof *nans; k++)
        for (size_t n = 1; n < 40; n += 13) { /* in a whole vector and in the rest */
            float x[40], got[40];
            for (size_t e = 0; e < n; e++)
                x[e] = from_bits(nans[k]);
            table->activate(f->function, n, x, got);
            for (size_t e = 0; e < n; e++)
                if (!isnan(got[e]))
                    return wrong(f, table, x[e], got[e], "a NaN must stay one", why);
        }
    /* Exact values; a zero keeps its sign where the function is odd. */
    const float inf = INFINITY;
    const struct {
        enum lw_kernel_function function;
        float x, want;
    } exactly[] = {
        {LW_K_EXP, 0.0f, 1.0f},        {LW_K_EXP, -0.0f, 1.0f},      {LW_K_EXP, inf, inf},
        {LW_K_EXP, -inf, 0.0f},        {LW_K_EXP, FLT_MAX, inf},     {LW_K_EXP, -FLT_MAX, 0.0f},
        {LW_K_SIGMOID, 0.0f, 0.5f},    {LW_K_SIGMOID, -0.0f, 0.5f},  {LW_K_SIGMOID, inf, 1.0f},
        {LW_K_SIGMOID, -inf, 0.0f},    {LW_K_SIGMOID, 30.0f, 1.0f},  {LW_K_SIGMOID, -FLT_MAX, 0.0f},
        {LW_K_TANH, 0.0f, 0.0f},       {LW_K_TANH, -0.0f, -0.0f},    {LW_K_TANH, inf, 1.0f},
        {LW_K_TANH, -inf, -1.0f},      {LW_K_TANH, 20.0f, 1.0f},     {LW_K_TANH, 0x1p-149f, 0x1p-149f},
        {LW_K_TANH, FLT_MAX, 1.0f},    {LW_K_TANH, -FLT_MAX, -1.0f}, {LW_K_RELU, -inf, 0.0f},
        {LW_K_RELU, inf, inf},         {LW_K_RELU, -1.0f, 0.0f},     {LW_K_RELU, 0x1p-149f, 0x1p-149f},
        {LW_K_RELU, FLT_MAX, FLT_MAX},
    };
    for (size_t k = 0; k < sizeof exactly / sizeof *exactly; k++) {
        float got;
        if (exactly[k].function != f->function)
            continue;
        table->activate(f->function, 1, &exactly[k].x, &got);
        if (bits_of(got) != bits_of(exactly[k].want))
            return wrong(f, table, exactly[k].x, got, "not the exact special value", why);
    }
    return true;
}

bool math_array_check(enum lw_kernel_function function, const struct lw_kernels *table, char why[WHY_SIZE])
{
    float x[67], alone[67];
    rng r = {.seed = (uint64_t)function};
    rng_fill(&r, x, 67, 8);
    for (size_t k = 0; k < 67; k++)
        table->activate(function, 1, x + k, alone + k);
    for (size_t number = 0; number < 68 * 16 * 4; number++) {
        size_t n = number % 68, offset = number / 68 % 16;
        guard_side side = number / 68 / 16 % 2 ? GUARD_BEFORE : GUARD_AFTER;
        bool in_place = number / 68 / 16 / 2;
        guard from = guard_create(n, side, offset), to = guard_create(n, side, (offset * 7) % 16);
        memcpy(from.data, x, n * sizeof(float));
        if (!in_place)
            guard_read_only(&from);
        table->activate(function, n, from.data, in_place ? from.data : to.data);
        bool good = guard_intact(&from) && guard_intact(&to) &&
                    memcmp(in_place ? from.data : to.data, alone, n * sizeof(float)) == 0;
        guard_destroy(&from);
        guard_destroy(&to);
        if (!good) {
            snprintf(why, WHY_SIZE, "%s: function %d over %zu floats at offset %zu%s differs from one by one",
                     table->name, function, n, offset, in_place ? ", in place," : "");
            return false;
        }
    }
    return true;
}
