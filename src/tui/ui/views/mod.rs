//! The views: one file a stage. Each begins with a sentence that says what happens at its stage.

pub(super) mod attention;
pub(super) mod compare;
mod denoising;
mod embedding;
mod film;
mod guidance;
mod image;
mod latent_path;
mod matrix;
mod merges;
mod neighbours;
mod network;
mod noise;
mod prompt;
mod schedule;
mod text_encoder;
mod text_layers;
mod tokens;
mod vector;

use std::collections::BTreeSet;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::area::{below, columns, left, right_of, scroll, split, top};
use super::context::{RunContext, ViewContext};
use super::pixels::PlacedPicture;
use super::text;
use super::widgets::heat_map::{HeatMap, legend};
use super::widgets::{tabs, token_strip};
use super::wrap::wrap_words;
use crate::lesson::{Language, Said};
use crate::model::tokenizer::Token;
use crate::trace::{Stats, StepTrace};
use crate::tui::state::detail::{ImagePart, PromptPart, StepPart, TextPart};
use crate::tui::state::run::RunState;
use crate::tui::state::variants::Series;
use crate::tui::state::{Cursor, Model, View};
use crate::tui::worker::Failure;

/// Draws the view on the screen in `area`; returns its pictures.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Vec<PlacedPicture> {
    if let Some(inside) = ctx.cursor.inside().filter(|_| ctx.run.is_some()) {
        let said = ctx.say(network::words(inside));
        let area = first_lines(buffer, area, said, 2, ctx.theme.muted());
        return draw_stage(buffer, below(area, u16::from(area.height >= 24)), ctx);
    }
    let area = sentence(buffer, area, ctx);
    draw_stage(buffer, area, ctx)
}

