"""Trains text encoder and prior, then these and the UNet together (v-prediction, zero terminal SNR, min-SNR weights), and samples."""

import copy
import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

import autoencoder
from captions import Captions
from denoiser import TextToLatents, scheduler
from pictures import Pictures, Scene
from recipe import FOLDER, LATENT_CHANNELS, LATENT_SIZE, STYLES, autocast, recipe
from stages import Average, Checkpoint
from tokenizer import Encoder

STYLE_NAMES = list(STYLES)


class Captioned(IterableDataset):
    """Batches of scene numbers and token ids, worded anew each time; loader processes make them ahead of a GPU."""

    def __init__(self, scenes: list[Scene], pictures: Pictures, n: int):
        self.scenes, self.captions, self.encode, self.n = scenes, Captions(pictures), Encoder(), n

    def __iter__(self):
        rng = random.Random(torch.initial_seed())  # differs by loader process
        while True:
            picked = [rng.randrange(len(self.scenes)) for _ in range(self.n)]
            tokens = self.encode([self.captions.caption(self.scenes[k], rng) for k in picked])
            yield torch.tensor(picked), torch.tensor(tokens)


class Examples:
    """Latents (scaled to unit variance) with captions."""

    def __init__(self, device: str):
        saved = torch.load(FOLDER / "latents.pt", map_location="cpu", weights_only=True)
        self.scenes = [Scene(**scene) for scene in saved["scenes"]]
        self.scale = saved["scale"]
        self.latents = saved["latents"].to(device)
        self.pictures = Pictures()
        self.device = device
        styles = [STYLE_NAMES.index(self.pictures.about[s.first]["style"]) for s in self.scenes]
        self.styles = torch.tensor(styles, device=device)

    def batches(self, n: int):
        """Yields latents [n, 4, 16, 16], ids [n, 24] and styles [n]."""
        light = copy.copy(self.pictures)
        light.rgba = None  # loader processes need the words only
        source = Captioned(self.scenes, light, n)
        for picked, ids in DataLoader(source, batch_size=None, num_workers=recipe().loaders):
            picked = picked.to(self.device)
            yield self.latents[picked].float() * self.scale, ids.to(self.device), self.styles[picked]


