"""Every size and length of the training in one place: one recipe for two CPU cores, one for a CUDA GPU."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

FOLDER = Path(os.environ.get("TRAINING_DATA", Path(__file__).parent / "data"))

SIZE = 128
LATENT_CHANNELS = 16
LATENT_SIZE = 16
VOCABULARY = 4096
CONTEXT = 24
TEXT_WIDTH = 256

# Names that people type and the colours that they mean; the evaluation asks for the same fourteen.
COLOURS = {
    "red": (220, 50, 47),
    "orange": (245, 150, 40),
    "yellow": (250, 220, 60),
    "green": (70, 170, 80),
    "blue": (50, 110, 220),
    "sky blue": (135, 200, 240),
    "purple": (130, 70, 190),
    "pink": (250, 160, 195),
    "brown": (130, 85, 55),
    "black": (20, 20, 22),
    "gray": (150, 150, 150),
    "white": (255, 255, 255),
    "teal": (40, 160, 160),
    "dark blue": (25, 40, 100),
}
# Colours that an object can be dyed with; white, gray and black would leave a shadow of it.
DYES = ["red", "orange", "yellow", "green", "blue", "sky blue", "purple", "pink", "brown", "teal", "dark blue"]

# The drawings that the model remembers, with the words that ask for each. Other sets serve the classifier only.
STYLES = {"noto": ["noto", "google"], "flat": ["flat", "vector"], "gradient": ["gradient", "shaded"], "3d": ["3d", "glossy 3d"]}
GROUPS = ("smileys-emotion", "people-body", "animals-nature", "food-drink", "travel-places", "activities", "objects")


@dataclass(frozen=True)
class Recipe:
    device: str
    threads: int
    loaders: int  # processes that compose pictures ahead
    autoencoder_batch: int
    autoencoder_minutes: float
    text_batch: int
    text_minutes: float
    unet_batch: int
    unet_minutes: float
    polish_minutes: float
    classifier_size: int
    classifier_batch: int
    classifier_minutes: float


CPU = Recipe(
    device="cpu", threads=2, loaders=0,
    autoencoder_batch=32, autoencoder_minutes=32,
    text_batch=256, text_minutes=30,
    unet_batch=48, unet_minutes=45, polish_minutes=10,
    classifier_size=32, classifier_batch=64, classifier_minutes=20,
)  # fmt: skip
CUDA = replace(
    CPU, device="cuda", threads=8, loaders=12,
    autoencoder_batch=128, autoencoder_minutes=4,
    text_batch=2048, text_minutes=1.5,
    unet_batch=512, unet_minutes=10, polish_minutes=2,
    classifier_size=64, classifier_batch=512, classifier_minutes=3,
)  # fmt: skip


def recipe() -> Recipe:
    """The recipe for this machine; TRAINING_THREADS overrides the number of CPU threads."""
    chosen = CUDA if torch.cuda.is_available() else CPU
    chosen = replace(chosen, threads=int(os.environ.get("TRAINING_THREADS", chosen.threads)))
    torch.set_num_threads(chosen.threads)
    if chosen.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    return chosen


def autocast(chosen: Recipe):
    """bfloat16: on a GPU always, on CPUs where it is twice as fast as float32 (AVX-512 BF16)."""
    return torch.autocast(chosen.device, torch.bfloat16)
