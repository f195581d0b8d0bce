"""The GPUs that TensorFlow computes on, for inference and training alike; not yet run on one."""

import os


def prepare_gpus() -> int:
    """Load TensorFlow and set up its GPUs before it computes anything; returns their number, 0 for a CPU.

    On GPUs Keras computes in mixed_float16, and memory is taken as needed; on a CPU it computes in float32.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is loaded
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    keras.mixed_precision.set_global_policy("mixed_float16" if gpus else "float32")
    return len(gpus)
