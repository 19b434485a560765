/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading model files: the corpus of tests/make_corpus.py, valid and hostile, each with what it must give; every
 * prefix and every flipped bit of valid models; headers too large to keep in the tree; paths that are no files.
 */
#include "files.h"

#include <criterion/parameterized.h>
#include <fcntl.h>
#include <stdint.h>

/* Each row is a file of the corpus, the status of loading it, and a part of the sentence. */
static const struct hostile {
    const char *name;
    lw_status status;
    const char *fragment;
} hostile[] = {
    {"empty", LW_ERR_FORMAT, "empty.safetensors: is empty"},
    {"seven_bytes", LW_ERR_FORMAT, "has 7 bytes"},
    {"eight_bytes", LW_ERR_FORMAT, "would have 2 bytes, but 0 follow"},
    {"header_length_0", LW_ERR_FORMAT, "length 0"},
    {"header_length_beyond", LW_ERR_FORMAT, "100 bytes, but 2 follow"},
    {"header_length_over_limit", LW_ERR_FORMAT, "at most 100000000"},
    {"header_length_2e63", LW_ERR_FORMAT, "9223372036854775808 bytes"},
    {"header_length_max", LW_ERR_FORMAT, "18446744073709551615 bytes"},
    {"header_first_byte", LW_ERR_FORMAT, "0x20; '{' is expected"},
    {"header_not_json", LW_ERR_FORMAT, "not JSON"},
    {"header_one_byte", LW_ERR_FORMAT, "ends after 1 bytes"},
    {"header_not_utf8", LW_ERR_FORMAT, "UTF-8"},
    {"header_overlong_utf8", LW_ERR_FORMAT, "UTF-8"},
    {"header_text_behind", LW_ERR_FORMAT, "white space after the closing brace"},
    {"header_comma_last", LW_ERR_FORMAT, "a member's name"},
    {"header_without_colon", LW_ERR_FORMAT, "a colon"},
    {"header_open_string", LW_ERR_FORMAT, "closing quote"},
    {"header_open_object", LW_ERR_FORMAT, "closing brace"},
    {"git_lfs_pointer", LW_ERR_FORMAT, "Git LFS pointer"},
    {"zip_archive", LW_ERR_FORMAT,
     "is a zip archive, as torch.save, Keras and NumPy write; a safetensors file is expected"},
    {"pickle", LW_ERR_FORMAT, "is a pickle, as old versions of torch.save wrote"},
    {"hdf5", LW_ERR_FORMAT, "is an HDF5 file, as Keras writes"},
    {"numpy_array", LW_ERR_FORMAT, "is an array of NumPy"},
    {"line_ends_converted", LW_ERR_FORMAT, "sent as text"},
    {"tensors_overlap", LW_ERR_FORMAT, "\"b\" begins at byte 2 of the data and overlaps \"a\""},
    {"tensors_same_bytes", LW_ERR_FORMAT, "overlaps"},
    {"tensors_hole", LW_ERR_FORMAT, "bytes 4 to 5 of the data belong to no tensor"},
    {"tensors_first_hole", LW_ERR_FORMAT, "bytes 0 to 1"},
    {"tensors_trailing", LW_ERR_FORMAT, "has 5 bytes, but its tensors end after 4"},
    {"tensors_none_but_data", LW_ERR_FORMAT, "end after 0"},
    {"tensors_beyond", LW_ERR_FORMAT, "bytes 0 to 5"},
    {"tensors_twice", LW_ERR_FORMAT, "the tensor \"a\" twice"},
    {"offsets_reversed", LW_ERR_FORMAT, "bytes 4 to 0"},
    {"offsets_negative", LW_ERR_FORMAT, "whole numbers from 0 on"},
    {"offsets_fraction", LW_ERR_FORMAT, "whole numbers from 0 on"},
    {"offsets_real", LW_ERR_FORMAT, "whole numbers from 0 on"},
    {"offsets_exponent", LW_ERR_FORMAT, "whole numbers from 0 on"},
    {"offsets_huge", LW_ERR_FORMAT, "too big integer"},
    {"offsets_three", LW_ERR_FORMAT, "two whole numbers"},
    {"offsets_strings", LW_ERR_FORMAT, "two whole numbers"},
    {"shape_unlike_length", LW_ERR_FORMAT, "occupies 4 bytes; (4) of F32 needs 16"},
    {"shape_overflow", LW_ERR_FORMAT, "more bytes than can be counted"},
    {"shape_bytes_overflow", LW_ERR_FORMAT, "more bytes than can be counted"},
    {"shape_wraps_to_length", LW_ERR_FORMAT, "more bytes than can be counted"},
    {"shape_negative", LW_ERR_FORMAT, "size 0 in the shape"},
    {"shape_real", LW_ERR_FORMAT, "size 0 in the shape"},
    {"shape_no_array", LW_ERR_FORMAT, "is no array"},
    {"shape_rank_9", LW_ERR_FORMAT, "rank 9; at most 8"},
    {"type_unknown", LW_ERR_FORMAT, "\"F99\"; one of BOOL"},
    {"type_lower_case", LW_ERR_FORMAT, "\"u8\""},
    {"type_number", LW_ERR_FORMAT, "no string"},
    {"entry_key_missing", LW_ERR_FORMAT, "2 keys; dtype, shape and data_offsets"},
    {"entry_key_unknown", LW_ERR_FORMAT, "4 keys"},
    {"entry_key_twice", LW_ERR_FORMAT, "duplicate"},
    {"entry_no_object", LW_ERR_FORMAT, "no object"},
    {"entry_literal", LW_ERR_FORMAT, "no object"},
    {"entry_nested", LW_ERR_FORMAT, "nested too deeply"},
    {"entry_brackets_crossed", LW_ERR_FORMAT, "not JSON"},
    {"entry_long", LW_ERR_FORMAT, "at most 4096"},
    {"name_nul", LW_ERR_FORMAT, "not JSON"},
    {"name_raw_nul", LW_ERR_FORMAT, "control character"},
    {"name_lone_surrogate", LW_ERR_FORMAT, "invalid Unicode"},
    {"name_reversed_surrogates", LW_ERR_FORMAT, "invalid Unicode"},
    {"name_split_surrogates", LW_ERR_FORMAT, "invalid Unicode"},
    {"name_low_surrogates", LW_ERR_FORMAT, "invalid Unicode"},
    {"name_control", LW_ERR_FORMAT, "\"?[31mxxx"},
    {"metadata_number", LW_ERR_FORMAT, "\"a\" in __metadata__ is no string"},
    {"metadata_nested", LW_ERR_FORMAT, "is no string"},
    {"metadata_no_object", LW_ERR_FORMAT, "opening brace"},
    {"metadata_key_twice", LW_ERR_FORMAT, "key \"a\" twice"},
    {"metadata_twice", LW_ERR_FORMAT, "__metadata__ twice"},
    {"metadata_twice_escaped", LW_ERR_FORMAT, "__metadata__ twice"},

    {"format_without_architecture", LW_ERR_FORMAT, "no architecture"},
    {"architecture_not_json", LW_ERR_FORMAT, "the architecture is not JSON"},
    {"architecture_no_object", LW_ERR_FORMAT, "opening brace"},
    {"architecture_nested", LW_ERR_FORMAT, "nested too deeply"},
    {"architecture_key_twice", LW_ERR_FORMAT, "duplicate"},
    {"architecture_key_unknown", LW_ERR_FORMAT, "the key \"author\""},
    {"architecture_version_2", LW_ERR_UNSUPPORTED, "version 2; this library reads version 1"},
    {"architecture_version_text", LW_ERR_FORMAT, "no version"},
    {"architecture_no_bricks", LW_ERR_FORMAT, "0 bricks"},
    {"architecture_brick_number", LW_ERR_FORMAT, "brick 0 has the kind (none)"},
    {"brick_kind_unknown", LW_ERR_FORMAT, "\"transformer\"; one of lstm, gru"},
    {"brick_kind_missing", LW_ERR_FORMAT, "kind (none)"},
    {"brick_key_unknown", LW_ERR_FORMAT, "\"lstm\", has the key \"dropout\""},
    {"brick_key_of_another_kind", LW_ERR_FORMAT, "the key \"reset\", which no lstm"},
    {"brick_name_missing", LW_ERR_FORMAT, "1 to 63 characters"},
    {"brick_name_dot", LW_ERR_FORMAT, "without a dot"},
    {"brick_name_long", LW_ERR_FORMAT, "1 to 63 characters"},
    {"brick_name_twice", LW_ERR_FORMAT, "same name"},
    {"brick_hidden_missing", LW_ERR_FORMAT, "the key \"hidden\" is missing"},
    {"brick_hidden_0", LW_ERR_FORMAT, "hidden is 0; expected: a whole number from 1"},
    {"brick_hidden_text", LW_ERR_FORMAT, "hidden is \"3\""},
    {"brick_hidden_real", LW_ERR_FORMAT, "hidden is the real number 3"},
    {"brick_hidden_huge", LW_ERR_FORMAT, "hidden is 1099511627776"},
    {"brick_hidden_largest", LW_ERR_FORMAT, "(12, 2); (67108864, 2) is expected"},
    {"brick_layers_largest", LW_ERR_FORMAT, "\"lstm.weight_ih_l1\" is missing"},
    {"brick_input_missing", LW_ERR_FORMAT, "\"input\" is missing"},
    {"brick_input_unlike_width", LW_ERR_FORMAT, "brick 1 (dense): input is 4"},
    {"brick_bias_number", LW_ERR_FORMAT, "bias is 1; expected: true or false"},
    {"brick_direction_unknown", LW_ERR_FORMAT, "\"sideways\"; expected: forward, reverse, bidirectional"},
    {"brick_clip_text", LW_ERR_FORMAT, "cell_clip is \"3\""},
    {"brick_clip_beyond_f32", LW_ERR_FORMAT, "finite f32"},
    {"brick_clip_negative", LW_ERR_FORMAT, "cell_clip is -1"},
    {"brick_projection_too_wide", LW_ERR_FORMAT, "projection is 3"},
    {"brick_function_unfit", LW_ERR_FORMAT, "function is \"sigmoid\"; expected: tanh, relu"},
    {"tensor_missing", LW_ERR_FORMAT, "\"lstm.bias_hh_l0\" is missing; one of shape (12)"},
    {"tensor_wrong_shape", LW_ERR_FORMAT, "\"lstm.weight_hh_l0\" has the shape (3, 12); (12, 3) is expected"},
    {"tensor_wrong_rank", LW_ERR_FORMAT, "(12, 1); (12) is expected"},
    {"tensor_integers", LW_ERR_UNSUPPORTED, "type I64; F32, F64, F16 or BF16"},
    {"tensor_f8", LW_ERR_UNSUPPORTED, "type F8_E4M3; F32, F64, F16 or BF16"},

    {"module_none", LW_ERR_UNSUPPORTED, "neither an architecture"},
    {"module_no_tensors", LW_ERR_UNSUPPORTED, "neither an architecture"},
    {"modules_two", LW_ERR_UNSUPPORTED, "\"encoder.\", \"decoder.\""},
    {"module_cell_and_layers", LW_ERR_UNSUPPORTED, "tensors of a cell"},
    {"module_stranger", LW_ERR_UNSUPPORTED, "\"lstm.scale\""},
    {"module_peepholes", LW_ERR_UNSUPPORTED, "\"weight_peephole_l0\""},
    {"module_bias_missing", LW_ERR_FORMAT, "\"bias_hh_l0\" is missing"},
    {"module_layer_missing", LW_ERR_FORMAT, "\"weight_ih_l1\" is missing"},
    {"module_reverse_missing", LW_ERR_FORMAT, "\"weight_ih_l1_reverse\" is missing"},
    {"module_forward_missing", LW_ERR_FORMAT, "\"weight_ih_l0\" is missing"},
    {"module_projection_missing", LW_ERR_FORMAT, "\"weight_hr_l1\" is missing"},
    {"module_layer_huge", LW_ERR_FORMAT, "\"weight_ih_l1\" is missing"},
    {"module_layer_overflow", LW_ERR_UNSUPPORTED, "\"weight_ih_l99999999999999999999\""},
    {"module_two_gates", LW_ERR_FORMAT, "(6, 3); for 3 hidden units 4 (LSTM), 3 (GRU) or 1 (RNN)"},
    {"module_uneven_gates", LW_ERR_FORMAT, "(13, 3)"},
    {"module_no_hidden", LW_ERR_FORMAT, "(0, 0)"},
    {"module_no_input", LW_ERR_FORMAT, "input is 0"},
    {"module_projected_gru", LW_ERR_FORMAT, "(9, 2); for 3 hidden units 4 (LSTM) times"},
    {"module_projection_too_wide", LW_ERR_FORMAT, "projection to 1 to 2"},
    {"module_layers_unfit", LW_ERR_FORMAT, "\"weight_ih_l1\" has the shape (12, 5); (12, 3) is expected"},
    {"module_rank_1", LW_ERR_FORMAT, "(36); rank 2 is expected"},
    {"module_integers", LW_ERR_UNSUPPORTED, "type I64"},
};
#define HOSTILE_COUNT (sizeof hostile / sizeof hostile[0])

