"""Pictures of 128 × 128 to latents of 16 × 16 × 16 and back.

The encoder is not learned: it is the discrete cosine transform of JPEG on blocks of 8 × 8, of which the ten lowest
frequencies of light and the three lowest of each colour are kept. So latents are linear in the pixels, and scenes can be
composed of latents as they can be of pictures. The decoder is learned: it restores the edges that the transform leaves out.
"""

import math
import random

import torch
import torch.nn.functional as F
from torch import nn

from pictures import Pictures, compose, random_scene
from recipe import FOLDER, LATENT_CHANNELS, autocast, recipe
from stages import Average, Checkpoint, descend

BLOCK = 8
LIGHT = [(u, v) for total in range(4) for u in range(total + 1) for v in [total - u]]  # 10 pairs (vertical, horizontal)
TINT = LIGHT[:3]
# ITU-R BT.601, as in JPEG
TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
# The standard deviation of each kept coefficient over composed scenes, for light and colour. Latents are divided by its
# square root: flat areas are damped and fine detail raised, so that noise drowns all of it at more similar times.
LIGHT_SPREAD = [0.52] + [0.082] * 2 + [0.041] * 3 + [0.024] * 4
TINT_SPREAD = [0.26] + [0.044] * 2
SPREAD = torch.tensor(LIGHT_SPREAD + TINT_SPREAD * 2)
GAIN = SPREAD.rsqrt() / SPREAD.mean().sqrt()  # unit variance over all channels together
BRIGHTNESS = 0.4  # mean light of a scene, taken off so that latents lie around zero


def cosines() -> torch.Tensor:
    """[8, 8]: frequency by place; a mean of one keeps a flat block's value."""
    place = (torch.arange(BLOCK) + 0.5) * math.pi / BLOCK
    waves = torch.stack([torch.cos(place * u) for u in range(BLOCK)])
    waves[1:] *= math.sqrt(2)
    return waves / BLOCK


def transform(pictures: torch.Tensor, frequencies) -> torch.Tensor:
    """[B, C, 8h, 8w] to [B, C · frequencies, h, w], channel by channel."""
    waves = cosines()
    kernels = torch.stack([waves[u][:, None] * waves[v][None] for u, v in frequencies])[:, None]
    b, c, h, w = pictures.shape
    coefficients = F.conv2d(pictures.reshape(b * c, 1, h, w), kernels.to(pictures), stride=BLOCK)
    return coefficients.reshape(b, c * len(frequencies), h // BLOCK, w // BLOCK)


def to_ycc(rgb: torch.Tensor) -> torch.Tensor:
    return torch.einsum("yc,bchw->byhw", TO_YCC.to(rgb), rgb)


def encode(pictures: torch.Tensor) -> torch.Tensor:
    """RGB in [-1, 1], [B, 3, 8h, 8w], to latents [B, 16, h, w]."""
    ycc = to_ycc(pictures)
    light = transform(ycc[:, :1] - BRIGHTNESS, LIGHT)
    return torch.cat([light, transform(ycc[:, 1:], TINT)], 1) * GAIN.to(light).view(-1, 1, 1)


class Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(F.silu(self.first(F.silu(self.norm(x)))))


class Decoder(nn.Module):
    """Wide and low: most of the work is done at 16 × 16 and 32 × 32, where processors do the most arithmetic per byte."""

    WIDTHS, BLOCKS = (192, 128, 32), (2, 3, 1)

    def __init__(self):
        super().__init__()
        wide, middle, narrow = self.WIDTHS
        self.layers = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, wide, 3, padding=1),
            *[Residual(wide) for _ in range(self.BLOCKS[0])],
            nn.Conv2d(wide, 4 * middle, 1),
            nn.PixelShuffle(2),
            *[Residual(middle) for _ in range(self.BLOCKS[1])],
            nn.Conv2d(middle, 4 * narrow, 1),
            nn.PixelShuffle(2),
            *[Residual(narrow) for _ in range(self.BLOCKS[2])],
            nn.Conv2d(narrow, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents [B, 16, h, w] to RGB around [-1, 1], [B, 3, 8h, 8w]."""
        return self.layers(latents)


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Colours, and edges twice over: differences of neighbours at full and at half size keep lines where they belong."""
    loss = (output - target).abs().mean() + 0.5 * F.mse_loss(output, target)
    for _ in range(2):
        for axis in (-1, -2):
            loss = loss + 0.4 * (output.diff(dim=axis) - target.diff(dim=axis)).abs().mean()
        output, target = F.avg_pool2d(output, 2), F.avg_pool2d(target, 2)
    return loss


def train(minutes: float | None = None) -> None:
    chosen = recipe()
    model = Decoder().to(chosen.device, memory_format=torch.channels_last)
    checkpoint = Checkpoint("autoencoder", model, minutes or chosen.autoencoder_minutes)
    average = Average(model, decay=0.998)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3)
    checkpoint.restore(optimizer, average)
    pictures, rng = Pictures(), random.Random(checkpoint.step)
    for step, done in checkpoint.steps():
        for group in optimizer.param_groups:
            group["lr"] = 1.2e-3 * min(1, (step + 1) / 100) * (1 - done) + 1e-5
        scenes = [random_scene(pictures, rng) for _ in range(chosen.autoencoder_batch)]
        # One by one: larger tensors cost the processor's cache more than the calls cost.
        target = torch.cat([compose(pictures, [scene], 0.5) for scene in scenes])
        target = target.to(chosen.device, memory_format=torch.channels_last)
        latents = encode(target)
        # What the UNet draws is never exact: the decoder learns to forgive a little noise.
        latents = latents + 0.2 * torch.rand(len(latents), 1, 1, 1, device=latents.device) ** 2 * torch.randn_like(latents)
        with autocast(chosen):
            output = model(latents).float()
        loss = reconstruction_loss(output, target)
        descend(loss, optimizer, average)
        checkpoint.log(step, done, len(target), loss=loss, l1=(output - target).abs().mean())
        checkpoint.save(optimizer, average)
    checkpoint.finish(optimizer, average)


def load(device="cpu") -> Decoder:
    """The averaged weights, polished (polish.py) where they have been."""
    model = Decoder()
    Checkpoint.averaged("polished" if (FOLDER / "polished.pt").exists() else "autoencoder", model)
    return model.eval().to(device, memory_format=torch.channels_last)
