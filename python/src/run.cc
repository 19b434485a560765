// SPDX-License-Identifier: Apache-2.0
//
// Runs of a model over whole sequences: model(x) and model.gates(x). Shapes are checked here, because a shape is
// Python's word; strides, overlaps and everything else are the library's to judge.
#include "run.hpp"

namespace binding
{

std::vector<size_t> result_shape(const Sequence &x, size_t width, bool last, bool batch_first)
{
    std::vector<size_t> shape;
    if (!last)
        shape.push_back(x.steps);
    if (x.batched)
        shape.insert(batch_first ? shape.begin() : shape.end(), x.rows);
    shape.push_back(width);
    return shape;
}

std::vector<size_t> read_lengths(nb::handle lengths, size_t rows)
{
    std::vector<size_t> result;
    if (!nb::isinstance<nb::iterable>(lengths))
        wrong_type("lengths is a " + kind_name(lengths) + ", expected " + std::to_string(rows) + " integers");
    for (nb::handle length : nb::iter(lengths))
        result.push_back(to_count(length, "lengths[" + std::to_string(result.size()) + "]"));
    if (result.size() != rows)
        wrong_value("lengths has " + std::to_string(result.size()) + " entries, expected one for each of the " +
                    std::to_string(rows) + " rows");
    return result;
}

lw_io read_io(const Sequence &x)
{
    lw_io io{};
    io.steps = x.steps;
    io.batch = x.rows;
    io.input = x.walk.data;
    io.input_step_stride = x.walk.step;
    io.input_row_stride = x.walk.row;
    return io;
}

namespace
{

/// Gives up the interpreter lock for one call of the library.
void run(Model &model, State *state, lw_io &io, nb::handle lengths)
{
    std::vector<size_t> list;
    io.size = sizeof io;
    if (!lengths.is_none()) {
        list = read_lengths(lengths, io.batch);
        io.lengths = list.data();
    }
    std::unique_ptr<Use> use;
    if (state)
        use = std::make_unique<Use>(state->used, "state");
    Lease context(model);
    lw_status status;
    {
        nb::gil_scoped_release released;
        status = lw_run(context.get(), state ? state->handle.get() : nullptr, &io);
    }
    check(status);
}

nb::object call(Model &self, nb::handle x, nb::handle state, nb::handle lengths, bool last, bool batch_first,
                nb::handle out)
{
    Sequence sequence(x, self.input, batch_first);
    std::vector<size_t> shape = result_shape(sequence, self.output, last, batch_first);
    nb::object result = out.is_none() ? empty_array(shape) : nb::borrow(out);
    Array target(result, "out", Array::Write);
    if (target.dims() != shape)
        wrong_value("out has shape " + shape_text(target.dims()) + ", expected " + shape_text(shape));
    lw_io io = read_io(sequence);
    io.output = reinterpret_cast<float *>(target.data);
    if (last) {
        io.output_kind = LW_OUTPUT_LAST;
        if (!target.dense())
            wrong_value("out must be dense (C order, without gaps) for the last step");
    } else {
        Axes axes(target.rank, batch_first);
        Walk walk;
        if (!walk_in_place(target, axes.step, axes.row, walk))
            wrong_value("out cannot be written in place: its last axis must be contiguous and rows must not overlap");
        io.output_step_stride = walk.step;
        io.output_row_stride = walk.row;
    }
    run(self, to_state(state), io, lengths);
    return out.is_none() ? same_kind(x, result) : result;
}

nb::dict gates(Model &self, nb::handle x, nb::handle layer_number, bool reverse, nb::handle unit_list, nb::handle state,
               nb::handle lengths, bool batch_first)
{
    Sequence sequence(x, self.input, batch_first);
    const size_t index = to_count(layer_number, "layer");
    lw_layer layer{};
    layer.size = sizeof layer;
    check(lw_model_layer(self.get(), index, &layer));
    std::vector<size_t> units;
    if (!unit_list.is_none()) {
        if (!nb::isinstance<nb::iterable>(unit_list))
            wrong_type("units is a " + kind_name(unit_list) + ", expected a list of integers");
        for (nb::handle unit : nb::iter(unit_list))
            units.push_back(to_count(unit, "units[" + std::to_string(units.size()) + "]"));
    }
    const size_t width = unit_list.is_none() ? layer.hidden : units.size();
    nb::object all = empty_array({sequence.steps, sequence.rows, layer.signals, width});
    Array values(all, "values", Array::Write);
    lw_probe probe{};
    probe.size = sizeof probe;
    probe.layer = index;
    probe.direction = reverse ? LW_REVERSE : LW_FORWARD;
    probe.units = unit_list.is_none() || units.empty() ? nullptr : units.data();
    probe.unit_count = width;
    probe.values = reinterpret_cast<float *>(values.data);
    probe.capacity = values.count();
    lw_io io = read_io(sequence);
    io.probes = &probe;
    io.probe_count = 1;
    run(self, to_state(state), io, lengths);
    if (batch_first && sequence.batched)
        all = all.attr("swapaxes")(0, 1);
    nb::dict result;
    nb::object everything = nb::slice(nb::none(), nb::none(), nb::none());
    nb::object row = sequence.batched ? everything : nb::object(nb::int_(0));
    for (size_t k = 0; k < layer.signals; k++)
        result[lw_layer_signal(self.get(), index, k)] = same_kind(x,
                                                                  all[nb::make_tuple(everything, row, k, everything)]);
    return result;
}

} // namespace

void define_run(nb::class_<Model> &type)
{
    using nb::literals::operator""_a;
    type.def("__call__", call, "x"_a.none(), "state"_a = nb::none(), "lengths"_a = nb::none(), "last"_a = false,
             "batch_first"_a = false, "out"_a = nb::none(),
             "Runs the model over a sequence (T, I) or sequences (T, B, I) of float32.")
        .def("gates", gates, "x"_a.none(), "layer"_a.none() = 0, "reverse"_a = false, "units"_a = nb::none(),
             "state"_a = nb::none(), "lengths"_a = nb::none(), "batch_first"_a = false,
             "What every gate of a layer let through: an array (T, B, units) for each signal, by name.");
}

} // namespace binding
