/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `latchwork gates MODEL --input FILE --output gates.svg|.html|.csv`: records what the gates of one layer let through
 * for one row of the batch, and draws it or lists it. A picture has at most COLUMNS columns: longer sequences are
 * brought down by means while they run, so that memory does not grow with them.
 */
#include "arguments.h"
#include "file.h"
#include "picture.h"
#include "progress.h"
#include "report.h"
#include "work.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COLUMNS ((size_t)1000)
#define PICTURE_UNITS 64      /* rows of a panel unless --units says more */
#define PICTURE_UNITS_MAX 512 /* beyond, a row is no longer seen */
#define PIECE_FLOATS ((size_t)1 << 22)

struct arguments {
    const char *input, *output, *units, *shape;
    size_t layer, batch_row;
    int reverse, batch_first;
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
     .help = "(T, I) or (T, B, I), as for 'latchwork run'"},
    {.name = "output",
     .letter = 'o',
     .kind = OPTION_TEXT,
     AT(output),
     .value = "FILE",
     .values = VALUES_FILE,
     .required = 1,
     .help = "a picture, .svg or (with the values under the pointer)\n.html, or a table, .csv"},
    {.name = "layer",
     .letter = 'l',
     .kind = OPTION_SIZE,
     AT(layer),
     .value = "N",
     .most = LW_SIZE_MAX,
     .help = "which layer, as 'latchwork inspect' numbers them\n(default: the first that has gates)"},
    {.name = "reverse", .kind = OPTION_FLAG, AT(reverse), .help = "the reverse direction of a bidirectional layer"},
    {.name = "units",
     .letter = 'u',
     .kind = OPTION_TEXT,
     AT(units),
     .value = "LIST",
     .help = "which units: 0,3,8-15 (default: all in a table, the\nfirst 64 in a picture)"},
    {.name = "batch-row",
     .kind = OPTION_SIZE,
     AT(batch_row),
     .value = "N",
     .most = LW_SIZE_MAX,
     .help = "which row of the batch (default: 0)"},
    {.name = "batch-first", .kind = OPTION_FLAG, AT(batch_first), .help = "three dimensions are (B, T, I)"},
    {.name = "shape",
     .kind = OPTION_TEXT,
     AT(shape),
     .value = "T,B,I",
     .help = "shape of a raw input (default: T,I from its size)"},
};

static int run(int argc, const char **argv);

const struct command command_gates = {
    .name = "gates",
    .operand = "MODEL",
    .summary = "draw what the gates of a layer let through over time",
    .details = "One panel for each signal (LSTM: input, forget, output, candidate, cell, hidden; GRU: reset, update,\n"
               "candidate, hidden; RNN: hidden). The table has the columns t,row,signal,unit,value.\n"
               "Example:\n"
               "  latchwork gates voice.safetensors --input speech.npy --output gates.html --units 0-31",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};

enum form { FORM_NONE, FORM_SVG, FORM_HTML, FORM_CSV };

struct job {
    struct arguments arguments;
    enum form form;
    struct work work;
    struct sequence input;
    lw_layer layer;
    size_t layer_index, unit_count;
    lw_direction direction;
    size_t *units;
    struct picture picture;
    double *sums; /* (signals, units, columns) */
    FILE *table;
};

static enum form form_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && strcasecmp(dot, ".svg") == 0)
        return FORM_SVG;
    if (dot && (strcasecmp(dot, ".html") == 0 || strcasecmp(dot, ".htm") == 0))
        return FORM_HTML;
    return dot && strcasecmp(dot, ".csv") == 0 ? FORM_CSV : FORM_NONE;
}

/* The layers that have gates, "0 (lstm), 1 (lstm)", for a refusal. */
static void list_layers(const struct job *job, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < lw_model_layer_count(job->work.model) && used + 40 < room; i++) {
        lw_layer layer = {.size = sizeof layer};
        if (lw_model_layer(job->work.model, i, &layer) == LW_OK && layer.signals > 0)
            used += (size_t)snprintf(out + used, room - used, "%s%zu (%s)", used ? ", " : "", i, kind_name(layer.kind));
    }
}

