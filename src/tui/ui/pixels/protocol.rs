//! Which graphics protocol a terminal has, by what it answered and by its environment; and where it has none, why.

use std::time::Instant;

use crate::lesson::Said;
use crate::tui::ImageMode;
use crate::tui::terminal::Facts;

/// How pictures are printed in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// kitty's graphics protocol, which Ghostty, `WezTerm` and Konsole have, too.
    Kitty,
    /// The same from within tmux: the picture is sent past tmux, and text stands where it is to be.
    Placeholders,
    /// iTerm2's inline images, which `WezTerm`, mintty and others have, too.
    Iterm,
    /// DEC's sixels: xterm, foot, mlterm, Windows Terminal, tmux itself.
    Sixel,
}

/// Why pictures are drawn as cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyCells {
    /// That is what was asked for.
    Wanted,
    NoColours,
    /// GNU screen lets no picture through.
    GnuScreen,
    /// The terminal around tmux has no placeholders.
    Tmux,
    /// It has, and tmux lets nothing through to it.
    TmuxStops,
    /// The terminal answers no questions.
    Silent,
    /// It answers, and has no protocol.
    None,
    /// It has sixels, and does not say how large its cells are.
    NoCellSize,
}

/// What pictures are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Cells, until the terminal answers.
    Undecided,
    Pixels(Protocol),
    Cells(WhyCells),
}

/// What the environment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools)] // Each is a variable that is set or not.
pub struct Environment {
    /// Is this tmux?
    pub tmux: bool,
    /// Is this GNU screen?
    pub gnu_screen: bool,
    /// Is this iTerm2 or mintty, whose own protocol is the one to use?
    pub iterm: bool,
    /// Is it another terminal that has iTerm2's protocol?
    pub like_iterm: bool,
    /// Does it print what it does not know, as Linux's console does with a question for pictures?
    pub console: bool,
}

impl Environment {
    /// Reads it; `variable` looks an environment variable up.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        let is = |name: &str, wanted: &[&str]| {
            let value = variable(name).unwrap_or_default().to_lowercase();
            wanted.iter().any(|wanted| value.contains(wanted))
        };
        Self {
            tmux: set("TMUX"),
            gnu_screen: set("STY"),
            iterm: is("TERM_PROGRAM", &["iterm", "mintty"]) || is("LC_TERMINAL", &["iterm"]),
            like_iterm: viuer::is_iterm_supported(),
            console: is("TERM", &["linux", "vt1", "vt2", "cons25"]),
        }
    }

    /// May the terminal be asked for kitty's pictures? tmux and screen would take the question for a title.
    pub fn may_be_asked(self) -> bool {
        !(self.tmux || self.gnu_screen || self.console)
    }
}

/// Chooses how pictures are drawn at `now`; `has_cell` where the size of a cell is known.
pub fn choose(
    mode: ImageMode,
    environment: Environment,
    facts: &Facts,
    (has_cell, is_monochrome): (bool, bool),
    now: Instant,
) -> Choice {
    let is_settled = facts.are_settled(now);
    // Of tmux's own answer nothing follows: the terminal around it must have them.
    let sixel = match &facts.tmux {
        Some(tmux) => facts.sixel.map(|has| has && tmux.has_sixels),
        None => facts.sixel.filter(|_| !environment.tmux),
    };
    let unless_sixel = |why: WhyCells| match sixel {
        Some(true) if has_cell => Choice::Pixels(Protocol::Sixel),
        Some(true) => Choice::Cells(WhyCells::NoCellSize),
        _ if is_settled => Choice::Cells(why),
        _ => Choice::Undecided,
    };
    match (mode, &facts.tmux) {
        (ImageMode::Cells, _) => Choice::Cells(WhyCells::Wanted),
        _ if is_monochrome => Choice::Cells(WhyCells::NoColours),
        _ if environment.gnu_screen => Choice::Cells(WhyCells::GnuScreen),
        // tmux is asked by itself, and may answer after the terminal.
        (_, None) if environment.tmux && !facts.were_waited_for(now) => Choice::Undecided,
        (_, Some(tmux)) if tmux.has_placeholders && tmux.passes => {
            Choice::Pixels(Protocol::Placeholders)
        }
        (_, Some(tmux)) if tmux.has_placeholders => unless_sixel(WhyCells::TmuxStops),
        _ if environment.tmux => unless_sixel(WhyCells::Tmux),
        _ if environment.iterm => Choice::Pixels(Protocol::Iterm),
        _ if facts.graphics == Some(true) => Choice::Pixels(Protocol::Kitty),
        // By variables that a terminal which was started from it has, too: what it says itself counts for more.
        _ if environment.like_iterm && is_settled && facts.sixel != Some(true) => {
            Choice::Pixels(Protocol::Iterm)
        }
        _ if facts.is_silent() => unless_sixel(WhyCells::Silent),
        _ => unless_sixel(WhyCells::None),
    }
}

