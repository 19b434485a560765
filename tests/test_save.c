/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing tensor files and models, and what the reader makes of every number type: the conversions bit by bit, the
 * round trip, the writer's refusals, and that a save which fails leaves the old file whole and nothing beside it.
 */
#include "files.h"

#include <fcntl.h>
#include <fenv.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/resource.h>

/* Tensor "a" of a type, read as f32. The data lies at an odd address. */
static void read_as_f32(const char *type, const void *data, size_t size, float *values, size_t count)
{
    char header[256];
    int length = snprintf(header, sizeof header,
                          "{\"o\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                          "\"a\":{\"dtype\":\"%s\",\"shape\":[%zu],\"data_offsets\":[1,%zu]}}",
                          type, count, 1 + size * count);
    unsigned char *odd = malloc(1 + size * count);
    odd[0] = 0;
    memcpy(odd + 1, data, size * count);
    bytes file = make_file(header, (size_t)length, odd, 1 + size * count);
    lw_tensors *tensors;
    ASSERT_OK(lw_tensors_parse(file.data, file.count, &tensors));
    ASSERT_OK(lw_tensors_read(tensors, 1, values, count));
    lw_tensors_close(tensors);
    free(file.data);
    free(odd);
}

/* The value of a small float, from its definition. */
static double small_float(unsigned bits, int exponent_bits, int mantissa_bits, bool finite)
{
    int top = (1 << exponent_bits) - 1, bias = top / 2, leading = 1 << mantissa_bits;
    int exponent = (int)(bits >> mantissa_bits) & top, mantissa = (int)bits & (leading - 1);
    double sign = bits >> (exponent_bits + mantissa_bits) & 1 ? -1.0 : 1.0;
    if (exponent == top && (finite ? mantissa == leading - 1 : mantissa != 0))
        return NAN;
    if (exponent == top && !finite)
        return sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp(leading + mantissa, exponent - bias - mantissa_bits);
}

static void check_small(const char *type, size_t size, int exponent_bits, int mantissa_bits, bool finite)
{
    size_t count = (size_t)1 << (8 * size);
    unsigned char *data = malloc(size * count);
    float *values = malloc(sizeof *values * count);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < size; k++)
            data[size * i + k] = (unsigned char)(i >> (8 * k));
    read_as_f32(type, data, size, values, count);
    for (size_t i = 0; i < count; i++) {
        double expected = small_float((unsigned)i, exponent_bits, mantissa_bits, finite);
        if (isnan(expected))
            cr_assert(isnan(values[i]), "%s 0x%zx is %g", type, i, (double)values[i]);
        else
            cr_assert((double)values[i] == expected && !signbit(values[i]) == !signbit(expected),
                      "%s 0x%zx is %g, not %g", type, i, (double)values[i], expected);
    }
    free(data);
    free(values);
}

Test(save, every_small_float)
{
    check_small("F16", 2, 5, 10, false);
    check_small("BF16", 2, 8, 7, false);
    check_small("F8_E5M2", 1, 5, 2, false);
    check_small("F8_E4M3", 1, 4, 3, true);
}

#define DOUBLES 200000

/* The hardware's conversion, in its default mode, is the witness. */
Test(save, f64_rounds_to_nearest)
{
    static const double chosen[] = {
        0.0,
        -0.0,
        1.0,
        0x1.000001p0,
        0x1.0000010000001p0,
        0x1.000003p0,
        0x1.ffffffp0,
        0x1.fffffep127,
        0x1.fffffefffffffp127,
        0x1.ffffffp127,
        -0x1p128,
        1e300,
        0x1p-126,
        0x1.ffffffp-127,
        0x1.fffffdp-127,
        0x1p-149,
        0x1p-150,
        0x1.0000000000001p-150,
        0x1.8p-149,
        0x1.4p-148,
        0x1p-151,
        0x1p-1074,
        -0x1p-1022,
        (double)INFINITY,
    };
    size_t fixed = sizeof chosen / sizeof chosen[0];
    double *given = malloc(sizeof *given * DOUBLES);
    float *up = malloc(sizeof *up * DOUBLES), *expected = malloc(sizeof *expected * DOUBLES);
    unsigned char *data = malloc(8 * DOUBLES);
    uint64_t random = 7;
    memcpy(given, chosen, sizeof chosen);
    for (size_t i = 0; i < DOUBLES; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = random ^ random >> 29;
        if (i >= fixed) {
            /* Around f32's exponents, and every second one at or beside the middle between two f32. */
            bits = (bits & 0x800fffffffffffffu) | (uint64_t)(1023 - 160 + (random >> 40) % 300) << 52;
            if (i % 2)
                bits = (bits & ~(uint64_t)0x1fffffff) | (0x10000000 + (random >> 20) % 3 - 1);
            memcpy(&given[i], &bits, sizeof bits);
        }
        expected[i] = (float)given[i];
        memcpy(&bits, &given[i], sizeof bits);
        for (size_t k = 0; k < 8; k++)
            data[8 * i + k] = (unsigned char)(bits >> (8 * k));
    }
    fesetround(FE_UPWARD); /* the caller's mode must not matter */
    read_as_f32("F64", data, 8, up, DOUBLES);
    fesetround(FE_TONEAREST);
    for (size_t i = 0; i < DOUBLES; i++)
        cr_assert(memcmp(&up[i], &expected[i], sizeof(float)) == 0, "%a became %a, not %a", given[i], (double)up[i],
                  (double)expected[i]);
    free(given);
    free(up);
    free(expected);
    free(data);
}

