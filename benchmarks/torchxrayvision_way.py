"""torchxrayvision's way: its DenseNet-121 (224 x 224) in PyTorch, image by image, as its batch script does.

Without weights, which change no time; without maps, which it does not make. Runs in the environment that
`make test-peers` makes. Given a folder of pictures and a number: writes the network's weights as a file that
`nightread models add` reads, and prints images per second after one to warm up, as JSON.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import torchvision
import torchxrayvision as xrv
from skimage.io import imread


def main(folder: Path, images: int, weights: Path) -> None:
    """Score this many pictures of the folder one by one, from the file to the probabilities."""
    torch.manual_seed(0)
    model = xrv.models.DenseNet(weights=None, num_classes=18).eval()
    torch.save(model.state_dict(), weights)
    transform = torchvision.transforms.Compose([xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(224)])
    paths = sorted(folder.glob("*.png"))
    begun = 0.0
    for number in range(images + 1):
        if number == 1:
            begun = time.monotonic()
        picture = imread(paths[number % len(paths)])
        if picture.ndim == 3:
            picture = picture[:, :, 0]
        normed = xrv.datasets.normalize(picture, 255)[None]
        with torch.no_grad():
            np.asarray(torch.sigmoid(model(torch.from_numpy(transform(normed))[None])))
    print(json.dumps({"rate": images / (time.monotonic() - begun), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
