/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream that can be interrupted: one step for each line that comes, and a state that outlives the program.
 *     stream MODEL STATE < numbers
 * takes up the state in the file STATE if there is one, reads I numbers a step from standard input, prints O numbers at
 * once, and writes the state back at the end. Two halves of a sequence give the bits that the whole one gives.
 */
#include <latchwork.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "stream: %s%s%s\n", what, what[0] ? ": " : "", why);
    return 1;
}

/* A file that is not there is a stream that begins. One byte more is asked for, to see a file that is too long. */
static int restore(lw_state *state, const char *path)
{
    const size_t bytes = lw_state_bytes(state);
    FILE *file = fopen(path, "rb");
    if (!file)
        return errno == ENOENT ? 0 : fail(path, strerror(errno));
    unsigned char *buffer = malloc(bytes + 1);
    size_t got = buffer ? fread(buffer, 1, bytes + 1, file) : 0;
    int bad = !buffer ? fail(path, "out of memory") : lw_state_restore(state, buffer, got) ? fail(path, lw_error()) : 0;
    free(buffer);
    fclose(file);
    return bad;
}

static int save(const lw_state *state, const char *path)
{
    const size_t bytes = lw_state_bytes(state);
    void *buffer = malloc(bytes);
    if (!buffer)
        return fail(path, "out of memory");
    FILE *file = NULL;
    int bad = lw_state_save(state, buffer, bytes) ? fail("", lw_error()) : 0;
    if (!bad && !(file = fopen(path, "wb")))
        bad = fail(path, strerror(errno));
    if (!bad && fwrite(buffer, 1, bytes, file) != bytes)
        bad = fail(path, "the state could not be written whole");
    if (file && fclose(file) && !bad)
        bad = fail(path, strerror(errno));
    free(buffer);
    return bad;
}

/* Steps until the numbers end; a step that they end in the middle of is a mistake. */
static int follow(lw_context *context, lw_state *state, float *x, size_t inputs, float *y, size_t outputs)
{
    size_t got = 0;
    while (scanf("%f", &x[got]) == 1) {
        if (++got < inputs)
            continue;
        got = 0;
        if (lw_step(context, state, x, y))
            return fail("", lw_error());
        for (size_t i = 0; i < outputs; i++)
            printf("%.9g%c", (double)y[i], i + 1 < outputs ? ' ' : '\n');
        fflush(stdout);
    }
    return got || !feof(stdin) ? fail("standard input", "it must hold whole steps of numbers and nothing else") : 0;
}

static int run(lw_context *context, lw_state *state, const lw_model *model, const char *path)
{
    const size_t inputs = lw_model_input_size(model), outputs = lw_model_output_size(model);
    float *x = calloc(inputs, sizeof *x), *y = calloc(outputs, sizeof *y);
    int bad = !x || !y ? fail("", "out of memory") : restore(state, path);
    if (!bad)
        bad = follow(context, state, x, inputs, y, outputs);
    free(x);
    free(y);
    return bad ? bad : save(state, path);
}

int main(int argc, char **argv)
{
    lw_model *model = NULL;
    lw_context *context = NULL;
    lw_state *state = NULL;
    if (argc != 3)
        return fprintf(stderr, "usage: stream MODEL STATE < numbers\n"), 2;
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = 1;
    int bad = lw_model_load(argv[1], NULL, &model) || lw_context_create(model, &options, &context) ||
                      lw_state_create(model, 1, &state)
                  ? fail("", lw_error())
                  : run(context, state, model, argv[2]);
    lw_state_destroy(state);
    lw_context_destroy(context);
    lw_model_destroy(model);
    return bad;
}
