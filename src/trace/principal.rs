//! Principal components of the rows of a matrix: the directions in which they differ most.
//!
//! Subspace iteration (Golub & Van Loan, "Matrix Computations") on `Xᵀ X`, which is never written down:
//! the matrix is applied from both sides. A few more directions than are asked for are carried along, so that those
//! converge soon.

use crate::random::Generator;

/// Directions that are carried along beyond those that are asked for.
const MORE: usize = 5;
/// The most rounds; each divides the error of a component by the ratio of its variance and that of the first one that is
/// not carried along.
const ROUNDS: usize = 300;
/// It ends where no component's variance changes by more than this part of it.
const SETTLED: f64 = 1e-12;

/// The leading principal components of the rows of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// Of each component, the largest first: every row's coordinate, less the mean of all rows. The largest is positive.
    pub scores: Vec<Vec<f32>>,
    /// Of each component: its share of the variance of all rows, 0 to 1.
    pub explained: Vec<f64>,
}

/// The first `count` of the rows of `matrix` `(rows, columns)`; fewer where it has fewer. None where `stop` says so.
pub fn leading(
    matrix: &[f32],
    (rows, columns): (usize, usize),
    count: usize,
    stop: &dyn Fn() -> bool,
) -> Option<Principal> {
    let centred = Centred::new(matrix, rows, columns);
    let count = count.min(rows).min(columns);
    let carried = (count + MORE).min(rows).min(columns);
    let mut noise = Generator::manual_seed(0);
    let mut directions: Vec<Vec<f64>> = (0..carried)
        .map(|_| {
            noise.randn(columns.max(16))[..columns]
                .iter()
                .map(|&x| f64::from(x))
                .collect()
        })
        .collect();
    orthonormalise(&mut directions);
    let mut before = vec![0.0; count];
    for _ in 0..ROUNDS {
        if stop() {
            return None;
        }
        directions = directions
            .iter()
            .map(|direction| centred.back(&centred.coordinates(direction)))
            .collect();
        // Of a unit direction v, the length of Xᵀ X v is its variance, in the end.
        orthonormalise(&mut directions);
        let now = variances(&mut directions, &centred);
        let is_settled = |(now, before): (&f64, &f64)| (now - before).abs() <= SETTLED * now.abs();
        if now.iter().zip(&before).all(is_settled) {
            break;
        }
        before = now[..count].to_vec();
    }
    let whole = centred.variance();
    let scores: Vec<Vec<f64>> = directions[..count]
        .iter()
        .map(|direction| centred.coordinates(direction))
        .collect();
    let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
    Some(Principal {
        explained: scores
            .iter()
            .map(|scores| {
                if whole > 0.0 {
                    squares(scores) / whole
                } else {
                    0.0
                }
            })
            .collect(),
        scores: scores.iter().map(|scores| with_sign(scores)).collect(),
    })
}

/// With the sign that makes the largest positive.
fn with_sign(scores: &[f64]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(0.0_f64, |largest, value| {
        if value.abs() > largest.abs() {
            value
        } else {
            largest
        }
    });
    let sign = if largest < 0.0 { -1.0 } else { 1.0 };
    scores.iter().map(|score| (score * sign) as f32).collect()
}

/// A matrix whose columns have the mean 0.
struct Centred {
    values: Vec<f64>,
    columns: usize,
}

impl Centred {
    fn new(matrix: &[f32], rows: usize, columns: usize) -> Self {
        let mut means = vec![0.0_f64; columns];
        for row in matrix.chunks_exact(columns.max(1)) {
            for (mean, &value) in means.iter_mut().zip(row) {
                *mean += f64::from(value) / rows as f64;
            }
        }
        let values = matrix
            .chunks_exact(columns.max(1))
            .flat_map(|row| {
                row.iter()
                    .zip(&means)
                    .map(|(&value, mean)| f64::from(value) - mean)
            })
            .collect();
        Self { values, columns }
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.columns.max(1))
    }

    /// `X v`.
    fn coordinates(&self, direction: &[f64]) -> Vec<f64> {
        self.rows().map(|row| dot(row, direction)).collect()
    }

    /// `Xᵀ y`.
    fn back(&self, coordinates: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; self.columns];
        for (row, &coordinate) in self.rows().zip(coordinates) {
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum += value * coordinate;
            }
        }
        sum
    }

    /// The sum of the squares of all values.
    fn variance(&self) -> f64 {
        self.values.iter().map(|value| value * value).sum()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Gram-Schmidt, each direction less its part along those before it, twice, and of length 1. One that is nothing but
/// such parts becomes 0.
fn orthonormalise(directions: &mut [Vec<f64>]) {
    for index in 0..directions.len() {
        let (before, rest) = directions.split_at_mut(index);
        let direction = &mut rest[0];
        let whole = dot(direction, direction).sqrt();
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(direction, other);
                for (value, other) in direction.iter_mut().zip(other) {
                    *value -= along * other;
                }
            }
        }
        let length = dot(direction, direction).sqrt();
        let scale = if length > whole * 1e-13 {
            1.0 / length
        } else {
            0.0
        };
        for value in direction.iter_mut() {
            *value *= scale;
        }
    }
}

