//! Principal components of feature vectors (Pearson 1901): the directions in which they differ most.
//!
//! Features of a diffusion UNet as three components in colour: Tumanyan et al. 2023, arXiv 2211.12572, figure 3.

use nalgebra::{DMatrix, SymmetricEigen};

/// How many components are looked at: as many as a colour has.
pub const COMPONENTS: usize = 3;

/// Vectors that are iterated at once: more than are wanted, so that close variances do not slow it down.
const BLOCK: usize = 10;

/// Rounds at most. What has not settled by then are directions whose variances are equal, and any of them is right.
const ROUNDS: usize = 400;

/// Where the residual of every wanted component is below this share of the largest variance, they have settled.
const SETTLED: f64 = 1e-9;

/// Sums over feature vectors, in f64, from which their mean and covariance follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    features: usize,
    count: usize,
    sums: Vec<f64>,
    /// Row-major `(features, features)`, of which the upper triangle is used.
    products: Vec<f64>,
}

impl Moments {
    /// Of no vectors yet, each of so many features.
    pub fn new(features: usize) -> Self {
        Self {
            features,
            count: 0,
            sums: vec![0.0; features],
            products: vec![0.0; features * features],
        }
    }

    /// Takes in vectors: `planes` has each feature's values one after another, `(features, vectors)`. All are finite.
    pub fn add(&mut self, planes: &[f32]) {
        let vectors = planes.len() / self.features.max(1);
        if vectors == 0 {
            return;
        }
        let planes: Vec<f64> = planes.iter().map(|&value| f64::from(value)).collect();
        let planes: Vec<&[f64]> = planes.chunks_exact(vectors).collect();
        for (row, plane) in planes.iter().enumerate() {
            self.sums[row] += plane.iter().sum::<f64>();
            let products = &mut self.products[row * self.features..][..self.features];
            for (sum, other) in products.iter_mut().zip(&planes).skip(row) {
                *sum += dot(plane, other);
            }
        }
        self.count += vectors;
    }

    /// The first components of the vectors so far; `None` where all of them are equal, or there are none.
    pub fn components(&self) -> Option<PrincipalComponents> {
        let (features, count) = (self.features, self.count as f64);
        let mean: Vec<f64> = self.sums.iter().map(|sum| sum / count).collect();
        let mut covariance = vec![0.0; features * features];
        for row in 0..features {
            for column in row..features {
                let value = self.products[row * features + column] / count;
                let value = value - mean[row] * mean[column];
                covariance[row * features + column] = value;
                covariance[column * features + row] = value;
            }
        }
        let total: f64 = (0..features).map(|at| covariance[at * features + at]).sum();
        // What rounding leaves of nothing is nothing.
        let squares: f64 = mean.iter().map(|mean| mean * mean).sum();
        if !total.is_finite() || total <= 1e-14 * squares.max(f64::MIN_POSITIVE) {
            return None;
        }
        let mut found = leading(&covariance, features);
        found.truncate(COMPONENTS);
        Some(PrincipalComponents { mean, found, total })
    }
}

/// The first principal components of some vectors, those of the largest variance first.
#[derive(Debug, Clone, PartialEq)]
pub struct PrincipalComponents {
    mean: Vec<f64>,
    /// Variance and direction of each, a unit vector whose largest entry is positive; as many as there are features, three
    /// at most.
    found: Vec<(f64, Vec<f64>)>,
    /// The variance of all components.
    total: f64,
}

impl PrincipalComponents {
    /// Each component's share of the variance, 0 to 1; 0 where there are fewer features than components.
    pub fn shares(&self) -> [f64; COMPONENTS] {
        let mut shares = [0.0; COMPONENTS];
        for (share, (variance, _)) in shares.iter_mut().zip(&self.found) {
            *share = (variance / self.total).clamp(0.0, 1.0);
        }
        shares
    }

