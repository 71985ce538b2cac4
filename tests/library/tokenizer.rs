//! The tokenizer against transformers' `CLIPTokenizer`, from goldens/tokenizer.json (made by goldens/tokenizer.py).

use diffuscope::{
    checkpoint::{Checkpoint, Source},
    model::tokenizer::{ClipTokenizer, END, Rules, Token, TokenKind, Tokens, Vocabulary},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Goldens {
    prompts: Vec<Golden>,
    long: Long,
}

#[derive(Deserialize)]
struct Golden {
    prompt: String,
    ids: Vec<u32>,
    padded: Option<Vec<u32>>,
    offsets: Option<Vec<(usize, usize)>>,
}

#[derive(Deserialize)]
struct Long {
    repeated: String,
    times: usize,
    padded: Vec<u32>,
    count: usize,
}

fn goldens() -> Goldens {
    serde_json::from_str(include_str!("../goldens/tokenizer.json")).unwrap()
}

fn tokenizer() -> ClipTokenizer {
    Checkpoint::open(&Source::Embedded)
        .unwrap()
        .tokenizer()
        .unwrap()
}

/// The prompt's own ids, also those that were cut off.
fn all_ids(tokens: &Tokens) -> Vec<u32> {
    let words = tokens.content().iter().chain(&tokens.truncated);
    words.map(|token| token.id).collect()
}

fn pieces(tokenizer: &ClipTokenizer, prompt: &str) -> Vec<String> {
    let tokens = tokenizer.encode(prompt).unwrap();
    tokens
        .content()
        .iter()
        .map(|token| token.piece.clone())
        .collect()
}

#[test]
fn every_prompt_gets_the_ids_that_transformers_gives_it() {
    let (tokenizer, goldens) = (tokenizer(), goldens());
    assert!(goldens.prompts.len() > 400);
    for golden in goldens.prompts {
        let tokens = tokenizer.encode(&golden.prompt).unwrap();
        assert_eq!(all_ids(&tokens), golden.ids, "{:?}", golden.prompt);
        assert_eq!(tokens.tokens.len(), 77);
        if let Some(padded) = golden.padded {
            assert_eq!(tokens.ids(), padded, "{:?}", golden.prompt);
        }
    }
}

#[test]
fn ten_thousand_words_are_cut_at_77_tokens_and_the_rest_is_reported() {
    let (tokenizer, long) = (tokenizer(), goldens().long);
    let tokens = tokenizer.encode(&long.repeated.repeat(long.times)).unwrap();
    assert_eq!(tokens.ids(), long.padded);
    assert_eq!(tokens.content().len(), 75);
    assert_eq!(tokens.truncated.len(), long.count - 75);
    assert_eq!(tokens.truncated[0].position, 76);
    assert_eq!(tokens.tokens[76].kind, TokenKind::End);
}

#[test]
fn every_token_points_at_the_part_of_the_prompt_that_it_came_from() {
    let tokenizer = tokenizer();
    for golden in goldens().prompts {
        let prompt = &golden.prompt;
        let tokens = tokenizer.encode(prompt).unwrap();
        let words: Vec<&Token> = tokens.content().iter().chain(&tokens.truncated).collect();
        let spans: Vec<_> = words
            .iter()
            .map(|token| token.span.clone().unwrap())
            .collect();
        // Slicing panics off a character's boundary, and outside of the prompt.
        let mut rest = prompt.clone().into_bytes();
        for span in &spans {
            assert!(!prompt[span.clone()].is_empty(), "{prompt:?} {span:?}");
            rest[span.clone()].fill(b' ');
        }
        let rest = String::from_utf8(rest).unwrap();
        assert!(
            rest.chars().all(char::is_whitespace),
            "{prompt:?} leaves {rest:?}"
        );
        for (pair, spans) in words.windows(2).zip(spans.windows(2)) {
            assert!(spans[0].start <= spans[1].start, "{prompt:?} {pair:?}");
            assert!(spans[0].end <= spans[1].end, "{prompt:?} {pair:?}");
            // Only pieces of one character, or pieces that cut a character in two, overlap.
            let cut = pair
                .iter()
                .any(|token| std::str::from_utf8(&token.bytes).is_err());
            let apart = spans[0].end <= spans[1].start;
            assert!(spans[0] == spans[1] || apart || cut, "{prompt:?} {pair:?}");
        }
        // transformers' offsets leave out characters that were composed into the one before; all else is the same.
        let starts: Vec<usize> = prompt
            .char_indices()
            .map(|(at, _)| at)
            .chain([prompt.len()])
            .collect();
        for (span, (start, end)) in spans.iter().zip(golden.offsets.unwrap_or_default()) {
            assert_eq!(span.start, starts[start], "{prompt:?}");
            let added = &prompt[starts[end]..span.end];
            assert!(added.chars().all(is_composed), "{prompt:?} {added:?}");
        }
    }
}

/// The marks and letters that the prompts compose with the character before.
fn is_composed(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1160}'..='\u{11ff}')
}

#[test]
fn a_token_knows_its_bytes() {
    let tokenizer = tokenizer();
    for prompt in ["a red Apple", "苹果", "two 🍎🍎!", "don't"] {
        let tokens = tokenizer.encode(prompt).unwrap();
        let bytes: Vec<u8> = tokens
            .content()
            .iter()
            .flat_map(|token| token.bytes.clone())
            .collect();
        let expected = prompt.to_lowercase().replace(' ', "");
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}

#[test]
fn the_pieces_of_a_character_share_its_span() {
    let tokens = tokenizer().encode("a 苹果").unwrap();
    let spans: Vec<_> = tokens
        .content()
        .iter()
        .map(|token| token.span.clone().unwrap())
        .collect();
    assert_eq!(spans, [0..1, 2..5, 2..5, 2..5, 5..8, 5..8, 5..8]);
}

#[test]
fn an_accent_typed_on_its_own_belongs_to_its_letter() {
    let prompt = "cafe\u{301} noir";
    let tokens = tokenizer().encode(prompt).unwrap();
    let words: Vec<&str> = tokens
        .content()
        .iter()
        .map(|token| &prompt[token.span.clone().unwrap()])
        .collect();
    assert_eq!(words, ["cafe\u{301}", "noir"]);
}

#[test]
fn pieces_are_spelt_as_in_the_vocabulary() {
    let tokenizer = tokenizer();
    assert_eq!(
        pieces(&tokenizer, "dream beach"),
        ["dream</w>", "beach</w>"]
    );
    assert_eq!(pieces(&tokenizer, "dreambeach"), ["dream", "beach</w>"]);
    assert_eq!(pieces(&tokenizer, "manet"), ["man", "et</w>"]);
    assert_eq!(tokenizer.piece(3782).as_deref(), Some("healthy</w>"));
    assert_eq!(tokenizer.id("apple</w>"), Some(3055));
    assert_eq!(tokenizer.piece(49408), None);
    assert_eq!(tokenizer.vocab_size(), 49408);
}

#[test]
fn merges_lead_from_bytes_to_the_pieces_of_the_word() {
    let tokenizer = tokenizer();
    let steps = tokenizer.merges_of("apple");
    assert_eq!(steps[0], ["a", "p", "p", "l", "e</w>"]);
    assert_eq!(steps[steps.len() - 1], ["apple</w>"]);
    for pair in steps.windows(2) {
        assert_eq!(pair[0].len(), pair[1].len() + 1);
        assert_eq!(pair[0].concat(), pair[1].concat());
    }
    for word in [
        "manet",
        "degas",
        "苹果",
        "photograph",
        "supercalifragilistic",
        "naïve",
    ] {
        let last = tokenizer.merges_of(word).pop().unwrap();
        assert_eq!(last, pieces(&tokenizer, word), "{word}");
    }
    assert!(tokenizer.merges_of("").is_empty());
}

#[test]
fn kinds_tell_the_prompt_from_what_frames_it() {
    let tokens = tokenizer().encode("a <|endoftext|> b").unwrap();
    let kinds: Vec<TokenKind> = tokens.tokens.iter().map(|token| token.kind).collect();
    assert_eq!(kinds[0], TokenKind::Start);
    assert_eq!(kinds[1..4], [TokenKind::Word; 3]);
    assert_eq!(kinds[4], TokenKind::End);
    assert!(kinds[5..].iter().all(|kind| *kind == TokenKind::Padding));
    assert_eq!(tokens.content()[1].id, 49407);
    assert_eq!(tokens.content()[1].span, Some(2..15));
    assert!(
        tokens.tokens[5..]
            .iter()
            .all(|token| token.id == 49407 && token.span.is_none())
    );
}

#[test]
fn a_vocabulary_that_is_damaged_is_refused_with_the_reason() {
    let whole = r#"{"a":0,"b</w>":1,"ab</w>":2,"<|startoftext|>":3,"<|endoftext|>":4}"#;
    let merges = "#version: 0.2\na b</w>\n";
    let build = |vocab: &str, merges: &str, length, pad: Option<&str>| {
        let mut rules = Rules::new(length);
        rules.pad = pad.unwrap_or(END).to_owned();
        Vocabulary::from_pair(vocab.as_bytes(), merges.as_bytes())
            .and_then(|vocabulary| ClipTokenizer::new(vocabulary, rules))
            .map(|tokenizer| tokenizer.vocab_size())
            .map_err(|error| error.to_string())
    };
    assert_eq!(build(whole, merges, 77, None), Ok(5));
    for (vocab, merges, length, pad, message) in [
        (
            "{",
            merges,
            77,
            None,
            "the vocabulary is damaged: EOF while parsing",
        ),
        (
            r#"{"a":-1}"#,
            merges,
            77,
            None,
            "the vocabulary is damaged: invalid value",
        ),
        (
            r#"{"a":0}"#,
            merges,
            77,
            None,
            "no token b</w>, which a merge",
        ),
        (whole, "a b</w> c", 77, None, "line 1 is not two pieces"),
        (
            whole,
            "#version: 0.2\nab</w>",
            77,
            None,
            "line 2 is not two pieces",
        ),
        (whole, "a q", 77, None, "no token q, which a merge needs"),
        (
            whole,
            "ab</w> ab</w>",
            77,
            None,
            "no token ab</w>ab</w>, which a merge needs",
        ),
        (
            whole,
            merges,
            77,
            Some("!"),
            "no token !, which fills prompts up",
        ),
        (whole, merges, 2, None, "expected at least 3"),
    ] {
        let error = build(vocab, merges, length, pad).unwrap_err();
        assert!(error.contains(message), "{error:?} should say {message:?}");
    }
}

#[test]
fn tokenizer_json_gives_the_same_tokens_and_its_own_padding() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/lessons/little-world/checkpoint/tokenizer"
    );
    let vocab: serde_json::Value =
        serde_json::from_slice(&std::fs::read(format!("{folder}/vocab.json")).unwrap()).unwrap();
    let text = std::fs::read_to_string(format!("{folder}/merges.txt")).unwrap();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let pairs: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
    let expected = tokenizer().encode("an apple, 苹果").unwrap();
    for merges in [serde_json::json!(lines), serde_json::json!(pairs)] {
        let json = serde_json::json!({"model": {"type": "BPE", "vocab": vocab, "merges": merges}});
        let bytes = serde_json::to_vec(&json).unwrap();
        let rules = Rules {
            pad: "!".to_owned(),
            ..Rules::new(77)
        };
        let vocabulary = Vocabulary::from_tokenizer_json(&bytes).unwrap();
        let tokenizer = ClipTokenizer::new(vocabulary, rules).unwrap();
        let tokens = tokenizer.encode("an apple, 苹果").unwrap();
        assert_eq!(tokens.content(), expected.content());
        assert_eq!(tokens.ids()[76], 0);
    }
}
