//! From what the model predicts to the clean latents it implies.

use candle_core::{Result, Tensor};

use super::config::PredictionType;

/// x0 where the sample is `x0 + sigma eps` (variance-exploding): `x - sigma eps`, or from a
/// velocity `x / (sigma^2 + 1) - v sigma / sqrt(sigma^2 + 1)`; a model may predict it itself. All tensors have one shape.
pub(super) fn x0_exploding(
    prediction: PredictionType,
    model_output: &Tensor,
    sample: &Tensor,
    sigma: f32,
) -> Result<Tensor> {
    match prediction {
        PredictionType::Epsilon => sample - scale(model_output, sigma)?,
        PredictionType::VPrediction => {
            let variance = sigma * sigma + 1.0;
            scale(model_output, -sigma / variance.sqrt())? + divide(sample, variance)?
        }
        PredictionType::Sample => Ok(model_output.clone()),
    }
}

/// x0 where the sample is `alpha x0 + sigma eps` with `alpha^2 + sigma^2 = 1`
/// (variance-preserving): `(x - sigma eps) / alpha`, or from a velocity `alpha x - sigma v`.
pub(super) fn x0_preserving(
    prediction: PredictionType,
    model_output: &Tensor,
    sample: &Tensor,
    alpha: f32,
    sigma: f32,
) -> Result<Tensor> {
    match prediction {
        PredictionType::Epsilon => divide(&(sample - scale(model_output, sigma)?)?, alpha),
        PredictionType::VPrediction => scale(sample, alpha)? - scale(model_output, sigma)?,
        PredictionType::Sample => Ok(model_output.clone()),
    }
}

/// The noise that a variance-preserving sample holds: the model's output, or from a
/// velocity `alpha v + sigma x`, or from x0 `(x - alpha x0) / sigma`.
pub(super) fn epsilon_preserving(
    prediction: PredictionType,
    model_output: &Tensor,
    sample: &Tensor,
    alpha: f32,
    sigma: f32,
) -> Result<Tensor> {
    match prediction {
        PredictionType::Epsilon => Ok(model_output.clone()),
        PredictionType::VPrediction => scale(model_output, alpha)? + scale(sample, sigma)?,
        PredictionType::Sample => divide(&(sample - scale(model_output, alpha)?)?, sigma),
    }
}

/// `tensor * factor`, the factor in f32.
pub(super) fn scale(tensor: &Tensor, factor: f32) -> Result<Tensor> {
    tensor.affine(f64::from(factor), 0.0)
}

/// `tensor / divisor`, a true division: dividing by a number in the tensor library
/// multiplies by the reciprocal, which rounds differently from torch.
pub(super) fn divide(tensor: &Tensor, divisor: f32) -> Result<Tensor> {
    tensor.broadcast_div(&Tensor::new(divisor, tensor.device())?)
}