    /// Where vectors lie along each component, from the mean of those that it was fitted on: `planes` has each feature's
    /// values one after another. 0 along a component that has no variance.
    pub fn coordinates(&self, planes: &[f32]) -> [Vec<f64>; COMPONENTS] {
        let vectors = planes.len() / self.mean.len().max(1);
        std::array::from_fn(|index| {
            let mut along = vec![0.0_f64; vectors];
            let Some((_, direction)) = self.found.get(index).filter(|found| self.varies(found))
            else {
                return along;
            };
            let planes = planes.chunks_exact(vectors.max(1));
            for ((plane, weight), mean) in planes.zip(direction).zip(&self.mean) {
                for (sum, &value) in along.iter_mut().zip(plane) {
                    *sum += (f64::from(value) - mean) * weight;
                }
            }
            along
        })
    }

    /// The same in standard deviations of the vectors that it was fitted on.
    pub fn project(&self, planes: &[f32]) -> [Vec<f32>; COMPONENTS] {
        let mut found = self.found.iter();
        self.coordinates(planes).map(|along| {
            let varies = found.next().filter(|found| self.varies(found));
            let deviation = varies.map_or(1.0, |(variance, _)| variance.sqrt());
            along.iter().map(|sum| (sum / deviation) as f32).collect()
        })
    }

    /// Is there a direction at all? Below rounding of the largest variance there is none.
    fn varies(&self, (variance, _): &(f64, Vec<f64>)) -> bool {
        *variance > 1e-12 * self.found[0].0
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight sums side by side, which a processor adds at once.
    let (chunks, rest) = a.as_chunks::<8>();
    let (others, other_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in chunks.iter().zip(others) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f64 = rest.iter().zip(other_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// The largest eigenvalues of the symmetric `matrix` `(size, size)`, which has none below 0, with their vectors, largest
/// first: orthogonal iteration with Rayleigh-Ritz steps (Golub & Van Loan, Matrix Computations, section 8.2).
fn leading(matrix: &[f64], size: usize) -> Vec<(f64, Vec<f64>)> {
    let block = BLOCK.min(size);
    // Any start does that has a part of everything; this one is the same every time.
    let entry = |at: usize| ((at as f64 + 1.0) * 0.754_877_666).fract() - 0.5;
    let mut vectors: Vec<Vec<f64>> = (0..block)
        .map(|vector| (0..size).map(|at| entry(vector * size + at)).collect())
        .collect();
    orthonormalize(&mut vectors);
    let mut values = vec![0.0; block];
    for _ in 0..ROUNDS {
        let images: Vec<Vec<f64>> = vectors.iter().map(|x| times(matrix, x)).collect();
        // The matrix as the vectors see it, and its own axes.
        let mut small = vec![0.0; block * block];
        for (row, vector) in vectors.iter().enumerate() {
            for (column, image) in images.iter().enumerate() {
                small[row * block + column] = dot(vector, image);
            }
        }
        let (found, rotation) = eigen(&small, block);
        let rotated = |all: &[Vec<f64>], column: usize| {
            let mut sum = vec![0.0; size];
            for (row, vector) in all.iter().enumerate() {
                add_times(&mut sum, rotation[row * block + column], vector);
            }
            sum
        };
        values = found;
        let ritz: Vec<Vec<f64>> = (0..block).map(|at| rotated(&vectors, at)).collect();
        let images: Vec<Vec<f64>> = (0..block).map(|at| rotated(&images, at)).collect();
        let wanted = COMPONENTS.min(block);
        let is_settled = (0..wanted).all(|at| {
            let apart = images[at].iter().zip(&ritz[at]);
            let apart = apart.map(|(image, x)| (image - values[at] * x).powi(2));
            apart.sum::<f64>().sqrt() <= SETTLED * values[0].abs()
        });
        vectors = ritz;
        if is_settled {
            break;
        }
        vectors = images;
        orthonormalize(&mut vectors);
    }
    orthonormalize(&mut vectors);
    for vector in &mut vectors {
        fix_sign(vector);
    }
    values.into_iter().zip(vectors).collect()
}

/// Turns a vector so that its largest entry, the first of equal ones, is positive.
fn fix_sign(vector: &mut [f64]) {
    let mut largest = 0.0_f64;
    for &entry in vector.iter() {
        // Equal up to rounding is equal.
        if entry.abs() > largest.abs() * (1.0 + 1e-9) {
            largest = entry;
        }
    }
    if largest < 0.0 {
        for entry in vector {
            *entry = -*entry;
        }
    }
}

fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix
        .chunks_exact(x.len())
        .map(|row| dot(row, x))
        .collect()
}

fn add_times(sum: &mut [f64], factor: f64, x: &[f64]) {
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += factor * x;
    }
}

fn scale(vector: &mut [f64], factor: f64) {
    for entry in vector {
        *entry *= factor;
    }
}

/// Gram-Schmidt, twice: once loses half the digits where vectors are nearly parallel.
fn orthonormalize(vectors: &mut [Vec<f64>]) {
    for at in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(at);
        let vector = &mut rest[0];
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(vector, other);
                add_times(vector, -along, other);
            }
        }
        let length = dot(vector, vector).sqrt();
        if length > f64::MIN_POSITIVE.sqrt() {
            scale(vector, 1.0 / length);
        } else {
            // No direction is left: the next axis that the others leave free does as well.
            let size = vector.len();
            vector.fill(0.0);
            vector[at % size] = 1.0;
            for other in before.iter() {
                let along = dot(vector, other);
                add_times(vector, -along, other);
            }
            let length = dot(vector, vector).sqrt().max(f64::MIN_POSITIVE);
            scale(vector, 1.0 / length);
        }
    }
}

