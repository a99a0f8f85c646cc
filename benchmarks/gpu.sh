#!/usr/bin/env bash
# Measure fusionlab on a machine with a GPU and without a network.
#
#   benchmarks/gpu.sh pack -o FOLDER [--images FOLDER ...] [--has NAME ...]   here: code, wheels, images
#   benchmarks/gpu.sh measure -o RESULTS [--seconds N] [PART ...]             there, in FOLDER: 7 minutes
#   benchmarks/gpu.sh train -o RESULTS [--start-from RESULTS] [--seconds N]   there: 7 minutes, resumable
#   benchmarks/gpu.sh report RESULTS ... -o PAGE.md                           here: the figures as a page
#
# `measure` and `train` take --device cpu --toy, to try them where there is no GPU. PYTHON names the
# interpreter; docs/gpu.md explains the rest.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
python=${PYTHON:-python3}

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; }

install_wheels() { # of a pack, into a folder of their own that goes before what is installed
    if [ ! -d "$root/wheels" ]; then return; fi
    site=${TMPDIR:-/tmp}/fusionlab-gpu-packages
    if [ ! "$site/.complete" -nt "$root/wheels" ]; then
        rm -rf "$site"
        "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir \
            --target "$site" "$root"/wheels/*.whl
        touch "$site/.complete"
    fi
    export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
}

command=${1:-}
if [ $# -gt 0 ]; then shift; fi
arguments=()
for word in "$@"; do
    if [ "$word" = -o ]; then word=--out; fi
    arguments+=("$word")
done
set -- "${arguments[@]+"${arguments[@]}"}"

case $command in
    pack | report) exec "$python" "$here/gpu/$command.py" "$@" ;;
    measure)
        install_wheels
        exec "$python" "$here/gpu/measure.py" "$@"
        ;;
    train)
        install_wheels
        if [ -e "$root/train.tar" ]; then set -- --data "$root/train.tar" "$@"; fi
        exec "$python" "$here/gpu/train.py" "$@"
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac
