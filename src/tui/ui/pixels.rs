//! Real pixels, for terminals that have a graphics protocol: printed over the cells that show the same picture, once
//! things have settled. The cells are always drawn; pixels are an ornament that may fail.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::{DynamicImage, RgbImage};
use ratatui::layout::Rect;

use crate::tui::ImageMode;

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
    fn print(&mut self, picture: &PlacedPicture);
    /// Takes away what was printed. Answers whether the cells beneath must be drawn again.
    fn clear(&mut self) -> bool;
}

/// Decides when pictures are printed and taken away.
pub struct Pixels {
    printer: Option<Box<dyn PixelPrinter>>,
    wanted: Vec<PlacedPicture>,
    since: Instant,
    printed: bool,
}

impl Pixels {
    /// Prints with `printer`; without one nothing is ever printed.
    pub fn new(printer: Option<Box<dyn PixelPrinter>>) -> Self {
        Self {
            printer,
            wanted: Vec::new(),
            since: Instant::now(),
            printed: false,
        }
    }

    /// A frame was drawn that shows `pictures`. Answers whether all cells must be drawn again, because other pictures
    /// were printed over them.
    pub fn frame(&mut self, pictures: Vec<PlacedPicture>, now: Instant) -> bool {
        if self.printer.is_none() || pictures == self.wanted {
            return false;
        }
        self.wanted = pictures;
        self.since = now;
        self.take_away()
    }

    /// The whole screen was drawn anew, after a resize or a suspension: what was printed is gone or misplaced.
    pub fn forget(&mut self, now: Instant) {
        self.take_away();
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
                printer.print(picture);
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

/// The protocol that a terminal is likely to have, by its environment. `variable` looks an environment variable up.
///
/// Asking the terminal itself can block for ever on one that does not answer, so it is asked only where there is reason
/// to expect an answer. tmux and screen do not pass pictures through.
fn likely(mode: ImageMode, variable: impl Fn(&str) -> Option<String>) -> Protocol {
    let is = |name: &str, wanted: &[&str]| {
        let value = variable(name).unwrap_or_default().to_lowercase();
        wanted.iter().any(|wanted| value.contains(wanted))
    };
    let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    if mode == ImageMode::Cells
        || set("TMUX")
        || set("STY")
        || set("NO_COLOR")
        || variable("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
    {
        Protocol::None
    } else if is("TERM_PROGRAM", &["iterm", "mintty"]) || is("LC_TERMINAL", &["iterm"]) {
        Protocol::Iterm
    } else if set("KITTY_WINDOW_ID")
        || is("TERM", &["kitty", "ghostty"])
        || is("TERM_PROGRAM", &["kitty", "ghostty", "wezterm"])
        || set("KONSOLE_VERSION")
        || mode == ImageMode::Pixels
    {
        Protocol::Kitty
    } else {
        Protocol::None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    None,
    Kitty,
    Iterm,
}

/// The printer for this terminal, if it has a graphics protocol. May ask the terminal, and so must be called on the
/// thread that owns it, in raw mode, before the first event is read.
pub fn printer(mode: ImageMode) -> Option<Box<dyn PixelPrinter>> {
    let protocol = likely(mode, |name| std::env::var(name).ok());
    let available = match protocol {
        Protocol::None => false,
        Protocol::Kitty => viuer::get_kitty_support() != viuer::KittySupport::None,
        Protocol::Iterm => viuer::is_iterm_supported(),
    };
    available.then(|| Box::new(Viuer { protocol }) as Box<dyn PixelPrinter>)
}

struct Viuer {
    protocol: Protocol,
}

impl PixelPrinter for Viuer {
    fn print(&mut self, picture: &PlacedPicture) {
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
            use_kitty: self.protocol == Protocol::Kitty,
            use_iterm: self.protocol == Protocol::Iterm,
            ..viuer::Config::default()
        };
        // An error after printing (a terminal that answers late) leaves the cells: nothing is lost.
        let _ = viuer::print(&DynamicImage::ImageRgb8((*picture.image).clone()), &config);
    }

    fn clear(&mut self) -> bool {
        if self.protocol == Protocol::Kitty {
            let mut stdout = std::io::stdout();
            let _ = stdout.write_all(b"\x1b_Ga=d,d=A,q=2\x1b\\");
            let _ = stdout.flush();
        }
        // The others' pictures replaced the cells beneath them.
        self.protocol == Protocol::Iterm
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
        fn print(&mut self, picture: &PlacedPicture) {
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

    #[test]
    fn a_terminal_is_asked_only_where_it_will_answer() {
        let likely = |mode, variables: &[(&str, &str)]| {
            likely(mode, |name| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let kitty = [("TERM", "xterm-kitty"), ("KITTY_WINDOW_ID", "1")];
        assert_eq!(likely(ImageMode::Auto, &kitty), Protocol::Kitty);
        assert_eq!(likely(ImageMode::Cells, &kitty), Protocol::None);
        let in_tmux = [("TERM", "xterm-kitty"), ("TMUX", "/tmp/tmux")];
        assert_eq!(likely(ImageMode::Pixels, &in_tmux), Protocol::None);
        let plain = [("TERM", "xterm-256color")];
        assert_eq!(likely(ImageMode::Auto, &plain), Protocol::None);
        assert_eq!(likely(ImageMode::Pixels, &plain), Protocol::Kitty);
        let dumb = [("TERM", "dumb")];
        assert_eq!(likely(ImageMode::Pixels, &dumb), Protocol::None);
        let iterm = [("TERM", "xterm-256color"), ("TERM_PROGRAM", "iTerm.app")];
        assert_eq!(likely(ImageMode::Auto, &iterm), Protocol::Iterm);
    }
}