/* Each row is a valid file of the corpus and its first brick; `prefix` stands in the file for the brick's name. */
static const struct valid {
    const char *name, *prefix, *brick;
    bool cell;
    lw_kind kind;
    size_t input, hidden, layers, projection, bricks, output;
    lw_direction direction;
    unsigned options;
} valid[] = {
    {"lstm", "", "lstm", false, LW_LSTM, 2, 3, 1, 0, 1, 3, LW_FORWARD, 0},
    {"gru", "", "gru", false, LW_GRU, 2, 3, 1, 0, 1, 3, LW_FORWARD, 0},
    {"rnn", "", "rnn", false, LW_RNN, 2, 3, 1, 0, 1, 3, LW_FORWARD, 0},
    {"lstm_hidden_1", "", "lstm", false, LW_LSTM, 1, 1, 1, 0, 1, 1, LW_FORWARD, 0},
    {"lstm_two_layers_both_ways", "lstm.", "lstm", false, LW_LSTM, 2, 3, 2, 0, 1, 6, LW_BIDIRECTIONAL, 0},
    {"lstm_projected", "", "lstm", false, LW_LSTM, 2, 3, 2, 2, 1, 4, LW_BIDIRECTIONAL, 0},
    {"gru_without_bias", "encoder.rnn.", "rnn", false, LW_GRU, 5, 4, 1, 0, 1, 4, LW_FORWARD, LW_NO_BIAS},
    {"rnn_three_layers", "net.", "net", false, LW_RNN, 5, 4, 3, 0, 1, 4, LW_FORWARD, 0},
    {"lstm_cell", "cell.", "cell", true, LW_LSTM, 2, 3, 1, 0, 1, 3, LW_FORWARD, 0},
    {"gru_cell", "", "gru", true, LW_GRU, 2, 3, 1, 0, 1, 3, LW_FORWARD, 0},
    {"rnn_cell", "", "rnn", true, LW_RNN, 2, 3, 1, 0, 1, 3, LW_FORWARD, LW_NO_BIAS},
    {"lstm_beside_others", "lstm.", "lstm", false, LW_LSTM, 2, 3, 1, 0, 1, 3, LW_FORWARD, 0},
    {"lstm_f64", "", "lstm", false, LW_LSTM, 2, 3, 1, 0, 1, 3, LW_FORWARD, 0},
    {"lstm_f16", "", "lstm", false, LW_LSTM, 2, 3, 1, 0, 1, 3, LW_FORWARD, 0},
    {"lstm_bf16", "", "lstm", false, LW_LSTM, 2, 3, 1, 0, 1, 3, LW_FORWARD, 0},
    {"native", NULL, "lstm", false, LW_LSTM, 2, 3, 1, 0, 2, 1, LW_FORWARD, 0},
    {"native_all_kinds", NULL, "lstm", false, LW_LSTM, 2, 3, 2, 0, 5, 1, LW_BIDIRECTIONAL,
     LW_PEEPHOLES | LW_COUPLED | LW_NO_BIAS},
};
#define VALID_COUNT (sizeof valid / sizeof valid[0])

