//! What one looks at of a module's output: its statistics, and its features as pictures.

use std::sync::Arc;

use image::{Rgb, RgbImage};

use crate::trace::principal::{COMPONENTS, PrincipalComponents};
use crate::trace::{Stats, TensorData};

/// Pictures of more places across or down than this are made smaller.
const LARGEST_PICTURE: usize = 128;

/// The output of a module, or a line of one, as it is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// The path of its site.
    pub path: Arc<str>,
    /// Its shape in diffusers, without the batch.
    pub shape: Vec<usize>,
    /// Statistics of all its values.
    pub stats: Stats,
    /// What a residual branch adds: of modules that add something to what they are given.
    pub branch: Option<Branch>,
    /// Width and height of the pictures: of its places, or of cells of them where there are too many.
    pub size: (usize, usize),
    /// The Euclidean norm of the feature vector at each place, row-major; the mean over a cell.
    pub norm: Arc<[f32]>,
    /// Its features along principal components; none where they were not asked for, where all places have the same
    /// features, or where values are not finite.
    pub components: Option<Arc<Projection>>,
    /// The values themselves, row-major as `shape` says; none where they are too many to be kept.
    pub values: Option<TensorData>,
}

/// A residual branch: `x + branch(x)`, and both sizes as root mean squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Branch {
    /// Of what is added.
    pub added: f64,
    /// Of what it is added to.
    pub base: f64,
}

/// Features along their first principal components.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// For each component a picture, row-major, in standard deviations of the features it was fitted on.
    pub planes: [Vec<f32>; COMPONENTS],
    /// Each component's share of the variance, 0 to 1.
    pub shares: [f64; COMPONENTS],
    /// On how many steps of the run the components were fitted; `None` where on this value alone.
    pub steps: Option<usize>,
}

impl Projection {
    /// The three components as red, green and blue, for pictures of `size` (width, height): 2.5 standard deviations below
    /// the mean are dark, and as many above it bright, at every step alike.
    pub fn colours(&self, (width, height): (usize, usize)) -> RgbImage {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let at = y as usize * width + x as usize;
            Rgb(std::array::from_fn(|component| {
                let value = self.planes[component].get(at).copied().unwrap_or(0.0);
                ((value / 5.0 + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8
            }))
        })
    }
}

/// How the values of a site lie in memory, as places with features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub features: usize,
    pub width: usize,
    pub height: usize,
    /// Are the features of a place next to each other, as in a sequence?
    is_sequence: bool,
}

impl Layout {
    /// Of `(channels, height, width)`, `(places, features)` or `(features)`. Places of a sequence that are as many as those of
    /// a feature map `map` (width, height) are a picture of it; otherwise they stand in a row.
    pub fn of(shape: &[usize], map: Option<(usize, usize)>) -> Self {
        match *shape {
            [features, height, width] => Self {
                features,
                width,
                height,
                is_sequence: false,
            },
            [places, features] => {
                let map = map.filter(|(width, height)| width * height == places);
                let (width, height) = map.unwrap_or((places, 1));
                Self {
                    features,
                    width,
                    height,
                    is_sequence: true,
                }
            }
            _ => Self {
                features: shape.iter().product(),
                width: 1,
                height: 1,
                is_sequence: false,
            },
        }
    }

    fn places(self) -> usize {
        self.width * self.height
    }

    /// Each feature's values one after another: `(features, places)`.
    pub fn planes(self, values: &[f32]) -> Vec<f32> {
        if !self.is_sequence {
            return values.to_vec();
        }
        let places = self.places();
        let mut planes = vec![0.0; values.len()];
        for (place, vector) in values.chunks_exact(self.features.max(1)).enumerate() {
            for (feature, &value) in vector.iter().enumerate() {
                planes[feature * places + place] = value;
            }
        }
        planes
    }

    /// Width and height of its pictures.
    fn picture(self) -> (usize, usize) {
        let smaller = |size: usize| size.div_ceil(size.div_ceil(LARGEST_PICTURE).max(1));
        (smaller(self.width), smaller(self.height))
    }

    /// `plane`, one value a place, as a picture.
    fn reduced(self, plane: Vec<f32>) -> Vec<f32> {
        let (width, height) = self.picture();
        if (width, height) == (self.width, self.height) {
            return plane;
        }
        let by = |size: usize| size.div_ceil(LARGEST_PICTURE);
        let (across, down) = (by(self.width), by(self.height));
        let mut cells = vec![(0.0_f64, 0_u32); width * height];
        for (place, value) in plane.into_iter().enumerate() {
            let (x, y) = (place % self.width / across, place / self.width / down);
            let (sum, count) = &mut cells[y * width + x];
            *sum += f64::from(value);
            *count += 1;
        }
        let mean = |(sum, count): (f64, u32)| (sum / f64::from(count.max(1))) as f32;
        cells.into_iter().map(mean).collect()
    }
}

