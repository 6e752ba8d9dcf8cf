"""Every size and length of the training in one place: one recipe for two CPU cores, one for a CUDA GPU."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

FOLDER = Path(os.environ.get("TRAINING_DATA", Path(__file__).parent / "data"))

SIZE = 128
LATENT_CHANNELS = 4
LATENT_SIZE = 16
VOCABULARY = 4096
CONTEXT = 24
TEXT_WIDTH = 192

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

# The drawings that the model learns to imitate, with the words that ask for each. Other sets serve the classifier only.
STYLES = {"noto": ["noto", "google"], "flat": ["flat", "flat"], "3d": ["3d", "glossy 3d"]}
GROUPS = ("smileys-emotion", "people-body", "animals-nature", "food-drink", "travel-places", "activities", "objects")


@dataclass(frozen=True)
class Recipe:
    device: str
    threads: int
    loaders: int  # processes that word captions ahead
    jitter: float  # how far drawings are shifted, scaled and mirrored, 0 (never) to 1; costs samples, buys variety
    latents: int  # pictures composed and encoded once, in advance
    autoencoder_blocks: tuple[int, ...]
    autoencoder_batch: int
    autoencoder_minutes: float
    prior_batch: int
    prior_minutes: float
    readout_captions: int
    unet_blocks: tuple[int, ...]
    unet_batch: int
    joint: bool  # whether text encoder and prior go on learning beside the UNet
    unet_minutes: float
    distill_minutes: float  # 0 leaves the many-step model as it is
    classifier_size: int
    classifier_batch: int
    classifier_minutes: float


CPU = Recipe(
    device="cpu", threads=2, loaders=0, jitter=0.0, latents=30_000,
    autoencoder_blocks=(32, 64, 64), autoencoder_batch=16, autoencoder_minutes=60,
    prior_batch=128, prior_minutes=20, readout_captions=60_000,
    unet_blocks=(64, 128, 192), unet_batch=48, joint=False, unet_minutes=180,
    distill_minutes=0,
    classifier_size=32, classifier_batch=64, classifier_minutes=20,
)
CUDA = replace(
    CPU, device="cuda", threads=8, loaders=12, jitter=0.3, latents=300_000,
    autoencoder_blocks=(48, 96, 128), autoencoder_batch=128, autoencoder_minutes=4,
    prior_batch=2048, prior_minutes=1.5, readout_captions=200_000,
    unet_batch=1024, joint=True, unet_minutes=8,
    distill_minutes=2.5,
    classifier_size=64, classifier_batch=512, classifier_minutes=2,
)


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
    return torch.autocast("cuda", torch.bfloat16, enabled=chosen.device == "cuda")
