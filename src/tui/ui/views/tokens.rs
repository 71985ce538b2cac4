//! The prompt's 77 positions, and the negative prompt's: what each token is, where it came from and how it was merged.

use std::collections::BTreeSet;
use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{DRAWN, below, columns, fitting, fitting_of, left, line, merges, right_of};
use super::{scroll, split, top, vector};
use crate::generation::MergedWord;
use crate::model::tokenizer::{Token, TokenKind, Tokens};
use crate::tui::state::detail::Side;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::token_strip;

/// The least columns of one part of the table.
const PART: u16 = 44;
/// The least columns of a row with a token's bytes; those of the selected token stand above the table, too.
const WITH_BYTES: u16 = 36;
/// Columns of a text's name, where there is room and where there is little.
const NAMES: (u16, u16) = (18, 11);

/// One of the two texts, with all that is known of it.
struct Text<'a> {
    side: Side,
    typed: &'a str,
    tokens: &'a Tokens,
    unseen: &'a BTreeSet<u32>,
    words: Option<&'a [MergedWord]>,
    is_shown: bool,
}

impl Text<'_> {
    /// In full, and in short.
    fn name(&self, ctx: &RunContext) -> [&'static str; 2] {
        ctx.say(match self.side {
            Side::Prompt => [["prompt", "prompt"], ["提示词", "提示词"]],
            Side::Negative => [["negative prompt", "negative"], ["负面提示词", "负面"]],
        })
    }

    fn is_unseen(&self, token: &Token) -> bool {
        token.kind == TokenKind::Word && self.unseen.contains(&token.id)
    }
}

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    let texts = texts(ctx)?;
    let roomy = area.height > 24;
    let mut area = area;
    for text in &texts {
        area = draw_text(buffer, area, ctx, text);
        area = below(area, u16::from(roomy));
    }
    let [prompt, negative] = &texts;
    let shown = if negative.is_shown { negative } else { prompt };
    let Some(token) = shown.tokens.tokens.get(ctx.cursor.token) else {
        return DRAWN;
    };
    let area = draw_selected(buffer, area, ctx, shown, token);
    let area = draw_warnings(buffer, area, ctx, shown);
    let area = below(area, u16::from(roomy));
    let (left, right) = divide(area);
    draw_table(buffer, left, ctx, shown);
    if right.width == 0 {
        return DRAWN;
    }
    let rest = merges::draw(buffer, right, shown.words, token, ctx);
    let beside = if negative.is_shown { prompt } else { negative };
    let rest = draw_beside(buffer, below(rest, 1), ctx, beside);
    vector::draw(buffer, rest, ctx, token);
    DRAWN
}

fn texts<'a>(ctx: &RunContext<'a>) -> Option<[Text<'a>; 2]> {
    let run = ctx.run;
    let tokens = run.trace.tokens.as_deref()?;
    let request = &run.trace.request;
    let words = run.vocabulary.as_deref();
    let text = |side, typed, tokens, words| Text {
        side,
        typed,
        tokens,
        unseen: run.unseen(),
        words,
        is_shown: ctx.cursor.detail.side == side,
    };
    let prompt = words.map(|words| words.prompt.as_slice());
    let negative = words.map(|words| words.negative_prompt.as_slice());
    let (typed, other) = (&request.prompt, &request.negative_prompt);
    let (own, others) = (&tokens.prompt, &tokens.negative_prompt);
    Some([
        text(Side::Prompt, typed, own, prompt),
        text(Side::Negative, other, others, negative),
    ])
}

/// The table at the left, the merges at the right.
fn divide(area: Rect) -> (Rect, Rect) {
    // Two runs side by side on a small screen: there is room for the tokens.
    if area.width < 40 {
        return split(area, area.width, 0);
    }
    let merges = if area.width >= 150 {
        64
    } else {
        (area.width * 2 / 5).clamp(20, 48)
    };
    let left = area.width.saturating_sub(merges + 2);
    split(area, left, 2)
}

