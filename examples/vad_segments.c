/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments of speech from probabilities. Called by vad.c. The room at the ends of two segments never meets: between
 * them lies at least the shortest silence, which is longer than twice that room.
 */
#include "vad_segments.h"

/* The defaults of the original detector, at 16 samples a millisecond. */
#define START_THRESHOLD 0.5f
#define END_THRESHOLD 0.35f
enum { SHORTEST_SPEECH = 250 * 16, SHORTEST_SILENCE = 100 * 16, ROOM = 30 * 16 };
_Static_assert(2 * ROOM < SHORTEST_SILENCE, "the room of two segments must not meet");

/* Ends the segment at sample `end`; false when it is too short to count. */
static bool close_segment(vad_segments *s, size_t end, double sum, size_t count, vad_segment *segment)
{
    s->inside = s->pausing = false;
    if (end - s->start <= SHORTEST_SPEECH)
        return false;
    segment->start = s->start > ROOM ? s->start - ROOM : 0;
    segment->end = end + ROOM < s->position ? end + ROOM : s->position;
    segment->mean = (float)(sum / (double)count);
    segment->peak = s->peak;
    return true;
}

bool vad_segments_push(vad_segments *s, float probability, size_t samples, vad_segment *segment)
{
    const size_t now = s->position;
    s->position += samples;
    if (!s->inside) {
        if (!(probability >= START_THRESHOLD))
            return false;
        *s = (vad_segments){.position = s->position, .inside = true, .start = now};
    } else if (probability >= START_THRESHOLD) {
        s->pausing = false;
    } else if (probability < END_THRESHOLD) {
        if (!s->pausing) {
            s->pausing = true;
            s->pause = now;
            s->pause_sum = s->sum;
            s->pause_count = s->count;
        }
        if (now - s->pause >= SHORTEST_SILENCE)
            return close_segment(s, s->pause, s->pause_sum, s->pause_count, segment);
    }
    s->sum += probability;
    s->count++;
    s->peak = probability > s->peak ? probability : s->peak;
    return false;
}

bool vad_segments_finish(vad_segments *s, vad_segment *segment)
{
    return s->inside && close_segment(s, s->position, s->sum, s->count, segment);
}
