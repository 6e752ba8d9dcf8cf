"""Sets the prior's last layer by ridge regression: the best drafts that its features allow, in one solve instead of many steps."""

import torch

from diffusion import STYLE_NAMES, Examples
from denoiser import DRAFT, TextToLatents
from recipe import FOLDER, recipe
from stages import log

RIDGE = 0.003


@torch.no_grad()
def fit(captions: int | None = None) -> None:
    """Needs prior.pt; writes its `outward` anew. Each style is fitted on the captions of its own pictures."""
    chosen = recipe()
    captions = captions or chosen.readout_captions
    model = TextToLatents(chosen.unet_blocks).to(chosen.device)
    state = torch.load(FOLDER / "prior.pt", map_location=chosen.device, weights_only=True)
    if state.get("fitted"):
        return
    trained = torch.nn.ModuleDict({"text": model.text, "prior": model.denoiser.prior})
    trained.load_state_dict(state["model"])
    prior = model.denoiser.prior
    batches = Examples(chosen.device).batches(500)
    width = prior.outward.in_features
    gram = torch.zeros(len(STYLE_NAMES), width + 1, width + 1, device=chosen.device)
    cross = torch.zeros(len(STYLE_NAMES), width + 1, DRAFT, device=chosen.device)
    for _ in range(captions // 500):
        latents, ids, styles = next(batches)
        features = prior.features(model.states(ids)).float()
        features = torch.cat([features, torch.ones(len(features), 1, device=chosen.device)], 1)
        for style in range(len(STYLE_NAMES)):
            mine = styles == style
            gram[style] += features[mine].T @ features[mine]
            cross[style] += features[mine].T @ latents[mine].flatten(1)
    for style in range(len(STYLE_NAMES)):
        # Scaled by each feature's own variance, so that one ridge suits all; the constant is left free.
        count = gram[style][-1, -1]
        variance = gram[style].diagonal() / count - (gram[style][-1] / count) ** 2
        ridge = torch.diag(RIDGE * count * variance.clamp(min=1e-6))
        ridge[-1, -1] = 0
        solved = torch.linalg.solve(gram[style] + ridge, cross[style])
        prior.outward.weight[style * DRAFT : (style + 1) * DRAFT] = solved[:-1].T
        prior.outward.bias[style * DRAFT : (style + 1) * DRAFT] = solved[-1]
    state["model"], state["fitted"] = trained.state_dict(), True
    state.pop("optimizer", None)  # its averages belong to the former weights
    torch.save(state, FOLDER / "prior.pt")
    log("prior", f"last layer fitted to {captions} captions")
