//! The lines of a module's computation, in their order, with their values.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, line, pending, picture, shape};
use crate::lesson::Said;
use crate::model::modules::{Line, LineKind};
use crate::trace::Features;
use crate::tui::state::inside::{Inside, Shows};
use crate::tui::ui::area::{left, right_of, scroll, split, top};
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::views::{first_lines, fitting_of, statistics};
use crate::tui::ui::widgets::tabs;

/// Columns of the list with all there is to say of a line.
const LIST: u16 = 62;
/// Columns of the list, at least.
const NARROW: u16 = 38;
/// Columns of a line's name.
const NAME: usize = 17;

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext, inside: Inside, at: usize) {
    let lines = inside.lines(&ctx.run.info);
    let features = ctx
        .cursor
        .probe_key()
        .and_then(|key| ctx.run.probes.get(key));
    let Some(features) = features else {
        line(buffer, area, pending(ctx), ctx.theme.muted());
        return;
    };
    let list = if area.width >= LIST + 30 {
        LIST
    } else {
        NARROW
    };
    let (list, beside) = match area.width {
        width if width >= NARROW + 16 => split(area, list, 2),
        _ => (area, left(area, 0)),
    };
    let rows = usize::from(list.height);
    let first = scroll(at, lines.len(), rows);
    let sums = Sums::of(&lines, features);
    for (row, index) in (first..lines.len().min(first + rows)).enumerate() {
        let place = top(below(list, row as u16), 1);
        let is_selected = index == at;
        draw_line(
            buffer,
            place,
            ctx,
            inside,
            (&lines[index], index),
            (features, &sums),
            is_selected,
        );
    }
    if let Some(selected) = lines.get(at) {
        let value = found(features, selected);
        draw_selected(buffer, beside, ctx, inside, selected, value);
    }
}

fn found<'a>(features: &'a [Features], line: &Line) -> Option<&'a Features> {
    features.iter().find(|one| *one.path == *line.site)
}

/// Of each line that is added to something: how large that is, as a root mean square.
struct Sums(Vec<Option<f64>>);

impl Sums {
    fn of(lines: &[Line], features: &[Features]) -> Self {
        let rms = |line: &Line| found(features, line).map(Features::rms);
        let input = lines.first().and_then(rms);
        let mut base = input;
        let mut bases = Vec::with_capacity(lines.len());
        for line in lines {
            bases.push(match line.kind {
                // What leaves the transformer is added to what came in.
                LineKind::ProjectionOut => input,
                kind if kind.is_branch() => base,
                _ => None,
            });
            if matches!(line.kind, LineKind::ProjectionIn | LineKind::Sum) {
                base = rms(line);
            }
        }
        Self(bases)
    }
}

fn draw_line(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    inside: Inside,
    (line, index): (&Line, usize),
    (features, sums): (&[Features], &Sums),
    is_selected: bool,
) {
    let theme = ctx.theme;
    let room = |x: u16| usize::from(area.right().saturating_sub(x));
    let name = text::fit(&format!(" {}", name(line, inside, ctx)), NAME);
    let style = theme.selected_if(is_selected, theme.text());
    let (mut x, _) = buffer.set_stringn(area.x, area.y, name, room(area.x), style);
    x += 1;
    if area.width >= LIST {
        let what = text::fit(&ctx.say(what(line.kind)).replace('\n', " "), 22);
        (x, _) = buffer.set_stringn(x, area.y, what, room(x), theme.muted());
        x += 1;
    }
    let Some(value) = found(features, line) else {
        return;
    };
    let sizes = shape_of(line, value, features);
    let sizes = text::fit(&shape(&sizes), 10);
    let (end, _) = buffer.set_stringn(x, area.y, sizes, room(x), theme.muted());
    let place = left(right_of(area, end + 1), 2);
    picture::draw(buffer, place, value, inside, theme);
    let base = sums.0.get(index).copied().flatten();
    let rms = value.rms();
    let caption = match base {
        // Beside what it is added to.
        Some(base) => format!("+{:>5}", text::fixed(rms / base.max(f64::MIN_POSITIVE), 2)),
        None => format!("{:>6}", text::fixed(rms, 2)),
    };
    let style = theme.accent_if(base.is_some(), theme.text());
    buffer.set_stringn(end + 4, area.y, caption, room(end + 4), style);
}

