//! The engine, beside diffusers where there is something to compare.
//!
//! Compiled into the library, so that these tests reach what it does not offer to others.

mod architecture;
mod attention;
mod checkpoint;
mod config_keys;
mod determinism;
mod effects;
mod export;
mod fuzz;
mod parity;
mod patches;
mod precision;
mod probe;
mod random;
pub(crate) mod replay;
mod schedulers;
mod tokenizer;
mod tokenizer_folders;
mod v2;
mod weight_files;
