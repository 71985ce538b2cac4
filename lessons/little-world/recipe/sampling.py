"""Pictures from captions, many at a time: classifier-free guidance and the LMS sampler (order 4)."""

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

import common
from listening import keeping, listening


@dataclass
class Model:
    tokenizer: object
    text_encoder: object
    unet: object
    vae: object
    device: torch.device

    @classmethod
    def load(cls, folder, device):
        """The models of a diffusers folder, in f32."""
        layout = {"memory_format": torch.channels_last}
        return cls(
            CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer"),
            CLIPTextModel.from_pretrained(folder, subfolder="text_encoder", dtype=torch.float32).eval().to(device),
            listening(
                UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=torch.float32)
                .eval()
                .to(device, **layout)
            ),
            AutoencoderKL.from_pretrained(folder, subfolder="vae", torch_dtype=torch.float32)
            .eval()
            .to(device, **layout),
            device,
        )

    @torch.no_grad()
    def embed(self, captions):
        return self.text_encoder(common.token_ids(self.tokenizer, captions).to(self.device)).last_hidden_state

    @torch.no_grad()
    def encode(self, pictures):
        """Bytes to latents of unit variance."""
        return self.vae.encode(common.to_tensor(pictures, self.device)).latent_dist.mean * common.SCALING_FACTOR

    @torch.no_grad()
    def decode(self, latents):
        """Latents of unit variance to bytes."""
        return common.to_bytes(self.vae.decode(latents / common.SCALING_FACTOR).sample)

    @torch.no_grad()
    def sample(self, captions, seeds, guidance, steps=25, silenced=None):
        """Latents for captions; the noise of a seed is that of `torch.manual_seed` on a CPU.

        `silenced` lists, for each caption, the text positions that are not listened to.
        """
        size = self.unet.config.sample_size
        noise = [torch.randn(4, size, size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        timesteps, sigmas = schedule(steps)
        x = torch.stack(noise).to(self.device) * float(sigmas.max())
        hidden = torch.cat([self.embed([""]).expand(len(captions), -1, -1), self.embed(captions)])
        told = {"keep": keeping(2 * len(captions), [()] * len(captions) + (silenced or []), self.device)}
        slopes = []
        for i, t in enumerate(timesteps):
            scaled = (x / float(sigmas[i] ** 2 + 1) ** 0.5).repeat(2, 1, 1, 1)
            scaled = scaled.contiguous(memory_format=torch.channels_last)
            without, given = self.unet(
                scaled, torch.tensor(float(t)), hidden, cross_attention_kwargs=told
            ).sample.chunk(2)
            slopes.append(without + guidance * (given - without))  # dx/dsigma is the predicted noise
            order = min(i + 1, 4)
            for j in range(order):
                x = x + lms_coefficient(sigmas, i, order, j) * slopes[-1 - j]
        return x


def schedule(steps):
    """LMS's timesteps, evenly spaced and not rounded, and their noise levels, 0 appended."""
    kept = common.alphas_cumprod().double().numpy()
    timesteps = np.linspace(0, len(kept) - 1, steps)[::-1]
    sigmas = np.interp(timesteps, np.arange(len(kept)), ((1 - kept) / kept) ** 0.5)
    return timesteps, np.append(sigmas, 0.0)


def lms_coefficient(sigmas, i, order, j):
    """The integral, from sigma i to i + 1, of the Lagrange polynomial that is 1 at sigma i - j."""
    others = [sigmas[i - k] for k in range(order) if k != j]
    polynomial = np.poly1d(others, r=True) / np.prod([sigmas[i - j] - other for other in others])
    integral = polynomial.integ()
    return float(integral(sigmas[i + 1]) - integral(sigmas[i]))
