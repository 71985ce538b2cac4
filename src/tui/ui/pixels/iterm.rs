//! iTerm2's inline images, printed by viuer.

use image::DynamicImage;

use super::{PixelPrinter, PlacedPicture, scaled};
use crate::tui::terminal::Limits;

pub struct Iterm;

impl PixelPrinter for Iterm {
    fn print(&mut self, picture: &PlacedPicture, limits: &Limits) {
        let area = picture.area;
        let Ok(y) = i16::try_from(area.y) else {
            return;
        };
        let config = viuer::Config {
            transparent: true,
            absolute_offset: true,
            x: area.x,
            y,
            restore_cursor: true,
            width: Some(u32::from(area.width)),
            height: Some(u32::from(area.height)),
            truecolor: true,
            // It would ask the terminal, and wait for the answer among what is typed.
            use_kitty: false,
            use_iterm: true,
            ..viuer::Config::default()
        };
        let image = scaled::at_most(&picture.image, area, limits.cell).into_owned();
        // An error leaves the cells: nothing is lost.
        let _ = viuer::print(&DynamicImage::ImageRgb8(image), &config);
    }

    fn clear(&mut self) -> bool {
        // A picture replaces the cells beneath it.
        true
    }
}