static size_t indices[HOSTILE_COUNT + VALID_COUNT];

static struct criterion_test_params up_to(size_t count)
{
    for (size_t i = 0; i < count; i++)
        indices[i] = i;
    return cr_make_param_array(size_t, indices, count);
}

ParameterizedTestParameters(files, hostile)
{
    return up_to(HOSTILE_COUNT);
}

ParameterizedTest(size_t *row, files, hostile)
{
    const struct hostile *h = &hostile[*row];
    char path[PATH_BYTES], expected[PATH_BYTES];
    lw_model *const untouched = (lw_model *)&hostile, *model = untouched;
    EXPECT_REFUSED(lw_model_load(corpus_path(h->name, path), NULL, &model), h->status, h->fragment);
    snprintf(expected, sizeof expected, "%s.safetensors: ", h->name);
    cr_expect(strstr(lw_error(), expected), "%s: \"%s\" does not name the file", h->name, lw_error());
    cr_expect_eq(model, untouched, "%s: the output was touched", h->name);
}

ParameterizedTestParameters(files, valid)
{
    return up_to(VALID_COUNT);
}

/* Number `i` of a tensor, as tests/make_corpus.py made it. */
static float number(const char *name, size_t i)
{
    size_t seed = 0;
    for (; *name; name++)
        seed += (unsigned char)*name;
    return ((float)((seed + 7 * i) % 17) - 8) / 8;
}

