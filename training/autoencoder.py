"""Pictures of 128 × 128 to latents of 16 × 16 × 4 and back: diffusers' AutoencoderKL at 64 × 64, on 2 × 2 pixels folded into channels.

Folding spares the widest maps, where small channel counts leave any processor waiting for memory.
"""

import random
import time

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn

from pictures import Pictures, compose, random_scene
from recipe import FOLDER, LATENT_CHANNELS, STYLES, autocast, recipe
from stages import Checkpoint, log

FOLD = 2


class Autoencoder(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.kl = AutoencoderKL(
            in_channels=3 * FOLD**2, out_channels=3 * FOLD**2, block_out_channels=blocks, layers_per_block=1,
            down_block_types=("DownEncoderBlock2D",) * len(blocks), up_block_types=("UpDecoderBlock2D",) * len(blocks),
            mid_block_add_attention=False, latent_channels=LATENT_CHANNELS, norm_num_groups=8, sample_size=64,
        )  # fmt: skip

    def moments(self, pictures: torch.Tensor) -> torch.Tensor:
        """[B, 3, 128, 128] to mean and log variance, [B, 8, 16, 16]."""
        return self.kl.quant_conv(self.kl.encoder(F.pixel_unshuffle(pictures, FOLD)))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(self.kl.decode(latents, return_dict=False)[0], FOLD)


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
    minutes = minutes or chosen.autoencoder_minutes
    device = chosen.device
    pictures = Pictures(styles=(*STYLES, "blob")).to(device)
    model = Autoencoder(chosen.autoencoder_blocks).to(device, memory_format=torch.channels_last)
    checkpoint = Checkpoint("autoencoder", model, minutes)
    # With an encoder that is kept (a decoder trained anew on latents that a UNet already knows), only the decoder learns.
    frozen = (FOLDER / "encoder_frozen").exists()
    trained = [*model.kl.decoder.parameters(), *model.kl.post_quant_conv.parameters()] if frozen else list(model.parameters())
    optimizer = torch.optim.AdamW(trained, lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    checkpoint.restore(optimizer)
    rng = random.Random(checkpoint.step)
    for step, done in checkpoint.steps():
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 100) * (1 - done) ** 0.8 + 1e-5
        scenes = [random_scene(pictures, rng) for _ in range(chosen.autoencoder_batch)]
        target = compose(pictures, scenes, max(chosen.jitter, 0.5), device).to(memory_format=torch.channels_last)
        with autocast(chosen):
            if frozen:
                with torch.no_grad():
                    mean = model.moments(target).chunk(2, 1)[0]
                # What the UNet draws is never exact: the decoder learns to forgive a little noise.
                latents = mean + mean.std() * 0.15 * torch.rand(len(mean), 1, 1, 1, device=device) * torch.randn_like(mean)
                kl = torch.zeros((), device=device)
            else:
                mean, log_variance = model.moments(target).float().chunk(2, 1)
                log_variance = log_variance.clamp(-30, 20)
                latents = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
                kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum((1, 2, 3)).mean() / target[0].numel()
            output = model.decode(latents).float()
            loss = reconstruction_loss(output, target) + 1e-4 * kl * FOLD**2
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        checkpoint.log(step, done, len(scenes), l1=(output - target).abs().mean(), kl=kl)
        checkpoint.save(optimizer)
    checkpoint.finish(optimizer)


def load(device="cpu") -> Autoencoder:
    model = Autoencoder(recipe().autoencoder_blocks)
    state = torch.load(FOLDER / "autoencoder.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    return model.eval().to(device, memory_format=torch.channels_last)


@torch.no_grad()
def encode_latents() -> None:
    """Composes and encodes the pictures that the UNet learns from, once: latents.pt holds scenes and float16 latents."""
    chosen = recipe()
    pictures = Pictures().to(chosen.device)
    model = load(chosen.device)
    rng = random.Random(0)
    scenes = [random_scene(pictures, rng) for _ in range(chosen.latents)]
    latents = []
    start = time.time()
    for at in range(0, len(scenes), 250):
        batch = compose(pictures, scenes[at : at + 250], chosen.jitter, chosen.device).to(memory_format=torch.channels_last)
        with autocast(chosen):
            latents.append(model.moments(batch).chunk(2, 1)[0].half().cpu())
        if at % 2500 == 0:
            log("latents", f"{at + len(batch)} of {len(scenes)}, {(at + len(batch)) / (time.time() - start):.0f} pictures/s")
    latents = torch.cat(latents).contiguous()
    scale = 1 / latents.float().std().item()
    torch.save({"scenes": [vars(s) for s in scenes], "latents": latents, "scale": scale}, FOLDER / "latents.pt")
    log("latents", f"scaling factor {scale:.4f}")
