"""Small models of every family that people bring to phones, with the samples that suit them; built by factories."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L

COUNT = 32


def _seeded(factory):
    def build():
        keras.utils.set_random_seed(1)
        return factory()

    return build


def images(size=32, channels=3, low=0.0, high=1.0):
    rng = np.random.default_rng(0)
    for _ in range(COUNT):
        blocks = rng.uniform(low, high, (size // 4, size // 4, channels))
        yield {"image": blocks.repeat(4, 0).repeat(4, 1).astype(np.float32)}


def pixels():
    for sample in images(high=255.0):
        yield {"image": np.rint(sample["image"]).astype(np.uint8)}


def _block(x, filters, stride, expand):
    y = L.Conv2D(expand, 1, use_bias=False)(x)
    y = L.ReLU(6.0)(L.BatchNormalization()(y))
    y = L.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(y)
    y = L.ReLU(6.0)(L.BatchNormalization()(y))
    y = L.BatchNormalization()(L.Conv2D(filters, 1, use_bias=False)(y))
    return L.Add()([x, y]) if stride == 1 and x.shape[-1] == filters else y


@_seeded
def cnn():
    """MobileNetV2's inverted residuals."""
    image = keras.Input((32, 32, 3), name="image")
    x = L.ReLU(6.0)(
        L.BatchNormalization()(L.Conv2D(8, 3, strides=2, padding="same")(L.Rescaling(2.0, -1.0)(image)))
    )
    for filters, stride in ((8, 1), (16, 2), (16, 1)):
        x = _block(x, filters, stride, 32)
    decided = keras.initializers.VarianceScaling(200)  # classes as sure as a trained network's
    y = L.Dense(5, activation="softmax", kernel_initializer=decided, name="classes")(
        L.GlobalAveragePooling2D()(x)
    )
    return keras.Model(image, y)


@_seeded
def unet():
    image = keras.Input((32, 32, 3), name="image")
    a = L.Conv2D(8, 3, padding="same", activation="relu")(image)
    b = L.Conv2D(16, 3, padding="same", activation="relu")(L.MaxPool2D()(a))
    up = L.Concatenate()([L.Conv2DTranspose(8, 2, strides=2)(b), a])
    up = L.UpSampling2D(interpolation="bilinear")(L.AveragePooling2D(2)(up))
    return keras.Model(image, L.Conv2D(3, 1, activation="softmax", name="mask")(up))


@_seeded
def leaky():
    x = image = keras.Input((32, 32, 3), name="image")
    for filters in (8, 16):
        x = L.LeakyReLU()(L.BatchNormalization()(L.Conv2D(filters, 3, strides=2, padding="same")(x)))
    x = L.ELU()(L.PReLU(shared_axes=[1, 2])(x))
    return keras.Model(image, L.Dense(5, name="logits")(L.GlobalMaxPooling1D()(L.Reshape((64, 16))(x))))


@_seeded
def detector():
    """Boxes in pixels and scores in 0..1 in one output, as YOLO exports do: one int8 scale cannot hold both."""
    image = keras.Input((32, 32, 3), name="image")
    x = L.Conv2D(16, 3, strides=4, padding="same", activation="relu")(image)
    boxes, scores = L.Conv2D(4, 1)(x) * 100, L.Conv2D(2, 1, activation="sigmoid")(x)
    return keras.Model(image, L.Reshape((-1, 6), name="detections")(L.Concatenate()([boxes, scores])))


def series():
    rng = np.random.default_rng(0)
    for _ in range(COUNT):
        yield {"series": (np.cumsum(rng.normal(size=(20, 3)), 0) / 5).astype(np.float32)}


@_seeded
def lstm():
    x = keras.Input((20, 3), name="series")
    y = L.LSTM(16)(L.LSTM(16, return_sequences=True)(x))
    return keras.Model(x, L.Dense(4, activation="softmax", name="state")(y))


@_seeded
def gru():
    x = keras.Input((20, 3), name="series")
    return keras.Model(x, L.Dense(1, name="value")(L.Bidirectional(L.GRU(12))(x)))