static void check_numbers(const struct valid *v, const lw_model *model)
{
    for (size_t p = 0; p < lw_model_parameter_count(model); p++) {
        lw_parameter parameter = {.size = sizeof parameter};
        char name[128];
        ASSERT_OK(lw_model_parameter(model, p, &parameter));
        const char *leaf = strchr(parameter.name, '.') + 1;
        snprintf(name, sizeof name, "%s%s", v->prefix ? v->prefix : "", v->prefix ? leaf : parameter.name);
        if (v->cell)
            name[strlen(name) - strlen("_l0")] = '\0';
        float *values = malloc(parameter.count * sizeof *values);
        ASSERT_OK(lw_model_parameter_get(model, p, values, parameter.count));
        for (size_t i = 0; i < parameter.count; i++)
            cr_assert_eq(values[i], number(name, i), "%s: %s[%zu] is %g", v->name, name, i, (double)values[i]);
        free(values);
    }
}

ParameterizedTest(size_t *row, files, valid)
{
    const struct valid *v = &valid[*row];
    char path[PATH_BYTES];
    lw_model *model;
    lw_brick b = {.size = sizeof b};
    ASSERT_OK(lw_model_load(corpus_path(v->name, path), NULL, &model));
    ASSERT_OK(lw_model_brick(model, 0, &b));
    cr_expect_str_eq(b.name, v->brick, "%s: %s", v->name, b.name);
    cr_expect_eq(b.kind, v->kind, "%s", v->name);
    cr_expect_eq(b.input, v->input, "%s", v->name);
    cr_expect_eq(b.hidden, v->hidden, "%s", v->name);
    cr_expect_eq(b.layers, v->layers, "%s", v->name);
    cr_expect_eq(b.projection, v->projection, "%s", v->name);
    cr_expect_eq(b.direction, v->direction, "%s", v->name);
    cr_expect_eq(b.options, v->options, "%s", v->name);
    cr_expect_eq(lw_model_brick_count(model), v->bricks, "%s", v->name);
    cr_expect_eq(lw_model_output_size(model), v->output, "%s", v->name);
    check_numbers(v, model);
    lw_model_destroy(model);
}