/// A text as it was typed, with the selected token's part of it marked, and how much room it takes.
fn draw_text(buffer: &mut Buffer, area: Rect, ctx: &RunContext, shown: &Text) -> Rect {
    let theme = ctx.theme;
    if area.height == 0 {
        return area;
    }
    let (mark, style) = if shown.is_shown {
        ("▸", theme.accent())
    } else {
        (" ", theme.muted())
    };
    let wide = area.width >= 90;
    let [long, short] = shown.name(ctx);
    let (columns, name) = if wide {
        (NAMES.0, long)
    } else {
        (NAMES.1, short)
    };
    let columns = columns.min(area.width);
    let name = format!("{mark} {name}");
    buffer.set_stringn(area.x, area.y, name, columns.into(), style);
    let places = shown.tokens.tokens.len().saturating_sub(2);
    let count = shown.tokens.content().len();
    let count = ctx.say([
        format!("{count} of {places}"),
        format!("{count} / {places}"),
    ]);
    let count_width = text::width(&count) as u16;
    let counts = area.width >= 60;
    if counts {
        let x = area.right() - count_width;
        buffer.set_string(x, area.y, &count, theme.muted());
    }
    let taken = columns + if counts { count_width + 2 } else { 0 };
    let place = right_of(area, area.x + columns);
    let place = left(place, area.width.saturating_sub(taken));
    let rows = if shown.typed.is_empty() {
        let unused = shown.side == Side::Negative && !ctx.run.trace.request.is_guided();
        let forms = ctx.say(if unused {
            [
                ["(empty, and not used: guidance is off)", "(empty, unused)"],
                ["（空的，也不用：引导关着）", "（空，不用）"],
            ]
        } else {
            [
                ["(empty: start, end and padding)", "(empty)"],
                ["（空的：开头、结尾和填充）", "（空）"],
            ]
        });
        line(buffer, place, fitting(&forms, place.width), theme.muted());
        1
    } else if shown.is_shown {
        draw_typed(buffer, place, ctx, shown)
    } else {
        line(buffer, place, &text::clean(shown.typed), theme.muted());
        1
    };
    below(area, rows)
}

/// A few rows of what was typed, around the selected token's part. Returns the rows used.
fn draw_typed(buffer: &mut Buffer, area: Rect, ctx: &RunContext, shown: &Text) -> u16 {
    let most = if area.height > 24 { 6 } else { 3 };
    let theme = ctx.theme;
    let typed = shown.typed;
    let token = shown.tokens.tokens.get(ctx.cursor.token);
    let span = token
        .and_then(|token| token.span.clone())
        .filter(|span| typed.get(span.clone()).is_some())
        .unwrap_or(typed.len()..typed.len());
    let before = text::clean(&typed[..span.start]);
    let marked = text::clean(&typed[span.clone()]);
    let whole = format!("{before}{marked}{}", text::clean(&typed[span.end..]));
    let marked: Range<usize> = before.len()..before.len() + marked.len();
    let lines = text::wrap(&whole, area.width.into());
    let first = scroll(text::row_of(&lines, marked.start), lines.len(), most);
    let mut start: usize = lines.iter().take(first).map(|words| words.len()).sum();
    let mut y = area.y;
    for words in lines.iter().skip(first).take(most) {
        if y >= area.bottom() {
            break;
        }
        let mut x = area.x;
        let cut = |index: usize| index.clamp(start, start + words.len()) - start;
        let (from, to) = (cut(marked.start), cut(marked.end));
        for (part, style) in [
            (&words[..from], theme.text()),
            (&words[from..to], theme.selected()),
            (&words[to..], theme.text()),
        ] {
            let room = usize::from(area.right().saturating_sub(x));
            (x, _) = buffer.set_stringn(x, y, part, room, style);
        }
        start += words.len();
        y += 1;
    }
    y - area.y
}

fn draw_selected(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    shown: &Text,
    token: &Token,
) -> Rect {
    let is_unseen = shown.is_unseen(token);
    let role = ctx.say(match token.kind {
        TokenKind::Start => ["begins every text", "每段文本的开头"],
        TokenKind::End => ["ends the text", "文本的结尾"],
        TokenKind::Padding => ["fills up to 77", "补足 77 个"],
        TokenKind::Word if is_unseen => ["the model never saw this token", "模型从没见过这个词元"],
        TokenKind::Word if token.added => ["an added word, whole", "添加的词，整个一块"],
        TokenKind::Word if token.ends_word() => ["ends a word", "一个词到此为止"],
        TokenKind::Word => ["the word goes on", "后面还有同一个词的块"],
    });
    let style = if is_unseen {
        ctx.theme.warning()
    } else {
        ctx.theme.accent()
    };
    let label = token_strip::label(token, ctx.language);
    let position = ctx.say(["position", "位置"]);
    let position = format!("{position} {}", token.position);
    let id = ctx.say([format!("id {}", token.id), format!("编号 {}", token.id)]);
    let forms = [
        format!("{label} · {position} · {id} · {role}"),
        format!("{label} · {position} · {id}"),
        format!("{label} · {id}"),
    ];
    let area = line(buffer, area, fitting_of(&forms, area.width), style);
    let piece = text::clean(&token.piece);
    let count = token.bytes.len();
    let plural = if count == 1 { "" } else { "s" };
    let bytes = ctx.say([format!("{count} byte{plural}"), format!("{count} 字节")]);
    let spelt = ctx.say([format!("spelt {piece}"), format!("写作 {piece}")]);
    let forms = match token.kind {
        TokenKind::Word => {
            let digits = token_strip::hexadecimal(&token.bytes, " ");
            [
                format!("{digits} · {bytes} · {spelt}"),
                format!("{bytes} · {spelt}"),
                spelt,
            ]
        }
        _ => [spelt.clone(), spelt.clone(), spelt],
    };
    line(
        buffer,
        area,
        fitting_of(&forms, area.width),
        ctx.theme.text(),
    )
}