def prior_loss(drafts: torch.Tensor, latents: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
    drafts = drafts.view(len(latents), len(STYLES), LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)
    return F.mse_loss(drafts[torch.arange(len(latents), device=latents.device), styles].float(), latents)


def train_prior(minutes: float | None = None) -> None:
    chosen = recipe()
    model = TextToLatents(chosen.unet_blocks).to(chosen.device)
    trained = nn.ModuleDict({"text": model.text, "prior": model.denoiser.prior})
    checkpoint = Checkpoint("prior", trained, minutes or chosen.prior_minutes)
    weights = list(trained.parameters())
    # The last layer sums thousands of features: Adam's equal steps on all of them would overshoot at the others' rate.
    last = list(model.denoiser.prior.outward.parameters())
    others = [p for p in weights if all(p is not q for q in last)]
    groups = [{"params": others, "rate": 1.0}, {"params": last, "rate": 0.1}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    checkpoint.restore(optimizer)
    batches = Examples(chosen.device).batches(chosen.prior_batch)
    for step, done in checkpoint.steps():
        for group in optimizer.param_groups:
            group["lr"] = 1.2e-3 * group["rate"] * min(1, (step + 1) / 100) * (1 - 0.9 * done)
        latents, ids, styles = next(batches)
        with autocast(chosen):
            loss = prior_loss(trained["prior"](model.states(ids)), latents, styles)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        checkpoint.log(step, done, len(latents), loss=loss)
        checkpoint.save(optimizer)
    checkpoint.finish(optimizer)


def train_unet(minutes: float | None = None) -> None:
    chosen = recipe()
    device = chosen.device
    model = TextToLatents(chosen.unet_blocks).to(device)
    model.denoiser.unet.to(memory_format=torch.channels_last)
    checkpoint = Checkpoint("unet", model, minutes or chosen.unet_minutes)
    if checkpoint.step == 0 and (FOLDER / "prior.pt").exists():
        prior = torch.load(FOLDER / "prior.pt", map_location="cpu", weights_only=True)["model"]
        model.text.load_state_dict({k[5:]: v for k, v in prior.items() if k.startswith("text.")})
        model.denoiser.prior.load_state_dict({k[6:]: v for k, v in prior.items() if k.startswith("prior.")})
    if not chosen.joint:
        model.text.requires_grad_(False)
        model.denoiser.prior.requires_grad_(False)
    average = Average(model)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    checkpoint.restore(optimizer, average)
    batches = Examples(device).batches(chosen.unet_batch)
    alphas = scheduler().alphas_cumprod.to(device)
    peak = 5e-4 if device == "cpu" else 1e-3
    for step, done in checkpoint.steps():
        for group in optimizer.param_groups:
            group["lr"] = peak * min(1, (step + 1) / 50) * (1 - done) + 1e-5
        latents, ids, styles = next(batches)
        n = len(latents)
        steps = torch.randint(0, 1000, (n,), device=device)
        alpha = alphas[steps].view(-1, 1, 1, 1)
        noise = torch.randn_like(latents)
        sample = (alpha.sqrt() * latents + (1 - alpha).sqrt() * noise).to(memory_format=torch.channels_last)
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
        with autocast(chosen):
            states = model.states(ids)
            drafts = model.denoiser.prior(states)
            output = model.denoiser.denoise(sample, steps, states, drafts).float()
        # min-SNR-5 (Hang et al. 2023) for v-prediction, with a floor: pure noise decides background and layout.
        snr = alpha.flatten() / (1 - alpha.flatten())
        weight = (snr.clamp(max=5) / (snr + 1)).clamp(min=0.1)
        denoising = (((output - target) ** 2).mean((1, 2, 3)) * weight).mean() / weight.mean()
        drafting = prior_loss(drafts, latents, styles)
        loss = denoising + 0.3 * drafting
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        average.update()
        checkpoint.log(step, done, n, denoising=denoising, drafting=drafting)
        checkpoint.save(optimizer, average)
    checkpoint.finish(optimizer, average)


def load(device="cpu", name="unet") -> TextToLatents:
    """The averaged weights."""
    model = TextToLatents(recipe().unet_blocks)
    state = torch.load(FOLDER / f"{name}.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    if "average" in state:
        with torch.no_grad():
            for weight, mean in zip(model.parameters(), state["average"]["weights"], strict=True):
                weight.copy_(mean)
    model.denoiser.unet.to(memory_format=torch.channels_last)
    return model.eval().to(device)


@torch.no_grad()
def sample(model: TextToLatents, prompts: list[str], seeds: list[int], steps=20, guidance=4.0, device="cpu") -> torch.Tensor:
    """Latents / scaling factor are still to be divided; each picture has a generator of its own, as in diffusers."""
    encode = Encoder()
    states = model.states(torch.tensor(encode(prompts + [""] * len(prompts)), device=device))
    drafts = model.denoiser.prior(states)
    noise = [torch.randn(LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE, generator=torch.Generator().manual_seed(s)) for s in seeds]
    latents = torch.stack(noise).to(device)
    schedule = scheduler()
    schedule.set_timesteps(steps)
    for t in schedule.timesteps:
        both = model.denoiser.denoise(torch.cat([latents, latents]), t.to(device).expand(len(states)), states, drafts)
        conditional, unconditional = both.chunk(2)
        latents = schedule.step(unconditional + guidance * (conditional - unconditional), t, latents).prev_sample
    return latents


def draw(prompts: list[str], seeds: list[int], steps=20, guidance=4.0, name="unet", batch=32) -> torch.Tensor:
    """RGB in 0..1, [N, 3, 128, 128], from the trained torch model."""
    device = recipe().device
    model, vae = load(device, name), autoencoder.load(device)
    scale = torch.load(FOLDER / "latents.pt", map_location="cpu", weights_only=True)["scale"]
    pictures = []
    for at in range(0, len(prompts), batch):
        latents = sample(model, prompts[at : at + batch], seeds[at : at + batch], steps, guidance, device)
        with torch.no_grad():
            pictures.append(vae.decode(latents / scale).clamp(-1, 1).cpu() / 2 + 0.5)
    return torch.cat(pictures)
