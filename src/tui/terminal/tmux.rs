//! tmux, asked what it lets through and which terminal is around it.

use std::process::{Command, Stdio};

/// What tmux says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tmux {
    /// Are sequences for the terminal around it let through (`allow-passthrough`)?
    pub passes: bool,
    /// Does that terminal know kitty's placeholders?
    pub has_placeholders: bool,
    /// Does it have sixels? tmux says of itself that it has them whatever is around it, and where that has none, it
    /// draws a field of plus signs.
    pub has_sixels: bool,
}

const FORMAT: &str =
    "#{allow-passthrough} #{client_termfeatures} #{client_termname} #{client_termtype}";

impl Tmux {
    /// Asks; `None` where it does not answer. May take a while.
    pub fn ask() -> Option<String> {
        let mut tmux = Command::new("tmux");
        tmux.args(["display-message", "-p"]);
        if let Some(pane) = std::env::var_os("TMUX_PANE") {
            tmux.arg("-t").arg(pane);
        }
        let output = tmux
            .arg(FORMAT)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Reads the answer.
    pub fn read(answer: &str) -> Self {
        let mut words = answer.split_whitespace();
        let passes = words
            .next()
            .is_some_and(|value| value == "on" || value == "all");
        Self {
            passes,
            has_placeholders: words.clone().any(has_placeholders),
            has_sixels: words.any(|features| features.split(',').any(|name| name == "sixel")),
        }
    }
}

/// Does a terminal of this name and version know placeholders? kitty does since 0.28, as `kitty(0.35.2)`.
fn has_placeholders(name: &str) -> bool {
    let name = name.to_lowercase();
    if name.contains("ghostty") {
        return true;
    }
    let Some((_, version)) = name.split_once("kitty(") else {
        return false;
    };
    let mut numbers = version
        .split(['.', ')'])
        .map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (0, 28)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_need_a_terminal_that_knows_them_and_leave_to_pass() {
        let read = |answer| {
            let tmux = Tmux::read(answer);
            (tmux.passes, tmux.has_placeholders)
        };
        assert_eq!(read("on xterm-kitty kitty(0.35.2)\n"), (true, true));
        assert_eq!(read("all xterm-kitty kitty(0.28.0)\n"), (true, true));
        assert_eq!(read("on xterm-kitty kitty(0.26.5)\n"), (true, false));
        assert_eq!(read("off xterm-ghostty ghostty 1.1.3\n"), (false, true));
        assert_eq!(read("on xterm-256color XTerm(379)\n"), (true, false));
        assert_eq!(read(""), (false, false));
    }

    #[test]
    fn sixels_are_those_of_the_terminal_around() {
        let read = |answer| Tmux::read(answer).has_sixels;
        assert!(read("off 256,clipboard,sixel,title foot foot(1.16.2)\n"));
        assert!(!read(
            "off 256,RGB,bpaste,clipboard,title xterm-kitty kitty(0.41.1)\n"
        ));
        // No features, as before tmux 3.2.
        assert!(!read("on  xterm-256color XTerm(379)\n"));
    }
}
