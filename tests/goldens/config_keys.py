"""Writes config_keys.json beside this file: every key of the configurations of a checkpoint, and what it does.

    python tests/goldens/config_keys.py

The keys and their defaults are those of the classes themselves, in diffusers and transformers. Of each class there is a
small network, or a scheduler of ten steps, with a configuration `base`; then each key gets other values, one at a time,
and what follows is written down: "none" where the result is the same to the last bit, "changes" where it is another one or
asks for other tensors, "fails" where the class refuses it. A key that is not tried is an error. Schedulers are those that
this program has; each is given every key of every class that a StableDiffusionPipeline may have, and the last sample is
recorded (bit patterns of f32), so that what is obeyed is obeyed rightly.
"""

import inspect
import json
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers

torch.set_num_threads(1)
diffusers.logging.set_verbosity_error()

UNET = {
    "sample_size": 8,
    "block_out_channels": [32, 64],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}
UNET_TRIED = {
    "sample_size": [16, [8, 8], [8, 16], None],
    "in_channels": [9],
    "out_channels": [8],
    "center_input_sample": [True, None],
    "flip_sin_to_cos": [False, None],
    "freq_shift": [1, None],
    "down_block_types": [["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"], ["UNetResCrossAttnDownBlock2D", "DownBlock2D"]],
    "mid_block_type": [None, "UNetMidBlock2D", "UNetMidBlock2DSimpleCrossAttn"],
    "up_block_types": [["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]],
    "only_cross_attention": [True, [False, False], [True, False], None],
    "block_out_channels": [[32, 32]],
    "layers_per_block": [2, [1, 1], [1, 2]],
    "downsample_padding": [0],
    "mid_block_scale_factor": [2, 1.0],
    "dropout": [0.5],
    "act_fn": ["swish", "SiLU", "gelu", "mish"],
    "norm_num_groups": [16, None],
    "norm_eps": [1e-3],
    "cross_attention_dim": [64, [32, 32]],
    "transformer_layers_per_block": [2, [1, 1]],
    "reverse_transformer_layers_per_block": [[1, 1], [2, 1]],
    "encoder_hid_dim": [64],
    "encoder_hid_dim_type": ["text_proj"],
    "attention_head_dim": [8, [4, 4], [4, 8]],
    "num_attention_heads": [4],
    "dual_cross_attention": [True, None],
    "use_linear_projection": [True, None],
    "class_embed_type": ["timestep", "identity"],
    "addition_embed_type": ["text", "text_time"],
    "addition_time_embed_dim": [32],
    "num_class_embeds": [10],
    "upcast_attention": [True, None],
    "resnet_time_scale_shift": ["scale_shift"],
    "resnet_skip_time_act": [True],
    "resnet_out_scale_factor": [2.0],
    "time_embedding_type": ["fourier", None],
    "time_embedding_dim": [64],
    "time_embedding_act_fn": ["silu"],
    "timestep_post_act": ["silu"],
    "time_cond_proj_dim": [16],
    "conv_in_kernel": [5],
    "conv_out_kernel": [5],
    "projection_class_embeddings_input_dim": [32],
    "attention_type": ["gated", "gated-text-image"],
    "class_embeddings_concat": [True],
    "mid_block_only_cross_attention": [True, False],
    "cross_attention_norm": ["layer_norm", "group_norm"],
    "addition_embed_type_num_heads": [32],
}
VAE = {
    "block_out_channels": [16, 32],
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    "norm_num_groups": 8,
    "scaling_factor": 0.18215,
}
VAE_TRIED = {
    "in_channels": [4],
    "out_channels": [4],
    "down_block_types": [["DownEncoderBlock2D", "AttnDownEncoderBlock2D"]],
    "up_block_types": [["AttnUpDecoderBlock2D", "UpDecoderBlock2D"]],
    "block_out_channels": [[16, 16]],
    "layers_per_block": [2],
    "act_fn": ["swish", "gelu"],
    "latent_channels": [8],
    "norm_num_groups": [16],
    "sample_size": [64, [64, 64]],
    "scaling_factor": [0.13025],
    "shift_factor": [0.0, 0.1159],
    "latents_mean": [[0.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]],
    "latents_std": [[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]],
    "force_upcast": [False, None],
    "use_quant_conv": [False],
    "use_post_quant_conv": [False, None],
    "mid_block_add_attention": [False, None],
}
TEXT = {
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
    "projection_dim": 32,
}
TEXT_TRIED = {
    "vocab_size": [101],
    "hidden_size": [64],
    "intermediate_size": [128],
    "projection_dim": [64, None],
    "num_hidden_layers": [1],
    "num_attention_heads": [8],
    "max_position_embeddings": [15],
    "hidden_act": ["gelu", "gelu_python", "gelu_new", "silu"],
    "layer_norm_eps": [1e-3],
    "attention_dropout": [0.5],
    "initializer_range": [0.5],
    "initializer_factor": [2.0],
    "pad_token_id": [0, None],
    "bos_token_id": [0],
    "eos_token_id": [2, [1, 2]],
    "transformers_version": ["4.20.0"],
    "architectures": [["CLIPTextModelWithProjection"]],
    "output_hidden_states": [True],
    "return_dict": [False],
    "dtype": ["float16"],
    "chunk_size_feed_forward": [4],
    "is_encoder_decoder": [True],
    "id2label": [{"0": "a"}],
    "label2id": [{"a": 0}],
    "problem_type": ["regression"],
    "use_attention_mask": [True, False],
}
SCHEDULERS = {
    "lms": diffusers.LMSDiscreteScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler-a": diffusers.EulerAncestralDiscreteScheduler,
    "ddim": diffusers.DDIMScheduler,
    "dpm++-2m": diffusers.DPMSolverMultistepScheduler,
    "pndm": diffusers.PNDMScheduler,
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "clip_sample": False,
    "skip_prk_steps": True,
}
SCHEDULER_TRIED = {
    "num_train_timesteps": [800],
    "beta_start": [0.001],
    "beta_end": [0.02],
    "beta_schedule": ["linear", "squaredcos_cap_v2"],
    "trained_betas": [[0.01 + 0.00001 * i for i in range(1000)]],
    "prediction_type": ["v_prediction", "sample", "flow_prediction"],
    "timestep_spacing": ["linspace", "trailing"],
    "steps_offset": [0, 3],
    "clip_sample": [True, None],
    "clip_sample_range": [0.5],
    "set_alpha_to_one": [True, False, None],
    "skip_prk_steps": [False],
    "rescale_betas_zero_snr": [True],
    "thresholding": [True],
    "dynamic_thresholding_ratio": [0.5],
    "sample_max_value": [2.0],
    "use_karras_sigmas": [True],
    "use_exponential_sigmas": [True],
    "use_beta_sigmas": [True],
    "use_lu_lambdas": [True],
    "use_flow_sigmas": [True],
    "flow_shift": [3.0],
    "use_dynamic_shifting": [True],
    "time_shift_type": ["linear"],
    "shift_terminal": [0.1],
    "sigma_min": [0.1],
    "sigma_max": [10.0],
    "sigma_data": [1.0],
    "sigma_schedule": ["exponential"],
    "rho": [5.0],
    "final_sigmas_type": ["sigma_min"],
    "solver_order": [1, 3],
    "solver_type": ["heun", "bh2", "logrho"],
    "solver_p": [None],
    "algorithm_type": ["sde-dpmsolver++", "dpmsolver", "sde-dpmsolver", "deis"],
    "lower_order_final": [False],
    "euler_at_final": [True],
    "lambda_min_clipped": [-1.5],
    "variance_type": ["fixed_small", "learned_range"],
    "interpolation_type": ["log_linear"],
    "timestep_type": ["continuous"],
    "predict_x0": [False],
    "disable_corrector": [[0]],
    "noise_sampler_seed": [1],
}


def signature(cls) -> dict:
    """The keys of a class with their defaults."""
    parameters = inspect.signature(inspect.unwrap(cls.__init__)).parameters
    skipped = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        name: None if p.default is inspect.Parameter.empty else p.default
        for name, p in parameters.items()
        if name != "self" and p.kind not in skipped
    }


def effect(base, other) -> str:
    if isinstance(other, Exception):
        return "fails"
    same = base.shape == other.shape and torch.equal(base, other)
    return "none" if same else "changes"


def attempt(run, *arguments):
    try:
        return run(*arguments)
    except Exception as error:  # noqa: BLE001 whatever is raised is the answer
        return error


def network(make, base: dict, run):
    """What `run` gives of the network of a configuration, with the weights that the base has."""
    torch.manual_seed(0)
    weights = make(base).eval()
    # Norms and biases that are not ones and zeros, so that everything counts.
    for parameter in weights.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    weights = weights.state_dict()

    def result(config: dict) -> torch.Tensor:
        model = make(config).eval()
        missing = model.load_state_dict(weights, strict=False)
        if missing.missing_keys or missing.unexpected_keys:
            return torch.zeros(0)
        with torch.no_grad():
            return run(model)

    return result


def walk(defaults: dict, base: dict, tried: dict, result) -> dict:
    missing = set(defaults) - set(tried)
    assert not missing, missing
    usual = result(base)
    keys = {}
    for key, values in tried.items():
        outcomes = [effect(usual, attempt(result, base | {key: value})) for value in values]
        keys[key] = {
            "default": defaults.get(key),
            "known": key in defaults,
            "tried": [list(pair) for pair in zip(values, outcomes)],
        }
    return {"base": base, "keys": keys}


def unet() -> dict:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    prompt = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(2))
    cls = diffusers.UNet2DConditionModel
    result = network(cls.from_config, UNET, lambda model: model(latents, 500, prompt).sample)
    return walk(signature(cls), UNET, UNET_TRIED, result)


