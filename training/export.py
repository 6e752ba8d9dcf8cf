"""Writes the trained model in Stable Diffusion's ONNX layout, with weights stored small and computed in float32.

Weights are stored as int8 with one scale per output channel (UNet, text encoder) or float16 (VAE), behind a Cast (and a
Mul) that ONNX Runtime folds away when it loads the graph.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import autoencoder
import diffusion
from denoiser import scheduler
from distillation import GUIDANCE, PHASES
from recipe import CONTEXT, FOLDER, LATENT_CHANNELS, LATENT_SIZE, SIZE, TEXT_WIDTH
from stages import log
from tokenizer import BOS, EOS

SMALLEST = 512  # numbers; below that, storing small saves nothing


class Call(nn.Module):
    """Gives the exporter a module whose forward is any function of another module."""

    def __init__(self, module: nn.Module, function):
        super().__init__()
        self.module, self.function = module, function

    def forward(self, *inputs):
        return self.function(self.module, *inputs)


def shrink(path: Path, kind: str) -> None:
    model = onnx.load(path)
    kept, restoring = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST:
            kept.append(tensor)
            continue
        weight, name = numpy_helper.to_array(tensor), tensor.name
        if kind == "float16" or weight.ndim < 2:
            kept.append(numpy_helper.from_array(weight.astype(np.float16), f"{name}_half"))
            restoring.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT, name=f"restore_{name}"))
            continue
        # Linear weights arrive transposed ([in, out]), so the channel axis of a matrix is its last; of a kernel its first.
        axes = tuple(range(1, weight.ndim)) if weight.ndim > 2 else (0,)
        scale = np.maximum(np.abs(weight).max(axes, keepdims=True), 1e-8) / 127
        small = np.clip(np.round(weight / scale), -127, 127).astype(np.int8)
        kept += [numpy_helper.from_array(small, f"{name}_int8"), numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale")]
        restoring.append(helper.make_node("Cast", [f"{name}_int8"], [f"{name}_wide"], to=TensorProto.FLOAT, name=f"widen_{name}"))
        restoring.append(helper.make_node("Mul", [f"{name}_wide", f"{name}_scale"], [name], name=f"restore_{name}"))
    nodes = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(restoring + nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


@torch.no_grad()
def write_graph(module, function, example, folder: Path, inputs, outputs, axes, kind) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    torch.onnx.export(
        Call(module, function).eval(), example, str(path), input_names=inputs, output_names=outputs,
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )  # fmt: skip
    shrink(path, kind)
    log("export", f"{folder.name} {path.stat().st_size / 2**20:.1f} MiB")


def write_json(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def export(output: Path, steps: int | None = None, guidance: float | None = None) -> None:
    """The distilled model where there is one (4 steps, guidance built in), else the many-step one."""
    distilled = (FOLDER / f"distilled{PHASES[-1]}.pt").exists()
    steps = steps or (PHASES[-1] if distilled else 20)
    guidance = guidance or (1.0 if distilled else GUIDANCE)
    model, vae = diffusion.load(name=f"distilled{PHASES[-1]}" if distilled else "unet"), autoencoder.load()
    model.denoiser.unet.to(memory_format=torch.contiguous_format)
    vae.to(memory_format=torch.contiguous_format)
    scale = torch.load(FOLDER / "latents.pt", map_location="cpu", weights_only=True)["scale"]
    image = {0: "batch_size", 2: "height", 3: "width"}
    tokens = {0: "batch_size", 1: "sequence_length"}
    latent = torch.randn(2, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)

    def encode(text, ids):
        result = text(ids)
        return result.last_hidden_state, result.pooler_output

    write_graph(
        model.text, encode, (torch.ones(1, CONTEXT, dtype=torch.int64),), output / "text_encoder",
        ["input_ids"], ["last_hidden_state", "pooler_output"], {"input_ids": tokens}, "int8",
    )  # fmt: skip
    write_graph(
        model.denoiser, lambda m, *x: m(*x), (latent, torch.tensor([7.0, 7.0]), torch.randn(2, CONTEXT, TEXT_WIDTH)),
        output / "unet", ["sample", "timestep", "encoder_hidden_states"], ["out_sample"],
        {"sample": image, "timestep": {0: "batch_size"}, "encoder_hidden_states": tokens, "out_sample": image}, "int8",
    )  # fmt: skip
    write_graph(
        vae, lambda m, z: m.decode(z), (latent,), output / "vae_decoder",
        ["latent_sample"], ["sample"], {"latent_sample": image, "sample": image}, "float16",
    )  # fmt: skip
    write_graph(
        vae, lambda m, x: m.moments(x), (torch.randn(1, 3, SIZE, SIZE),), output / "vae_encoder",
        ["sample"], ["latent_parameters"], {"sample": image, "latent_parameters": image}, "float16",
    )  # fmt: skip

    model.text.config.save_pretrained(output / "text_encoder")
    unet = {k: v for k, v in dict(model.denoiser.unet.config).items() if not k.startswith("_")}
    # The graph's own input: drafts are made inside.
    write_json(output / "unet/config.json", {"_class_name": "UNet2DConditionModel", **unet, "in_channels": LATENT_CHANNELS})
    kl = {k: v for k, v in dict(vae.kl.config).items() if not k.startswith("_")}
    blocks = [3 * autoencoder.FOLD**2, *kl["block_out_channels"]]  # folding halves once more: a factor of 8 in all
    shape = {"in_channels": 3, "out_channels": 3, "block_out_channels": blocks, "sample_size": SIZE, "scaling_factor": scale}
    for part in ("vae_decoder", "vae_encoder"):
        write_json(output / part / "config.json", {"_class_name": "AutoencoderKL", **kl, **shape})
    scheduler().save_pretrained(output / "scheduler")
    write_json(
        output / "tokenizer/tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT, "bos_token": BOS, "eos_token": EOS, "pad_token": EOS, "unk_token": EOS},
    )
    tokenizer = json.loads((FOLDER / "tokenizer.json").read_text())
    (output / "tokenizer/tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")) + "\n")
    write_json(
        output / "generation_config.json",
        {"num_inference_steps": steps, "guidance_scale": guidance, "height": SIZE, "width": SIZE},
    )
    write_json(
        output / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": "0.42.1",
            "scheduler": ["diffusers", "DDIMScheduler"],
            "text_encoder": ["optimum", "ORTModelTextEncoder"],
            "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
            "unet": ["optimum", "ORTModelUnet"],
            "vae_decoder": ["optimum", "ORTModelVaeDecoder"],
            "vae_encoder": ["optimum", "ORTModelVaeEncoder"],
        },
    )
    total = sum(f.stat().st_size for f in output.rglob("*") if f.is_file())
    log("export", f"{output}: {total / 2**20:.1f} MiB in all")

