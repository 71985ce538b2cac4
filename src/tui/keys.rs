//! The one table of keys: it feeds the dispatch of events, the footer and the help.

use crossterm::event::KeyCode::{self, Char, End, Home, Left, Right};
use crossterm::event::{KeyEvent, KeyEventKind, KeyModifiers};

use super::state::action::{Action, Typing};
use super::state::{App, Mode, View};
use crate::lesson::{Language, Said};

mod tables;

pub use tables::{ALWAYS, BROWSE, LESSON, MOUSE, NETWORK};
use tables::{
    ANSWER, DESTINATION, EDIT, EXPORT, HELP, JUMP, LESSONS, PATCH, PLACE, QUIT, RUNS, SEARCH,
    WATCH, WATCHES, WEIGHT,
};

/// One or two keys that belong together, and what they do.
pub struct Binding {
    /// The keys as shown: `←→`.
    pub keys: &'static str,
    /// What one wants with them.
    pub group: Group,
    /// What they do, in a word or two, for the footer: in English and in Chinese.
    pub label: [&'static str; 2],
    /// What they do, in a sentence, for the help: in English and in Chinese.
    pub sentence: [&'static str; 2],
    /// Do they do anything now, in this view?
    pub works: fn(&App, View) -> bool,
    /// Each key, pressed without control or alt, and its action.
    dispatch: &'static [(KeyCode, Action)],
}

/// What one wants to do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What is at hand: an open list, a line that is typed.
    Here,
    Walk,
    Look,
    Change,
    Keep,
    Learn,
    Mouse,
    Program,
}

impl Binding {
    /// Its keys; what a mouse does has a name in each language.
    pub fn keys(&self, language: Language) -> &'static str {
        match self.keys {
            "click" => language.choose(["click", "单击"]),
            "wheel" => language.choose(["wheel", "滚轮"]),
            keys => keys,
        }
    }
}

impl Group {
    /// Those of looking around, as the help has them one after the other.
    pub const ALL: [Self; 7] = [
        Self::Walk,
        Self::Look,
        Self::Change,
        Self::Keep,
        Self::Learn,
        Self::Mouse,
        Self::Program,
    ];

    pub fn name(self) -> Said {
        match self {
            Self::Here => ["Here", "这里"],
            Self::Walk => ["Go through the run", "走过一次运行"],
            Self::Look => ["Look closer", "看得更细"],
            Self::Change => ["Change something, and run", "改动并运行"],
            Self::Keep => ["Compare and keep", "比较与保存"],
            Self::Learn => ["Learn", "学习"],
            Self::Mouse => ["Mouse", "鼠标"],
            Self::Program => ["The program", "程序"],
        }
    }
}

const CONTROL: KeyModifiers = KeyModifiers::CONTROL;
const NONE: KeyModifiers = KeyModifiers::NONE;

/// Keys that do the same in every mode, and stand in no line.
const EVERYWHERE: &[(KeyCode, KeyModifiers, Action)] = &[
    (Char('c'), CONTROL, Action::Quit),
    #[cfg(unix)]
    (Char('z'), CONTROL, Action::Suspend),
];

/// Keys that move and delete wherever text is typed.
const TYPING: &[(KeyCode, KeyModifiers, Action)] = &[
    (Left, NONE, Action::Type(Typing::Left)),
    (Right, NONE, Action::Type(Typing::Right)),
    (Home, NONE, Action::Type(Typing::Start)),
    (End, NONE, Action::Type(Typing::End)),
    (Char('a'), CONTROL, Action::Type(Typing::Start)),
    (Char('e'), CONTROL, Action::Type(Typing::End)),
    (KeyCode::Backspace, NONE, Action::Type(Typing::Backspace)),
    (Char('h'), CONTROL, Action::Type(Typing::Backspace)),
    (KeyCode::Delete, NONE, Action::Type(Typing::Delete)),
    (Char('w'), CONTROL, Action::Type(Typing::DeleteWord)),
    (Char('u'), CONTROL, Action::Type(Typing::DeleteToStart)),
];

/// The table of what one is at, in `mode`.
fn table(mode: &Mode) -> &'static [Binding] {
    match mode {
        Mode::Browse => BROWSE,
        Mode::Edit(_) => EDIT,
        Mode::Jump(_) => JUMP,
        Mode::Help(help) if help.is_searched => SEARCH,
        Mode::Help(_) => HELP,
        Mode::Weight(_) => WEIGHT,
        Mode::Patch(_) => PATCH,
        Mode::Runs(_) => RUNS,
        Mode::Lessons(_) => LESSONS,
        Mode::Answer(_) => ANSWER,
        Mode::Export(_) => EXPORT,
        Mode::Destination(_) => DESTINATION,
        Mode::Watches(menu) if menu.input.is_some() => WATCH,
        Mode::Watches(_) => WATCHES,
        Mode::Place => PLACE,
        Mode::Quit(_) => QUIT,
    }
}

