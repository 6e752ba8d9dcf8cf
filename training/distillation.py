"""Progressive distillation (Salimans & Ho 2022): the student learns two guided steps of its teacher as one, from 16 to 8 to 4."""

import copy

import torch
from torch import nn

import diffusion
from denoiser import scheduler
from recipe import autocast, recipe
from stages import Average, Checkpoint
from tokenizer import Encoder

PHASES = (8, 4)  # the student's steps; its teacher takes twice as many
GUIDANCE = 4.0


def schedule(steps: int) -> list[int]:
    """DDIM's `trailing` timesteps, from 999 down."""
    return [round(1000 - k * 1000 / steps) - 1 for k in range(steps)]


def ddim(latents, v, alpha, alpha_next):
    clean = alpha.sqrt() * latents - (1 - alpha).sqrt() * v
    noise = alpha.sqrt() * v + (1 - alpha).sqrt() * latents
    return alpha_next.sqrt() * clean + (1 - alpha_next).sqrt() * noise


def train(minutes: float | None = None) -> None:
    chosen = recipe()
    device = chosen.device
    alphas = scheduler().alphas_cumprod.to(device)
    batches = diffusion.Examples(device).batches(chosen.unet_batch)
    empty = torch.tensor(Encoder()([""]), device=device)
    for phase, steps in enumerate(PHASES):
        teacher = diffusion.load(device, "unet" if phase == 0 else f"distilled{PHASES[phase - 1]}")
        student = copy.deepcopy(teacher).train()
        checkpoint = Checkpoint(f"distilled{steps}", student, (minutes or chosen.distill_minutes) / len(PHASES))
        average = Average(student, decay=0.995)
        # Words keep their meaning: only the denoiser learns, so that an image made in more steps stays comparable.
        weights = list(student.denoiser.parameters())
        optimizer = torch.optim.AdamW(weights, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0)
        checkpoint.restore(optimizer, average)
        times = torch.tensor(schedule(steps), device=device)
        for step, done in checkpoint.steps():
            for group in optimizer.param_groups:
                group["lr"] = 2e-4 * min(1, (step + 1) / 50) * (1 - done) + 1e-6
            latents, ids, _ = next(batches)
            n = len(latents)
            at = times[torch.randint(0, steps, (n,), device=device)]
            half = 500 // steps
            alpha = alphas[at].view(-1, 1, 1, 1)
            noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * torch.randn_like(latents)
            with autocast(chosen):
                with torch.no_grad():
                    states = teacher.states(torch.cat([ids, empty.expand(n, -1)]))
                    drafts = teacher.denoiser.prior(states)
                    current, now = noisy, at
                    for _ in range(2):
                        following = now - half
                        v = _guided(teacher, current, now, states, drafts, phase == 0)
                        alpha_next = alphas[following.clamp(min=0)].view(-1, 1, 1, 1)
                        current = ddim(current, v, alphas[now].view(-1, 1, 1, 1), alpha_next)
                        now = following.clamp(min=0)
                    # The clean latents for which one step of the student ends where two of the teacher's do.
                    ratio = (1 - alpha_next).sqrt() / (1 - alpha).sqrt()
                    clean = (current - ratio * noisy) / (alpha_next.sqrt() - ratio * alpha.sqrt())
                    target = (alpha.sqrt() * noisy - clean) / (1 - alpha).sqrt()
                output = student.denoiser(noisy, at, states[:n]).float()
            snr = alpha / (1 - alpha)
            loss = (((output - target) ** 2) * torch.clamp(snr + 1, max=6)).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            average.update()
            checkpoint.log(step, done, n, loss=loss)
            checkpoint.save(optimizer, average)
        checkpoint.finish(optimizer, average)


def _guided(teacher, latents, at, states, drafts, guided: bool) -> torch.Tensor:
    n = len(latents)
    if not guided:
        return teacher.denoiser.denoise(latents, at, states[:n], drafts[:n]).float()
    both = teacher.denoiser.denoise(torch.cat([latents, latents]), torch.cat([at, at]), states, drafts).float()
    conditional, unconditional = both.chunk(2)
    return unconditional + GUIDANCE * (conditional - unconditional)
