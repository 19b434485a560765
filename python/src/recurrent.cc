// SPDX-License-Identifier: Apache-2.0
//
// latchwork._core.Recurrent: runs a recurrent module of PyTorch from addresses. Called by latchwork/torch; weights.cc
// reads the parameters, eager.cc takes tensors instead of addresses, tape.cc adds the way with gradients.
#include "recurrent.hpp"

#include <cstring>

namespace binding
{

lw_model *Recurrent::build() const
{
    lw_model_options options{};
    options.size = sizeof options;
    options.isa = -1;
    lw_model *model = nullptr;
    check(lw_model_create(&brick, 1, &options, &model));
    return model;
}

void spread_rows(const int64_t *sizes, size_t steps, size_t batch, size_t width, const float *from, float *to)
{
    for (size_t t = 0; t < steps; t++) {
        size_t count = static_cast<size_t>(sizes[t]) * width;
        memcpy(to + t * batch * width, from, count * sizeof(float));
        from += count;
    }
}

void gather_rows(const int64_t *sizes, size_t steps, size_t batch, size_t width, const float *from, float *to)
{
    for (size_t t = 0; t < steps; t++) {
        size_t count = static_cast<size_t>(sizes[t]) * width;
        memcpy(to, from + t * batch * width, count * sizeof(float));
        to += count;
    }
}

/// The rows of each step of a packed sequence: at least 1, never more than before, all of them together `rows`.
static size_t check_sizes(const int64_t *sizes, size_t steps, size_t rows)
{
    size_t sum = 0;
    for (size_t t = 0; t < steps; t++) {
        if (sizes[t] < 1 || (t > 0 && sizes[t] > sizes[t - 1]))
            throw Failure{LW_ERR_BUSY, "batch_sizes[" + std::to_string(t) + "] of the packed sequence is " +
                                           std::to_string(sizes[t]) +
                                           ", expected 1 or more and at most what the one before is"};
        sum += static_cast<size_t>(sizes[t]) <= rows - sum ? static_cast<size_t>(sizes[t]) : rows - sum + 1;
        if (sum > rows)
            break;
    }
    if (sum != rows || steps == 0)
        throw Failure{LW_ERR_BUSY, "the packed sequence has " + std::to_string(rows) +
                                       " rows, but its batch_sizes add up to " +
                                       (sum > rows ? "more" : std::to_string(sum))};
    return static_cast<size_t>(sizes[0]);
}

Walked::Walked(const Recurrent &self, const Sequences &s)
{
    const size_t out = self.width() * self.directions(), in = self.brick.input;
    io.size = sizeof io;
    io.steps = s.steps;
    io.batch = s.rows;
    io.input = reinterpret_cast<const float *>(s.input);
    io.output = reinterpret_cast<float *>(s.output);
    if (s.sizes) {
        const int64_t *sizes = reinterpret_cast<const int64_t *>(s.sizes);
        io.batch = check_sizes(sizes, s.steps, s.rows);
        if (s.steps > SIZE_MAX / sizeof(float) / io.batch / (in > out ? in : out))
            throw Failure{LW_ERR_MEMORY, "the packed sequence is too long for its batch"};
        lengths.resize(io.batch);
        for (size_t t = 0; t < s.steps; t++) // sizes fall, so the last write of a row is its length
            lengths[static_cast<size_t>(sizes[t]) - 1] = t + 1;
        for (size_t row = io.batch; row-- > 1;)
            lengths[row - 1] = lengths[row - 1] > lengths[row] ? lengths[row - 1] : lengths[row];
        io.lengths = lengths.data();
        input.reset(new float[s.steps * io.batch * in]);
        output.reset(new float[s.steps * io.batch * out]);
        spread_rows(sizes, s.steps, io.batch, in, io.input, input.get());
        io.input = input.get();
        io.output = output.get();
    } else if (s.batch_first) {
        io.input_step_stride = in;
        io.input_row_stride = s.steps * in;
        io.output_step_stride = out;
        io.output_row_stride = s.steps * out;
    }
}

void Walked::pack_output(const Recurrent &self, const Sequences &s) const
{
    if (s.sizes)
        gather_rows(reinterpret_cast<const int64_t *>(s.sizes), s.steps, io.batch, self.width() * self.directions(),
                    output.get(), reinterpret_cast<float *>(s.output));
}

void write_state(const Recurrent &self, lw_state *state, size_t h, size_t c)
{
    const size_t batch = lw_state_batch(state), h_count = batch * self.width(), c_count = batch * self.brick.hidden;
    if (!h || !c)
        check(lw_state_reset(state));
    const float *from_h = reinterpret_cast<const float *>(h), *from_c = reinterpret_cast<const float *>(c);
    for (size_t layer = 0; layer < self.brick.layers; layer++)
        for (size_t d = 0; d < self.directions(); d++, from_h += h ? h_count : 0, from_c += c ? c_count : 0) {
            lw_direction direction = d ? LW_REVERSE : LW_FORWARD;
            if (h)
                check(lw_state_set(state, layer, direction, LW_HIDDEN, from_h, h_count));
            if (c)
                check(lw_state_set(state, layer, direction, LW_CELL, from_c, c_count));
        }
}

void read_state(const Recurrent &self, const lw_state *state, size_t h, size_t c)
{
    const size_t batch = lw_state_batch(state), h_count = batch * self.width(), c_count = batch * self.brick.hidden;
    float *to_h = reinterpret_cast<float *>(h), *to_c = reinterpret_cast<float *>(c);
    for (size_t layer = 0; layer < self.brick.layers; layer++)
        for (size_t d = 0; d < self.directions(); d++, to_h += h ? h_count : 0, to_c += c ? c_count : 0) {
            lw_direction direction = d ? LW_REVERSE : LW_FORWARD;
            if (h)
                check(lw_state_get(state, layer, direction, LW_HIDDEN, to_h, h_count));
            if (c)
                check(lw_state_get(state, layer, direction, LW_CELL, to_c, c_count));
        }
}

namespace
{

constexpr size_t most_idle = 4; // contexts and states that are kept

/// A context and a state of the packed weights, for one call.
class Hired
{
  public:
    Hired(std::shared_ptr<Packed> packed, size_t batch, size_t threads) : packed_(std::move(packed)), threads_(threads)
    {
        if (packed_->threads != threads) {
            packed_->contexts.clear();
            packed_->threads = threads;
        }
        if (!packed_->contexts.empty()) {
            context_ = std::move(packed_->contexts.back());
            packed_->contexts.pop_back();
        } else {
            lw_context_options options{};
            options.size = sizeof options;
            options.threads = threads;
            lw_context *made = nullptr;
            check(lw_context_create(packed_->model.get(), &options, &made));
            context_.reset(made);
        }
        for (auto &state : packed_->states)
            if (state && lw_state_batch(state.get()) == batch) {
                state_ = std::move(state);
                state = std::move(packed_->states.back());
                packed_->states.pop_back();
                return;
            }
        lw_state *made = nullptr;
        check(lw_state_create(packed_->model.get(), batch, &made));
        state_.reset(made);
    }
    ~Hired()
    {
        if (packed_->threads == threads_ && packed_->contexts.size() < most_idle)
            packed_->contexts.push_back(std::move(context_));
        if (packed_->states.size() >= most_idle)
            packed_->states.erase(packed_->states.begin());
        packed_->states.push_back(std::move(state_));
    }
    Hired(const Hired &) = delete;
    Hired &operator=(const Hired &) = delete;
    lw_context *context() const
    {
        return context_.get();
    }
    lw_state *state() const
    {
        return state_.get();
    }

