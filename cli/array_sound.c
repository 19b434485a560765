/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sound files through libsndfile, from memory: samples between -1 and 1, (frames, channels).
 */
#include "array.h"
#include "report.h"

#include <sndfile.h>
#include <stdlib.h>
#include <string.h>

struct memory {
    const char *bytes;
    sf_count_t size, at;
};

static sf_count_t memory_size(void *user)
{
    return ((struct memory *)user)->size;
}

static sf_count_t memory_seek(sf_count_t offset, int whence, void *user)
{
    struct memory *memory = user;
    sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? memory->at : memory->size, place;
    if (__builtin_add_overflow(base, offset, &place) || place < 0 || place > memory->size)
        return -1;
    return memory->at = place;
}

static sf_count_t memory_read(void *to, sf_count_t count, void *user)
{
    struct memory *memory = user;
    if (count > memory->size - memory->at)
        count = memory->size - memory->at;
    if (count <= 0)
        return 0;
    memcpy(to, memory->bytes + memory->at, (size_t)count);
    memory->at += count;
    return count;
}

static sf_count_t memory_tell(void *user)
{
    return ((struct memory *)user)->at;
}

static sf_count_t memory_write(const void *from, sf_count_t count, void *user)
{
    (void)from, (void)count, (void)user;
    return 0;
}

/* Reads what there is: the frame count of a damaged header is a claim, not a size to allocate. */
static int read_frames(const char *path, SNDFILE *file, size_t channels, struct array *array)
{
    size_t capacity = 65536 / channels + 1, frames = 0;
    for (;;) {
        float *values = product(product(capacity, channels), sizeof(float)) == (size_t)-1
                            ? NULL
                            : realloc(array->values, capacity * channels * sizeof(float));
        if (!values)
            return fail("%s: out of memory after %zu frames", path, frames);
        array->values = values;
        sf_count_t got = sf_readf_float(file, values + frames * channels, (sf_count_t)(capacity - frames));
        frames += got > 0 ? (size_t)got : 0;
        if (frames < capacity)
            break;
        capacity *= 2;
    }
    array->rank = 2;
    array->shape[0] = frames;
    array->shape[1] = channels;
    array->count = frames * channels;
    return EXIT_OK;
}

int sound_parse(const char *path, const void *bytes, size_t size, const struct array_hint *hint, struct array *array)
{
    struct memory memory = {bytes, (sf_count_t)size, 0};
    SF_VIRTUAL_IO io = {memory_size, memory_seek, memory_read, memory_write, memory_tell};
    SF_INFO info = {0};
    SNDFILE *file = sf_open_virtual(&io, SFM_READ, &info, &memory);
    if (!file)
        return fail("%s: is not a sound that can be read: %s", path, sf_strerror(NULL));
    int status = EXIT_OK;
    if (info.channels < 1 || (size_t)info.channels != hint->width)
        status = fail("%s: has %d channels; the model takes %zu (its input width)", path, info.channels, hint->width);
    else
        status = read_frames(path, file, (size_t)info.channels, array);
    array->sample_rate = info.samplerate > 0 ? (size_t)info.samplerate : 0;
    sf_close(file);
    return status;
}
