//! `diffuscope tokenize`: how a text becomes tokens.

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::checkpoint::Checkpoint;
use crate::cli::TokenizeArgs;
use crate::model::tokenizer::{Token, TokenKind, Tokens};

use super::load::source;
use super::stdin::or_standard_input;
use super::{print, print_json, truncation, warn};
use crate::text::visible;

/// Prints the tokens of a text.
pub fn tokenize(args: TokenizeArgs) -> anyhow::Result<()> {
    let text = or_standard_input(args.text)?;
    let tokenizer = Checkpoint::open(&source(&args.model))?.tokenizer()?;
    let tokens = tokenizer.encode(&text)?;
    if let Some(warning) = truncation("text", &tokens) {
        warn(&warning);
    }
    if args.json {
        let json = TokensJson {
            text: &text,
            tokens: tokens.tokens.iter().map(Entry::from).collect(),
            truncated: tokens.truncated.iter().map(Entry::from).collect(),
        };
        print_json(&json, &["tokens", "truncated"])
    } else {
        let table = table(&text, &tokens);
        print(|out| out.write_all(table.as_bytes()))
    }
}

/// A text's tokens as `--json` prints them.
#[derive(Serialize)]
struct TokensJson<'a> {
    text: &'a str,
    tokens: Vec<Entry<'a>>,
    truncated: Vec<Entry<'a>>,
}

/// A token as `--json` prints it.
#[derive(Serialize)]
struct Entry<'a> {
    position: usize,
    id: u32,
    piece: &'a str,
    special: bool,
    kind: TokenKind,
    /// The bytes of the lower-cased text that the token stands for.
    bytes: &'a [u8],
    /// First byte and end of the text that it came from.
    span: Option<[usize; 2]>,
}

impl<'a> From<&'a Token> for Entry<'a> {
    fn from(token: &'a Token) -> Self {
        Self {
            position: token.position,
            id: token.id,
            piece: &token.piece,
            special: token.kind != TokenKind::Word,
            kind: token.kind,
            bytes: &token.bytes,
            span: token.span.as_ref().map(|span| [span.start, span.end]),
        }
    }
}

/// A row for each token; one for all the padding.
fn table(text: &str, tokens: &Tokens) -> String {
    let padding = tokens
        .tokens
        .iter()
        .position(|token| token.kind == TokenKind::Padding)
        .unwrap_or(tokens.tokens.len());
    let (shown, padding) = tokens.tokens.split_at(padding);
    let rows = shown.iter().map(|token| row(text, token));
    let cut = tokens.truncated.iter().map(|token| {
        let mut row = row(text, token);
        row[0] = format!("cut {}", row[0]);
        row
    });
    let head = ["position", "id", "piece", "bytes", "text"].map(str::to_owned);
    let mut rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    if let (Some(first), Some(last)) = (padding.first(), padding.last()) {
        let position = if first.position == last.position {
            first.position.to_string()
        } else {
            format!("{}-{}", first.position, last.position)
        };
        let [_, id, piece, ..] = row(text, first);
        rows.push([position, id, piece, String::new(), "padding".into()]);
    }
    rows.extend(cut);
    layout(&rows)
}

fn row(text: &str, token: &Token) -> [String; 5] {
    let is_word = token.kind == TokenKind::Word;
    let bytes: Vec<String> = token
        .bytes
        .iter()
        .filter(|_| is_word)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let origin = match token.kind {
        TokenKind::Start => "start".to_owned(),
        TokenKind::End => "end".to_owned(),
        TokenKind::Padding => "padding".to_owned(),
        TokenKind::Word => {
            let origin = token.span.clone().and_then(|span| text.get(span));
            format!("“{}”", one_line(origin.unwrap_or_default()))
        }
    };
    [
        token.position.to_string(),
        token.id.to_string(),
        one_line(&token.piece),
        bytes.join(" "),
        origin,
    ]
}

fn one_line(text: &str) -> String {
    visible(text).replace('\n', "\\n")
}

/// Columns of equal width, numbers to the right.
fn layout(rows: &[[String; 5]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].width())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let space = " ".repeat(widths[column] - cell.width());
            if column < 2 {
                line += &space;
                line += cell;
            } else {
                line += cell;
                line += &space;
            }
            line += "  ";
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}