static int choose_layer(struct job *job)
{
    const struct arguments *arguments = &job->arguments;
    size_t count = lw_model_layer_count(job->work.model), index = arguments->layer;
    char list[400];
    list_layers(job, list, sizeof list);
    if (index == OPTION_UNSET) {
        for (index = 0; index < count; index++) {
            job->layer = (lw_layer){.size = sizeof job->layer};
            if (lw_model_layer(job->work.model, index, &job->layer) == LW_OK && job->layer.signals > 0)
                break;
        }
        if (index == count)
            return fail("%s: has no recurrent layer, so there are no gates", job->work.path);
    }
    if (index >= count)
        return fail("--layer %zu: the model has %zu layers; those with gates are %s", index, count, list);
    job->layer = (lw_layer){.size = sizeof job->layer};
    if (lw_model_layer(job->work.model, index, &job->layer) != LW_OK)
        return fail_library(job->work.path);
    if (job->layer.signals == 0 || job->layer.signals > PICTURE_SIGNALS)
        return fail("--layer %zu: a %s layer has no gates; those with gates are %s", index, kind_name(job->layer.kind),
                    *list ? list : "none");
    if (arguments->reverse && job->layer.direction == LW_FORWARD)
        return fail("--reverse: layer %zu runs forward only", index);
    job->layer_index = index;
    job->direction = arguments->reverse || job->layer.direction == LW_REVERSE ? LW_REVERSE : LW_FORWARD;
    return EXIT_OK;
}

/* One number of a list; *at moves behind it. */
static int list_number(const char **at, size_t *value)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(*at, &end, 10);
    if (**at < '0' || **at > '9' || errno || number > LW_SIZE_MAX)
        return 0;
    *value = (size_t)number;
    *at = end;
    return 1;
}

/* Walks "0,3,8-15": counts the units, and keeps them where `units` is not NULL. 0 when the list is broken. */
static size_t walk_units(const char *text, size_t hidden, size_t *units, size_t *beyond)
{
    size_t count = 0, first, last;
    for (;;) {
        if (!list_number(&text, &first))
            return 0;
        last = first;
        if (*text == '-') {
            text++;
            if (!list_number(&text, &last) || last < first)
                return 0;
        }
        if (last >= hidden) {
            *beyond = last;
            return 1;
        }
        for (size_t u = first; u <= last; u++) {
            if (units)
                units[count] = u;
            count++;
        }
        if (*text == '\0')
            return count;
        if (*text++ != ',')
            return 0;
    }
}

static int choose_units(struct job *job)
{
    const char *text = job->arguments.units;
    size_t hidden = job->layer.hidden, beyond = OPTION_UNSET;
    job->unit_count = hidden;
    if (!text && job->form != FORM_CSV && hidden > PICTURE_UNITS)
        job->unit_count = PICTURE_UNITS;
    if (text) {
        job->unit_count = walk_units(text, hidden, NULL, &beyond);
        if (job->unit_count == 0)
            return misuse("--units: expected numbers and ranges between commas, as in 0,3,8-15, got '%s'", text);
        if (beyond != OPTION_UNSET)
            return fail("--units: there is no unit %zu; layer %zu has the units 0 to %zu", beyond, job->layer_index,
                        hidden - 1);
        if (job->form != FORM_CSV && job->unit_count > PICTURE_UNITS_MAX)
            return fail("--units: %zu units are too many for a picture; expected at most %d (a .csv has no limit)",
                        job->unit_count, PICTURE_UNITS_MAX);
    }
    job->units = allocate(job->unit_count, sizeof(size_t));
    if (!job->units)
        return fail("out of memory for %zu units", job->unit_count);
    if (text)
        walk_units(text, hidden, job->units, &beyond);
    for (size_t i = 0; !text && i < job->unit_count; i++)
        job->units[i] = i;
    return EXIT_OK;
}

