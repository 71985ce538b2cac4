//! Real pixels, for terminals that have a graphics protocol: printed over the cells that show the same picture, once
//! things have settled. The cells are always drawn; pixels are an ornament that may fail.

mod iterm;
mod kitty;
mod placeholders;
mod protocol;
mod scaled;
mod sixel;

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::RgbImage;
use ratatui::layout::Rect;

use crate::tui::terminal::Limits;
pub use protocol::{Choice, Environment, Protocol, WhyCells, choose};

/// A picture stands still for so long before it is printed in pixels.
const SETTLED: Duration = Duration::from_millis(150);

/// A picture and the cells that show it.
#[derive(Debug, Clone)]
pub struct PlacedPicture {
    pub area: Rect,
    pub image: Arc<RgbImage>,
}

impl PartialEq for PlacedPicture {
    fn eq(&self, other: &Self) -> bool {
        self.area == other.area
            && (Arc::ptr_eq(&self.image, &other.image) || self.image == other.image)
    }
}

/// Something that prints pictures in pixels.
pub trait PixelPrinter {
    /// Prints `picture` over its cells. What fails is simply not there.
    fn print(&mut self, picture: &PlacedPicture, limits: &Limits);
    /// Takes away what was printed. Answers whether the cells beneath must be drawn again.
    fn clear(&mut self) -> bool;
}

/// The printer for a protocol.
pub fn printer(protocol: Protocol) -> Box<dyn PixelPrinter> {
    match protocol {
        Protocol::Kitty => Box::new(kitty::Kitty),
        Protocol::Placeholders => Box::new(placeholders::Placeholders::default()),
        Protocol::Iterm => Box::new(iterm::Iterm),
        Protocol::Sixel => Box::new(sixel::Sixel),
    }
}

/// Decides when pictures are printed and taken away.
pub struct Pixels {
    printer: Option<Box<dyn PixelPrinter>>,
    limits: Limits,
    wanted: Vec<PlacedPicture>,
    since: Instant,
    printed: bool,
    /// Is something on the screen that no longer belongs there?
    stale: bool,
}

impl Pixels {
    /// Prints with `printer`; without one nothing is ever printed.
    pub fn new(printer: Option<Box<dyn PixelPrinter>>) -> Self {
        Self {
            printer,
            limits: Limits::default(),
            wanted: Vec::new(),
            since: Instant::now(),
            printed: false,
            stale: false,
        }
    }

    /// Prints with another printer from now on.
    pub fn change_printer(&mut self, printer: Option<Box<dyn PixelPrinter>>, now: Instant) {
        self.forget(now);
        self.printer = printer;
    }

    /// Pictures have to keep to this from now on.
    pub fn change_limits(&mut self, limits: Limits, now: Instant) {
        self.forget(now);
        self.limits = limits;
    }

    /// A frame was drawn that shows `pictures`. Answers whether all cells must be drawn again, because other pictures
    /// were printed over them.
    pub fn frame(&mut self, pictures: Vec<PlacedPicture>, now: Instant) -> bool {
        let is_stale = std::mem::take(&mut self.stale);
        if self.printer.is_none() || pictures == self.wanted {
            return is_stale;
        }
        self.wanted = pictures;
        self.since = now;
        self.take_away() || is_stale
    }

    /// The whole screen was drawn anew, after a resize or a suspension: what was printed is gone or misplaced.
    pub fn forget(&mut self, now: Instant) {
        self.stale |= self.take_away();
        self.since = now;
    }

    /// How long until something is to be printed; `None` when nothing is.
    pub fn due(&self, now: Instant) -> Option<Duration> {
        let waits = self.printer.is_some() && !self.printed && !self.wanted.is_empty();
        waits.then(|| (self.since + SETTLED).saturating_duration_since(now))
    }

    pub fn print_settled(&mut self, now: Instant) {
        if self.due(now) == Some(Duration::ZERO)
            && let Some(printer) = &mut self.printer
        {
            for picture in &self.wanted {
                printer.print(picture, &self.limits);
            }
            self.printed = true;
        }
    }

    /// Takes away what was printed. Answers whether the cells beneath must be drawn again.
    pub fn take_away(&mut self) -> bool {
        let printed = std::mem::take(&mut self.printed);
        match &mut self.printer {
            Some(printer) if printed => printer.clear(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// Writes down what it is asked to do.
    struct Recording(Rc<RefCell<Vec<String>>>);

    impl PixelPrinter for Recording {
        fn print(&mut self, picture: &PlacedPicture, _: &Limits) {
            let Rect { x, y, .. } = picture.area;
            self.0.borrow_mut().push(format!("print at {x},{y}"));
        }

        fn clear(&mut self) -> bool {
            self.0.borrow_mut().push("clear".to_owned());
            false
        }
    }

    fn picture(x: u16, level: u8) -> Vec<PlacedPicture> {
        vec![PlacedPicture {
            area: Rect::new(x, 2, 10, 5),
            image: Arc::new(RgbImage::from_pixel(2, 2, image::Rgb([level; 3]))),
        }]
    }

    #[test]
    fn a_picture_is_printed_once_when_it_has_settled_and_cleared_when_it_changes() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut pixels = Pixels::new(Some(Box::new(Recording(Rc::clone(&log)))));
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        // Two quick changes: nothing is printed for the first.
        pixels.frame(picture(1, 10), at(0));
        pixels.print_settled(at(100));
        pixels.frame(picture(3, 20), at(100));
        pixels.print_settled(at(200));
        assert!(log.borrow().is_empty());
        assert_eq!(pixels.due(at(200)), Some(Duration::from_millis(50)));
        pixels.print_settled(at(250));
        pixels.print_settled(at(300));
        // The same picture in a later frame is left alone.
        pixels.frame(picture(3, 20), at(400));
        assert_eq!(pixels.due(at(400)), None);
        pixels.frame(Vec::new(), at(500));
        assert_eq!(*log.borrow(), ["print at 3,2", "clear"]);
    }

    #[test]
    fn without_a_printer_nothing_is_ever_due() {
        let mut pixels = Pixels::new(None);
        let now = Instant::now();
        assert!(!pixels.frame(picture(0, 1), now));
        assert_eq!(pixels.due(now), None);
    }
}
