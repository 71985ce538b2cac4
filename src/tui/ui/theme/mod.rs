//! Every colour of the inspector, in one place; and what else is known of how the terminal draws.
//!
//! Text keeps the terminal's own foreground and background, so that light and dark terminals both work; the few
//! colours that are set are legible on either. A monochrome theme sets no colour at all, only bold, dim and reverse:
//! a terminal library that honours `NO_COLOR` answers a colour with an empty SGR sequence, which would cancel those.

mod palette;

use clap::ValueEnum;
use ratatui::style::{Color, Modifier, Style};

use crate::export::colour_map::{ColourMap, Rgb, luminance};
use crate::tui::terminal::Cell;

const ACCENT: Rgb = [32, 158, 186];
const MUTED: Rgb = [124, 131, 143];
const RULE: Rgb = [84, 91, 104];
const GOOD: Rgb = [62, 158, 98];
const WARNING: Rgb = [200, 128, 28];
const ERROR: Rgb = [220, 80, 74];
const SELECTED: Rgb = [18, 108, 132];

/// What stands for them where there are 16 colours, whose nearest would be a grey for most.
const OF_16: [(Rgb, u8); 7] = [
    (ACCENT, 6),
    (MUTED, 8),
    (RULE, 8),
    (GOOD, 2),
    (WARNING, 3),
    (ERROR, 9),
    (SELECTED, 4),
];

/// How many colours the terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Colours {
    /// 24 bits a cell.
    #[default]
    #[value(name = "truecolour", aliases = ["truecolor", "24bit"])]
    True,
    /// The 256-colour palette.
    #[value(name = "256")]
    Indexed,
    /// The 16 colours that terminals have had since the eighties.
    #[value(name = "16")]
    Sixteen,
    /// None: shades and text attributes only.
    None,
}

impl Colours {
    /// What the environment says. `variable` looks an environment variable up.
    ///
    /// `NO_COLOR` (any value that is not empty) and terminals that have none mean none. GNU screen has 256 and takes a
    /// colour of 24 bits for something else, so a `COLORTERM` that was inherited from the terminal around it does not
    /// count there. `COLORTERM=truecolor` or `24bit` and terminals that are known for it mean 24 bits; anything else 256
    /// colours.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is =
            |name: &str, test: fn(&str) -> bool| variable(name).is_some_and(|value| test(&value));
        let term = variable("TERM").unwrap_or_default();
        let begins = |names: &[&str]| names.iter().any(|name| term.starts_with(name));
        let is_set = |value: &str| !value.is_empty();
        if is("NO_COLOR", is_set)
            || term == "dumb"
            || begins(&["vt1", "vt2", "vt3", "vt4", "vt5"])
            || term.ends_with("-m")
            || term.ends_with("-mono")
        {
            Self::None
        } else if begins(&["linux", "cons25", "ansi", "pcansi"]) || term.ends_with("-16color") {
            Self::Sixteen
        } else if is("STY", is_set) {
            Self::Indexed
        } else if is("COLORTERM", |value| matches!(value, "truecolor" | "24bit"))
            || term.contains("direct")
            || term.contains("kitty")
        {
            Self::True
        } else {
            Self::Indexed
        }
    }
}

/// What a pixel's colour is from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Paint {
    Picture(Rgb),
    /// A place, 0 to 1, of a colour map.
    Mapped(ColourMap, f32),
    /// A colour that stands for something.
    Mark(Rgb),
}

impl Paint {
    fn rgb(self) -> Rgb {
        match self {
            Self::Picture(rgb) | Self::Mark(rgb) => rgb,
            Self::Mapped(map, position) => map.at(position),
        }
    }
}

/// A cell's height over its width where a terminal does not say: as most have it, about.
const TALL: f32 = 2.0;

/// How things are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Theme {
    colours: Colours,
    tall: f32,
}

impl Default for Theme {
    fn default() -> Self {
        Self::new(Colours::default())
    }
}

#[allow(clippy::unused_self)] // All styles are asked for alike.
impl Theme {
    pub fn new(colours: Colours) -> Self {
        Self {
            colours,
            tall: TALL,
        }
    }

    /// The same for cells of this size.
    #[must_use]
    pub fn with_cell(self, cell: Option<Cell>) -> Self {
        let tall = cell.map_or(TALL, |cell| cell.height as f32 / cell.width as f32);
        Self { tall, ..self }
    }

    /// A cell's height over its width.
    pub fn tall(self) -> f32 {
        self.tall
    }

    pub fn is_monochrome(self) -> bool {
        self.colours == Colours::None
    }

    /// The nearest colour that the terminal has; `None` where it has none.
    pub fn colour(self, rgb: Rgb) -> Option<Color> {
        match self.colours {
            Colours::True => Some(Color::Rgb(rgb[0], rgb[1], rgb[2])),
            Colours::Indexed => Some(Color::Indexed(palette::nearest_of_256(rgb))),
            Colours::Sixteen => {
                let named = OF_16.iter().find(|(named, _)| *named == rgb);
                let index = named.map_or_else(|| palette::nearest_of_16(rgb), |(_, index)| *index);
                Some(Color::Indexed(index))
            }
            Colours::None => None,
        }
    }

    /// The colour of a pixel that stands at `place`, across and down; `None` where the terminal has no colours.
    pub fn paint(self, paint: Paint, place: (usize, usize)) -> Option<Color> {
        let index = match (self.colours, paint) {
            (Colours::Indexed, Paint::Mapped(map, position)) => palette::OF_256.at(map, position),
            (Colours::Sixteen, Paint::Picture(rgb)) => palette::dithered_of_16(rgb, place),
            (Colours::Sixteen, Paint::Mapped(map, position)) => palette::OF_16.at(map, position),
            _ => return self.colour(paint.rgb()),
        };
        Some(Color::Indexed(index))
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
        match (self.colour([255, 255, 255]), self.colour(SELECTED)) {
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

    /// Text that can be read on a cell of that colour.
    pub fn on(self, paint: Paint) -> Style {
        let background = self.paint(paint, (0, 0));
        let shown = match background {
            Some(Color::Indexed(index)) => palette::rgb(index),
            _ => paint.rgb(),
        };
        let is_light = luminance(shown) > 0.45;
        let text = if is_light {
            [16, 16, 20]
        } else {
            [236, 236, 240]
        };
        match (self.colour(text), background) {
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
        assert_eq!(detect(&[("TERM", "vt220")]), Colours::None);
        assert_eq!(detect(&[("TERM", "linux")]), Colours::Sixteen);
        assert_eq!(detect(&[("TERM", "xterm-16color")]), Colours::Sixteen);
        assert_eq!(detect(&[("TERM", "xterm-kitty")]), Colours::True);
        // GNU screen inside a terminal of 24 bits; tmux takes all colours.
        let inside = [
            ("TERM", "screen"),
            ("COLORTERM", "truecolor"),
            ("STY", "1.x"),
        ];
        assert_eq!(detect(&inside), Colours::Indexed);
        assert_eq!(detect(&inside[..2]), Colours::True);
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
            theme.on(Paint::Mark([200, 10, 10])),
        ] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
