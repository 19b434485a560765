/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `latchwork run MODEL --input FILE --output FILE`: runs a model over a file.
 * A model without reverse layers is run in pieces, which changes no bit, so that progress can be shown. Files are
 * written after the whole run has succeeded, or not at all.
 */
#include "arguments.h"
#include "file.h"
#include "progress.h"
#include "report.h"
#include "work.h"

#include <stdlib.h>
#include <string.h>

struct arguments {
    const char *input, *output, *isa, *lengths, *state_in, *state_out, *shape;
    size_t threads, chunk;
    int last, batch_first, json;
};

#define AT(field) .offset = offsetof(struct arguments, field)

static const struct option options[] = {
    {.name = "input",
     .letter = 'i',
     .kind = OPTION_TEXT,
     AT(input),
     .value = "FILE",
     .values = VALUES_FILE,
     .required = 1,
     .help = "(T, I) or (T, B, I) as .npy, .csv, .f32, .raw or a sound\nwith I channels; - is .npy on "
             "standard input"},
    {.name = "output",
     .letter = 'o',
     .kind = OPTION_TEXT,
     AT(output),
     .value = "FILE",
     .values = VALUES_FILE,
     .required = 1,
     .help = "as .npy, .csv, .f32 or .raw; - is .npy on standard output"},
    {.name = "isa",
     .kind = OPTION_TEXT,
     AT(isa),
     .value = "NAME",
     .values = VALUES_ISA,
     .help = "instruction set (default: the best one); changes no bit"},
    {.name = "threads",
     .letter = 't',
     .kind = OPTION_SIZE,
     AT(threads),
     .value = "N",
     .least = 1,
     .most = LW_THREADS_MAX,
     .help = "at most so many (default: all); changes no bit"},
    {.name = "chunk",
     .kind = OPTION_SIZE,
     AT(chunk),
     .value = "N",
     .least = 1,
     .most = OPTION_UNSET - 1,
     .help = "steps of one call (default: chosen); changes no bit.\nRefused for a model with a reverse layer"},
    {.name = "lengths",
     .kind = OPTION_TEXT,
     AT(lengths),
     .value = "FILE",
     .values = VALUES_FILE,
     .help = "steps of each batch row (.npy int64 or int32, or .csv);\noutputs beyond are zero"},
    {.name = "state-in",
     .kind = OPTION_TEXT,
     AT(state_in),
     .value = "FILE",
     .values = VALUES_FILE,
     .help = "start from a state that --state-out wrote"},
    {.name = "state-out",
     .kind = OPTION_TEXT,
     AT(state_out),
     .value = "FILE",
     .values = VALUES_FILE,
     .help = "write the state after the last step"},
    {.name = "last",
     .kind = OPTION_FLAG,
     AT(last),
     .help = "only the last step: the output is (B, O), or (O,) for (T, I)"},
    {.name = "batch-first",
     .kind = OPTION_FLAG,
     AT(batch_first),
     .help = "three dimensions are (B, T, I) and (B, T, O)"},
    {.name = "shape",
     .kind = OPTION_TEXT,
     AT(shape),
     .value = "T,B,I",
     .help = "shape of a raw input (default: T,I from its size)"},
    {.name = "json", .letter = 'j', .kind = OPTION_FLAG, AT(json), .help = "print the summary as JSON"},
};

static int run(int argc, const char **argv);

const struct command command_run = {
    .name = "run",
    .operand = "MODEL",
    .summary = "run a model over a file of inputs",
    .details = "The output has as many dimensions as the input and the width of the model's last brick.\n"
               "Examples:\n"
               "  latchwork run voice.safetensors --input speech.wav --output p.npy\n"
               "  latchwork run lstm.safetensors -i x.npy -o y.npy --threads 2 --state-out s.bin",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};

struct job {
    const struct arguments *arguments;
    struct work work;
    struct sequence input;
    struct array output;
    size_t out_step, out_row; /* strides of the output, floats */
    size_t *lengths;          /* NULL: all steps */
    size_t *piece_lengths;    /* of the piece that runs */
    lw_state *state;
    size_t chunk, calls;
    double seconds;
};

static void shape_output(struct job *job)
{
    size_t width = lw_model_output_size(job->work.model), rank = job->input.array.rank;
    struct array *output = &job->output;
    if (job->arguments->last) {
        output->rank = rank - 1;
        output->shape[0] = job->input.batch;
    } else {
        output->rank = rank;
        memcpy(output->shape, job->input.array.shape, sizeof output->shape);
    }
    output->shape[output->rank - 1] = width;
    output->count = 1;
    for (size_t i = 0; i < output->rank; i++)
        output->count = output->count == 0 || output->shape[i] == 0 ? 0 : product(output->count, output->shape[i]);
    int rows_outside = job->arguments->batch_first && rank == 3;
    job->out_step = rows_outside ? width : product(job->input.batch, width);
    job->out_row = rows_outside ? product(job->input.steps, width) : width;
}