/// The bindings that do something right now, in their table's order, and those that stand at the right end.
pub fn active(app: &App) -> [Vec<&'static Binding>; 2] {
    let right = match &app.mode {
        Mode::Browse => ALWAYS,
        Mode::Quit(_) => &[],
        // Where text is typed, they are letters.
        mode if mode.is_typed() => &[],
        _ => &ALWAYS[1..],
    };
    let mut here = working(table(&app.mode), app);
    if app.mode == Mode::Browse {
        // Within a network, its keys come before the others.
        here.splice(..0, working(NETWORK, app));
    }
    [here, working(right, app)]
}

/// Those of `table` that do something right now.
fn working(table: &'static [Binding], app: &App) -> Vec<&'static Binding> {
    let works = |binding: &&Binding| (binding.works)(app, app.cursor.view);
    table.iter().filter(works).collect()
}

/// The keys of the lesson that do something right now; none where no lesson is read.
pub fn in_lesson(app: &App) -> Vec<&'static Binding> {
    match app.mode {
        Mode::Browse => working(LESSON, app),
        _ => Vec::new(),
    }
}

/// The keys of what the help lies over, where that is not looking around; they all work.
pub fn beneath_help(app: &App) -> &'static [Binding] {
    match &app.mode {
        Mode::Help(help) if !matches!(help.before, Mode::Browse) => table(&help.before),
        _ => &[],
    }
}

/// What `event` means now; `None` for a key that does nothing here.
pub fn action(app: &App, event: KeyEvent) -> Option<Action> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    // Shift is part of the character itself, and terminals disagree on whether they report it.
    let modifiers = event.modifiers - KeyModifiers::SHIFT;
    let [active, always] = active(app);
    let bindings = in_lesson(app).into_iter().chain(active).chain(always);
    let mut plain = bindings.flat_map(|binding| binding.dispatch);
    let is_plain = |(code, _): &&(KeyCode, Action)| modifiers == NONE && *code == event.code;
    if let Some((_, action)) = plain.find(is_plain) {
        return Some(action.clone());
    }
    let is_typed = app.mode.is_typed();
    let typing = if is_typed { TYPING } else { &[] };
    let is_pressed = |(code, wanted): (KeyCode, _)| code == event.code && wanted == modifiers;
    let mut bound = typing.iter().chain(EVERYWHERE);
    if let Some((_, _, action)) = bound.find(|(code, wanted, _)| is_pressed((*code, *wanted))) {
        return Some(action.clone());
    }
    let is_text = match (&app.mode, event.code) {
        (Mode::Jump(_), Char(typed)) => typed.is_ascii_digit(),
        _ => !modifiers.intersects(CONTROL | KeyModifiers::ALT | KeyModifiers::SUPER),
    };
    let typed = event.code.as_char().filter(|_| is_typed && is_text);
    typed.map(|typed| Action::Type(Typing::Insert(typed.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings_in_one_table() {
        // In a list, `l` closes that of the lessons.
        let always = &ALWAYS[1..];
        for (bindings, more, typing) in [
            (BROWSE, ALWAYS, &[][..]),
            (NETWORK, &[][..], &[]),
            (PATCH, &[], TYPING),
            (EDIT, &[][..], TYPING),
            (JUMP, &[], TYPING),
            (HELP, always, &[]),
            (SEARCH, &[], TYPING),
            (RUNS, always, &[]),
            (LESSONS, always, &[]),
            (ANSWER, &[], TYPING),
            (EXPORT, always, &[]),
            (DESTINATION, &[], TYPING),
            (PLACE, always, &[]),
            (WEIGHT, &[], TYPING),
            (WATCHES, always, &[]),
            (WATCH, &[], TYPING),
            (QUIT, &[], &[]),
        ] {
            let keys = bindings.iter().chain(more).flat_map(|b| b.dispatch);
            let keys = keys.map(|(code, _)| (code, NONE));
            let others = typing.iter().chain(EVERYWHERE);
            let others = others.map(|(code, modifiers, _)| (code, *modifiers));
            let mut seen = Vec::new();
            for pressed in keys.chain(others) {
                assert!(!seen.contains(&pressed), "{pressed:?}");
                seen.push(pressed);
            }
        }
    }
}