/// Its shape: where it is the same numbers as another line's in other places, as it is there.
fn shape_of(line: &Line, value: &Features, features: &[Features]) -> Vec<usize> {
    let dims = &value.shape;
    let (width, height) = value.size;
    match (line.kind, &dims[..]) {
        (LineKind::Flatten, &[channels, height, width]) => vec![height * width, channels],
        (LineKind::Unflatten, &[_, channels]) => {
            let input = features.iter().find(|one| one.shape.len() == 3);
            match input.map(|input| &input.shape[..]) {
                Some(&[_, height, width]) => vec![channels, height, width],
                _ => vec![channels, height, width],
            }
        }
        _ => dims.clone(),
    }
}

/// The name that a line has in the code.
fn name(line: &Line, inside: Inside, ctx: &RunContext) -> String {
    let path = inside
        .module(&ctx.run.info)
        .map_or("", |module| &module.path);
    let within = line.site.strip_prefix(path).unwrap_or(&line.site);
    let within = within.trim_start_matches('.');
    let short = within.replace("transformer_blocks.", "");
    text::clean(match line.kind {
        LineKind::Input => "x_in",
        LineKind::Flatten => "b (h w) c",
        LineKind::Unflatten => "b c h w",
        LineKind::Output => "+ x_in",
        LineKind::Sum | LineKind::PlusTime => "+",
        _ => &short,
    })
}

/// What a line does, in a few words.
fn what(kind: LineKind) -> Said {
    match kind {
        LineKind::Input => ["what comes in", "输入"],
        LineKind::GroupNorm => ["group norm", "组归一化"],
        LineKind::LayerNorm => ["layer norm", "层归一化"],
        LineKind::Silu => ["SiLU", "SiLU"],
        LineKind::Convolution => ["3×3 convolution", "3×3 卷积"],
        LineKind::Time => ["the time, a channel", "时间，每通道一个数"],
        LineKind::PlusTime => ["plus the time", "加上时间"],
        LineKind::ProjectionIn => ["1×1 projection", "1×1 投影"],
        LineKind::Flatten => ["pixels in a row", "像素排成一列"],
        LineKind::SelfAttention => ["attention to itself", "对自身的注意力"],
        LineKind::CrossAttention => ["attention to the prompt", "对提示词的注意力"],
        LineKind::Gated => ["GEGLU", "GEGLU"],
        LineKind::FeedForward => ["feed-forward", "前馈网络"],
        LineKind::Sum => ["added", "相加"],
        LineKind::Unflatten => ["a picture again", "排回成图"],
        LineKind::ProjectionOut => ["1×1, began at 0", "1×1，训练时从 0 开始"],
        LineKind::Shortcut => ["1×1 of what came in", "输入的 1×1 卷积"],
        LineKind::FirstLinear => ["wider", "变宽"],
        LineKind::Activation => ["activation", "激活函数"],
        LineKind::Output => ["what goes out", "输出"],
    }
}

