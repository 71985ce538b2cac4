//! The two predictions of a step in the plane that they span.

use super::{StepTrace, TensorData};

/// Where the predictions of a step with guidance lie in the plane that the one without the prompt and the one with it span
/// from the origin.
///
/// The first axis is the direction of the prediction without the prompt, the second the part of the other one that is
/// perpendicular to it. Lengths are root mean squares over all values of a prediction: that of standard normal noise is 1.
/// The guided prediction `uncond + w (text - uncond)` (Ho & Salimans 2022, arXiv 2207.12598, equation 6) lies in the same
/// plane, and so does what rescaling makes of it, which is of another length alone (Lin et al. 2023, arXiv 2305.08891,
/// equations 14 to 16; mostly shorter, but it is the standard deviation that is matched, and a mean counts in a length). All is computed in f64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuidancePlane {
    /// The length of the prediction without the prompt: it is `(uncond, 0)`.
    pub uncond: f64,
    /// The prediction with the prompt. The second number is never negative.
    pub text: (f64, f64),
    /// What the sampler got: guided, and rescaled where the request asks for it.
    pub guided: (f64, f64),
}

impl GuidancePlane {
    /// That of `step`; `None` where it has no guidance, and where its values are not finite or all of the prediction without
    /// the prompt are 0, so that there is no direction.
    pub fn of(step: &StepTrace) -> Option<Self> {
        let values = |name| step.tensor(name).map(|tensor: &TensorData| &*tensor.data);
        let uncond = values("noise_uncond")?;
        Self::new(uncond, values("noise_text")?, values("noise_guided")?)
    }

    fn new(uncond: &[f32], text: &[f32], guided: &[f32]) -> Option<Self> {
        let count = uncond.len();
        if count == 0 || text.len() != count || guided.len() != count {
            return None;
        }
        let squares: f64 = uncond.iter().map(|&u| f64::from(u).powi(2)).sum();
        let along = product(text, uncond) / squares;
        // The perpendicular part itself, and not the difference of two squares, which would lose a small angle's digits.
        let across: Vec<f64> = text
            .iter()
            .zip(uncond)
            .map(|(&t, &u)| f64::from(t) - along * f64::from(u))
            .collect();
        let length = across.iter().map(|a| a * a).sum::<f64>().sqrt();
        let root = (count as f64).sqrt();
        let on_across: f64 = guided
            .iter()
            .zip(&across)
            .map(|(&g, a)| f64::from(g) * a)
            .sum();
        let plane = Self {
            uncond: squares.sqrt() / root,
            text: (along * squares.sqrt() / root, length / root),
            guided: (
                product(guided, uncond) / squares.sqrt() / root,
                if length > 0.0 {
                    on_across / length / root
                } else {
                    0.0
                },
            ),
        };
        plane.is_finite().then_some(plane)
    }

    fn is_finite(&self) -> bool {
        let places = [self.text.0, self.text.1, self.guided.0, self.guided.1];
        self.uncond > 0.0 && self.uncond.is_finite() && places.iter().all(|place| place.is_finite())
    }

    /// `text - uncond`: what guidance scales.
    pub fn difference(&self) -> (f64, f64) {
        (self.text.0 - self.uncond, self.text.1)
    }

    /// `uncond + scale (text - uncond)`, as it is before it is rescaled.
    pub fn at_scale(&self, scale: f64) -> (f64, f64) {
        let (along, across) = self.difference();
        (self.uncond + scale * along, scale * across)
    }

    /// The angle between both predictions, in degrees from 0 to 180.
    pub fn angle(&self) -> f64 {
        degrees(self.text)
    }

    /// The angle between the prediction without the prompt and the difference: above 90 the prompt shortens, too.
    pub fn turn(&self) -> f64 {
        degrees(self.difference())
    }
}

/// The length of an arrow from the origin.
pub fn length((along, across): (f64, f64)) -> f64 {
    along.hypot(across)
}

/// From the first axis, 0 to 180.
fn degrees((along, across): (f64, f64)) -> f64 {
    across.atan2(along).to_degrees()
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
    products.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp)] // Powers of two: all arithmetic is exact.
    fn arrows_lie_where_one_draws_them_by_hand() {
        // Lengths of 2, 2 and √8 over four values: rms of 1, 1 and √2, at a right angle.
        let plane = GuidancePlane::new(
            &[1.0, 1.0, 1.0, 1.0],
            &[1.0, -1.0, 1.0, -1.0],
            &[1.0, -5.0, 1.0, -5.0],
        );
        let plane = plane.unwrap();
        assert_eq!(plane.uncond, 1.0);
        assert_eq!(plane.text, (0.0, 1.0));
        assert_eq!(plane.difference(), (-1.0, 1.0));
        assert_eq!((plane.angle(), plane.turn()), (90.0, 135.0));
        // With a scale of 3: (1, 0) + 3 (-1, 1).
        assert_eq!(plane.guided, (-2.0, 3.0));
        assert_eq!(plane.at_scale(3.0), plane.guided);
        assert!((length(plane.difference()) - 2.0_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn equal_predictions_span_no_plane_but_have_a_place() {
        let same = [1.0, 2.0, -3.0];
        let plane = GuidancePlane::new(&same, &same, &same).unwrap();
        assert!(plane.angle().abs() < 1e-12 && length(plane.difference()) < 1e-12);
        assert!((plane.guided.0 - plane.uncond).abs() < 1e-12);
    }

    #[test]
    fn what_has_no_direction_has_no_plane() {
        let (zero, one) = ([0.0, 0.0], [1.0, 1.0]);
        assert_eq!(GuidancePlane::new(&zero, &one, &one), None);
        assert_eq!(GuidancePlane::new(&one, &[f32::NAN, 1.0], &one), None);
        assert_eq!(GuidancePlane::new(&one, &one, &[f32::INFINITY, 1.0]), None);
        assert_eq!(GuidancePlane::new(&one, &[1.0], &one), None);
        assert_eq!(GuidancePlane::new(&[], &[], &[]), None);
    }
}
