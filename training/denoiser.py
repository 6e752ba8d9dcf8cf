"""Text encoder, prior and UNet: what turns words and noise into latents.

The prior is a memory without much arithmetic: from the text alone it drafts one rough latent per style, the mean of what
the words can mean. Draft and noisy sample together give an estimate of the clean latents in closed form (a mixture of
Gaussians around the drafts), which decides most while there is more noise than picture. The UNet sees that estimate and
decides the rest. A few million weights used once per picture teach shapes far sooner than the same weights inside
convolutions.
"""

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from recipe import CONTEXT, LATENT_CHANNELS, LATENT_SIZE, STYLES, TEXT_WIDTH, VOCABULARY
from tokenizer import BOS_ID, EOS_ID

DRAFT = LATENT_CHANNELS * LATENT_SIZE**2


def text_encoder() -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=VOCABULARY, hidden_size=TEXT_WIDTH, intermediate_size=512, num_hidden_layers=3,
            num_attention_heads=6, max_position_embeddings=CONTEXT, projection_dim=TEXT_WIDTH,
            bos_token_id=BOS_ID, eos_token_id=EOS_ID, pad_token_id=EOS_ID,
        )
    )  # fmt: skip


def scheduler() -> DDIMScheduler:
    """Stable Diffusion's betas, rescaled to end in pure noise (Lin et al. 2023), so that flat backgrounds get their exact colour."""
    return DDIMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip


class Prior(nn.Module):
    """Token states [B, L, 192] to one draft per style, [B, 4 · styles, 16, 16].

    It pools with learned queries, so a context that is repeated (long prompts) gives the same drafts. Its last layer is
    linear in `features`, so that least squares can set it at once (readout.py).
    """

    QUERIES, HEADS, HIDDEN = 12, 6, 1024

    def __init__(self):
        super().__init__()
        pooled = self.QUERIES * TEXT_WIDTH
        self.norm = nn.LayerNorm(TEXT_WIDTH)
        self.queries = nn.Parameter(torch.randn(self.QUERIES, TEXT_WIDTH) * 0.5)
        self.key = nn.Linear(TEXT_WIDTH, TEXT_WIDTH)
        self.value = nn.Linear(TEXT_WIDTH, TEXT_WIDTH)
        self.inward = nn.Linear(pooled, self.HIDDEN)
        self.outward = nn.Linear(pooled + self.HIDDEN, DRAFT * len(STYLES))

    def features(self, states: torch.Tensor) -> torch.Tensor:
        states = self.norm(states)
        batch, length, width = states.shape
        heads = self.HEADS
        key = self.key(states).view(batch, length, heads, width // heads)
        value = self.value(states).view(batch, length, heads, width // heads)
        queries = self.queries.view(self.QUERIES, heads, width // heads)
        weights = torch.einsum("qhd,blhd->bhql", queries, key).mul((width // heads) ** -0.5).softmax(-1)
        pooled = torch.einsum("bhql,blhd->bqhd", weights, value).reshape(batch, -1)
        return torch.cat([pooled, nn.functional.gelu(self.inward(pooled))], 1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.outward(self.features(states)).view(states.shape[0], -1, LATENT_SIZE, LATENT_SIZE)


class Denoiser(nn.Module):
    """(sample, timestep, encoder_hidden_states) to v, as Stable Diffusion's UNet; drafts are made inside."""

    KNOTS = 21  # of the gate, evenly over the timesteps

    def __init__(self, blocks):
        super().__init__()
        self.prior = Prior()
        self.unet = UNet2DConditionModel(
            sample_size=LATENT_SIZE, in_channels=2 * LATENT_CHANNELS, out_channels=LATENT_CHANNELS,
            block_out_channels=blocks, layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=TEXT_WIDTH, attention_head_dim=4, norm_num_groups=16,
        )  # fmt: skip
        self.log_variance = nn.Parameter(torch.tensor(-1.6))  # of pictures around their drafts
        self.gate = nn.Parameter(torch.linspace(3.0, -3.0, self.KNOTS))  # how far to trust the UNet, by timestep
        self.register_buffer("alphas", scheduler().alphas_cumprod.float(), persistent=False)

    def forward(self, sample, timestep, states):
        return self.denoise(sample, timestep, states, self.prior(states))

    def denoise(self, sample, timestep, states, drafts):
        """`timestep` is [B], of any number type; `drafts` is what the prior made of `states`."""
        alpha = self.alphas[timestep.long()].view(-1, 1, 1, 1)
        estimate = self.estimate(sample, alpha, drafts)
        from_drafts = (alpha.sqrt() * sample - estimate) / (1 - alpha).sqrt()
        from_unet = self.unet(torch.cat([sample, estimate], 1), timestep, states, return_dict=False)[0]
        trust = self.trust(timestep).view(-1, 1, 1, 1)
        return trust * from_unet + (1 - trust) * from_drafts

    def estimate(self, sample, alpha, drafts):
        """The mean of the clean latents, given the noisy ones, if pictures lay around the drafts as white noise does."""
        # Drafts are 16 × 16; for other sizes they are stretched.
        drafts = nn.functional.interpolate(drafts, size=sample.shape[-2:], mode="bilinear", align_corners=False)
        drafts = drafts.unflatten(1, (len(STYLES), LATENT_CHANNELS))
        variance = self.log_variance.exp()
        alpha = alpha.unsqueeze(1)
        spread = (1 - alpha) + alpha * variance
        off = sample.unsqueeze(1) - alpha.sqrt() * drafts
        likely = (-(off**2).sum((2, 3, 4), keepdim=True) / (2 * spread)).softmax(1)
        return (likely * (drafts + alpha.sqrt() * variance / spread * off)).sum(1)

    def trust(self, timestep):
        place = timestep.float() / 999 * (self.KNOTS - 1)
        below = place.floor().clamp(0, self.KNOTS - 2)
        knot = self.gate[below.long()], self.gate[below.long() + 1]
        return torch.sigmoid(knot[0] + (place - below) * (knot[1] - knot[0]))


class TextToLatents(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.text = text_encoder()
        self.denoiser = Denoiser(blocks)

    def states(self, ids: torch.Tensor) -> torch.Tensor:
        return self.text(ids).last_hidden_state
