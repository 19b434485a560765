# SPDX-License-Identifier: Apache-2.0
"""`latchwork run`: what it computes, the same bits everywhere, the kinds of files, what it refuses and with which words."""
import io
import itertools
import os
import wave

import numpy as np
import pytest

import cli_reference as reference
from conftest import BOTH, digest, make_weights, normal, save, save_model


def native_reference(weights, x):
    y, _, _ = reference.run('gru', weights, x, prefix='gru.')
    return reference.sigmoid(y @ weights['head.weight'].T.astype(float) + weights['head.bias'])


# ---- run: the numbers -----------------------------------------------------------------------------------------------

SHAPES = [(kind, layers, directions, projection)
          for kind, layers, directions, projection in itertools.product(('lstm', 'gru', 'rnn'), (1, 3), (('',), BOTH), (0, 2))
          if kind == 'lstm' or not projection]


@pytest.mark.parametrize('kind, layers, directions, projection', SHAPES)
def test_run_agrees_with_double_precision(latchwork, tmp_path, kind, layers, directions, projection):
    weights = make_weights(kind, 3, 7, layers, directions, projection)
    model = save_model(tmp_path / 'm.safetensors', weights)
    x, lengths = normal(9, 4, 3), np.array([9, 0, 4, 1])
    save(tmp_path / 'x.npy', x), save(tmp_path / 'n.npy', lengths)
    for option, given in (((), None), (('--lengths', tmp_path / 'n.npy'), lengths)):
        want, last, _ = reference.run(kind, weights, x, given)
        latchwork.good('run', model, '--input', tmp_path / 'x.npy', '--output', tmp_path / 'y.npy', *option)
        y = np.load(tmp_path / 'y.npy')
        assert y.dtype == np.float32 and y.shape == want.shape
        np.testing.assert_allclose(y, want, rtol=1.3e-6, atol=3e-6)
        latchwork.good('run', model, '--input', tmp_path / 'x.npy', '--output', tmp_path / 'y.npy', '--last', *option)
        np.testing.assert_allclose(np.load(tmp_path / 'y.npy'), last, rtol=1.3e-6, atol=3e-6)


def test_run_native_ranks_and_layouts(latchwork, native, tmp_path):
    path, weights = native
    x = normal(6, 3, 2)
    want = native_reference(weights, x)
    x_path, y_path = tmp_path / 'x.npy', tmp_path / 'y.npy'

    def run(array, *options):
        save(x_path, array)
        latchwork.good('run', path, '--input', x_path, '--output', y_path, *options)
        return np.load(y_path)

    near = dict(rtol=1.3e-6, atol=1e-6)
    y = run(x)
    np.testing.assert_allclose(y, want, **near)
    assert np.array_equal(run(x[:, 1]), y[:, 1])
    assert np.array_equal(run(x[:, 1], '--last'), y[-1, 1])
    assert np.array_equal(run(x, '--last'), y[-1])
    turned = np.ascontiguousarray(x.swapaxes(0, 1))
    assert np.array_equal(run(turned, '--batch-first'), y.swapaxes(0, 1))
    assert np.array_equal(run(turned, '--batch-first', '--chunk', '2'), y.swapaxes(0, 1))
    assert np.array_equal(run(turned, '--batch-first', '--last'), y[-1])
    assert np.array_equal(run(x.astype(np.float64)), y)
    assert np.array_equal(run(np.asfortranarray(x)), y)
    np.testing.assert_allclose(run(x.astype(np.float16)), native_reference(weights, x.astype(np.float16)), **near)
    assert run(x[:0]).shape == (0, 3, 3)


def test_run_json(latchwork, native, tmp_path):
    save(tmp_path / 'x.npy', normal(6, 3, 2))
    found = latchwork.good('run', native[0], '--input', tmp_path / 'x.npy', '--output', tmp_path / 'y.npy', '--json',
                           '--threads', '1', '--chunk', '4', '--isa', 'scalar').json()
    assert found['input'] == {'file': str(tmp_path / 'x.npy'), 'shape': [6, 3, 2]}
    assert found['output']['shape'] == [6, 3, 3]
    assert (found['steps'], found['batch'], found['isa'], found['threads']) == (6, 3, 'scalar', 1)
    assert (found['chunk'], found['calls']) == (4, 2) and found['seconds'] > 0


@pytest.mark.parametrize('kind, directions, last',
                         [(kind, directions, last) for kind in ('lstm', 'gru', 'rnn') for directions in (('',), BOTH)
                          for last in (False, True)])
