"""What one writes by hand without edgepack: a Keras model to full int8 TFLite, by TensorFlow's own converter.

python stock_tflite.py MODEL.keras SAMPLES.npz OUT.tflite
"""

import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf


def main(model_file: str, samples_file: str, out_file: str) -> None:
    model = keras.saving.load_model(model_file, compile=False)
    samples = np.load(samples_file)[model.inputs[0].name]

    def representative_dataset():
        for sample in samples:
            yield [sample[None].astype(np.float32)]

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative_dataset
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        content = converter.convert()

    with open(out_file, "wb") as file:
        file.write(content)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
