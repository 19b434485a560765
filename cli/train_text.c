/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task `text`: a language model of characters. The first nine tenths of a text in UTF-8 are cut into as many
 * streams as the batch has rows; each update reads the next `length` characters of every stream with the state that
 * the last one left (truncated backpropagation), and begins anew when the streams end. The alphabet is that of the
 * whole file.
 */
#include "train_random.h"
#include "train_task.h"

#include "file.h"
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLING 17 /* a stream of random numbers that no part has */
#define UNICODE_END 0x110000u

struct text {
    int32_t *letters; /* (count): places in the alphabet */
    size_t count, train_count;
    uint32_t *alphabet; /* (task->output) code points, rising */
    size_t stream[2];   /* characters of a stream: of training, of validation */
};

/* Decodes one character, or returns 0: overlong forms, surrogates and what lies beyond Unicode are none. */
static size_t decode(const unsigned char *s, size_t left, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
    if (n == 0 || n > left)
        return 0;
    *code = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3fu);
    }
    return *code < least[n] || *code >= UNICODE_END || (*code >= 0xd800 && *code < 0xe000) ? 0 : n;
}

static size_t encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00u >> n & 0xffu) | code);
    return n;
}

/* Code points into text->letters; `seen` marks those that occur. */
static int decode_all(struct text *text, const char *path, const unsigned char *bytes, size_t size, unsigned char *seen)
{
    size_t at = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0, line = 1, column = 1;
    while (at < size) {
        uint32_t code;
        size_t n = decode(bytes + at, size - at, &code);
        if (n == 0)
            return fail("%s: line %zu, column %zu: the byte 0x%02x begins no character; expected a text in UTF-8", path,
                        line, column, bytes[at]);
        if ((code < 0x20 && code != '\n' && code != '\t' && code != '\r' && code != '\f') || code == 0x7f)
            return fail("%s: line %zu, column %zu: the control character 0x%02x does not belong into a text", path,
                        line, column, code);
        text->letters[text->count++] = (int32_t)code;
        seen[code] = 1;
        line += code == '\n';
        column = code == '\n' ? 1 : column + 1;
        at += n;
    }
    if (text->count == 0)
        return fail("%s: is empty; expected a text in UTF-8", path);
    return EXIT_OK;
}

static int make_alphabet(struct task *task, struct text *text, const unsigned char *seen)
{
    int32_t *place = allocate(UNICODE_END, sizeof *place);
    for (uint32_t code = 0; code < UNICODE_END; code++)
        task->output += seen[code];
    text->alphabet = allocate(task->output, sizeof(uint32_t));
    if (!text->alphabet || !place) {
        free(place);
        return fail("out of memory for an alphabet of %zu characters", task->output);
    }
    size_t used = 0;
    for (uint32_t code = 0; code < UNICODE_END; code++)
        if (seen[code]) {
            place[code] = (int32_t)used;
            text->alphabet[used++] = code;
        }
    for (size_t i = 0; i < text->count; i++)
        text->letters[i] = place[text->letters[i]];
    free(place);
    return EXIT_OK;
}

static int read_text(struct task *task, struct text *text, const char *path)
{
    void *bytes;
    size_t size;
    int status = file_read(path, &bytes, &size);
    if (status != EXIT_OK)
        return status;
    task->digest = digest_bytes(task->digest, bytes, size);
    unsigned char *seen = calloc(UNICODE_END, 1);
    text->letters = allocate(size, sizeof(int32_t));
    if (!seen || !text->letters)
        status = fail("%s: out of memory for a text of %zu bytes", path, size);
    if (status == EXIT_OK)
        status = decode_all(text, path, bytes, size, seen);
    if (status == EXIT_OK)
        status = make_alphabet(task, text, seen);
    free(seen);
    free(bytes);
    return status;
}

static void close_text(struct task *task)
{
    struct text *text = task->data;
    if (!text)
        return;
    free(text->letters);
    free(text->alphabet);
    free(text);
}

static int open_text(struct task *task, const struct settings *settings)
{
    struct text *text = calloc(1, sizeof *text);
    if (!text)
        return fail("out of memory");
    task->data = text;
    int status = read_text(task, text, settings->data);
    if (status != EXIT_OK)
        return status;
    text->train_count = text->count - text->count / 10;
    text->stream[0] = text->train_count / task->batch;
    text->stream[1] = (text->count - text->train_count) / task->batch;
    if (text->stream[0] <= task->steps || text->stream[1] < 2)
        return fail("%s: has %zu characters; %zu rows of --batch and %zu steps of --length need at least %zu",
                    settings->data, text->count, task->batch, task->steps,
                    product(product(task->batch, task->steps > 18 ? task->steps + 1 : 19), 10) / 9);
    task->input = task->output;
    task->loss = LW_CROSS_ENTROPY;
    task->output_kind = LW_OUTPUT_SEQUENCE;
    task->carried = 1;
    task->final_batches = (text->stream[1] - 1 + task->steps - 1) / task->steps;
    task->check_batches = task->final_batches < 32 ? task->final_batches : 32;
    return EXIT_OK;
}

