/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognises a plain PyTorch state_dict of one recurrent module by the names and shapes of its tensors. Called by the
 * model loader for a file without an architecture. Kind, widths, layers, directions, biases and projection follow from
 * the file alone; where they do not, the file is refused. Tensors under another prefix belong to another module: how
 * it is connected is not in the file, so they are left out, and a run gives the recurrent module's own output.
 */
#include <stdio.h>
#include <string.h>

#include "io.h"

#define NAME_MAX_LENGTH 63

static const char *const roles[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"};
enum role { WEIGHT_IH, WEIGHT_HH, BIAS_IH, BIAS_HH, WEIGHT_HR, ROLES };

typedef struct leaf {
    enum role role;
    size_t layer;
    bool reverse, cell;
} leaf;

/* Length of the part of a name before its last component, with the dot. */
static size_t prefix_length(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? (size_t)(dot - name) + 1 : 0;
}

/* weight_ih_l12_reverse, or weight_ih of a cell. */
static bool read_leaf(const char *text, leaf *l)
{
    size_t role = 0;
    while (role < ROLES && strncmp(text, roles[role], strlen(roles[role])) != 0)
        role++;
    if (role == ROLES)
        return false;
    *l = (leaf){.role = (enum role)role};
    text += strlen(roles[role]);
    if (!*text) {
        l->cell = true;
        return true;
    }
    if (strncmp(text, "_l", 2) != 0 || text[2] < '0' || text[2] > '9' ||
        (text[2] == '0' && text[3] >= '0' && text[3] <= '9'))
        return false;
    for (text += 2; *text >= '0' && *text <= '9'; text++) {
        l->layer = l->layer * 10 + (size_t)(*text - '0');
        if (l->layer >= LW_SIZE_MAX)
            return false;
    }
    l->reverse = strcmp(text, "_reverse") == 0;
    return l->reverse || !*text;
}

/* What the names of a file tell. */
typedef struct survey {
    const char *source;
    lw_span prefix;
    bool found, cell, layered, reverse, bias, projection;
    size_t layers;
    char prefixes[160]; /* those that hold recurrent tensors, for the sentence that refuses several */
    size_t prefix_count;
} survey;

static bool same_prefix(lw_span prefix, const char *name)
{
    return prefix_length(name) == prefix.length && memcmp(prefix.text, name, prefix.length) == 0;
}

static void note_prefix(survey *s, const char *name)
{
    char whole[96], text[96];
    size_t length = prefix_length(name), used = strlen(s->prefixes);
    snprintf(whole, sizeof whole, "%.*s", (int)lw_min(length, 90), name);
    snprintf(text, sizeof text, "%s\"%s\"", used ? ", " : "", lw_quoted(whole).text);
    if (strstr(s->prefixes, text + (used ? 2 : 0)))
        return;
    s->prefix_count++;
    if (used + strlen(text) < sizeof s->prefixes)
        strcpy(s->prefixes + used, text);
}

static lw_status survey_names(const lw_tensors *tensors, survey *s)
{
    for (size_t i = 0; i < lw_tensors_count(tensors); i++) {
        lw_tensor tensor = {.size = sizeof tensor};
        leaf l;
        lw_tensors_get(tensors, i, &tensor);
        size_t length = prefix_length(tensor.name);
        if (!read_leaf(tensor.name + length, &l))
            continue;
        if (s->prefix_count < 4)
            note_prefix(s, tensor.name);
        if (!s->found)
            s->prefix = (lw_span){tensor.name, length};
        s->found = true;
        if (!same_prefix(s->prefix, tensor.name))
            continue;
        s->cell |= l.cell;
        s->layered |= !l.cell;
        s->reverse |= l.reverse;
        s->bias |= l.role == BIAS_IH || l.role == BIAS_HH;
        s->projection |= l.role == WEIGHT_HR;
        s->layers = lw_max(s->layers, l.layer + 1);
    }
    if (!s->found)
        return lw_fail(LW_ERR_UNSUPPORTED,
                       "%s: holds neither an architecture in its metadata nor the tensors of a recurrent module, "
                       "such as lstm.weight_ih_l0 or weight_hh",
                       s->source);
    if (s->prefix_count > 1)
        return lw_fail(LW_ERR_UNSUPPORTED,
                       "%s: holds several recurrent modules, with the prefixes %s; one module in a file is expected",
                       s->source, s->prefixes);
    if (s->cell && s->layered)
        return lw_fail(
            LW_ERR_UNSUPPORTED,
            "%s: under the prefix %s stand tensors of a cell (weight_ih) and of layers (weight_ih_l0); one of "
            "the two is expected",
            s->source, s->prefixes);
    return LW_OK;
}

static lw_status refuse_strangers(const lw_tensors *tensors, const survey *s)
{
    for (size_t i = 0; i < lw_tensors_count(tensors); i++) {
        lw_tensor tensor = {.size = sizeof tensor};
        leaf l;
        lw_tensors_get(tensors, i, &tensor);
        if (same_prefix(s->prefix, tensor.name) && !read_leaf(tensor.name + s->prefix.length, &l))
            return lw_fail(LW_ERR_UNSUPPORTED,
                           "%s: beside the recurrent module stands the tensor \"%s\", which no LSTM, GRU or RNN has; "
                           "tensors of other modules are expected under another prefix",
                           s->source, lw_quoted(tensor.name).text);
    }
    return LW_OK;
}

/* The matrix of a role in the first layer, forward, which must be there. */
static lw_status find(const lw_tensors *tensors, const survey *s, enum role role, lw_tensor *tensor)
{
    char tail[64];
    size_t bytes;
    snprintf(tail, sizeof tail, "%s%s", roles[role], s->cell ? "" : "_l0");
    if (!lw_add(s->prefix.length, sizeof tail, &bytes))
        return lw_fail_memory(SIZE_MAX);
    char *name = lw_alloc(bytes);
    if (!name)
        return lw_fail_memory(bytes);
    memcpy(name, s->prefix.text, s->prefix.length);
    strcpy(name + s->prefix.length, tail);
    lw_status status = LW_OK;
    if (lw_tensors_find(tensors, name, tensor))
        status = lw_fail(LW_ERR_FORMAT, "%s: the tensor \"%s\" is missing; other tensors of the module call for it",
                         s->source, lw_quoted(name).text);
    else if (tensor->rank != 2)
        status = lw_fail(LW_ERR_FORMAT, "%s: tensor \"%s\" has the shape %s; rank 2 is expected", s->source,
                         lw_quoted(name).text, lw_shape_text(tensor->rank, tensor->shape).text);
    lw_free(name);
    return status;
}

/* Kind and widths from the shapes of the first layer; whoever reads the others asks for them. */
static lw_status read_shapes(const lw_tensors *tensors, const survey *s, lw_brick *brick)
{
    lw_tensor ih = {.size = sizeof ih}, hh = ih, hr = ih;
    lw_status status = find(tensors, s, WEIGHT_IH, &ih);
    if (!status)
        status = find(tensors, s, WEIGHT_HH, &hh);
    if (!status && s->projection)
        status = find(tensors, s, WEIGHT_HR, &hr);
    if (status)
        return status;
    size_t rows = hh.shape[0], hidden = s->projection ? hr.shape[1] : hh.shape[1];
    size_t gates = hidden && rows % hidden == 0 ? rows / hidden : 0;
    brick->kind = gates == 4 ? LW_LSTM : gates == 3 ? LW_GRU : LW_RNN;
    if ((gates != 1 && gates != 3 && gates != 4) || (s->projection && gates != 4))
        return lw_fail(LW_ERR_FORMAT,
                       "%s: tensor \"%s\" has the shape %s; for %zu hidden units 4 (LSTM)%s times as many rows are "
                       "expected",
                       s->source, lw_quoted(hh.name).text, lw_shape_text(2, hh.shape).text, hidden,
                       s->projection ? "" : ", 3 (GRU) or 1 (RNN)");
    brick->input = ih.shape[1];
    brick->hidden = hidden;
    brick->projection = s->projection ? hr.shape[0] : 0;
    if (s->projection && (brick->projection == 0 || brick->projection >= hidden))
        return lw_fail(LW_ERR_FORMAT,
                       "%s: tensor \"%s\" has the shape %s; a projection to 1 to %zu of %zu hidden units is expected",
                       s->source, lw_quoted(hr.name).text, lw_shape_text(2, hr.shape).text, hidden - 1, hidden);
    if (brick->input < 1 || brick->input > LW_SIZE_MAX || hidden > LW_SIZE_MAX)
        return lw_fail(LW_ERR_FORMAT, "%s: input is %zu and hidden %zu; sizes from 1 to %zu are expected", s->source,
                       brick->input, hidden, LW_SIZE_MAX);
    return LW_OK;
}

/* The last component of the prefix, or the kind where that is no name for a brick. */
static lw_status name_brick(const survey *s, lw_brick *brick, char **name)
{
    char text[NAME_MAX_LENGTH + 1] = "";
    size_t end = s->prefix.length ? s->prefix.length - 1 : 0, begin = end;
    while (begin > 0 && s->prefix.text[begin - 1] != '.')
        begin--;
    bool fits = end > begin && end - begin <= NAME_MAX_LENGTH;
    for (size_t i = begin; fits && i < end; i++)
        fits = (unsigned char)s->prefix.text[i] > 0x20 && s->prefix.text[i] != 0x7f;
    if (fits)
        memcpy(text, s->prefix.text + begin, end - begin);
    else
        strcpy(text, brick->kind == LW_LSTM ? "lstm" : brick->kind == LW_GRU ? "gru" : "rnn");
    *name = lw_copy_string(text);
    if (!*name)
        return lw_fail_memory(sizeof text);
    brick->name = *name;
    return LW_OK;
}

lw_status lw_state_dict_parse(const lw_tensors *tensors, lw_architecture *architecture, lw_naming *naming)
{
    survey s = {.source = lw_tensors_source(tensors)};
    lw_brick brick = LW_BRICK_INIT(LW_LSTM);
    *architecture = (lw_architecture){0};
    lw_status status = survey_names(tensors, &s);
    if (!status)
        status = refuse_strangers(tensors, &s);
    if (!status)
        status = read_shapes(tensors, &s, &brick);
    if (!status)
        status = name_brick(&s, &brick, &architecture->name);
    if (status)
        return status;
    brick.layers = s.layers;
    brick.direction = s.reverse ? LW_BIDIRECTIONAL : LW_FORWARD;
    brick.options = s.bias ? 0 : LW_NO_BIAS;
    architecture->bricks = lw_alloc(sizeof brick);
    if (!architecture->bricks) {
        lw_architecture_clear(architecture);
        return lw_fail_memory(sizeof brick);
    }
    *architecture->bricks = brick;
    architecture->count = 1;
    *naming = (lw_naming){.plain = true, .cell = s.cell, .prefix = s.prefix};
    return LW_OK;
}
