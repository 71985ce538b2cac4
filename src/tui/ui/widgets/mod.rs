//! The parts that views are made of.

pub mod bars;
pub mod choice;
pub mod curve;
pub mod half_blocks;
pub mod heat_map;
pub mod histogram;
pub mod key_line;
pub mod picture;
pub mod sheet;
pub mod tabs;
pub mod timeline;
pub mod token_strip;
