//! The engine by what the library offers, beside diffusers where there is something to compare.

mod architecture;
mod checkpoint;
mod determinism;
mod export;
mod parity;
mod precision;
mod random;
mod replay;
mod schedulers;
mod single_file;
mod tokenizer;
mod v2;
