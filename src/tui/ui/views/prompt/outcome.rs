//! What the run on the screen made of its request, as far as it has come.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{NAMES, draw_rows};
use crate::generation::words;
use crate::model::AttentionDetail;
use crate::model::tokenizer::Token;
use crate::trace::{Guidance, TokensTrace};
use crate::tui::errors::steps_in_chinese;
use crate::tui::state::attention::SelectedMaps;
use crate::tui::state::in_words;
use crate::tui::state::run::Run;
use crate::tui::ui::context::{RunContext, ViewContext};
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::views::{below, left, line, right_of, top};
use crate::tui::ui::widgets::{bars, picture};
use crate::tui::worker::AttentionKey;

/// What the run on the screen made of its request, as far as it has come. Returns the place beneath.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Rect {
    let Some(run) = ctx.run else {
        return area;
    };
    let rows: Vec<(&str, String)> = (outcome(run).into_iter().enumerate())
        .map(|(index, row)| {
            let name = if index == 0 {
                ctx.say(["becomes", "变成"])
            } else {
                ""
            };
            (name, ctx.say(row))
        })
        .collect();
    // Beside the model its column is narrow; beneath it, the values stand under the model's.
    let names = if area.width < 60 { 11 } else { NAMES };
    draw_rows(buffer, area, ctx, &rows, names)
}

/// What there is of `run`, a row each, in English and in Chinese.
fn outcome(run: &Run) -> Vec<[String; 2]> {
    let trace = &run.trace;
    let mut rows = Vec::new();
    if let Some(tokens) = trace.tokens.as_deref() {
        rows.extend(of_tokens(tokens));
    }
    if let Some(output) = trace.text.as_deref().and_then(|text| text.prompt.last())
        && let [positions, hidden] = output.shape[..]
    {
        rows.push([
            format!("{positions} vectors of {hidden} numbers"),
            format!("{positions} 个向量，各 {hidden} 个数"),
        ]);
    }
    if let Some(noise) = trace.noise.as_deref() {
        let first = text::number(f64::from(noise.schedule.init_noise_sigma));
        let count = noise.initial_noise.data.len();
        rows.push([
            format!("{count} numbers of noise, times {first}"),
            format!("{count} 个噪声数，乘以 {first}"),
        ]);
        let calls = noise.schedule.timesteps.len();
        rows.push([
            format!("{calls} calls of the UNet"),
            format!("调用 UNet {calls} 次"),
        ]);
        rows.push(match trace.request.guidance_steps {
            _ if !trace.request.is_guided() => {
                ["each with the prompt alone", "每次只看着提示词"].map(str::to_owned)
            }
            None => [
                "each without and with the prompt",
                "每次都有无提示词各算一遍",
            ]
            .map(str::to_owned),
            Some(steps) => [
                format!("without the prompt, too, in {steps}"),
                format!("{}也不带提示词算一遍", steps_in_chinese(steps)),
            ],
        });
    }
    if let Some(image) = trace.image.as_deref() {
        let (width, height) = image.image.dimensions();
        let seconds = text::seconds(run.seconds());
        rows.push([
            format!("a picture of {width}×{height}, in {seconds}"),
            format!("一张 {width}×{height} 的图片，用时 {seconds}"),
        ]);
    }
    rows
}

/// How many tokens the prompt became, and what of them the model does not see, or never saw.
fn of_tokens(tokens: &TokensTrace) -> Vec<[String; 2]> {
    let places = tokens.prompt.tokens.len().saturating_sub(2);
    let count = tokens.prompt.content().len();
    let mut rows = vec![[
        format!("{count} tokens in {places} places"),
        format!("{count} 个词元，共 {places} 个位置"),
    ]];
    let cut_off = tokens.prompt.truncated.len();
    if cut_off > 0 {
        rows.push([
            format!("{cut_off} tokens were cut off"),
            format!("截掉了 {cut_off} 个词元"),
        ]);
    }
    let is_unseen = |token: &&Token| tokens.unseen.contains(&token.id);
    let unseen = tokens.prompt.tokens.iter().filter(is_unseen).count();
    if unseen > 0 {
        rows.push([
            format!("{unseen} never seen in training"),
            format!("{unseen} 个训练时从没见过"),
        ]);
    }
    rows
}

