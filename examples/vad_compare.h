/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probabilities in a CSV file of two columns, start_sample and probability: writing them, and holding them to those
 * that the original network gave. Called by vad.c.
 */
#ifndef VAD_COMPARE_H
#define VAD_COMPARE_H

#include <stddef.h>

#define VAD_TOLERANCE 1e-4

/* Writes `count` probabilities of chunks of `chunk` samples. 0, or 1 after a sentence on stderr. */
int vad_write(const char *path, const float *probabilities, size_t count, size_t chunk);

/* Prints the worst difference from the file's. 0 when it is within VAD_TOLERANCE, 1 after a sentence otherwise. */
int vad_compare(const char *path, const float *probabilities, size_t count, size_t chunk);

#endif
