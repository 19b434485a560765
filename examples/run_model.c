/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shortest useful program: loads a model and runs one sequence through it.
 *     run_model MODEL < numbers
 * reads T steps of I numbers each from standard input, separated by white space, and prints T lines of O numbers.
 */
#include <latchwork.h>

#include <stdio.h>
#include <stdlib.h>

static int run_sequence(const lw_model *model, lw_context *context, const float *numbers, size_t count)
{
    const size_t inputs = lw_model_input_size(model), outputs = lw_model_output_size(model);
    lw_io io = LW_IO_INIT;
    io.steps = count / inputs;
    io.batch = 1;
    io.input = numbers;
    io.output = calloc(io.steps * outputs, sizeof(float));
    int bad = !io.output || lw_run(context, NULL, &io); /* NULL: from a state of zeros */
    if (bad)
        fprintf(stderr, "run_model: %s\n", io.output ? lw_error() : "out of memory");
    for (size_t i = 0; !bad && i < io.steps * outputs; i++)
        printf("%.9g%c", (double)io.output[i], (i + 1) % outputs ? ' ' : '\n');
    free(io.output);
    return bad;
}

/* Reads all numbers of standard input into new memory; NULL when there are none or the memory is not enough. */
static float *read_numbers(size_t *count)
{
    size_t capacity = 0;
    float *numbers = NULL, number;
    for (*count = 0; scanf("%f", &number) == 1; numbers[(*count)++] = number) {
        if (*count < capacity)
            continue;
        capacity = capacity ? 2 * capacity : 1024;
        float *larger = realloc(numbers, capacity * sizeof *larger);
        if (!larger) {
            free(numbers);
            return NULL;
        }
        numbers = larger;
    }
    return numbers;
}

int main(int argc, char **argv)
{
    lw_model *model = NULL;
    lw_context *context = NULL;
    float *numbers = NULL;
    size_t count = 0;
    int bad = 1;
    if (argc != 2)
        return fprintf(stderr, "usage: run_model MODEL < numbers\n"), 2;
    if (lw_model_load(argv[1], NULL, &model) || lw_context_create(model, NULL, &context))
        fprintf(stderr, "run_model: %s\n", lw_error());
    else if (!(numbers = read_numbers(&count)) || count % lw_model_input_size(model) != 0 || !feof(stdin))
        fprintf(stderr, "run_model: %zu numbers came; a multiple of %zu, and nothing else, is expected\n", count,
                lw_model_input_size(model));
    else
        bad = run_sequence(model, context, numbers, count);
    free(numbers);
    lw_context_destroy(context);
    lw_model_destroy(model);
    return bad;
}