static char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *format_text(const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return clean_copy(text);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int describe(struct job *job)
{
    struct picture *picture = &job->picture;
    lw_brick brick = {.size = sizeof brick};
    char mean[96] = "each column is one step", some[64] = "";
    size_t steps = job->input.steps;
    if (lw_model_brick(job->work.model, job->layer.brick, &brick) != LW_OK)
        return fail_library(job->work.path);
    if (job->unit_count < job->layer.hidden)
        snprintf(some, sizeof some, ", %zu shown", job->unit_count);
    if (picture->columns < steps && steps % picture->columns == 0)
        snprintf(mean, sizeof mean, "each column is the mean of %zu steps", steps / picture->columns);
    else if (picture->columns < steps)
        snprintf(mean, sizeof mean, "each column is the mean of %zu or %zu steps", steps / picture->columns,
                 steps / picture->columns + 1);
    picture->title = format_text("%s: layer %zu, %s \"%s\"%s", base_name(job->work.path), job->layer_index,
                                 kind_name(job->layer.kind), brick.name,
                                 job->direction == LW_REVERSE ? ", reverse direction" : "");
    picture->subtitle = format_text("input %s, batch row %zu; %zu steps, %zu units%s", base_name(job->arguments.input),
                                    job->arguments.batch_row, steps, job->layer.hidden, some);
    picture->caption = format_text("%zu steps, %s.", steps, mean);
    return EXIT_OK;
}

static int prepare(struct job *job)
{
    const struct arguments *arguments = &job->arguments;
    int status = choose_layer(job);
    if (status == EXIT_OK)
        status = choose_units(job);
    if (status == EXIT_OK)
        status = output_check(arguments->output);
    if (status == EXIT_OK)
        status = sequence_load(&job->input, arguments->input, arguments->shape, arguments->batch_first, &job->work);
    if (status != EXIT_OK)
        return status;
    if (job->arguments.batch_row == OPTION_UNSET)
        job->arguments.batch_row = 0;
    if (job->arguments.batch_row >= job->input.batch)
        return fail("--batch-row %zu: the input has %zu rows, 0 to %zu", job->arguments.batch_row, job->input.batch,
                    job->input.batch - 1);
    if (job->input.steps == 0)
        return fail("%s: has no steps, so there is nothing to show", arguments->input);
    struct picture *picture = &job->picture;
    picture->steps = job->input.steps;
    picture->columns = picture->steps < COLUMNS ? picture->steps : COLUMNS;
    picture->units = job->units;
    picture->unit_count = job->unit_count;
    picture->signal_count = job->layer.signals;
    for (size_t s = 0; s < picture->signal_count; s++)
        picture->signals[s] = lw_layer_signal(job->work.model, job->layer_index, s);
    if (job->form == FORM_CSV)
        return EXIT_OK;
    size_t cells = picture->signal_count * picture->unit_count * picture->columns;
    job->sums = calloc(cells, sizeof(double));
    picture->values = calloc(cells, sizeof(float));
    if (!job->sums || !picture->values)
        return fail("out of memory for a picture of %zu cells", cells);
    return describe(job);
}

/* Takes what a probe recorded of steps `start` to `start + steps`: (steps, signals, units). */
static void take(struct job *job, const float *values, size_t start, size_t steps)
{
    const struct picture *picture = &job->picture;
    size_t units = job->unit_count, signals = picture->signal_count;
    for (size_t t = 0; t < steps; t++) {
        size_t column = (start + t) * picture->columns / picture->steps;
        for (size_t s = 0; s < signals; s++) {
            const float *row = values + (t * signals + s) * units;
            for (size_t u = 0; u < units; u++) {
                if (job->table)
                    fprintf(job->table, "%zu,%zu,%s,%zu,%.9g\n", start + t, job->arguments.batch_row,
                            picture->signals[s], job->units[u], (double)row[u]);
                else
                    job->sums[(s * units + u) * picture->columns + column] += (double)row[u];
            }
        }
    }
}

static int record(struct job *job)
{
    size_t steps = job->input.steps, width = product(job->picture.signal_count, job->unit_count), chunk = steps;
    size_t fitting = PIECE_FLOATS / width ? PIECE_FLOATS / width : 1, cheap = work_chunk(&job->work, 1);
    if (!job->work.reverse)
        chunk = fitting < cheap ? fitting : cheap;
    if (chunk > steps)
        chunk = steps;
    float *values = allocate(product(chunk, width), sizeof(float));
    lw_state *state = NULL;
    if (!values)
        return fail("out of memory for recording %zu steps of %zu values; choose fewer --units", chunk, width);
    int status = lw_state_create(job->work.model, 1, &state) == LW_OK ? EXIT_OK : fail_library(job->work.path);
    lw_probe probe = LW_PROBE_INIT;
    probe.layer = job->layer_index;
    probe.direction = job->direction;
    probe.units = job->units;
    probe.unit_count = job->unit_count;
    probe.values = values;
    probe.capacity = product(chunk, width);
    progress_begin("gates", chunk < steps ? steps : 0);
    for (size_t start = 0; status == EXIT_OK && start < steps; start += chunk) {
        lw_io io = LW_IO_INIT;
        io.steps = steps - start < chunk ? steps - start : chunk;
        io.batch = 1;
        io.input = job->input.array.values + job->arguments.batch_row * job->input.row_stride +
                   start * job->input.step_stride;
        io.input_step_stride = job->input.step_stride;
        io.input_row_stride = job->input.row_stride;
        io.probes = &probe;
        io.probe_count = 1;
        if (lw_run(job->work.context, state, &io) != LW_OK)
            status = fail_library(job->work.path);
        else
            take(job, values, start, io.steps);
        progress_set(start);
    }
    progress_end();
    lw_state_destroy(state);
    free(values);
    return status;
}

static int draw(struct job *job, FILE *stream)
{
    struct picture *picture = &job->picture;
    size_t rows = picture->signal_count * picture->unit_count, first, last;
    for (size_t i = 0; i < rows * picture->columns; i++) {
        picture_column_steps(picture, i % picture->columns, &first, &last);
        picture->values[i] = (float)(job->sums[i] / (double)(last - first + 1));
    }
    return job->form == FORM_SVG ? picture_write_svg(stream, picture) : picture_write_html(stream, picture);
}

static int produce(struct job *job)
{
    struct output output;
    int status;
    if (job->form != FORM_CSV) {
        status = record(job);
        if (status == EXIT_OK)
            status = output_open(&output, job->arguments.output);
        if (status != EXIT_OK)
            return status;
        status = draw(job, output.stream);
    } else {
        status = output_open(&output, job->arguments.output);
        if (status != EXIT_OK)
            return status;
        fputs("t,row,signal,unit,value\n", output.stream);
        job->table = output.stream;
        status = record(job);
    }
    if (status == EXIT_OK)
        return output_commit(&output);
    output_abandon(&output);
    return status;
}

static int run(int argc, const char **argv)
{
    struct job job = {0};
    size_t shape[3], rank;
    const char *path = NULL;
    int status = arguments_parse(&command_gates, argc, argv, &job.arguments, &path);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    job.form = form_of(job.arguments.output);
    if (job.form == FORM_NONE)
        return misuse("--output: expected a name that ends in .svg, .html or .csv, got '%s'", job.arguments.output);
    if (job.arguments.shape && parse_shape(job.arguments.shape, shape, &rank) != EXIT_OK)
        return EXIT_USAGE;
    const char *const inputs[] = {path, job.arguments.input};
    status = output_spares("output", job.arguments.output, inputs, 2);
    if (status == EXIT_OK)
        status = work_open(&job.work, path, NULL, OPTION_UNSET);
    if (status == EXIT_OK)
        status = prepare(&job);
    if (status == EXIT_OK)
        status = produce(&job);
    if (status == EXIT_OK) {
        char *name = clean_copy(job.arguments.output);
        printf("%s: layer %zu, %zu signals of %zu units over %zu steps\n", name, job.layer_index,
               job.picture.signal_count, job.unit_count, job.input.steps);
        free(name);
    }
    free(job.picture.title);
    free(job.picture.subtitle);
    free(job.picture.caption);
    free(job.picture.values);
    free(job.sums);
    free(job.units);
    array_free(&job.input.array);
    work_close(&job.work);
    return status;
}
