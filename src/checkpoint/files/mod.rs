//! The files of a checkpoint: which there are ([`locate`]), where their bytes come from ([`storage`]), and what stands
//! in them, be it a folder in diffusers' layout ([`folder`]) or a single file with the original names
//! ([`single_file`]).

pub(super) mod contents;
pub(super) mod digest;
pub mod embedded;
pub(super) mod folder;
pub(super) mod locate;
mod single_file;
mod storage;
pub(super) mod tokenizer;
pub(super) mod weights;

pub use embedded::NAME as EMBEDDED;
pub(super) use storage::{Bytes, Files};
pub(super) use weights::Index;
