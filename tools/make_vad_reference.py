#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the speech probabilities that examples/vad --compare is held to, with the original network.

    pip install onnxruntime==1.32.0 numpy
    pip download --no-deps silero-vad==6.2.3
    tools/make_vad_reference.py silero_vad-6.2.3-py3-none-any.whl examples/data/sense_and_sensibility.wav \\
        examples/data/sense_and_sensibility.probabilities.csv

Runs the package's silero_vad.onnx in ONNX Runtime on one thread, chunk by chunk, as the package's own wrapper does:
512 samples after the last 64 of the chunk before (zeros at the start), the last chunk filled up with zeros, the LSTM's
state handed on. Shares no code and no converted weights with the example.
"""
import argparse
import pathlib
import sys
import wave
import zipfile

import numpy as np
import onnxruntime

MEMBER = "silero_vad/data/silero_vad.onnx"
RATE, CHUNK, CONTEXT = 16000, 512, 64


def read_network(path):
    if path.is_dir():
        return (path / MEMBER if (path / MEMBER).is_file() else path / "data" / "silero_vad.onnx").read_bytes()
    with zipfile.ZipFile(path) as wheel:
        return wheel.read(MEMBER)


def read_recording(path):
    with wave.open(str(path), "rb") as recording:
        found = (recording.getframerate(), recording.getnchannels(), recording.getsampwidth())
        if found != (RATE, 1, 2):
            raise SystemExit(f"{path}: expected 16000 Hz, 1 channel, 2 bytes a sample; found {found}")
        samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
    return samples.astype(np.float32) / np.float32(32768)


def probabilities(network, samples):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    chunks = -(-len(samples) // CHUNK)
    padded = np.pad(samples, (CONTEXT, chunks * CHUNK - len(samples)))
    state = np.zeros((2, 1, 128), np.float32)
    for start in range(0, chunks * CHUNK, CHUNK):
        feed = {"input": padded[None, start:start + CONTEXT + CHUNK], "state": state, "sr": np.array(RATE)}
        output, state = session.run(["output", "stateN"], feed)
        yield start, float(output[0, 0])


def main():
    parser = argparse.ArgumentParser(description="Makes reference probabilities with the original network.")
    parser.add_argument("package", type=pathlib.Path, help="the wheel of silero-vad or the unpacked package")
    parser.add_argument("recording", type=pathlib.Path, help="16-bit PCM WAV, 16 kHz, one channel")
    parser.add_argument("output", type=pathlib.Path, help="the CSV file to write")
    arguments = parser.parse_args()
    try:
        rows = list(probabilities(read_network(arguments.package), read_recording(arguments.recording)))
    except (OSError, KeyError, EOFError, wave.Error, zipfile.BadZipFile) as error:
        raise SystemExit(f"{arguments.package}, {arguments.recording}: {error}") from None
    lines = ["start_sample,probability"] + [f"{start},{value:.9g}" for start, value in rows]
    arguments.output.write_text("\n".join(lines) + "\n", encoding="ascii")
    print(f"{arguments.output}: {len(rows)} chunks, ONNX Runtime {onnxruntime.__version__}")


if __name__ == "__main__":
    sys.exit(main())
