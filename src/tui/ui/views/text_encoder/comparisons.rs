//! What the selected token attends to most, and what is the same for every prompt.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{NAMES, State, attention_row};
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::views::{below, fitting_of, line, paragraph};
use crate::tui::ui::widgets::{bars, token_strip};

/// The positions that the selected token attends to most. Returns the place beneath.
pub fn draw_looks_at(buffer: &mut Buffer, area: Rect, ctx: &RunContext, state: &State) -> Rect {
    let theme = ctx.theme;
    let token = ctx.cursor.token;
    let Some(row) = attention_row(ctx, state.name, token) else {
        return area;
    };
    let shares = row.iter().take(token + 1).map(|&share| f64::from(share));
    let mut shares: Vec<(usize, f64)> = shares.enumerate().collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let name = ctx.word(token);
    let title = ctx.say([
        format!("{name} attends most to"),
        format!("{name} 最关注的"),
    ]);
    let mut area = line(buffer, area, &title, theme.title());
    let most = usize::from(area.height.saturating_sub(7)).clamp(1, 6);
    for (position, share) in shares.into_iter().take(most) {
        let name = text::fit(&ctx.word(position), NAMES + 1);
        let caption = format!(
            "{name}{:>6} % {}",
            text::fixed(100.0 * share, 1),
            bars::share(share, 14)
        );
        area = line(buffer, area, &caption, theme.text());
    }
    below(area, 1)
}

/// What is the same for every prompt: the start token's row, seen beside the negative prompt's.
pub fn draw_start(buffer: &mut Buffer, area: Rect, ctx: &RunContext) {
    let theme = ctx.theme;
    let Some(text) = ctx.run.trace.text.as_deref() else {
        return;
    };
    let mut states = text.prompt.iter();
    let Some(prompt) = states.find(|state| &*state.name == "prompt_embedding") else {
        return;
    };
    let negative = &text.negative_prompt_embedding;
    let difference = |position: usize| {
        let pairs = prompt.row(position).iter().zip(negative.row(position));
        pairs.fold(0.0_f64, |most, (a, b)| most.max(f64::from((a - b).abs())))
    };
    let mut starts = prompt.row(0).iter().zip(negative.row(0));
    let is_same = starts.all(|(a, b)| a.to_bits() == b.to_bits());
    let verdict = if is_same {
        ctx.say(["0, exactly the same", "0，完全相同"]).to_owned()
    } else {
        text::number(difference(0))
    };
    if area.height < 4 {
        draw_verdict(buffer, area, ctx, &verdict);
        return;
    }
    let title = ctx.say(["against the negative prompt", "与负面提示词相比"]);
    let mut area = line(buffer, area, title, theme.title());
    let caption = ctx.say(["largest difference of the outputs:", "输出的最大差："]);
    area = line(buffer, area, caption, theme.muted());
    let mut shown: Vec<usize> = Vec::new();
    for position in [0, ctx.cursor.token, 1] {
        if shown.contains(&position) || area.height < 2 && position != 0 {
            continue;
        }
        shown.push(position);
        let (value, style) = if position == 0 {
            (verdict.clone(), theme.good())
        } else {
            (text::number(difference(position)), theme.text())
        };
        let caption = format!("{} {value}", text::fit(&pair(ctx, position), NAMES + 5));
        area = line(buffer, area, &caption, style);
    }
    let caption = ctx.say([
        "start is the same for every prompt",
        "不管提示词是什么，开头都一样",
    ]);
    paragraph(buffer, area, caption, theme.muted());
}

/// The same in a line.
fn draw_verdict(buffer: &mut Buffer, area: Rect, ctx: &RunContext, verdict: &str) {
    let forms = ctx.say([
        [
            format!("start, output against the negative prompt's: {verdict}"),
            format!("start, against the negative prompt's: {verdict}"),
            format!("start and the negative's: {verdict}"),
            format!("start, negative's: {}", verdict.replace("exactly ", "")),
        ],
        [
            format!("开头的输出，与负面提示词的相差：{verdict}"),
            format!("开头，与负面提示词的相差：{verdict}"),
            format!("开头，与负面的相差：{verdict}"),
            format!("开头相差：{verdict}"),
        ],
    ]);
    let caption = fitting_of(&forms, area.width);
    line(buffer, area, caption, ctx.theme.text());
}

/// What stands at `position` in the prompt and in the negative prompt.
fn pair(ctx: &RunContext, position: usize) -> String {
    let tokens = ctx.run.trace.tokens.as_deref();
    let negative = tokens.map_or(&[][..], |tokens| &tokens.negative_prompt.tokens);
    let negative = token_strip::name_at(negative, position, ctx.language);
    let prompt = ctx.word(position);
    if prompt == negative {
        prompt
    } else {
        format!("{prompt} / {negative}")
    }
}
