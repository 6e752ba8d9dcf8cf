"""(sample, timestep, encoder_hidden_states) to v, as Stable Diffusion's UNet: reader, memory and a small UNet in one.

The reader finds in the token states what the scene holds, the memory drafts it in every way that it can be understood. If
pictures lay around their drafts d_k (with probabilities p_k) as noise of variance s² does, the mean of the clean latents
given the noisy ones z would be known in closed form:

    w_k ∝ p_k · exp(−|z − α d_k|² / 2(σ² + α² s²))        x̂ = Σ w_k (d_k + α s² / (σ² + α² s²) · (z − α d_k))

So the seed's noise picks one reading, style and side. The UNet is given z and x̂ and learns what x̂ lacks.
"""

import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch import nn

from memory import Memory
from recipe import LATENT_CHANNELS, LATENT_SIZE
from text import Reader


# s² of pictures around their drafts. Measured it is 0.05 to 0.09; but what of the noise is taken for a picture's own detail
# stays in it as grain, so the closed form keeps near the drafts, and the UNet alone departs from them.
VARIANCE = 0.011


def scheduler() -> DDIMScheduler:
    """Stable Diffusion's betas, rescaled to end in pure noise (Lin et al. 2023), so that flat backgrounds get their exact colour."""
    return DDIMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip


def unet() -> UNet2DModel:
    """Without attention to the words: all that they say is in the estimate, and the text can be trained anew without it."""
    return UNet2DModel(
        sample_size=LATENT_SIZE, in_channels=2 * LATENT_CHANNELS, out_channels=LATENT_CHANNELS,
        block_out_channels=(128, 160, 192), layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=32, norm_num_groups=16,
    )  # fmt: skip


class Denoiser(nn.Module):
    def __init__(self, reader: Reader, memory: Memory):
        super().__init__()
        self.reader, self.memory, self.unet = reader, memory, unet()
        nn.init.zeros_(self.unet.conv_out.weight)  # at first the drafts decide alone
        nn.init.zeros_(self.unet.conv_out.bias)
        self.register_buffer("alphas", scheduler().alphas_cumprod.float(), persistent=False)

    def forward(self, sample, timestep, states):
        drafts, log_p = self.memory(self.reader(states))
        # While the exporter looks on, a shape is made of tensors already.
        height, width = torch.as_tensor(sample.shape[-2]), torch.as_tensor(sample.shape[-1])
        drafts = self.memory.fitted(drafts, height, width)
        return self.denoise(sample, timestep, drafts, log_p)

    def denoise(self, sample, timestep, drafts, log_p):
        """`timestep` is [B], of any number type; drafts and their log probabilities are the memory's."""
        alpha = self.alphas[timestep.long()].view(-1, 1, 1, 1)
        estimate = self.estimate(sample, alpha, drafts, log_p)
        v = (alpha.sqrt() * sample - estimate) / (1 - alpha).sqrt()
        return v + self.unet(torch.cat([sample, estimate], 1), timestep, return_dict=False)[0]

    def estimate(self, sample, alpha, drafts, log_p):
        alpha = alpha.unsqueeze(1)
        spread = (1 - alpha) + alpha * VARIANCE
        off = sample.unsqueeze(1) - alpha.sqrt() * drafts
        likely = (log_p[..., None, None, None] - (off**2 / (2 * spread)).sum((2, 3, 4), keepdim=True)).softmax(1)
        return (likely * (drafts + alpha.sqrt() * VARIANCE / spread * off)).sum(1)