/* The architecture's every other key. */
Test(files, all_kinds)
{
    char path[PATH_BYTES];
    lw_model *model;
    lw_brick b[5];
    ASSERT_OK(lw_model_load(corpus_path("native_all_kinds", path), NULL, &model));
    for (size_t i = 0; i < 5; i++) {
        b[i].size = sizeof b[i];
        ASSERT_OK(lw_model_brick(model, i, &b[i]));
    }
    cr_expect(b[0].cell_clip == 0.5f && b[0].gate_clip == 8.0f && b[0].forget_bias == 1.5f);
    cr_expect(b[1].kind == LW_GRU && b[1].options == LW_RESET_BEFORE && b[1].direction == LW_REVERSE);
    cr_expect(b[1].input == 6 && b[1].hidden == 2);
    cr_expect(b[2].kind == LW_RNN && b[2].function == LW_RELU);
    cr_expect(b[3].kind == LW_ACTIVATION && b[3].function == LW_TANH);
    cr_expect(b[4].kind == LW_DENSE && b[4].function == LW_SIGMOID && b[4].hidden == 1);
    lw_model_destroy(model);
}

/* A file that no row names would be tested by nobody. */
Test(files, corpus_is_complete)
{
    char path[PATH_BYTES];
    cr_assert_eq(count_files(corpus_path(NULL, path)), HOSTILE_COUNT + VALID_COUNT);
}

static const char *const models[] = {"native", "lstm_projected", "gru_cell", "lstm_f16"};

