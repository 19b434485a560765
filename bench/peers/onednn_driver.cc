// SPDX-License-Identifier: Apache-2.0
//
// oneDNN behind the driver protocol, over its public API of version 3. Started by `latchwork bench --peers onednn`;
// built where the library is installed. A layer is a primitive of its own, which was quicker than one primitive for a
// stack. Weights and states get the layouts that the primitives ask for, beforehand; what the timed call does is to
// execute them.
#include "protocol.h"

#include <oneapi/dnnl/dnnl.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

using dnnl::memory;
using dims = memory::dims;
using tag = memory::format_tag;
using arguments = std::unordered_map<int, memory>;

namespace
{

constexpr auto f32 = memory::data_type::f32;

struct unsupported : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct step_of_work {
    dnnl::primitive primitive;
    arguments with;
};

// h and c of a layer, before and after; a step's call copies the new over the old.
struct layer_state {
    memory before, after;
};

// The gradients of a layer's parameters, as its backward primitive lays them out. It adds to them.
struct layer_gradients {
    memory input_weights, recurrent_weights, bias;
    size_t width; // of the layer's input
};

struct prepared {
    workload w{};
    const float *input = nullptr;
    std::vector<step_of_work> work;
    std::vector<layer_state> states;
    std::vector<layer_gradients> gradients;
    std::vector<step_of_work> back; // from the last layer to the first
    std::vector<float> plain;       // the gradients in the protocol's order
    memory source, result;
};

dnnl::engine &cpu()
{
    static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
}

dnnl::stream &stream()
{
    static dnnl::stream stream(cpu());
    return stream;
}

std::unique_ptr<prepared> now;

memory dense_memory(const dims &shape, tag format)
{
    memory made({shape, f32, format}, cpu());
    std::memset(made.get_data_handle(), 0, made.get_desc().get_size());
    return made;
}

memory in_layout(memory from, const memory::desc &wanted)
{
    if (from.get_desc() == wanted)
        return from;
    memory to(wanted, cpu());
    dnnl::reorder(from, to).execute(stream(), from, to);
    stream().wait();
    return to;
}

std::vector<float> draw(const workload &w, const std::string &name, size_t count, size_t fan)
{
    std::unique_ptr<float, void (*)(void *)> values(workload_draw(&w, name.c_str(), count, fan), std::free);
    if (!values)
        throw std::bad_alloc();
    return std::vector<float>(values.get(), values.get() + count);
}

// The gate of PyTorch's order at each place of oneDNN's. LSTM: i, f, candidate, o in both. GRU: update, reset,
// candidate here, and reset, update, candidate there.
size_t gate_at(const workload &w, size_t place)
{
    return w.cell == CELL_GRU && place < 2 ? 1 - place : place;
}

std::string tensor_name(const char *what, size_t layer, size_t direction)
{
    return std::string("rnn.") + what + "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
}

// (1, D, K, G, H) from (G*H, K) of each direction.
memory weights(const workload &w, const char *what, size_t layer, size_t width)
{
    const size_t G = workload_gates(&w), H = w.hidden;
    memory made = dense_memory({1, (long)w.directions, (long)width, (long)G, (long)H}, tag::ldigo);
    float *to = static_cast<float *>(made.get_data_handle());
    for (size_t d = 0; d < w.directions; d++) {
        const std::vector<float> from = draw(w, tensor_name(what, layer, d), G * H * width, H);
        for (size_t k = 0; k < width; k++)
            for (size_t g = 0; g < G; g++)
                for (size_t h = 0; h < H; h++)
                    *to++ = from[(gate_at(w, g) * H + h) * width + k];
    }
    return made;
}

// (1, D, G, H), the sum of the two biases; for GRU (1, D, 4, H), whose last is the recurrent bias of the candidate.
memory biases(const workload &w, size_t layer)
{
    const size_t G = workload_gates(&w), H = w.hidden, rows = w.cell == CELL_GRU ? 4 : G;
    memory made = dense_memory({1, (long)w.directions, (long)rows, (long)H}, tag::ldgo);
    float *to = static_cast<float *>(made.get_data_handle());
    for (size_t d = 0; d < w.directions; d++) {
        const std::vector<float> input = draw(w, tensor_name("bias_ih", layer, d), G * H, H);
        const std::vector<float> recurrent = draw(w, tensor_name("bias_hh", layer, d), G * H, H);
        for (size_t g = 0; g < rows; g++)
            for (size_t h = 0; h < H; h++) {
                const bool apart = w.cell == CELL_GRU && g >= 2;
                const size_t at = gate_at(w, g < G ? g : G - 1) * H + h;
                *to++ = apart ? (g == 2 ? input[at] : recurrent[at]) : input[at] + recurrent[at];
            }
    }
    return made;
}

// Adds a state to the arguments and to what a step carries on.
void add_state(prepared &p, arguments &with, int before, int after, const memory::desc &desc)
{
    layer_state state{memory(desc, cpu()), memory(desc, cpu())};
    std::memset(state.before.get_data_handle(), 0, desc.get_size());
    with[before] = state.before;
    with[after] = state.after;
    p.states.push_back(state);
}

// One layer: makes its primitive from `source` and returns its output, (T, B, D*H).
template <typename Primitive, typename... Options>
memory add_layer(prepared &p, size_t layer, const memory &source, bool has_cell, Options... options)
{
    const workload &w = p.w;
    const long T = source.get_desc().get_dims()[0], B = (long)w.batch, D = (long)w.directions, H = (long)w.hidden;
    const long I = source.get_desc().get_dims()[2], G = (long)workload_gates(&w);
    const bool stepping = w.mode == MODE_STEP;
    const memory::desc any_source({T, B, I}, f32, tag::tnc), any_result({T, B, D * H}, f32, tag::tnc);
    const memory::desc state = stepping ? memory::desc({1, D, B, H}, f32, tag::ldnc) : memory::desc();
    const memory::desc input_weights({1, D, I, G, H}, f32, tag::any), recurrent_weights({1, D, H, G, H}, f32, tag::any);
    const memory::desc bias({1, D, w.cell == CELL_GRU ? 4 : G, H}, f32, tag::ldgo);
    const auto direction = w.directions == 2 ? dnnl::rnn_direction::bidirectional_concat
                                             : dnnl::rnn_direction::unidirectional_left2right;
    typename Primitive::primitive_desc desc = [&] {
        if constexpr (std::is_same_v<Primitive, dnnl::lstm_forward>)
            return typename Primitive::primitive_desc(cpu(), dnnl::prop_kind::forward_inference, direction, any_source,
                                                      state, state, input_weights, recurrent_weights, bias, any_result,
                                                      state, state);
        else
            return typename Primitive::primitive_desc(cpu(), dnnl::prop_kind::forward_inference, options..., direction,
                                                      any_source, state, input_weights, recurrent_weights, bias,
                                                      any_result, state);
    }();
    memory result = dense_memory({T, B, D * H}, tag::tnc);
    arguments with = {
        {DNNL_ARG_SRC_LAYER, source},
        {DNNL_ARG_WEIGHTS_LAYER, in_layout(weights(w, "weight_ih", layer, (size_t)I), desc.weights_layer_desc())},
        {DNNL_ARG_WEIGHTS_ITER, in_layout(weights(w, "weight_hh", layer, w.hidden), desc.weights_iter_desc())},
        {DNNL_ARG_BIAS, in_layout(biases(w, layer), desc.bias_desc())},
        {DNNL_ARG_DST_LAYER, result},
    };
    if (stepping) {
        add_state(p, with, DNNL_ARG_SRC_ITER, DNNL_ARG_DST_ITER, state);
        if (has_cell)
            add_state(p, with, DNNL_ARG_SRC_ITER_C, DNNL_ARG_DST_ITER_C, state);
    }
    p.work.push_back({Primitive(desc), with});
    return result;
}

// What forward and backward of a training layer share. The states are described although they are zero: without them
// oneDNN 3.12 gives wrong gradients of the recurrent weights in one direction.
struct layer_shape {
    dnnl::rnn_direction direction;
    memory::desc source, result, state, input_weights, recurrent_weights, bias;
};

layer_shape shape_of(const workload &w, long I)
{
    const long T = (long)w.steps, B = (long)w.batch, D = (long)w.directions, H = (long)w.hidden;
    const long G = (long)workload_gates(&w);
    return {w.directions == 2 ? dnnl::rnn_direction::bidirectional_concat
                              : dnnl::rnn_direction::unidirectional_left2right,
            memory::desc({T, B, I}, f32, tag::tnc),
            memory::desc({T, B, D * H}, f32, tag::tnc),
            memory::desc({1, D, B, H}, f32, tag::ldnc),
            memory::desc({1, D, I, G, H}, f32, tag::any),
            memory::desc({1, D, H, G, H}, f32, tag::any),
            memory::desc({1, D, w.cell == CELL_GRU ? 4 : G, H}, f32, tag::ldgo)};
}

template <typename Forward, typename... Options>
typename Forward::primitive_desc training_forward(const layer_shape &s, Options... options)
{
    constexpr auto kind = dnnl::prop_kind::forward_training;
    if constexpr (std::is_same_v<Forward, dnnl::lstm_forward>)
        return {cpu(),  kind,     s.direction, s.source, s.state, s.state, s.input_weights, s.recurrent_weights,
                s.bias, s.result, s.state,     s.state};
    else
        return {cpu(),  kind,     options..., s.direction, s.source, s.state, s.input_weights, s.recurrent_weights,
                s.bias, s.result, s.state};
}

template <typename Backward, typename Hint, typename... Options>
typename Backward::primitive_desc training_backward(const layer_shape &s, const Hint &hint, Options... options)
{
    constexpr auto kind = dnnl::prop_kind::backward;
    if constexpr (std::is_same_v<Backward, dnnl::lstm_backward>)
        return {
            cpu(),    kind,    s.direction, s.source, s.state, s.state, s.input_weights, s.recurrent_weights, s.bias,
            s.result, s.state, s.state,     s.source, s.state, s.state, s.input_weights, s.recurrent_weights, s.bias,
            s.result, s.state, s.state,     hint};
    else
        return {cpu(),
                kind,
                options...,
                s.direction,
                s.source,
                s.state,
                s.input_weights,
                s.recurrent_weights,
                s.bias,
                s.result,
                s.state,
                s.source,
                s.state,
                s.input_weights,
                s.recurrent_weights,
                s.bias,
                s.result,
                s.state,
                hint};
}

// Initial states and gradients of final states, all zero, and room for what nobody asks.
void add_zero_states(arguments &forward, arguments &backward, const memory::desc &state, bool has_cell)
{
    const dims shape = state.get_dims();
    for (int argument : {DNNL_ARG_SRC_ITER, DNNL_ARG_DST_ITER, DNNL_ARG_SRC_ITER_C, DNNL_ARG_DST_ITER_C}) {
        if (!has_cell && (argument == DNNL_ARG_SRC_ITER_C || argument == DNNL_ARG_DST_ITER_C))
            continue;
        forward[argument] = backward[argument] = dense_memory(shape, tag::ldnc);
        backward[argument + DNNL_ARG_DIFF_SRC_0 - DNNL_ARG_SRC_0] = dense_memory(shape, tag::ldnc);
    }
}

// One layer forward and backward; `source` is replaced by its output, and the layer's part of the way back is put
// before what is there. `gradients` holds those of the outputs, layer by layer.
template <typename Forward, typename Backward, typename... Options>
void add_training(prepared &p, size_t layer, memory &source, std::vector<memory> &gradients, Options... options)
{
    const workload &w = p.w;
    const long I = source.get_desc().get_dims()[2];
    const layer_shape shape = shape_of(w, I);
    const auto forward = training_forward<Forward>(shape, options...);
    const auto backward = training_backward<Backward>(shape, forward, options...);
    const memory input = weights(w, "weight_ih", layer, (size_t)I),
                 recurrent = weights(w, "weight_hh", layer, w.hidden);
    const memory bias = in_layout(biases(w, layer), forward.bias_desc());
    const memory workspace(forward.workspace_desc(), cpu());
    const memory result = dense_memory({(long)w.steps, (long)w.batch, (long)(w.directions * w.hidden)}, tag::tnc);
    p.work.push_back({Forward(forward),
                      {{DNNL_ARG_SRC_LAYER, source},
                       {DNNL_ARG_WEIGHTS_LAYER, in_layout(input, forward.weights_layer_desc())},
                       {DNNL_ARG_WEIGHTS_ITER, in_layout(recurrent, forward.weights_iter_desc())},
                       {DNNL_ARG_BIAS, bias},
                       {DNNL_ARG_DST_LAYER, result},
                       {DNNL_ARG_WORKSPACE, workspace}}});
    const layer_gradients of{memory(backward.diff_weights_layer_desc(), cpu()),
                             memory(backward.diff_weights_iter_desc(), cpu()), memory(backward.diff_bias_desc(), cpu()),
                             (size_t)I};
    p.gradients.push_back(of);
    gradients.push_back(dense_memory({(long)w.steps, (long)w.batch, (long)(w.directions * w.hidden)}, tag::tnc));
    const memory to_source = layer ? gradients[layer - 1] : dense_memory({(long)w.steps, (long)w.batch, I}, tag::tnc);
    p.back.insert(p.back.begin(), {Backward(backward),
                                   {{DNNL_ARG_SRC_LAYER, source},
                                    {DNNL_ARG_WEIGHTS_LAYER, in_layout(input, backward.weights_layer_desc())},
                                    {DNNL_ARG_WEIGHTS_ITER, in_layout(recurrent, backward.weights_iter_desc())},
                                    {DNNL_ARG_BIAS, bias},
                                    {DNNL_ARG_DST_LAYER, result},
                                    {DNNL_ARG_WORKSPACE, workspace},
                                    {DNNL_ARG_DIFF_DST_LAYER, gradients[layer]},
                                    {DNNL_ARG_DIFF_SRC_LAYER, to_source},
                                    {DNNL_ARG_DIFF_WEIGHTS_LAYER, of.input_weights},
                                    {DNNL_ARG_DIFF_WEIGHTS_ITER, of.recurrent_weights},
                                    {DNNL_ARG_DIFF_BIAS, of.bias}}});
    add_zero_states(p.work.back().with, p.back.front().with, shape.state, w.cell == CELL_LSTM);
    source = result;
}

void build_training(prepared &p)
{
    const workload &w = p.w;
    std::vector<memory> gradients; // of each layer's output
    if (w.train == TRAIN_UPDATE)
        throw unsupported("an optimiser");
    if (w.dense)
        throw unsupported("a dense layer behind the recurrent ones in training");
    memory value = p.source;
    for (size_t layer = 0; layer < w.layers; layer++) {
        if (w.cell == CELL_LSTM)
            add_training<dnnl::lstm_forward, dnnl::lstm_backward>(p, layer, value, gradients);
        else if (w.cell == CELL_GRU)
            add_training<dnnl::lbr_gru_forward, dnnl::lbr_gru_backward>(p, layer, value, gradients);
        else
            add_training<dnnl::vanilla_rnn_forward, dnnl::vanilla_rnn_backward>(p, layer, value, gradients,
                                                                                dnnl::algorithm::eltwise_tanh);
    }
    const std::vector<float> given = draw(w, "output_gradient", w.steps * w.batch * workload_width(&w),
                                          w.steps * w.batch);
    std::memcpy(gradients.back().get_data_handle(), given.data(), given.size() * sizeof(float));
    p.plain.resize(workload_parameters(&w));
    p.result = value;
}

void train_once(prepared &p)
{
    for (const layer_gradients &layer : p.gradients)
        for (const memory *gradient : {&layer.input_weights, &layer.recurrent_weights, &layer.bias})
            std::memset(gradient->get_data_handle(), 0, gradient->get_desc().get_size());
    for (const std::vector<step_of_work> *way : {&p.work, &p.back})
        for (const step_of_work &piece : *way)
            piece.primitive.execute(stream(), piece.with);
    stream().wait();
}

// (1, D, K, G, H) of direction d as (G*H, K).
float *gather_matrix(const workload &w, const memory &gradient, size_t d, size_t width, float *to)
{
    const long D = (long)w.directions, G = (long)workload_gates(&w), H = (long)w.hidden;
    const memory plain = in_layout(gradient, memory::desc({1, D, (long)width, G, H}, f32, tag::ldigo));
    const float *from = static_cast<const float *>(plain.get_data_handle()) + d * width * (size_t)(G * H);
    for (size_t g = 0; g < (size_t)G; g++)
        for (size_t h = 0; h < (size_t)H; h++)
            for (size_t k = 0; k < width; k++)
                *to++ = from[(k * (size_t)G + gate_at(w, g)) * (size_t)H + h];
    return to;
}

// The gradient of the one bias is that of both; the recurrent candidate's of a GRU stands apart, behind the others.
float *gather_bias(const workload &w, const memory &gradient, size_t d, bool recurrent, float *to)
{
    const size_t G = workload_gates(&w), H = w.hidden, rows = w.cell == CELL_GRU ? 4 : G;
    const float *from = static_cast<const float *>(gradient.get_data_handle()) + d * rows * H;
    for (size_t g = 0; g < G; g++) {
        const size_t row = w.cell == CELL_GRU && g == 2 && recurrent ? 3 : gate_at(w, g);
        std::memcpy(to, from + row * H, H * sizeof(float));
        to += H;
    }
    return to;
}

const float *gather(prepared &p)
{
    float *to = p.plain.data();
    for (const layer_gradients &layer : p.gradients)
        for (size_t d = 0; d < p.w.directions; d++) {
            to = gather_matrix(p.w, layer.input_weights, d, layer.width, to);
            to = gather_matrix(p.w, layer.recurrent_weights, d, p.w.hidden, to);
            to = gather_bias(p.w, layer.bias, d, false, to);
            to = gather_bias(p.w, layer.bias, d, true, to);
        }
    return p.plain.data();
}

memory add_head(prepared &p, const memory &source)
{
    const workload &w = p.w;
    const dims shape = source.get_desc().get_dims();
    const long rows = shape[0] * shape[1], width = shape[2], O = (long)w.dense;
    const memory::desc from({rows, width}, f32, tag::ab), to({rows, O}, f32, tag::ab), bias({1, O}, f32, tag::ab);
    dnnl::matmul::primitive_desc desc(cpu(), from, {{width, O}, f32, tag::any}, bias, to);
    std::vector<float> matrix = draw(w, "head.weight", w.dense * (size_t)width, (size_t)width);
    std::vector<float> offsets = draw(w, "head.bias", w.dense, (size_t)width);
    memory plain({{width, O}, f32, tag::ba}, cpu(), matrix.data()), packed(desc.weights_desc(), cpu());
    dnnl::reorder(plain, packed).execute(stream(), plain, packed);
    stream().wait();
    memory bias_memory = dense_memory({1, O}, tag::ab), result = dense_memory({rows, O}, tag::ab);
    std::memcpy(bias_memory.get_data_handle(), offsets.data(), w.dense * sizeof(float));
    memory flat(from, cpu(), source.get_data_handle());
    p.work.push_back(
        {dnnl::matmul(desc),
         {{DNNL_ARG_SRC, flat}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_BIAS, bias_memory}, {DNNL_ARG_DST, result}}});
    return result;
}

