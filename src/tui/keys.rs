//! The one table of keys: it feeds the dispatch of events, the footer and the help.

use crossterm::event::KeyCode::{
    self, BackTab, Char, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab, Up,
};
use crossterm::event::{KeyEvent, KeyEventKind, KeyModifiers};

use super::state::action::{Action, Typing};
use super::state::lesson::OpenLesson;
use super::state::{App, Cursor, Mode, View};

/// One or two keys that belong together, and what they do.
pub struct Binding {
    /// The keys as shown: `←→`.
    pub keys: &'static str,
    /// What they do, in a word or two, for the footer.
    pub label: &'static str,
    /// What they do, in a sentence, for the help.
    pub sentence: &'static str,
    /// Do they do anything right now?
    pub works: fn(&App) -> bool,
    /// Each key, pressed without control or alt, and its action.
    dispatch: &'static [(KeyCode, Action)],
}

const fn key(
    keys: &'static str,
    label: &'static str,
    works: fn(&App) -> bool,
    dispatch: &'static [(KeyCode, Action)],
    sentence: &'static str,
) -> Binding {
    Binding {
        keys,
        label,
        sentence,
        works,
        dispatch,
    }
}

fn always(_: &App) -> bool {
    true
}

// The tables are laid out by hand, a binding in a line or three: keys, label, when they work, actions, sentence.