def test_the_same_bits(latchwork, isas, tmp_path, kind, directions, last):
    model = save_model(tmp_path / 'm.safetensors', make_weights(kind, 5, 19, 2, directions))
    steps = 23
    save(tmp_path / 'x.npy', normal(steps, 5, 5))
    (tmp_path / 'n.csv').write_text('23,0,7,22,8\n')
    chunks = [()] if directions == BOTH else [(), ('--chunk', 1), ('--chunk', 7), ('--chunk', steps)]
    hashes, states = set(), set()
    for isa, threads, chunk in itertools.product(isas, (1, 2, 3, 4), chunks):
        latchwork.good('run', model, '--input', tmp_path / 'x.npy', '--output', tmp_path / 'y.npy', '--isa', isa,
                       '--threads', threads, '--lengths', tmp_path / 'n.csv', '--state-out', tmp_path / 's', *chunk,
                       *(['--last'] if last else []))
        hashes.add(digest(tmp_path / 'y.npy'))
        states.add(digest(tmp_path / 's'))
    assert len(hashes) == 1 and len(states) == 1
    assert np.abs(np.load(tmp_path / 'y.npy')).max() > 0.01
    for isa in isas:
        latchwork.good('run', model, '--input', tmp_path / 'x.npy', '--output', tmp_path / 'y.npy', '--lengths',
                       tmp_path / 'n.csv', *(['--last'] if last else []), env={'LW_ISA': isa})
        assert {digest(tmp_path / 'y.npy')} == hashes


def test_state_files_continue_a_sequence(latchwork, lstm, tmp_path):
    x = normal(12, 2, 3)
    for name, part in (('x', x), ('a', x[:5]), ('b', x[5:])):
        save(tmp_path / f'{name}.npy', part)

    def run(name, *options):
        latchwork.good('run', lstm[0], '--input', f'{name}.npy', '--output', f'y{name}.npy', *options, cwd=tmp_path)
        return np.load(tmp_path / f'y{name}.npy')

    whole = run('x', '--state-out', 'end')
    first = run('a', '--state-out', 'middle', '--isa', 'scalar')
    second = run('b', '--state-in', 'middle', '--state-out', 'end2')
    assert np.array_equal(np.concatenate([first, second]), whole)
    assert not np.array_equal(run('b'), second)
    assert digest(tmp_path / 'end') == digest(tmp_path / 'end2')


# ---- run: kinds of files --------------------------------------------------------------------------------------------

def test_formats(latchwork, lstm, tmp_path):
    x = normal(6, 3)
    save(tmp_path / 'x.npy', x)
    (tmp_path / 'x.f32').write_bytes(x.tobytes())
    (tmp_path / 'x.csv').write_text('\r\n'.join(','.join(f' {v:.9g}' for v in row) for row in x) + '\r\n')

    def run(given, output='y.npy', *options, **more):
        result = latchwork.good('run', lstm[0], '--input', given, '--output', output, *options, cwd=tmp_path, **more)
        return result if output == '-' else tmp_path / output

    y = np.load(run('x.npy'))
    assert np.array_equal(np.load(run('x.f32')), y)
    assert np.array_equal(np.load(run('x.csv', env={'LC_ALL': 'de_DE.UTF-8'})), y)
    assert np.array_equal(np.load(run('x.f32', 'y.npy', '--shape', '6,3')), y)
    assert np.load(run('x.f32', 'y.npy', '--shape', '3,2,3')).shape == (3, 2, 5)
    assert np.array_equal(np.frombuffer(run('x.npy', 'y.f32').read_bytes(), np.float32).reshape(6, 5), y)
    assert np.array_equal(np.loadtxt(run('x.npy', 'y.csv'), delimiter=',', dtype=np.float32), y)
    piped = run('-', '-', stdin=(tmp_path / 'x.npy').read_bytes())
    assert np.array_equal(np.load(io.BytesIO(piped.out)), y)
    for version in ((2, 0), (3, 0)):
        with open(tmp_path / 'v.npy', 'wb') as file:
            np.lib.format.write_array(file, x, version=version)
        assert np.array_equal(np.load(run('v.npy')), y)


