"""What the model remembers of the drawings, and the drafts that it composes of them: retrieval inside the denoiser.

As in retrieval-augmented diffusion (Blattmann et al. 2022; Re-Imagen, Chen et al. 2022), a table holds what a small UNet
cannot: one code of a kilobyte for each drawing, from which its latents are rebuilt, whole or at half the size. Latents
are linear in the pixels (autoencoder.py), so a scene's latents follow from those of its parts: backgrounds, dyes, mirror
images and tiles are a few products. Each way that the words can be understood, in each style, gives one draft.
"""

import torch
from torch import nn

from autoencoder import BLOCK, BRIGHTNESS, GAIN, LIGHT, TINT, TO_YCC, cosines, to_ycc, transform
from pictures import COLOUR_VALUES, LAYOUTS, WHOLE, Pictures, features, middle_light, premultiplied
from recipe import COLOURS, DYES, FOLDER, LATENT_CHANNELS, LATENT_SIZE, STYLES
from stages import log
from text import LAYOUT_NAMES

NEVER = -1e4  # as a log probability
LIGHTS, TINTS = len(LIGHT), len(TINT)
COLOUR = LIGHTS + 2 * TINTS  # of the channels of a part; the rest are its opacity's
PART = COLOUR + LIGHTS
HALF = LATENT_SIZE // 2
CODE = 1024  # bytes a drawing
MIRRORED_GROUPS = ("animals-nature", "food-drink", "travel-places")
MIRRORED_LAYOUTS = ("single", "two", "three", "four")
# Likely readings count as more likely than the reader says, unlikely ones as less: odd pictures would surprise more than please.
SURE = 2.0
# Which concepts a draft shows, by rank of likelihood: (first, second).
READINGS = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1)]


def part(rgba: torch.Tensor) -> torch.Tensor:
    """Premultiplied [B, 4, 8h, 8w] in 0..1 to coefficients [B, 26, h, w]: of the signed colour, then of the opacity."""
    ycc = to_ycc(2 * rgba[:, :3] - rgba[:, 3:])
    return torch.cat([transform(ycc[:, :1], LIGHT), transform(ycc[:, 1:], TINT), transform(rgba[:, 3:], LIGHT)], 1)


def weights() -> torch.Tensor:
    """How much a coefficient of a part counts in latents, [26, 1, 1]."""
    return torch.cat([GAIN, GAIN[:LIGHTS]]).view(-1, 1, 1)


def halving() -> torch.Tensor:
    """The convolution (stride 2) that turns a part into the same at half the size: [26, 26, 2, 2]."""
    waves = cosines() * BLOCK
    kernel = torch.zeros(PART, PART, 2, 2)
    for at, frequencies in ((0, LIGHT), (LIGHTS, TINT), (LIGHTS + TINTS, TINT), (COLOUR, LIGHT)):
        for n, (u, v) in enumerate(frequencies):
            for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
                block = torch.zeros(1, 1, 2 * BLOCK, 2 * BLOCK)
                block[0, 0, row * BLOCK :, column * BLOCK :][:BLOCK, :BLOCK] = waves[u][:, None] * waves[v][None]
                small = transform(nn.functional.avg_pool2d(block, 2), frequencies)
                kernel[at : at + len(frequencies), at + n, row, column] = small.flatten()
    return kernel


def doubling() -> torch.Tensor:
    """The transposed convolution (stride 2) that turns latents into those of the picture at twice the size: [16, 16, 2, 2]."""
    waves = cosines() * BLOCK
    kernel = torch.zeros(LATENT_CHANNELS, LATENT_CHANNELS, 2, 2)
    for at, frequencies in ((0, LIGHT), (LIGHTS, TINT), (LIGHTS + TINTS, TINT)):
        for n, (u, v) in enumerate(frequencies):
            block = (waves[u][:, None] * waves[v][None])[None, None]
            large = nn.functional.interpolate(block, scale_factor=2, mode="bilinear", align_corners=False)
            kernel[at + n, at : at + len(frequencies)] = transform(large, frequencies)[0]
    return kernel * (GAIN.view(1, -1, 1, 1) / GAIN.view(-1, 1, 1, 1))


