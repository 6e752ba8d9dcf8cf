"""Trains the decoder a little more, on what the denoiser really gives it: latents of composed scenes, drowned in noise and brought back."""

import random

import torch

import autoencoder
import diffusion
from autoencoder import Decoder, reconstruction_loss
from captions import Captions
from pictures import Pictures, compose, random_scene
from recipe import autocast, recipe
from stages import Average, Checkpoint, descend
from tokenizer import Encoder

NOISE_UNTIL = 400  # of 1000 timesteps: so much is left of a picture when the last steps begin


def train(minutes: float | None = None) -> None:
    """Needs autoencoder.pt, text.pt and unet.pt; writes polished.pt, which autoencoder.load prefers."""
    chosen = recipe()
    device = chosen.device
    words, model = diffusion.load(device)
    decoder = Decoder()
    Checkpoint.averaged("autoencoder", decoder)
    decoder.to(device, memory_format=torch.channels_last)
    checkpoint = Checkpoint("polished", decoder, minutes or chosen.polish_minutes)
    average = Average(decoder, decay=0.995)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=3e-4, betas=(0.9, 0.99), weight_decay=1e-3)
    checkpoint.restore(optimizer, average)
    pictures = Pictures()
    captions, encode, rng = Captions(pictures), Encoder(), random.Random(checkpoint.step)
    n = chosen.autoencoder_batch
    for step, done in checkpoint.steps():
        for group in optimizer.param_groups:
            group["lr"] = 4e-4 * min(1, (step + 1) / 20) * (1 - done) + 1e-5
        scenes = [random_scene(pictures, rng) for _ in range(n)]
        target = torch.cat([compose(pictures, [scene], diffusion.JITTER) for scene in scenes])
        target = target.to(device, memory_format=torch.channels_last)
        ids = torch.tensor(encode([captions.caption(scene, rng) for scene in scenes]), device=device)
        clean = autoencoder.encode(target)
        with torch.no_grad(), autocast(chosen):
            latents = brought_back(model, words, clean, ids)
        with autocast(chosen):
            output = decoder(latents).float()
        loss = reconstruction_loss(output, target)
        descend(loss, optimizer, average)
        checkpoint.log(step, done, n, loss=loss, l1=(output - target).abs().mean())
        checkpoint.save(optimizer, average)
    checkpoint.finish(optimizer, average)


def brought_back(model, words, clean: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """What the denoiser makes of each picture in one step, from a little noise or from much."""
    at = torch.randint(0, NOISE_UNTIL, (len(clean),), device=clean.device)
    alpha = model.alphas[at].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * torch.randn_like(clean)
    drafts, log_p = model.memory(model.reader(words.states(ids)))
    v = model.denoise(noisy, at, drafts.float(), log_p.float()).float()
    return alpha.sqrt() * noisy - (1 - alpha).sqrt() * v