static int restore_state(struct job *job)
{
    const char *path = job->arguments->state_in;
    void *bytes;
    size_t size;
    int status = file_read(path, &bytes, &size);
    if (status != EXIT_OK)
        return status;
    if (lw_state_restore(job->state, bytes, size) != LW_OK)
        status = fail_library(path);
    free(bytes);
    return status;
}

/* A row whose end lies before the last piece has no last step there, so that --last over lengths without a recurrent
 * layer, which remembers it, is one call. */
static int may_cut(const struct job *job)
{
    return !job->work.reverse && (job->work.recurrent || !job->arguments->last);
}

static int prepare(struct job *job)
{
    const struct arguments *arguments = job->arguments;
    if (arguments->chunk != OPTION_UNSET && job->work.reverse)
        return fail("--chunk: %s has a reverse layer, which needs the whole sequence: a cut would change the result; "
                    "leave --chunk out",
                    job->work.path);
    int status = sequence_load(&job->input, arguments->input, arguments->shape, arguments->batch_first, &job->work);
    if (status != EXIT_OK)
        return status;
    shape_output(job);
    status = array_save_check(arguments->output, &job->output);
    if (status == EXIT_OK && arguments->state_out)
        status = output_check(arguments->state_out);
    if (status == EXIT_OK && arguments->lengths)
        status = lengths_load(arguments->lengths, job->input.batch, job->input.steps, &job->lengths);
    if (status != EXIT_OK)
        return status;
    job->output.values = allocate(job->output.count, sizeof(float));
    job->piece_lengths = allocate(job->input.batch, sizeof(size_t));
    if (!job->output.values || !job->piece_lengths)
        return fail("out of memory for an output of %zu numbers", job->output.count);
    if (lw_state_create(job->work.model, job->input.batch, &job->state) != LW_OK)
        return fail_library(job->work.path);
    job->chunk = job->input.steps ? job->input.steps : 1;
    size_t chosen = arguments->chunk != OPTION_UNSET ? arguments->chunk : work_chunk(&job->work, job->input.batch);
    if (may_cut(job) && chosen < job->chunk)
        job->chunk = chosen;
    return arguments->state_in ? restore_state(job) : EXIT_OK;
}

/* Steps `start` to `start + steps`. */
static int run_piece(struct job *job, size_t start, size_t steps)
{
    int last = job->arguments->last, final = start + steps == job->input.steps;
    lw_io io = LW_IO_INIT;
    io.steps = steps;
    io.batch = job->input.batch;
    io.input = job->input.array.values + start * job->input.step_stride;
    io.input_step_stride = job->input.step_stride;
    io.input_row_stride = job->input.row_stride;
    io.output_kind = last ? LW_OUTPUT_LAST : LW_OUTPUT_SEQUENCE;
    io.output_step_stride = job->out_step;
    io.output_row_stride = job->out_row;
    if (!last)
        io.output = job->output.values + start * job->out_step;
    else if (final)
        io.output = job->output.values;
    if (job->lengths) {
        for (size_t b = 0; b < job->input.batch; b++) {
            size_t length = job->lengths[b] > start ? job->lengths[b] - start : 0;
            job->piece_lengths[b] = length < steps ? length : steps;
        }
        io.lengths = job->piece_lengths;
    }
    job->calls++;
    return lw_run(job->work.context, job->state, &io) == LW_OK ? EXIT_OK : fail_library(job->work.path);
}

static int run_all(struct job *job)
{
    size_t steps = job->input.steps, start = 0;
    int status = EXIT_OK;
    double began = clock_seconds();
    progress_begin("run", job->chunk < steps ? steps : 0);
    do {
        size_t piece = steps - start < job->chunk ? steps - start : job->chunk;
        status = run_piece(job, start, piece);
        start += piece;
        progress_set(start);
    } while (status == EXIT_OK && start < steps);
    progress_end();
    job->seconds = clock_seconds() - began;
    return status;
}