void build(const workload &w, const float *input)
{
    if (w.ragged)
        throw unsupported("rows of different lengths");
    if (w.mode == MODE_STREAMS)
        throw unsupported("many streams with states of their own in one call");
#ifdef _OPENMP
    omp_set_num_threads((int)w.threads);
#endif
    now.reset();
    auto made = std::make_unique<prepared>();
    made->w = w;
    made->input = input;
    const long T = w.mode == MODE_STEP ? 1 : (long)w.steps;
    made->source = memory({{T, (long)w.batch, (long)w.input}, f32, tag::tnc}, cpu(), const_cast<float *>(input));
    if (w.train) {
        build_training(*made);
        now = std::move(made);
        return;
    }
    memory value = made->source;
    for (size_t layer = 0; layer < w.layers; layer++) {
        if (w.cell == CELL_LSTM)
            value = add_layer<dnnl::lstm_forward>(*made, layer, value, true);
        else if (w.cell == CELL_GRU)
            value = add_layer<dnnl::lbr_gru_forward>(*made, layer, value, false);
        else
            value = add_layer<dnnl::vanilla_rnn_forward>(*made, layer, value, false, dnnl::algorithm::eltwise_tanh);
    }
    made->result = w.dense ? add_head(*made, value) : value;
    now = std::move(made);
}

