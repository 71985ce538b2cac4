//! The one table of keys: it feeds the dispatch of events, the line of keys at the foot of the screen and the help.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::state::action::{Action, Typing};
use super::state::lesson::OpenLesson;
use super::state::{App, Mode, View};

/// One or two keys that belong together, and what they do.
pub struct Binding {
    /// The keys as shown: `←→`.
    pub keys: &'static str,
    /// What they do, in a word or two, for the foot of the screen.
    pub word: &'static str,
    /// What they do, in a sentence, for the help.
    pub sentence: &'static str,
    /// Do they do anything right now?
    pub works: fn(&App) -> bool,
    dispatch: &'static [(KeyCode, KeyModifiers, Action)],
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const CONTROL: KeyModifiers = KeyModifiers::CONTROL;

fn always(_: &App) -> bool {
    true
}

/// Keys while looking around, the most needed ones first: where the foot of the screen is short, the last ones go.
pub const BROWSE: &[Binding] = &[
    Binding {
        keys: "←→",
        word: "step",
        sentence: "one denoising step back or forward; at the newest step of a paused run, make the next one",
        works: |app| app.has_steps() || app.can_continue(),
        dispatch: &[
            (KeyCode::Left, NONE, Action::StepBack),
            (KeyCode::Right, NONE, Action::StepForward),
        ],
    },
    Binding {
        keys: "↑↓",
        word: "select",
        sentence: "select in this view: a token, a layer, a channel, a tensor",
        works: |app| app.can_select(),
        dispatch: UP_DOWN,
    },
    Binding {
        keys: "[]",
        word: "token",
        sentence: "the token before or after, in every view",
        works: |app| app.shows_tokens(),
        dispatch: &[
            (KeyCode::Char('['), NONE, Action::PreviousToken),
            (KeyCode::Char(']'), NONE, Action::NextToken),
        ],
    },
    Binding {
        keys: "v",
        word: "switch",
        sentence: "what else this view can show: the negative prompt, an embedding's token and position part, noise times sigma, another curve; small attention maps of every word, or of the selected word at every step, in every layer, in every head",
        works: App::can_switch,
        dispatch: &[(KeyCode::Char('v'), NONE, Action::Switch)],
    },
    Binding {
        keys: "o",
        word: "overlay",
        sentence: "lay another scheduler's schedule over this run's: one after the other, then none",
        works: |app| app.cursor.view == View::Schedule && app.can_switch(),
        dispatch: &[(KeyCode::Char('o'), NONE, Action::NextSchedule)],
    },
    Binding {
        keys: "-+",
        word: "less/more",
        sentence: "fewer or more steps for the schedule that lies over this run's; an attention map that covers the picture less or more",
        works: App::can_adjust,
        dispatch: &[
            (KeyCode::Char('-'), NONE, Action::Less),
            (KeyCode::Char('+'), NONE, Action::More),
            (KeyCode::Char('='), NONE, Action::More),
        ],
    },
    Binding {
        keys: "a",
        word: "axis",
        sentence: "the schedule's axis: linear or logarithmic",
        works: |app| app.cursor.view == View::Schedule && app.can_switch(),
        dispatch: &[(KeyCode::Char('a'), NONE, Action::SwitchAxis)],
    },
    Binding {
        keys: "w",
        word: "weight",
        sentence: "what if the picture listened more or less to the selected word (a factor, 0 to 100), or to another word in its place",
        works: App::can_weigh,
        dispatch: &[(KeyCode::Char('w'), NONE, Action::Weight)],
    },
    Binding {
        keys: "x",
        word: "place",
        sentence: "move over the picture and see which words that place listens to",
        works: App::shows_attention,
        dispatch: &[(KeyCode::Char('x'), NONE, Action::Place)],
    },
    Binding {
        keys: "h",
        word: "head",
        sentence: "another attention head: the mean of all, then one after the other; the UNet's are computed anew from the step's latents",
        works: App::has_heads,
        dispatch: &[(KeyCode::Char('h'), NONE, Action::NextHead)],
    },
    Binding {
        keys: "u",
        word: "half",
        sentence: "attention without the prompt (the unconditional half of guidance, computed anew), or with it",
        works: App::shows_attention,
        dispatch: &[(KeyCode::Char('u'), NONE, Action::OtherHalf)],
    },
    Binding {
        keys: "tab",
        word: "stage",
        sentence: "the next stage; shift-tab the one before",
        works: always,
        dispatch: &[
            (KeyCode::Tab, NONE, Action::NextView),
            (KeyCode::BackTab, NONE, Action::PreviousView),
        ],
    },
    Binding {
        keys: "space",
        word: "play",
        sentence: "pause the run or let it go on; when it is done, play it back",
        works: |app| app.can_play_or_pause(),
        dispatch: &[(KeyCode::Char(' '), NONE, Action::PlayPause)],
    },
    Binding {
        keys: "c",
        word: "cancel",
        sentence: "stop the run at once; what was done is kept, and space goes on from there",
        works: App::is_running,
        dispatch: &[(KeyCode::Char('c'), NONE, Action::Cancel)],
    },
    Binding {
        keys: "p",
        word: "prompt",
        sentence: "edit prompt, negative prompt, seed, steps, guidance and scheduler, and run again",
        works: |app| app.can_edit(),
        dispatch: &[(KeyCode::Char('p'), NONE, Action::Edit)],
    },
    Binding {
        keys: "b",
        word: "branch",
        sentence: "what if: go on from before this step with another prompt, guidance, scheduler or seed",
        works: App::can_branch,
        dispatch: &[(KeyCode::Char('b'), NONE, Action::Branch)],
    },
    Binding {
        keys: "t",
        word: "runs",
        sentence: "the runs of this sitting, with their branches as a tree: look at another one, or put it beside this one",
        works: App::can_compare,
        dispatch: &[(KeyCode::Char('t'), NONE, Action::Runs)],
    },
    Binding {
        keys: "y",
        word: "compare",
        sentence: "another run beside this one, with their difference; a branch beside what it left",
        works: App::can_compare,
        dispatch: &[(KeyCode::Char('y'), NONE, Action::Compare)],
    },
    Binding {
        keys: "i",
        word: "explain",
        sentence: "explain this view: the idea, the mechanism, the formulas with their sources",
        works: |app| !app.is_reading(),
        dispatch: &[(KeyCode::Char('i'), NONE, Action::Explain)],
    },
    Binding {
        keys: "d",
        word: "decode",
        sentence: "show predicted pictures decoded by the autoencoder instead of the quick preview, or the preview again",
        works: |app| app.can_decode(),
        dispatch: &[(KeyCode::Char('d'), NONE, Action::Decode)],
    },
    Binding {
        keys: "e",
        word: "export",
        sentence: "write what this view shows to a file: a tensor, the step or the whole run as JSON, a map or picture as PNG, a word's attention over the steps as GIF",
        works: App::can_export,
        dispatch: &[(KeyCode::Char('e'), NONE, Action::Export)],
    },
    Binding {
        keys: "s",
        word: "save",
        sentence: "save the picture as a PNG file in the current folder",
        works: |app| app.can_save(),
        dispatch: &[(KeyCode::Char('s'), NONE, Action::Save)],
    },
    Binding {
        keys: "r",
        word: "run again",
        sentence: "run the same request again from its first stage",
        works: |app| app.can_run_again(),
        dispatch: &[(KeyCode::Char('r'), NONE, Action::Run)],
    },
    Binding {
        keys: "g",
        word: "go to",
        sentence: "go to a step by its number; a paused run goes on until it is done",
        works: |app| app.has_steps() || app.can_continue(),
        dispatch: &[(KeyCode::Char('g'), NONE, Action::Jump)],
    },
    Binding {
        keys: "home end",
        word: "first/last",
        sentence: "the first step; the newest step, following the run from there",
        works: App::has_steps,
        dispatch: &[
            (KeyCode::Home, NONE, Action::FirstStep),
            (KeyCode::End, NONE, Action::LastStep),
        ],
    },
    Binding {
        keys: "1-9",
        word: "stage",
        sentence: "a stage by its number",
        works: always,
        dispatch: &[
            (KeyCode::Char('1'), NONE, Action::Show(View::Prompt)),
            (KeyCode::Char('2'), NONE, Action::Show(View::Tokens)),
            (KeyCode::Char('3'), NONE, Action::Show(View::Embedding)),
            (KeyCode::Char('4'), NONE, Action::Show(View::TextEncoder)),
            (KeyCode::Char('5'), NONE, Action::Show(View::Noise)),
            (KeyCode::Char('6'), NONE, Action::Show(View::Schedule)),
            (KeyCode::Char('7'), NONE, Action::Show(View::Denoising)),
            (KeyCode::Char('8'), NONE, Action::Show(View::Attention)),
            (KeyCode::Char('9'), NONE, Action::Show(View::Image)),
        ],
    },
    Binding {
        keys: "enter",
        word: "edit",
        sentence: "in the prompt's view, edit the selected field",
        works: |app| app.cursor.view == View::Prompt && app.can_edit(),
        dispatch: &[(KeyCode::Enter, NONE, Action::Edit)],
    },
    Binding {
        keys: "esc",
        word: "close",
        sentence: "close a message, the explanation, the comparison",
        works: |app| app.notice.is_some() || app.explain.is_some() || app.runs.compared().is_some(),
        dispatch: &[(KeyCode::Esc, NONE, Action::Dismiss)],
    },
    Binding {
        keys: "l",
        word: "lesson",
        sentence: "the lessons: choose one, and read it beside the run",
        works: |app| !app.recorded,
        dispatch: &[(KeyCode::Char('l'), NONE, Action::Lessons)],
    },
    Binding {
        keys: "m",
        word: "mouse",
        sentence: "give the mouse to the terminal, to select text with it, or take it back",
        works: always,
        dispatch: &[(KeyCode::Char('m'), NONE, Action::Mouse)],
    },
    Binding {
        keys: "ctrl-z",
        word: "suspend",
        sentence: "put the program to sleep; the shell's fg brings it back",
        works: |_| cfg!(unix),
        // It does so everywhere.
        dispatch: &[],
    },
];

/// Keys of a lesson that is being read: they come before those of looking around, and stand at the foot of its pane.
pub const LESSON: &[Binding] = &[
    Binding {
        keys: "n",
        word: "next",
        sentence: "the next page; N the page before",
        works: |app| reading(app, OpenLesson::has_next),
        dispatch: &[(KeyCode::Char('n'), NONE, Action::NextPage)],
    },
    Binding {
        keys: "N",
        word: "back",
        sentence: "the page before",
        works: |app| reading(app, |reading| reading.page > 0),
        dispatch: &[(KeyCode::Char('N'), NONE, Action::PreviousPage)],
    },
    Binding {
        keys: "k",
        word: "answer",
        sentence: "answer the question",
        works: |app| reading(app, |reading| reading.is_open() && reading.is_question()),
        dispatch: &[(KeyCode::Char('k'), NONE, Action::Check)],
    },
    Binding {
        keys: "k",
        word: "check",
        sentence: "is the task done? It is looked after by itself, too",
        works: |app| reading(app, |reading| reading.is_open() && !reading.is_question()),
        dispatch: &[(KeyCode::Char('k'), NONE, Action::Check)],
    },
    Binding {
        keys: "H",
        word: "hint",
        sentence: "a hint, and then another one",
        works: |app| reading(app, OpenLesson::has_hints),
        dispatch: &[(KeyCode::Char('H'), NONE, Action::Hint)],
    },
    Binding {
        keys: "S",
        word: "solution",
        sentence: "show the solution, and do it",
        works: |app| reading(app, |reading| reading.is_open() && !reading.solution),
        dispatch: &[(KeyCode::Char('S'), NONE, Action::Solution)],
    },
    Binding {
        keys: "i",
        word: "deeper",
        sentence: "the page at another depth: idea, mechanism, mathematics",
        works: App::is_reading,
        dispatch: &[(KeyCode::Char('i'), NONE, Action::Depth)],
    },
    Binding {
        keys: "f",
        word: "fold",
        sentence: "fold the lesson away, to see the view in full, or unfold it",
        works: App::is_reading,
        dispatch: &[(KeyCode::Char('f'), NONE, Action::Fold)],
    },
    Binding {
        keys: "R",
        word: "reset",
        sentence: "open the page anew: its run and its place, and the exercise from the start",
        works: App::is_reading,
        dispatch: &[(KeyCode::Char('R'), NONE, Action::Reset)],
    },
    Binding {
        keys: "L",
        word: "leave",
        sentence: "close the lesson; it goes on at this page another time",
        works: App::is_reading,
        dispatch: &[(KeyCode::Char('L'), NONE, Action::LeaveLesson)],
    },
    Binding {
        keys: "pgdn",
        word: "scroll",
        sentence: "further down in the page; page-up further up",
        works: App::is_reading,
        dispatch: &[
            (KeyCode::PageDown, NONE, Action::ScrollDown),
            (KeyCode::PageUp, NONE, Action::ScrollUp),
        ],
    },
];

fn reading(app: &App, test: impl Fn(&OpenLesson) -> bool) -> bool {
    app.lesson.open.as_ref().is_some_and(test)
}

/// Keys that do the same whatever is typed or chosen, and stand in no line.
const EVERYWHERE: &[(KeyCode, KeyModifiers, Action)] = &[
    (KeyCode::Char('c'), CONTROL, Action::Quit),
    #[cfg(unix)]
    (KeyCode::Char('z'), CONTROL, Action::Suspend),
];

/// Keys that always work and always stand at the right end of the foot.
pub const ALWAYS: &[Binding] = &[
    Binding {
        keys: "?",
        word: "keys",
        sentence: "show or hide this list",
        works: always,
        dispatch: &[(KeyCode::Char('?'), NONE, Action::Help)],
    },
    Binding {
        keys: "q",
        word: "quit",
        sentence: "leave; ctrl-c does so too",
        works: always,
        dispatch: &[(KeyCode::Char('q'), NONE, Action::Quit)],
    },
];

/// Out of what is typed; the keys that always work are letters there, and do not.
const BACK: Binding = Binding {
    keys: "esc",
    word: "back",
    sentence: "leave everything as it was",
    works: always,
    dispatch: &[(KeyCode::Esc, NONE, Action::Dismiss)],
};

const UP_DOWN: &[(KeyCode, KeyModifiers, Action)] = &[
    (KeyCode::Up, NONE, Action::Up),
    (KeyCode::Down, NONE, Action::Down),
];

/// Keys while the request is edited.
pub const EDIT: &[Binding] = &[
    Binding {
        keys: "enter",
        word: "run",
        sentence: "run what the form says",
        works: always,
        dispatch: &[(KeyCode::Enter, NONE, Action::Type(Typing::Submit))],
    },
    Binding {
        keys: "tab ↑↓",
        word: "field",
        sentence: "the next or the previous field",
        works: always,
        dispatch: &[
            (KeyCode::Tab, NONE, Action::Type(Typing::NextField)),
            (KeyCode::BackTab, NONE, Action::Type(Typing::PreviousField)),
            (KeyCode::Down, NONE, Action::Type(Typing::NextField)),
            (KeyCode::Up, NONE, Action::Type(Typing::PreviousField)),
        ],
    },
    Binding {
        keys: "←→",
        word: "move",
        sentence: "move in the text; choose the scheduler",
        works: always,
        dispatch: TYPING,
    },
    Binding {
        keys: "ctrl-u",
        word: "clear",
        sentence: "delete everything before the cursor; ctrl-w deletes a word",
        works: always,
        dispatch: &[],
    },
    BACK,
];

/// Keys while a step's number is typed.
pub const JUMP: &[Binding] = &[
    Binding {
        keys: "0-9",
        word: "step",
        sentence: "the step's number",
        works: always,
        dispatch: TYPING,
    },
    Binding {
        keys: "enter",
        word: "go",
        sentence: "go there",
        works: always,
        dispatch: &[(KeyCode::Enter, NONE, Action::Type(Typing::Submit))],
    },
    BACK,
];

/// Keys while a weight is typed.
pub const WEIGHT: &[Binding] = &[
    Binding {
        keys: "0.5 2",
        word: "factor",
        sentence: "the word's attention is multiplied by this",
        works: always,
        dispatch: TYPING,
    },
    Binding {
        keys: "a word",
        word: "swap",
        sentence: "the two words change places",
        works: always,
        dispatch: &[],
    },
    Binding {
        keys: "enter",
        word: "run",
        sentence: "run it so from the first step on, beside the run as it was",
        works: always,
        dispatch: &[(KeyCode::Enter, NONE, Action::Type(Typing::Submit))],
    },
    BACK,
];

/// Keys while a run is chosen.
pub const RUNS: &[Binding] = &[
    Binding {
        keys: "↑↓",
        word: "select",
        sentence: "the run before or after",
        works: always,
        dispatch: UP_DOWN,
    },
    Binding {
        keys: "enter",
        word: "look at it",
        sentence: "put it on the screen",
        works: always,
        dispatch: &[(KeyCode::Enter, NONE, Action::Choose)],
    },
    Binding {
        keys: "y",
        word: "compare",
        sentence: "put it beside the one on the screen, or take it away",
        works: always,
        dispatch: &[(KeyCode::Char('y'), NONE, Action::Compare)],
    },
    Binding {
        keys: "esc",
        word: "back",
        sentence: "leave everything as it was",
        works: always,
        dispatch: &[
            (KeyCode::Esc, NONE, Action::Dismiss),
            (KeyCode::Char('t'), NONE, Action::Runs),
        ],
    },
];

/// Keys while choosing what to write to a file.
pub const EXPORT: &[Binding] = &[
    Binding {
        keys: "↑↓",
        word: "select",
        sentence: "the offer before or after",
        works: always,
        dispatch: UP_DOWN,
    },
    Binding {
        keys: "enter",
        word: "write it",
        sentence: "write it to a new file in the current folder",
        works: always,
        dispatch: &[(KeyCode::Enter, NONE, Action::Choose)],
    },
    Binding {
        keys: "esc",
        word: "back",
        sentence: "write nothing",
        works: always,
        dispatch: &[
            (KeyCode::Esc, NONE, Action::Dismiss),
            (KeyCode::Char('e'), NONE, Action::Export),
        ],
    },
];

/// Keys while a lesson is chosen.
pub const LESSONS: &[Binding] = &[
    Binding {
        keys: "↑↓",
        word: "select",
        sentence: "the lesson before or after",
        works: always,
        dispatch: UP_DOWN,
    },
    Binding {
        keys: "enter",
        word: "begin",
        sentence: "read it, from where it was left",
        works: always,
        dispatch: &[(KeyCode::Enter, NONE, Action::Choose)],
    },
    Binding {
        keys: "v",
        word: "language",
        sentence: "the lessons in the other language",
        works: always,
        dispatch: &[(KeyCode::Char('v'), NONE, Action::Switch)],
    },
    Binding {
        keys: "esc",
        word: "back",
        sentence: "leave everything as it was",
        works: always,
        dispatch: &[
            (KeyCode::Esc, NONE, Action::Dismiss),
            (KeyCode::Char('l'), NONE, Action::Lessons),
        ],
    },
];

/// Keys while a question is answered.
pub const ANSWER: &[Binding] = &[
    Binding {
        keys: "enter",
        word: "answer",
        sentence: "that is the answer",
        works: always,
        dispatch: &[(KeyCode::Enter, NONE, Action::Type(Typing::Submit))],
    },
    Binding {
        keys: "←→",
        word: "move",
        sentence: "move in the text",
        works: always,
        dispatch: TYPING,
    },
    Binding {
        keys: "esc",
        word: "back",
        sentence: "answer later",
        works: always,
        dispatch: &[(KeyCode::Esc, NONE, Action::Dismiss)],
    },
];

/// Keys while moving over the picture.
pub const PLACE: &[Binding] = &[
    Binding {
        keys: "←→↑↓",
        word: "move",
        sentence: "move over the picture",
        works: always,
        dispatch: &[
            (KeyCode::Left, NONE, Action::StepBack),
            (KeyCode::Right, NONE, Action::StepForward),
            (KeyCode::Up, NONE, Action::Up),
            (KeyCode::Down, NONE, Action::Down),
        ],
    },
    Binding {
        keys: "[]",
        word: "token",
        sentence: "the token before or after",
        works: always,
        dispatch: &[
            (KeyCode::Char('['), NONE, Action::PreviousToken),
            (KeyCode::Char(']'), NONE, Action::NextToken),
        ],
    },
    Binding {
        keys: "h",
        word: "head",
        sentence: "another attention head",
        works: always,
        dispatch: &[(KeyCode::Char('h'), NONE, Action::NextHead)],
    },
    Binding {
        keys: "u",
        word: "half",
        sentence: "attention without the prompt, or with it",
        works: always,
        dispatch: &[(KeyCode::Char('u'), NONE, Action::OtherHalf)],
    },
    Binding {
        keys: "esc",
        word: "done",
        sentence: "stop moving over the picture",
        works: always,
        dispatch: &[
            (KeyCode::Esc, NONE, Action::Dismiss),
            (KeyCode::Char('x'), NONE, Action::Place),
            (KeyCode::Enter, NONE, Action::Place),
            (KeyCode::Tab, NONE, Action::NextView),
            (KeyCode::BackTab, NONE, Action::PreviousView),
            (KeyCode::Char(' '), NONE, Action::PlayPause),
        ],
    },
];

/// Keys while the help is open.
pub const HELP: &[Binding] = &[
    Binding {
        keys: "↑↓",
        word: "scroll",
        sentence: "scroll",
        works: always,
        dispatch: UP_DOWN,
    },
    Binding {
        keys: "esc",
        word: "close",
        sentence: "close the help",
        works: always,
        dispatch: &[(KeyCode::Esc, NONE, Action::Dismiss)],
    },
];

const TYPING: &[(KeyCode, KeyModifiers, Action)] = &[
    (KeyCode::Left, NONE, Action::Type(Typing::Left)),
    (KeyCode::Right, NONE, Action::Type(Typing::Right)),
    (KeyCode::Home, NONE, Action::Type(Typing::Start)),
    (KeyCode::End, NONE, Action::Type(Typing::End)),
    (KeyCode::Char('a'), CONTROL, Action::Type(Typing::Start)),
    (KeyCode::Char('e'), CONTROL, Action::Type(Typing::End)),
    (KeyCode::Backspace, NONE, Action::Type(Typing::Backspace)),
    (KeyCode::Char('h'), CONTROL, Action::Type(Typing::Backspace)),
    (KeyCode::Delete, NONE, Action::Type(Typing::Delete)),
    (
        KeyCode::Char('w'),
        CONTROL,
        Action::Type(Typing::DeleteWord),
    ),
    (
        KeyCode::Char('u'),
        CONTROL,
        Action::Type(Typing::DeleteToStart),
    ),
];

/// The table for `mode`, and whether the keys that always work belong to it.
pub fn table(mode: &Mode) -> (&'static [Binding], bool) {
    match mode {
        Mode::Browse => (BROWSE, true),
        Mode::Edit(_) => (EDIT, false),
        Mode::Jump(_) => (JUMP, false),
        Mode::Help { .. } => (HELP, true),
        Mode::Weight(_) => (WEIGHT, false),
        Mode::Runs(_) => (RUNS, true),
        Mode::Lessons(_) => (LESSONS, true),
        Mode::Answer(_) => (ANSWER, false),
        Mode::Export(_) => (EXPORT, true),
        Mode::Place => (PLACE, true),
    }
}

/// The bindings that do something right now, in the table's order; those that always work come last.
pub fn active(app: &App) -> (Vec<&'static Binding>, &'static [Binding]) {
    let (bindings, with_always) = table(&app.mode);
    let active = bindings
        .iter()
        .filter(|binding| (binding.works)(app))
        .collect();
    (active, if with_always { ALWAYS } else { &[] })
}

/// The keys of the lesson that do something right now; none where no lesson is read.
pub fn in_lesson(app: &App) -> Vec<&'static Binding> {
    let active = |binding: &&Binding| matches!(app.mode, Mode::Browse) && (binding.works)(app);
    LESSON.iter().filter(active).collect()
}

