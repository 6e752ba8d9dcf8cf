"""The judge: recognises concepts, trained on real pictures only, with one picture set kept out to measure its ceiling."""

import random

import torch
import torch.nn.functional as F
from torch import nn

from pictures import Pictures, dyed, premultiplied
from recipe import DYES, FOLDER, autocast, recipe
from stages import Checkpoint, log

SETS = ("noto", "flat", "gradient", "3d", "firefox")
KEPT_OUT = "blob"


def look_alikes(pictures: Pictures) -> dict[str, int]:
    """Concept code to class: clock faces, moon phases and other drawings that differ by less than an eye would see share one."""
    codes = sorted({a["code"] for a in pictures.about})
    place_of = {code: k for k, code in enumerate(codes)}
    total = torch.zeros(len(codes), len(codes))
    shared = torch.zeros(len(codes), len(codes))
    for style in ("noto", "flat"):
        ids = [i for i, a in enumerate(pictures.about) if a["style"] == style]
        small = F.adaptive_avg_pool2d(premultiplied(pictures, ids), 24)
        flat = small.flatten(1)  # with alpha: on white, a cloud and a tooth would look alike
        where = torch.tensor([place_of[pictures.about[i]["code"]] for i in ids])
        distance = torch.cdist(flat, flat) / flat.shape[1] ** 0.5
        total[where[:, None], where[None]] += distance
        shared[where[:, None], where[None]] += 1
    alike = (total / shared.clamp(min=1) < 0.075) & (shared > 0)
    named = {a["code"]: a["name"] for a in pictures.about}
    clocks = [place_of[c] for c in codes if "o’clock" in named[c] or "o'clock" in named[c] or "-thirty" in named[c]]
    moons = [place_of[c] for c in codes if named[c].endswith(("moon", "crescent moon", "quarter moon", "gibbous moon"))]
    group = list(range(len(codes)))

    def root(k):
        while group[k] != k:
            k = group[k]
        return k

    pairs = [(a, b) for a, b in alike.nonzero().tolist() if a < b]
    pairs += list(zip(clocks, clocks[1:], strict=False)) + list(zip(moons, moons[1:], strict=False))
    for a, b in pairs:
        group[root(b)] = root(a)
    roots = sorted({root(k) for k in range(len(codes))})
    return {code: roots.index(root(k)) for code, k in place_of.items()}


