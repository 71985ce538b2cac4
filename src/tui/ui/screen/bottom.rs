//! The last two rows: the run as a line with what goes on, and what can be done now.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::keys;
use crate::tui::state::lesson::{joined, messages};
use crate::tui::state::run::{Run, RunState};
use crate::tui::state::{App, InputLine, Mode, Model, Notice, Opening};
use crate::tui::ui::area::right_of;
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::{key_line, timeline::Timeline};
use crate::tui::worker::{Variant, Work};

/// Draws the run as a line; while a line is typed that is wrong, what is wrong with it, which stands right above it.
pub fn draw_timeline(buffer: &mut Buffer, area: Rect, app: &App, theme: Theme) {
    if let Mode::Jump(InputLine { problem, .. })
    | Mode::Weight(InputLine { problem, .. })
    | Mode::Patch(InputLine { problem, .. }) = &app.mode
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
            language: app.lesson.language,
        }
        .draw(buffer, area, theme);
    } else {
        let caption = format!(" {status}");
        buffer.set_stringn(area.x, area.y, caption, area.width.into(), theme.text());
    }
}

/// What goes on, in a few words.
fn status(app: &App) -> String {
    let language = app.lesson.language;
    if let Some(Opening { model, since, .. }) = &app.opening {
        let (model, elapsed) = (text::clean(model), elapsed(app, *since));
        return language.choose([
            format!("opening {model} …{elapsed}"),
            format!("正在打开 {model} …{elapsed}"),
        ]);
    }
    let Some(run) = app.run() else {
        let elapsed = elapsed(app, Duration::ZERO);
        return language.choose(match app.model {
            Model::Loading => [
                format!("loading the model …{elapsed}"),
                format!("正在加载模型 …{elapsed}"),
            ],
            Model::Ready(_) => ["ready", "就绪"].map(str::to_owned),
            Model::Failed(_) => ["there is no model", "没有模型"].map(str::to_owned),
        });
    };
    language.choose(match (&run.state, app.work) {
        _ if app.playback.is_some() => ["▶ playing back", "▶ 回放中"].map(str::to_owned),
        (_, Some((Work::Attention(_), since))) => {
            let elapsed = elapsed(app, since);
            [
                format!("computing heads …{elapsed}"),
                format!("正在计算注意力头 …{elapsed}"),
            ]
        }
        (state, Some((Work::Probe, since))) if *state != RunState::Running => {
            let elapsed = elapsed(app, since);
            [
                format!("looking into the network …{elapsed}"),
                format!("正在查看网络内部 …{elapsed}"),
            ]
        }
        (_, Some((Work::Look(_), since))) => {
            let elapsed = elapsed(app, since);
            [
                format!("looking closer …{elapsed}"),
                format!("正在细看 …{elapsed}"),
            ]
        }
        (_, Some((Work::Decode(_), since))) => {
            let elapsed = elapsed(app, since);
            [
                format!("decoding x0 …{elapsed}"),
                format!("正在解码 x0 …{elapsed}"),
            ]
        }
        (RunState::Done, Some((Work::Variant(variant, step), since))) => {
            of_variant(app, run, (variant, step), since)
        }
        (state, work) => status_of(app, run, state, work),
    })
}

/// Which variant of the run is being made, and how far it is.
fn of_variant(
    app: &App,
    run: &Run,
    (variant, step): (Variant, usize),
    since: Duration,
) -> [String; 2] {
    let elapsed = elapsed(app, since);
    let steps = run.total_steps();
    let at = if step < steps {
        format!(" {}/{steps}", step + 1)
    } else {
        String::new()
    };
    match variant {
        Variant::LeaveOut { position, .. } => {
            let word = text::clean(run.word_at(position).unwrap_or_default());
            [
                format!("without “{word}”{at}{elapsed}"),
                format!("去掉“{word}”{at}{elapsed}"),
            ]
        }
        Variant::TextLayers(layers) => [
            format!("after {layers} layers{at}{elapsed}"),
            format!("经过 {layers} 层{at}{elapsed}"),
        ],
    }
}

/// How the run on the screen is getting on.
fn status_of(
    app: &App,
    run: &Run,
    state: &RunState,
    work: Option<(Work, Duration)>,
) -> [String; 2] {
    let a_step = run.seconds_a_step();
    let [a_step, each] = a_step.map_or_else(Default::default, |each| {
        let each = text::seconds(each);
        [format!("{each} a step"), format!("每步 {each}")]
    });
    match (state, work) {
        (RunState::Cancelling, _) => ["cancelling …", "正在中止 …"].map(str::to_owned),
        (RunState::Pausing, _) => {
            ["pausing after this step …", "做完这一步就暂停 …"].map(str::to_owned)
        }
        (RunState::Running, Some((work, since))) => {
            let elapsed = elapsed(app, since);
            match work {
                Work::Tokens => ["▶ cutting into tokens", "▶ 正在切分词元"].map(str::to_owned),
                Work::Text => [
                    format!("▶ reading the text{elapsed}"),
                    format!("▶ 正在编码文本{elapsed}"),
                ],
                Work::Noise => ["▶ drawing the noise", "▶ 正在抽取噪声"].map(str::to_owned),
                Work::Step(step) if run.trace.steps.len() < 2 => [
                    format!("▶ denoising {}{elapsed}", step + 1),
                    format!("▶ 正在去噪，第 {} 步{elapsed}", step + 1),
                ],
                Work::Step(_) if app.cursor.follow => [format!("▶ {a_step}"), format!("▶ {each}")],
                Work::Step(step) => [
                    format!("▶ at {} · {a_step}", step + 1),
                    format!("▶ 做到第 {} 步 · {each}", step + 1),
                ],
                _ => [
                    format!("▶ decoding{elapsed}"),
                    format!("▶ 正在解码{elapsed}"),
                ],
            }
        }
        (RunState::Running, None) => ["▶", "▶"].map(str::to_owned),
        (RunState::Paused, _) => [format!("⏸ paused · {a_step}"), format!("⏸ 已暂停 · {each}")],
        (RunState::Cancelled, _) => [
            "⏸ cancelled · space goes on".to_owned(),
            "⏸ 已中止 · 按空格继续".to_owned(),
        ],
        (RunState::Failed, _) => ["failed", "失败"].map(str::to_owned),
        (RunState::Done, _) => {
            let whole = text::seconds(run.seconds());
            [
                format!("✓ in {whole} · {a_step}"),
                format!("✓ 用时 {whole} · {each}"),
            ]
        }
    }
}

/// The time since `since`, with a space before it; nothing within the first second.
fn elapsed(app: &App, since: Duration) -> String {
    let seconds = app.clock.saturating_sub(since).as_secs_f64();
    if seconds < 1.0 {
        String::new()
    } else {
        format!(" {}", text::seconds(seconds))
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
        (Mode::Patch(input), _) => {
            let module = text::clean(&app.patched_module().unwrap_or_default());
            let said = [format!("{module} = "), format!("{module} = ")];
            Some((typed_after(&language.choose(said), input), theme.accent()))
        }
        (Mode::Jump(input), _) => {
            let said = language.choose(["go to step: ", "跳到第几步："]);
            Some((typed_after(said, input), theme.accent()))
        }
        (Mode::Answer(line), _) => {
            let typed = text::clean(line.text());
            let caption = joined(language.choose(messages::ANSWER), &format!("{typed}▏"));
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