Test(save, f64_nan_stays)
{
    static const unsigned char data[] = {1, 0, 0, 0, 0, 0, 0xf0, 0x7f, 0, 0, 0, 0, 0, 0, 0xf8, 0xff};
    float values[2];
    read_as_f32("F64", data, 8, values, 2);
    cr_expect(isnan(values[0]) && isnan(values[1]));
}

static lw_tensor tensor_of(const char *name, const char *type, size_t size, const void *data, size_t count)
{
    return (lw_tensor){.size = sizeof(lw_tensor),
                       .name = name,
                       .type = type,
                       .data = data,
                       .bytes = size * count,
                       .rank = 1,
                       .shape = {count},
                       .count = count};
}

Test(save, tensors_round_trip)
{
    static const struct {
        const char *type;
        size_t size;
    } types[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
                 {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
                 {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};
    static const char *const metadata[][2] = {{"note", "quotes \" and \xc3\xa9\n"}, {"empty", ""}};
    enum { COUNT = sizeof types / sizeof types[0] };
    unsigned char data[24];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37);
    lw_tensor given[COUNT + 2];
    for (size_t i = 0; i < COUNT; i++)
        given[i] = tensor_of(types[i].type, types[i].type, types[i].size, data, 3);
    given[COUNT] = (lw_tensor){
        .size = sizeof *given, .name = "scalar \xe2\x82\xac", .type = "F32", .data = data, .bytes = 4};
    given[COUNT + 1] = (lw_tensor){
        .size = sizeof *given, .name = "none", .type = "F64", .rank = 8, .shape = {1, 2, 3, 4, 5, 6, 7, 0}};

    char folder[PATH_BYTES], path[PATH_BYTES], again[PATH_BYTES];
    make_folder(folder);
    ASSERT_OK(lw_tensors_write(join(folder, "t", path), given, COUNT + 2, metadata, 2));
    ASSERT_OK(lw_tensors_write(join(folder, "u", again), given, COUNT + 2, metadata, 2));
    bytes first = read_all(path), second = read_all(again);
    cr_expect(same_bytes(first, second), "the same tensors gave other bytes");
    size_t header = first.data[0] + 256u * first.data[1];
    cr_expect_eq(header % 8, 0);

    lw_tensors *tensors;
    ASSERT_OK(lw_tensors_open(path, &tensors));
    cr_expect_eq(lw_tensors_count(tensors), COUNT + 2);
    cr_expect_str_eq(lw_tensors_metadata(tensors, "note"), metadata[0][1]);
    cr_expect_str_eq(lw_tensors_metadata(tensors, "empty"), "");
    lw_tensor start = {.size = sizeof start};
    ASSERT_OK(lw_tensors_get(tensors, 0, &start));
    for (size_t i = 0; i < COUNT + 2; i++) {
        lw_tensor t = {.size = sizeof t};
        ASSERT_OK(lw_tensors_find(tensors, given[i].name, &t));
        cr_expect_str_eq(t.type, given[i].type);
        cr_expect(t.rank == given[i].rank && memcmp(t.shape, given[i].shape, t.rank * sizeof t.shape[0]) == 0);
        cr_expect(t.bytes == given[i].bytes && (!t.bytes || memcmp(t.data, given[i].data, t.bytes) == 0));
        if (i < COUNT) /* relative to the first, which is the widest, each is aligned to its type */
            cr_expect_eq((size_t)((const char *)t.data - (const char *)start.data) % types[i].size, 0, "%s", t.name);
    }
    lw_tensors_close(tensors);
    free(first.data);
    free(second.data);
    remove_folder(folder);
}

Test(save, writer_refuses)
{
    static const float x[2] = {1, 2};
    static const char *const twice[][2] = {{"a", "1"}, {"a", "2"}}, *const broken[][2] = {{"a", NULL}},
                             *const latin[][2] = {{"a", "\xe9"}};
    char folder[PATH_BYTES], path[PATH_BYTES];
    make_folder(folder);
    join(folder, "t", path);
    lw_tensor good = tensor_of("a", "F32", 4, x, 2), t[2] = {good, good};
    EXPECT_REFUSED(lw_tensors_write(NULL, t, 1, NULL, 0), LW_ERR_ARGUMENT, "path is NULL");
    EXPECT_REFUSED(lw_tensors_write(path, NULL, 1, NULL, 0), LW_ERR_ARGUMENT, "tensors is NULL");
    EXPECT_REFUSED(lw_tensors_write(path, t, 1, NULL, 1), LW_ERR_ARGUMENT, "metadata is NULL");
    EXPECT_REFUSED(lw_tensors_write(path, t, 2, NULL, 0), LW_ERR_ARGUMENT, "\"a\" is there twice");
    EXPECT_REFUSED(lw_tensors_write(path, t, 1, twice, 2), LW_ERR_ARGUMENT, "\"a\" is there twice");
    EXPECT_REFUSED(lw_tensors_write(path, t, 1, broken, 1), LW_ERR_ARGUMENT, "value is NULL");
    EXPECT_REFUSED(lw_tensors_write(path, t, 1, latin, 1), LW_ERR_ARGUMENT, "UTF-8");
    static const struct {
        lw_tensor change;
        lw_status status;
        const char *fragment;
    } rows[] = {
        {{.size = 1}, LW_ERR_ARGUMENT, "size is 1"},
        {{.size = sizeof(lw_tensor), .type = "F32"}, LW_ERR_ARGUMENT, "name is NULL"},
        {{.size = sizeof(lw_tensor), .name = "a"}, LW_ERR_ARGUMENT, "type is NULL"},
        {{.size = sizeof(lw_tensor), .name = "a", .type = "F31"}, LW_ERR_ARGUMENT, "\"F31\"; one of"},
        {{.size = sizeof(lw_tensor), .name = "__metadata__", .type = "F32"}, LW_ERR_ARGUMENT, "reserved"},
        {{.size = sizeof(lw_tensor), .name = "\xff", .type = "F32", .data = x, .bytes = 4}, LW_ERR_ARGUMENT, "UTF-8"},
        {{.size = sizeof(lw_tensor), .name = "a", .type = "F32", .rank = 9}, LW_ERR_ARGUMENT, "rank is 9"},
        {{.size = sizeof(lw_tensor), .name = "a", .type = "F32", .bytes = 4}, LW_ERR_ARGUMENT, "data of tensor 0"},
        {{.size = sizeof(lw_tensor), .name = "a", .type = "F32", .data = x, .bytes = 8, .rank = 1, .shape = {3}},
         LW_ERR_SHAPE,
         "bytes is 8, which (3) of F32"},
        {{.size = sizeof(lw_tensor), .name = "a", .type = "F32", .rank = 2, .shape = {SIZE_MAX / 2, 3}},
         LW_ERR_SHAPE,
         "bytes is 0"},
        {{.size = sizeof(lw_tensor), .name = "a", .type = "F32", .rank = 2, .shape = {0, SIZE_MAX}},
         LW_ERR_SHAPE,
         "bytes is 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        EXPECT_REFUSED(lw_tensors_write(path, &rows[i].change, 1, NULL, 0), rows[i].status, rows[i].fragment);
    cr_expect_eq(count_files(folder), 0);
    remove_folder(folder);
}

Test(save, reader_misuse)
{
    static const char text[] = "{\"a\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    bytes file = make_file(text, sizeof text - 1, "1234", 4);
    lw_tensors *t;
    lw_tensor out = {.size = sizeof out}, small = {.size = 4};
    lw_model *model;
    float x;
    EXPECT_REFUSED(lw_tensors_open(NULL, &t), LW_ERR_ARGUMENT, "path is NULL");
    EXPECT_REFUSED(lw_tensors_open("x", NULL), LW_ERR_ARGUMENT, "tensors is NULL");
    EXPECT_REFUSED(lw_tensors_parse(NULL, 1, &t), LW_ERR_ARGUMENT, "bytes is NULL");
    EXPECT_REFUSED(lw_tensors_parse(file.data, 1, NULL), LW_ERR_ARGUMENT, "tensors is NULL");
    EXPECT_REFUSED(lw_tensors_parse(NULL, 0, &t), LW_ERR_FORMAT, "is empty");
    ASSERT_OK(lw_tensors_parse(file.data, file.count, &t));
    EXPECT_REFUSED(lw_tensors_get(NULL, 0, &out), LW_ERR_ARGUMENT, "tensors is NULL");
    EXPECT_REFUSED(lw_tensors_get(t, 0, NULL), LW_ERR_ARGUMENT, "tensor is NULL");
    EXPECT_REFUSED(lw_tensors_get(t, 0, &small), LW_ERR_ARGUMENT, "size is 4");
    EXPECT_REFUSED(lw_tensors_get(t, 1, &out), LW_ERR_NOT_FOUND, "no tensor 1; the file has 1");
    EXPECT_REFUSED(lw_tensors_find(t, NULL, &out), LW_ERR_ARGUMENT, "name is NULL");
    EXPECT_REFUSED(lw_tensors_find(t, "b", &out), LW_ERR_NOT_FOUND, "no tensor \"b\"");
    EXPECT_REFUSED(lw_tensors_read(t, 0, &x, 1), LW_ERR_UNSUPPORTED, "type I32");
    EXPECT_REFUSED(lw_tensors_read(t, SIZE_MAX, &x, 1), LW_ERR_NOT_FOUND, "the file has 1");
    EXPECT_REFUSED(lw_tensors_read(NULL, 0, &x, 1), LW_ERR_ARGUMENT, "tensors is NULL");
    EXPECT_REFUSED(lw_tensors_read(t, 0, NULL, 1), LW_ERR_ARGUMENT, "values is NULL");
    cr_expect_eq(lw_tensors_count(NULL), 0);
    cr_expect_null(lw_tensors_metadata(NULL, "a"));
    cr_expect_null(lw_tensors_metadata(t, NULL));
    cr_expect_null(lw_tensors_metadata(t, "a"));
    lw_tensors_close(NULL);
    lw_model_options options = {.size = sizeof options, .isa = 99}, old = {.size = 1, .isa = -1};
    EXPECT_REFUSED(lw_model_from_tensors(NULL, NULL, &model), LW_ERR_ARGUMENT, "tensors is NULL");
    EXPECT_REFUSED(lw_model_from_tensors(t, NULL, NULL), LW_ERR_ARGUMENT, "model is NULL");
    EXPECT_REFUSED(lw_model_from_tensors(t, &options, &model), LW_ERR_ARGUMENT, "isa 99");
    EXPECT_REFUSED(lw_model_from_tensors(t, &old, &model), LW_ERR_ARGUMENT, "size 1");
    EXPECT_REFUSED(lw_model_load(NULL, NULL, &model), LW_ERR_ARGUMENT, "path is NULL");
    EXPECT_REFUSED(lw_model_load("x", NULL, NULL), LW_ERR_ARGUMENT, "model is NULL");
    EXPECT_REFUSED(lw_model_save(NULL, "x"), LW_ERR_ARGUMENT, "model is NULL");
    lw_tensors_close(t);

    static const char real[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    bytes second = make_file(real, sizeof real - 1, "1234", 4);
    ASSERT_OK(lw_tensors_parse(second.data, second.count, &t));
    EXPECT_REFUSED(lw_tensors_read(t, 0, &x, 2), LW_ERR_SHAPE, "has 1 numbers; room for 2");
    lw_tensors_close(t);
    free(file.data);
    free(second.data);
}

/* The model may have such a name; a file cannot hold it. */
Test(save, names_that_are_no_text)
{
    static const char *const names[] = {"\xff",  "\xc0\x80",     "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                        "a\xc3", "\xe0\x9f\xbf", "\x80"};
    char folder[PATH_BYTES], path[PATH_BYTES];
    make_folder(folder);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        lw_brick brick = LW_BRICK_INIT(LW_RNN);
        lw_model *model;
        brick.name = names[i], brick.input = 1, brick.hidden = 1;
        ASSERT_OK(lw_model_create(&brick, 1, NULL, &model));
        EXPECT_REFUSED(lw_model_save(model, join(folder, "m", path)), LW_ERR_UNSUPPORTED, "not text in UTF-8");
        lw_model_destroy(model);
        lw_tensor tensor = {.size = sizeof tensor, .name = names[i], .type = "F32", .rank = 1};
        EXPECT_REFUSED(lw_tensors_write(path, &tensor, 1, NULL, 0), LW_ERR_ARGUMENT, "not text in UTF-8");
    }
    cr_expect_eq(count_files(folder), 0);
    remove_folder(folder);
}

/* A model with every option, and numbers that only a copy of their bits keeps. */
static lw_model *make_model(void)
{
    static const uint32_t odd[] = {0x80000000u, 0x00000001u, 0x7f800000u, 0xff800000u, 0x7f7fffffu, 0x3dcccccdu};
    lw_brick bricks[] = {LW_BRICK_INIT(LW_LSTM),       LW_BRICK_INIT(LW_GRU),   LW_BRICK_INIT(LW_RNN),
                         LW_BRICK_INIT(LW_ACTIVATION), LW_BRICK_INIT(LW_DENSE), LW_BRICK_INIT(LW_LSTM)};
    bricks[0].name = "\xc3\xa9t\xc3\xa9"; /* names need not be ASCII */
    bricks[0].input = 5, bricks[0].hidden = 7, bricks[0].layers = 2, bricks[0].direction = LW_BIDIRECTIONAL;
    bricks[0].projection = 3, bricks[0].options = LW_PEEPHOLES, bricks[0].cell_clip = 0.1f;
    bricks[0].gate_clip = 1e30f, bricks[0].forget_bias = -0.3f;
    bricks[1].hidden = 4, bricks[1].direction = LW_REVERSE, bricks[1].options = LW_RESET_BEFORE;
    bricks[2].hidden = 6, bricks[2].function = LW_RELU, bricks[2].options = LW_NO_BIAS;
    bricks[3].function = LW_SIGMOID;
    bricks[4].hidden = 2, bricks[4].function = LW_TANH;
    bricks[5].hidden = 3, bricks[5].options = LW_COUPLED;
    lw_model *model;
    ASSERT_OK(lw_model_create(bricks, 6, NULL, &model));
    ASSERT_OK(lw_model_initialise(model, 42));
    lw_parameter p = {.size = sizeof p};
    ASSERT_OK(lw_model_parameter(model, 0, &p));
    float *values = malloc(p.count * sizeof *values);
    ASSERT_OK(lw_model_parameter_get(model, 0, values, p.count));
    memcpy(values, odd, sizeof odd);
    ASSERT_OK(lw_model_parameter_set(model, 0, values, p.count));
    free(values);
    return model;
}

Test(save, model_round_trip)
{
    char folder[PATH_BYTES], path[PATH_BYTES], again[PATH_BYTES];
    make_folder(folder);
    lw_model *model = make_model(), *loaded;
    ASSERT_OK(lw_model_save(model, join(folder, "a", path)));
    ASSERT_OK(lw_model_load(path, NULL, &loaded));
    ASSERT_OK(lw_model_save(loaded, join(folder, "b", again)));
    bytes first = read_all(path), second = read_all(again);
    cr_expect(same_bytes(first, second), "a model that was loaded is saved as other bytes");
    cr_assert_eq(lw_model_brick_count(loaded), lw_model_brick_count(model));
    for (size_t i = 0; i < lw_model_brick_count(model); i++) {
        lw_brick x = {.size = sizeof x}, y = x;
        ASSERT_OK(lw_model_brick(model, i, &x));
        ASSERT_OK(lw_model_brick(loaded, i, &y));
        cr_expect_str_eq(x.name, y.name);
        cr_expect(x.kind == y.kind && x.input == y.input && x.hidden == y.hidden && x.layers == y.layers);
        cr_expect(x.direction == y.direction && x.function == y.function && x.options == y.options);
        cr_expect(x.projection == y.projection && x.cell_clip == y.cell_clip && x.gate_clip == y.gate_clip);
        cr_expect(x.forget_bias == y.forget_bias);
    }
    cr_assert_eq(lw_model_parameter_count(loaded), lw_model_parameter_count(model));
    for (size_t i = 0; i < lw_model_parameter_count(model); i++) {
        lw_parameter p = {.size = sizeof p};
        ASSERT_OK(lw_model_parameter(model, i, &p));
        float *x = malloc(p.count * sizeof *x), *y = malloc(p.count * sizeof *y);
        ASSERT_OK(lw_model_parameter_get(model, i, x, p.count));
        ASSERT_OK(lw_model_parameter_get(loaded, i, y, p.count));
        cr_expect(memcmp(x, y, p.count * sizeof *x) == 0, "%s has other bits", p.name);
        free(x);
        free(y);
    }
    lw_model_destroy(loaded);
    lw_model_destroy(model);
    free(first.data);
    free(second.data);
    remove_folder(folder);
}

static void put_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void expect_text(const char *path, const char *text)
{
    bytes b = read_all(path);
    cr_expect(b.count == strlen(text) && memcmp(b.data, text, b.count) == 0, "%s is not what it was", path);
    free(b.data);
}

Test(save, replaces_and_keeps_mode_and_link)
{
    char folder[PATH_BYTES], path[PATH_BYTES], link[PATH_BYTES];
    struct stat facts;
    lw_model *model = make_model(), *loaded;
    make_folder(folder);
    put_text(join(folder, "model", path), "old");
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert_eq(symlink("model", join(folder, "link", link)), 0);
    ASSERT_OK(lw_model_save(model, link));
    cr_assert(lstat(link, &facts) == 0 && S_ISLNK(facts.st_mode), "the link was replaced");
    cr_assert(lstat(path, &facts) == 0 && S_ISREG(facts.st_mode));
    cr_expect_eq(facts.st_mode & 0777, 0640, "mode %o", facts.st_mode & 0777);
    ASSERT_OK(lw_model_load(path, NULL, &loaded));
    lw_model_destroy(loaded);
    umask(027);
    ASSERT_OK(lw_model_save(model, join(folder, "new", path)));
    cr_assert_eq(stat(path, &facts), 0);
    cr_expect_eq(facts.st_mode & 0777, 0640, "mode %o of a new file", facts.st_mode & 0777);
    cr_expect_eq(count_files(folder), 3, "something was left beside the files");

    cr_assert_eq(chdir(folder), 0); /* a path without a folder */
    ASSERT_OK(lw_model_save(model, "bare"));
    cr_expect_eq(access("bare", F_OK), 0);
    cr_assert_eq(chdir("/"), 0);
    lw_model_destroy(model);
    remove_folder(folder);
}

Test(save, refusals_leave_nothing)
{
    char folder[PATH_BYTES], path[PATH_BYTES], old[PATH_BYTES];
    lw_model *model = make_model();
    make_folder(folder);
    EXPECT_REFUSED(lw_model_save(model, join(folder, "none/model", path)), LW_ERR_FILE, "none/model: no file can be");
    EXPECT_REFUSED(lw_model_save(model, folder), LW_ERR_FILE, "is a folder");
    EXPECT_REFUSED(lw_model_save(model, join(folder, "", path)), LW_ERR_FILE, "names no file");
    EXPECT_REFUSED(lw_model_save(model, ""), LW_ERR_FILE, "names no file");
    EXPECT_REFUSED(lw_model_save(model, "/dev/null"), LW_ERR_FILE, "is no regular file");
    cr_assert_eq(symlink("nowhere", join(folder, "dangling", path)), 0);
    EXPECT_REFUSED(lw_model_save(model, path), LW_ERR_FILE, "a link that cannot be followed");
    cr_assert_eq(mkfifo(join(folder, "fifo", path), 0600), 0);
    EXPECT_REFUSED(lw_model_save(model, path), LW_ERR_FILE, "is no regular file");
    cr_expect_eq(count_files(folder), 2);

    put_text(join(folder, "model", old), "the old model");
    cr_assert(chmod(old, 0666) == 0 && chmod(folder, 0555) == 0);
    if (become_nobody()) {
        EXPECT_REFUSED(lw_model_save(model, old), LW_ERR_FILE, "no file can be created in its folder");
        become_root_again();
    }
    cr_assert(chmod(old, 0444) == 0 && chmod(folder, 0777) == 0);
    if (become_nobody()) {
        EXPECT_REFUSED(lw_model_save(model, old), LW_ERR_FILE, "model: cannot be written");
        become_root_again();
    }
    expect_text(old, "the old model");
    cr_expect_eq(count_files(folder), 3);
    lw_model_destroy(model);
    remove_folder(folder);
}

/* The disk runs full after every possible number of bytes: a limit on the size of files stands for it. */
Test(save, failing_writes_leave_the_old_file)
{
    char folder[PATH_BYTES], path[PATH_BYTES], whole[PATH_BYTES];
    lw_model *model = make_model();
    make_folder(folder);
    put_text(join(folder, "model", path), "the old model");
    ASSERT_OK(lw_model_save(model, join(folder, "whole", whole)));
    bytes saved = read_all(whole);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, limit;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (size_t room = 0; room < saved.count; room += 1 + room / 16) {
        limit = before;
        limit.rlim_cur = room;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        lw_status status = lw_model_save(model, path);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        cr_assert_eq(status, LW_ERR_FILE, "%zu bytes: %s", room, lw_status_name(status));
        cr_assert(strstr(lw_error(), "model: cannot be written: "), "%s", lw_error());
        expect_text(path, "the old model");
        cr_assert_eq(count_files(folder), 2, "a temporary file was left after %zu bytes", room);
    }
    ASSERT_OK(lw_model_save(model, path));
    bytes now = read_all(path);
    cr_expect(same_bytes(now, saved));
    free(now.data);
    free(saved.data);
    lw_model_destroy(model);
    remove_folder(folder);
}

/* A file that a killed process has left is removed by the next save, which takes its name; one that somebody holds, who
 * is still writing it, is stepped over. */
Test(save, stale_temporary_file)
{
    char folder[PATH_BYTES], path[PATH_BYTES], stale[PATH_BYTES], held[PATH_BYTES];
    lw_model *model = make_model();
    make_folder(folder);
    put_text(join(folder, ".latchwork-0.tmp", held), "held");
    put_text(join(folder, ".latchwork-1.tmp", stale), "stale");
    int holder = open(held, O_RDONLY);
    cr_assert(holder >= 0 && flock(holder, LOCK_EX) == 0);
    ASSERT_OK(lw_model_save(model, join(folder, "model", path)));
    expect_text(held, "held");
    cr_expect_neq(access(stale, F_OK), 0, "a stale file was left");
    close(holder);
    ASSERT_OK(lw_model_save(model, path));
    cr_expect_eq(count_files(folder), 1);
    lw_model_destroy(model);
    remove_folder(folder);
}

/* The first and last characters of each length of UTF-8, and what lies just beside them. */
Test(save, names_at_the_bounds_of_utf8)
{
    static const char *const good[] = {"\xc2\x80",     "\xdf\xbf",     "\xe0\xa0\x80",     "\xed\x9f\xbf",
                                       "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {
        "\xc1\xbf",         "\xe0\x9f\xbf",         "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\x80",         "\xc2",         "\xe0\xa0"};
    static const float x[2] = {1, 2};
    char folder[PATH_BYTES], path[PATH_BYTES];
    make_folder(folder);
    join(folder, "t", path);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        lw_tensor tensor = tensor_of(good[i], "F32", 4, x, 2);
        cr_expect_eq(lw_tensors_write(path, &tensor, 1, NULL, 0), LW_OK, "%zu: %s", i, lw_error());
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lw_tensor tensor = tensor_of(bad[i], "F32", 4, x, 2);
        EXPECT_REFUSED(lw_tensors_write(path, &tensor, 1, NULL, 0), LW_ERR_ARGUMENT, "UTF-8");
    }
    remove_folder(folder);
}

/* Sentences hold 80 bytes of a text from outside, and say when there was more. */
Test(save, long_texts_are_clipped)
{
    char type[101], expected[128];
    for (size_t length = 70; length < sizeof type; length++) {
        memset(type, 'F', length);
        type[length] = '\0';
        lw_tensor tensor = {.size = sizeof tensor, .name = "a", .type = type};
        snprintf(expected, sizeof expected, "\"%.80s%s\"; one of", type, length > 80 ? "..." : "");
        EXPECT_REFUSED(lw_tensors_write("t", &tensor, 1, NULL, 0), LW_ERR_ARGUMENT, expected);
    }
}