class Classifier(nn.Module):
    def __init__(self, classes: int, size: int):
        super().__init__()
        self.size = size

        def block(inward, outward, stride):
            return nn.Sequential(
                nn.Conv2d(inward, outward, 3, stride, 1, bias=False), nn.BatchNorm2d(outward), nn.ReLU(),
                nn.Conv2d(outward, outward, 3, 1, 1, bias=False), nn.BatchNorm2d(outward), nn.ReLU(),
            )  # fmt: skip

        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 5, 2, 2), nn.ReLU(), block(32, 64, 2), block(64, 128, 2), block(128, 256, 2)
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(256 * (size // 16) ** 2, 256), nn.ReLU(), nn.Linear(256, classes))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """RGB in [-1, 1], [B, 3, size, size], to logits."""
        return self.head(self.body(pictures))


def augmented(pictures: Pictures, ids, device) -> torch.Tensor:
    """Moved, scaled, tilted, mirrored, dyed, recoloured, softened, on any ground: RGB around [-1, 1], half the size of `pictures`."""
    rgba = premultiplied(pictures, ids)
    n = len(rgba)
    for k in range(n):
        if random.random() < 0.2:
            rgba[k] = dyed(rgba[k], random.choice(DYES))
    rgba = rgba.to(device)
    uniform = lambda low, high, *shape: low + (high - low) * torch.rand(n, *shape, device=device)  # noqa: E731
    angle, scale, mirror = uniform(-0.15, 0.15), uniform(0.5, 1.15, 1) * uniform(0.93, 1.07, 2), 1 - 2 * (uniform(0, 1) < 0.15).float()
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 0, 1] = mirror * angle.cos() / scale[:, 0], -angle.sin() / scale[:, 0]
    theta[:, 1, 0], theta[:, 1, 1] = mirror * angle.sin() / scale[:, 1], angle.cos() / scale[:, 1]
    theta[:, :, 2] = uniform(-1, 1, 2) * ((1 - scale).clamp(min=0.12) / scale)
    rgba = F.avg_pool2d(F.grid_sample(rgba, F.affine_grid(theta, list(rgba.shape), align_corners=False), align_corners=False), 2)
    white = (uniform(0, 1, 1) < 0.4).float()
    ground = (white + (1 - white) * uniform(0, 1, 3))[:, :, None, None]
    picture = (rgba[:, :3] + (1 - rgba[:, 3:]) * ground) * 2 - 1
    # Other artists choose other colours: mix channels, change contrast.
    mixing = torch.eye(3, device=device) + 0.05 * torch.randn(n, 3, 3, device=device)
    picture = torch.einsum("bij,bjhw->bihw", mixing, picture) * uniform(0.8, 1.2, 1, 1, 1) + 0.15 * torch.randn(n, 3, 1, 1, device=device)
    # Drawings are soft or sharp: blur some, so that softness alone is not held against a generated one.
    soft = F.interpolate(F.avg_pool2d(picture, 2), size=picture.shape[-1], mode="bilinear", align_corners=False)
    return picture + uniform(-0.6, 1, 1, 1, 1).clamp(0, 1) * (soft - picture) + 0.05 * torch.randn_like(picture)


def train(minutes: float | None = None) -> None:
    chosen = recipe()
    device = chosen.device
    pictures = Pictures(styles=SETS)
    size = chosen.classifier_size
    # Twice the size that is judged is enough to shift and scale from.
    halves = [F.interpolate(some.float(), size=(2 * size,) * 2, mode="area").round().to(torch.uint8) for some in pictures.rgba.split(256)]
    pictures.rgba = torch.cat(halves)
    classes = look_alikes(Pictures())
    known = [i for i, a in enumerate(pictures.about) if a["code"] in classes]
    labels = {i: classes[pictures.about[i]["code"]] for i in known}
    model = Classifier(max(classes.values()) + 1, size).to(device, memory_format=torch.channels_last)
    checkpoint = Checkpoint("classifier", model, minutes or chosen.classifier_minutes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
    checkpoint.restore(optimizer)
    log("classifier", f"{len(classes)} concepts in {max(classes.values()) + 1} classes, {len(known)} pictures")
    random.seed(checkpoint.step)
    model.train()
    for step, done in checkpoint.steps():
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 200) * (1 - done) + 1e-5
        ids = random.choices(known, k=chosen.classifier_batch)
        target = torch.tensor([labels[i] for i in ids], device=device)
        seen = augmented(pictures, ids, device).to(memory_format=torch.channels_last)
        with autocast(chosen):
            loss = F.cross_entropy(model(seen).float(), target, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        checkpoint.log(step, done, len(ids), loss=loss)
        checkpoint.save(optimizer)
    checkpoint.finish(optimizer)
    top1, top5 = ceiling()
    log("classifier", f"on {KEPT_OUT}, never trained on: top-1 {top1:.1%}, top-5 {top5:.1%}")


class Judge:
    def __init__(self):
        self.classes = look_alikes(Pictures())
        weights = torch.load(FOLDER / "classifier.pt", map_location="cpu", weights_only=True)["model"]
        self.model = Classifier(max(self.classes.values()) + 1, recipe().classifier_size).eval()
        self.model.load_state_dict(weights)

    @torch.no_grad()
    def ranked(self, pictures: torch.Tensor) -> torch.Tensor:
        """RGB in 0..1, any size, to class numbers, likeliest first."""
        small = F.interpolate(pictures, size=(self.model.size,) * 2, mode="area")
        return torch.cat([self.model(part * 2 - 1).argsort(1, descending=True) for part in small.split(64)])


def ceiling() -> tuple[float, float]:
    judge = Judge()
    pictures = Pictures(styles=(KEPT_OUT,))
    ids = [i for i, a in enumerate(pictures.about) if a["code"] in judge.classes]
    rgba = premultiplied(pictures, ids)
    ranked = judge.ranked(rgba[:, :3] + 1 - rgba[:, 3:])
    target = torch.tensor([judge.classes[pictures.about[i]["code"]] for i in ids])[:, None]
    return (ranked[:, :1] == target).float().mean().item(), (ranked[:, :5] == target).any(1).float().mean().item()


if __name__ == "__main__":
    train()