/* Loads from memory. What loads must be whole; what does not must say why. True if it loaded. */
static bool load_damaged(const unsigned char *data, size_t count)
{
    lw_tensors *tensors = NULL;
    lw_model *model = NULL;
    lw_status status = lw_tensors_parse(data, count, &tensors);
    if (!status)
        status = lw_model_from_tensors(tensors, NULL, &model);
    lw_tensors_close(tensors);
    if (status) {
        cr_assert(status == LW_ERR_FORMAT || status == LW_ERR_UNSUPPORTED, "%s: %s", lw_status_name(status),
                  lw_error());
        cr_assert(strlen(lw_error()) > 20 && !model);
        return false;
    }
    cr_assert(lw_model_input_size(model) > 0 && lw_model_parameter_count(model) > 0);
    lw_model_destroy(model);
    return true;
}

Test(files, every_prefix)
{
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        char path[PATH_BYTES];
        bytes whole = read_all(corpus_path(models[m], path));
        for (size_t length = 0; length < whole.count; length++) {
            /* A block of its own, so that a sanitizer sees a read beyond. */
            unsigned char *part = malloc(length ? length : 1);
            memcpy(part, whole.data, length);
            cr_assert(!load_damaged(part, length), "%s: %zu of %zu bytes load", models[m], length, whole.count);
            free(part);
        }
        cr_assert(load_damaged(whole.data, whole.count));
        free(whole.data);
    }
}

Test(files, every_flipped_bit)
{
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        char path[PATH_BYTES];
        bytes whole = read_all(corpus_path(models[m], path));
        size_t header = 8 + whole.data[0] + 256u * whole.data[1], loaded = 0;
        for (size_t bit = 0; bit < 8 * whole.count; bit++) {
            whole.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
            bool loads = load_damaged(whole.data, whole.count);
            loaded += loads;
            cr_assert(loads || bit / 8 < header, "%s: a flipped bit of the data, %zu, is refused", models[m], bit);
            cr_assert(!loads || bit / 8 >= 8, "%s: a flipped bit of the length, %zu, loads", models[m], bit);
            whole.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        cr_assert_geq(loaded, 8 * (whole.count - header));
        free(whole.data);
    }
}

/* Several damaged bytes at once, drawn from what a header is made of, always the same ones. */
Test(files, random_damage)
{
    static const char alphabet[] = "{}[]\":,0123456789eE+-.\\u \xff\xc3";
    uint64_t random = 1;
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        char path[PATH_BYTES];
        bytes whole = read_all(corpus_path(models[m], path));
        size_t header = whole.data[0] + 256u * whole.data[1];
        unsigned char *copy = malloc(whole.count);
        for (size_t n = 0; n < 5000; n++) {
            memcpy(copy, whole.data, whole.count);
            for (size_t k = 0; k <= n % 4; k++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                copy[8 + (size_t)(random >> 33) % header] = (unsigned char)
                    alphabet[(random >> 20) % (sizeof alphabet - 1)];
            }
            load_damaged(copy, whole.count);
        }
        free(copy);
        free(whole.data);
    }
}

/* A header of `repeats` copies of `middle` between two ends. */
static lw_status parse_repeated(const char *first, const char *middle, size_t repeats, const char *last)
{
    size_t a = strlen(first), b = strlen(middle), c = strlen(last), length = a + b * repeats + c;
    char *header = malloc(length);
    cr_assert(header);
    memcpy(header, first, a);
    for (size_t i = 0; i < repeats; i++)
        memcpy(header + a + b * i, middle, b);
    memcpy(header + a + b * repeats, last, c);
    bytes file = make_file(header, length, NULL, 0);
    lw_tensors *tensors = NULL;
    lw_status status = lw_tensors_parse(file.data, file.count, &tensors);
    lw_tensors_close(tensors);
    free(file.data);
    free(header);
    return status;
}

