//! Distances from the goldens, gathered: the largest of each kind is printed, and all that exceed a bound fail the test.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use image::RgbImage;

/// The largest distances of one test, by kind of value.
pub struct Table {
    title: &'static str,
    rows: BTreeMap<String, Row>,
    failures: Vec<String>,
}

struct Row {
    bound: String,
    largest: f64,
    place: String,
    values: usize,
    floor: Option<f32>,
}

impl Table {
    pub fn new(title: &'static str) -> Self {
        Self {
            title,
            rows: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    /// Absolute distances of at most `bound`.
    pub fn near(&mut self, kind: &str, bound: f32, place: &str, ours: &[f32], golden: &[f32]) {
        let largest = farthest(ours, golden);
        self.add(
            kind,
            f64::from(bound),
            &format!("{bound:.0e}"),
            place,
            largest,
            (ours, golden),
        );
    }

    /// Absolute distances of at most `bound`, or of four times PyTorch's own distance from itself where that is more.
    pub fn near_or_own(
        &mut self,
        kind: &str,
        (bound, own): (f32, f32),
        place: &str,
        ours: &[f32],
        golden: &[f32],
    ) {
        let bound = f64::from(bound.max(4.0 * own));
        let largest = farthest(ours, golden);
        self.add(
            kind,
            bound,
            "4 × PyTorch itself",
            place,
            largest,
            (ours, golden),
        );
    }

    /// Distances of at most `bound`, relative to values above 1.
    pub fn near_relative(
        &mut self,
        kind: &str,
        bound: f32,
        place: &str,
        ours: &[f32],
        golden: &[f32],
    ) {
        let scaled = |values: &[f32]| -> Vec<f32> {
            let pairs = values.iter().zip(golden);
            pairs
                .map(|(value, golden)| value / golden.abs().max(1.0))
                .collect()
        };
        assert_eq!(
            ours.len(),
            golden.len(),
            "{place}: another number of values"
        );
        self.near(kind, bound, place, &scaled(ours), &scaled(golden));
    }

    /// Distances of at most `bound` in units of the last place.
    pub fn ulps(&mut self, kind: &str, bound: u64, place: &str, ours: &[f32], golden: &[f32]) {
        let distances = ours
            .iter()
            .zip(golden)
            .map(|(ours, golden)| ulps(*ours, *golden));
        let largest = distances.max().unwrap_or(0) as f64;
        self.add(
            kind,
            bound as f64,
            &format!("{bound} ulp"),
            place,
            largest,
            (ours, golden),
        );
    }

    /// The same bits.
    pub fn bits(&mut self, kind: &str, place: &str, ours: &[f32], golden: &[f32]) {
        let pairs = ours.iter().zip(golden);
        let different = pairs.filter(|(ours, golden)| ours.to_bits() != golden.to_bits());
        let different = different.count() as f64;
        self.add(kind, 0.0, "exact", place, different, (ours, golden));
    }

    /// Channels of at most one level's distance, of 255.
    pub fn pixels(&mut self, place: &str, ours: &RgbImage, golden: &RgbImage) {
        assert_eq!(ours.dimensions(), golden.dimensions(), "{place}");
        let levels = |image: &RgbImage| image.iter().map(|level| f32::from(*level)).collect();
        let (ours, golden): (Vec<f32>, Vec<f32>) = (levels(ours), levels(golden));
        let largest = ours
            .iter()
            .zip(&golden)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        self.add(
            "pixels",
            1.0,
            "1 of 255",
            place,
            f64::from(largest),
            (&ours, &golden),
        );
    }

    /// Adds PyTorch's distance from itself to the kinds for which it is known.
    pub fn floor(&mut self, floor: &BTreeMap<String, f32>) {
        for (kind, row) in &mut self.rows {
            row.floor = floor.get(kind).copied();
        }
    }

    /// Prints the table, and panics where a bound was exceeded.
    pub fn finish(self) {
        let (text, failures) = self.result();
        println!("{text}");
        assert!(
            failures.is_empty(),
            "{text}\nbeyond the bound:\n{}",
            failures.join("\n")
        );
    }

    /// The table as Markdown, and a line for each bound that was exceeded.
    pub fn result(self) -> (String, Vec<String>) {
        let mut text = format!(
            "\n{}\n\n| values | bound | largest | PyTorch itself | compared | where |\n|---|---|---|---|---|---|\n",
            self.title
        );
        for (kind, row) in &self.rows {
            let floor = row
                .floor
                .map_or(String::new(), |floor| shown(f64::from(floor)));
            let place = if row.largest > 0.0 { &row.place } else { "" };
            let (bound, largest, values) = (&row.bound, shown(row.largest), row.values);
            writeln!(
                text,
                "| {kind} | {bound} | {largest} | {floor} | {values} | {place} |"
            )
            .expect("a string takes all");
        }
        (text, self.failures)
    }

    fn add(
        &mut self,
        kind: &str,
        bound: f64,
        shown_bound: &str,
        place: &str,
        largest: f64,
        (ours, golden): (&[f32], &[f32]),
    ) {
        assert_eq!(
            ours.len(),
            golden.len(),
            "{place}: another number of values"
        );
        assert!(!golden.is_empty(), "{place}: nothing to compare with");
        if largest > bound {
            self.failures
                .push(format!("  {kind}, {place}: {largest:.3e} > {shown_bound}"));
        }
        let row = self.rows.entry(kind.to_owned()).or_insert_with(|| Row {
            bound: shown_bound.to_owned(),
            largest,
            place: place.to_owned(),
            values: 0,
            floor: None,
        });
        row.values += golden.len();
        if largest > row.largest {
            (row.largest, row.place) = (largest, place.to_owned());
        }
    }
}

/// The largest absolute distance; infinite where there is NaN.
fn farthest(ours: &[f32], golden: &[f32]) -> f64 {
    let distances = ours.iter().zip(golden).map(|(ours, golden)| {
        let distance = f64::from(*ours) - f64::from(*golden);
        if distance.is_nan() {
            f64::INFINITY
        } else {
            distance.abs()
        }
    });
    distances.fold(0.0, f64::max)
}

fn shown(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1e}")
    }
}

/// How many f32 numbers apart two numbers are; 0 and -0 are the same, and NaN is far from everything.
pub fn ulps(a: f32, b: f32) -> u64 {
    if a.is_nan() || b.is_nan() {
        return u64::MAX;
    }
    let ordered = |value: f32| {
        let bits = i64::from(value.to_bits() & 0x7fff_ffff);
        if value.is_sign_negative() {
            -bits
        } else {
            bits
        }
    };
    ordered(a).abs_diff(ordered(b))
}
