//! The way of runs through latent space, on one chart.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{DRAWN, below, fitting_of, line, paragraph, part_tabs, split, top};
use crate::trace::latent_path::LatentPath;
use crate::tui::state::charts::Progress;
use crate::tui::state::detail::StepPart;
use crate::tui::state::in_words;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::curve::Curves;

/// Columns of the list of runs.
const RUNS: u16 = 30;

type Points = Vec<(f64, f64)>;

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    ctx.run.newest()?;
    let area = part_tabs(buffer, area, ctx, &StepPart::ALL.map(StepPart::name), || 2);
    let Some((of, path)) = &ctx.charts.path else {
        let said = ctx.say(["being worked out …", "正在计算 …"]);
        line(buffer, area, said, ctx.theme.muted());
        return DRAWN;
    };
    let Some(path) = path else {
        let said = ctx.say([
            "There is no chart: a run has fewer than two states, they are all equal, or values of them are not finite.",
            "画不出这张图：状态少于两个、全都相同，或其中有不是有限的数。",
        ]);
        paragraph(buffer, area, said, ctx.theme.text());
        return DRAWN;
    };
    let area = draw_shares(buffer, area, ctx, path);
    let (chart, list) = if area.width >= 70 && of.len() > 1 {
        split(area, area.width - RUNS - 2, 2)
    } else {
        (
            top(area, area.height.saturating_sub(1)),
            below(area, area.height.saturating_sub(1)),
        )
    };
    draw_chart(buffer, chart, ctx, (of, path));
    draw_runs(buffer, list, ctx, of);
    DRAWN
}

/// How much of the way is seen; returns the place beneath.
fn draw_shares(buffer: &mut Buffer, area: Rect, ctx: &RunContext, path: &LatentPath) -> Rect {
    let percent = |share: f64| text::fixed(100.0 * share, 1);
    let (first, second) = (percent(path.shares[0]), percent(path.shares[1]));
    let rest = percent(1.0 - path.shares[0] - path.shares[1]);
    let states: usize = path.runs.iter().map(Vec::len).sum();
    let forms = ctx.say([
        [
            format!("across {first} %, up {second} % of the variance of {states} states; {rest} % is not seen"),
            format!("across {first} %, up {second} %; {rest} % not seen"),
            format!("{first} % + {second} %"),
        ],
        [
            format!("{states} 个状态的方差：横向 {first} %，纵向 {second} %；其余 {rest} % 看不到"),
            format!("横向 {first} %，纵向 {second} %；其余 {rest} %"),
            format!("{first} % + {second} %"),
        ],
    ]);
    line(
        buffer,
        area,
        fitting_of(&forms, area.width),
        ctx.theme.muted(),
    )
}

fn draw_chart(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    (of, path): (&Progress, &LatentPath),
) {
    let theme = ctx.theme;
    let lines: Vec<(Points, Style)> = (of.iter().zip(&path.runs))
        .map(|((run, _), places)| {
            let points = places.iter().map(|place| place.at).collect();
            (points, style_of(*run, ctx))
        })
        .collect();
    // What is on the screen lies over the others.
    let mut order: Vec<usize> = (0..lines.len()).rev().collect();
    order.sort_by_key(|&at| of[at].0 == ctx.run.id);
    let lines: Vec<(&[(f64, f64)], Style)> = order
        .iter()
        .map(|&at| (lines[at].0.as_slice(), lines[at].1))
        .collect();
    let here = |is_own: bool| -> Points {
        let runs = of.iter().zip(&path.runs);
        let runs = runs.filter(|((run, _), _)| (*run == ctx.run.id) == is_own);
        let near = runs.filter_map(|(_, places)| {
            let before = places
                .iter()
                .take_while(|place| place.step <= ctx.cursor.step);
            before.last().map(|place| place.at)
        });
        near.collect()
    };
    let (own, others) = (here(true), here(false));
    let points = [
        (own.as_slice(), theme.accent()),
        (others.as_slice(), theme.text()),
    ];
    let all = path.runs.iter().flatten().map(|place| place.at);
    let (x, y) = bounds(all, area, theme);
    let labels = [x.0, x.1, y.0, y.1].map(|end| text::fixed(end, 0));
    let title = ctx.say([
        "x_t of every step, ● at this step; each begins as noise",
        "每一步的 x_t，● 是这一步；都从噪声开始",
    ]);
    Curves {
        title,
        lines: &lines,
        points: &points,
        x,
        y,
        x_labels: (&labels[0], &labels[1]),
        y_labels: (&labels[2], &labels[3]),
        mark: None,
    }
    .draw(buffer, area, theme);
}

fn style_of(run: u64, ctx: &RunContext) -> Style {
    let beside = ctx.runs.compared().is_some_and(|beside| beside.id == run);
    if run == ctx.run.id {
        ctx.theme.accent()
    } else if beside {
        ctx.theme.warning()
    } else {
        ctx.theme.muted()
    }
}

/// The ends of both axes, with one scale across and up, so that distances are what they are.
fn bounds(
    places: impl Iterator<Item = (f64, f64)>,
    area: Rect,
    theme: Theme,
) -> ((f64, f64), (f64, f64)) {
    let (mut low, mut high) = ((f64::MAX, f64::MAX), (f64::MIN, f64::MIN));
    for (x, y) in places {
        low = (low.0.min(x), low.1.min(y));
        high = (high.0.max(x), high.1.max(y));
    }
    let margin = 1.1;
    // The chart's labels take some columns and rows.
    let (width, height) = (
        area.width.saturating_sub(5).max(1),
        area.height.saturating_sub(2).max(1),
    );
    let ratio = f64::from(height) * f64::from(theme.tall()) / f64::from(width);
    let across = ((high.0 - low.0) * margin)
        .max((high.1 - low.1) * margin / ratio)
        .max(1e-9);
    let around = |low: f64, high: f64, size: f64| {
        let middle = f64::midpoint(low, high);
        (middle - size / 2.0, middle + size / 2.0)
    };
    (
        around(low.0, high.0, across),
        around(low.1, high.1, across * ratio),
    )
}

/// Which runs there are, and what each was asked for otherwise than the one on the screen.
fn draw_runs(buffer: &mut Buffer, mut area: Rect, ctx: &RunContext, of: &Progress) {
    if of.len() < 2 {
        let said = ctx.say([
            "one run so far: those that r, p and b make come onto the same chart",
            "目前只有一个运行：按 r、p、b 得到的运行会画在同一张图上",
        ]);
        line(buffer, area, said, ctx.theme.muted());
        return;
    }
    for (id, _) in of {
        let Some(run) = ctx.runs.find(*id) else {
            continue;
        };
        let said = if *id == ctx.run.id {
            in_words::seed(&run.trace.request, ctx.language)
        } else {
            let asked = in_words::changes(&run.trace.request, &ctx.run.trace.request, ctx.language);
            asked.join(" · ")
        };
        let caption = text::clean(&format!("━ {id} {said}"));
        area = line(buffer, area, &caption, style_of(*id, ctx));
    }
}