/// Draws what belongs to the view's stage, without its sentence.
fn draw_stage(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Vec<PlacedPicture> {
    if let (Some(inside), Some(of_run)) = (ctx.cursor.inside(), ctx.of_run()) {
        return network::draw(buffer, area, &of_run, inside);
    }
    let detail = &ctx.cursor.detail;
    let draw = match ctx.view {
        View::Prompt => return prompt::draw(buffer, area, ctx),
        View::TextEncoder if detail.text == TextPart::Pictures => text_layers::draw,
        View::Denoising if detail.step == StepPart::Guidance => guidance::draw,
        View::Denoising if detail.step == StepPart::Path => latent_path::draw,
        View::Image if detail.image == ImagePart::Steps => film::draw_steps,
        View::Image if detail.image == ImagePart::Runs => film::draw_runs,
        View::Tokens => tokens::draw,
        View::Embedding => embedding::draw,
        View::TextEncoder => text_encoder::draw,
        View::Noise => noise::draw,
        View::Schedule => schedule::draw,
        View::Denoising => denoising::draw,
        View::Attention => attention::draw,
        View::Image => image::draw,
    };
    let drawn = ctx.of_run().and_then(|of_run| draw(buffer, area, &of_run));
    drawn.unwrap_or_else(|| empty(buffer, area, ctx))
}

/// The place beneath the view's sentence: where its own part begins.
pub fn place(area: Rect, cursor: &Cursor, language: Language) -> Rect {
    let lines = wrap_words(language.choose(words(cursor)), area.width.into());
    // A gap where there is room for one.
    let gap = usize::from(area.height >= 24);
    below(area, (lines.len() + gap) as u16)
}

/// Draws the sentence of the view and returns the place beneath it.
fn sentence(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Rect {
    paragraph(buffer, area, ctx.say(words(&ctx.cursor)), ctx.theme.muted());
    place(area, &ctx.cursor, ctx.language)
}

/// What happens at the view's stage, in a sentence; of what else it can show, what that shows, and what it does not.
fn words(cursor: &Cursor) -> Said {
    let detail = &cursor.detail;
    match cursor.view {
        View::Prompt if detail.prompt != PromptPart::Request => [
            "What the picture loses with a word: loud is not important. It holds for this seed, and says nothing of why.",
            "去掉一个词，图片变多少：得到注意力多的不一定重要。只对这个种子成立，也不说明原因。",
        ],
        View::TextEncoder if detail.text == TextPart::Pictures => [
            "What the UNet draws from the text after each layer. It learnt to read the last: what it cannot draw may be there.",
            "UNet 从文本经过每一层后的状态画出的图。它只学过读最后一层：画不出的，不等于还没有。",
        ],
        View::Denoising if detail.step == StepPart::Guidance => [
            "Both predictions in the plane that they span: exact, but only how far apart, not where in the picture.",
            "两个预测在它们张成的平面里：精确，但只说相差多远，不说在图片的哪里。",
        ],
        View::Denoising if detail.step == StepPart::Path => [
            "Latents in their two main directions: what lies close here may be far apart in the others.",
            "潜变量在两个主要方向上的位置：这里离得近的，在其他方向上可能很远。",
        ],
        View::Image if detail.image == ImagePart::Steps => [
            "What the model took the picture for at every step. A prediction, not what the latents were.",
            "每一步模型认为的图片。这是预测，不是当时的潜变量。",
        ],
        View::Image if detail.image == ImagePart::Runs => [
            "The same step of the runs of this session. Steps of other schedules have other noise levels.",
            "本次会话各个运行的同一步。噪声调度不同时，同一步的噪声也不同。",
        ],
        View::Prompt => [
            "What is asked for. With the model, it decides all that follows.",
            "要画的内容。它和模型一起，决定后面的一切。",
        ],
        View::Tokens => [
            "The text becomes pieces, each with a number; always 77 of them.",
            "文本切成小块，每块有一个编号；位置总是 77 个。",
        ],
        View::Embedding => [
            "Each token's id picks a vector; like words have like vectors.",
            "每个词元的编号选出一个向量；相近的词，向量也相近。",
        ],
        View::TextEncoder => [
            "Layer by layer, each token takes in the tokens before it.",
            "一层一层地，每个词元吸收排在它前面的词元。",
        ],
        View::Noise => [
            "A picture begins as noise. The seed fixes every number of it.",
            "图片从噪声开始。其中的每一个数都由种子确定。",
        ],
        View::Schedule => [
            "How much noise each step begins with (sigma), down to none.",
            "每一步开始时有多少噪声（sigma），一直降到没有。",
        ],
        View::Denoising => [
            "The UNet says what of x_t is noise; a step takes part of it out.",
            "UNet 说出 x_t 里哪些是噪声；每一步去掉其中一部分。",
        ],
        View::Attention => attention::words(cursor.attention.grid),
        View::Image => [
            "The autoencoder's decoder turns the last latents into pixels.",
            "自编码器的解码器把最后的潜变量变成像素。",
        ],
    }
}

/// Draws what the view can show and which of it is shown, and the key that goes on; returns the place beneath.
fn part_tabs(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &ViewContext,
    names: &[Said],
    selected: impl Fn() -> usize,
) -> Rect {
    let names: Vec<&str> = names.iter().map(|name| ctx.say(*name)).collect();
    let needed: usize = names.iter().map(|name| text::width(name) + 3).sum();
    // Where not all have room, the one that is shown.
    if needed <= usize::from(area.width) {
        tabs::draw(buffer, top(area, 1), "v", &names, selected(), ctx.theme);
    } else {
        tabs::draw(
            buffer,
            top(area, 1),
            "v",
            &[names[selected()]],
            0,
            ctx.theme,
        );
    }
    below(area, 1 + u16::from(area.height > 26))
}

/// How far a series of variants is, or why there is none and what begins it; returns the place beneath.
fn progress(buffer: &mut Buffer, area: Rect, ctx: &RunContext, series: Series) -> Rect {
    let run = ctx.run;
    let (made, all) = run.made(series);
    let each = run.seconds();
    let left = text::seconds(each * (all - made) as f64);
    let has_model =
        matches!(ctx.model, Model::Ready(info) if run.is_made_by(info)) && !ctx.recorded;
    let said = if made == all {
        return below(area, u16::from(area.height > 26));
    } else if ctx.variants.is_making(run.id, series) {
        [
            format!("{made} of {all} made, about {left} to go; space stops"),
            format!("已完成 {made} / {all}，大约还要 {left}；按空格停止"),
        ]
    } else if !has_model {
        [
            "These pictures take the model that made the run, which is not here: run it anew.",
            "这些图片要用生成这次运行的模型，而它不在这里：请重新运行。",
        ]
        .map(str::to_owned)
    } else if run.has_picture() {
        [
            format!("{made} of {all} made; space makes the others, about {left}"),
            format!("已完成 {made} / {all}；按空格生成其余的，大约 {left}"),
        ]
    } else {
        [
            "They are made when the run has its picture.",
            "运行画完图片之后才能生成。",
        ]
        .map(str::to_owned)
    };
    paragraph(buffer, area, &ctx.say(said), ctx.theme.muted());
    below(area, 1 + u16::from(area.height > 26))
}

/// What a view returns that was drawn, and has no pictures.
const DRAWN: Option<Vec<PlacedPicture>> = Some(Vec::new());

/// The first of `forms`, from the longest to the shortest, that fits `columns` columns; the last where none does.
fn fitting<'a>(forms: &[&'a str], columns: u16) -> &'a str {
    let fits = |form: &&&str| text::width(form) <= usize::from(columns);
    forms.iter().find(fits).or(forms.last()).unwrap_or(&"")
}

