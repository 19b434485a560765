/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the speech in a recording, chunk by chunk as it would come from a microphone:
 *     vad [options] MODEL RECORDING.wav
 * prints each segment as soon as it has ended, then how fast that went. The network is Silero's voice activity
 * detector: vad_frontend.c turns a chunk into features, a Latchwork model (LSTM, ReLU, dense with sigmoid) into a
 * probability, and vad_segments.c probabilities into segments. Nothing is allocated between the first chunk and the
 * last.
 */
#include <latchwork.h>

#include <getopt.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vad_compare.h"
#include "vad_frontend.h"
#include "vad_segments.h"

typedef struct detector {
    lw_model *model;
    lw_context *context;
    lw_state *state;
    vad_frontend *frontend;
    SNDFILE *sound;
    SF_INFO info;
    size_t chunks, samples;
    float *probabilities;          /* (chunks) */
    float *chunk_time, *step_time; /* (chunks), microseconds */
    float *interleaved;            /* (VAD_CHUNK, channels), as the file has it */
} detector;

static const char usage[] =
    "usage: vad [--compare FILE.csv] [--write FILE.csv] [--isa NAME] MODEL RECORDING.wav\n"
    "  --compare FILE  hold the probabilities to those in FILE; the exit code is 1 when they differ\n"
    "  --write FILE    write the probability of each chunk to FILE\n"
    "  --isa NAME      use this instruction set: scalar, neon, avx2 or avx512\n"
    "  --help          show this text\n";

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "vad: %s%s%s\n", what, what[0] ? ": " : "", why);
    return 1;
}

static int open_model(detector *d, const char *path)
{
    char message[256];
    lw_tensors *tensors = NULL;
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = 1; /* one stream needs no more */
    if (lw_tensors_open(path, &tensors) || lw_model_from_tensors(tensors, NULL, &d->model) ||
        lw_context_create(d->model, &options, &d->context) || lw_state_create(d->model, 1, &d->state)) {
        lw_tensors_close(tensors);
        return fail("", lw_error());
    }
    int bad = vad_frontend_create(tensors, &d->frontend, message, sizeof message) != LW_OK;
    lw_tensors_close(tensors);
    if (bad)
        return fail(path, message);
    if (lw_model_input_size(d->model) != VAD_FEATURES || lw_model_output_size(d->model) != 1)
        return fail(path, "the model must take 128 features and give one probability");
    return 0;
}

static int open_recording(detector *d, const char *path)
{
    d->sound = sf_open(path, SFM_READ, &d->info);
    if (!d->sound)
        return fail(path, sf_strerror(NULL));
    if (d->info.samplerate != VAD_RATE) {
        char message[128];
        snprintf(message, sizeof message, "it has %d samples a second; %d are expected (sox can convert it)",
                 d->info.samplerate, VAD_RATE);
        return fail(path, message);
    }
    if (d->info.frames <= 0)
        return fail(path, "there are no samples in it");
    d->samples = (size_t)d->info.frames;
    d->chunks = (d->samples - 1) / VAD_CHUNK + 1;
    d->probabilities = calloc(d->chunks, sizeof(float));
    d->chunk_time = calloc(d->chunks, sizeof(float));
    d->step_time = calloc(d->chunks, sizeof(float));
    d->interleaved = calloc((size_t)d->info.channels * VAD_CHUNK, sizeof(float));
    return d->probabilities && d->chunk_time && d->step_time && d->interleaved ? 0 : fail(path, "out of memory");
}

/* Reads the next samples, the mean of the channels, and fills up with zeros. Returns how many there were. */
static size_t read_chunk(detector *d, float *chunk)
{
    sf_count_t got = sf_readf_float(d->sound, d->interleaved, VAD_CHUNK);
    const int channels = d->info.channels;
    for (sf_count_t i = 0; i < VAD_CHUNK; i++) {
        float sum = 0.0f;
        for (int c = 0; c < channels && i < got; c++)
            sum += d->interleaved[i * channels + c];
        chunk[i] = channels > 1 ? sum / (float)channels : sum;
    }
    return got > 0 ? (size_t)got : 0;
}

