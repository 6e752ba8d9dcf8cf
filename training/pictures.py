"""The rendered pictures as one tensor, and scenes composed of them: backgrounds, colours, several objects, faces, hats, glasses."""

import io
import json
import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from recipe import COLOURS, DYES, FOLDER, GROUPS, LATENT_SIZE, STYLES

COLOUR_NAMES = list(COLOURS)
COLOUR_VALUES = torch.tensor([COLOURS[name] for name in COLOUR_NAMES], dtype=torch.float32) / 255

# Where a scene's half-size tiles lie: (which object, column, row) of their top left corner, in cells of 8 pixels.
# Layouts in WHOLE also show the first object at full size, below the tiles.
LAYOUTS = {
    "single": [],
    "beside": [(0, 0, 4), (1, 8, 4)],
    "above": [(0, 4, 0), (1, 4, 8)],
    "two": [(0, 0, 4), (0, 8, 4)],
    "three": [(0, 4, 0), (0, 0, 8), (0, 8, 8)],
    "four": [(0, 0, 0), (0, 8, 0), (0, 0, 8), (0, 8, 8)],
    "face": [(1, 4, 5)],
    "hat": [(1, 4, -1)],
    "glasses": [(1, 4, 3)],
}
WHOLE = ("single", "face", "hat", "glasses")
HATS = ("crown", "top hat", "woman’s hat", "graduation cap", "billed cap", "rescue worker’s helmet", "military helmet", "ribbon")
GLASSES = ("glasses", "sunglasses", "goggles")


@dataclass(frozen=True)
class Scene:
    """What a composed picture shows; captions.py words it. `second` is a picture, for `face` one of a smiley."""

    first: int
    second: int | None = None
    layout: str = "single"
    background: str | None = None  # nobody said: white
    dye: str | None = None
    mirrored: bool = False


class Pictures:
    """`rgba` is uint8 [N, 4, 128, 128]; `about[i]` holds code, name, group, style and keywords."""

    def __init__(self, styles=tuple(STYLES), groups=GROUPS):
        about = json.loads((FOLDER / "pictures.json").read_text())
        self.about = [a for a in about if a["style"] in styles and a["group"] in groups and not _gendered(a)]
        numbers = {a["offset"]: n for n, a in enumerate(about)}
        self.rgba = torch.from_numpy(_decoded(about)[[numbers[a["offset"]] for a in self.about]])
        self.codes = sorted({a["code"] for a in self.about})
        self.by_style = {s: [i for i, a in enumerate(self.about) if a["style"] == s] for s in styles}
        self.find = {(a["code"], a["style"]): i for i, a in enumerate(self.about)}
        self.smileys = [i for i, a in enumerate(self.about) if a["group"] == "smileys-emotion" and self._is_yellow_face(i)]
        self.hats = [i for i, a in enumerate(self.about) if a["name"] in HATS]
        self.glasses = [i for i, a in enumerate(self.about) if a["name"] in GLASSES]

    def __len__(self):
        return len(self.about)

    def _is_yellow_face(self, i: int) -> bool:
        """A disc that is mostly yellow: its eyes and mouth can be lent to other things."""
        rgba = self.rgba[i].float() / 255
        inside = rgba[3] > 0.5
        return bool(inside.float().mean() > 0.45) and bool((_yellow(rgba[:3]) & inside).sum() > 0.55 * inside.sum())

    def in_style_of(self, i: int, others: list[int], rng: random.Random) -> int:
        """One of `others`, drawn as picture `i` is, where that style has any."""
        same = [k for k in others if self.about[k]["style"] == self.about[i]["style"]]
        return rng.choice(same or others)


def _gendered(about) -> bool:
    """Joined sequences of people (woman firefighter, families) are drawn too small and too alike to learn from."""
    return about["group"] == "people-body" and "200D" in about["code"]


def _decoded(about) -> np.ndarray:
    """Every picture, uint8 [N, 4, 128, 128]; decoded once and kept beside the file."""
    path = FOLDER / "decoded.npy"
    if not path.exists():
        blob = (FOLDER / "pictures.bin").read_bytes()
        webps = (Image.open(io.BytesIO(blob[a["offset"] : a["offset"] + a["length"]])) for a in about)
        np.save(path, np.stack([np.array(webp.convert("RGBA")).transpose(2, 0, 1) for webp in webps]))
    return np.load(path, mmap_mode="r")


def _yellow(rgb: torch.Tensor) -> torch.Tensor:
    red, green, blue = rgb[0], rgb[1], rgb[2]
    return (red > 0.8) & (green > 0.45) & (blue < 0.62) & (red - blue > 0.3)


def features(rgba: torch.Tensor) -> torch.Tensor:
    """A smiley's eyes and mouth without its disc; premultiplied [4, H, W] in and out."""
    alpha = rgba[3:].clamp(min=1e-3)
    colour = rgba[:3] / alpha
    near = F.max_pool2d(_yellow(colour).float()[None], 3, 1, 1)[0]
    inner = 1 - F.max_pool2d((rgba[3] < 0.9).float()[None, None], 9, 1, 4)[0, 0]
    yellowness = ((colour[0] - colour[2] - 0.3) / 0.25).clamp(0, 1) * ((colour[1] - 0.42) / 0.15).clamp(0, 1)
    mask = (1 - yellowness) * inner * (1 - 0.3 * near)
    return rgba * mask