/// The same of forms that were put together.
fn fitting_of(forms: &[String], columns: u16) -> &str {
    let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
    fitting(&forms, columns)
}

/// Does the run of `step` keep the variance of its latents, so that they are divided by √(σ²+1)? Karras et al. 2022,
/// arXiv 2206.00364, appendix B: the schedulers of the DDPM family do, those of k-diffusion have x0 + σ·ε as it is.
fn keeps_variance(step: &StepTrace) -> bool {
    step.preview_scale <= 1.0
}

/// Puts one line of text at the top of `area` and returns the place beneath it.
fn line(buffer: &mut Buffer, area: Rect, caption: &str, style: Style) -> Rect {
    if area.height > 0 {
        let caption = text::truncate(caption, area.width.into());
        buffer.set_stringn(area.x, area.y, caption, area.width.into(), style);
    }
    below(area, 1)
}

/// Puts a text of several lines at the top of `area` and returns the place beneath it.
fn paragraph(buffer: &mut Buffer, area: Rect, text: &str, style: Style) -> Rect {
    first_lines(buffer, area, text, usize::MAX, style)
}

/// The same of the first `most` lines.
fn first_lines(buffer: &mut Buffer, mut area: Rect, text: &str, most: usize, style: Style) -> Rect {
    for caption in wrap_words(text, area.width.into()).iter().take(most) {
        area = line(buffer, area, caption, style);
    }
    area
}

