#!/bin/sh
# Runs the suites of this folder on a card of CUDA, and writes a report of each into a folder.
#
#   cuda.sh FOLDER [NAME...]     all of them, or those whose name begins like this
#
# SOAK_SECONDS says for how long each of two networks is soaked, 300 where it is not set, and
# NVRTC_FOLDER where libnvrtc lies, where neither the system nor Python would find it.
#
# `cargo xtask device cuda` puts this and what it runs into one folder, which can be carried to a
# machine that has a driver and nothing else. Exits with 0 if all passed, with 1 if one did not,
# and with 77 without a card, where nothing has passed.

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd)
shift
cd "$here" || exit 2

./anabranch devices > "$out/devices.txt" 2>&1
if ! grep -q 'cuda:0' "$out/devices.txt"; then
    echo "skipped: no CUDA device"
    tail -n 1 "$out/devices.txt"
    exit 77
fi

table="$out/table.txt"
: > "$table"
failed=0

# part NAME SECONDS COMMAND...
part() {
    name=$1
    limit=$2
    shift 2
    case " $wanted " in
        *" all "*) ;;
        *)
            found=no
            for one in $wanted; do
                case "$name" in "$one"*) found=yes ;; esac
            done
            [ "$found" = yes ] || return 0
            ;;
    esac
    begin=$(date +%s)
    timeout "$limit" "$@" > "$out/$name.txt" 2>&1
    code=$?
    seconds=$(($(date +%s) - begin))
    case $code in
        0) verdict=passed ;;
        77) verdict="skipped: $(tail -n 1 "$out/$name.txt")" ;;
        124) verdict="FAILED: still running" ;;
        *) verdict="FAILED: exit code $code" ;;
    esac
    [ $code -eq 0 ] || [ $code -eq 77 ] || failed=1
    printf '%-44s %4d s  %s\n' "$name" "$seconds" "$verdict" >> "$table"
}

wanted=${*:-all}
digits=digits

# The driver compiles when the device is opened for the first time, and finds it the second time.
part open-first 180 ./launches cuda:0
part open-again 60 ./launches cuda:0
# Each by itself, because one that is broken may hang.
for test in $(./conformance cuda --list | sed -n 's/: test$//p'); do
    part "conformance-${test#*::}-${test%%::*}" 30 ./conformance --exact "$test"
done
part kernels 300 ./anabranch_hal cuda::
part networks 300 env ANABRANCH_DEVICE=cuda:0 ./anabranch_nn session:: --test-threads 4
part full 60 ./full_card
part lost 60 ./lost_card
part threads 60 ./threads_device
part fork 120 ./fork_device cuda
part promises 180 ./promises promises_on_cuda --nocapture
part programs 180 ./programs on_cuda --nocapture
for model in conv-bn instance-norm; do
    part "run-$model" 60 ./anabranch run "$digits/digits-$model.onnx" --device cuda:0 \
        --input "$digits/digits-images.npy" --expect "$digits/digits-$model-logits.npy" --threads 8
done
part stress 120 ./anabranch stress --device cuda:0 --workload all --threads 8
part stress-own 120 ./anabranch stress --device cuda:0 --workload all --threads 16 --own-sessions
part stress-failures 120 ./anabranch stress --device cuda:0 --threads 8 --failures --deadlines
part verify 180 ./anabranch verify --device cuda:0 --seconds 1 --report "$out/verify.md"
part overlap 60 ./overlap cuda:0 0.5
part sanitized 900 ./sanitized .
part bench-ops 60 ./anabranch bench ops --device cuda:0 --seconds 0.05

# The same with functions that NVRTC compiles here, where it is: in the folder that NVRTC_FOLDER
# names, where the system finds it, or among the packages of Python. It alone is linked, so that no
# other library comes with it.
find_nvrtc='
import glob, sys
for path in sys.path:
    print(*glob.glob(path + "/nvidia/*/lib/libnvrtc*"))'
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/nvrtc"
for file in "${NVRTC_FOLDER:-/nowhere}"/libnvrtc* $(python3 -c "$find_nvrtc" 2> /dev/null); do
    [ ! -e "$file" ] || ln -s "$file" "$scratch/nvrtc" 2> /dev/null
done
nvrtc_part() {
    nvrtc_name=$1
    nvrtc_limit=$2
    shift 2
    part "$nvrtc_name" "$nvrtc_limit" env ANABRANCH_LIBRARIES=found \
        XDG_CACHE_HOME="$scratch/cache" \
        LD_LIBRARY_PATH="$scratch/nvrtc${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$@"
}
# Who compiled the functions of a card, which has to be NVRTC unless there is none.
told_by_nvrtc='
told=$(./anabranch inspect "$1" --device cuda:0 --libraries found --json) || exit 1
echo "$told" | grep -o "functions by NVRTC[^\"]*" || exit 1
case $told in
    *"NVRTC cannot be used: the system finds no"*) exit 77 ;;
    *"NVRTC cannot be used"*) exit 1 ;;
esac'
nvrtc_part nvrtc-open 300 sh -c "$told_by_nvrtc" sh "$digits/digits-conv-bn.onnx"
if grep -q '^nvrtc-open .* passed$' "$table"; then
    nvrtc_part nvrtc-again 60 sh -c "$told_by_nvrtc" sh "$digits/digits-conv-bn.onnx"
    nvrtc_part nvrtc-conformance 300 ./conformance cuda
    nvrtc_part nvrtc-kernels 300 ./anabranch_hal cuda:: --nocapture
    nvrtc_part nvrtc-networks 300 env ANABRANCH_DEVICE=cuda:0 ./anabranch_nn session:: \
        --test-threads 4
    nvrtc_part nvrtc-verify 180 ./anabranch verify --device cuda:0 --libraries found \
        --seconds 1 --report "$out/nvrtc-verify.md"
fi

# What the card says of its memory, beside what the soak says of the process and the runtime.
soak_seconds=${SOAK_SECONDS:-300}
watch_card() {
    while nvidia-smi --query-gpu=memory.used --format=csv,noheader; do sleep 5; done
}
watch_card > "$out/soak-card.txt" 2>&1 &
watching=$!
part soak $((2 * soak_seconds + 60)) ./anabranch stress --device cuda:0 --threads 16 \
    --soak --seconds "$soak_seconds" --deadlines --exhaust --failures --memory-limit 256M \
    --growth-max 5
kill "$watching" 2> /dev/null

cat "$table"
exit $failed