impl WhyCells {
    /// What is wrong, for whoever asked for pixels.
    pub fn what(self) -> Said {
        match self {
            Self::Wanted => ["Pictures are drawn as cells", "图片用字符格显示"],
            Self::NoColours => [
                "Pictures are drawn as cells: colours are off",
                "图片用字符格显示：颜色已关闭",
            ],
            Self::GnuScreen => [
                "Pictures are drawn as cells: GNU screen lets no pixels through",
                "图片用字符格显示：GNU screen 不让像素通过",
            ],
            Self::Tmux => [
                "Pictures are drawn as cells: the terminal around tmux has none of the protocols that work in tmux",
                "图片用字符格显示：tmux 外面的终端没有在 tmux 中可用的图形协议",
            ],
            Self::TmuxStops => [
                "Pictures are drawn as cells: tmux does not let pixels through to the terminal",
                "图片用字符格显示：tmux 不让像素传到终端",
            ],
            Self::Silent => [
                "Pictures are drawn as cells: the terminal did not answer what it can show",
                "图片用字符格显示：终端没有回答它能显示什么",
            ],
            Self::None => [
                "Pictures are drawn as cells: the terminal knows neither kitty's, iTerm2's nor sixel pictures",
                "图片用字符格显示：终端不支持 kitty、iTerm2 或 sixel 图片",
            ],
            Self::NoCellSize => [
                "Pictures are drawn as cells: the terminal has sixels, and does not say how large its characters are",
                "图片用字符格显示：终端支持 sixel，但不说明字符的大小",
            ],
        }
    }