// No exception may reach the caller, which is C.
template <typename Action> engine_status guarded(char *reason, Action action)
{
    try {
        action();
        return ENGINE_OK;
    } catch (const unsupported &error) {
        std::snprintf(reason, REASON_BYTES, "%s", error.what());
        return ENGINE_UNSUPPORTED;
    } catch (const std::exception &error) {
        std::snprintf(reason, REASON_BYTES, "%s", error.what());
        return ENGINE_FAILED;
    }
}

engine_status prepare(const workload *w, const float *input, char *reason)
{
    return guarded(reason, [&] { build(*w, input); });
}

engine_status call(size_t step, char *reason)
{
    if (now->w.train)
        return guarded(reason, [] { train_once(*now); });
    return guarded(reason, [&] {
        now->source.set_data_handle(const_cast<float *>(now->input + step * now->w.batch * now->w.input));
        for (const step_of_work &piece : now->work)
            piece.primitive.execute(stream(), piece.with);
        stream().wait();
        for (const layer_state &state : now->states)
            std::memcpy(state.before.get_data_handle(), state.after.get_data_handle(),
                        state.after.get_desc().get_size());
    });
}

engine_status reset(char *)
{
    for (const layer_state &state : now->states)
        std::memset(state.before.get_data_handle(), 0, state.before.get_desc().get_size());
    return ENGINE_OK;
}

const float *result()
{
    if (now->w.train)
        return gather(*now);
    return static_cast<const float *>(now->result.get_data_handle());
}

const char *version()
{
    static char text[64];
    const dnnl::version_t *v = dnnl::version();
    std::snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

const char *details()
{
    return dnnl::version()->cpu_runtime == DNNL_RUNTIME_OMP ? "OpenMP" : "not OpenMP: thread counts have no effect";
}

} // namespace

int main()
{
    const engine engine = {"oneDNN", version, details, prepare, call, reset, result};
    const int status = engine_serve(&engine);
    now.reset();
    return status;
}
