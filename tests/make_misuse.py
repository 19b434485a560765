#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes, from the public header, a call of every function for every wrong value of every argument.

Usage: tests/make_misuse.py include/latchwork.h    prints C, which tests/misuse_calls.c includes
Called by the build of the tests. It fails when a function or an argument of the header has no value to be called with:
a new function needs one in VALUES or BY_NAME below, and a line in MAY_PASS for each wrong value that is none for it.
"""
import re
import sys
from pathlib import Path

# What an argument is when nothing is wrong with it, by its type; misuse_calls.c has these objects.
VALUES = {
    'const lw_model *': 'model', 'lw_model *': 'fresh', 'lw_model **': '&out_model', 'const lw_brick *': 'bricks',
    'lw_brick *': '&out_brick', 'lw_layer *': '&out_layer', 'lw_parameter *': '&out_parameter',
    'lw_state *': 'state', 'const lw_state *': 'other_state', 'lw_state **': '&out_state',
    'lw_state *const *': 'states', 'lw_context *': 'context', 'const lw_context *': 'context',
    'lw_context **': '&out_context', 'const lw_io *': '&io', 'lw_tape *': 'tape', 'const lw_tape *': 'tape',
    'lw_tape **': '&out_tape', 'const lw_gradients *': '&gradients', 'const float *const *': 'parameters',
    'float *const *': 'mutable_parameters', 'lw_optimiser *': 'optimiser', 'const lw_optimiser *': 'optimiser',
    'lw_optimiser **': '&out_optimiser', 'const lw_loss *': '&loss', 'lw_score *': '&out_score',
    'const lw_tensors *': 'tensors', 'lw_tensors *': 'tensors', 'lw_tensors **': '&out_tensors',
    'lw_tensor *': '&out_tensor', 'const lw_tensor *': '&tensor', 'const char *const (*)[2]': 'metadata',
    'const lw_optimiser_options *': '&(lw_optimiser_options)LW_OPTIMISER_OPTIONS_INIT(LW_ADAM)',
    'const lw_learning_rate *': '&(lw_learning_rate)LW_LEARNING_RATE_INIT(0.1)',
    'lw_machine *': '&out_machine', 'lw_limits *': '&out_limits', 'const lw_limits *': 'NULL',
    'lw_explanation *': '&out_explanation', 'lw_isa *': '&out_isa', 'lw_isa': 'LW_ISA_SCALAR', 'lw_status': 'LW_OK',
    'lw_direction': 'LW_FORWARD', 'lw_memory': 'LW_HIDDEN', 'const size_t *': 'counts', 'size_t *': '&out_size',
    'const float *': 'x', 'float *': 'y', 'void *': 'buffer', 'const void *': 'buffer', 'double *': '&out_double',
    'double': '0.1', 'uint64_t': '1', 'size_t': '1',
}
# By function and argument, where the type alone does not tell. Sizes are those of misuse_calls.c.
BY_NAME = {
    ('lw_isa_find', 'name'): '"scalar"', ('lw_model_load', 'path'): 'path', ('lw_model_save', 'path'): 'path',
    ('lw_model_parameter_find', 'name'): '"lstm.bias_ih_l0"', ('lw_tensors_open', 'path'): 'path',
    ('lw_tensors_write', 'path'): 'path', ('lw_tensors_find', 'name'): '"lstm.bias_ih_l0"',
    ('lw_tensors_metadata', 'key'): '"format"', ('lw_model_brick', 'index'): '0', ('lw_model_layer', 'index'): '0',
    ('lw_model_parameter', 'index'): '2', ('lw_model_parameter_get', 'index'): '2',
    ('lw_model_parameter_get', 'values'): 'y', ('lw_model_parameter_get', 'count'): 'BIAS',
    ('lw_model_parameter_set', 'index'): '2', ('lw_model_parameter_set', 'count'): 'BIAS',
    ('lw_state_save', 'state'): 'state', ('lw_state_save', 'bytes'): 'lw_state_bytes(state)',
    ('lw_state_restore', 'bytes'): 'lw_state_bytes(state)', ('lw_state_restore', 'buffer'): 'saved_state',
    ('lw_state_get', 'count'): 'HIDDEN', ('lw_state_set', 'count'): 'HIDDEN', ('lw_state_get', 'layer'): '0',
    ('lw_state_set', 'layer'): '0', ('lw_layer_signal', 'layer'): '0', ('lw_layer_signal', 'index'): '0',
    ('lw_tensors_parse', 'bytes'): 'file', ('lw_tensors_parse', 'count'): 'file_bytes',
    ('lw_tensors_get', 'index'): '0', ('lw_tensors_read', 'index'): 'tensor_index', ('lw_tensors_read', 'count'): 'BIAS',
    ('lw_optimiser_create', 'tensors'): 'PARAMETERS', ('lw_optimiser_save', 'bytes'): 'lw_optimiser_bytes(optimiser)',
    ('lw_optimiser_restore', 'bytes'): 'lw_optimiser_bytes(optimiser)',
    ('lw_optimiser_restore', 'buffer'): 'saved_optimiser', ('lw_step_many', 'count'): '1',
}
# Wrong values by kind; the first word of each names it in the report.
NULL = [('NULL', 'NULL')]
SIZES = [('0', '0'), ('SIZE_MAX', 'SIZE_MAX'), ('half of SIZE_MAX', 'SIZE_MAX / 2'), ('2^63', '(size_t)1 << 63'),
         ('-2', '(size_t)-2')]
ENUMS = [('-1', '-1'), ('3', '3'), ('99', '99')]
DOUBLES = [('NaN', '(double)NAN'), ('-1', '-1.0'), ('infinity', '(double)INFINITY')]
LARGE = [('0', '0'), ('2^64-1', 'UINT64_MAX')]
# Structs whose size field is wrong.
STRUCT_SIZES = ['0', '1', 'SIZE_MAX']

# Values that are wrong elsewhere and mean something here: (function, argument): names, or '*'.
MAY_PASS = {
    ('lw_isa_set', 'isa'): ['3'], ('lw_status_name', 'status'): '*', ('lw_isa_name', 'isa'): '*', ('lw_isa_built', 'isa'): '*',
    ('lw_isa_supported', 'isa'): '*', ('lw_model_create', 'options'): ['NULL'], ('lw_model_load', 'options'): ['NULL'],
    ('lw_model_from_tensors', 'options'): ['NULL'], ('lw_context_create', 'options'): ['NULL'],
    ('lw_tape_create', 'options'): ['NULL'], ('lw_run', 'state'): ['NULL'], ('lw_step', 'y'): ['NULL'],
    ('lw_step_many', 'y'): ['NULL'], ('lw_step_many', 'count'): ['0'], ('lw_explain', 'limits'): ['NULL'],
    ('lw_explain', 'steps'): '*', ('lw_explain', 'batch'): ['0'], ('lw_tape_forward', 'parameters'): ['NULL'],
    ('lw_tape_forward', 'state'): ['NULL'], ('lw_optimiser_step', 'norm'): ['NULL'],
    ('lw_tensors_write', 'count'): ['0'], ('lw_tensors_write', 'metadata_count'): ['0'],
    ('lw_tape_set_segment', 'steps'): '*', ('lw_state_create', 'batch'): ['0'],
    ('lw_context_reserve', 'steps'): ['0', 'SIZE_MAX', 'half of SIZE_MAX', '2^63', '-2'],
    ('lw_context_reserve', 'batch'): ['0', 'SIZE_MAX', 'half of SIZE_MAX', '2^63', '-2'],
    ('lw_model_brick', 'index'): ['0'], ('lw_model_layer', 'index'): ['0'], ('lw_model_parameter', 'index'): ['0'],
    ('lw_model_parameter_get', 'index'): [], ('lw_state_get', 'layer'): ['0'], ('lw_state_set', 'layer'): ['0'],
    ('lw_tensors_get', 'index'): ['0'], ('lw_tensors_read', 'index'): ['0'],
    # A buffer may be larger than needed.
    ('lw_state_save', 'bytes'): SIZES[1:], ('lw_optimiser_save', 'bytes'): SIZES[1:],
    ('lw_model_initialise', 'seed'): '*', ('lw_learning_rate_at', 'update'): '*',
    ('lw_tape_set_regularisation', 'regularisation'): ['NULL'],
}
# Cases that would measure the machine for seconds; test_machine.c has them.
SLOW = {('lw_machine_peak', 'threads'), ('lw_machine_limits', 'threads')}


def functions(text):
    text = re.sub(r'/\*.*?\*/', ' ', text, flags=re.DOTALL)
    for result, name, arguments in re.findall(r'LW_API\s+([^;(]*?)\b(lw_\w+)\(([^;]*)\);', text):
        parameters = []
        for part in re.split(r',(?![^(]*\))', ' '.join(arguments.split())):
            pointer = re.fullmatch(r'(.*)\(\*(\w+)\)\[2\]', part)
            plain = re.fullmatch(r'(.*?[\s*])(\w+)', part)
            if pointer:
                parameters.append((pointer.group(1).strip() + ' (*)[2]', pointer.group(2)))
            elif part != 'void' and plain:
                parameters.append((plain.group(1).strip(), plain.group(2)))
            elif part != 'void':
                sys.exit(f'make_misuse: {name}: {part!r} is no argument that can be read')
        yield ' '.join(result.split()), name, parameters


def structs(text):
    """Names of structs that begin with their size."""
    return set(re.findall(r'typedef struct (\w+) \{\s*size_t size;', text))


def right(text, function, kind, name):
    value = BY_NAME.get((function, name)) or VALUES.get(kind)
    macro = re.fullmatch(r'const lw_(\w+) \*', kind)
    if not value and macro and f'#define LW_{macro.group(1).upper()}_INIT ' in text:
        value = f'&(lw_{macro.group(1)})LW_{macro.group(1).upper()}_INIT'
    if not value:
        sys.exit(f'make_misuse: the argument {name!r} of {function} ({kind}) has no value: add one to VALUES or BY_NAME')
    return value


def wrong(kind, sized):
    if kind.endswith(('*', '[2]')):
        yield from NULL
        struct = re.fullmatch(r'(?:const )?(lw_\w+) \*', kind)
        if struct and struct.group(1) in sized:
            for size in STRUCT_SIZES:
                yield f'size {size}', f'&({struct.group(1)}){{.size = {size}}}'
    elif kind == 'size_t':
        yield from SIZES
    elif kind == 'uint64_t':
        yield from LARGE
    elif kind == 'double':
        yield from DOUBLES
    elif kind.startswith('lw_'):
        for name, value in ENUMS:
            yield name, f'({kind}){value}'
    else:
        sys.exit(f'make_misuse: there are no wrong values for the type {kind!r}')


def expected(function, argument, value):
    allowed = MAY_PASS.get((function, argument), [])
    if allowed == '*' or value in [a if isinstance(a, str) else a[0] for a in allowed]:
        return 'ANY'
    return 'ARGUMENT' if value == 'NULL' or value.startswith('size ') else 'REFUSED'


def main():
    text = Path(sys.argv[1]).read_text()
    sized = structs(text)
    print('/* Made by make_misuse.py. */')
    for result, function, parameters in functions(text):
        values = [right(text, function, kind, name) for kind, name in parameters]
        for place, (kind, name) in enumerate(parameters):
            for title, value in wrong(kind, sized):
                if (function, name) in SLOW and kind == 'size_t':
                    continue
                call = f'{function}({", ".join(values[:place] + [value] + values[place + 1:])})'
                case = f'"{function}: {name} is {title}"'
                if result == 'lw_status':
                    print(f'CASE({case}, {expected(function, name, title)}, {call});')
                else:
                    print(f'PLAIN({case}, {call});')


if __name__ == '__main__':
    main()