/// Keys while looking around, the most needed ones first: where the footer is short, the last ones go.
#[rustfmt::skip]
pub const BROWSE: &[Binding] = &[
    key("←→", "step", |app| app.has_steps() || app.can_continue(),
        &[(Left, Action::StepBack), (Right, Action::StepForward)],
        "one denoising step back or forward; at the newest step of a paused run, make the next one"),
    key("↑↓", "select", |app| app.shows(Cursor::can_select), UP_DOWN,
        "select in this view: a token, a layer, a channel, a tensor"),
    key("[]", "token", |app| app.shows(Cursor::shows_tokens),
        &[(Char('['), Action::PreviousToken), (Char(']'), Action::NextToken)],
        "the token before or after, in every view"),
    key("v", "switch", |app| app.shows(Cursor::can_switch), &[(Char('v'), Action::Switch)],
        "what else this view can show: the negative prompt, an embedding's token and position part, noise times \
         sigma, another curve; small attention maps of every word, or of the selected word at every step, in every \
         layer, in every head"),
    key("o", "overlay", |app| app.shows(Cursor::shows_schedule), &[(Char('o'), Action::NextSchedule)],
        "lay another scheduler's schedule over this run's: one after the other, then none"),
    key("-+", "less/more", |app| app.shows(Cursor::can_adjust),
        &[(Char('-'), Action::Less), (Char('+'), Action::More), (Char('='), Action::More)],
        "fewer or more steps for the schedule that lies over this run's; an attention map that covers the picture \
         less or more"),
    key("a", "axis", |app| app.shows(Cursor::shows_schedule), &[(Char('a'), Action::SwitchAxis)],
        "the schedule's axis: linear or logarithmic"),
    key("w", "weight", App::can_weigh, &[(Char('w'), Action::Weight)],
        "what if the picture listened more or less to the selected word (a factor, 0 to 100), or to another word \
         in its place"),
    key("x", "place", App::shows_attention, &[(Char('x'), Action::Place)],
        "move over the picture and see which words that place listens to"),
    key("h", "head", |app| app.shows(Cursor::has_heads), &[(Char('h'), Action::NextHead)],
        "another attention head: the mean of all, then one after the other; the UNet's are computed anew from the \
         step's latents"),
    key("u", "half", App::shows_attention, &[(Char('u'), Action::OtherHalf)],
        "attention without the prompt (the unconditional half of guidance, computed anew), or with it"),
    key("tab", "stage", always, &[(Tab, Action::NextView), (BackTab, Action::PreviousView)],
        "the next stage; shift-tab the one before"),
    key("space", "play", |app| app.is_running() || app.can_continue() || app.newest() > Some(0),
        &[(Char(' '), Action::PlayPause)],
        "pause the run or let it go on; when it is done, play it back"),
    key("c", "cancel", App::is_running, &[(Char('c'), Action::Cancel)],
        "stop the run at once; what was done is kept, and space goes on from there"),
    key("p", "prompt", App::can_edit, &[(Char('p'), Action::Edit)],
        "edit prompt, negative prompt, seed, steps, guidance and scheduler, and run again"),
    key("b", "branch", App::can_branch, &[(Char('b'), Action::Branch)],
        "what if: go on from before this step with another prompt, guidance, scheduler or seed"),
    key("t", "runs", |app| !app.runs.others.is_empty(), &[(Char('t'), Action::Runs)],
        "the runs of this sitting, with their branches as a tree: look at another one, or put it beside this one"),
    key("y", "compare", |app| !app.runs.others.is_empty(), &[(Char('y'), Action::Compare)],
        "another run beside this one, with their difference; a branch beside what it left"),
    key("i", "explain", |app| !app.is_reading(), &[(Char('i'), Action::Explain)],
        "explain this view: the idea, the mechanism, the formulas with their sources"),
    key("d", "decode", |app| app.can_branch() && app.cursor.view.shows_pictures(), &[(Char('d'), Action::Decode)],
        "show predicted pictures decoded by the autoencoder instead of the quick preview, or the preview again"),
    key("e", "export", |app| app.shows(|_, run| run.newest().is_some() || run.trace.text.is_some()),
        &[(Char('e'), Action::Export)],
        "write what this view shows to a file: a tensor, the step or the whole run as JSON, a map or picture as \
         PNG, a word's attention over the steps as GIF"),
    key("s", "save", App::can_save, &[(Char('s'), Action::Save)],
        "save the picture as a PNG file in the current folder"),
    key("r", "run again", App::can_run_again, &[(Char('r'), Action::Run)],
        "run the same request again from its first stage"),
    key("g", "go to", |app| app.has_steps() || app.can_continue(), &[(Char('g'), Action::Jump)],
        "go to a step by its number; a paused run goes on until it is done"),
    key("home end", "first/last", App::has_steps, &[(Home, Action::FirstStep), (End, Action::LastStep)],
        "the first step; the newest step, following the run from there"),
    key("1-9", "stage", always,
        &[(Char('1'), Action::Show(View::Prompt)), (Char('2'), Action::Show(View::Tokens)),
          (Char('3'), Action::Show(View::Embedding)), (Char('4'), Action::Show(View::TextEncoder)),
          (Char('5'), Action::Show(View::Noise)), (Char('6'), Action::Show(View::Schedule)),
          (Char('7'), Action::Show(View::Denoising)), (Char('8'), Action::Show(View::Attention)),
          (Char('9'), Action::Show(View::Image))],
        "a stage by its number"),
    key("enter", "edit", |app| app.cursor.view == View::Prompt && app.can_edit(), &[(Enter, Action::Edit)],
        "in the prompt's view, edit the selected field"),
    key("esc", "close", |app| app.notice.is_some() || app.explain.is_some() || app.runs.compared().is_some(),
        &[(Esc, Action::Dismiss)],
        "close a message, the explanation, the comparison"),
    key("l", "lesson", |app| !app.recorded, &[(Char('l'), Action::Lessons)],
        "the lessons: choose one, and read it beside the run"),
    key("m", "mouse", always, &[(Char('m'), Action::Mouse)],
        "give the mouse to the terminal, to select text with it, or take it back"),
    key("ctrl-z", "suspend", |_| cfg!(unix), &[], "put the program to sleep; the shell's fg brings it back"),
];

