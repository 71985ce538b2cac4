"""Writes schedulers.json beside this file: what diffusers' schedulers compute.

    python tests/goldens/schedulers.py

A case is a configuration, a sampler and a number of steps. It records the timesteps, the
sigmas (one more than there are model calls; for DDIM and PNDM, which keep none, those of
the timesteps' alphas_cumprod), init_noise_sigma, and a trajectory: the start is torch noise
of seed 1 times init_noise_sigma, the model's outputs are torch noise of seed 2 drawn one
after the other, ancestral noise is of seed 3. Numbers are the bit patterns of f32. Of long
schedules and trajectories only some entries are recorded, with their indices. Where
diffusers raises an error, its class is recorded instead. PNDM gives no x0; it is computed
here from its definition. Configurations that differ only in the prediction type have one
schedule, recorded with epsilon. Where betas are rescaled to no signal, the velocity's is, too.
"""

import json
from pathlib import Path

import diffusers
import numpy as np
import torch

SHAPE = (1, 1, 2, 2)
CLASSES = {
    "lms": (diffusers.LMSDiscreteScheduler, {}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler-a": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "ddim": (diffusers.DDIMScheduler, {}),
    "dpm++-2m": (diffusers.DPMSolverMultistepScheduler, {}),
    "dpm++-2m-karras": (diffusers.DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "pndm": (diffusers.PNDMScheduler, {}),
}
# Stable Diffusion v1's scheduler_config.json.
SD = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
LINEAR = SD | {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
V = {"prediction_type": "v_prediction"}
CONFIGS = {
    "sd": SD,
    "sd v": SD | V,
    "linear": LINEAR,
    "linear v": LINEAR | V,
    "linspace": SD | {"timestep_spacing": "linspace"},
    "leading": SD | {"timestep_spacing": "leading"},
    "trailing": SD | {"timestep_spacing": "trailing"},
    "alpha to one, clipped": SD | {"set_alpha_to_one": True, "clip_sample": True, "clip_sample_range": 0.75},
    "runge-kutta": SD | {"skip_prk_steps": False},
    "runge-kutta v": SD | V | {"skip_prk_steps": False},
    "defaults": {},
    "short": SD | {"num_train_timesteps": 37},
    "trained betas": SD | {"num_train_timesteps": 5, "trained_betas": [0.01, 0.02, 0.05, 0.1, 0.2]},
}
# Keys that some of the samplers have, beside those that all of them are tried with.
DPM = ("dpm++-2m", "dpm++-2m-karras")
SPREAD = ("lms", "euler", "dpm++-2m")
COSINE = SD | {"beta_schedule": "squaredcos_cap_v2"}
ENDS = {"sigma_min": 0.05, "sigma_max": 11.5}
TRAILING = {"timestep_spacing": "trailing"}
PLAIN = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
LOG = {"interpolation_type": "log_linear"}
MORE = {
    "karras": (SPREAD, SD | {"use_karras_sigmas": True}),
    "karras, leading": (SPREAD, SD | {"use_karras_sigmas": True, "timestep_spacing": "leading"}),
    "karras, ends": (SPREAD, SD | ENDS | {"use_karras_sigmas": True}),
    "exponential": (SPREAD, SD | {"use_exponential_sigmas": True}),
    "exponential, ends": (SPREAD, SD | ENDS | {"use_exponential_sigmas": True}),
    "beta": (SPREAD, SD | {"use_beta_sigmas": True}),
    "beta, ends": (SPREAD, SD | ENDS | {"use_beta_sigmas": True}),
    "two kinds": (SPREAD, SD | {"use_karras_sigmas": True, "use_beta_sigmas": True}),
    "cosine": (tuple(CLASSES), COSINE),
    "sample": (tuple(CLASSES), SD | {"prediction_type": "sample"}),
    "zero snr": (tuple(CLASSES), SD | {"rescale_betas_zero_snr": True, "timestep_spacing": "leading"}),
    "zero snr, v, trailing": (tuple(CLASSES), SD | V | TRAILING | {"rescale_betas_zero_snr": True}),
    "sigma min": (("euler", *DPM), SD | {"final_sigmas_type": "sigma_min"}),
    "thresholding": (("ddim", *DPM), SD | {"thresholding": True}),
    "thresholding, wide": (
        ("ddim", *DPM),
        SD | {"thresholding": True, "dynamic_thresholding_ratio": 0.7, "sample_max_value": 2.5},
    ),
    "order 1": (DPM, SD | {"solver_order": 1}),
    "order 3": (DPM, SD | {"solver_order": 3}),
    "order 3, to the end": (
        ("dpm++-2m",),
        SD | {"solver_order": 3, "lower_order_final": False, "final_sigmas_type": "sigma_min"},
    ),
    "euler at final": (DPM, SD | {"euler_at_final": True, "final_sigmas_type": "sigma_min"}),
    "heun": (DPM, SD | {"solver_type": "heun"}),
    "deis": (
        DPM,
        SD | {"solver_type": "bh2", "algorithm_type": "deis", "final_sigmas_type": "sigma_min"},
    ),
    "sde": (DPM, SD | {"algorithm_type": "sde-dpmsolver++"}),
    "sde, heun": (DPM, SD | {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"}),
    "sde, order 3": (DPM, SD | {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}),
    "dpmsolver": (DPM, SD | PLAIN),
    "dpmsolver, v": (DPM, SD | PLAIN | V),
    "dpmsolver, sample": (DPM, SD | PLAIN | {"prediction_type": "sample"}),
    # Karras' last level is the final one, too: there these divide by zero.
    "dpmsolver, heun": (("dpm++-2m",), SD | PLAIN | {"solver_type": "heun"}),
    "dpmsolver, order 1": (DPM, SD | PLAIN | {"solver_order": 1}),
    "dpmsolver, order 3": (("dpm++-2m",), SD | PLAIN | {"solver_order": 3, "lower_order_final": False}),
    "dpmsolver, thresholding": (DPM, SD | PLAIN | {"thresholding": True, "sample_max_value": 2.5}),
    "dpmsolver, zero": (DPM, SD | {"algorithm_type": "dpmsolver"}),
    "sde-dpmsolver": (DPM, SD | PLAIN | {"algorithm_type": "sde-dpmsolver"}),
    "sde-dpmsolver, heun": (
        ("dpm++-2m",),
        SD | PLAIN | {"algorithm_type": "sde-dpmsolver", "solver_type": "heun"},
    ),
    "log linear": (("euler",), SD | LOG),
    "log linear, v, leading": (("euler",), SD | LOG | V | {"timestep_spacing": "leading"}),
    "log linear, sigma min": (("euler",), SD | LOG | {"final_sigmas_type": "sigma_min"}),
    "log linear, karras": (("euler",), SD | LOG | {"use_karras_sigmas": True}),
    "lu": (DPM, SD | {"use_lu_lambdas": True}),
    "lambda clipped": (DPM, COSINE | {"lambda_min_clipped": -5.1}),
    "lambda clipped, trailing": (DPM, COSINE | TRAILING | {"lambda_min_clipped": -5.1}),
    "lambda clipped, leading": (DPM, COSINE | {"lambda_min_clipped": -5.1, "timestep_spacing": "leading"}),
}
CONFIGS |= {name: config for name, (_, config) in MORE.items()}
MAIN_STEPS = [1, 2, 3, 10, 25, 50, 100]


def plan():
    for kind in CLASSES:
        for name in ("sd", "sd v", "linear", "linear v"):
            for steps in MAIN_STEPS:
                yield kind, name, steps
        for steps in (998, 999, 1000):
            yield kind, "sd", steps
        for name in ("linspace", "leading", "trailing"):
            for steps in (1, 7, 30):
                yield kind, name, steps
        yield kind, "trailing", 61  # where numpy.arange goes one too far
        for name, steps in (("defaults", 20), ("short", 7), ("short", 36), ("trained betas", 3)):
            yield kind, name, steps
    for kind in ("ddim", "pndm"):
        for steps in (1, 5):
            yield kind, "alpha to one, clipped", steps
    for name in ("runge-kutta", "runge-kutta v"):
        for steps in (3, 4, 9, 50):
            yield "pndm", name, steps
    for name, (kinds, _) in MORE.items():
        for kind in kinds:
            for steps in (1, 5, 14, 20):
                yield kind, name, steps


def bits(values) -> list[int]:
    array = values.detach().numpy() if isinstance(values, torch.Tensor) else np.array(values)
    return array.astype("<f4").reshape(-1).view(np.uint32).tolist()


def picked(count: int) -> list[int]:
    if count <= 25:
        return list(range(count))
    stride = 10 if count < 120 else 100
    return sorted({0, 1, 2, count - 3, count - 2, count - 1, *range(0, count, stride)})


def sigmas_of(kind: str, scheduler) -> torch.Tensor:
    if kind not in ("ddim", "pndm"):
        return scheduler.sigmas
    alphas = [scheduler.alphas_cumprod[t] for t in scheduler.timesteps]
    after = int(scheduler.timesteps[-1]) - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    alphas.append(scheduler.alphas_cumprod[after] if after >= 0 else scheduler.final_alpha_cumprod)
    # Where no signal is left, the samplers that have sigmas take this.
    alphas = torch.stack(alphas).clamp(min=2**-24)
    return ((1 - alphas) / alphas) ** 0.5


def run(kind: str, name: str, steps: int) -> dict:
    scheduler_class, extra = CLASSES[kind]
    scheduler = scheduler_class.from_config(CONFIGS[name] | extra)
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps
    # With log_linear, Euler has one more, which no step reaches.
    sigmas = sigmas_of(kind, scheduler)[: len(timesteps) + 1]
    entry = {"calls": len(timesteps)}
    if scheduler.config.prediction_type == "epsilon" or "zero snr" in name:
        entry["schedule"] = {
            "init_noise_sigma": bits([float(scheduler.init_noise_sigma)])[0],
            "timesteps": bits(timesteps[picked(len(timesteps))]),
            "sigmas": bits(sigmas[picked(len(sigmas))]),
        }
    sample = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)) * scheduler.init_noise_sigma
    model = torch.Generator().manual_seed(2)
    noise = torch.Generator().manual_seed(3)
    few = [0, 1, 3, len(timesteps) // 2, len(timesteps) - 1]
    if kind == "pndm" and not scheduler.config.skip_prk_steps:
        few += range(2, 14)
    entry["trajectory"] = trajectory = []
    for index, timestep in enumerate(timesteps):
        scaled = scheduler.scale_model_input(sample, timestep)
        output = torch.randn(SHAPE, generator=model)
        draws = kind == "euler-a" or scheduler.config.get("algorithm_type", "").startswith("sde")
        extra_arguments = {"generator": noise} if draws else {}
        result = scheduler.step(output, timestep, sample, **extra_arguments)
        if kind.startswith("dpm"):
            x0 = scheduler.model_outputs[-1]
            if not scheduler.config.algorithm_type.endswith("++"):  # It is the noise.
                signal, noise_level = scheduler._sigma_to_alpha_sigma_t(sigmas[index])
                x0 = (sample - noise_level * x0) / signal
        elif kind == "pndm":
            signal = scheduler.alphas_cumprod[timestep].sqrt()
            noise_level = (1 - scheduler.alphas_cumprod[timestep]).sqrt()
            if scheduler.config.prediction_type == "epsilon":
                x0 = (sample - noise_level * output) / signal
            else:
                x0 = signal * sample - noise_level * output
        else:
            x0 = result.pred_original_sample
        sample = result.prev_sample
        if index in few:
            record = {"index": index, "model_input": bits(scaled[0, 0, 0, :1])}
            trajectory.append(record | {"prev_sample": bits(sample), "x0": bits(x0)})
    return entry


def main() -> None:
    cases = []
    for kind, name, steps in plan():
        case = {"kind": kind, "config": name, "steps": steps}
        try:
            case |= run(kind, name, steps)
        except Exception as error:  # noqa: BLE001 whatever diffusers raises is its answer
            case["error"] = f"{type(error).__name__}: {str(error)[:120]}"
        cases.append(case)
    document = {"diffusers": diffusers.__version__, "configs": CONFIGS, "cases": cases}
    text = json.dumps(document, separators=(",", ":")).replace('{"kind"', '\n{"kind"')
    Path(__file__).with_name("schedulers.json").write_text(text + "\n")
    for case in cases:
        if "error" in case:
            print(case["kind"], case["config"], case["steps"], case["error"])


if __name__ == "__main__":
    main()