def random_scene(pictures: Pictures, rng: random.Random) -> Scene:
    first = rng.randrange(len(pictures))
    background = None if rng.random() < 0.4 else rng.choice(COLOUR_NAMES)
    dye = rng.choice(DYES) if rng.random() < 0.12 else None
    mirrored = pictures.about[first]["group"] in ("animals-nature", "food-drink", "travel-places") and rng.random() < 0.5
    kind = rng.random()
    if kind < 0.24:
        second = rng.choice(pictures.by_style[pictures.about[first]["style"]])
        return Scene(first, second, "beside" if kind < 0.17 else "above", background, dye)
    if kind < 0.36:
        return Scene(first, None, rng.choice(("two", "two", "three", "four")), background, dye, mirrored)
    if kind < 0.42:
        return Scene(first, pictures.in_style_of(first, pictures.smileys, rng), "face", background, dye)
    if kind < 0.45:
        return Scene(first, pictures.in_style_of(first, pictures.hats, rng), "hat", background, dye)
    if kind < 0.48:
        return Scene(first, pictures.in_style_of(first, pictures.glasses, rng), "glasses", background, dye)
    return Scene(first, None, "single", background, dye, mirrored)


def compose(pictures: Pictures, scenes: list[Scene], jitter=0.0) -> torch.Tensor:
    """RGB in [-1, 1], [B, 3, 128, 128]; `jitter` (0 to 1) shifts, scales, tilts and re-tones every object a little."""
    owners = [(k, which) for k, s in enumerate(scenes) for which in ((0,) if s.second is None else (0, 1))]
    objects = torch.stack([_object(pictures, scenes[k], which) for k, which in owners])
    if jitter:
        objects = jittered(objects, jitter)
    tiles = F.avg_pool2d(objects, 2)
    at = {owner: n for n, owner in enumerate(owners)}
    canvases = torch.zeros(len(scenes), *objects.shape[1:])
    for k, scene in enumerate(scenes):
        if scene.layout in WHOLE:
            canvases[k] = objects[at[k, 0]]
        for which, column, row in LAYOUTS[scene.layout]:
            paste(canvases[k], tiles[at[k, which]], column, row)
    colours = [COLOUR_VALUES[COLOUR_NAMES.index(s.background)] if s.background else torch.ones(3) for s in scenes]
    ground = torch.stack(colours)[:, :, None, None]
    return (canvases[:, :3] + (1 - canvases[:, 3:]) * ground) * 2 - 1


def paste(canvas: torch.Tensor, tile: torch.Tensor, column: int, row: int) -> None:
    """Lays a premultiplied tile over the canvas, its corner at a cell of a sixteenth; what lies outside is cut."""
    cell = canvas.shape[-1] // LATENT_SIZE
    top = max(0, row) * cell
    cut = (max(0, row) - row) * cell
    part = tile[:, cut:]
    under = canvas[:, top : top + part.shape[1], column * cell : column * cell + part.shape[2]]
    under.copy_(part + under * (1 - part[3:]))


def _object(pictures: Pictures, scene: Scene, which: int) -> torch.Tensor:
    rgba = premultiplied(pictures, [scene.second if which else scene.first])[0]
    if which and scene.layout == "face":
        rgba = features(rgba)
    if scene.dye and not which:
        rgba = dyed(rgba, scene.dye)
    return rgba.flip(-1) if scene.mirrored else rgba


def premultiplied(pictures: Pictures, ids) -> torch.Tensor:
    rgba = pictures.rgba[torch.as_tensor(ids)].float() / 255
    return torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], 1)


def dyed(rgba: torch.Tensor, name: str) -> torch.Tensor:
    """Keeps light and shade, replaces hue: dark stays dark, the middle takes the colour, highlights stay light."""
    alpha = rgba[3:].clamp(min=1e-3)
    colour = rgba[:3] / alpha
    light = _light(colour)
    middle = middle_light(rgba)
    target = torch.tensor(COLOURS[name], dtype=torch.float32).view(3, 1, 1) / 255
    dark = target * (light / middle)
    bright = target + (1 - target) * ((light - middle) / (1 - middle)) * 0.8
    dye = torch.where(light < middle, dark, bright)
    return torch.cat([(0.88 * dye + 0.12 * colour).clamp(0, 1) * rgba[3:], rgba[3:]])


def _light(colour: torch.Tensor) -> torch.Tensor:
    return (colour * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)


def middle_light(rgba: torch.Tensor) -> torch.Tensor:
    """The median lightness of what is opaque."""
    light, opaque = _light(rgba[:3] / rgba[3:].clamp(min=1e-3)), rgba[3:] > 0.5
    return (light[opaque].median() if opaque.any() else light.mean()).clamp(0.15, 0.85)


def jittered(rgba: torch.Tensor, amount: float) -> torch.Tensor:
    """Premultiplied [B, 4, H, W], shifted, scaled and tilted a little, and its colours turned a little."""
    n = len(rgba)
    angle = amount * (torch.rand(n) - 0.5) * 0.3
    scale = 1 + amount * (torch.rand(n, 2) - 0.6) * 0.16
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = angle.cos() / scale[:, 0], -angle.sin() / scale[:, 0]
    theta[:, 1, 0], theta[:, 1, 1] = angle.sin() / scale[:, 1], angle.cos() / scale[:, 1]
    theta[:, :, 2] = amount * (torch.rand(n, 2) - 0.5) * 0.12
    moved = F.grid_sample(rgba, F.affine_grid(theta, list(rgba.shape), align_corners=False), align_corners=False)
    light = (moved[:, :3] * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    chroma = (moved[:, :3] - light) * (1 + amount * (torch.rand(n, 1, 1, 1) - 0.5) * 0.4)
    gain = 1 + amount * (torch.rand(n, 3, 1, 1) - 0.5) * 0.16
    colour = ((light + chroma) * gain).clamp(min=0).minimum(moved[:, 3:])
    return torch.cat([colour, moved[:, 3:]], 1)