/// The same in a sentence, with its formula.
fn sentence(kind: LineKind) -> Said {
    match kind {
        LineKind::Input => ["What the module is given.", "模块得到的输入。"],
        LineKind::GroupNorm => [
            "Each group of channels to mean 0 and variance 1, then a scale and a shift a channel.",
            "每组通道变成均值 0、方差 1，再按通道缩放、平移。",
        ],
        LineKind::LayerNorm => [
            "Each vector to mean 0 and variance 1, then a scale and a shift a feature.",
            "每个向量变成均值 0、方差 1，再按特征缩放、平移。",
        ],
        LineKind::Silu => ["x · sigmoid(x)", "x · sigmoid(x)"],
        LineKind::Convolution => [
            "Each place from the 3×3 places around it, all channels.",
            "每个位置由周围 3×3 个位置的全部通道算出。",
        ],
        LineKind::Time => [
            "The time's embedding, projected: one number a channel, the same at all places.",
            "时间嵌入的投影：每个通道一个数，各位置相同。",
        ],
        LineKind::PlusTime => [
            "The time is added at every place: so the block knows how noisy its input is.",
            "在每个位置加上时间：模块由此知道输入有多少噪声。",
        ],
        LineKind::ProjectionIn => [
            "Each place by itself through a linear layer.",
            "每个位置各自经过一个线性层。",
        ],
        LineKind::Flatten => [
            "b c h w → b (h w) c: the same numbers, pixels as a sequence.",
            "b c h w → b (h w) c：数值不变，像素排成序列。",
        ],
        LineKind::SelfAttention => [
            "softmax(Q·Kᵀ/√d)·V, all three from this sequence: places take from like places.",
            "softmax(Q·Kᵀ/√d)·V，三者都来自这个序列：位置从相似的位置取值。",
        ],
        LineKind::CrossAttention => [
            "softmax(Q·Kᵀ/√d)·V with K and V from the prompt. enter: which word each place attends to.",
            "softmax(Q·Kᵀ/√d)·V，K 和 V 来自提示词。按 enter 看每个位置关注哪个词。",
        ],
        LineKind::Gated => [
            "Four times as wide: value · GELU(gate).",
            "宽度为四倍：value · GELU(gate)。",
        ],
        LineKind::FeedForward => [
            "Back to the width from before; each place by itself.",
            "回到原来的宽度；每个位置各自计算。",
        ],
        LineKind::Sum => [
            "What was there, plus what the line above gives.",
            "原来的值，加上上一行的结果。",
        ],
        LineKind::Unflatten => [
            "b (h w) c → b c h w: the same numbers, a picture again.",
            "b (h w) c → b c h w：数值不变，重新排成图。",
        ],
        LineKind::ProjectionOut => [
            "What the module adds. Its weights were 0 when training began: then it added nothing.",
            "模块要加上的部分。训练开始时权重为 0，什么也不加。",
        ],
        LineKind::Shortcut => [
            "What came in, with as many channels as go out.",
            "输入变成与输出相同的通道数。",
        ],
        LineKind::FirstLinear => ["A linear layer, to a wider vector.", "线性层，向量变宽。"],
        LineKind::Activation => [
            "CLIP's GELU: x · sigmoid(1.702 x), or the exact one.",
            "CLIP 的 GELU：x · sigmoid(1.702 x)，或精确的 GELU。",
        ],
        LineKind::Output => [
            "What came in, plus what was computed from it.",
            "输入，加上由它算出的结果。",
        ],
    }
}

/// The line that is looked at, large.
fn draw_selected(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    inside: Inside,
    selected: &Line,
    value: Option<&Features>,
) {
    let (theme, language) = (ctx.theme, ctx.language);
    let Some(value) = value.filter(|_| !area.is_empty()) else {
        return;
    };
    let area = first_lines(
        buffer,
        area,
        ctx.say(sentence(selected.kind)),
        4,
        theme.text(),
    );
    let area = line(
        buffer,
        area,
        &statistics(&value.stats, area.width, language),
        theme.muted(),
    );
    let [low, high] = [value.stats.min, value.stats.max];
    let [low, high] = [low, high].map(|value| text::fixed(f64::from(value), 2));
    let rms = text::fixed(value.rms(), 3);
    let caption = ctx.say([
        format!("{low} to {high}  rms {rms}"),
        format!("{low} 到 {high}  rms {rms}"),
    ]);
    let mut area = line(buffer, area, &caption, theme.muted());
    if area.width >= 30 {
        let names = Shows::ALL.map(|shows| ctx.say(shows.name()));
        tabs::draw(buffer, area, "v", &names, inside.shows as usize, theme);
        area = below(area, 1);
    }
    let titles = ctx.say(picture::titles(value, inside));
    let title = fitting_of(&titles, area.width).to_owned();
    let area = line(buffer, area, &title, theme.title());
    picture::draw(buffer, area, value, inside, theme);
}
