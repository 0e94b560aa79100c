"""DALI's side of torchvision_loader.py: NVIDIA's data loading library, on the CPU. A program that takes
turns, with the answers that torchvision_loader.py reads; that program starts it in `.venv-loaders`.

The pipelines are those of DALI's documentation for ResNet-50 with device="cpu": decode the random crop
alone, resize, colour twist, mirror and normalise to floats. DALI has neither PCA noise nor a random
order of colour steps. Without asynchronous execution, so that nothing is prepared before a turn's clock
starts; its threads share a batch.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy
import nvidia.dali as dali
from loader_turns import MEAN, STD, files_of, peak_bytes
from nvidia.dali import fn, pipeline_def, types


@pipeline_def(exec_async=False, exec_pipelined=False, prefetch_queue_depth=1)
def train(files, size):
    data, _ = fn.readers.file(files=files, random_shuffle=True, initial_fill=len(files))
    images = fn.decoders.image_random_crop(
        data, device="cpu", output_type=types.RGB, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3]
    )
    images = fn.resize(images, size=[size, size], interp_type=types.INTERP_LINEAR, antialias=False)
    factor = dict(range=[0.6, 1.4])
    images = fn.color_twist(
        images, brightness=fn.random.uniform(**factor), saturation=fn.random.uniform(**factor),
        hue=fn.random.uniform(range=[-36.0, 36.0]),
    )  # fmt: skip
    return fn.crop_mirror_normalize(
        images, dtype=types.FLOAT, output_layout="CHW", mean=MEAN, std=STD, mirror=fn.random.coin_flip(probability=0.5)
    )


@pipeline_def(exec_async=False, exec_pipelined=False, prefetch_queue_depth=1)
def evaluation(files, size):
    data, _ = fn.readers.file(files=files)
    images = fn.decoders.image(data, device="cpu", output_type=types.RGB)
    images = fn.resize(images, resize_shorter=-(-size * 8 // 7), interp_type=types.INTERP_LINEAR, antialias=False)
    return fn.crop_mirror_normalize(
        images, dtype=types.FLOAT, output_layout="CHW", crop=(size, size), mean=MEAN, std=STD
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--child-pipeline", required=True)
    args = parser.parse_args()
    files = [str(path) for path in files_of(args.dir, args.child_pipeline)]
    define = train if args.child_pipeline == "train" else evaluation
    pipeline = define(files, args.size, batch_size=args.batch, num_threads=args.threads, device_id=None, seed=1)
    pipeline.build()

    def turn(batches):
        begun = time.perf_counter()
        for _ in range(batches):
            (images,) = pipeline.run()
            array = images.as_array() if hasattr(images, "as_array") else numpy.stack([numpy.asarray(i) for i in images])
            assert array.shape == (args.batch, 3, args.size, args.size)
        seconds = time.perf_counter() - begun
        return {"images_per_s": batches * args.batch / seconds, "ms_per_step": 1000 * seconds / batches, "cpu_ms_per_step": 0}

    turn(1)
    print(json.dumps({"files": len(files), "dali": dali.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(turn(int(line))), flush=True)
    print(json.dumps({"peak_bytes": peak_bytes()}), flush=True)


if __name__ == "__main__":
    main()
