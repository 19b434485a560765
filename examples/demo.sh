#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What `make demo` shows: a trained LSTM finds the speech in a real recording, held to what the original network said,
# then how fast recurrent layers run here. The build directory is the first argument or in BUILD. Exit code 1 when the
# probabilities differ from the original's.
set -eu
here=$(dirname "$0")
build=${1:-${BUILD:-build}}
programs=$build/examples
[ -x "$programs/vad" ] || {
    echo "demo: $programs/vad is missing; build it with: make" >&2
    exit 1
}
recording=$here/data/sense_and_sensibility

echo "== Voice activity: Silero's network, streamed through Latchwork ===================================="
"$programs/vad" --compare "$recording.probabilities.csv" "$here/models/silero_vad_16k.safetensors" "$recording.wav"
echo
echo "== Throughput of this machine ======================================================================="
"$programs/throughput"
