"""Judges an exported model and prints a table: python evaluate.py MODEL_FOLDER [--share 0.25] [--steps N] [--guidance G]."""

import argparse
import json
import random
import subprocess
from pathlib import Path

import torch
import torch.nn.functional as F

import autoencoder

from captions import ALSO, Captions, plain, with_article
from classifier import Judge, ceiling
from onnx_pipeline import OnnxPipeline
from pictures import Pictures, premultiplied
from recipe import COLOURS, DYES, FOLDER, SIZE

FIRST_SEED = 1_000_000  # training draws its noise from nowhere near

# Nouns that people type; each is the name or a keyword of a concept.
FAMILIAR = """apple banana strawberry pizza hamburger cake cookie carrot cat dog penguin fox frog panda lion pig owl whale
octopus butterfly rocket car bicycle airplane sailboat house castle tree cactus sunflower mushroom heart star cloud robot
ghost alien pumpkin guitar trumpet drum umbrella balloon crown key clock camera book bomb trophy""".split()


# As people type; none of these frames is in captions.py.
WORDINGS = ["{}", "{}", "{} pls", "could you do a {}", "hey, one {} for the chat", "simple {} symbol", "just {}", "we need: {}", "what about {}?", "{}!"]


def lab(rgb: torch.Tensor) -> torch.Tensor:
    """sRGB in 0..1, [..., 3], to CIELAB under D65."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = torch.tensor([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / torch.tensor([0.95047, 1.0, 1.08883])
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-8) ** (1 / 3), 7.787 * xyz + 16 / 116)
    return torch.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def border(pictures: torch.Tensor) -> torch.Tensor:
    """Median colour of the outermost twentieth, [N, 3]."""
    edge = max(1, pictures.shape[-1] // 20)
    mask = torch.ones(pictures.shape[-2:], dtype=torch.bool)
    mask[edge:-edge, edge:-edge] = False
    return pictures[:, :, mask].median(-1).values


def share(hits) -> str:
    hits = torch.as_tensor(hits, dtype=torch.float32)
    return f"{hits.mean().item():.1%}"


class Evaluation:
    def __init__(self, folder: Path, portion: float, settings: dict):
        self.draw, self.settings, self.portion, self.folder = OnnxPipeline(folder), settings, portion, folder
        self.rng = random.Random(2024)
        self.pictures, self.judge = Pictures(), Judge()
        self.captions = Captions(self.pictures)
        self.by_code = {}
        for i, about in enumerate(self.pictures.about):
            self.by_code.setdefault(about["code"], []).append(i)
        self.seed = FIRST_SEED
        self.rows = []

    def row(self, line: str, value: str, target: str) -> None:
        self.rows.append((line, value, target))
        print(f"{line:58} {value:>16}   {target}", flush=True)

    def make(self, prompts: list[str]) -> torch.Tensor:
        seeds = list(range(self.seed, self.seed + len(prompts)))
        self.seed += len(prompts)
        return self.draw.many(prompts, seeds, **self.settings)

    def count(self, full: int) -> int:
        return max(8, round(full * self.portion))

    def concept(self) -> None:
        """By names, keywords that no other concept has, and synonyms; worded in ways that training never used."""
        about = {code: self.pictures.about[ids[0]] for code, ids in self.by_code.items()}
        telling = [(code, word) for code in sorted(about) for word in about[code]["keywords"] if self.captions.shared[word] == 1]
        ways = {
            "name": [(code, plain(about[code]["name"])) for code in sorted(about)],
            "keyword": telling,
            "synonym": [(code, word) for code in sorted(about) for word in ALSO.get(about[code]["name"], [])],
        }
        asked = {way: self.rng.sample(ways[way], self.count(n)) for way, n in (("name", 230), ("keyword", 200), ("synonym", 70))}
        prompts = [self.rng.choice(WORDINGS).format(word) for pairs in asked.values() for _, word in pairs]
        wanted = torch.tensor([self.judge.classes[code] for pairs in asked.values() for code, _ in pairs])[:, None]
        ranked = self.judge.ranked(self.make(prompts))
        first, five = (ranked[:, 0] == wanted[:, 0]).float(), (ranked[:, :5] == wanted).any(1).float()
        top1, top5 = ceiling()
        self.row("concept: ceiling on a set kept out (top-1, top-5)", f"{top1:.1%}, {top5:.1%}", "")
        self.row(f"concept: {len(prompts)} prompts, top-1", share(first), f"{0.85 * top1:.1%} (85 % of the ceiling)")
        self.row(f"concept: {len(prompts)} prompts, top-5", share(five), f"{0.92 * top5:.1%} (92 % of the ceiling)")
        at = 0
        for way, pairs in asked.items():
            mine = slice(at, at + len(pairs))
            at += len(pairs)
            self.row(f"concept: asked by {way} ({len(pairs)}), top-1, top-5", f"{share(first[mine])}, {share(five[mine])}", "")

    def background(self) -> None:
        objects = self.rng.sample(FAMILIAR, max(3, round(30 * self.portion)))
        asked = [(colour, thing) for colour in COLOURS for thing in objects]
        drawn = border(self.make([f"{with_article(thing)} on a {colour} background" for colour, thing in asked]))
        wanted = torch.tensor([COLOURS[colour] for colour, _ in asked]) / 255
        difference = (lab(drawn) - lab(wanted)).norm(dim=-1)
        self.row(f"colour: background within ΔE 15 ({len(asked)})", share(difference <= 15), "95 %")

    def dyed_objects(self) -> None:
        """Right when the colour word nearest to the object's median colour is the one asked for, dark and light counted as one hue."""
        things = self.rng.sample(FAMILIAR, max(4, round(12 * self.portion)))
        asked = [(colour, thing) for colour in DYES for thing in things]
        drawn = self.make([with_article(f"{colour} {thing}") for colour, thing in asked])
        names = [*DYES, "black", "gray", "white"]
        palette = lab(torch.tensor([COLOURS[n] for n in names]) / 255)
        families = {"sky blue": "blue", "dark blue": "blue"}
        right = []
        for picture, ground, (colour, _) in zip(drawn, border(drawn), asked, strict=True):
            pixels = picture.flatten(1).T
            pixels = pixels[(lab(pixels) - lab(ground)).norm(dim=-1) > 15]
            if len(pixels) < 50:
                right.append(False)
                continue
            middle = lab(pixels).median(0).values
            nearest = names[(palette - middle).norm(dim=-1).argmin()]
            right.append(families.get(nearest, nearest) == families.get(colour, colour))
        self.row(f"colour: coloured object ({len(asked)})", share(right), "70 %")

    def composition(self) -> None:
        codes = {self.named(thing): thing for thing in FAMILIAR if self.named(thing)}
        both = []
        for _ in range(self.count(100)):
            both.append(self.rng.sample(list(codes), 2))
        drawn = self.make([f"{with_article(codes[a])} and {with_article(codes[b])}" for a, b in both])
        size = drawn.shape[-1]
        halves = []
        for half in (drawn[..., : size // 2], drawn[..., size // 2 :]):
            padded = F.pad(half, (size // 4, size // 4), value=1.0)
            # An object half as large fills the judge's view as a single one does.
            close = F.interpolate(half[..., size // 4 : -size // 4, :], scale_factor=2, mode="bilinear")
            halves.append((self.judge.ranked(padded)[:, :10], self.judge.ranked(close)[:, :10]))
        hits = []
        for k, pair in enumerate(both):
            seen = [{*wide[k].tolist(), *close[k].tolist()} for wide, close in halves]
            hits.append(all(any(self.judge.classes[code] in half for half in seen) for code in pair))
        self.row(f"composition: both of “a X and a Y” ({len(both)})", share(hits), "40 %")

    def named(self, thing: str) -> str | None:
        """The code of the concept that is called so, or else the first whose telling keyword it is."""
        for exact in (True, False):
            for code, ids in sorted(self.by_code.items()):
                about = self.pictures.about[ids[0]]
                name = about["name"]
                if name in (thing, f"{thing} face") if exact else thing in name.split() or thing in about["keywords"][:3]:
                    return code
        return None

    def variety(self) -> None:
        prompts = self.rng.sample(FAMILIAR, max(4, round(20 * self.portion)))
        ratios = []
        for prompt in prompts:
            drawn = F.adaptive_avg_pool2d(self.make([prompt] * 16), 32).flatten(1)
            ids = self.by_code[self.named(prompt)]
            real = F.adaptive_avg_pool2d(self.on_white(ids), 32).flatten(1)
            if len(ids) > 1:
                ratios.append((_mean_distance(drawn) / _mean_distance(real)).item())
        ratio = torch.tensor(ratios)
        self.row(f"variety: 16 seeds against real drawings ({len(ratios)})", f"{ratio.mean():.2f}", "0.50")

    def nearest(self) -> None:
        """RMS over 32 × 32 pixels (0 to 1) to the nearest drawing of the memory, mirrored or not; copies would be as near as drawings to their own reconstructions."""
        prompts = [f"{with_article(t)} on a white background" for t in self.rng.sample(FAMILIAR, min(len(FAMILIAR), self.count(50)))]
        flat = lambda pictures: F.adaptive_avg_pool2d(pictures, 32).flatten(1)  # noqa: E731
        drawn, real = self.make(prompts), self.on_white(range(len(self.pictures)))
        apart = lambda a, b: torch.cdist(a, b) / a.shape[1] ** 0.5  # noqa: E731
        distance = torch.minimum(apart(flat(drawn), flat(real)), apart(flat(drawn), flat(real.flip(-1)))).min(1).values
        neighbours = apart(flat(real[::7]), flat(real)).topk(2, largest=False).values[:, 1]
        decoder = autoencoder.load()
        with torch.no_grad():
            again = torch.cat([decoder(autoencoder.encode(part * 2 - 1)) for part in real[::50].split(16)]).clamp(-1, 1) / 2 + 0.5
        itself = (flat(again) - flat(real[::50])).pow(2).mean(1).sqrt()
        self.row(f"nearest drawing, median and least ({len(prompts)})", f"{distance.median():.3f}, {distance.min():.3f}", f"{neighbours.median():.3f} between real ones, {itself.median():.3f} to itself decoded")

    def on_white(self, ids) -> torch.Tensor:
        rgba = premultiplied(self.pictures, list(ids))
        return rgba[:, :3] + 1 - rgba[:, 3:]

    def size_and_speed(self) -> None:
        total = sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file()) / 1e6
        self.row("size of the model's folder", f"{total:.1f} MB", "32 MB")
        script = Path(__file__).parent / "speed.mjs"
        seconds = json.loads(subprocess.run(["node", str(script), str(self.folder)], check=True, capture_output=True, text=True).stdout)
        self.row(f"speed through Seedling, {SIZE} × {SIZE}: one picture, four", f"{seconds['one']:.2f} s, {seconds['four']:.2f} s", "1.0 s, 2.5 s")


def _mean_distance(flat: torch.Tensor) -> torch.Tensor:
    return torch.pdist(flat).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="part of the prompts to ask; 0.25 takes a quarter of the time")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--only", help="one of the lines' first words")
    given = parser.parse_args()
    settings = {k: v for k, v in (("steps", given.steps), ("guidance", given.guidance)) if v is not None}
    torch.set_num_threads(2)
    evaluation = Evaluation(given.folder, given.share, settings)
    parts = ("concept", "background", "dyed_objects", "composition", "variety", "nearest", "size_and_speed")
    for part in parts:
        if given.only in (None, part):
            getattr(evaluation, part)()
    (FOLDER / "evaluation.json").write_text(json.dumps(evaluation.rows, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
