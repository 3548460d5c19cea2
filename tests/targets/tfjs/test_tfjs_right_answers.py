"""What TensorFlow computes, TF.js computes on every backend that runs here: ops that it gets wrong, or lacks, in others.

Every case stands for a fault of TF.js 4.22; the cases of one input are outputs of one model, run with a batch of two.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgepack.errors import ModelError
from edgepack.targets.tfjs.runner import NodeRunner

L = keras.layers
R = np.random.default_rng(5)
RAW = tf.raw_ops


def normal(*shape):
    return R.normal(size=shape).astype(np.float32)


WEIGHTS = tf.constant(normal(3, 3, 3, 4))
EACH = tf.constant(normal(3, 2, 3, 2))
PATCH = tf.constant(normal(4, 6, 5, 7, 2))


def conv(x, kernel, stride):
    height, width = kernel
    return tf.nn.conv2d(x, tf.tile(WEIGHTS[:1, :1], [height, width, 1, 1]), stride, "SAME")


def loop(step):
    return lambda x: tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, step(v)), (0, x))[1]


IMAGES = {
    "kernel_below_stride": lambda x: conv(x, (2, 2), 4),
    "kernel_below_stride_on_one_axis": lambda x: conv(x, (3, 1), [2, 5]),
    "kernel_below_and_above_stride": lambda x: conv(x, (5, 2), [2, 5]),
    "depthwise_kernel_below_stride": lambda x: tf.nn.depthwise_conv2d(x, EACH, [1, 4, 4, 1], "SAME"),
    "depthwise_leaky_relu": lambda x: tf.nn.leaky_relu(
        tf.nn.bias_add(tf.nn.depthwise_conv2d(x, EACH, [1, 1, 1, 1], "SAME"), tf.range(6.0)), 0.3
    ),
    "transposed_dilated": lambda x: tf.nn.conv2d_transpose(
        x, tf.transpose(WEIGHTS, [0, 1, 3, 2]), [tf.shape(x)[0], 16, 14, 4], 1, "VALID", dilations=[2, 2]
    ),
    "channels_first": lambda x: RAW.BiasAdd(
        value=RAW.Conv2D(
            input=tf.transpose(x, [0, 3, 1, 2]),
            filter=WEIGHTS,
            strides=[1, 1, 2, 1],
            padding="SAME",
            data_format="NCHW",
        ),
        bias=[1.0, 2.0, 3.0, 4.0],
        data_format="NCHW",
    ),
    "pool_with_padding_in_numbers": lambda x: tf.nn.max_pool2d(x - 3, 3, 2, [[0, 0], [1, 1], [0, 1], [0, 0]]),
    "patches_apart": lambda x: tf.image.extract_patches(x, [1, 3, 3, 1], [1, 2, 2, 1], [1, 1, 1, 1], "SAME"),
    "patches_side_by_side": lambda x: tf.image.extract_patches(
        x, [1, 4, 5, 1], [1, 4, 5, 1], [1, 1, 1, 1], "VALID"
    ),
    "space_to_depth": lambda x: tf.nn.space_to_depth(x, 2),
    "bicubic": lambda x: RAW.ResizeBicubic(images=x, size=[7, 17], half_pixel_centers=True),
    "area": lambda x: RAW.ResizeArea(images=x, size=[5, 4]),
    "norm_over_three_axes": lambda x: tf.math.reduce_euclidean_norm(x, [1, 2, 3]),
    "cumsum_from_the_end": lambda x: tf.cumsum(x, -2, reverse=True),
    "rolled": lambda x: tf.roll(x, [2, -3], [1, 2]),
    "reversed_and_taken": lambda x: x[:, None, ::-1, 1:, 0],
    "einsum_over_two": lambda x: tf.einsum("bhwc,hwd->bdc", x, tf.constant(np.ones([12, 10, 2], np.float32))),
    "einsum_with_ellipsis": lambda x: tf.einsum("...c,cd->...d", x, WEIGHTS[0, 0]),
    "einsum_of_one": lambda x: tf.einsum("bhwc->bcw", x),
    "einsum_outer": lambda x: tf.einsum("bc,bd->bcd", x[:, 0, 0], x[:, 1, 1]),
    "einsum_in_a_loop": lambda x: loop(lambda v: tf.einsum("hwc,cd->hwd", v, WEIGHTS[0, 0, :, :3]))(x[0]),
}
ROWS = {
    "softsign": tf.nn.softsign,
    "erfc": tf.math.erfc,
    "half_to_even": lambda x: tf.math.rint(x * 4) / 2,
    "causal": lambda x: tf.linalg.band_part(x, -1, 0),
    "band": lambda x: tf.linalg.band_part(x, 1, 2),
    "slopes_by_row": lambda x: tf.nn.relu(x) - tf.range(6.0)[:, None] * tf.nn.relu(-x),
    "own_of_every_sample": lambda x: tf.gather(x, tf.argsort(x[:, 0]) % 6, batch_dims=1, axis=1),
    "own_columns": lambda x: tf.gather(x, tf.argsort(x[:, 0])[:, :3], batch_dims=1, axis=2),
    "repeated_matrices": lambda x: tf.matmul(x[:, None], PATCH[0, :3, :, :4, 0][..., :5, :]),
    "chosen_by_sample": lambda x: tf.compat.v1.where(tf.reduce_sum(x, [1, 2]) > 0, x, -x),
    "buckets": lambda x: RAW.Bucketize(input=x, boundaries=[-1.0, 0.0, 1.0]),
    "as_boolean": lambda x: tf.cast(x / 4, tf.bool),
    "booleans_reversed": lambda x: tf.reverse(x > 0, [1]),
    "booleans_stepped": lambda x: (x > 0)[:, ::-2],
    "booleans_chosen": lambda x: tf.where(x[:, :1] > 0, x > 1, x < -1),
    "integers_stepped": lambda x: tf.cast(x * 100, tf.int32)[:, ::-1, 1::2],
    "integers_stepped_in_a_loop": lambda x: loop(lambda v: v[:, ::-1] + 1)(tf.cast(x[0] * 9, tf.int32)),
    "one_hot": lambda x: tf.one_hot(tf.argmax(x, -1), 5) * x,
    "one_hot_of_numbers": lambda x: tf.one_hot(tf.argmax(x, -1), 5, 2.0, -1.0),
    "one_hot_on_another_axis": lambda x: tf.one_hot(tf.argmax(x, -1), 5, axis=1) * 2,
    "bytes_that_wrap": lambda x: tf.cast(tf.cast(tf.cast(x * 200, tf.int32), tf.uint8), tf.int32),
    "bytes_added": lambda x: tf.cast(tf.cast(tf.cast(tf.abs(x) * 60, tf.int32), tf.int8) + 100, tf.int32),
    "added_in_places": lambda x: tf.tensor_scatter_nd_add(x, [[0, 1], [0, 1]], tf.ones([2, 5])),
}
VOLUMES = {
    "max": lambda x: tf.nn.max_pool3d(x, 2, 2, "SAME"),
    "max_kernel_below_stride": lambda x: tf.nn.max_pool3d(x, [1, 3, 2], [2, 1, 3], "SAME"),
    "average_kernel_below_stride": lambda x: tf.nn.avg_pool3d(x, [1, 3, 2], [2, 1, 3], "SAME"),
    "kernel_below_stride": lambda x: tf.nn.conv3d(x, PATCH[:1, :3, :2, :2], [1, 2, 1, 3, 1], "SAME"),
}
GIVEN = {
    "images": (IMAGES, normal(2, 12, 10, 3)),
    "rows": (ROWS, normal(2, 6, 5)),
    "volumes": (VOLUMES, normal(2, 6, 7, 6, 2) - 4),
}


class Cases(tf.Module):
    """One output a case."""

    def __init__(self, cases, like):
        super().__init__()
        self.cases = cases
        signature = [tf.TensorSpec([None, *like.shape[1:]], tf.float32, name="x")]
        self.predict = tf.function(self.computed, input_signature=signature)

    def computed(self, x):
        return {name: function(x) for name, function in self.cases.items()}


def agrees(wanted, found):
    wanted = wanted.numpy().astype(np.float64)
    if wanted.shape != found.shape:
        return False
    return np.allclose(found, wanted, rtol=0, atol=1e-5 * max(np.ptp(wanted), 1))


@pytest.mark.parametrize("backend", ["wasm", "cpu"])
@pytest.mark.parametrize("group", GIVEN)
def test_they_are_those_of_tensorflow(bench, lowered, group, backend):
    cases, x = GIVEN[group]
    module = Cases(cases, x)
    lowering = lowered(module)
    assert lowering.graph.signature.inputs[0].shape[0] is None
    runner = NodeRunner(bench.emit(lowering, "float32"), backend)
    for samples in (x, x[:1]):
        found, wanted = runner({"x": samples}), module.predict(samples)
        assert [name for name in cases if not agrees(wanted[name], found[name])] == []


REFUSED = {
    "CropAndResize": lambda x: tf.image.crop_and_resize(x, [[0.0, 0.0, 1.0, 1.0]], [0], [4, 5], "nearest"),
    "Dilation2D": lambda x: tf.nn.dilation2d(x, WEIGHTS[..., 0], [1] * 4, "SAME", "NHWC", [1] * 4),
    "Einsum": lambda x: tf.einsum("bijj->bij", x[:, :3, :3]),
    "MaxPoolWithArgmax": lambda x: tf.nn.max_pool_with_argmax(x, 2, 2, "VALID")[1],
    "Mean": lambda x: tf.reduce_mean(tf.cast(x, tf.int32), 1),
}


@pytest.mark.parametrize("op", REFUSED)
def test_an_op_without_a_right_answer_is_refused_with_the_way_round(lowered, op):
    module = Cases({"y": REFUSED[op]}, GIVEN["images"][1])
    with pytest.raises(ModelError, match=f"computes {op} wrongly") as caught:
        lowered(module)
    assert op in caught.value.hint


def test_a_grouped_convolution_of_volumes(bench, lowered):
    volume = keras.Input((4, 5, 4, 4), name="volume")
    made = keras.Model(volume, L.Conv3D(6, 2, groups=2, activation="relu", name="y")(volume))
    sample = normal(1, 4, 5, 4, 4)
    found = NodeRunner(bench.emit(lowered(made), "float32"), "wasm")({"volume": sample})["y"]
    np.testing.assert_allclose(found, made(sample), atol=1e-5)


def test_half_precision_of_either_kind_is_computed_in_float32(bench, lowered):
    image = keras.Input((6, 5, 3), name="image")
    x = L.Conv2D(4, 3, activation="relu", dtype="mixed_bfloat16")(image)
    made = keras.Model(image, L.Dense(2, dtype="mixed_float16", name="y")(L.Flatten()(x)))
    sample = normal(1, 6, 5, 3)
    found = NodeRunner(bench.emit(lowered(made), "float32"), "wasm")({"image": sample})["y"]
    np.testing.assert_allclose(found, made(sample), atol=0.02)