def test_sound(latchwork, tmp_path):
    model = save_model(tmp_path / 'm.safetensors', make_weights('gru', 1, 4))
    samples = np.random.default_rng(3).integers(-32768, 32767, 500).astype('<i2')

    def write(name, channels):
        with wave.open(str(tmp_path / name), 'wb') as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(samples.tobytes())
        return tmp_path / name

    save(tmp_path / 'x.npy', samples.astype(np.float32)[:, None] / 32768)
    latchwork.good('run', model, '--input', tmp_path / 'x.npy', '--output', tmp_path / 'y.npy')
    summary = latchwork.good('run', model, '--input', write('x.wav', 1), '--output', tmp_path / 'z.npy', '--json').json()
    assert np.array_equal(np.load(tmp_path / 'y.npy'), np.load(tmp_path / 'z.npy')) and summary['times_real_time'] > 0
    error = latchwork.bad(1, 'run', model, '--input', write('stereo.wav', 2), '--output', tmp_path / 'w.npy')
    assert 'has 2 channels; the model takes 1' in error
    (tmp_path / 'broken.wav').write_bytes(b'RIFF\xff\xff\xff\xffWAVEfmt ')
    error = latchwork.bad(1, 'run', model, '--input', tmp_path / 'broken.wav', '--output', tmp_path / 'w.npy')
    assert 'is not a sound that can be read' in error


def npy(header, data=b'', version=b'\x01\x00', length=None):
    header = header.encode()
    size = (len(header) if length is None else length).to_bytes(2 if version[0] == 1 else 4, 'little')
    return b'\x93NUMPY' + version + size + header + data


def head(shape, descr="'<f4'", order='False'):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


BAD_INPUTS = [
    ('empty.npy', b'', 'is empty; expected a .npy array'),
    ('text.npy', b'1,2,3\n' * 9, 'is not a .npy file'),
    ('lfs.npy', b'version https://git-lfs.github.com/spec/v1\n', 'is not a .npy file'),
    ('version.npy', npy(head('(1, 3)'), b'\0' * 12, b'\x07\x00'), '.npy version 7.0; expected 1.0, 2.0 or 3.0'),
    ('cut.npy', npy(head('(1, 3)'), b'\0' * 12, length=2000), 'ends inside its header (2000 bytes announced'),
    ('huge.npy', npy(head('(1, 3)'), b'', b'\x02\x00', 2**32 - 1), 'ends inside its header'),
    ('short.npy', npy(head('(2, 3)'), b'\0' * 20), 'the shape (2, 3) needs 24 bytes of numbers, the file has 20'),
    ('long.npy', npy(head('(2, 3)'), b'\0' * 25), 'needs 24 bytes of numbers, the file has 25'),
    ('overflow.npy', npy(head('(4611686018427387904, 4)'), b'\0' * 16), 'the file has 16'),
    ('overflow0.npy', npy(head('(6148914691236517206, 3)'), b'\0' * 8), 'the file has 8'),
    ('big.npy', npy(head('(99999999999999999999, 3)'), b''), 'no whole number that fits'),
    ('negative.npy', npy(head('(-2, 3)'), b''), 'no whole number that fits'),
    ('list.npy', npy(head('[2, 3]'), b''), 'not a tuple'),
    ('bare.npy', npy(head('(3)'), b'\0' * 12), 'not a tuple'),
    ('deep.npy', npy(head('((((((2, 3))))))'), b''), 'no whole number that fits'),
    ('ranks.npy', npy(head('(1, 1, 1, 1, 1, 1, 1, 1, 3)'), b'\0' * 12), 'more than 8 dimensions'),
    ('order.npy', npy(head('(1, 3)', order='Maybe'), b'\0' * 12), 'neither True nor False'),
    ('structured.npy', npy(head('(1, 3)', "[('a', '<f4')]"), b'\0' * 12), "structured type; expected '<f4'"),
    ('object.npy', npy(head('(1, 3)', "'|O'"), b'\0' * 12), "type '|O'; expected little-endian '<f4'"),
    ('endian.npy', npy(head('(1, 3)', "'>f4'"), b'\0' * 12), "type '>f4'; expected little-endian '<f4'"),
    ('integers.npy', npy(head('(1, 3)', "'<i8'"), b'\0' * 24), "type '<i8'; expected '<f4'"),
    ('twice.npy', npy("{'shape': (1, 3), 'shape': (1, 3)}\n"), "the key 'shape' twice"),
    ('unknown.npy', npy("{'shape': (1, 3), 'colour': 3}\n"), "unknown key 'colour'"),
    ('lacking.npy', npy("{'descr': '<f4', 'shape': (1, 3)}\n", b'\0' * 12), "lacks the key 'fortran_order'"),
    ('code.npy', npy("__import__('os').abort()\n"), 'not a Python dictionary'),
    ('tail.npy', npy(head('(1, 3)').strip() + ' x\n', b'\0' * 12), 'something after its end'),
    ('one.npy', npy(head('(3,)'), b'\0' * 12), 'has the shape (3,); expected (T, I) or (T, B, I) with I = 3'),
    ('four.npy', npy(head('(1, 1, 1, 3)'), b'\0' * 12), 'has the shape (1, 1, 1, 3); expected (T, I)'),
    ('width.npy', npy(head('(3, 4)'), b'\0' * 48), 'so that I = 4; the model takes I = 3'),
    ('rows.npy', npy(head('(4, 0, 3)'), b''), 'expected at least one batch row'),
    ('empty.csv', b'\n \n', 'is empty; expected lines of numbers'),
    ('word.csv', b'1,2,3\n4,five,6\n', "line 2, column 2: expected a number, got 'five'"),
    ('comma.csv', b'1,2,3\n4,,6\n', "line 2, column 2: expected a number, got ''"),
    ('decimal.csv', b'1;2;3\n', "line 1, column 1: expected a number, got '1;2;3'"),
    ('ragged.csv', b'1,2,3\n4,5\n', 'line 2 has 2 numbers; expected 3'),
    ('gap.csv', b'1,2,3\n\n4,5,6\n', "line 2, column 1: expected a number, got ''"),
    ('columns.csv', b'1,2\n', 'so that I = 2; the model takes I = 3'),
    ('nul.csv', b'1,2\0,3\n', 'line 1, column 2: expected a number'),
    ('odd.f32', b'\0' * 13, 'has 13 bytes; expected a multiple of 4'),
    ('width.f32', b'\0' * 16, "has 4 numbers; expected a multiple of the model's input width 3"),
    ('x.txt', b'1,2,3\n', 'unknown kind of file; expected .npy, .csv, .f32, .raw or a sound'),
    ('noise.flac', b'fLaC' + b'\xff' * 50, 'is not a sound that can be read'),
]


