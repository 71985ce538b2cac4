//! What was tried and did not work is not tried again, and the first reason is kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::OnceLock;

/// Answers that were found, or the reasons why not, by what they are answers to.
#[derive(Debug)]
pub struct Tried<K, V>(HashMap<K, Result<V, String>>);

impl<K, V> Default for Tried<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Clone> Tried<K, V> {
    /// The answer for `key`, which `find` gives the first time that it is asked for.
    pub fn get<E: std::fmt::Display>(
        &mut self,
        key: K,
        find: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, String> {
        let found = || find().map_err(|error| error.to_string());
        self.0.entry(key).or_insert_with(found).clone()
    }

    /// `key` does not work, for `reason`, although an answer was found.
    pub fn refuse(&mut self, key: K, reason: &str) {
        self.0.insert(key, Err(reason.to_owned()));
    }
}

/// The first reason that it was told.
#[derive(Debug)]
pub struct First(OnceLock<String>);

impl First {
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub fn tell(&self, reason: &str) {
        self.0.get_or_init(|| reason.to_owned());
    }

    pub fn get(&self) -> Option<String> {
        self.0.get().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_not_tried_again() {
        let mut tried = Tried::default();
        assert_eq!(tried.get(1, || Err::<u8, _>("no")), Err("no".to_owned()));
        assert_eq!(tried.get(1, || Ok::<_, String>(5)), Err("no".to_owned()));
        assert_eq!(tried.get(2, || Ok::<_, String>(7)), Ok(7));
        assert_eq!(tried.get(2, || Err("later")), Ok(7));
        tried.refuse(2, "not after all");
        assert_eq!(
            tried.get(2, || Ok::<_, String>(7)),
            Err("not after all".to_owned())
        );
    }

    #[test]
    fn of_several_reasons_the_first_is_kept() {
        let first = First::new();
        assert_eq!(first.get(), None);
        first.tell("libcudnn_cnn.so.9 is missing");
        first.tell("no such handle");
        assert_eq!(first.get().as_deref(), Some("libcudnn_cnn.so.9 is missing"));
    }
}
