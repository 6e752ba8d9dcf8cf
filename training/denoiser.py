"""Text encoder, prior and UNet: what turns words and noise into latents.

The prior is a memory without much arithmetic: from the text alone it draws one rough latent per style, the mean of what
the words can mean, and the UNet sees these drafts as further input channels. A few million weights used once per
picture teach shapes far sooner than the same weights inside convolutions.
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

    It pools with learned queries, so a context that is repeated (long prompts) gives the same drafts.
    """

    QUERIES, HEADS, HIDDEN = 12, 6, 768

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(TEXT_WIDTH)
        self.queries = nn.Parameter(torch.randn(self.QUERIES, TEXT_WIDTH) * 0.5)
        self.key = nn.Linear(TEXT_WIDTH, TEXT_WIDTH)
        self.value = nn.Linear(TEXT_WIDTH, TEXT_WIDTH)
        self.inward = nn.Linear(self.QUERIES * TEXT_WIDTH, self.HIDDEN)
        self.middle = nn.Sequential(nn.LayerNorm(self.HIDDEN), nn.Linear(self.HIDDEN, self.HIDDEN), nn.GELU())
        self.outward = nn.Sequential(nn.LayerNorm(self.HIDDEN), nn.Linear(self.HIDDEN, DRAFT * len(STYLES)))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = self.norm(states)
        batch, length, width = states.shape
        heads = self.HEADS
        key = self.key(states).view(batch, length, heads, width // heads)
        value = self.value(states).view(batch, length, heads, width // heads)
        queries = self.queries.view(self.QUERIES, heads, width // heads)
        weights = torch.einsum("qhd,blhd->bhql", queries, key).mul((width // heads) ** -0.5).softmax(-1)
        pooled = torch.einsum("bhql,blhd->bqhd", weights, value).reshape(batch, -1)
        hidden = nn.functional.gelu(self.inward(pooled))
        hidden = hidden + self.middle(hidden)
        return self.outward(hidden).view(batch, -1, LATENT_SIZE, LATENT_SIZE)


class Denoiser(nn.Module):
    """(sample, timestep, encoder_hidden_states) to v, as Stable Diffusion's UNet; drafts are made inside."""

    def __init__(self, blocks):
        super().__init__()
        self.prior = Prior()
        self.unet = UNet2DConditionModel(
            sample_size=LATENT_SIZE, in_channels=LATENT_CHANNELS * (1 + len(STYLES)), out_channels=LATENT_CHANNELS,
            block_out_channels=blocks, layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=TEXT_WIDTH, attention_head_dim=4, norm_num_groups=16,
        )  # fmt: skip

    def forward(self, sample, timestep, states):
        return self.denoise(sample, timestep, states, self.prior(states))

    def denoise(self, sample, timestep, states, drafts):
        # Drafts belong to 16 × 16; for other sizes they are stretched.
        drafts = nn.functional.interpolate(drafts, size=sample.shape[-2:], mode="bilinear", align_corners=False)
        return self.unet(torch.cat([sample, drafts], 1), timestep, states, return_dict=False)[0]


class TextToLatents(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.text = text_encoder()
        self.denoiser = Denoiser(blocks)

    def states(self, ids: torch.Tensor) -> torch.Tensor:
        return self.text(ids).last_hidden_state
