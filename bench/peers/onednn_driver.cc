// SPDX-License-Identifier: Apache-2.0
//
// oneDNN behind the driver protocol, over its public API of version 3. Started by run.py; built where the library is
// installed. A layer is a primitive of its own, which was quicker than one primitive for a stack. Weights and states
// get the layouts that the primitives ask for, beforehand; what the timed call does is to execute them.
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

struct prepared {
    workload w{};
    const float *input = nullptr;
    std::vector<step_of_work> work;
    std::vector<layer_state> states;
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
    const engine engine = {"oneDNN", version, details, prepare, call, reset, result, nullptr};
    const int status = engine_serve(&engine);
    now.reset();
    return status;
}
