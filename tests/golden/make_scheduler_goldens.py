"""Writes schedulers-more.json: samplings by diffusers' schedulers, over what their configs allow, with a formula for a model.

    python make_scheduler_goldens.py [cases per class, 14] [seed, 1] > schedulers-more.json

Needs torch and diffusers (made with torch 2.13 and diffusers 0.42); the tests need only the file.
Each case is run as diffusers' image-to-image pipelines run one when `begin` is above 0, else as text-to-image does.
"""

import json
import math
import random
import sys
import warnings

import diffusers
import torch

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity(diffusers.utils.logging.CRITICAL)

BATCH = (2, 1, 2, 4)
RULES = [{}, {}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}]
SPACING = {"timestep_spacing": ["leading", "linspace", "trailing"], "steps_offset": [0, 1]}
THRESHOLD = {"thresholding": [False, False, False, True], "sample_max_value": [1.0, 1.5]}
CLIP = {"clip_sample": [False, False, True], "clip_sample_range": [1.0, 2.0]}
EVERY = ["epsilon", "v_prediction", "sample"]
ORDERS = {"solver_order": [1, 2, 2, 3], "lower_order_final": [True, True, False]}

# What each class's config is drawn from; "rule" stands for one of RULES.
CLASSES = {
    "PNDMScheduler": {**SPACING, "prediction_type": EVERY[:2], "skip_prk_steps": [True, False], "set_alpha_to_one": [True, False]},
    "DDIMScheduler": {**SPACING, **THRESHOLD, **CLIP, "prediction_type": EVERY, "set_alpha_to_one": [True, False], "rescale_betas_zero_snr": [False, True]},
    "DDPMScheduler": {**SPACING, **THRESHOLD, **CLIP, "prediction_type": EVERY, "variance_type": ["fixed_small", "fixed_small_log", "fixed_large"], "rescale_betas_zero_snr": [False, True]},
    "LMSDiscreteScheduler": {**SPACING, "prediction_type": EVERY, "rule": RULES},
    "EulerDiscreteScheduler": {**SPACING, "prediction_type": EVERY, "rule": RULES + [{"use_karras_sigmas": True, "sigma_min": 0.002, "sigma_max": 80.0}, {"timestep_type": "continuous"}], "rescale_betas_zero_snr": [False, False, True], "final_sigmas_type": ["zero", "zero", "sigma_min"]},
    "EulerAncestralDiscreteScheduler": {**SPACING, "prediction_type": EVERY[:2], "rescale_betas_zero_snr": [False, False, True]},
    "HeunDiscreteScheduler": {**SPACING, **CLIP, "prediction_type": EVERY, "rule": RULES},
    "DPMSolverMultistepScheduler": {**SPACING, **THRESHOLD, **ORDERS, "prediction_type": EVERY, "rule": [*RULES, {"use_lu_lambdas": True}], "algorithm_type": ["dpmsolver++", "dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"], "solver_type": ["midpoint", "heun"], "final_sigmas_type": ["zero", "sigma_min"], "euler_at_final": [False, True], "rescale_betas_zero_snr": [False, False, True], "lambda_min_clipped": [-math.inf, -math.inf, -5.1]},
    "DPMSolverSinglestepScheduler": {**THRESHOLD, **ORDERS, "prediction_type": EVERY, "rule": RULES, "algorithm_type": ["dpmsolver++", "dpmsolver++", "sde-dpmsolver++", "dpmsolver"], "solver_type": ["midpoint", "heun"], "final_sigmas_type": ["zero", "sigma_min"], "lambda_min_clipped": [-math.inf, -math.inf, -5.1]},
    "UniPCMultistepScheduler": {**SPACING, **THRESHOLD, **ORDERS, "prediction_type": EVERY, "rule": RULES, "predict_x0": [True, True, False], "solver_type": ["bh1", "bh2"], "disable_corrector": [[], [], [0, 2]], "final_sigmas_type": ["zero", "zero", "sigma_min"], "rescale_betas_zero_snr": [False, False, True]},
    "DEISMultistepScheduler": {**SPACING, **THRESHOLD, **ORDERS, "prediction_type": EVERY, "rule": RULES},
    "KDPM2DiscreteScheduler": {**SPACING, "prediction_type": EVERY[:2], "rule": RULES},
    "KDPM2AncestralDiscreteScheduler": {**SPACING, "prediction_type": EVERY[:2], "rule": RULES},
    "LCMScheduler": {**THRESHOLD, **CLIP, "prediction_type": EVERY, "original_inference_steps": [50, 40, 100], "rescale_betas_zero_snr": [False, False, True]},
    "TCDScheduler": {"prediction_type": EVERY, "original_inference_steps": [50, 40], "rescale_betas_zero_snr": [False, False, True]},
}
BETAS = [
    *[{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}] * 4,
    {"beta_schedule": "linear"},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"num_train_timesteps": 20, "trained_betas": [round(0.001 + 0.02 * i, 4) for i in range(20)]},
]
CUSTOM = {"DDPMScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "LCMScheduler", "TCDScheduler"}
STEPS = [1, 2, 3, 4, 5, 7, 9, 16, 20]


# What the draws above leave out.
MORE = [
    {"cls": "EulerDiscreteScheduler", "config": {**BETAS[0], "interpolation_type": "log_linear"}, "steps": 4, "begin": 0},
    {"cls": "EulerDiscreteScheduler", "config": {**BETAS[0], "interpolation_type": "log_linear", "use_karras_sigmas": True}, "steps": 5, "begin": 2},
    {"cls": "DPMSolverMultistepScheduler", "config": {**BETAS[0], "lambda_min_clipped": -1.5, "timestep_spacing": "trailing", "use_karras_sigmas": True}, "steps": 8, "begin": 0},
    {"cls": "DDPMScheduler", "config": {"beta_schedule": "scaled_linear"}, "steps": 58, "begin": 0},
    {"cls": "DPMSolverMultistepScheduler", "config": {**BETAS[0], "use_lu_lambdas": True, "sigma_min": 0.2}, "steps": 5, "begin": 0},
    {"cls": "LMSDiscreteScheduler", "config": {**BETAS[0], "use_karras_sigmas": True, "sigma_max": 80.0}, "steps": 5, "begin": 0},
]


def model(x, t):
    return (0.3 + 0.6 * float(t) / 1000) * torch.tanh(0.7 * x + 0.1)


def draw_case(rng, name):
    config = dict(rng.choice(BETAS))
    for key, values in CLASSES[name].items():
        value = rng.choice(values)
        # A default is left out half of the time, so that the classes' own defaults are tried too.
        if key == "rule":
            config.update(value)
        elif rng.random() < 0.6:
            config[key] = value
    if config.get("algorithm_type") == "sde-dpmsolver":
        config["solver_order"] = min(config.get("solver_order", 2), 2)
    if config.get("use_lu_lambdas"):
        # The last step would be one of length zero but for rounding, and its noise the square root of that.
        config.pop("final_sigmas_type", None)
    steps = rng.choice(STEPS)
    case = {"cls": name, "config": config, "steps": steps, "begin": rng.choice([0, 0, 0, rng.randrange(steps)])}
    if name in CUSTOM and rng.random() < 0.15 and "trained_betas" not in config:
        case["options"] = {"timesteps": sorted(rng.sample(range(1000), steps), reverse=True)}
    elif name in ("LCMScheduler", "TCDScheduler") and rng.random() < 0.3:
        case["options"] = {"strength": rng.choice([0.5, 0.8])}
        case["begin"] = 0
    if name in ("DDIMScheduler", "TCDScheduler"):
        case["eta"] = rng.choice([0.0, 0.3, 0.9, 1.0])
    return case


def run(case, nudge=1.0):
    config = {k: v for k, v in case["config"].items()}
    scheduler = getattr(diffusers, case["cls"]).from_config(config)
    options = case.get("options", {})
    given = {} if "timesteps" in options else {"num_inference_steps": case["steps"]}
    scheduler.set_timesteps(**given, **options)
    generator = torch.Generator().manual_seed(11)
    timesteps = scheduler.timesteps[case["begin"] * scheduler.order :]
    if case["begin"] and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(case["begin"] * scheduler.order)
    noise = torch.randn(BATCH, generator=generator) * nudge
    image = torch.linspace(-1, 1, noise.numel()).reshape(BATCH)
    sample = scheduler.add_noise(image, noise, timesteps[:1]) if case["begin"] else noise * scheduler.init_noise_sigma
    extra = {"eta": case["eta"]} if "eta" in case else {}
    if "generator" in scheduler.step.__code__.co_varnames:
        extra["generator"] = generator
    samples = []
    for i, t in enumerate(timesteps):
        output = model(scheduler.scale_model_input(sample, t), t)
        sample = scheduler.step(output, t, sample, **extra).prev_sample
        if i in (0, len(timesteps) // 2, len(timesteps) - 1):
            samples.append(sample)
        if case["begin"] and i == 0 and len(timesteps) > 1:
            samples.append(scheduler.add_noise(image, noise, timesteps[1:2]))
    if not all(torch.isfinite(s).all() for s in samples) or samples[-1].abs().max() > 1e4:
        return None
    short = lambda numbers: [float(f"{x:.8g}") for x in numbers]
    return {
        **case,
        "config": {k: v for k, v in config.items() if v != -math.inf},
        "timesteps": short(timesteps.tolist()),
        "init_noise_sigma": short([float(scheduler.init_noise_sigma)])[0],
        "samples": [short(s.flatten().tolist()) for s in samples],
    }


def agree(case, nudged):
    """Whether float32 rounding leaves the case its digits; with noise levels in the thousands it may not."""
    return all(
        max(abs(x - y) for x, y in zip(a, b)) < 3e-6 * max(map(abs, a))
        for a, b in zip(case["samples"], nudged["samples"])
    )


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 14
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    cases = []
    for name in CLASSES:
        wanted = len(cases) + count
        while len(cases) < wanted:
            case = draw_case(rng, name)
            try:
                done = run(case)
            except Exception as error:
                print(case["cls"], type(error).__name__, str(error)[:100], file=sys.stderr)
                continue
            if done and agree(done, run(case, nudge=1 + 2e-7)):
                cases.append(done)
    cases += [run(case) for case in MORE]
    print("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "]")


main()