def vae() -> dict:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    cls = diffusers.AutoencoderKL
    result = network(cls.from_config, VAE, lambda model: model.decode(latents / model.config.scaling_factor).sample)
    return walk(signature(cls), VAE, VAE_TRIED, result)


def text_encoder() -> dict:
    ids = torch.tensor([[49, 3, 7, 2, 1, 1, 1, 1, 1, 1]])

    def run(model):
        # As StableDiffusionPipeline.encode_prompt does.
        masked = hasattr(model.config, "use_attention_mask") and model.config.use_attention_mask
        return model(ids, attention_mask=(ids != 1).long() if masked else None)[0]

    def make(config):
        return transformers.CLIPTextModel(transformers.CLIPTextConfig.from_dict(dict(config)))

    defaults = transformers.CLIPTextConfig().to_dict()
    fields = transformers.CLIPTextConfig.__dataclass_fields__
    known = {field: defaults[field] for field in fields if field in defaults and field != "model_type"}
    return walk(known, TEXT, TEXT_TRIED, network(make, TEXT, run))


def scheduler_run(kind: str, config: dict) -> torch.Tensor:
    scheduler = SCHEDULERS[kind].from_config(config)
    scheduler.set_timesteps(10)
    shape = (1, 1, 2, 2)
    sample = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * scheduler.init_noise_sigma
    model = torch.Generator().manual_seed(2)
    noise = torch.Generator().manual_seed(3)
    draws = kind == "euler-a" or scheduler.config.get("algorithm_type", "").startswith("sde")
    for timestep in scheduler.timesteps:
        scheduler.scale_model_input(sample, timestep)
        output = torch.randn(shape, generator=model)
        extra = {"generator": noise} if draws else {}
        sample = scheduler.step(output, timestep, sample, **extra).prev_sample
    if not sample.isfinite().all():
        raise ValueError("not finite")
    return sample


