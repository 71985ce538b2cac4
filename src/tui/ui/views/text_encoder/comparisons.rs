//! What the selected token attends to most, and what is the same for every prompt.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{NAMES, State, attention_row};
use crate::model::tokenizer::Token;
use crate::tui::state::run::Run;
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
    let title = format!("{} attends most to", ctx.word(token));
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
    let verdict = if starts.all(|(a, b)| a.to_bits() == b.to_bits()) {
        "0, exactly the same".to_owned()
    } else {
        text::number(difference(0))
    };
    if area.height < 4 {
        let forms = [
            format!("start, output against the negative prompt's: {verdict}"),
            format!("start, against the negative prompt's: {verdict}"),
            format!("start and the negative's: {verdict}"),
            format!("start, negative's: {}", verdict.replace("exactly ", "")),
        ];
        let caption = fitting_of(&forms, area.width);
        line(buffer, area, caption, theme.text());
        return;
    }
    let mut area = line(buffer, area, "against the negative prompt", theme.title());
    let caption = "largest difference of the outputs:";
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
        let caption = format!("{} {value}", text::fit(&pair(ctx.run, position), NAMES + 5));
        area = line(buffer, area, &caption, style);
    }
    let caption = "start is the same for every prompt";
    paragraph(buffer, area, caption, theme.muted());
}

/// What stands at `position` in the prompt and in the negative prompt.
fn pair(run: &Run, position: usize) -> String {
    let name = |tokens: &[Token]| token_strip::name_at(tokens, position);
    let negative = run
        .trace
        .tokens
        .as_deref()
        .map(|tokens| &tokens.negative_prompt.tokens);
    let negative = name(negative.map_or(&[], Vec::as_slice));
    let prompt = name(run.tokens());
    if prompt == negative {
        prompt
    } else {
        format!("{prompt} / {negative}")
    }
}
