"""Small bundles for every kind of input and output that a page knows, and files to give them."""

import io
import wave

import numpy as np
import tensorflow as tf
from PIL import Image
from tfjs_bundles import LABELS, adopted, finish

from edgepack.bundle.manifest import AudioEntry, ImageEntry, TensorEntry
from edgepack.spec import Precision
from edgepack.target import Plan
from edgepack.targets.tfjs.lower import lower

RATE = 8000
CLIP = RATE // 2
LONG_CLIP = 20 * RATE  # there is time to do something while it is recorded or played
PITCHES = {"low": 100, "middle": 600, "high": 2500}
SIDE = 28


def tensor(name, *shape, dtype="float32", **facts):
    return TensorEntry(name=name, shape=shape, dtype=dtype, **facts)


def write(out, function, inputs, outputs, samples, labels=(), **facts):
    """A bundle of a function on tensors, called by position; ``samples`` holds one array for every input."""
    module = tf.Module()
    signature = [tf.TensorSpec(each.shape, each.dtype, each.name) for each in inputs]
    module.__call__ = tf.function(function, input_signature=signature)
    model = adopted(module)
    out.mkdir(parents=True)
    artifact = lower(model.form("tf")).emit(Plan(Precision.FLOAT32), out)
    named = [dict(zip([each.name for each in inputs], values, strict=True)) for values in samples]
    finish(out, artifact, model, named, labels=labels, renamed={}, inputs=inputs, outputs=outputs, **facts)


def tone(hertz, seconds, rate=RATE):
    """A sine that fades out."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.8 * np.exp(-3 * time) * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def write_audio(out, clip=CLIP):
    """So many values of sound, half a second, to one of three pitches, by how steep it is."""

    def pitch(clip):
        steep = tf.reduce_mean(tf.abs(clip[:, 1:] - clip[:, :-1]), 1) / (
            tf.reduce_mean(tf.abs(clip), 1) + 1e-6
        )
        return {"pitch": tf.nn.softmax(-tf.abs(tf.stack([steep - 0.08, steep - 0.5, steep - 2], 1)) * 8)}

    write(
        out,
        pitch,
        (tensor("clip", 1, clip, audio=AudioEntry(rate=RATE)),),
        (tensor("pitch", 1, 3, top_k=3),),
        [(tone(hertz, clip / RATE)[None],) for hertz in PITCHES.values()],
        tuple(PITCHES),
    )


def scene(dark=0.0):
    """A bright disc on a gradient, 16 x 24 RGB, 0..1."""
    y, x = np.mgrid[0:16, 0:24]
    disc = np.hypot(y - 8, x - 12) < 5
    picture = np.stack([x / 23, y / 15, np.full_like(x, 0.3, float)], -1) * (1 - dark)
    picture[disc] = (1, 0.8, 0)
    picture[0, 0] = 0
    return picture[None].astype(np.float32)


def write_segmentation(out):
    """Pixels 0..1, not declared a picture, to a mask and to an enlarged picture."""

    def segment(pixels):
        mask = tf.reduce_mean(pixels[..., :2] - pixels[..., 2:], -1, keepdims=True) * 8
        return {"mask": mask, "enlarged": tf.image.resize(pixels, (32, 48))}

    write(
        out,
        segment,
        (tensor("pixels", 1, 16, 24, 3),),
        (tensor("mask", 1, 16, 24, 1), tensor("enlarged", 1, 32, 48, 3)),
        [(scene(dark),) for dark in (0, 0.4, 0.8)],
    )


def write_mixed(out):
    """A picture, numbers and a flag; one backend cannot run it, one is not known."""

    def mixed(image, weights, negative):
        total = tf.reduce_mean(image, (1, 2)) * weights
        return {"total": tf.where(negative, -total, total), "largest": tf.reduce_max(image, (1, 2, 3))}

    scenes = [np.rint(scene(dark)[:, :, 4:20] * 255).astype(np.float32) for dark in (0, 0.4, 0.8)]
    numbers = np.float32([[[1, 2, 3]], [[0.5, -0.25, 4]], [[0, 0, 1]]])
    write(
        out,
        mixed,
        (
            tensor("image", 1, 16, 16, 3, image=ImageEntry(channels="rgb")),
            tensor("weights", 1, 3),
            tensor("negative", 1, dtype="bool"),
        ),
        (tensor("total", 1, 3), tensor("largest", 1)),
        list(zip(scenes, numbers, np.array([[True], [False], [True]]), strict=True)),
        backends={"wasm": "", "cpu": "", "webgpu": "no kernel for Where"},
    )


def write_sketch(out, boxes, paper=False):
    """Grey pixels that come back as they went in, so that a page shows what its model got.

    Args:
        boxes: (top, left, height, width) of the ink in each sample.
        paper: dark ink on white, not white on black.
    """
    samples = []
    for top, left, height, width in boxes:
        drawn = np.zeros((1, SIDE, SIDE, 1), np.float32)
        drawn[:, top : top + height, left : left + width] = 255
        samples.append((255 - drawn if paper else drawn,))
    write(
        out,
        lambda image: {"seen": tf.identity(image)},
        (tensor("image", 1, SIDE, SIDE, 1, image=ImageEntry(channels="grey")),),
        (tensor("seen", 1, SIDE, SIDE, 1),),
        samples,
    )


def golden(folder, index):
    """(inputs, outputs) of one sample."""
    with (
        np.load(folder / "golden" / "inputs.npz") as inputs,
        np.load(folder / "golden" / "outputs.npz") as outputs,
    ):
        return {name: inputs[name][index] for name in inputs}, {
            name: outputs[name][index] for name in outputs
        }


def png(pixels):
    """Values 0..255 of shape (1, height, width, 1 or 3) as a file."""
    content = io.BytesIO()
    Image.fromarray(pixels[0].squeeze().astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


def wav(*channels, rate=RATE):
    """Values -1..1 as a file of 16-bit sound."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.stack(channels, 1) * 32767).astype("<i2").tobytes())
    return content.getvalue()


def a_picture(folder, index):
    """A golden sample as a file, and the label that the original gives it."""
    inputs, outputs = golden(folder, index)
    return png(inputs["image"]), LABELS[outputs["probabilities"].argmax()]