/// The prompt's words: the tokens that each became, and the share of the picture's attention that it got in the newest
/// step, mean over layers and heads. Returns the place beneath.
pub fn draw_words(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Rect {
    let (run, theme) = (ctx.run, ctx.theme);
    let Some(tokens) = run.trace.tokens.as_deref().filter(|_| area.height > 2) else {
        return below(area, area.height);
    };
    let maps = run.newest().map_or(&[][..], |step| {
        run.attention(AttentionKey {
            step,
            half: Guidance::Cond,
            detail: AttentionDetail::Mean,
        })
    });
    let all = SelectedMaps::of(maps, maps.iter().collect(), None);
    let title = ctx.say(match run.newest().map(|step| step + 1) {
        Some(step) if !maps.is_empty() => [
            format!("  its words, their tokens, and their share of the attention in step {step}"),
            format!("  它的词、各词的词元，以及第 {step} 步里它们的注意力份额"),
        ],
        _ => ["  its words, and their tokens", "  它的词，以及各词的词元"].map(str::to_owned),
    });
    let mut area = line(buffer, area, &title, theme.title());
    let prompt = &run.trace.request.prompt;
    for word in words(prompt, &tokens.prompt) {
        if area.height == 0 {
            break;
        }
        let ids: Vec<String> = word
            .tokens
            .iter()
            .map(|token| token.id.to_string())
            .collect();
        let name = text::fit(&text::clean(word.text), usize::from(NAMES) - 2);
        let share: f64 = (word.tokens.iter())
            .map(|token| all.share(token.position))
            .sum();
        let percent = if maps.is_empty() {
            String::new()
        } else {
            format!("{:>5} % ", text::fixed(100.0 * share, 1))
        };
        let caption = format!("  {name}{}{percent}", text::fit(&ids.join(" "), 24));
        let place = right_of(area, area.x + text::width(&caption) as u16);
        line(buffer, place, &bars::share(share, 24), theme.muted());
        let place = left(area, text::width(&caption) as u16);
        line(buffer, place, &caption, theme.text());
        area = below(area, 1);
    }
    below(area, 1)
}

/// How much the prompt changed the predicted noise at each step: what guidance multiplies.
pub fn draw_pull(buffer: &mut Buffer, area: Rect, ctx: &RunContext) {
    let (run, theme) = (ctx.run, ctx.theme);
    let pulls = run.figures.iter().map_while(|figures| figures.guidance_rms);
    let pulls: Vec<f64> = pulls.collect();
    if pulls.is_empty() || area.height < 5 {
        return;
    }
    let largest = text::number(pulls.iter().copied().fold(0.0, f64::max));
    let title = ctx.say([
        format!("  what the prompt changes at each step: rms(ε_text − ε_uncond), up to {largest}"),
        format!("  提示词在每一步改变了多少：rms(ε_text − ε_uncond)，最大 {largest}"),
    ]);
    let area = line(buffer, area, &title, theme.title());
    let place = left(right_of(area, area.x + 2), 100);
    let total = run.total_steps();
    bars::steps(
        buffer,
        top(place, 8),
        &pulls,
        total,
        Some(ctx.cursor.step),
        theme,
    );
}

/// The picture, or the newest step's preview of it; beneath, where the time went.
pub fn draw_picture(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Vec<PlacedPicture> {
    let (run, theme) = (ctx.run, ctx.theme);
    let finished = run
        .trace
        .image
        .as_ref()
        .map(|done| Arc::new(done.image.clone()));
    let preview = run.pictures.last().map(|pictures| Arc::clone(&pictures.x0));
    let (image, title) = match (finished, preview) {
        (Some(image), _) => (image, ["the picture", "画完的图片"].map(str::to_owned)),
        (None, Some(preview)) => {
            let step = run.pictures.len();
            let title = [
                format!("quick preview of x0 at step {step}"),
                format!("第 {step} 步 x0 的快速预览"),
            ];
            (preview, title)
        }
        (None, None) => return Vec::new(),
    };
    let rest = line(buffer, area, &ctx.say(title), theme.title());
    let drawn = picture::draw(
        buffer,
        top(rest, rest.height.saturating_sub(7)),
        &image,
        theme,
    );
    draw_times(buffer, below(rest, drawn.height + 1), ctx, run);
    vec![PlacedPicture { area: drawn, image }]
}

/// The time of each stage, with a bar for its share of all.
fn draw_times(buffer: &mut Buffer, area: Rect, ctx: &RunContext, run: &Run) {
    let theme = ctx.theme;
    let all = run.seconds();
    let whole = text::seconds(all);
    let title = ctx.say([
        format!("where its {whole} went"),
        format!("这 {whole} 用在哪里"),
    ]);
    let mut area = line(buffer, area, &title, theme.title());
    let trace = &run.trace;
    let steps = trace.steps.iter().map(|step| step.seconds).sum();
    let of_steps = in_words::steps(trace.steps.len(), ctx.language);
    for (name, seconds) in [
        (
            ctx.say(["text encoder", "文本编码器"]),
            trace.text.as_ref().map_or(0.0, |text| text.seconds),
        ),
        (of_steps.as_str(), steps),
        (
            ctx.say(["decoder", "解码器"]),
            trace.image.as_ref().map_or(0.0, |image| image.seconds),
        ),
    ] {
        let bar = usize::from(area.width).saturating_sub(26).min(40);
        let caption = format!("{}{:>9}  ", text::fit(name, 14), text::seconds(seconds));
        let place = right_of(area, area.x + text::width(&caption) as u16);
        line(
            buffer,
            place,
            &bars::share(seconds / all, bar),
            theme.muted(),
        );
        let place = left(area, text::width(&caption) as u16);
        line(buffer, place, &caption, theme.text());
        area = below(area, 1);
    }
}
