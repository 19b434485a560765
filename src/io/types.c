/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The element types of a tensor file and their conversion to f32. Called by the reader, the writer and the model
 * loader. All arithmetic is on the bits: the result depends neither on the host's byte order and alignment nor on
 * the caller's rounding and denormal modes. Narrower types become f32 exactly; F64 is rounded to nearest, ties to
 * even, and what lies beyond f32 becomes an infinity. Formats: IEEE 754-2019; F8: Micikevicius et al. 2022.
 */
#include <string.h>

#include "io.h"

static const lw_type types[] = {
    {"BOOL", 1, false}, {"U8", 1, false},  {"I8", 1, false}, {"F8_E5M2", 1, true}, {"F8_E4M3", 1, true},
    {"I16", 2, false},  {"U16", 2, false}, {"F16", 2, true}, {"BF16", 2, true},    {"I32", 4, false},
    {"U32", 4, false},  {"F32", 4, true},  {"F64", 8, true}, {"I64", 8, false},    {"U64", 8, false},
};

const char lw_type_names[] = "BOOL, U8, I8, F8_E5M2, F8_E4M3, I16, U16, F16, BF16, I32, U32, F32, F64, I64, U64";

const lw_type *lw_type_find(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

static uint64_t read_bytes(const unsigned char *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint64_t lw_read_u64(const unsigned char *bytes)
{
    return read_bytes(bytes, 8);
}

void lw_write_u64(unsigned char *bytes, uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
}

void lw_write_f32(unsigned char *data, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        for (size_t k = 0; k < 4; k++)
            data[4 * i + k] = (unsigned char)(bits >> (8 * k));
    }
}

/* A small float of `exponent_bits` and `mantissa_bits` (without infinities where `finite`) to f32. */
static uint32_t widen(uint32_t bits, unsigned exponent_bits, unsigned mantissa_bits, bool finite)
{
    uint32_t sign = (bits >> (exponent_bits + mantissa_bits) & 1) << 31;
    uint32_t exponent_mask = (1u << exponent_bits) - 1;
    uint32_t leading = 1u << mantissa_bits;
    uint32_t exponent = bits >> mantissa_bits & exponent_mask;
    uint32_t mantissa = bits & (leading - 1);
    unsigned shift = 23 - mantissa_bits;
    uint32_t bias = 127 - (exponent_mask >> 1);

    if (exponent == exponent_mask && (!finite || mantissa == leading - 1))
        return sign | 0x7f800000u | mantissa << shift;
    if (exponent == 0) {
        if (mantissa == 0)
            return sign;
        exponent = 1;
        while (!(mantissa & leading)) {
            mantissa <<= 1;
            bias--;
        }
        mantissa &= leading - 1;
    }
    return sign | (exponent + bias) << 23 | mantissa << shift;
}

static uint32_t narrow(uint64_t bits)
{
    const uint64_t leading = (uint64_t)1 << 52;
    uint32_t sign = (uint32_t)(bits >> 32) & 0x80000000u;
    uint64_t mantissa = bits & (leading - 1);
    int exponent = (int)(bits >> 52 & 0x7ff);

    if (exponent == 0x7ff && mantissa)
        return sign | 0x7fc00000u | (uint32_t)(mantissa >> 29);
    int biased = exponent - 1023 + 127;
    if (biased >= 255)
        return sign | 0x7f800000u;
    int shift = 29; /* 52 bits of mantissa become 23, fewer below the normal numbers */
    if (biased < 1) {
        shift += 1 - biased;
        biased = 1;
        if (shift > 53) /* less than half of the smallest denormal, as are all denormals of F64 */
            return sign;
    }
    mantissa |= leading;
    uint64_t rest = mantissa & (((uint64_t)1 << shift) - 1);
    uint64_t half = (uint64_t)1 << (shift - 1);
    uint64_t kept = mantissa >> shift;
    kept += rest > half || (rest == half && (kept & 1));
    /* The leading bit adds one to the exponent; a carry out of the mantissa does the same, up to infinity. */
    return sign | (((uint32_t)(biased - 1) << 23) + (uint32_t)kept);
}

void lw_type_read(const lw_type *type, const unsigned char *data, float *values, size_t count)
{
    enum {
        E5M2,
        E4M3,
        F16,
        BF16,
        F32,
        F64
    } kind = strcmp(type->name, "F8_E5M2") == 0   ? E5M2
             : strcmp(type->name, "F8_E4M3") == 0 ? E4M3
             : strcmp(type->name, "F16") == 0     ? F16
             : strcmp(type->name, "BF16") == 0    ? BF16
             : strcmp(type->name, "F32") == 0     ? F32
                                                  : F64;
    for (size_t i = 0; i < count; i++) {
        uint64_t raw = read_bytes(data + i * type->bytes, type->bytes);
        uint32_t bits = kind == F32    ? (uint32_t)raw
                        : kind == F64  ? narrow(raw)
                        : kind == BF16 ? (uint32_t)raw << 16
                        : kind == F16  ? widen((uint32_t)raw, 5, 10, false)
                        : kind == E5M2 ? widen((uint32_t)raw, 5, 2, false)
                                       : widen((uint32_t)raw, 4, 3, true);
        memcpy(values + i, &bits, sizeof bits);
    }
}
