//! The program as a user starts it: what it prints, writes and answers.

mod cli;
mod hub;
mod lesson;
mod not_finite;
mod single_file;
mod terminal;
mod watch;
