"""The text encoder and the reader: from a sentence to what the scene holds. Trained on captions alone, without a picture.

A UNet has to see a word thousands of times before its shape comes out. Naming the concept that a word means is a far
smaller task: a few million captions, minutes of a processor. What the reader finds, the memory (memory.py) looks up.
"""

import random

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from captions import Captions
from pictures import COLOUR_NAMES, LAYOUTS, Pictures, Scene, random_scene
from recipe import CONTEXT, DYES, STYLES, TEXT_WIDTH, VOCABULARY, recipe
from stages import Average, Checkpoint, descend
from tokenizer import BOS_ID, EOS_ID, Encoder

LAYOUT_NAMES, STYLE_NAMES = list(LAYOUTS), list(STYLES)


def text_encoder() -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=VOCABULARY, hidden_size=TEXT_WIDTH, intermediate_size=512, num_hidden_layers=2,
            num_attention_heads=8, max_position_embeddings=CONTEXT, projection_dim=TEXT_WIDTH,
            bos_token_id=BOS_ID, eos_token_id=EOS_ID, pad_token_id=EOS_ID,
        )
    )  # fmt: skip


class Reader(nn.Module):
    """Token states [B, L, 256] to logits of what was said. It pools with learned queries: any length will do."""

    QUERIES, HEADS, HIDDEN = 8, 8, 512

    def __init__(self, concepts: int):
        super().__init__()
        self.norm = nn.LayerNorm(TEXT_WIDTH)
        self.queries = nn.Parameter(torch.randn(self.QUERIES, TEXT_WIDTH) * 0.5)
        self.key = nn.Linear(TEXT_WIDTH, TEXT_WIDTH)
        self.value = nn.Linear(TEXT_WIDTH, TEXT_WIDTH)
        pooled = self.QUERIES * TEXT_WIDTH
        # `second` has one place more for none; so have `style`, `background` and `dye`, for unsaid.
        sizes = {"first": concepts, "second": concepts + 1, "layout": len(LAYOUTS), "style": len(STYLES) + 1}
        sizes |= {"background": len(COLOUR_NAMES) + 1, "dye": len(DYES) + 1}
        wide = ("first", "second")
        self.inward = nn.ModuleDict({k: nn.Sequential(nn.Linear(pooled, self.HIDDEN if k in wide else 128), nn.GELU()) for k in sizes})
        self.outward = nn.ModuleDict({k: nn.Linear(self.HIDDEN if k in wide else 128, n) for k, n in sizes.items()})

    def forward(self, states: torch.Tensor) -> dict[str, torch.Tensor]:
        padding = (states == 0).all(-1)[:, None, None]
        states = self.norm(states)
        batch, length, _ = states.shape
        split = lambda x: x.view(batch, length, self.HEADS, -1)  # noqa: E731
        queries = self.queries.view(self.QUERIES, self.HEADS, -1)
        key, value = split(self.key(states)), split(self.value(states))
        scores = torch.einsum("qhd,blhd->bhql", queries, key) / key.shape[-1] ** 0.5
        weights = scores.masked_fill(padding, -1e4).softmax(-1)
        pooled = torch.einsum("bhql,blhd->bqhd", weights, value).reshape(batch, -1)
        return {k: self.outward[k](self.inward[k](pooled)) for k in self.outward}


class Text(nn.Module):
    def __init__(self, concepts: int):
        super().__init__()
        self.encoder = text_encoder()
        self.reader = Reader(concepts)

    def states(self, ids: torch.Tensor) -> torch.Tensor:
        """[B, L, 256]; zero where a caption is padded, so that a short one costs no more than its words."""
        padding = (ids == EOS_ID).int().cumsum(1) > 1
        return self.encoder(ids).last_hidden_state * ~padding[..., None]


class Said:
    """What a caption says of its scene, as class numbers."""

    def __init__(self, pictures: Pictures):
        self.pictures = pictures
        self.number = {code: n for n, code in enumerate(pictures.codes)}

    def __call__(self, scene: Scene, caption: str) -> dict[str, int]:
        about = self.pictures.about
        style = about[scene.first]["style"]
        return {
            "first": self.number[about[scene.first]["code"]],
            "second": len(self.number) if scene.second is None else self.number[about[scene.second]["code"]],
            "layout": LAYOUT_NAMES.index(scene.layout),
            "style": STYLE_NAMES.index(style) if any(word in caption.split() for word in " ".join(STYLES[style]).split()) else len(STYLES),
            "background": COLOUR_NAMES.index(scene.background) if scene.background else len(COLOUR_NAMES),
            "dye": DYES.index(scene.dye) if scene.dye else len(DYES),
        }


def captioned(pictures: Pictures, rng: random.Random, n: int):
    """Yields token ids [n, L] and class numbers by head; captions of like length together, L is no more than they need."""
    captions, said, encode = Captions(pictures), Said(pictures), Encoder()
    nothing = {"second": len(pictures.codes), "layout": 0, "style": len(STYLES), "background": len(COLOUR_NAMES), "dye": len(DYES)}
    while True:
        drawn = []
        for _ in range(8 * n):
            scene = random_scene(pictures, rng)
            text = captions.caption(scene, rng)
            drawn.append((encode([text])[0], said(scene, text)))
        # The empty prompt may mean anything.
        drawn[: n // 12] = [(encode([""])[0], nothing | {"first": rng.randrange(len(pictures.codes))}) for _ in range(n // 12)]
        drawn.sort(key=lambda pair: length(pair[0]))
        batches = [drawn[at : at + n] for at in range(0, len(drawn), n)]
        rng.shuffle(batches)
        for batch in batches:
            longest = max(length(ids) for ids, _ in batch)
            heads = {k: torch.tensor([target[k] for _, target in batch]) for k in batch[0][1]}
            yield torch.tensor([ids[:longest] for ids, _ in batch]), heads


def length(ids: list[int]) -> int:
    """Tokens up to and with the first end of text."""
    return ids.index(EOS_ID) + 1


def train(minutes: float | None = None) -> None:
    chosen = recipe()
    pictures = Pictures()
    model = Text(len(pictures.codes)).to(chosen.device)
    checkpoint = Checkpoint("text", model, minutes or chosen.text_minutes)
    average = Average(model, decay=0.998)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.02, fused=True)
    checkpoint.restore(optimizer, average)
    batches = captioned(pictures, random.Random(checkpoint.step), chosen.text_batch)
    for step, done in checkpoint.steps():
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 200) * (1 - done) + 1e-5
        ids, targets = next(batches)
        logits = model.reader(model.states(ids.to(chosen.device)))
        losses = {k: F.cross_entropy(logits[k], targets[k].to(chosen.device)) for k in logits}
        loss = sum(losses.values())
        descend(loss, optimizer, average)
        checkpoint.log(step, done, len(ids), **losses)
        checkpoint.save(optimizer, average)
    checkpoint.finish(optimizer, average)


def load(pictures: Pictures) -> Text:
    """The averaged weights."""
    model = Text(len(pictures.codes))
    Checkpoint.averaged("text", model)
    return model.eval()