@pytest.mark.parametrize('name, data, words', BAD_INPUTS, ids=[row[0] for row in BAD_INPUTS])
def test_bad_inputs(latchwork, lstm, tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    (tmp_path / 'y.npy').write_bytes(b'the old file')
    before = sorted(os.listdir(tmp_path))
    error = latchwork.bad(1, 'run', lstm[0], '--input', tmp_path / name, '--output', tmp_path / 'y.npy')
    assert words in error and name in error
    assert sorted(os.listdir(tmp_path)) == before and (tmp_path / 'y.npy').read_bytes() == b'the old file'
    latchwork.bad(1, 'gates', lstm[0], '--input', tmp_path / name, '--output', tmp_path / 'g.svg')
    assert sorted(os.listdir(tmp_path)) == before


def test_no_prefix_of_an_array_is_taken(latchwork, lstm, tmp_path):
    save(tmp_path / 'x.npy', normal(2, 3))
    whole = (tmp_path / 'x.npy').read_bytes()
    for size in range(len(whole)):
        latchwork.bad(1, 'run', lstm[0], '--input', '-', '--output', '-', stdin=whole[:size])


def test_bad_arguments_of_run(latchwork, lstm, bidirectional, tmp_path):
    x = save(tmp_path / 'x.npy', normal(4, 2, 3))
    y, before = tmp_path / 'y.npy', None

    def refused(*options, model=lstm[0], source=x, output=y):
        return latchwork.bad(1, 'run', model, '--input', source, '--output', output, *options)

    (tmp_path / 'short').write_bytes(b'abc')
    (tmp_path / 'folder.npy').mkdir()
    save(tmp_path / 'f.npy', normal(2)), save(tmp_path / 'two.npy', np.array([[1, 2]]))
    save(tmp_path / 'n3.npy', np.array([1, 2, 3])), save(tmp_path / 'far.npy', np.array([4, 5]))
    save(tmp_path / 'minus.npy', np.array([-1, 2], np.int32))
    (tmp_path / 'n.csv').write_text('1,x\n')
    latchwork.good('run', lstm[0], '--input', x, '--output', y, '--state-out', tmp_path / 'state')
    save(tmp_path / 'alone.npy', normal(4, 3))
    before = digest(y), sorted(os.listdir(tmp_path))
    assert 'has a reverse layer' in refused('--chunk', 2, model=bidirectional[0])
    assert 'a cut would change the result' in refused('--chunk', 99, model=bidirectional[0])
    assert '--shape is for raw files' in refused('--shape', '4,2,3')
    assert 'is a folder; expected a file' in refused(source=tmp_path / 'folder.npy')
    assert 'cannot be opened: No such file' in refused(source=tmp_path / 'none.npy')
    assert 'is a folder; expected the name of a file' in refused(output=tmp_path / 'folder.npy')
    assert 'cannot be created in the folder' in refused(output=tmp_path / 'none' / 'y.npy')
    assert 'cannot be created in the folder' in refused('--state-out', tmp_path / 'none' / 's')
    assert 'unknown kind of output file; expected .npy, .csv, .f32 or .raw' in refused(output=tmp_path / 'y.mat')
    assert 'a CSV file holds two dimensions, the output has the shape (4, 2, 5)' in refused(output=tmp_path / 'y.csv')
    assert "type '<f4'; expected '<i8' or '<i4'" in refused('--lengths', tmp_path / 'f.npy')
    assert 'the shape (1, 2); expected one dimension' in refused('--lengths', tmp_path / 'two.npy')
    assert 'expected 2 lengths, one for each batch row, got 3' in refused('--lengths', tmp_path / 'n3.npy')
    assert 'length of row 1 is 5; expected 0 to 4' in refused('--lengths', tmp_path / 'far.npy')
    assert 'length of row 0 is -1; expected 0 to 4' in refused('--lengths', tmp_path / 'minus.npy')
    assert "line 1: expected a whole number, got 'x'" in refused('--lengths', tmp_path / 'n.csv')
    assert 'short' in refused('--state-in', tmp_path / 'short')
    assert 'state' in refused('--state-in', tmp_path / 'state', source=tmp_path / 'alone.npy')
    assert 'state' in refused('--state-in', tmp_path / 'state', model=bidirectional[0])
    assert (digest(y), sorted(os.listdir(tmp_path))) == before


def test_an_output_spares_what_the_command_reads(latchwork, lstm, tmp_path):
    """By whatever name: nothing is lost by a slip of the hand. A state may be written over the one that was read."""
    (model, _), x = lstm, save(tmp_path / 'x.npy', normal(4, 3))
    (tmp_path / 'link.npy').symlink_to(x)
    line, before = ('run', model, '--input', x, '--output'), (model.read_bytes(), x.read_bytes())
    for name in (x, tmp_path / '.' / 'link.npy', tmp_path / 'link.npy'):
        words = latchwork.bad(2, *line, name)
        assert '--output:' in words and 'which this command reads; give it another name' in words
    assert '--state-out:' in latchwork.bad(2, *line, tmp_path / 'y.npy', '--state-out', model)
    save(tmp_path / 'n.npy', np.array([2]))
    assert '--output:' in latchwork.bad(2, *line, tmp_path / 'n.npy', '--lengths', tmp_path / 'n.npy')
    table = tmp_path / 'x.csv'
    table.write_text('1,2,3\n')
    assert '--output:' in latchwork.bad(2, 'gates', model, '--input', table, '--output', table)
    assert table.read_text() == '1,2,3\n' and (model.read_bytes(), x.read_bytes()) == before
    latchwork.good(*line, tmp_path / 'y.npy', '--state-out', tmp_path / 's.bin')
    latchwork.good(*line, tmp_path / 'y.npy', '--state-in', tmp_path / 's.bin', '--state-out', tmp_path / 's.bin')



def test_a_full_device_is_an_error(latchwork, lstm, tmp_path):
    (tmp_path / 'full.npy').symlink_to('/dev/full')
    save(tmp_path / 'x.npy', normal(4, 3))
    error = latchwork.bad(1, 'run', lstm[0], '--input', tmp_path / 'x.npy', '--output', tmp_path / 'full.npy')
    assert 'cannot be written: No space left on device' in error
    assert sorted(os.listdir(tmp_path)) == ['full.npy', 'lstm.safetensors', 'x.npy']


def test_unsupported_instruction_set(latchwork, lstm, isas, tmp_path):
    save(tmp_path / 'x.npy', normal(4, 3))
    for isa in {'scalar', 'neon', 'avx2', 'avx512'} - set(isas):
        error = latchwork.bad(1, 'run', lstm[0], '--input', tmp_path / 'x.npy', '--output', tmp_path / 'y.npy', '--isa', isa)
        assert f'--isa {isa}: ' in error and 'this machine runs scalar' in error


def test_output_replaces_through_links_and_keeps_the_mode(latchwork, lstm, tmp_path):
    save(tmp_path / 'x.npy', normal(4, 3))
    (tmp_path / 'folder').mkdir()
    target = tmp_path / 'folder' / 'real.npy'
    target.write_bytes(b'old')
    target.chmod(0o640)
    (tmp_path / 'y.npy').symlink_to(target)
    latchwork.good('run', lstm[0], '--input', tmp_path / 'x.npy', '--output', tmp_path / 'y.npy')
    assert (tmp_path / 'y.npy').is_symlink() and np.load(target).shape == (4, 5)
    assert target.stat().st_mode & 0o777 == 0o640 and os.listdir(tmp_path / 'folder') == ['real.npy']
