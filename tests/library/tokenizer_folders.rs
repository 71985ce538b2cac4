//! Tokenizers whose files differ, beside transformers and diffusers.

use std::collections::BTreeMap;

use diffuscope::model::tokenizer::{ClipTokenizer, TokenKind, Tokens};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::checkpoint::{Folder, original, refused};

#[derive(Deserialize)]
struct Goldens {
    prompts: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    title: String,
    /// What stands in the tokenizer's folder beside vocabulary and merges.
    files: BTreeMap<String, Map<String, Value>>,
    /// For each prompt, runs of ids with their lengths.
    ids: Option<Vec<Vec<(u32, usize)>>>,
    /// Why transformers refuses it.
    error: Option<String>,
}

/// A text encoder with rows enough for every word that is added here.
const ROWS: usize = 49500;

/// The embedded checkpoint with other files of the tokenizer.
fn folder(files: &BTreeMap<String, Map<String, Value>>) -> Folder {
    let folder = Folder::new();
    folder.remove("tokenizer/tokenizer_config.json");
    for (name, content) in files {
        let mut content = content.clone();
        if name == "tokenizer.json" {
            content.insert("model".to_owned(), model());
        }
        let text = serde_json::to_string(&content).unwrap();
        folder.write(&format!("tokenizer/{name}"), text);
    }
    folder
}

/// The model of `tokenizer.json`: CLIP's vocabulary and merges.
fn model() -> Value {
    let read = |file: &str| std::fs::read_to_string(original(file)).unwrap();
    let vocab: Value = serde_json::from_str(&read("tokenizer/vocab.json")).unwrap();
    let merges = read("tokenizer/merges.txt");
    let merges: Vec<&str> = merges.lines().skip(1).collect();
    json!({"type": "BPE", "vocab": vocab, "merges": merges})
}

/// With so many rows that words may be added.
fn widened(folder: &Folder) -> &Folder {
    let grow = |mut raw: super::checkpoint::Raw| {
        if raw.name.ends_with("token_embedding.weight") {
            let row = raw.data.len() / raw.shape[0];
            raw.data.resize(ROWS * row, 1);
            raw.shape[0] = ROWS;
        }
        Some(raw)
    };
    folder
        .rewrite("text_encoder/model.safetensors", grow)
        .set("text_encoder/config.json", json!({"vocab_size": ROWS}))
}

fn tokenizer(folder: &Folder) -> Result<ClipTokenizer, String> {
    let checkpoint = folder.open()?;
    checkpoint.tokenizer().map_err(|error| error.to_string())
}

fn encode(files: &Value, prompt: &str) -> Tokens {
    let files = serde_json::from_value(files.clone()).unwrap();
    let folder = folder(&files);
    tokenizer(widened(&folder)).unwrap().encode(prompt).unwrap()
}

#[test]
fn every_folder_gives_the_ids_that_the_pipeline_has() {
    let goldens: Goldens =
        serde_json::from_str(include_str!("../goldens/tokenizer_folders.json")).unwrap();
    assert!(goldens.cases.len() > 45);
    for case in goldens.cases {
        let title = &case.title;
        let folder = folder(&case.files);
        let tokenizer = tokenizer(widened(&folder));
        let Some(golden) = case.ids else {
            let message = tokenizer.expect_err(title);
            assert!(
                message.contains("_token") || message.contains("_side"),
                "{title}: {message}"
            );
            assert!(case.error.is_some(), "{title}");
            continue;
        };
        let tokenizer = match tokenizer {
            Ok(tokenizer) => tokenizer,
            Err(message) => panic!("{title}: {message}"),
        };
        for (prompt, runs) in goldens.prompts.iter().zip(golden) {
            let expected: Vec<u32> = runs
                .iter()
                .flat_map(|&(id, count)| std::iter::repeat_n(id, count))
                .collect();
            let tokens = tokenizer.encode(prompt).unwrap();
            assert_eq!(tokens.ids(), expected, "{title}: {prompt:?}");
            check_spans(title, prompt, &tokens);
        }
    }
}

/// Spans lie in the prompt, in order; nothing but white space is outside of all.
fn check_spans(title: &str, prompt: &str, tokens: &Tokens) {
    let mut rest = prompt.as_bytes().to_vec();
    let mut last = 0;
    let words = tokens.tokens.iter().chain(&tokens.truncated);
    let mut words: Vec<_> = words.filter_map(|token| token.span.clone()).collect();
    words.sort_by_key(|span| span.start);
    for span in words {
        assert!(
            !prompt[span.clone()].is_empty(),
            "{title}: {prompt:?} {span:?}"
        );
        assert!(last <= span.start, "{title}: {prompt:?} {span:?}");
        last = span.start;
        rest[span].fill(b' ');
    }
    let rest = String::from_utf8(rest).unwrap();
    assert!(
        rest.chars().all(char::is_whitespace),
        "{title}: {prompt:?} leaves {rest:?}"
    );
}

