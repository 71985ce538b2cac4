//! Every colour of the inspector, in one place.
//!
//! Text keeps the terminal's own foreground and background, so that light and dark terminals both work; the few
//! colours that are set are legible on either. A monochrome theme sets no colour at all, only bold, dim and reverse:
//! a terminal library that honours `NO_COLOR` answers a colour with an empty SGR sequence, which would cancel those.

use ratatui::style::{Color, Modifier, Style};

use crate::export::colour_map::{Rgb, luminance};

const ACCENT: Rgb = [32, 158, 186];
const MUTED: Rgb = [124, 131, 143];
const RULE: Rgb = [84, 91, 104];
const GOOD: Rgb = [62, 158, 98];
const WARNING: Rgb = [200, 128, 28];
const ERROR: Rgb = [220, 80, 74];

/// How many colours the terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colours {
    /// 24 bits a cell.
    #[default]
    True,
    /// The 256-colour palette.
    Indexed,
    /// None: shades and text attributes only.
    None,
}

impl Colours {
    /// What the environment says. `variable` looks an environment variable up.
    ///
    /// `NO_COLOR` (any value that is not empty) and `TERM=dumb` mean none; `COLORTERM=truecolor` or `24bit` and
    /// terminals that are known for it mean 24 bits; anything else 256 colours.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is =
            |name: &str, test: fn(&str) -> bool| variable(name).is_some_and(|value| test(&value));
        if is("NO_COLOR", |value| !value.is_empty())
            || is("TERM", |term| term == "dumb" || term.starts_with("vt1"))
        {
            Self::None
        } else if is("COLORTERM", |value| matches!(value, "truecolor" | "24bit"))
            || is("TERM", |term| {
                term.contains("direct") || term.contains("kitty")
            })
        {
            Self::True
        } else {
            Self::Indexed
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Theme {
    colours: Colours,
}

#[allow(clippy::unused_self)] // All styles are asked for alike.
impl Theme {
    pub fn new(colours: Colours) -> Self {
        Self { colours }
    }

    pub fn is_monochrome(self) -> bool {
        self.colours == Colours::None
    }

    /// The nearest colour that the terminal has; `None` where it has none.
    pub fn colour(self, rgb: Rgb) -> Option<Color> {
        match self.colours {
            Colours::True => Some(Color::Rgb(rgb[0], rgb[1], rgb[2])),
            Colours::Indexed => Some(Color::Indexed(nearest_index(rgb))),
            Colours::None => None,
        }
    }

    /// Ordinary text: the terminal's own colours.
    pub fn text(self) -> Style {
        Style::new()
    }

    /// Context: labels, units, what is not the subject.
    pub fn muted(self) -> Style {
        self.foreground(MUTED, Modifier::DIM)
    }

    pub fn rule(self) -> Style {
        self.foreground(RULE, Modifier::DIM)
    }

    pub fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The selection, as text.
    pub fn accent(self) -> Style {
        self.foreground(ACCENT, Modifier::empty())
            .add_modifier(Modifier::BOLD)
    }

    /// The selection, as a bar: text on the accent colour.
    pub fn selected(self) -> Style {
        match (self.colour([255, 255, 255]), self.colour([18, 108, 132])) {
            (Some(foreground), Some(background)) => Style::new()
                .fg(foreground)
                .bg(background)
                .add_modifier(Modifier::BOLD),
            _ => Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    /// The selection where something is selected; else `otherwise`.
    pub fn accent_if(self, is_selected: bool, otherwise: Style) -> Style {
        if is_selected {
            self.accent()
        } else {
            otherwise
        }
    }

    /// The same, as a bar.
    pub fn selected_if(self, is_selected: bool, otherwise: Style) -> Style {
        if is_selected {
            self.selected()
        } else {
            otherwise
        }
    }

    pub fn good(self) -> Style {
        self.foreground(GOOD, Modifier::empty())
    }

    pub fn warning(self) -> Style {
        self.foreground(WARNING, Modifier::BOLD)
    }

    pub fn error(self) -> Style {
        self.foreground(ERROR, Modifier::BOLD)
    }

    /// Text that can be read on a cell of colour `background`.
    pub fn on(self, background: Rgb) -> Style {
        let light = luminance(background) > 0.45;
        let text = if light { [16, 16, 20] } else { [236, 236, 240] };
        match (self.colour(text), self.colour(background)) {
            (Some(foreground), Some(background)) => Style::new().fg(foreground).bg(background),
            _ => Style::new(),
        }
    }

    fn foreground(self, rgb: Rgb, otherwise: Modifier) -> Style {
        match self.colour(rgb) {
            Some(colour) => Style::new().fg(colour),
            None => Style::new().add_modifier(otherwise),
        }
    }
}

/// The entry of the 256-colour palette that is nearest to `rgb`: one of the 6x6x6 cube or of the 24 greys.
fn nearest_index(rgb: Rgb) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let distance = |other: Rgb| -> u32 {
        rgb.iter()
            .zip(other)
            .map(|(&a, b)| u32::from(a.abs_diff(b)).pow(2))
            .sum()
    };
    let cube = rgb.map(|value| {
        let nearest = (0_u8..6).min_by_key(|&level| LEVELS[usize::from(level)].abs_diff(value));
        nearest.unwrap_or(0)
    });
    let cube_rgb = cube.map(|level| LEVELS[usize::from(level)]);
    let mean = rgb.iter().map(|&value| u32::from(value)).sum::<u32>() / 3;
    let grey = (mean.saturating_sub(3) / 10).min(23) as u8;
    if distance([8 + 10 * grey; 3]) < distance(cube_rgb) {
        232 + grey
    } else {
        16 + 36 * cube[0] + 6 * cube[1] + cube[2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(variables: &[(&str, &str)]) -> Colours {
        Colours::detect(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colours_follow_the_environment() {
        assert_eq!(detect(&[("TERM", "xterm-256color")]), Colours::Indexed);
        assert_eq!(detect(&[("COLORTERM", "truecolor")]), Colours::True);
        let no_colour = [("COLORTERM", "truecolor"), ("NO_COLOR", "1")];
        assert_eq!(detect(&no_colour), Colours::None);
        let empty = [("COLORTERM", "truecolor"), ("NO_COLOR", "")];
        assert_eq!(detect(&empty), Colours::True);
        assert_eq!(detect(&[("TERM", "dumb")]), Colours::None);
    }

    #[test]
    fn the_palette_entry_is_the_nearest_one() {
        assert_eq!(nearest_index([0, 0, 0]), 16);
        assert_eq!(nearest_index([255, 255, 255]), 231);
        assert_eq!(nearest_index([255, 0, 0]), 196);
        assert_eq!(nearest_index([128, 128, 128]), 244);
    }

    /// Contrast ratio as WCAG 2.1 defines it; 3 is its least for large text and for what is not text.
    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.040_45 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        let relative = |rgb: Rgb| {
            let [red, green, blue] = rgb.map(linear);
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        let (a, b) = (relative(a), relative(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_colour_is_legible_on_a_dark_and_on_a_light_background() {
        for colour in [ACCENT, MUTED, RULE, GOOD, WARNING, ERROR] {
            for background in [[0, 0, 0], [255, 255, 255]] {
                let contrast = contrast(colour, background);
                assert!(contrast >= 3.0, "{colour:?} on {background:?}: {contrast}");
            }
        }
    }

    #[test]
    fn a_monochrome_theme_never_sets_a_colour() {
        let theme = Theme::new(Colours::None);
        for style in [
            theme.text(),
            theme.muted(),
            theme.rule(),
            theme.title(),
            theme.accent(),
            theme.selected(),
            theme.good(),
            theme.warning(),
            theme.error(),
            theme.on([200, 10, 10]),
        ] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
