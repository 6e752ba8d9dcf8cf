"""The rendered pictures as one tensor, and compositions of them: backgrounds, colours, two objects side by side or stacked."""

import io
import json
import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from recipe import COLOURS, FOLDER, GROUPS, STYLES

COLOUR_NAMES = list(COLOURS)
COLOUR_VALUES = torch.tensor([COLOURS[name] for name in COLOUR_NAMES], dtype=torch.float32) / 255
# Colours that an object can be dyed with; white, gray and black would leave a shadow of it.
DYES = ["red", "orange", "yellow", "green", "blue", "sky blue", "purple", "pink", "brown", "teal", "dark blue"]


@dataclass(frozen=True)
class Scene:
    """What a composed picture shows; captions.py words it."""

    first: int
    second: int | None = None
    layout: str = "single"  # single | beside | above
    background: str = "white"
    dye: str | None = None


class Pictures:
    """`rgba` is uint8 [N, 4, 128, 128]; `about[i]` holds code, name, group, style and keywords."""

    def __init__(self, styles=tuple(STYLES), groups=GROUPS):
        about = json.loads((FOLDER / "pictures.json").read_text())
        self.about = [a for a in about if a["style"] in styles and a["group"] in groups and not _gendered(a)]
        blob = (FOLDER / "pictures.bin").read_bytes()
        self.rgba = torch.stack([_decode(blob[a["offset"] : a["offset"] + a["length"]]) for a in self.about])
        self.by_style = {s: [i for i, a in enumerate(self.about) if a["style"] == s] for s in styles}

    def __len__(self):
        return len(self.about)

    def to(self, device: str) -> "Pictures":
        self.rgba = self.rgba.to(device)
        return self


def _gendered(about) -> bool:
    """Joined sequences of people (woman firefighter, families) are drawn too small and too alike to learn from."""
    return about["group"] == "people-body" and "200D" in about["code"]


def _decode(webp: bytes) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(io.BytesIO(webp)).convert("RGBA"))).permute(2, 0, 1).contiguous()


def random_scene(pictures: Pictures, rng: random.Random) -> Scene:
    first = rng.randrange(len(pictures))
    background = "white" if rng.random() < 0.4 else rng.choice(COLOUR_NAMES)
    kind = rng.random()
    if kind < 0.18:
        second = rng.choice(pictures.by_style[pictures.about[first]["style"]])
        return Scene(first, second, "beside" if kind < 0.14 else "above", background)
    dye = rng.choice(DYES) if kind < 0.30 else None
    return Scene(first, background=background, dye=dye)


def compose(pictures: Pictures, scenes: list[Scene], jitter=0.0, device="cpu") -> torch.Tensor:
    """RGB in [-1, 1], [B, 3, 128, 128]."""
    first = premultiplied(pictures, [s.first for s in scenes], device)
    for k, scene in enumerate(scenes):
        if scene.dye:
            first[k] = dyed(first[k], scene.dye)
    second = premultiplied(pictures, [s.first if s.second is None else s.second for s in scenes], device)
    placed = place(first, [_box(s, 0) for s in scenes], jitter)
    pair = torch.tensor([s.second is not None for s in scenes], device=device).view(-1, 1, 1, 1)
    if pair.any():
        over = place(second, [_box(s, 1) for s in scenes], jitter) * pair
        placed = over + placed * (1 - over[:, 3:])
    background = COLOUR_VALUES[[COLOUR_NAMES.index(s.background) for s in scenes]].to(device)[:, :, None, None]
    return (placed[:, :3] + (1 - placed[:, 3:]) * background) * 2 - 1


def premultiplied(pictures: Pictures, ids, device) -> torch.Tensor:
    rgba = pictures.rgba[torch.as_tensor(ids, device=pictures.rgba.device)].to(device).float() / 255
    return torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], 1)


def dyed(rgba: torch.Tensor, name: str) -> torch.Tensor:
    """Keeps light and shade, replaces hue: dark stays dark, the middle takes the colour, highlights stay light."""
    alpha = rgba[3:].clamp(min=1e-3)
    colour = rgba[:3] / alpha
    weights = torch.tensor([0.299, 0.587, 0.114], device=rgba.device).view(3, 1, 1)
    light = (colour * weights).sum(0, keepdim=True)
    middle = light[rgba[3:] > 0.5].median() if (rgba[3:] > 0.5).any() else light.mean()
    middle = middle.clamp(0.15, 0.85)
    target = torch.tensor(COLOURS[name], device=rgba.device, dtype=torch.float32).view(3, 1, 1) / 255
    dark = target * (light / middle)
    bright = target + (1 - target) * ((light - middle) / (1 - middle)) * 0.8
    dye = torch.where(light < middle, dark, bright)
    return torch.cat([(0.88 * dye + 0.12 * colour).clamp(0, 1) * rgba[3:], rgba[3:]])


def _box(scene: Scene, which: int):
    """Centre x, centre y (in -1..1) and scale of an object in its scene."""
    if scene.layout == "beside":
        return ((-0.48, 0.0, 0.53), (0.48, 0.0, 0.53))[which]
    if scene.layout == "above":
        return ((0.0, -0.46, 0.53), (0.0, 0.44, 0.53))[which]
    return (0.0, 0.0, 1.0)


def place(rgba: torch.Tensor, boxes, jitter: float) -> torch.Tensor:
    if jitter == 0 and all(box == (0.0, 0.0, 1.0) for box in boxes):
        return rgba
    n = len(boxes)
    box = torch.tensor(boxes, device=rgba.device, dtype=torch.float32)
    centre, scale = box[:, :2], box[:, 2]
    mirror = torch.ones(n, device=rgba.device)
    if jitter:
        scale = scale * (1 + jitter * (torch.rand(n, device=rgba.device) * 0.3 - 0.2))
        centre = centre + jitter * (torch.rand(n, 2, device=rgba.device) - 0.5) * 0.2 * scale[:, None]
        mirror = torch.where(torch.rand(n, device=rgba.device) < 0.5 * jitter, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3, device=rgba.device)
    theta[:, 0, 0] = mirror / scale
    theta[:, 1, 1] = 1 / scale
    theta[:, 0, 2] = -centre[:, 0] * mirror / scale
    theta[:, 1, 2] = -centre[:, 1] / scale
    # Shrinking to half by bilinear sampling alone would alias.
    small = F.interpolate(F.avg_pool2d(rgba, 2), size=rgba.shape[-2:], mode="bilinear", align_corners=False)
    source = torch.where((scale < 0.7).view(-1, 1, 1, 1), small, rgba)
    grid = F.affine_grid(theta, list(rgba.shape), align_corners=False)
    return F.grid_sample(source, grid, align_corners=False, padding_mode="zeros")
