#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What `make demo` shows: a trained LSTM finds the speech in a real recording, held to what the original network said,
# then how fast recurrent layers run here, and last an LSTM beside a plain RNN learning to keep one bit for 1,000 steps.
# The build directory is the first argument or in BUILD. Exit code 1 when the probabilities differ from the original's or
# the LSTM does not learn the task.
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
echo
echo "== Learning: one bit kept for 1,000 steps ==========================================================="
command=$build/latchwork
report=$build/latch.html
echo "LSTM, learning rate 0.02; then a plain RNN, learning rate 0.001, 300 updates:"
"$command" train latch --length 1000 --cell lstm --hidden 64 --seed 1 --report "$report" | tee "$build/latch.txt"
"$command" train latch --length 1000 --cell rnn --hidden 64 --seed 1 --updates 300
echo "Loss curves, gates, and the gradient on its way back through time: $report"
grep -q '^latch: solved' "$build/latch.txt"
