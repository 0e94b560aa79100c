#!/bin/bash
# Written by `runner` and submitted with sbatch: trains one run, attempt after attempt, until it is
# over. Slurm starts it again after a node failed, after a preemption, and when it asks for that itself
# because its time is up. It writes attempt-N.jsonl and checkpoints/N-* (the trainer), attempt-N.exit
# and log.txt, all in the run directory.
run=@RUN@
trainer=@TRAINER@
job_name=@NAME@
n=@FIRST@

say() { printf 'job %s on %s: %s\n' "$SLURM_JOB_ID" "$(hostname)" "$*"; }
cd "$run" || exit 66
# GPUs are counted as nvidia-smi and NVML count them.
export CUDA_DEVICE_ORDER=PCI_BUS_ID

# A scheduler that could not find this job may have submitted another one since.
if ! grep -q "\"$job_name\"" job.json 2>/dev/null; then
    say "this run is another job's by now, or cancelled; leaving"
    exit 73
fi
while [ -e "attempt-$n.jsonl" ] || [ -e "attempt-$n.exit" ]; do
    n=$((n + 1))
done
# The status must be whole where it is seen, for the runner looks at any moment.
leave() {
    printf '%s\n' "$1" >".attempt-$n.exit.tmp" && mv ".attempt-$n.exit.tmp" "attempt-$n.exit"
}
if [ ! -x "$trainer" ]; then
    say "there is no trainer at $trainer on this node: put it on a file system that every node sees, and set RUNGS_TRAINER to it"
    leave 127
    exit 127
fi
say "attempt $n"

pid='' limit='' broken_off=''
tell() {
    broken_off=1
    if [ -n "$pid" ]; then kill -TERM "$pid" 2>/dev/null; fi
}
# Slurm's warning that the time is nearly up (--signal), and its word that the job is cancelled or
# preempted.
trap 'limit=1; tell' USR1
trap tell TERM

"$trainer" run --run-dir "$run" --attempt "$n" </dev/null &
pid=$!
if [ -n "$broken_off" ]; then kill -TERM "$pid" 2>/dev/null; fi
wait "$pid"
status=$?
# A wait that a signal broke off says nothing of the trainer. If the trainer had ended before, a second
# wait knows nothing of it, and the first one was right.
while [ -n "$broken_off" ]; do
    broken_off=''
    wait "$pid" 2>/dev/null
    again=$?
    if [ "$again" -ne 127 ]; then status=$again; fi
done
leave "$status"

# The same job again: its number stays, so jobs that wait for it still do.
if [ "$status" -eq 75 ] && [ -n "$limit" ]; then
    say "its time is up; attempt $n wrote a checkpoint, Slurm is asked to start the job again"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