/// Turns the directions within their space so that the rows' coordinates along them are not correlated, by Jacobi's
/// rotations, the largest variance first; returns the variances.
fn variances(directions: &mut Vec<Vec<f64>>, centred: &Centred) -> Vec<f64> {
    let coordinates: Vec<Vec<f64>> = directions
        .iter()
        .map(|direction| centred.coordinates(direction))
        .collect();
    let count = directions.len();
    let mut products: Vec<Vec<f64>> = coordinates
        .iter()
        .map(|a| coordinates.iter().map(|b| dot(a, b)).collect())
        .collect();
    for _ in 0..50 {
        let mut largest = 0.0_f64;
        for a in 0..count {
            for b in a + 1..count {
                let size = (products[a][a] * products[b][b]).abs().sqrt();
                if products[a][b].abs() <= 1e-15 * size {
                    continue;
                }
                largest = largest.max(products[a][b].abs() / size.max(f64::MIN_POSITIVE));
                rotate(&mut products, directions, (a, b));
            }
        }
        if largest < 1e-14 {
            break;
        }
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| products[b][b].total_cmp(&products[a][a]));
    *directions = order
        .iter()
        .map(|&index| directions[index].clone())
        .collect();
    order.iter().map(|&index| products[index][index]).collect()
}

/// The rotation in the plane of directions `a` and `b` that takes their product to 0.
fn rotate(products: &mut [Vec<f64>], directions: &mut [Vec<f64>], (a, b): (usize, usize)) {
    let tau = (products[b][b] - products[a][a]) / (2.0 * products[a][b]);
    let tangent = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
    let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
    let sine = tangent * cosine;
    for row in products.iter_mut() {
        (row[a], row[b]) = (
            cosine * row[a] - sine * row[b],
            sine * row[a] + cosine * row[b],
        );
    }
    for rows in [products, directions] {
        let (upper, lower) = rows.split_at_mut(b);
        for (of_a, of_b) in upper[a].iter_mut().zip(&mut lower[0]) {
            (*of_a, *of_b) = (cosine * *of_a - sine * *of_b, sine * *of_a + cosine * *of_b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_ON: &dyn Fn() -> bool = &|| false;

    #[test]
    fn rows_along_known_directions_have_those_as_components() {
        // Rows at ±3 along (1, 1)/√2 and ±1 along (1, -1)/√2, moved by (10, 20).
        let root = 0.5_f32.sqrt();
        let points = [[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]];
        let matrix: Vec<f32> = points
            .iter()
            .flat_map(|[a, b]| [10.0 + root * (a + b), 20.0 + root * (a - b)])
            .collect();
        let found = leading(&matrix, (4, 2), 3, GO_ON).unwrap();
        assert_eq!(
            found.scores.len(),
            2,
            "there are no more directions than columns"
        );
        assert!((found.explained[0] - 0.9).abs() < 1e-6);
        assert!((found.explained[1] - 0.1).abs() < 1e-6);
        for (component, expected) in [(0, [3.0, -3.0, 0.0, 0.0]), (1, [0.0, 0.0, 1.0, -1.0])] {
            let scores = &found.scores[component];
            let sign = if component == 0 {
                scores[0].signum()
            } else {
                scores[2].signum()
            };
            for (score, expected) in scores.iter().zip(expected) {
                assert!((score * sign - expected).abs() < 1e-5, "{scores:?}");
            }
        }
    }

    #[test]
    fn rows_that_are_alike_have_no_variance_and_nothing_is_not_a_number() {
        let found = leading(&[0.25; 12], (4, 3), 3, GO_ON).unwrap();
        assert!(found.explained.iter().all(|&share| share == 0.0));
        assert!(found.scores.iter().flatten().all(|score| score.is_finite()));
        assert!(leading(&[], (0, 0), 3, GO_ON).unwrap().scores.is_empty());
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        assert!(leading(&[1.0, 2.0, 3.0, 5.0], (2, 2), 1, &|| true).is_none());
    }
}
