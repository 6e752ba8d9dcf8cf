"""One of the alternatives, as a process that the bench asks for pictures: `pipeline.py optimum|diffusers THREADS`.

Reads a JSON object a line and answers each with one: `{"load": FOLDER}`, `{"generate": {...}}`, as `load` and
`generate` below describe them. `{"error": ...}` answers what failed.
"""

import base64
import gc
import json
import os
import sys
import time
import warnings
from pathlib import Path

KIND, THREADS = sys.argv[1], int(sys.argv[2])
# Nothing but answers may go where the bench reads them.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
os.environ["OMP_NUM_THREADS"] = str(THREADS)
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import diffusers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

torch.set_num_threads(THREADS)
diffusers.utils.logging.set_verbosity_error()
transformers.utils.logging.set_verbosity_error()

pipeline = None


def load(folder):
    """Opens OUT/onnx with optimum, or OUT/torch (or what stands in for it) with diffusers."""
    global pipeline
    pipeline = None
    gc.collect()
    pipeline = open_optimum(folder) if KIND == "optimum" else open_diffusers(folder)
    pipeline.set_progress_bar_config(disable=True)
    return {}


def open_optimum(folder):
    from onnxruntime import SessionOptions
    from optimum.onnxruntime import ORTStableDiffusionPipeline

    options = SessionOptions()
    options.intra_op_num_threads = THREADS
    return ORTStableDiffusionPipeline.from_pretrained(folder, session_options=options)


def open_diffusers(folder):
    if (Path(folder) / "unet/diffusion_pytorch_model.safetensors").exists():
        return diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, torch_dtype=torch.float32)
    return with_random_weights(Path(folder))


def with_random_weights(folder):
    """An ONNX folder's pipeline, as its configs describe it: what weights are does not change how long they take."""
    read = lambda *parts: json.loads(folder.joinpath(*parts).read_text())  # noqa: E731
    scheduler = read("scheduler", "scheduler_config.json")
    return diffusers.StableDiffusionPipeline(
        unet=diffusers.UNet2DConditionModel.from_config(read("unet", "config.json")).eval(),
        vae=diffusers.AutoencoderKL.from_config(read("vae_decoder", "config.json")).eval(),
        text_encoder=transformers.CLIPTextModel(
            transformers.CLIPTextConfig(**read("text_encoder", "config.json"))
        ).eval(),
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder / "tokenizer"),
        scheduler=getattr(diffusers, scheduler["_class_name"]).from_config(scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def generate(asked):
    """Makes a picture for each of `prompts`; gives the milliseconds that they took, and the last one's pixels."""
    arguments = {key: asked[key] for key in ("width", "height", "num_inference_steps", "guidance_scale")}
    generator = torch.Generator()
    started = time.perf_counter()
    for prompt in asked["prompts"]:
        generator.manual_seed(asked["seed"])
        images = pipeline(prompt, generator=generator, output_type="np", **arguments).images
    ms = (time.perf_counter() - started) * 1000
    pixels = base64.b64encode(images.astype("float32").tobytes()).decode() if asked["pixels"] else None
    return {"ms": ms, "pixels": pixels}


def versions():
    names = {"torch": torch.__version__, "diffusers": diffusers.__version__}
    if KIND == "optimum":
        import importlib.metadata

        import onnxruntime

        names = {
            "optimum-onnx": importlib.metadata.version("optimum-onnx"),
            "onnxruntime": onnxruntime.__version__,
        }
    return ", ".join(f"{name} {version}" for name, version in names.items())


def answer(message):
    print(json.dumps(message), file=ANSWERS, flush=True)


answer({"versions": versions()})
for line in sys.stdin:
    try:
        asked = json.loads(line)
        answer(load(asked["load"]) if "load" in asked else generate(asked["generate"]))
    except Exception as error:  # noqa: BLE001
        answer({"error": f"{type(error).__name__}: {error}"})