/// Keys of a lesson that is being read: they come before those of looking around, and stand at the bottom of its pane.
#[rustfmt::skip]
pub const LESSON: &[Binding] = &[
    key("n", "next", |app| reading(app, OpenLesson::has_next), &[(Char('n'), Action::NextPage)],
        "the next page; N the page before"),
    key("N", "back", |app| reading(app, |reading| reading.page > 0), &[(Char('N'), Action::PreviousPage)],
        "the page before"),
    key("k", "answer", |app| reading(app, |reading| reading.is_open() && reading.is_question()),
        &[(Char('k'), Action::Check)],
        "answer the question"),
    key("k", "check", |app| reading(app, |reading| reading.is_open() && !reading.is_question()),
        &[(Char('k'), Action::Check)],
        "is the task done? It is looked after by itself, too"),
    key("H", "hint", |app| reading(app, OpenLesson::has_hints), &[(Char('H'), Action::Hint)],
        "a hint, and then another one"),
    key("S", "solution", |app| reading(app, |reading| reading.is_open() && !reading.solution),
        &[(Char('S'), Action::Solution)],
        "show the solution, and do it"),
    key("i", "deeper", App::is_reading, &[(Char('i'), Action::Depth)],
        "the page at another depth: idea, mechanism, mathematics"),
    key("f", "fold", App::is_reading, &[(Char('f'), Action::Fold)],
        "fold the lesson away, to see the view in full, or unfold it"),
    key("R", "reset", App::is_reading, &[(Char('R'), Action::Reset)],
        "open the page anew: its run and its place, and the exercise from the start"),
    key("L", "leave", App::is_reading, &[(Char('L'), Action::LeaveLesson)],
        "close the lesson; it goes on at this page another time"),
    key("pgdn", "scroll", App::is_reading, &[(PageDown, Action::ScrollDown), (PageUp, Action::ScrollUp)],
        "further down in the page; page-up further up"),
];

fn reading(app: &App, test: impl Fn(&OpenLesson) -> bool) -> bool {
    app.lesson.open.as_ref().is_some_and(test)
}

/// Keys that always work and always stand at the right end of the footer.
#[rustfmt::skip]
pub const ALWAYS: &[Binding] = &[
    key("?", "keys", always, &[(Char('?'), Action::Help)], "show or hide this list"),
    key("q", "quit", always, &[(Char('q'), Action::Quit)], "leave; ctrl-c does so too"),
];

/// Out of what is typed; the keys that always work are letters there, and do not.
#[rustfmt::skip]
const BACK: Binding = key("esc", "back", always, &[(Esc, Action::Dismiss)], "leave everything as it was");

const UP_DOWN: &[(KeyCode, Action)] = &[(Up, Action::Up), (Down, Action::Down)];

#[rustfmt::skip]
pub const EDIT: &[Binding] = &[
    key("enter", "run", always, &[(Enter, Action::Type(Typing::Submit))], "run what the form says"),
    key("tab ↑↓", "field", always,
        &[(Tab, Action::Type(Typing::NextField)), (BackTab, Action::Type(Typing::PreviousField)),
          (Down, Action::Type(Typing::NextField)), (Up, Action::Type(Typing::PreviousField))],
        "the next or the previous field"),
    key("←→", "move", always, &[], "move in the text; choose the scheduler"),
    key("ctrl-u", "clear", always, &[], "delete everything before the cursor; ctrl-w deletes a word"),
    BACK,
];

#[rustfmt::skip]
pub const JUMP: &[Binding] = &[
    key("0-9", "step", always, &[], "the step's number"),
    key("enter", "go", always, &[(Enter, Action::Type(Typing::Submit))], "go there"),
    BACK,
];

#[rustfmt::skip]
pub const WEIGHT: &[Binding] = &[
    key("0.5 2", "factor", always, &[], "the word's attention is multiplied by this"),
    key("a word", "swap", always, &[], "the two words change places"),
    key("enter", "run", always, &[(Enter, Action::Type(Typing::Submit))],
        "run it so from the first step on, beside the run as it was"),
    BACK,
];

#[rustfmt::skip]
pub const RUNS: &[Binding] = &[
    key("↑↓", "select", always, UP_DOWN, "the run before or after"),
    key("enter", "look at it", always, &[(Enter, Action::Choose)], "put it on the screen"),
    key("y", "compare", always, &[(Char('y'), Action::Compare)],
        "put it beside the one on the screen, or take it away"),
    key("esc", "back", always, &[(Esc, Action::Dismiss), (Char('t'), Action::Runs)], "leave everything as it was"),
];

