//! Diffuscope: a microscope for text-to-image diffusion.
//!
//! The library is the whole engine and needs no terminal. Its modules, in the
//! order in which data flows through them (imports only ever point up this list):
//!
//! 1. [`checkpoint`]: find, read and validate a Stable Diffusion v1 checkpoint;
//! 2. [`model`]: the networks (tokenizer, text encoder, UNet, autoencoder), with a hook at every named site;
//! 3. [`random`]: torch's CPU random generator, bit for bit;
//! 4. [`scheduler`]: noise schedules and samplers;
//! 5. [`generation`]: the stage machine: a request goes in, one stage or one denoising step at a time comes out;
//! 6. [`trace`]: what a run leaves behind: statistics, snapshots, attention, the exported document;
//! 7. [`lesson`]: lessons: read, checked against a run, and kept track of;
//! 8. [`tui`]: the inspector.
//!
//! [`cli`] and [`commands`] are the command line on top of all of it.

pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod generation;
pub mod lesson;
pub mod model;
pub mod random;
pub mod scheduler;
pub mod trace;
pub mod tui;
