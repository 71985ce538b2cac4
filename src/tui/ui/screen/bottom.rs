//! The last two rows: the run as a line with what goes on, and what can be done now.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::keys;
use crate::tui::state::lesson::{Messages, joined};
use crate::tui::state::run::RunState;
use crate::tui::state::{App, InputLine, Mode, Model, Notice, Opening};
use crate::tui::ui::area::right_of;
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::{key_line, timeline::Timeline};
use crate::tui::worker::Work;

/// Draws the run as a line; while a line is typed that is wrong, what is wrong with it, which stands right above it.
pub fn draw_timeline(buffer: &mut Buffer, area: Rect, app: &App, theme: Theme) {
    if let Mode::Jump(InputLine { problem, .. }) | Mode::Weight(InputLine { problem, .. }) =
        &app.mode
        && let Some(problem) = problem
    {
        let caption = format!(" ✗ {}", text::clean(problem));
        let caption = text::truncate(&caption, area.width.into());
        buffer.set_stringn(area.x, area.y, caption, area.width.into(), theme.error());
        return;
    }
    let status = status(app);
    if let Some(run) = app.run() {
        Timeline {
            current: app.has_steps().then_some(app.cursor.step),
            done: run.trace.steps.len(),
            total: run.total_steps(),
            finished: run.trace.image.is_some(),
            status: &status,
        }
        .draw(buffer, area, theme);
    } else {
        let caption = format!(" {status}");
        buffer.set_stringn(area.x, area.y, caption, area.width.into(), theme.text());
    }
}

/// What goes on, in a few words.
fn status(app: &App) -> String {
    let elapsed = |since: std::time::Duration| {
        let seconds = app.clock.saturating_sub(since).as_secs_f64();
        if seconds < 1.0 {
            String::new()
        } else {
            format!(" {}", text::seconds(seconds))
        }
    };
    if let Some(Opening { model, since, .. }) = &app.opening {
        return format!("opening {} …{}", text::clean(model), elapsed(*since));
    }
    let Some(run) = app.run() else {
        return match app.model {
            Model::Loading => format!("loading the model …{}", elapsed(std::time::Duration::ZERO)),
            Model::Ready(_) => "ready".to_owned(),
            Model::Failed(_) => "there is no model".to_owned(),
        };
    };
    if app.playback.is_some() {
        return "▶ playing back".to_owned();
    }
    let a_step = run.seconds_a_step();
    let a_step = a_step.map_or_else(String::new, |each| {
        format!("{} a step", text::seconds(each))
    });
    match (&run.state, app.work) {
        (_, Some((Work::Attention(_), since))) => format!("computing heads …{}", elapsed(since)),
        (_, Some((Work::Decode(_), since))) => format!("decoding x0 …{}", elapsed(since)),
        (RunState::Cancelling, _) => "cancelling …".to_owned(),
        (RunState::Pausing, _) => "pausing after this step …".to_owned(),
        (RunState::Running, Some((work, since))) => match work {
            Work::Tokens => "▶ cutting into tokens".to_owned(),
            Work::Text => format!("▶ reading the text{}", elapsed(since)),
            Work::Noise => "▶ drawing the noise".to_owned(),
            Work::Step(step) if run.trace.steps.len() < 2 => {
                format!("▶ denoising {}{}", step + 1, elapsed(since))
            }
            Work::Step(_) if app.cursor.follow => format!("▶ {a_step}"),
            Work::Step(step) => format!("▶ at {} · {a_step}", step + 1),
            _ => format!("▶ decoding{}", elapsed(since)),
        },
        (RunState::Running, None) => "▶".to_owned(),
        (RunState::Paused, _) => format!("⏸ paused · {a_step}"),
        (RunState::Cancelled, _) => "⏸ cancelled · space goes on".to_owned(),
        (RunState::Failed, _) => "failed".to_owned(),
        (RunState::Done, _) => format!("✓ in {} · {a_step}", text::seconds(run.seconds())),
    }
}

/// Draws what is typed or was said last, and the keys that work here.
pub fn draw_footer(buffer: &mut Buffer, area: Rect, app: &App, theme: Theme) {
    let [bindings, always] = keys::active(app);
    let language = app.lesson.language;
    let caption = match (&app.mode, &app.notice) {
        (Mode::Weight(input), _) => {
            let word = text::clean(app.selected_word().unwrap_or_default());
            let said = [
                format!("attention to “{word}” × "),
                format!("对“{word}”的注意力 × "),
            ];
            Some((typed_after(&language.choose(said), input), theme.accent()))
        }
        (Mode::Jump(input), _) => {
            let said = language.choose(["go to step: ", "跳到第几步："]);
            Some((typed_after(said, input), theme.accent()))
        }
        (Mode::Answer(line), _) => {
            let typed = text::clean(line.text());
            let caption = joined(Messages::of(language).answer, &format!("{typed}▏"));
            Some((format!(" {caption}"), theme.accent()))
        }
        (_, Some(Notice::Done(caption, _))) => {
            Some((format!(" ✓ {}", text::clean(caption)), theme.good()))
        }
        _ => None,
    };
    let mut keys = area;
    if let Some((caption, style)) = caption {
        let (end, _) = buffer.set_stringn(area.x, area.y, caption, area.width.into(), style);
        keys = right_of(area, end + 2);
    }
    key_line::draw(buffer, keys, [&bindings, &always], language, theme);
}

fn typed_after(said: &str, input: &InputLine) -> String {
    let (before, after) = input.line.parts();
    format!(" {said}{}▏{}", text::clean(before), text::clean(after))
}
