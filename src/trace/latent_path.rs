//! The way of runs through latent space, in the two directions in which it goes farthest.

use std::sync::Arc;

use nalgebra::{DMatrix, SymmetricEigen};

use super::{StepTrace, TensorData};

/// The most states of all runs together, and the most values that they have: beyond it, some of a run's steps are left out,
/// evenly.
const MOST_STATES: usize = 192;
const MOST_VALUES: usize = 16 << 20;

/// Latents of a run before one of its steps, or after the last, and what they are divided by so that their variance is about
/// 1, as the UNet gets them: runs of every sampler lie on one chart.
#[derive(Debug, Clone)]
pub struct LatentState {
    /// Number of steps that were done before.
    pub step: usize,
    values: Arc<[f32]>,
    scale: f64,
}

/// The states of a run with these steps.
pub fn latent_states(steps: &[Arc<StepTrace>]) -> Vec<LatentState> {
    let state = |number: usize, name: &str, step: &StepTrace, sigma: f32| {
        let TensorData { data, .. } = step.tensor(name)?;
        let keeps_variance = step.preview_scale <= 1.0;
        Some(LatentState {
            step: number,
            values: Arc::clone(data),
            scale: if keeps_variance {
                1.0
            } else {
                f64::from(sigma).hypot(1.0)
            },
        })
    };
    let before = steps.iter();
    let before = before.filter_map(|step| state(step.index, "latents", step, step.sigma));
    let after = steps.last();
    let after = after.and_then(|step| state(step.index + 1, "latents_next", step, step.sigma_next));
    before.chain(after).collect()
}

/// Runs in the plane of their first two principal components.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentPath {
    /// Each run's states in the order of its steps.
    pub runs: Vec<Vec<LatentPlace>>,
    /// The shares of the states' variance that the two components have.
    pub shares: [f64; 2],
}

/// Where a run is between two steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatentPlace {
    /// Number of steps that were done before.
    pub step: usize,
    /// Along the first and the second component, from the mean of all states; in units of a latent's value times the root
    /// of their number.
    pub at: (f64, f64),
}

impl LatentPath {
    /// The principal components of all states of `runs` together: the eigenvectors of the small matrix of their products
    /// with one another, which has the eigenvalues that count of the large one (Turk & Pentland 1991, "Eigenfaces for
    /// Recognition"). In f64. A component has no sign of its own: the first run ends not left of, and not below, where it
    /// begins.
    ///
    /// `None` where there are fewer than two states, where they are all equal, where runs have latents of different sizes,
    /// and where a value is not finite.
    pub fn of(runs: &[Vec<LatentState>]) -> Option<Self> {
        let size = runs.iter().flatten().next()?.values.len();
        let runs = thinned(runs, size);
        let all: Vec<&LatentState> = runs.iter().flatten().copied().collect();
        if all.len() < 2 || size == 0 || all.iter().any(|state| state.values.len() != size) {
            return None;
        }
        let products = products(&all);
        if products.iter().any(|product| !product.is_finite()) {
            return None;
        }
        let variance = products.trace();
        // All states are equal, but for rounding.
        let largest = all.iter().map(|state| product(state, state));
        if variance <= 1e-12 * largest.fold(0.0, f64::max) {
            return None;
        }
        let eigen = SymmetricEigen::new(products);
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let last_of_first = runs.first()?.len().checked_sub(1)?;
        let component = |which: usize| {
            let value = eigen.eigenvalues[order[which]].max(0.0);
            let vector = eigen.eigenvectors.column(order[which]);
            let sign = if vector[last_of_first] < vector[0] {
                -1.0
            } else {
                1.0
            };
            (vector * (sign * value.sqrt()), value / variance)
        };
        let ((first, first_share), (second, second_share)) = (component(0), component(1));
        let mut places = all.iter().enumerate().map(|(index, state)| LatentPlace {
            step: state.step,
            at: (first[index], second[index]),
        });
        let runs = runs.iter();
        Some(Self {
            runs: runs
                .map(|run| places.by_ref().take(run.len()).collect())
                .collect(),
            shares: [first_share, second_share],
        })
    }
}