Test(files, large_hostile_headers)
{
    EXPECT_REFUSED(parse_repeated("{\"a\":", "[", 100000, ""), LW_ERR_FORMAT, "nested too deeply");
    EXPECT_REFUSED(parse_repeated("{\"a\":", "{\"a\":", 100000, ""), LW_ERR_FORMAT, "nested too deeply");
    EXPECT_REFUSED(parse_repeated("{\"__metadata__\":", "{\"a\":", 100000, ""), LW_ERR_FORMAT, "nested too deeply");
    EXPECT_REFUSED(parse_repeated("{\"a\":[", "[],", 3000000, "0]}"), LW_ERR_FORMAT, "no object");
    EXPECT_REFUSED(parse_repeated("{\"a\":{\"b\":[", "[],", 3000000, "0]}}"), LW_ERR_FORMAT, "at most 4096");
    EXPECT_REFUSED(parse_repeated("{\"a", "a", 10000000, "\":0}"), LW_ERR_FORMAT, "is described by no object");
    EXPECT_REFUSED(parse_repeated("{\"a", "\\", 10000001, "\"}"), LW_ERR_FORMAT, "closing quote");
    EXPECT_REFUSED(parse_repeated("{\"__metadata__\":{\"a\":\"\"", ",\"a\":\"\"", 100000, "}}"), LW_ERR_FORMAT,
                   "twice");
    EXPECT_REFUSED(parse_repeated("{", " ", 10000000, ""), LW_ERR_FORMAT, "closing brace");
    EXPECT_REFUSED(parse_repeated("{}", " ", 1000, ""), LW_OK, "");
    EXPECT_REFUSED(parse_repeated("{", "\t\n\r ", 9, "}"), LW_OK, "");
    EXPECT_REFUSED(parse_repeated("{}", " ", 100000000, ""), LW_ERR_FORMAT, "at most 100000000");
}

#define MANY 200000

/* Finding a name must not take longer the more there are: a walk over all would need 4e10 comparisons. */
Test(files, many_names, .timeout = 60)
{
    char *header = malloc(MANY * 64 + 16), *end = header + sprintf(header, "{");
    for (size_t i = 0; i < MANY; i++)
        end += sprintf(end, "%s\"n%zu\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", i ? "," : "",
                       (i * 7919) % MANY);
    end += sprintf(end, "}");
    bytes file = make_file(header, (size_t)(end - header), NULL, 0);
    lw_tensors *tensors;
    ASSERT_OK(lw_tensors_parse(file.data, file.count, &tensors));
    cr_assert_eq(lw_tensors_count(tensors), MANY);
    for (size_t i = 0; i < MANY; i++) {
        lw_tensor tensor = {.size = sizeof tensor};
        char name[32];
        snprintf(name, sizeof name, "n%zu", i);
        ASSERT_OK(lw_tensors_find(tensors, name, &tensor));
        cr_assert_str_eq(tensor.name, name);
    }
    lw_tensors_close(tensors);
    free(file.data);
    free(header);
}

/* The shortest possible entries fill the table of tensors, which is sized by the header, as far as it goes. */
Test(files, shortest_entries)
{
    static const char one[] = "{\"\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}";
    bytes file = make_file(one, sizeof one - 1, "x", 1);
    lw_tensors *tensors;
    lw_tensor tensor = {.size = sizeof tensor};
    ASSERT_OK(lw_tensors_parse(file.data, file.count, &tensors));
    ASSERT_OK(lw_tensors_find(tensors, "", &tensor));
    cr_expect(tensor.rank == 0 && tensor.count == 1 && tensor.bytes == 1 && memcmp(tensor.data, "x", 1) == 0);
    lw_tensors_close(tensors);
    free(file.data);

    static const char pairs[] = "{\"__metadata__\":{\"\":\"\",\"a\":\"\",\"b\":\"\\u00e9\\ud83d\\ude00\"}}";
    file = make_file(pairs, sizeof pairs - 1, NULL, 0);
    ASSERT_OK(lw_tensors_parse(file.data, file.count, &tensors));
    cr_expect_str_eq(lw_tensors_metadata(tensors, ""), "");
    cr_expect_str_eq(lw_tensors_metadata(tensors, "b"), "\xc3\xa9\xf0\x9f\x98\x80");
    cr_expect_null(lw_tensors_metadata(tensors, "c"));
    lw_tensors_close(tensors);
    free(file.data);
}