#[rustfmt::skip]
pub const EXPORT: &[Binding] = &[
    key("↑↓", "select", always, UP_DOWN, "the offer before or after"),
    key("enter", "write it", always, &[(Enter, Action::Choose)], "write it to a new file in the current folder"),
    key("esc", "back", always, &[(Esc, Action::Dismiss), (Char('e'), Action::Export)], "write nothing"),
];

#[rustfmt::skip]
pub const LESSONS: &[Binding] = &[
    key("↑↓", "select", always, UP_DOWN, "the lesson before or after"),
    key("enter", "begin", always, &[(Enter, Action::Choose)], "read it, from where it was left"),
    key("v", "language", always, &[(Char('v'), Action::Switch)], "the lessons in the other language"),
    key("esc", "back", always, &[(Esc, Action::Dismiss), (Char('l'), Action::Lessons)], "leave everything as it was"),
];

#[rustfmt::skip]
pub const ANSWER: &[Binding] = &[
    key("enter", "answer", always, &[(Enter, Action::Type(Typing::Submit))], "that is the answer"),
    key("←→", "move", always, &[], "move in the text"),
    key("esc", "back", always, &[(Esc, Action::Dismiss)], "answer later"),
];

#[rustfmt::skip]
pub const PLACE: &[Binding] = &[
    key("←→↑↓", "move", always,
        &[(Left, Action::StepBack), (Right, Action::StepForward), (Up, Action::Up), (Down, Action::Down)],
        "move over the picture"),
    key("[]", "token", always, &[(Char('['), Action::PreviousToken), (Char(']'), Action::NextToken)],
        "the token before or after"),
    key("h", "head", always, &[(Char('h'), Action::NextHead)], "another attention head"),
    key("u", "half", always, &[(Char('u'), Action::OtherHalf)], "attention without the prompt, or with it"),
    key("esc", "done", always,
        &[(Esc, Action::Dismiss), (Char('x'), Action::Place), (Enter, Action::Place), (Tab, Action::NextView),
          (BackTab, Action::PreviousView), (Char(' '), Action::PlayPause)],
        "stop moving over the picture"),
];

#[rustfmt::skip]
pub const HELP: &[Binding] = &[
    key("↑↓", "scroll", always, UP_DOWN, "scroll"),
    key("esc", "close", always, &[(Esc, Action::Dismiss)], "close the help"),
];

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

/// The bindings that do something right now, in their table's order; those that always work come last.
pub fn active(app: &App) -> (Vec<&'static Binding>, &'static [Binding]) {
    let table = match app.mode {
        Mode::Browse => BROWSE,
        Mode::Edit(_) => EDIT,
        Mode::Jump(_) => JUMP,
        Mode::Help(_) => HELP,
        Mode::Weight(_) => WEIGHT,
        Mode::Runs(_) => RUNS,
        Mode::Lessons(_) => LESSONS,
        Mode::Answer(_) => ANSWER,
        Mode::Export(_) => EXPORT,
        Mode::Place => PLACE,
    };
    let active = table.iter().filter(|binding| (binding.works)(app));
    // Where text is typed, the keys that always work are letters.
    let always = if app.mode.is_typed() { &[] } else { ALWAYS };
    (active.collect(), always)
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
        for (bindings, more, typing) in [
            (BROWSE, ALWAYS, &[][..]),
            (EDIT, &[][..], TYPING),
            (JUMP, &[], TYPING),
            (HELP, ALWAYS, &[]),
            (RUNS, ALWAYS, &[]),
            (LESSONS, ALWAYS, &[]),
            (ANSWER, &[], TYPING),
            (EXPORT, ALWAYS, &[]),
            (PLACE, ALWAYS, &[]),
            (WEIGHT, &[], TYPING),
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