/// All eigenvalues of a small symmetric matrix, largest first, and their vectors as columns of a row-major matrix.
fn eigen(matrix: &[f64], size: usize) -> (Vec<f64>, Vec<f64>) {
    let SymmetricEigen {
        eigenvalues,
        eigenvectors,
    } = SymmetricEigen::new(DMatrix::from_row_slice(size, size, matrix));
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let values = order.iter().map(|&at| eigenvalues[at]).collect();
    let rows = (0..size).flat_map(|row| order.iter().map(move |&at| (row, at)));
    let vectors = rows.map(|place| eigenvectors[place]).collect();
    (values, vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_on_a_line_have_one_component() {
        // Two features, the second twice the first.
        let planes = [1.0, 2.0, 3.0, 4.0, 2.0, 4.0, 6.0, 8.0];
        let mut moments = Moments::new(2);
        moments.add(&planes[..]);
        let components = moments.components().unwrap();
        let shares = components.shares();
        assert!(
            (shares[0] - 1.0).abs() < 1e-12 && shares[1] < 1e-12,
            "{shares:?}"
        );
        let [along, none, nothing] = components.project(&planes);
        let expected = [-1.5, -0.5, 0.5, 1.5].map(|x| x / 1.25_f64.sqrt());
        for (found, expected) in along.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6);
        }
        assert_eq!((none, nothing), (vec![0.0; 4], vec![0.0; 4]));
    }

    #[test]
    fn vectors_that_are_equal_have_none() {
        let mut moments = Moments::new(2);
        assert_eq!(moments.components(), None);
        moments.add(&[3.0, 3.0, 3.0, 5.0, 5.0, 5.0]);
        assert_eq!(moments.components(), None);
    }

    /// Moments of parts are those of the whole.
    #[test]
    fn it_does_not_matter_in_which_parts_vectors_come() {
        let value = |at: usize| ((at * at + 3 * at) as f32 * 0.37).sin();
        let planes: Vec<f32> = (0..5 * 12).map(value).collect();
        let part = |from: usize, to: usize| -> Vec<f32> {
            let planes = planes.chunks_exact(12);
            planes.flat_map(|plane| plane[from..to].to_vec()).collect()
        };
        let (mut whole, mut parts) = (Moments::new(5), Moments::new(5));
        whole.add(&planes);
        parts.add(&part(0, 5));
        parts.add(&part(5, 12));
        let [whole, parts] = [whole, parts].map(|moments| moments.components().unwrap());
        for (a, b) in whole.project(&planes).iter().zip(parts.project(&planes)) {
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() < 1e-5);
            }
        }
    }
}