/// Says why there is nothing to see yet, and what brings it.
fn empty(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Vec<PlacedPicture> {
    let [what, zh] = match ctx.view {
        View::Prompt => ["The request", "请求"],
        View::Tokens => ["The prompt's tokens", "提示词的词元"],
        View::Embedding => ["The tokens' vectors", "词元的向量"],
        View::TextEncoder => ["The text encoder's layers", "文本编码器的各层"],
        View::Noise => ["The noise", "噪声"],
        View::Schedule => ["The schedule", "噪声调度"],
        View::Denoising => ["The latents of each step", "每一步的潜变量"],
        View::Attention => ["Attention maps", "注意力图"],
        View::Image => ["The picture", "图片"],
    };
    let why = match (ctx.model, ctx.run.map(|run| &run.state)) {
        (Model::Failed(Failure { what, advice }), _) => [
            format!("{}. {}", what[0], advice[0]),
            format!("{}。{}", what[1], advice[1]),
        ],
        (Model::Loading, _) => [
            format!("{what} will stand here: the model is being loaded."),
            format!("{zh}会显示在这里：模型正在加载。"),
        ],
        (_, None) => [
            format!("{what} will stand here: r starts a run."),
            format!("{zh}会显示在这里：按 r 开始运行。"),
        ],
        (_, Some(RunState::Running | RunState::Pausing)) => [
            format!("{what} will stand here: the run has not come so far yet."),
            format!("{zh}会显示在这里：运行还没有到这一步。"),
        ],
        (_, Some(RunState::Paused | RunState::Cancelled | RunState::Cancelling)) => [
            format!("{what} will stand here when the run gets there: space lets it go on."),
            format!("运行到那里时，{zh}会显示在这里：按空格继续。"),
        ],
        (_, Some(RunState::Failed)) => [
            format!(
                "{what} is missing because the run failed: r runs again, p changes the request."
            ),
            format!("运行失败了，所以没有{zh}：按 r 再运行，按 p 改动请求。"),
        ],
        (_, Some(RunState::Done)) => [
            format!("{what} was not recorded: r runs again."),
            format!("{zh}没有记录下来：按 r 再运行。"),
        ],
    };
    let why = text::clean(&ctx.say(why));
    paragraph(buffer, below(area, 1), &why, ctx.theme.text());
    Vec::new()
}

/// The statistics that stand below a tensor, in at most `columns` columns where that is possible.
fn statistics(stats: &Stats, columns: u16, language: Language) -> String {
    let (mean, std) = (text::fixed(stats.mean, 3), text::fixed(stats.std, 3));
    let long = language.choose([
        format!("mean {mean}  std {std}"),
        format!("均值 {mean} 标准差 {std}"),
    ]);
    if stats.non_finite > 0 {
        // Not left out for want of room: the figures are those of the other values.
        let count = not_finite(stats.non_finite, language);
        let all = format!("{long}  {count}");
        return fitting(&[&all, &count, "NaN"], columns).to_owned();
    }
    let least = format!("±{}", text::fixed(stats.std, 2));
    let short = format!(
        "{} {}",
        text::fixed(stats.mean, 2),
        least.replace('±', "± ")
    );
    fitting(&[&long, &short, &least, ""], columns).to_owned()
}

/// How many values are NaN or infinite.
fn not_finite(count: usize, language: Language) -> String {
    language.choose([
        format!("{count} not finite"),
        format!("{count} 个 NaN 或无穷大"),
    ])
}

/// Draws a heat map of at most `rows` rows with its title above and its scale beneath; returns the map's cells.
fn titled_map(
    buffer: &mut Buffer,
    area: Rect,
    title: &str,
    map: &HeatMap,
    rows: u16,
    ctx: &ViewContext,
) -> Rect {
    let theme = ctx.theme;
    let area = line(buffer, area, title, theme.title());
    let drawn = map.draw(buffer, top(area, rows), theme);
    let beneath = top(below(area, drawn.height), 1);
    let whose = ctx.say(["own scale", "自己的色标"]);
    legend(buffer, beneath, map.scale, whose, theme);
    drawn
}

/// Draws the token strip at the top of `area` and returns the place beneath it.
fn strip(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Rect {
    strip_of(buffer, area, ctx, ctx.run.tokens(), ctx.run.unseen())
}

/// The same of `tokens`, those of the ids `unseen` with a warning.
fn strip_of(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &ViewContext,
    tokens: &[Token],
    unseen: &BTreeSet<u32>,
) -> Rect {
    if area.height > 0 {
        token_strip::draw(
            buffer,
            top(area, 1),
            tokens,
            ctx.cursor.token,
            unseen,
            ctx.language,
            ctx.theme,
        );
    }
    below(area, strip_rows(area))
}

/// Rows that the token strip takes, with the gap beneath it.
fn strip_rows(area: Rect) -> u16 {
    if area.height >= 22 { 2 } else { 1 }
}