class Table(nn.Module):
    """Rows of numbers as int8 codes of their principal components."""

    def __init__(self, rows: int, size: int, code: int):
        super().__init__()
        self.register_buffer("codes", torch.zeros(rows, code))
        self.register_buffer("basis", torch.zeros(code, size))
        self.register_buffer("mean", torch.zeros(size))

    @torch.no_grad()
    def fit(self, rows: torch.Tensor) -> float:
        """Returns the part of the variance that is lost."""
        self.mean.copy_(rows.mean(0))
        centred = rows - self.mean
        # Through the Gram matrix: there are fewer rows than numbers in one.
        energy, ways = torch.linalg.eigh(centred @ centred.T)
        energy, ways = energy.flip(0)[: len(self.basis)], ways.flip(1)[:, : len(self.basis)]
        step = ways.abs().amax(0) / 127
        self.codes.copy_((ways / step).round())
        self.basis.copy_(ways.T @ centred * step[:, None])
        return ((self(torch.arange(len(rows))) - rows).var() / centred.var()).item()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.codes[ids] @ self.basis + self.mean


class Memory(nn.Module):
    def __init__(self, concepts: int, pictures: int, faces: int):
        super().__init__()
        self.table = Table(pictures + faces, PART * LATENT_SIZE**2, CODE)
        self.register_buffer("drawing", torch.zeros(concepts, len(STYLES), dtype=torch.int64))
        self.register_buffer("face", torch.zeros(concepts, len(STYLES), dtype=torch.int64))
        self.register_buffer("drawn", torch.zeros(concepts, len(STYLES)))  # log probability: 0, or low where the style lacks it
        self.register_buffer("mirror", torch.zeros(concepts))
        self.register_buffer("middle", torch.zeros(pictures))
        places = torch.full((len(LAYOUTS), LATENT_SIZE, LATENT_SIZE), 2 * HALF**2)
        for n, tiles in enumerate(LAYOUTS.values()):
            for which, column, row in tiles:
                inside = torch.arange(HALF**2).view(HALF, HALF) + which * HALF**2
                top = max(0, row)
                places[n, top : row + HALF, column : column + HALF] = inside[top - row :]
        self.register_buffer("places", places.flatten(1), persistent=False)
        flag = lambda names: torch.tensor([float(name in names) for name in LAYOUT_NAMES])  # noqa: E731
        self.register_buffer("is_whole", flag(WHOLE), persistent=False)
        self.register_buffer("is_mirrored", flag(MIRRORED_LAYOUTS), persistent=False)
        self.register_buffer("has_second", flag([k for k, t in LAYOUTS.items() if any(w for w, _, _ in t)]), persistent=False)
        signed = lambda rgb: (rgb * 2 - 1) @ TO_YCC.T  # noqa: E731
        self.register_buffer("grounds", torch.cat([signed(COLOUR_VALUES), signed(torch.ones(1, 3))]), persistent=False)
        dyes = torch.tensor([COLOURS[name] for name in DYES]) / 255
        self.register_buffer("dyes", dyes @ TO_YCC.T, persistent=False)
        self.register_buffer("weights", weights(), persistent=False)
        self.register_buffer("halving", halving(), persistent=False)
        self.register_buffer("doubling", doubling(), persistent=False)
        self.register_buffer("gain", GAIN.view(-1, 1, 1), persistent=False)
        odd = [(-1.0) ** v for _, v in LIGHT]
        self.register_buffer("turn", torch.tensor(odd + odd[:TINTS] * 2).view(-1, 1, 1), persistent=False)

    @torch.no_grad()
    def fit(self, pictures: Pictures) -> None:
        rows = []
        for i in range(len(pictures)):
            rgba = premultiplied(pictures, [i])
            self.middle[i] = middle_light(rgba[0])
            rows.append((part(rgba) * weights()).flatten())
        for i in pictures.smileys:
            rows.append((part(features(premultiplied(pictures, [i])[0])[None]) * weights()).flatten())
        lost = self.table.fit(torch.stack(rows))
        log("memory", f"{len(pictures)} drawings, {len(pictures.smileys)} faces; {lost:.4f} of the variance is lost")
        face = {i: len(pictures) + n for n, i in enumerate(pictures.smileys)}
        for c, code in enumerate(pictures.codes):
            have = [pictures.find.get((code, style)) for style in STYLES]
            any_one = next(i for i in have if i is not None)
            for s, i in enumerate(have):
                self.drawing[c, s] = any_one if i is None else i
                self.drawn[c, s] = -8.0 if i is None else 0.0
                faces = [face[k] for k in [i, *have] if k in face]
                self.face[c, s] = faces[0] if faces else self.drawing[c, s]
            self.mirror[c] = pictures.about[any_one]["group"] in MIRRORED_GROUPS

    def forward(self, said: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """The reader's logits to drafts [B, D, 16, 16, 16] and their log probabilities [B, D]."""
        likely, first = (SURE * said["first"]).log_softmax(1).topk(4, 1)
        likely_second, second = (SURE * said["second"][:, :-1]).log_softmax(1).topk(2, 1)
        layout = said["layout"].argmax(1)
        style = said["style"].softmax(1)
        style = (style[:, :-1] + style[:, -1:] / len(STYLES)).clamp(min=1e-6).log()
        drawing = self.drawing[first]
        faces = (layout == LAYOUT_NAMES.index("face")).view(-1, 1, 1)
        other = torch.where(faces, self.face[second], self.drawing[second])
        whole = self.dye(self._rebuilt(drawing), drawing, said["dye"])
        tile, over = self._halved(whole), self._halved(self._rebuilt(other))
        one, two = torch.tensor(READINGS, device=first.device).T
        # Every reading in every style: [B, R · S, ...].
        flat = lambda x: x.flatten(1, 2)  # noqa: E731
        canvas = flat(self._laid(whole[:, one], tile[:, one], over[:, two], layout))
        drafts = self._on_ground(canvas, said["background"])
        log_p = likely[:, one] + torch.where(two == 0, likely_second[:, two], likely_second[:, two] + (self.has_second[layout][:, None] - 1) * -NEVER)
        log_p = flat(log_p[:, :, None] + style[:, None] + self.drawn[first][:, one])
        mirror = self.mirror[first][:, one] * self.is_mirrored[layout][:, None]
        mirror = flat(mirror[:, :, None] + torch.zeros(1, 1, len(STYLES), device=mirror.device))
        both = torch.cat([log_p, log_p + NEVER * (1 - mirror)], 1)
        return torch.cat([drafts, drafts.flip(-1) * self.turn], 1), both.log_softmax(1)

    def _rebuilt(self, ids: torch.Tensor) -> torch.Tensor:
        """Ids [B, R, S] to parts [B, R, S, 26, 16, 16]."""
        return self.table(ids).unflatten(-1, (PART, LATENT_SIZE, LATENT_SIZE)) / self.weights

    def _halved(self, parts: torch.Tensor) -> torch.Tensor:
        small = nn.functional.conv2d(parts.flatten(0, 2), self.halving, stride=2)
        return small.reshape(-1, int(parts.shape[1]), len(STYLES), PART, HALF, HALF)

    def dye(self, parts: torch.Tensor, drawing: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        """As pictures.dyed does, but for highlights, which go on rising: light is scaled to the dye's, colour follows it."""
        chance = said.softmax(1)
        wanted = chance[:, :-1] @ self.dyes / (1 - chance[:, -1:]).clamp(min=1e-4)
        target = (wanted[:, None, None] / self.middle[drawing][..., None])[..., None, None]  # [B, R, S, 3, 1, 1]
        colour, opacity = parts[..., :COLOUR, :, :], parts[..., COLOUR:, :, :]
        light = colour[..., :LIGHTS, :, :] + opacity  # of the premultiplied drawing, twice over
        tinted = [target[..., k : k + 1, :, :] * light[..., :TINTS, :, :] for k in (1, 2)]
        dyed = torch.cat([target[..., :1, :, :] * light - opacity, *tinted], -3)
        amount = 0.88 * (1 - chance[:, -1]).view(-1, 1, 1, 1, 1, 1)
        return torch.cat([colour + amount * (dyed - colour), opacity], -3)

    def _laid(self, whole, tile, over, layout) -> torch.Tensor:
        """Tiles in their places, over the first object at full size where the layout shows it so."""
        none = torch.zeros_like(tile[..., :1, 0])
        cells = torch.cat([tile.flatten(-2), over.flatten(-2), none], -1)
        # Added to zeros rather than expanded, which the exporter would tie to one batch size.
        places = self.places[layout].view(-1, 1, 1, 1, LATENT_SIZE**2) + torch.zeros_like(cells[..., :1], dtype=torch.int64)
        tiles = cells.gather(-1, places).unflatten(-1, (LATENT_SIZE, LATENT_SIZE))
        under = whole * self.is_whole[layout].view(-1, 1, 1, 1, 1, 1)
        return tiles + under * (1 - tiles[..., COLOUR : COLOUR + 1, :, :])

    def _on_ground(self, parts: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        ground = (said.softmax(1) @ self.grounds).view(-1, 1, 3, 1, 1)
        flat = torch.zeros(LIGHTS, 1, 1, device=parts.device)
        flat[0] = 1
        open_ = flat - parts[:, :, COLOUR:]
        light = parts[:, :, :LIGHTS] + open_ * ground[:, :, :1] - BRIGHTNESS * flat
        tints = [parts[:, :, at : at + TINTS] + open_[:, :, :TINTS] * ground[:, :, k : k + 1] for k, at in ((1, LIGHTS), (2, LIGHTS + TINTS))]
        return torch.cat([light, *tints], 2) * self.gain


    def fitted(self, drafts: torch.Tensor, height: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
        """Drafts [B, D, 16, 16, 16] in latents of any height and width: in the middle, at twice the size where there is room."""
        doubled = nn.functional.conv_transpose2d(drafts.flatten(0, 1), self.doubling, stride=2).flatten(2)
        doubled = doubled.reshape(-1, int(drafts.shape[1]), LATENT_CHANNELS, 4 * LATENT_SIZE**2)
        cells = torch.cat([drafts.flatten(-2), doubled], -1)
        times = 1 + ((height >= 2 * LATENT_SIZE) & (width >= 2 * LATENT_SIZE)).long()
        rows, columns = self._middle(height, times), self._middle(width, times)
        # Beyond its edge a draft goes on as its outermost cells: they are ground.
        places = (times - 1) * LATENT_SIZE**2 + rows[:, None] * (LATENT_SIZE * times) + columns[None]
        return cells.index_select(-1, places.flatten()).reshape(-1, int(drafts.shape[1]), LATENT_CHANNELS, height, width)

    def _middle(self, length: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """For each cell of a side, the cell of the draft; a side shorter than the draft's leaves out cells evenly."""
        size = LATENT_SIZE * times
        step = torch.clamp(size / length, min=1.0)
        from_middle = torch.arange(length, device=self.gain.device) + 0.5 - length / 2
        return torch.clamp((from_middle * step + size / 2).floor().long(), torch.zeros_like(size), size - 1)


def of(pictures: Pictures) -> Memory:
    """The memory of these pictures; fitted once and kept."""
    memory = Memory(len(pictures.codes), len(pictures), len(pictures.smileys))
    path = FOLDER / "memory.pt"
    if path.exists():
        memory.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    else:
        memory.fit(pictures)
        torch.save(memory.state_dict(), path)
    return memory