#[test]
fn an_added_word_is_one_token_with_its_own_bytes() {
    let files = json!({"added_tokens.json": {"<cat-toy>": 49408, "猫": 49409}});
    let tokens = encode(&files, "a <Cat-Toy> 猫猫 cat");
    let added: Vec<_> = tokens
        .content()
        .iter()
        .map(|token| (&token.piece[..], token.id, token.added, token.ends_word()))
        .collect();
    assert_eq!(
        added,
        [
            ("a</w>", 320, false, true),
            ("<cat-toy>", 49408, true, true),
            ("猫", 49409, true, true),
            ("猫", 49409, true, true),
            ("cat</w>", 2368, false, true),
        ]
    );
    let prompt = "a <Cat-Toy> 猫猫 cat";
    let texts: Vec<&str> = tokens
        .content()
        .iter()
        .map(|token| &prompt[token.span.clone().unwrap()])
        .collect();
    assert_eq!(texts, ["a", "<Cat-Toy>", "猫", "猫", "cat"]);
    assert_eq!(tokens.content()[1].bytes, b"<cat-toy>");
    assert_eq!(tokens.content()[2].bytes, "猫".as_bytes());
}

#[test]
fn a_word_of_several_vectors_is_written_out_and_stands_at_one_place() {
    let files = json!({"added_tokens.json": {"<toy>": 49408, "<toy>_1": 49409, "<toy>_2": 49410}});
    let prompt = "my <toy>, the <toy>";
    let tokens = encode(&files, prompt);
    let ids: Vec<u32> = tokens.content().iter().map(|token| token.id).collect();
    assert_eq!(ids[1..4], [49408, 49409, 49410]);
    assert_eq!(ids[6..], [49408, 49409, 49410]);
    for (token, start) in [(1, 3), (2, 3), (3, 3), (6, 14), (7, 14), (8, 14)] {
        assert_eq!(tokens.content()[token].span, Some(start..start + 5));
    }
    assert!(
        tokens
            .content()
            .iter()
            .all(|token| token.kind == TokenKind::Word)
    );
}

#[test]
fn an_added_word_is_one_word_of_the_prompt_however_many_vectors_it_has() {
    let files = json!({"added_tokens.json": {"<toy>": 49408, "<toy>_1": 49409, "★": 49410}});
    let prompt = "my <toy> ★, a <|endoftext|> cat!";
    let tokens = encode(&files, prompt);
    let words: Vec<(&str, usize)> = diffuscope::generation::words(prompt, &tokens)
        .map(|word| (word.text, word.tokens.len()))
        .collect();
    let expected = [
        ("my", 1),
        ("<toy>", 2),
        ("★", 1),
        ("a", 1),
        ("<|endoftext|>", 1),
        ("cat", 1),
    ];
    assert_eq!(words, expected);
}

#[test]
fn a_word_without_an_embedding_is_refused() {
    let files = json!({"added_tokens.json": {"<cat-toy>": 49408}});
    let files = serde_json::from_value(files).unwrap();
    refused(
        tokenizer(&folder(&files)).map(|_| ()),
        &[
            "<cat-toy>",
            "is 49408",
            "less than 49408",
            "no embedding for it",
        ],
    );
}

#[test]
fn settings_that_would_change_tokens_in_another_way_are_refused() {
    for (key, value) in [
        ("fast_tokenizer_files", json!(["tokenizer.4.0.0.json"])),
        ("vocab", json!({"a": 1})),
        ("post_processor", json!({"type": "x"})),
        ("trust_remote_code", json!(true)),
    ] {
        let files = json!({"tokenizer_config.json": {key: value}});
        let files = serde_json::from_value(files).unwrap();
        refused(
            tokenizer(&folder(&files)).map(|_| ()),
            &["tokenizer_config.json", key],
        );
    }
    for (file, content, says) in [
        (
            "added_tokens.json",
            json!({"<Toy>": 49408, "<toy>": 49409}),
            "<Toy> and <toy> are the same in lower case",
        ),
        ("added_tokens.json", json!({"<a>": "x"}), "<a> is \"x\""),
        ("added_tokens.json", json!({"<a>": -1}), "<a> is -1"),
        (
            "tokenizer_config.json",
            json!({"added_tokens_decoder": {"x": {"content": "a"}}}),
            "an id",
        ),
        (
            "tokenizer_config.json",
            json!({"added_tokens_decoder": {"49408": "a"}}),
            "content",
        ),
        (
            "tokenizer_config.json",
            json!({"added_tokens_decoder": 3}),
            "added_tokens_decoder is 3",
        ),
        (
            "tokenizer_config.json",
            json!({"split_special_tokens": "x"}),
            "true or false",
        ),
        (
            "tokenizer_config.json",
            json!({"extra_special_tokens": 3}),
            "a list of tokens",
        ),
        (
            "special_tokens_map.json",
            json!({"pad_token": ["a"]}),
            "special_tokens_map.json",
        ),
        (
            "tokenizer.json",
            json!({"added_tokens": [{"content": "a"}]}),
            "tokenizer.json",
        ),
    ] {
        let files = serde_json::from_value(json!({file: content})).unwrap();
        // Words come from several files.
        let file = if says.contains("same") {
            "tokenizer"
        } else {
            file
        };
        refused(tokenizer(&folder(&files)).map(|_| ()), &[file, says]);
    }
}