impl Features {
    /// Of `values`, row-major as `shape` says; see [`Layout::of`] for `map`.
    pub(super) fn of(
        path: &str,
        shape: Vec<usize>,
        values: Vec<f32>,
        map: Option<(usize, usize)>,
        components: impl FnOnce(&Layout, &[f32]) -> Option<(PrincipalComponents, Option<usize>)>,
    ) -> Self {
        let layout = Layout::of(&shape, map);
        let values = TensorData::from_values(path, shape, values);
        let planes = layout.planes(&values.data);
        let fitted = match values.stats.non_finite {
            0 => components(&layout, &planes),
            _ => None,
        };
        let components = fitted.map(|(components, steps)| {
            Arc::new(Projection {
                planes: components
                    .project(&planes)
                    .map(|plane| layout.reduced(plane)),
                shares: components.shares(),
                steps,
            })
        });
        Self {
            path: path.into(),
            shape: values.shape.clone(),
            stats: values.stats,
            branch: None,
            size: layout.picture(),
            norm: layout.reduced(norms(&planes, layout.places())).into(),
            components,
            values: Some(values),
        }
    }

    /// The root mean square of all its values.
    pub fn rms(&self) -> f64 {
        rms(&self.stats)
    }

    /// How many features a place has.
    pub fn channels(&self) -> usize {
        Layout::of(&self.shape, None).features
    }

    /// The values of feature `index` at each place, as a picture; none where the values are not kept.
    pub fn channel(&self, index: usize) -> Option<Vec<f32>> {
        let values = self.values.as_ref()?;
        let layout = Layout::of(&self.shape, Some(self.size));
        let plane: Vec<f32> = if layout.is_sequence {
            let vectors = values.data.chunks_exact(layout.features.max(1));
            vectors
                .filter_map(|vector| vector.get(index).copied())
                .collect()
        } else {
            let planes = &mut values.data.chunks_exact(layout.places().max(1));
            planes.nth(index)?.to_vec()
        };
        (plane.len() == layout.places()).then(|| layout.reduced(plane))
    }

    /// What it takes in memory, in bytes.
    pub fn bytes(&self) -> usize {
        let planes = self
            .components
            .iter()
            .flat_map(|components| &components.planes);
        let values = self.values.as_ref().map_or(0, |values| values.data.len());
        let count = self.norm.len() + planes.map(Vec::len).sum::<usize>() + values;
        count * size_of::<f32>() + size_of::<Self>()
    }
}

/// The root mean square of the finite values.
pub(super) fn rms(stats: &Stats) -> f64 {
    stats.norm / ((stats.count - stats.non_finite).max(1) as f64).sqrt()
}

/// The length of the feature vector at each of `places`; `planes` has each feature's values one after another.
fn norms(planes: &[f32], places: usize) -> Vec<f32> {
    let mut squares = vec![0.0_f64; places];
    for plane in planes.chunks_exact(places.max(1)) {
        for (sum, &value) in squares.iter_mut().zip(plane) {
            *sum += f64::from(value).powi(2);
        }
    }
    squares.iter().map(|sum| sum.sqrt() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(shape: &[usize], map: Option<(usize, usize)>) -> Features {
        let count = shape.iter().product::<usize>();
        let values = (0..count).map(|at| at as f32).collect();
        Features::of("x", shape.to_vec(), values, map, |_, _| None)
    }

    #[test]
    fn a_feature_map_and_its_sequence_have_the_same_pictures() {
        let map = plain(&[2, 2, 3], None);
        assert_eq!(map.size, (3, 2));
        assert_eq!(map.channel(1), Some(vec![6.0, 7.0, 8.0, 9.0, 10.0, 11.0]));
        assert!((map.norm[1] - 50.0_f32.sqrt()).abs() < 1e-6);
        let sequence = plain(&[6, 2], Some((3, 2)));
        assert_eq!((sequence.size, sequence.channels()), ((3, 2), 2));
        assert_eq!(
            sequence.channel(1),
            Some(vec![1.0, 3.0, 5.0, 7.0, 9.0, 11.0])
        );
        assert_eq!(sequence.channel(2), None);
        let text = plain(&[77, 4], None);
        assert_eq!(text.size, (77, 1));
        let time = plain(&[5], None);
        assert_eq!((time.size, time.channels()), ((1, 1), 5));
    }

    #[test]
    fn a_large_map_becomes_a_small_picture_of_means() {
        let large = plain(&[1, 256, 256], None);
        assert_eq!(large.size, (128, 128));
        let mean = (0.0 + 1.0 + 256.0 + 257.0) / 4.0;
        assert!((large.norm[0] - mean).abs() < 1e-6_f32);
    }
}
