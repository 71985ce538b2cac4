//! Diffuscope: a microscope for text-to-image diffusion.
//!
//! The library is the whole engine and needs no terminal. Its modules, in the order in which data flows through them;
//! imports only ever point up this list, which a test holds:
//!
//! 1. `text`: text from outside, made harmless for a terminal;
//! 2. `signals`: signals, as shells and terminals expect a program to take them;
//! 3. `random`: torch's CPU random generator, bit for bit;
//! 4. `kernels`: the arithmetic that takes the time, on the CPU and on a GPU;
//! 5. `model`: the networks (tokenizer, text encoder, UNet, autoencoder), with a hook at every named site;
//! 6. `scheduler`: noise schedules and samplers;
//! 7. `checkpoint`: find, read and validate a Stable Diffusion checkpoint;
//! 8. `generation`: the stage machine: a request goes in, one stage or one denoising step at a time comes out;
//! 9. `trace`: what a run leaves in memory: statistics, copies of tensors, attention;
//! 10. `export`: what leaves a run: the exported document, pictures, files; and recorded runs read back;
//! 11. `lesson`: lessons: read, checked against a run, and kept track of;
//! 12. `tui`: the inspector;
//! 13. `cli`: the command line's arguments;
//! 14. `commands`: one file a command.

mod checkpoint;
mod cli;
mod commands;
mod export;
mod generation;
mod kernels;
mod lesson;
mod model;
mod random;
mod scheduler;
#[cfg(unix)]
mod signals;
mod text;
mod trace;
mod tui;

/// The whole program: parses the command line, does what it asks for, and says how the process ends.
pub use commands::main;

// A checkpoint, and the pipeline that it is loaded into.
pub use checkpoint::{BrokenWeight, Checkpoint, CheckpointError, Component, Repository, Source};
pub use generation::{DecoderType, DeviceChoice, NumberTypes, Pipeline, Precision};
pub use model::config;

// What is asked for, and the stage machine that does it.
pub use generation::{
    BranchPoint, Decoded, Donor, DonorStep, Donors, Error as GenerationError, Generation,
    GenerationState, Intervention, LeftOutOf, Patch, PatchChange, Request, RequestError, Stage,
    StageOutput, StepRange, TakenFrom, WordChange,
};
pub use scheduler::{
    BetaSchedule, PredictionType, Schedule, SchedulerConfig, SchedulerKind, TimestepSpacing,
};

// Looking at, and replacing, what passes through a network.
pub use model::hook;
pub use model::{AttentionDetail, Error as ModelError, Hook, NoHook, layers};

// What a run leaves behind, in memory and in files.
pub use export::{
    Export, ExportOptions, OutputFile, OutputFolder, Replay, RunMetadata, TensorSelection,
    Verified, document, open_donors,
};
pub use trace::{
    AttentionKind, AttentionMaps, CancelToken, Components, Event, Features, Fitted, Guidance,
    HeadSummary, NotFinite, Probe, ProbePlace, Projections, RecordOptions, Recorder, Row, Stats,
    TensorData, Trace,
};

// What reads bytes from outside, for `cargo fuzz` and for the test that does the same in a few seconds.
#[cfg(any(test, fuzzing))]
#[path = "../tests/fuzz/targets/mod.rs"]
pub mod fuzz;

// These tests are compiled into the library and name it as all others do.
#[cfg(test)]
extern crate self as diffuscope;
#[cfg(test)]
#[path = "../tests/inspector/mod.rs"]
mod inspector_tests;
#[cfg(test)]
#[path = "../tests/library/mod.rs"]
mod library_tests;