static void fill_text(const struct task *task, enum part part, uint64_t index, struct batch *batch)
{
    const struct text *text = task->data;
    const size_t stream = text->stream[part != PART_TRAIN], width = task->input;
    const size_t pieces = part == PART_TRAIN ? (stream - 1) / task->steps : task->final_batches;
    const size_t piece = (size_t)(index % pieces), first = piece * task->steps;
    batch->restart = piece == 0;
    memset(batch->input, 0, task->steps * task->batch * width * sizeof(float));
    for (size_t b = 0; b < task->batch; b++) {
        const int32_t *letters = text->letters + (part == PART_TRAIN ? 0 : text->train_count) + b * stream + first;
        for (size_t t = 0; t < task->steps; t++) {
            size_t place = t * task->batch + b;
            batch->mask[place] = first + t + 1 < stream;
            batch->classes[place] = batch->mask[place] ? letters[t + 1] : 0;
            if (batch->mask[place])
                batch->input[place * width + (size_t)letters[t]] = 1.0f;
        }
    }
}

static size_t text_extras(const struct task *task, lw_tensor tensors[4])
{
    const struct text *text = task->data;
    tensors[0] = (lw_tensor){.size = sizeof(lw_tensor),
                             .name = "text.alphabet",
                             .type = "U32",
                             .data = text->alphabet,
                             .bytes = task->output * sizeof(uint32_t),
                             .rank = 1,
                             .shape = {task->output},
                             .count = task->output};
    return 1;
}

/* A letter drawn from softmax(logits); `unit` is in [0, 1). */
static size_t draw_letter(const float *logits, size_t count, double unit)
{
    double most = -HUGE_VAL, total = 0, sum = 0;
    for (size_t i = 0; i < count; i++)
        most = (double)logits[i] > most ? (double)logits[i] : most;
    for (size_t i = 0; i < count; i++)
        total += exp((double)logits[i] - most);
    size_t letter = 0;
    for (; letter + 1 < count; letter++) {
        sum += exp((double)logits[letter] - most);
        if (sum > unit * total)
            break;
    }
    return letter;
}

int text_sample(const struct task *task, const lw_model *model, uint64_t seed, size_t count, char **out)
{
    const struct text *text = task->data;
    const size_t width = task->output;
    lw_context *context = NULL;
    lw_state *state = NULL;
    size_t used = 0, letter = 0;
    float *x = calloc(width, sizeof(float)), *y = allocate(width, sizeof(float));
    char *sample = allocate(product(count, 4) < SIZE_MAX ? count * 4 + 1 : SIZE_MAX, 1);
    int status = x && y && sample ? EXIT_OK : fail("out of memory for a sample of %zu characters", count);
    if (status == EXIT_OK &&
        (lw_context_create(model, NULL, &context) != LW_OK || lw_state_create(model, 1, &state) != LW_OK))
        status = fail("train: %s", lw_error());
    for (size_t i = 0; i < width; i++) /* begins as a line does */
        letter = text->alphabet[i] == '\n' ? i : letter;
    for (size_t n = 0; status == EXIT_OK && n < count; n++) {
        x[letter] = 1.0f;
        if (lw_step(context, state, x, y) != LW_OK)
            status = fail("train: %s", lw_error());
        x[letter] = 0.0f;
        letter = draw_letter(y, width, (double)random_unit(seed, SAMPLING, n, 0));
        used += encode(text->alphabet[letter], sample + used);
    }
    lw_state_destroy(state);
    lw_context_destroy(context);
    free(x);
    free(y);
    if (status == EXIT_OK) {
        sample[used] = '\0';
        *out = sample;
    } else {
        free(sample);
    }
    return status;
}

static const char *const text_options[] = {"data", "length", "sample", NULL};

const struct task_kind task_text = {
    .name = "text",
    .options = text_options,
    .defaults = {.hidden = 256,
                 .layers = 1,
                 .length = 64,
                 .batch = 32,
                 .updates = 3000,
                 .every = 100,
                 .patience = 10,
                 .rate = "0.003",
                 .clip = "1"},
    .open = open_text,
    .fill = fill_text,
    .extras = text_extras,
    .close = close_text,
};
