/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV files of probabilities. Called by vad.c. A comparison passes only if the file holds every chunk, in order, and no
 * other, and each probability is within the tolerance; a NaN is not.
 */
#include "vad_compare.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char header[] = "start_sample,probability";

int vad_write(const char *path, const float *probabilities, size_t count, size_t chunk)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        fprintf(stderr, "vad: %s cannot be written: %s\n", path, strerror(errno));
        return 1;
    }
    fprintf(file, "%s\n", header);
    for (size_t i = 0; i < count; i++)
        fprintf(file, "%zu,%.9g\n", i * chunk, (double)probabilities[i]);
    int failed = ferror(file);
    if (fclose(file) || failed) {
        fprintf(stderr, "vad: %s could not be written whole: %s\n", path, strerror(errno));
        return 1;
    }
    return 0;
}

/* Compares line by line; the caller closes the file. */
static int compare_lines(FILE *file, const char *path, const float *probabilities, size_t count, size_t chunk)
{
    char line[128];
    double worst = 0.0;
    size_t worst_at = 0, i = 0;
    if (!fgets(line, sizeof line, file) || strncmp(line, header, sizeof header - 1) != 0) {
        fprintf(stderr, "vad: %s: the first line must be \"%s\"\n", path, header);
        return 1;
    }
    for (; fgets(line, sizeof line, file); i++) {
        size_t start;
        double expected;
        if (sscanf(line, "%zu,%lf", &start, &expected) != 2 || start != i * chunk) {
            fprintf(stderr, "vad: %s: line %zu must be \"%zu,<probability>\"\n", path, i + 2, i * chunk);
            return 1;
        }
        if (i >= count)
            continue;
        double difference = fabs(probabilities[i] - expected);
        if (!(difference <= worst)) {
            worst = difference;
            worst_at = i;
        }
        if (isnan(difference))
            break;
    }
    if (!isnan(worst) && i != count) {
        fprintf(stderr, "vad: %s has %zu chunks, the recording has %zu\n", path, i, count);
        return 1;
    }
    int good = worst <= VAD_TOLERANCE;
    printf("Against the original: worst difference %.2g of %zu probabilities (chunk %zu), %s %g\n", worst, count,
           worst_at, good ? "within" : "MORE THAN", VAD_TOLERANCE);
    return !good;
}

int vad_compare(const char *path, const float *probabilities, size_t count, size_t chunk)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "vad: %s cannot be read: %s\n", path, strerror(errno));
        return 1;
    }
    int result = compare_lines(file, path, probabilities, count, chunk);
    fclose(file);
    return result;
}