  private:
    std::shared_ptr<Packed> packed_;
    size_t threads_;
    Context context_;
    std::unique_ptr<lw_state, void (*)(lw_state *)> state_{nullptr, lw_state_destroy};
};

lw_status run_released(lw_context *context, lw_state *state, const lw_io &io)
{
    nb::gil_scoped_release released;
    return lw_run(context, state, &io);
}

} // namespace

bool run_module(Recurrent &self, nb::handle tensors, const Sequences &sequences, size_t threads)
{
    std::shared_ptr<Packed> packed = weights_of(self, tensors);
    if (!packed)
        return false;
    Walked walked(self, sequences);
    Hired hired(std::move(packed), walked.io.batch, threads);
    write_state(self, hired.state(), sequences.h0, sequences.c0);
    const double steps = sequences.sizes ? 1.0 : static_cast<double>(sequences.steps);
    const bool brief = static_cast<double>(sequences.rows) * steps * self.step_flops <= brief_flops;
    if (sequences.steps == 1 && brief && !sequences.sizes)
        check(lw_step(hired.context(), hired.state(), walked.io.input, walked.io.output));
    else
        check(brief ? lw_run(hired.context(), hired.state(), &walked.io)
                    : run_released(hired.context(), hired.state(), walked.io));
    read_state(self, hired.state(), sequences.h, sequences.c);
    walked.pack_output(self, sequences);
    return true;
}

namespace
{

bool run(Recurrent &self, nb::handle tensors, size_t input, size_t steps, size_t rows, bool batch_first, size_t h0,
         size_t c0, size_t output, size_t h, size_t c, size_t sizes, size_t threads)
{
    return run_module(self, tensors, {input, steps, rows, batch_first, h0, c0, output, h, c, sizes}, threads);
}

void make(Recurrent *self, const char *kind, size_t input, size_t hidden, size_t layers, bool bidirectional, bool bias,
          size_t projection, nb::list keys)
{
    auto built = std::make_unique<Recurrent>();
    const std::string name = kind;
    lw_brick &brick = built->brick;
    brick.size = sizeof brick;
    brick.kind = name == "LSTM" ? LW_LSTM : name == "GRU" ? LW_GRU : LW_RNN;
    if (name == "RNN_RELU")
        brick.function = LW_RELU;
    else if (name != "LSTM" && name != "GRU" && name != "RNN_TANH")
        wrong_value("kind is '" + name + "', expected 'LSTM', 'GRU', 'RNN_TANH' or 'RNN_RELU'");
    brick.name = "rnn";
    brick.input = input;
    brick.hidden = hidden;
    brick.layers = layers;
    brick.direction = bidirectional ? LW_BIDIRECTIONAL : LW_FORWARD;
    brick.options = bias ? 0 : LW_NO_BIAS;
    brick.projection = projection;
    built->shape = std::shared_ptr<lw_model>(built->build(), lw_model_destroy);
    for (size_t i = 0; i < lw_model_layer_count(built->shape.get()); i++) {
        lw_layer layer{};
        layer.size = sizeof layer;
        check(lw_model_layer(built->shape.get(), i, &layer));
        built->step_flops += static_cast<double>(layer.flops);
    }
    if (nb::len(keys) != lw_model_parameter_count(built->shape.get()))
        wrong_value(std::to_string(nb::len(keys)) + " parameters, expected " +
                    std::to_string(lw_model_parameter_count(built->shape.get())));
    for (nb::handle key : keys) {
        std::string full = "rnn." + text(key);
        if (full.find("_l") == std::string::npos) {
            built->cell = true;
            full += "_l0";
        }
        size_t place = 0;
        check_key(lw_model_parameter_find(built->shape.get(), full.c_str(), &place));
        lw_parameter parameter{};
        parameter.size = sizeof parameter;
        check(lw_model_parameter(built->shape.get(), place, &parameter));
        built->keys.push_back(nb::borrow(key));
        built->places.push_back(place);
        built->parameters.push_back(parameter);
    }
    new (self) Recurrent(std::move(*built));
}

} // namespace

void define_recurrent(nb::module_ &module)
{
    using nb::literals::operator""_a;
    nb::class_<Recurrent> type(module, "Recurrent", "What runs a recurrent module of PyTorch (latchwork.torch).");
    type.def("__init__", make, "kind"_a, "input"_a, "hidden"_a, "layers"_a, "bidirectional"_a, "bias"_a, "projection"_a,
             "names"_a)
        .def("run", run, "tensors"_a, "input"_a, "steps"_a, "rows"_a, "batch_first"_a, "h0"_a, "c0"_a, "output"_a,
             "h"_a, "c"_a, "sizes"_a, "threads"_a,
             "Runs at these addresses. False where a tensor cannot be read as dense float32 on the CPU.")
        .def(
            "forget", [](Recurrent &self) { self.packed.reset(); }, "Packs the weights anew at the next call.");
    define_eager(type);
    define_tape(module, type);
}

} // namespace binding
