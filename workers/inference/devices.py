"""TensorFlow as a process loads it, and the GPUs that it computes on; not yet run on one."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Final

_ERRORS_ONLY: Final = "2"


def load_tensorflow() -> int:
    """Load TensorFlow, if it is not loaded, and look for its GPUs; returns their number, 0 for a CPU.

    What it writes meanwhile is about itself, and shown only where it cannot be loaded, or where
    TF_CPP_MIN_LOG_LEVEL asks for it: TensorFlow 2.21 reads that only afterwards.
    """
    with _held_back():
        import keras  # noqa: F401  # with it
        import tensorflow as tf

        return len(tf.config.list_physical_devices("GPU"))


def prepare_gpus() -> int:
    """Load TensorFlow and set up its GPUs before it computes anything; returns their number, 0 for a CPU.

    On GPUs Keras computes in mixed_float16, and memory is taken as needed; on a CPU it computes in float32.
    """
    gpus = load_tensorflow()
    import keras
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    keras.mixed_precision.set_global_policy("mixed_float16" if gpus else "float32")
    return gpus


@contextmanager
def _held_back() -> Iterator[None]:
    """Keep what libraries write to standard error, past Python, and write it only if the block fails."""
    if sys.stderr is None or os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") < _ERRORS_ONLY:
        yield
        return
    sys.stderr.flush()
    shown = os.dup(2)
    with TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(shown, kept.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