/* Names as long as they may be, cells and layers under a deep prefix. */
Test(files, long_prefix)
{
    char prefix[600], header[4096];
    memset(prefix, 'p', sizeof prefix);
    prefix[sizeof prefix - 1] = '\0';
    float data[4] = {1, 2, 3, 4};
    snprintf(header, sizeof header,
             "{\"%s.weight_ih_l0\":{\"dtype\":\"F32\",\"shape\":[1,3],\"data_offsets\":[0,12]},"
             "\"%s.weight_hh_l0\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[12,16]}}",
             prefix, prefix);
    bytes file = make_file(header, strlen(header), data, sizeof data);
    lw_tensors *tensors;
    lw_model *model;
    lw_brick b = {.size = sizeof b};
    ASSERT_OK(lw_tensors_parse(file.data, file.count, &tensors));
    ASSERT_OK(lw_model_from_tensors(tensors, NULL, &model));
    ASSERT_OK(lw_model_brick(model, 0, &b));
    cr_expect(b.kind == LW_RNN && b.input == 3 && strcmp(b.name, "rnn") == 0);
    lw_model_destroy(model);
    lw_tensors_close(tensors);
    free(file.data);
}

enum { LAYERS = 11, TENSORS = 2 * LAYERS };

/* An RNN of eleven layers of one unit; without tensor `missing`, with a zero too much in the name of `renamed`. */
static bytes many_layers(size_t missing, size_t renamed)
{
    const float data[TENSORS] = {0};
    char header[4096] = "{";
    size_t end = 1, count = 0;
    for (size_t i = 0; i < TENSORS; i++)
        if (i != missing) {
            end += (size_t)snprintf(
                header + end, sizeof header - end,
                "%s\"weight_%s_l%s%zu\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[%zu,%zu]}",
                count ? "," : "", i % 2 ? "hh" : "ih", i == renamed ? "0" : "", i / 2, 4 * count, 4 * count + 4);
            count++;
        }
    header[end] = '}';
    return make_file(header, end + 1, data, count * sizeof *data);
}

Test(files, eleven_layers)
{
    for (size_t i = 0; i <= 2 * TENSORS; i++) {
        bytes file = many_layers(i < TENSORS ? i : TENSORS, i < TENSORS ? TENSORS : i - TENSORS);
        lw_tensors *tensors;
        lw_model *model = NULL;
        lw_brick b = {.size = sizeof b};
        ASSERT_OK(lw_tensors_parse(file.data, file.count, &tensors));
        lw_status status = lw_model_from_tensors(tensors, NULL, &model);
        if (i == 2 * TENSORS)
            cr_expect(status == LW_OK && lw_model_brick(model, 0, &b) == LW_OK && b.layers == LAYERS, "%s", lw_error());
        else
            cr_expect(status != LW_OK && !model && (i >= TENSORS || strstr(lw_error(), "missing")), "%zu: %s", i,
                      lw_error());
        lw_model_destroy(model);
        lw_tensors_close(tensors);
        free(file.data);
    }
}

Test(files, paths_that_are_no_files, .timeout = 30)
{
    char folder[PATH_BYTES], path[PATH_BYTES], longest[2 * PATH_BYTES];
    lw_tensors *tensors = NULL;
    make_folder(folder);
    EXPECT_REFUSED(lw_tensors_open(join(folder, "none", path), &tensors), LW_ERR_FILE, "none: cannot be opened");
    EXPECT_REFUSED(lw_tensors_open(folder, &tensors), LW_ERR_FILE, "is a folder; a regular file is expected");
    EXPECT_REFUSED(lw_tensors_open("/dev/zero", &tensors), LW_ERR_FILE, "is a device");
    EXPECT_REFUSED(lw_tensors_open("", &tensors), LW_ERR_FILE, "cannot be opened");
    cr_assert_eq(mkfifo(join(folder, "fifo", path), 0600), 0);
    EXPECT_REFUSED(lw_tensors_open(path, &tensors), LW_ERR_FILE, "is a FIFO");
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    EXPECT_REFUSED(lw_tensors_open(longest, &tensors), LW_ERR_FILE, "...xxx");

    int file = open(join(folder, "secret", path), O_CREAT | O_WRONLY, 0);
    cr_assert(file >= 0 && close(file) == 0 && chmod(folder, 0755) == 0);
    if (become_nobody()) {
        EXPECT_REFUSED(lw_tensors_open(path, &tensors), LW_ERR_FILE, "secret: cannot be opened");
        become_root_again();
    }
    /* A sparse file of 3 GB costs nothing: its first bytes tell that it is none of ours. */
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert_eq(truncate(path, (off_t)3 << 30), 0);
    EXPECT_REFUSED(lw_tensors_open(path, &tensors), LW_ERR_FORMAT, "length 0");
    cr_assert_null(tensors);
    remove_folder(folder);
}
