/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a probability of speech for each chunk to segments of speech, as the chunks come: hysteresis, a least length of
 * speech and of silence, and a little room at both ends, as the original detector does by default. Called by vad.c.
 */
#ifndef VAD_SEGMENTS_H
#define VAD_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct vad_segment {
    size_t start, end; /* samples; the end is not part of it */
    float mean, peak;  /* of the probabilities of its chunks */
} vad_segment;

typedef struct vad_segments {
    size_t position;      /* samples that have come */
    bool inside, pausing; /* in speech; in speech, but below the lower threshold since `pause` */
    size_t start, pause;
    double sum, pause_sum; /* of the probabilities up to now, and up to the pause */
    size_t count, pause_count;
    float peak;
} vad_segments; /* all zero at the start */

/* Takes the probability of the next chunk, which has `samples` new samples. True when a segment has ended: *segment. */
bool vad_segments_push(vad_segments *s, float probability, size_t samples, vad_segment *segment);
/* After the last chunk: true when speech lasted to the end of the recording. */
bool vad_segments_finish(vad_segments *s, vad_segment *segment);

#endif