def schedulers() -> dict:
    classes = [getattr(diffusers, one.name) for one in KarrasDiffusionSchedulers]
    classes = [cls for cls in classes if not getattr(cls, "_dummy", False) and hasattr(cls, "_compatibles")]
    defaults: dict = {"noise_sampler_seed": None}  # DPMSolverSDEScheduler's own; it needs a package more.
    for cls in (*SCHEDULERS.values(), *classes):
        defaults = signature(cls) | defaults
    missing = set(defaults) - set(SCHEDULER_TRIED)
    assert not missing, missing
    bits = lambda values: values.numpy().astype("<f4").reshape(-1).view(np.uint32).tolist()  # noqa: E731
    keys = {}
    base = {kind: scheduler_run(kind, SCHEDULER) for kind in SCHEDULERS}
    for key, values in SCHEDULER_TRIED.items():
        tried = []
        for value in values:
            outcomes = {}
            for kind in SCHEDULERS:
                found = attempt(scheduler_run, kind, SCHEDULER | {key: value})
                outcomes[kind] = [effect(base[kind], found)]
                if not isinstance(found, Exception):
                    outcomes[kind].append(bits(found))
            tried.append([value, outcomes])
        keys[key] = {"default": defaults.get(key), "tried": tried}
    return {"base": SCHEDULER, "keys": keys}


def main() -> None:
    document = {
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "StableDiffusionPipeline": list(signature(diffusers.StableDiffusionPipeline)),
        "UNet2DConditionModel": unet(),
        "AutoencoderKL": vae(),
        "CLIPTextConfig": text_encoder(),
        "schedulers": schedulers(),
    }
    text = json.dumps(document, separators=(",", ":")).replace('{"default"', '\n{"default"')
    Path(__file__).with_name("config_keys.json").write_text(text + "\n")
    for name in ("UNet2DConditionModel", "AutoencoderKL", "CLIPTextConfig"):
        for key, about in document[name]["keys"].items():
            print(name, key, about["tried"])


if __name__ == "__main__":
    main()
