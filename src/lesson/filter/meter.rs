//! Limits on the work of a filter.

use std::cell::Cell;
use std::time::{Duration, Instant};

use jaq_json::Val;

/// Values that a filter may work out, one after another.
const VALUES: u64 = 2_000_000;
/// The most that a single value may hold: numbers, texts and lists in it, and 16 bytes of text count as one.
const SIZE: usize = 1_000_000;
/// How deep lists and objects may lie in one another.
const DEPTH: usize = 64;
/// The longest that a filter may take: only a slow machine gets there before the other limits.
const TIME: Duration = Duration::from_secs(20);

/// Counts what a filter does.
#[derive(Debug)]
pub struct Meter {
    left: Cell<u64>,
    exceeded: Cell<Option<Limit>>,
    start: Instant,
}

/// What a filter did too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    #[error("it does not come to an end: more than {VALUES} values were worked out")]
    Work,
    #[error("it makes a value of more than {SIZE} parts")]
    Size,
    /// A value is nested too deeply.
    #[error("it makes a value that is nested more than {DEPTH} deep")]
    Depth,
    #[error("it takes longer than {} s", TIME.as_secs())]
    Time,
}

impl Meter {
    /// A meter that has counted nothing.
    pub fn new() -> Self {
        Self {
            left: Cell::new(VALUES),
            exceeded: Cell::new(None),
            start: Instant::now(),
        }
    }

    /// The limit that was exceeded first, if one was.
    pub fn exceeded(&self) -> Option<Limit> {
        self.exceeded.get()
    }

    /// Counts `values`; fails once there were too many.
    pub fn spend(&self, values: u64) -> Result<(), Limit> {
        if let Some(limit) = self.exceeded.get() {
            return Err(limit);
        }
        let left = self.left.get();
        if left < values {
            return Err(self.exceed(Limit::Work));
        }
        self.left.set(left - values);
        // The clock is slow to ask.
        if (left / 64 != (left - values) / 64) && self.start.elapsed() > TIME {
            return Err(self.exceed(Limit::Time));
        }
        Ok(())
    }

    /// Counts a value that was made: by its size, which is limited, as is its depth.
    pub fn weigh(&self, value: &Val) -> Result<(), Limit> {
        let mut size = 0;
        let mut open = vec![(value, 0)];
        while let Some((value, depth)) = open.pop() {
            size += 1;
            match value {
                Val::Arr(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
                Val::Obj(members) => {
                    let parts = members.iter().flat_map(|(key, value)| [key, value]);
                    open.extend(parts.map(|part| (part, depth + 1)));
                }
                Val::BStr(text) | Val::TStr(text) => size += text.len() / 16,
                _ => {}
            }
            if depth > DEPTH {
                return Err(self.exceed(Limit::Depth));
            }
            if size + open.len() > SIZE {
                return Err(self.exceed(Limit::Size));
            }
        }
        self.spend(1 + size as u64 / 4)
    }

    fn exceed(&self, limit: Limit) -> Limit {
        self.exceeded.set(Some(limit));
        limit
    }
}