@_seeded
def uneven():
    """Two of its kernels have one channel that is a thousand times larger: one scale for all of them loses the others."""
    series = keras.Input((20, 3), name="series")
    x = L.Flatten()(series)
    for name in ("even", "rough", "fine", "rougher"):
        x = L.Dense(32, activation="tanh", name=name)(x)
    model = keras.Model(series, L.Dense(5, activation="softmax", name="classes")(x))
    for name in ("rough", "rougher"):
        kernel, bias = model.get_layer(name).get_weights()
        kernel[:, 0] *= 1000
        model.get_layer(name).set_weights([kernel, bias])
    return model


def ids():
    rng = np.random.default_rng(0)
    for _ in range(COUNT):
        length = int(rng.integers(6, 17))
        yield {
            "ids": np.where(np.arange(16) < length, rng.integers(1, 100, 16), 0),
            "mask": (np.arange(16) < length).astype(np.int64),
        }


@_seeded
def transformer():
    tokens = keras.Input((16,), dtype="int64", name="ids")
    mask = keras.Input((16,), dtype="int64", name="mask")
    x = L.Embedding(100, 32)(tokens) * keras.ops.cast(mask, "float32")[..., None]
    attended = L.MultiHeadAttention(4, 8)(x, x, attention_mask=keras.ops.cast(mask, "bool")[:, None, :])
    x = L.LayerNormalization()(x + attended)
    x = L.LayerNormalization()(x + L.Dense(32)(L.Dense(64, activation="gelu")(x)))
    y = L.Dense(3, activation="softmax", name="intent")(L.GlobalAveragePooling1D()(x))
    return keras.Model([tokens, mask], y)


def sound():
    rng = np.random.default_rng(0)
    time = np.arange(2000) / 8000
    for _ in range(COUNT):
        tone = np.sin(2 * np.pi * rng.uniform(100, 2000) * time) * rng.uniform(0.1, 1)
        yield {"audio": (tone + rng.normal(size=2000) * 0.01).astype(np.float32)}


@_seeded
def conv1d():
    x = audio = keras.Input((2000, 1), name="audio")
    for filters in (8, 16):
        x = L.Conv1D(filters, 9, strides=4, padding="causal", activation="relu")(x)
    x = L.SeparableConv1D(16, 3, activation="swish")(x)
    return keras.Model(audio, L.Dense(4, activation="softmax", name="word")(L.GlobalAveragePooling1D()(x)))


class Spectrogram(L.Layer):
    def call(self, x):
        return tf.math.log(tf.abs(tf.signal.stft(x, 256, 128)) + 1e-3)[..., None]


@_seeded
def stft():
    """A spectrogram inside the model: its dynamic range is more than 8 bits can tell."""
    audio = keras.Input((2000,), name="audio")
    x = L.Conv2D(8, 3, strides=2, activation="relu")(Spectrogram()(audio))
    return keras.Model(audio, L.Dense(4, activation="softmax", name="word")(L.Flatten()(x)))


def both():
    rng = np.random.default_rng(0)
    for _ in range(COUNT):
        yield {
            "image": rng.uniform(-1, 1, (16, 16, 3)).astype(np.float32),
            "meta": rng.normal(size=5).astype(np.float32),
        }


@_seeded
def multi():
    image, meta = keras.Input((16, 16, 3), name="image"), keras.Input((5,), name="meta")
    x = L.GlobalAveragePooling2D()(L.Conv2D(8, 3, activation="relu")(image))
    x = L.Concatenate()([x, L.Dense(8, activation="tanh")(meta)])
    outputs = {
        "kind": L.Dense(3, activation="softmax")(x),
        "box": L.Dense(4, activation="sigmoid")(x),
        "age": L.Dense(1)(x),
    }
    return keras.Model([image, meta], outputs)


class Textbook(tf.Module):
    def __init__(self):
        super().__init__()
        self.net = cnn()

    @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32, name="image")])
    def predict(self, image):
        return {"probs": tf.nn.softmax(20 * self.net(image / 255.0, training=False))}


def textbook():
    return Textbook()


def raising():
    return {}["weights"]


def nothing():
    cnn()


def text():
    return "model.keras"


def a_class():
    return Textbook


def exiting():
    raise SystemExit("no weights here")