static void print_segment(const vad_segment *s)
{
    printf("  %7.3f s to %7.3f s   %6.3f s   mean probability %.3f, highest %.3f\n", (double)s->start / VAD_RATE,
           (double)s->end / VAD_RATE, (double)(s->end - s->start) / VAD_RATE, (double)s->mean, (double)s->peak);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int detect(detector *d)
{
    float window[VAD_CONTEXT + VAD_CHUNK] = {0}, features[VAD_FEATURES];
    vad_segments segments = {0};
    vad_segment segment;
    size_t found = 0;
    for (size_t i = 0; i < d->chunks; i++) {
        memmove(window, window + VAD_CHUNK, VAD_CONTEXT * sizeof *window);
        size_t got = read_chunk(d, window + VAD_CONTEXT);
        if (got != VAD_CHUNK && i + 1 < d->chunks)
            return fail("the recording", "it ends before the length that its header states");
        const double start = now();
        lw_status status = vad_frontend_run(d->frontend, window, features);
        const double middle = now();
        if (status || lw_step(d->context, d->state, features, &d->probabilities[i]))
            return fail("", lw_error());
        const double end = now();
        d->step_time[i] = (float)(end - middle);
        d->chunk_time[i] = (float)(end - start);
        if (vad_segments_push(&segments, d->probabilities[i], got, &segment)) {
            print_segment(&segment);
            found++;
        }
    }
    if (vad_segments_finish(&segments, &segment)) {
        print_segment(&segment);
        found++;
    }
    if (!found)
        printf("  no speech\n");
    return 0;
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void print_speed(detector *d)
{
    const double seconds = (double)d->samples / VAD_RATE;
    double total = 0.0;
    for (size_t i = 0; i < d->chunks; i++)
        total += (double)d->chunk_time[i];
    qsort(d->chunk_time, d->chunks, sizeof(float), compare_floats);
    qsort(d->step_time, d->chunks, sizeof(float), compare_floats);
    printf("%.2f s of sound in %.1f ms: %.0f times real time\n", seconds, total * 1e-3, seconds * 1e6 / total);
    printf("A chunk of 32 ms takes %.1f us, the step of the LSTM model in it %.1f us (medians)\n",
           (double)d->chunk_time[d->chunks / 2], (double)d->step_time[d->chunks / 2]);
}

static int run(detector *d, const char *model, const char *recording, const char *compare, const char *write)
{
    if (open_model(d, model) || open_recording(d, recording))
        return 1;
    lw_machine machine = {.size = sizeof machine};
    if (lw_machine_query(&machine))
        return fail("", lw_error());
    printf("Speech in %s (%.2f s, %zu chunks):\n", recording, (double)d->samples / VAD_RATE, d->chunks);
    if (detect(d))
        return 1;
    print_speed(d);
    printf("Instruction set %s, one thread, %s\n", lw_isa_name(lw_model_isa(d->model)),
           machine.cpu_name[0] ? machine.cpu_name : "a CPU without a name");
    if (write && vad_write(write, d->probabilities, d->chunks, VAD_CHUNK))
        return 1;
    return compare && vad_compare(compare, d->probabilities, d->chunks, VAD_CHUNK);
}

static void close_all(detector *d)
{
    if (d->sound)
        sf_close(d->sound);
    vad_frontend_destroy(d->frontend);
    lw_state_destroy(d->state);
    lw_context_destroy(d->context);
    lw_model_destroy(d->model);
    free(d->probabilities);
    free(d->chunk_time);
    free(d->step_time);
    free(d->interleaved);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"compare", required_argument, NULL, 'c'},
                                            {"write", required_argument, NULL, 'w'},
                                            {"isa", required_argument, NULL, 'i'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *compare = NULL, *write = NULL;
    lw_isa isa;
    for (int option; (option = getopt_long(argc, argv, "c:w:i:h", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            compare = optarg;
            break;
        case 'w':
            write = optarg;
            break;
        case 'i':
            if (lw_isa_find(optarg, &isa) || lw_isa_set(isa))
                return fail("", lw_error());
            break;
        case 'h':
            return fputs(usage, stdout) < 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (argc - optind != 2) {
        fprintf(stderr, "vad: a model and a recording are expected\n%s", usage);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* a segment is seen as soon as it is found */
    detector d = {0};
    int result = run(&d, argv[optind], argv[optind + 1], compare, write);
    close_all(&d);
    return result;
}