    /// What to do about it.
    pub fn advice(self) -> Said {
        match self {
            Self::Wanted => [
                "--images pixels asks for pixels.",
                "--images pixels 会使用像素。",
            ],
            Self::NoColours => [
                "Without NO_COLOR, or with --colours 256 or truecolour, there are pixels.",
                "去掉 NO_COLOR，或使用 --colours 256 或 truecolour，就会有像素。",
            ],
            Self::GnuScreen => [
                "Start the program outside of it, or in tmux.",
                "请在 screen 之外或在 tmux 中启动本程序。",
            ],
            Self::Tmux => [
                "Outside of tmux there may be pixels; in tmux, kitty 0.28 and Ghostty have them, and sixels in a tmux \
                 that was built with them.",
                "在 tmux 之外也许有像素；在 tmux 中，kitty 0.28 和 Ghostty 支持，带 sixel 编译的 tmux 也支持。",
            ],
            Self::TmuxStops => [
                "`tmux set -p allow-passthrough on` lets it; then start the program again.",
                "运行 `tmux set -p allow-passthrough on`，然后重新启动本程序。",
            ],
            Self::Silent | Self::None => [
                "kitty, Ghostty, WezTerm, iTerm2, foot and xterm (as `xterm -ti vt340`) show pixels.",
                "kitty、Ghostty、WezTerm、iTerm2、foot 和 xterm（`xterm -ti vt340`）能显示像素。",
            ],
            Self::NoCellSize => [
                "xterm says so where allowWindowOps is true.",
                "在 xterm 中，allowWindowOps 为 true 时会说明。",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tui::terminal::{Reply, Tmux};

    const SIZE: (u16, u16) = (80, 24);

    fn facts(replies: &[Reply]) -> (Facts, Instant) {
        let now = Instant::now();
        let mut facts = Facts::new(now);
        for reply in replies {
            facts.take(reply.clone(), SIZE);
        }
        (facts, now)
    }

    fn chosen(environment: Environment, replies: &[Reply]) -> Choice {
        let (facts, now) = facts(replies);
        let has_cell = facts.cell(SIZE).is_some();
        choose(ImageMode::Auto, environment, &facts, (has_cell, false), now)
    }

    #[test]
    fn a_terminal_shows_pixels_when_it_has_said_that_it_can() {
        let plain = Environment::default();
        assert_eq!(chosen(plain, &[]), Choice::Undecided);
        let kitty = [Reply::Graphics(true), Reply::Attributes(vec![62])];
        assert_eq!(chosen(plain, &kitty), Choice::Pixels(Protocol::Kitty));
        assert_eq!(chosen(plain, &kitty[..1]), Choice::Pixels(Protocol::Kitty));
        let plain_reply = [Reply::Attributes(vec![64, 1, 2])];
        assert_eq!(chosen(plain, &plain_reply), Choice::Cells(WhyCells::None));
        // 4 as the terminal's class is not the attribute.
        let class = [Reply::Attributes(vec![4, 6])];
        assert_eq!(chosen(plain, &class), Choice::Cells(WhyCells::None));
        let sixel = [Reply::Cell(8, 17), Reply::Attributes(vec![63, 1, 2, 4])];
        assert_eq!(chosen(plain, &sixel), Choice::Pixels(Protocol::Sixel));
        assert_eq!(
            chosen(plain, &sixel[1..]),
            Choice::Cells(WhyCells::NoCellSize)
        );
        let iterm = Environment {
            iterm: true,
            ..plain
        };
        assert_eq!(chosen(iterm, &[]), Choice::Pixels(Protocol::Iterm));
    }

    #[test]
    fn a_terminal_that_does_not_answer_is_not_waited_for() {
        let (facts, now) = facts(&[]);
        let choose = |now| {
            choose(
                ImageMode::Pixels,
                Environment::default(),
                &facts,
                (false, false),
                now,
            )
        };
        assert_eq!(choose(now), Choice::Undecided);
        let later = now + Duration::from_secs(3);
        assert_eq!(choose(later), Choice::Cells(WhyCells::Silent));
    }

    #[test]
    fn multiplexers_show_what_they_let_through() {
        let screen = Environment {
            gnu_screen: true,
            ..Environment::default()
        };
        let kitty = [Reply::Graphics(true), Reply::Attributes(vec![62])];
        assert_eq!(chosen(screen, &kitty), Choice::Cells(WhyCells::GnuScreen));
        let environment = Environment {
            tmux: true,
            ..Environment::default()
        };
        let (mut facts, now) = facts(&[Reply::Attributes(vec![1, 2])]);
        for (passes, has_placeholders, wanted) in [
            (true, true, Choice::Pixels(Protocol::Placeholders)),
            (false, true, Choice::Cells(WhyCells::TmuxStops)),
            (true, false, Choice::Cells(WhyCells::Tmux)),
        ] {
            facts.tmux = Some(Tmux {
                passes,
                has_placeholders,
                has_sixels: false,
            });
            let chosen = choose(ImageMode::Auto, environment, &facts, (true, false), now);
            assert_eq!(chosen, wanted);
        }
        // tmux says that it has sixels, whatever is around it.
        facts.take(Reply::Attributes(vec![1, 2, 4]), SIZE);
        for (tmux, wanted) in [
            (None, Choice::Undecided),
            (Some(false), Choice::Cells(WhyCells::Tmux)),
            (Some(true), Choice::Pixels(Protocol::Sixel)),
        ] {
            facts.tmux = tmux.map(|has_sixels| Tmux {
                has_sixels,
                ..Tmux::default()
            });
            let chosen = choose(ImageMode::Auto, environment, &facts, (true, false), now);
            assert_eq!(chosen, wanted, "{tmux:?}");
        }
        facts.tmux = None;
        let later = now + Duration::from_secs(3);
        let chosen = choose(ImageMode::Auto, environment, &facts, (true, false), later);
        assert_eq!(chosen, Choice::Cells(WhyCells::Tmux));
    }

    #[test]
    fn the_environment_says_who_must_not_be_asked() {
        let detect = |variables: &[(&str, &str)]| {
            Environment::detect(|name| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(detect(&[("TERM", "xterm-kitty")]).may_be_asked());
        assert!(!detect(&[("TERM", "xterm-kitty"), ("TMUX", "/tmp/tmux")]).may_be_asked());
        assert!(!detect(&[("TERM", "screen"), ("STY", "1.pts-0")]).may_be_asked());
        assert!(!detect(&[("TERM", "linux")]).may_be_asked());
        assert!(detect(&[("TERM_PROGRAM", "iTerm.app")]).iterm);
    }

    #[test]
    fn every_reason_is_said_in_both_languages() {
        for why in [
            WhyCells::NoColours,
            WhyCells::GnuScreen,
            WhyCells::Silent,
            WhyCells::TmuxStops,
        ] {
            let ([english, chinese], advice) = (why.what(), why.advice());
            assert!(english.is_ascii() && !chinese.is_ascii());
            assert!(advice.iter().all(|advice| !advice.is_empty()));
        }
    }
}
