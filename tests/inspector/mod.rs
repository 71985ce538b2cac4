//! The inspector as a reader uses it: keys are pressed, the worker computes, the screen is looked at.
//!
//! Compiled into the library, so that these tests reach what it does not offer to others.

mod chinese;
mod closer;
mod effects;
mod files;
mod first_minute;
mod keys;
mod large;
mod lesson_models;
mod lessons;
mod narrow;
mod network;
mod screens;
mod support;
mod watches;