/// What `event` means now; `None` for a key that does nothing here.
pub fn action(app: &App, event: KeyEvent) -> Option<Action> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    // Shift is part of the character itself, and terminals disagree on whether they report it.
    let modifiers = event.modifiers - KeyModifiers::SHIFT;
    let (active, always) = active(app);
    let lesson = in_lesson(app).into_iter();
    let bindings = lesson.chain(active).chain(always);
    let found = bindings
        .flat_map(|binding| binding.dispatch)
        .chain(EVERYWHERE)
        .find(|(code, wanted, _)| *code == event.code && *wanted == modifiers);
    match (found, &app.mode, event.code) {
        (Some((_, _, action)), _, _) => Some(action.clone()),
        (None, Mode::Edit(_) | Mode::Weight(_) | Mode::Answer(_), KeyCode::Char(typed))
            if !modifiers.intersects(CONTROL | KeyModifiers::ALT | KeyModifiers::SUPER) =>
        {
            Some(Action::Type(Typing::Insert(typed.into())))
        }
        (None, Mode::Jump(_), KeyCode::Char(typed @ '0'..='9')) => {
            Some(Action::Type(Typing::Insert(typed.into())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings_in_one_table() {
        for (bindings, more) in [
            (BROWSE, ALWAYS),
            (EDIT, &[][..]),
            (JUMP, &[]),
            (HELP, ALWAYS),
            (RUNS, ALWAYS),
            (LESSONS, ALWAYS),
            (ANSWER, &[]),
            (EXPORT, ALWAYS),
            (PLACE, ALWAYS),
            (WEIGHT, &[]),
        ] {
            let mut seen = Vec::new();
            let keys = bindings.iter().chain(more).flat_map(|b| b.dispatch);
            for (code, modifiers, _) in keys.chain(EVERYWHERE) {
                assert!(!seen.contains(&(code, modifiers)), "{code:?} {modifiers:?}");
                seen.push((code, modifiers));
            }
        }
    }
}
