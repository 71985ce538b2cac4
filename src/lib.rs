//! Diffuscope: a microscope for text-to-image diffusion.
//!
//! The library is the whole engine and needs no terminal. Its modules, in the order in which data flows through them;
//! imports only ever point up this list, which a test holds:
//!
//! 1. `text`: text from outside, made harmless for a terminal;
//! 2. [`random`]: torch's CPU random generator, bit for bit;
//! 3. [`kernels`]: the arithmetic that takes the time, on the CPU and on a GPU;
//! 4. [`model`]: the networks (tokenizer, text encoder, UNet, autoencoder), with a hook at every named site;
//! 5. [`scheduler`]: noise schedules and samplers;
//! 6. [`checkpoint`]: find, read and validate a Stable Diffusion checkpoint;
//! 7. [`generation`]: the stage machine: a request goes in, one stage or one denoising step at a time comes out;
//! 8. [`trace`]: what a run leaves in memory: statistics, copies of tensors, attention;
//! 9. [`export`]: what leaves a run: the exported document, pictures, files; and recorded runs read back;
//! 10. [`lesson`]: lessons: read, checked against a run, and kept track of;
//! 11. [`tui`]: the inspector;
//! 12. [`cli`]: the command line's arguments;
//! 13. [`commands`]: one file a command.

// The tests in tests/inspector are compiled into the library and name it as all others do.
#[cfg(test)]
extern crate self as diffuscope;

pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod export;
pub mod generation;
pub mod kernels;
pub mod lesson;
pub mod model;
pub mod random;
pub mod scheduler;
mod text;
pub mod trace;
pub mod tui;