/// As many states of each run as there is room for, the first and the last among them.
fn thinned(runs: &[Vec<LatentState>], size: usize) -> Vec<Vec<&LatentState>> {
    let room = MOST_STATES.min(MOST_VALUES / size.max(1)) / runs.len().max(1);
    let room = room.max(2);
    let thin = |run: &Vec<LatentState>| -> Vec<usize> {
        let last = run.len().saturating_sub(1);
        match run.len() {
            len if len <= room => (0..len).collect(),
            _ => (0..room).map(|at| at * last / (room - 1)).collect(),
        }
    };
    runs.iter()
        .map(|run| thin(run).into_iter().map(|at| &run[at]).collect())
        .collect()
}

/// The products of all states with one another, each less their mean: `C X Xᵀ C` with the centring matrix `C`.
fn products(all: &[&LatentState]) -> DMatrix<f64> {
    let count = all.len();
    let mut products = DMatrix::zeros(count, count);
    for row in 0..count {
        for column in 0..=row {
            let value = product(all[row], all[column]);
            products[(row, column)] = value;
            products[(column, row)] = value;
        }
    }
    let means: Vec<f64> = products.row_iter().map(|row| row.mean()).collect();
    let mean = means.iter().sum::<f64>() / count as f64;
    DMatrix::from_fn(count, count, |row, column| {
        products[(row, column)] - means[row] - means[column] + mean
    })
}

fn product(a: &LatentState, b: &LatentState) -> f64 {
    let products = a.values.iter().zip(b.values.iter());
    let sum: f64 = products.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    sum / (a.scale * b.scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(states: &[[f32; 3]]) -> Vec<LatentState> {
        let states = states.iter().enumerate();
        states
            .map(|(step, values)| LatentState {
                step,
                values: Arc::from(values.as_slice()),
                scale: 1.0,
            })
            .collect()
    }

    fn is_near(found: (f64, f64), expected: (f64, f64)) -> bool {
        (found.0 - expected.0).abs() < 1e-9 && (found.1 - expected.1).abs() < 1e-9
    }

    #[test]
    fn a_rectangle_lies_as_it_is() {
        // 4 long and 2 wide, in the plane of the first and the last value: variances of 16 and 4 in squares.
        let states = [
            [0.0, 7.0, 0.0],
            [0.0, 7.0, 2.0],
            [4.0, 7.0, 0.0],
            [4.0, 7.0, 2.0],
        ];
        let path = LatentPath::of(&[run(&states)]).unwrap();
        let expected = [(-2.0, -1.0), (-2.0, 1.0), (2.0, -1.0), (2.0, 1.0)];
        for (place, expected) in path.runs[0].iter().zip(expected) {
            assert!(is_near(place.at, expected), "{place:?}");
        }
        assert!(is_near((path.shares[0], path.shares[1]), (0.8, 0.2)));
        // Two runs of the same states share the chart.
        let (one, other) = states.split_at(2);
        let two = LatentPath::of(&[run(one), run(other)]).unwrap();
        assert_eq!((two.runs[0].len(), two.runs[1].len()), (2, 2));
        assert_eq!(two.runs[1][1].step, 1);
        let apart = |a: LatentPlace, b: LatentPlace| (a.at.0 - b.at.0).hypot(a.at.1 - b.at.1);
        assert!((apart(two.runs[0][0], two.runs[1][0]) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn what_has_no_plane_is_left_out() {
        let one = [[1.0, 2.0, 3.0]; 3];
        assert_eq!(LatentPath::of(&[]), None);
        assert_eq!(LatentPath::of(&[run(&one[..1])]), None);
        assert_eq!(LatentPath::of(&[run(&one)]), None, "it never moves");
        let broken = [[1.0, f32::NAN, 3.0], [0.0, 1.0, 2.0]];
        assert_eq!(LatentPath::of(&[run(&broken)]), None);
        let mut other = run(&[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
        other[1].values = Arc::from([1.0_f32; 4].as_slice());
        assert_eq!(LatentPath::of(&[other]), None);
    }

    #[test]
    fn long_runs_are_thinned_and_keep_their_ends() {
        let states: Vec<[f32; 3]> = (0..1001)
            .map(|at| [at as f32, 0.0, (at % 7) as f32])
            .collect();
        let path = LatentPath::of(&[run(&states), run(&states[..3])]).unwrap();
        let steps: Vec<usize> = path.runs[0].iter().map(|place| place.step).collect();
        assert_eq!(steps.len(), MOST_STATES / 2);
        assert_eq!((steps[0], steps[steps.len() - 1]), (0, 1000));
        assert_eq!(path.runs[1].len(), 3);
    }
}
