/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of src/io share: tensor types, JSON text, whole files in and out, architectures, state_dicts.
 * Included by src/io alone. Everything here fails through lw_fail() with a sentence that begins with the source,
 * the file's name as it appears in messages. Nothing read from a file is trusted: text and sizes are checked
 * before they are used, and no allocation exceeds a fixed multiple of the bytes that are really there.
 */
#ifndef LW_IO_H
#define LW_IO_H

#include "../core.h"

#define LW_RANK_MAX 8
#define LW_HEADER_MAX ((size_t)100000000) /* the format's own limit for the header, in bytes */
#define LW_SOURCE_BYTES 208               /* a file's name in a sentence, with its closing NUL */

/* Text from a file or a caller, made fit for a sentence: clipped, without control characters. (text.c) */
typedef struct lw_quote {
    char text[84];
} lw_quote;
lw_quote lw_quoted(const char *text);
bool lw_is_utf8(const char *text);
/* "(12, 4)" */
lw_quote lw_shape_text(size_t rank, const size_t *shape);
/* The tail of a path, which is its telling part. */
void lw_source_name(const char *path, char source[LW_SOURCE_BYTES]);
/* Puts the source in front of the sentence that is there, and returns the status. */
lw_status lw_fail_in(const char *source, lw_status status);

/* Types of tensors. (types.c) */
typedef struct lw_type {
    const char *name;
    size_t bytes; /* of one element */
    bool real;    /* a floating-point type, which lw_type_read reads */
} lw_type;
const lw_type *lw_type_find(const char *name); /* NULL: none of that name */
extern const char lw_type_names[];             /* all of them, for sentences */
void lw_type_read(const lw_type *type, const unsigned char *data, float *values, size_t count);
uint64_t lw_read_u64(const unsigned char *bytes); /* little endian */
void lw_write_u64(unsigned char *bytes, uint64_t value);
/* Floats to little-endian bytes, bit for bit; `data` may be `values`. */
void lw_write_f32(unsigned char *data, const float *values, size_t count);

/* JSON objects member by member, so that a hostile header costs no more memory than a member. (members.c) */
typedef struct lw_span {
    const char *text;
    size_t length;
} lw_span;
typedef struct lw_members {
    const char *source, *what; /* for sentences: the file, and which object this is */
    lw_span object;            /* from its opening brace */
    size_t at;
    bool started;
} lw_members;
typedef struct lw_member {
    lw_span key;   /* with its quotes, still escaped */
    lw_span value; /* a string, object, array or literal; its inside is not checked yet */
} lw_member;
/* *more is false at the end, when the object was closed and only white space followed. */
lw_status lw_members_next(lw_members *members, lw_member *member, bool *more);
/* Writes the text of a JSON string and a NUL to *cursor, moves it on, and points *text there. Never writes more
 * than the span's length. */
lw_status lw_members_string(const lw_members *members, lw_span string, char **cursor, const char **text);
/* Parses a span as one JSON value without duplicate keys. The caller releases *value with json_decref. */
struct json_t;
lw_status lw_json_parse(const char *source, const char *what, lw_span span, struct json_t **value);
/* A value in one line, as a new string for lw_free; NULL without memory. (safetensors_write.c) */
char *lw_json_print(const struct json_t *value);

/* Whole files. (read_file.c, write_file.c) `check` sees the first bytes (at most LW_HEAD_BYTES) and the size of
 * the file before memory for the rest is taken. */
#define LW_HEAD_BYTES 64
typedef lw_status lw_head_check(const char *source, const unsigned char *head, size_t have, size_t size);
lw_status lw_read_file(const char *path, const char *source, lw_head_check *check, unsigned char **bytes, size_t *size);

typedef struct lw_replacement {
    char source[LW_SOURCE_BYTES];
    char *target;    /* what is replaced: `path`, or what its links lead to */
    char *temporary; /* the new file, in the same folder */
    int file;
} lw_replacement;
/* Begin, put any number of times, then finish; or drop, which leaves the old file as it was. A put or finish
 * that fails has dropped already. */
lw_status lw_replacement_begin(lw_replacement *replacement, const char *path);
lw_status lw_replacement_put(lw_replacement *replacement, const void *bytes, size_t count);
lw_status lw_replacement_finish(lw_replacement *replacement);
void lw_replacement_drop(lw_replacement *replacement);

/* Tensor files. (safetensors.c, safetensors_parse.c, safetensors_write.c) */
const char *lw_tensors_source(const lw_tensors *tensors);
/* Gives the data of tensor `index`, valid until the next call. */
typedef lw_status lw_tensor_fetch(void *argument, size_t index, const void **data);
lw_status lw_tensors_write_with(const char *path, const lw_tensor *tensors, size_t count,
                                const char *const (*metadata)[2], size_t metadata_count, lw_tensor_fetch *fetch,
                                void *argument);

/* Bricks as a file tells them. `document` holds the names. (architecture.c) */
typedef struct lw_architecture {
    lw_brick *bricks;
    size_t count;
    struct json_t *document;
    char *name;
} lw_architecture;
#define LW_ARCHITECTURE_BYTES ((size_t)1 << 20)
#define LW_ARCHITECTURE_BRICKS 4096
lw_status lw_architecture_parse(const char *source, const char *text, lw_architecture *architecture);
lw_status lw_architecture_print(const lw_model *model, char **text); /* *text is for lw_free */
void lw_architecture_clear(lw_architecture *architecture);

/* How the names of parameters become names of tensors in a file. (state_dict.c) */
typedef struct lw_naming {
    bool plain;     /* a state_dict: the brick's name and dot give way to `prefix` */
    bool cell;      /* and "_l0" is not written */
    lw_span prefix; /* with its dot; may be empty */
} lw_naming;
lw_status lw_state_dict_parse(const lw_tensors *tensors, lw_architecture *architecture, lw_naming *naming);

#endif
