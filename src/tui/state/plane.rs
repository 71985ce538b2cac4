//! A plane of numbers at another size.

use std::ops::Range;

/// `height * width` values, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    pub values: &'a [f32],
    pub width: usize,
    pub height: usize,
}

impl Plane<'_> {
    pub fn mean(&self, columns: Range<usize>, rows: Range<usize>) -> f32 {
        let count = (columns.len() * rows.len()) as f32;
        let values = rows.flat_map(|row| &self.values[row * self.width..][columns.clone()]);
        values.sum::<f32>() / count
    }

    /// The value at `across` and `down`, both from 0 to 1, interpolated between the values around it.
    pub fn sample(&self, across: f32, down: f32) -> f32 {
        let place = |position: f32, count: usize| {
            let place = (position * count as f32 - 0.5).clamp(0.0, (count - 1) as f32);
            let low = place as usize;
            (low, (low + 1).min(count - 1), place - low as f32)
        };
        if self.values.len() < self.width * self.height || self.values.is_empty() {
            return 0.0;
        }
        let (left, right, x) = place(across, self.width);
        let (top, bottom, y) = place(down, self.height);
        let at = |row: usize, column: usize| self.values[row * self.width + column];
        let upper = at(top, left) * (1.0 - x) + at(top, right) * x;
        let lower = at(bottom, left) * (1.0 - x) + at(bottom, right) * x;
        upper * (1.0 - y) + lower * y
    }

    /// The same values at another `(width, height)`: means where that is smaller, interpolated where it is larger. Maps
    /// of different sizes become comparable (as DAAM does). All zero where there are fewer values than the size says.
    pub fn resample(&self, to: (usize, usize)) -> Vec<f32> {
        let from = (self.width, self.height);
        if self.values.len() < from.0 * from.1 || from.0 == 0 || from.1 == 0 {
            return vec![0.0; to.0 * to.1];
        }
        if from == to {
            return self.values.to_vec();
        }
        let shrinks = to.0 <= from.0 && to.1 <= from.1;
        let middle = |index: usize, count: usize| (index as f32 + 0.5) / count as f32;
        (0..to.1)
            .flat_map(|y| (0..to.0).map(move |x| (x, y)))
            .map(|(x, y)| {
                if shrinks {
                    self.mean(covered(x, to.0, from.0), covered(y, to.1, from.1))
                } else {
                    self.sample(middle(x, to.0), middle(y, to.1))
                }
            })
            .collect()
    }
}

/// The values that pixel `index` of `pixels` covers, of `count`: at least one.
pub fn covered(index: usize, pixels: usize, count: usize) -> Range<usize> {
    let start = index * count / pixels;
    let end = ((index + 1) * count / pixels).max(start + 1);
    start..end.min(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_shrinks_to_means_and_grows_in_whole_multiples() {
        assert_eq!(covered(0, 2, 4), 0..2);
        assert_eq!(covered(3, 8, 4), 1..2);
        let plane = Plane {
            values: &[0.0, 1.0],
            width: 2,
            height: 1,
        };
        assert_eq!(plane.resample((4, 1)), [0.0, 0.25, 0.75, 1.0]);
    }
}
