"""Draws with an exported folder through ONNX Runtime, as Seedling does: what is judged is what ships."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from diffusers import DDIMScheduler
from tokenizers import Tokenizer


class OnnxPipeline:
    def __init__(self, folder: Path, threads=2):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = lambda part: onnxruntime.InferenceSession(folder / part / "model.onnx", options)  # noqa: E731
        self.text, self.unet, self.decoder = session("text_encoder"), session("unet"), session("vae_decoder")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer/tokenizer.json"))
        self.context = json.loads((folder / "text_encoder/config.json").read_text())["max_position_embeddings"]
        self.scale = json.loads((folder / "vae_decoder/config.json").read_text())["scaling_factor"]
        self.channels = json.loads((folder / "unet/config.json").read_text())["in_channels"]
        self.latent_size = json.loads((folder / "unet/config.json").read_text())["sample_size"]
        self.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
        self.defaults = json.loads((folder / "generation_config.json").read_text())

    def ids(self, text: str) -> list[int]:
        begin, end = self.tokenizer.token_to_id("<|startoftext|>"), self.tokenizer.token_to_id("<|endoftext|>")
        inner = [i for i in self.tokenizer.encode(text).ids if i not in (begin, end)][: self.context - 2]
        ids = [begin, *inner, end]
        return ids + [end] * (self.context - len(ids))

    def states(self, texts: list[str]) -> np.ndarray:
        return self.text.run(["last_hidden_state"], {"input_ids": np.array([self.ids(t) for t in texts], np.int64)})[0]

    def __call__(self, prompts: list[str], seeds: list[int], steps: int | None = None, guidance: float | None = None) -> torch.Tensor:
        """RGB in 0..1, [N, 3, H, W]."""
        steps = steps or self.defaults["num_inference_steps"]
        guidance = self.defaults["guidance_scale"] if guidance is None else guidance
        guided = guidance > 1
        states = self.states(prompts + [""] * len(prompts) if guided else prompts)
        shape = (self.channels, self.latent_size, self.latent_size)
        latents = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            sample = torch.cat([latents, latents]) if guided else latents
            timestep = np.full(len(sample), float(t), np.float32)
            feed = {"sample": sample.numpy(), "timestep": timestep, "encoder_hidden_states": states}
            output = torch.from_numpy(self.unet.run(None, feed)[0])
            if guided:
                conditional, unconditional = output.chunk(2)
                output = unconditional + guidance * (conditional - unconditional)
            latents = self.scheduler.step(output, t, latents).prev_sample
        decoded = self.decoder.run(None, {"latent_sample": (latents / self.scale).numpy()})[0]
        return torch.from_numpy(decoded).clamp(-1, 1) / 2 + 0.5

    def many(self, prompts: list[str], seeds: list[int], batch=16, **settings) -> torch.Tensor:
        parts = [slice(at, at + batch) for at in range(0, len(prompts), batch)]
        return torch.cat([self(prompts[p], seeds[p], **settings) for p in parts])
