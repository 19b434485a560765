/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in and out: reading one whole, and writing one so that it is there whole or not at all.
 * Used by the array readers and by every command that writes. Both print their own error sentence and return EXIT_OK,
 * EXIT_WORK, or EXIT_USAGE for a name that the command line should not have. The path "-" is standard input or output.
 */
#ifndef CLI_FILE_H
#define CLI_FILE_H

#include <stddef.h>
#include <stdio.h>

/* Reads the file; *bytes is malloc'd and belongs to the caller. */
int file_read(const char *path, void **bytes, size_t *size);

/* One output. It is written to a new file beside the target, which takes the target's place at the end. Devices and
 * pipes are written directly. At most one is open at a time. */
struct output {
    const char *path; /* as the user named it */
    char *target;     /* where links lead; NULL: written directly */
    char *temporary;
    FILE *stream; /* what to write to */
};

/* Fails early where a file could not be created at `path`; creates nothing. */
int output_check(const char *path);
/* Refuses an output that would take the place of a file which the command reads, by whatever name: `inputs` are paths,
 * NULL where there is none. */
int output_spares(const char *option, const char *path, const char *const *inputs, size_t count);
/* Both for several outputs, of which some may be NULL, before any work is done: they must differ, and one at most may
 * go to standard output. */
struct output_path {
    const char *option, *path;
};
int output_paths_check(const struct output_path *outputs, size_t count, const char *const *inputs, size_t input_count);
int output_is_standard(const char *path);
int output_open(struct output *output, const char *path);
/* Ends the output: EXIT_OK only when every byte is in its place. */
int output_commit(struct output *output);
/* Drops it: the target stays as it was. */
void output_abandon(struct output *output);
/* All three for bytes in memory. */
int output_write(const char *path, const void *bytes, size_t size);

/* From here on SIGINT, SIGTERM and SIGHUP remove the open output, say so and end the program with 128 + signal. */
void signals_catch(void);

/* The pattern of a temporary file or folder, "latchwork-" and `name`, in TMPDIR or /tmp, for mkstemp and mkdtemp. */
void temporary_pattern(char *path, size_t size, const char *name);

#endif
