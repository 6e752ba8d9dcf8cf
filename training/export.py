"""Writes the trained model in Stable Diffusion's ONNX layout, with weights stored small and computed in float32.

Weights are stored as int8 with one scale per channel, behind a Cast and a Mul that ONNX Runtime folds away when it loads
the graph.
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
from recipe import CONTEXT, FOLDER, LATENT_CHANNELS, LATENT_SIZE, SIZE, TEXT_WIDTH
from stages import log
from tokenizer import BOS, EOS, EOS_ID

SMALLEST = 512  # numbers; below that, storing small saves nothing


class Call(nn.Module):
    """Gives the exporter a module whose forward is any function of another module."""

    def __init__(self, module: nn.Module, function):
        super().__init__()
        self.module, self.function = module, function

    def forward(self, *inputs):
        return self.function(self.module, *inputs)


def shrink(path: Path) -> None:
    model = onnx.load(path)
    kept, restoring = [], []
    for tensor in model.graph.initializer:
        # Vectors stay as they are: biases are few, and the schedule's alphas need every digit.
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST or len(tensor.dims) < 2:
            kept.append(tensor)
            continue
        name = tensor.name
        small, scale = quantized(numpy_helper.to_array(tensor))
        kept += [numpy_helper.from_array(small, f"{name}_int8"), numpy_helper.from_array(scale, f"{name}_scale")]
        restoring.append(helper.make_node("Cast", [f"{name}_int8"], [f"{name}_wide"], to=TensorProto.FLOAT, name=f"widen_{name}"))
        restoring.append(helper.make_node("Mul", [f"{name}_wide", f"{name}_scale"], [name], name=f"restore_{name}"))
    nodes = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(restoring + nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def quantized(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 and its scales, one to a row or one to a column: whichever loses less."""
    best = None
    for axes in (tuple(range(1, weight.ndim)), (0, *range(2, weight.ndim))):
        scale = np.maximum(np.abs(weight).max(axes, keepdims=True), 1e-8) / 127
        small = np.clip(np.round(weight / scale), -127, 127)
        lost = float(((small * scale - weight) ** 2).sum())
        if best is None or lost < best[0]:
            best = (lost, small.astype(np.int8), scale.astype(np.float32))
    return best[1:]


@torch.no_grad()
def write_graph(module, function, example, folder: Path, inputs, outputs, axes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    torch.onnx.export(
        Call(module, function).eval(), example, str(path), input_names=inputs, output_names=outputs,
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )  # fmt: skip
    shrink(path)
    log("export", f"{folder.name} {path.stat().st_size / 1e6:.1f} MB")


def write_json(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


STEPS = 8  # the drafts decide the most of it in the first


def export(output: Path) -> None:
    words, model = diffusion.load()
    decoder = autoencoder.load()
    model.unet.to(memory_format=torch.contiguous_format)
    decoder.to(memory_format=torch.contiguous_format)
    image = {0: "batch_size", 2: "height", 3: "width"}
    tokens = {0: "batch_size", 1: "sequence_length"}
    latent = torch.randn(2, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)

    def pooled(text, ids):
        states, ends = text.states(ids), (ids == EOS_ID).int()
        return states, (states * (ends * (ends.cumsum(1) == 1))[..., None]).sum(1)

    def moments(_, pictures):
        latents = autoencoder.encode(pictures)
        return torch.cat([latents, torch.full_like(latents, -30.0)], 1)  # log variance: a transform has none

    write_graph(
        words, pooled, (torch.ones(2, CONTEXT, dtype=torch.int64),), output / "text_encoder",
        ["input_ids"], ["last_hidden_state", "pooler_output"], {"input_ids": tokens},
    )  # fmt: skip
    write_graph(
        model, lambda m, *x: m(*x), (latent, torch.tensor([7.0, 7.0]), torch.randn(2, CONTEXT, TEXT_WIDTH)),
        output / "unet", ["sample", "timestep", "encoder_hidden_states"], ["out_sample"],
        {"sample": image, "timestep": {0: "batch_size"}, "encoder_hidden_states": tokens, "out_sample": image},
    )  # fmt: skip
    write_graph(
        decoder, lambda m, z: m(z), (latent,), output / "vae_decoder",
        ["latent_sample"], ["sample"], {"latent_sample": image, "sample": image},
    )  # fmt: skip
    write_graph(
        decoder, moments, (torch.randn(2, 3, SIZE, SIZE),), output / "vae_encoder",
        ["sample"], ["latent_parameters"], {"sample": image, "latent_parameters": image},
    )  # fmt: skip

    words.encoder.config.save_pretrained(output / "text_encoder")
    unet = {k: v for k, v in dict(model.unet.config).items() if not k.startswith("_")}
    # The graph's own inputs: drafts are made inside, of the words.
    shape = {"in_channels": LATENT_CHANNELS, "cross_attention_dim": TEXT_WIDTH}
    write_json(output / "unet/config.json", {"_class_name": "UNet2DConditionModel", **unet, **shape})
    wide = [*reversed(autoencoder.Decoder.WIDTHS)]
    kl = {
        "_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "latent_channels": LATENT_CHANNELS,
        "block_out_channels": [12, *wide], "sample_size": SIZE, "scaling_factor": 1.0,
    }  # fmt: skip
    for part in ("vae_decoder", "vae_encoder"):
        write_json(output / part / "config.json", kl)
    scheduler().save_pretrained(output / "scheduler")
    write_json(
        output / "tokenizer/tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT, "bos_token": BOS, "eos_token": EOS, "pad_token": EOS, "unk_token": EOS},
    )
    tokenizer = json.loads((FOLDER / "tokenizer.json").read_text())
    (output / "tokenizer/tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")) + "\n")
    write_json(
        output / "generation_config.json",
        {"num_inference_steps": STEPS, "guidance_scale": 1.0, "height": SIZE, "width": SIZE},
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
    log("export", f"{output}: {total / 1e6:.1f} MB in all")
