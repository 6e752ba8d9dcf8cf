"""Trains the UNet around reader and memory (v-prediction, zero terminal SNR, min-SNR weights)."""

import random

import torch
from torch.utils.data import DataLoader, IterableDataset

import autoencoder
import memory
import text
from captions import Captions
from denoiser import Denoiser
from pictures import Pictures, compose, random_scene
from recipe import autocast, recipe
from stages import Average, Checkpoint, descend
from tokenizer import Encoder

# How far drawings are moved, tilted and re-toned: enough that no two pictures are alike, little enough to stay sharp.
JITTER = 0.12


class Examples(IterableDataset):
    """Latents [n, 16, 16, 16] with token ids [n, L]; loader processes make them ahead of a GPU."""

    def __init__(self, pictures: Pictures, n: int):
        self.pictures, self.n = pictures, n

    def __iter__(self):
        rng, captions, encode = random.Random(torch.initial_seed()), Captions(self.pictures), Encoder()
        while True:
            scenes = [random_scene(self.pictures, rng) for _ in range(self.n)]
            ids = encode([captions.caption(scene, rng) for scene in scenes])
            latents = torch.cat([autoencoder.encode(compose(self.pictures, [scene], JITTER)) for scene in scenes])
            yield latents, torch.tensor(ids)


def build(pictures: Pictures) -> tuple[text.Text, Denoiser]:
    words = text.load(pictures)
    return words, Denoiser(words.reader, memory.of(pictures))


def train(minutes: float | None = None) -> None:
    chosen = recipe()
    device = chosen.device
    pictures = Pictures()
    words, model = build(pictures)
    words.to(device).requires_grad_(False)
    model.to(device)
    model.unet.to(memory_format=torch.channels_last)
    checkpoint = Checkpoint("unet", model.unet, minutes or chosen.unet_minutes)
    average = Average(model.unet)
    optimizer = torch.optim.AdamW(model.unet.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    checkpoint.restore(optimizer, average)
    batches = iter(DataLoader(Examples(pictures, chosen.unet_batch), batch_size=None, num_workers=chosen.loaders))
    for step, done in checkpoint.steps():
        for group in optimizer.param_groups:
            group["lr"] = 8e-4 * min(1, (step + 1) / 100) * (1 - done) + 1e-5
        latents, ids = (x.to(device) for x in next(batches))
        n = len(latents)
        steps = torch.randint(0, 1000, (n,), device=device)
        alpha = model.alphas[steps].view(-1, 1, 1, 1)
        noise = torch.randn_like(latents)
        sample = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
        with torch.no_grad():
            drafts, log_p = model.memory(model.reader(words.states(ids)))
            estimate = model.estimate(sample, alpha, drafts, log_p)
        from_drafts = (alpha.sqrt() * sample - estimate) / (1 - alpha).sqrt()
        with autocast(chosen):
            seen = torch.cat([sample, estimate], 1).to(memory_format=torch.channels_last)
            output = from_drafts + model.unet(seen, steps, return_dict=False)[0].float()
        # min-SNR-5 (Hang et al. 2023) for v-prediction, with a floor: pure noise decides background and layout.
        snr = alpha.flatten() / (1 - alpha.flatten())
        weight = (snr.clamp(max=5) / (snr + 1)).clamp(min=0.1)
        error = lambda v: (((v - target) ** 2).mean((1, 2, 3)) * weight).mean() / weight.mean()  # noqa: E731
        loss = error(output)
        descend(loss, optimizer, average)
        checkpoint.log(step, done, n, loss=loss, drafts_alone=error(from_drafts))
        checkpoint.save(optimizer, average)
    checkpoint.finish(optimizer, average)


def load(device="cpu") -> tuple[text.Text, Denoiser]:
    """The averaged weights."""
    words, model = build(Pictures())
    Checkpoint.averaged("unet", model.unet)
    model.unet.to(memory_format=torch.channels_last)
    return words.eval().to(device), model.eval().to(device)
