//! Classifier-free guidance: the two predictions of a step made one.

use candle_core::{DType, Result, Tensor};

use super::Request;

/// The largest guidance scale.
pub const MAX_GUIDANCE: f64 = 100.0;

impl Request {
    /// Is classifier-free guidance on in any step? (diffusers: `guidance_scale > 1`.)
    pub fn is_guided(&self) -> bool {
        self.guidance_scale > 1.0
    }

    /// Is it on in step `index`, from 0? Where it is not, the noise is what was predicted with the prompt.
    pub fn is_guided_at(&self, index: usize) -> bool {
        self.is_guided()
            && self
                .guidance_steps
                .is_none_or(|steps| steps.contains(index))
    }

    /// `uncond + w (text - uncond)` (Ho & Salimans 2022), rescaled where the request asks for it: both predictions
    /// `(1, channels, height, width)` in f32, and so is the result.
    ///
    /// # Errors
    /// Tensors of different shapes.
    pub fn guided(&self, uncond: &Tensor, text: &Tensor) -> Result<Tensor> {
        let guided = (uncond + ((text - uncond)? * self.guidance_scale)?)?;
        if self.guidance_rescale > 0.0 {
            rescaled(&guided, text, self.guidance_rescale)
        } else {
            Ok(guided)
        }
    }
}

/// `phi` times the guided prediction brought to the standard deviation of the one with the prompt, and `1 - phi` times
/// itself: Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed" (arXiv 2305.08891), section
/// 3.4, equations 14 to 16. The order of the arithmetic is that of diffusers' `rescale_noise_cfg`.
fn rescaled(guided: &Tensor, text: &Tensor, phi: f64) -> Result<Tensor> {
    let ratio = (std(text)? / std(guided)?)?;
    let same_std = guided.broadcast_mul(&ratio)?;
    (same_std * phi)? + (guided * (1.0 - phi))?
}

/// The standard deviation of all values, over one less than their number, as torch takes it; a scalar in f32.
fn std(values: &Tensor) -> Result<Tensor> {
    let wide = values.to_dtype(DType::F64)?;
    let count = wide.elem_count() as f64;
    let mean = (wide.sum_all()? / count)?;
    let squares = wide.broadcast_sub(&mean)?.sqr()?.sum_all()?;
    (squares / (count - 1.0))?.sqrt()?.to_dtype(DType::F32)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::generation::StepRange;

    #[test]
    fn guidance_acts_in_its_steps_alone() {
        let mut request = Request {
            guidance_scale: 3.0,
            ..Request::default()
        };
        assert!(request.is_guided_at(0) && request.is_guided_at(999));
        request.guidance_steps = Some(StepRange { first: 2, last: 4 });
        let guided: Vec<usize> = (0..7).filter(|&step| request.is_guided_at(step)).collect();
        assert_eq!(guided, [2, 3, 4]);
        request.guidance_scale = 1.0;
        assert!(!request.is_guided_at(3) && !request.is_guided());
    }

    /// The numbers are those of `rescale_noise_cfg` of diffusers 0.42.1.
    #[test]
    fn a_rescaled_prediction_is_that_of_diffusers() {
        let tensor =
            |values: [f32; 4]| Tensor::from_slice(&values, (1, 1, 2, 2), &Device::Cpu).unwrap();
        let (uncond, text) = (
            tensor([0.5, -1.0, 0.25, 2.0]),
            tensor([1.0, -0.5, -0.75, 1.5]),
        );
        for (phi, expected) in RESCALED {
            let request = Request {
                guidance_scale: 7.5,
                guidance_rescale: phi,
                ..Request::default()
            };
            let found = request.guided(&uncond, &text).unwrap();
            let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() <= 1e-6,
                    "{phi}: {found}, not {expected}"
                );
            }
        }
    }

    const RESCALED: [(f64, [f32; 4]); 3] = [
        (0.0, [4.25, 2.75, -7.25, -1.75]),
        (0.7, [1.911_368_1, 1.236_767_6, -3.260_569_3, -0.787_034]),
        (1.0, [0.909_097_3, 0.588_239_4, -1.550_813, -0.374_334_2]),
    ];
}