static int write_files(struct job *job)
{
    const char *path = job->arguments->state_out;
    size_t bytes = path ? lw_state_bytes(job->state) : 0;
    void *buffer = path ? allocate(bytes, 1) : NULL;
    if (path && !buffer)
        return fail("%s: out of memory", path);
    int status = EXIT_OK;
    if (path && lw_state_save(job->state, buffer, bytes) != LW_OK)
        status = fail_library(path);
    if (status == EXIT_OK)
        status = array_save(job->arguments->output, &job->output);
    if (status == EXIT_OK && path)
        status = output_write(path, buffer, bytes);
    free(buffer);
    return status;
}

static json_t *json_shape(const struct array *array)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < array->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)array->shape[i]));
    return shape;
}

static int summarise(const struct job *job)
{
    const struct arguments *arguments = job->arguments;
    double work = (double)job->input.steps * (double)job->input.batch, flops = work * (double)job->work.flops;
    double seconds = job->seconds > 0 ? job->seconds : 1e-9;
    const char *isa = lw_isa_name(lw_model_isa(job->work.model));
    double sound = job->input.array.sample_rate ? work / (double)job->input.array.sample_rate : 0;
    if (arguments->json) {
        json_t *root = json_pack("{s:o, s:{s:o, s:o}, s:{s:o, s:o}, s:I, s:I, s:s, s:I, s:I, s:I, s:f, s:f, s:f}",
                                 "model", json_text(job->work.path), "input", "file", json_text(arguments->input),
                                 "shape", json_shape(&job->input.array), "output", "file", json_text(arguments->output),
                                 "shape", json_shape(&job->output), "steps", (json_int_t)job->input.steps, "batch",
                                 (json_int_t)job->input.batch, "isa", isa, "threads", (json_int_t)job->work.threads,
                                 "chunk", (json_int_t)job->chunk, "calls", (json_int_t)job->calls, "seconds",
                                 job->seconds, "steps_per_second", work / seconds, "flops_per_second", flops / seconds);
        if (sound > 0)
            json_object_set_new(root, "times_real_time", json_real(sound / seconds));
        return json_print(root);
    }
    char from[SHAPE_TEXT], to[SHAPE_TEXT];
    char *name = clean_copy(arguments->output);
    printf("%s: %s from %s in %.3g s (%.4g steps/s, %.3g GFLOP/s, %s, up to %zu threads)\n", name,
           shape_text(job->output.shape, job->output.rank, to),
           shape_text(job->input.array.shape, job->input.array.rank, from), job->seconds, work / seconds,
           flops / seconds * 1e-9, isa, job->work.threads);
    if (sound > 0)
        printf("%.3g s of sound, %.3g times real time\n", sound, sound / seconds);
    free(name);
    return EXIT_OK;
}

/* A state alone may be written over the one that was read: so a stream goes on from call to call. */
static int check_outputs(const struct arguments *arguments, const char *model)
{
    const char *const inputs[] = {model, arguments->input, arguments->lengths, arguments->state_in};
    int status = output_spares("output", arguments->output, inputs, 4);
    return status == EXIT_OK && arguments->state_out ? output_spares("state-out", arguments->state_out, inputs, 3)
                                                     : status;
}

static int check_arguments(const struct arguments *arguments)
{
    size_t shape[3], rank;
    int isa, to_pipe = strcmp(arguments->output, "-") == 0;
    if (arguments->state_out && strcmp(arguments->state_out, arguments->output) == 0)
        return misuse("--output and --state-out name the same file '%s'", arguments->output);
    if (to_pipe && arguments->json)
        return misuse("--json and --output - both want standard output; name a file for the output");
    int status = find_isa(arguments->isa, &isa);
    return status == EXIT_OK && arguments->shape ? parse_shape(arguments->shape, shape, &rank) : status;
}

static int run(int argc, const char **argv)
{
    struct arguments arguments = {0};
    struct job job = {.arguments = &arguments};
    const char *path = NULL;
    int status = arguments_parse(&command_run, argc, argv, &arguments, &path);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    status = check_arguments(&arguments);
    if (status == EXIT_OK)
        status = check_outputs(&arguments, path);
    if (status == EXIT_OK)
        status = work_open(&job.work, path, arguments.isa, arguments.threads);
    if (status == EXIT_OK)
        status = prepare(&job);
    if (status == EXIT_OK)
        status = run_all(&job);
    if (status == EXIT_OK)
        status = write_files(&job);
    if (status == EXIT_OK && strcmp(arguments.output, "-") != 0)
        status = summarise(&job);
    lw_state_destroy(job.state);
    array_free(&job.input.array);
    array_free(&job.output);
    free(job.lengths);
    free(job.piece_lengths);
    work_close(&job.work);
    return status;
}