/// What found no place in the 77 positions, and what the model has no vector for.
fn draw_warnings(buffer: &mut Buffer, area: Rect, ctx: &RunContext, shown: &Text) -> Rect {
    let theme = ctx.theme;
    let mut area = area;
    let truncated = &shown.tokens.truncated;
    if !truncated.is_empty() {
        let words = truncated.iter();
        let words = words.map(|token| token_strip::word(token, ctx.language));
        let words = words.collect::<Vec<_>>().join(" ");
        let count = match truncated.len() {
            1 => "1 token was cut off and is".to_owned(),
            count => format!("{count} tokens were cut off and are"),
        };
        let words = ctx.say([
            format!("{count} not seen by the model: {words}"),
            format!("截掉了 {} 个词元，模型看不到：{words}", truncated.len()),
        ]);
        area = line(buffer, area, &words, theme.warning());
    }
    let mut unseen: Vec<String> = Vec::new();
    for token in &shown.tokens.tokens {
        let name = token_strip::word(token, ctx.language);
        if shown.is_unseen(token) && !unseen.contains(&name) {
            unseen.push(name);
        }
    }
    if !unseen.is_empty() {
        let unseen = unseen.join(" ");
        let words = ctx.say([
            format!("never seen in training, so without a vector: {unseen}"),
            format!("训练时从没见过，所以没有向量：{unseen}"),
        ]);
        area = line(buffer, area, &words, theme.warning());
    }
    area
}

fn draw_table(buffer: &mut Buffer, area: Rect, ctx: &RunContext, shown: &Text) {
    if area.height < 2 {
        return;
    }
    let parts = columns(area, (area.width / PART).max(1), 2);
    let rows = usize::from(area.height - 1);
    let visible = rows * parts.len();
    let tokens = &shown.tokens.tokens;
    let first = scroll(ctx.cursor.token, tokens.len(), visible);
    for (index, part) in parts.iter().enumerate() {
        let head = ctx.say(if part.width < WITH_BYTES {
            [" pos     id  token", "位置   编号  词元"]
        } else {
            [
                " pos     id  token          bytes",
                "位置   编号  词元           字节",
            ]
        });
        line(buffer, *part, head, ctx.theme.title());
        let rows_of_part = tokens.iter().skip(first + index * rows).take(rows);
        for (row, token) in rows_of_part.enumerate() {
            let place = top(below(*part, 1 + row as u16), 1);
            draw_row(buffer, place, ctx, shown, token);
        }
    }
}

/// The tokens of the text that is not shown, without its padding; returns the place beneath.
fn draw_beside(buffer: &mut Buffer, area: Rect, ctx: &RunContext, beside: &Text) -> Rect {
    let theme = ctx.theme;
    if area.height < 5 || beside.tokens.content().is_empty() {
        return area;
    }
    let mut area = line(buffer, area, beside.name(ctx)[0], theme.title());
    let is_padding = |token: &&Token| token.kind == TokenKind::Padding;
    let padding = beside.tokens.tokens.iter().filter(is_padding).count();
    for token in (beside.tokens.tokens.iter()).filter(|token| !is_padding(token)) {
        if area.height < 2 {
            break;
        }
        let label = token_strip::label(token, ctx.language);
        let words = format!("{:>4} {:>6}  {label}", token.position, token.id);
        let style = if beside.is_unseen(token) {
            theme.warning()
        } else {
            theme.muted()
        };
        area = line(buffer, area, &words, style);
    }
    if padding > 0 {
        let name = ctx.say(token_strip::PADDING);
        let words = format!("             {name} ×{padding}");
        area = line(buffer, area, &words, theme.muted());
    }
    below(area, 1)
}

fn draw_row(buffer: &mut Buffer, area: Rect, ctx: &RunContext, shown: &Text, token: &Token) {
    let theme = ctx.theme;
    let is_unseen = shown.is_unseen(token);
    let bytes = token_strip::hexadecimal(&token.bytes, " ");
    let never_seen = ctx.say(["never seen", "从没见过"]);
    let bytes = match token.kind {
        TokenKind::Word if area.width < WITH_BYTES => String::new(),
        TokenKind::Word if is_unseen && area.width < 44 => never_seen.to_owned(),
        TokenKind::Word if is_unseen => format!("{never_seen}  {bytes}"),
        TokenKind::Word => bytes,
        _ => String::new(),
    };
    let label = text::fit(&token_strip::label(token, ctx.language), 14);
    let words = format!("{:>4} {:>6}  {label} {bytes}", token.position, token.id);
    let style = if token.position == ctx.cursor.token {
        theme.selected()
    } else if is_unseen {
        theme.warning()
    } else if token.kind == TokenKind::Word {
        theme.text()
    } else {
        theme.muted()
    };
    line(buffer, area, &text::fit(&words, area.width.into()), style);
}
