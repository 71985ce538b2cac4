//! Every key that a tokenizer's settings may have, and what becomes of it. What transformers' `CLIPTokenizer` does not
//! look at changes nothing there, and nothing here.

use serde_json::{Map, Value};

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is obeyed.
    Obeyed,
    /// It changes no token.
    Harmless,
    /// Another value than nothing at all would change tokens in a way that is not done here: why.
    Refused(&'static str),
}

use Use::{Harmless, Obeyed, Refused};

const OTHER_VOCABULARY: Use =
    Refused("the vocabulary is read from the tokenizer's own files, and from nowhere else");
const PROCESSED: Use = Refused("rules that replace CLIP's own are not supported");

/// Keys that transformers looks at, and others that its versions have written for CLIP.
pub const KEYS: [(&str, Use); 76] = [
    ("added_tokens_decoder", Obeyed),
    ("additional_special_tokens", Obeyed),
    ("bos_token", Obeyed),
    ("cls_token", Obeyed),
    ("eos_token", Obeyed),
    ("extra_special_tokens", Obeyed),
    ("mask_token", Obeyed),
    ("max_len", Obeyed),
    ("model_max_length", Obeyed),
    ("pad_token", Obeyed),
    ("padding_side", Obeyed),
    ("sep_token", Obeyed),
    ("split_special_tokens", Obeyed),
    ("truncation_side", Obeyed),
    ("unk_token", Obeyed),
    ("_json_padding", PROCESSED),
    ("_json_truncation", PROCESSED),
    ("fast_tokenizer_files", OTHER_VOCABULARY),
    ("gguf_file", OTHER_VOCABULARY),
    ("init_inputs", OTHER_VOCABULARY),
    ("merges", OTHER_VOCABULARY),
    ("model_specific_special_tokens", PROCESSED),
    ("post_processor", PROCESSED),
    ("tokenizer_object", PROCESSED),
    ("tokenizer_padding", PROCESSED),
    ("tokenizer_truncation", PROCESSED),
    ("trust_remote_code", PROCESSED),
    ("vocab", OTHER_VOCABULARY),
    // What follows says how to load, to decode or to chat, or is not looked at by CLIP's class.
    ("_commit_hash", Harmless),
    ("_from_auto", Harmless),
    ("_from_pipeline", Harmless),
    ("_spm_precompiled_charsmap", Harmless),
    ("add_bos_token", Harmless),
    ("add_eos_token", Harmless),
    ("add_prefix_space", Harmless),
    ("args", Harmless),
    ("auto_map", Harmless),
    ("backend", Harmless),
    ("chat_control_tokens", Harmless),
    ("chat_template", Harmless),
    ("clean_up_tokenization_spaces", Harmless),
    (
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
        Harmless,
    ),
    ("device_map", Harmless),
    ("do_lower_case", Harmless),
    ("errors", Harmless),
    ("files_loaded", Harmless),
    ("fix_mistral_regex", Harmless),
    ("is_local", Harmless),
    ("local_files_only", Harmless),
    ("max_length", Harmless),
    ("merges_file", Harmless),
    ("model_input_names", Harmless),
    ("name_or_path", Harmless),
    ("pad_to_multiple_of", Harmless),
    ("pad_token_id", Harmless),
    ("pad_token_type_id", Harmless),
    ("processor_class", Harmless),
    ("proxies", Harmless),
    ("response_schema", Harmless),
    ("response_template", Harmless),
    ("special_tokens_map_file", Harmless),
    ("stride", Harmless),
    ("strip_accents", Harmless),
    ("subfolder", Harmless),
    ("tokenize_chinese_chars", Harmless),
    ("tokenizer", Harmless),
    ("tokenizer_class", Harmless),
    ("tokenizer_file", Harmless),
    ("tokenizer_type", Harmless),
    ("transformers_version", Harmless),
    ("truncation_strategy", Harmless),
    ("unk_id", Harmless),
    ("use_fast", Harmless),
    ("verbose", Harmless),
    ("vocab_file", Harmless),
    ("vocab_size", Harmless),
];

/// Refuses the first key that would change tokens in a way that is not done here.
pub fn check<E>(values: &Map<String, Value>, refuse: impl Fn(&str, &str) -> E) -> Result<(), E> {
    for (key, kind) in KEYS {
        let Some(value) = values.get(key) else {
            continue;
        };
        let says_nothing = match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if let Refused(reason) = kind
            && !says_nothing
        {
            return Err(refuse(key, reason));
        }
    }
    Ok(())
}

/// The keys that neither transformers nor this program knows: they are passed over, as there.
pub fn unknown(values: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let is_known =
        |key: &&str| key.ends_with("_token") || KEYS.iter().any(|(known, _)| known == key);
    values
        .keys()
        .map(String::as_str)
        .filter(move |key| !is_known(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_transformers_looks_at_has_a_use() {
        let golden = include_str!("../../../../tests/goldens/tokenizer_keys.json");
        let keys: Vec<String> = serde_json::from_str(golden).unwrap();
        assert!(keys.len() > 50);
        let values = keys.into_iter().map(|key| (key, Value::Null)).collect();
        let unknown: Vec<&str> = unknown(&values).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn what_nobody_knows_is_named() {
        let values =
            serde_json::from_str(r#"{"pad_token": "a", "nonsense": 1, "image_token": "b"}"#);
        let values: Map<String, Value> = values.unwrap();
        assert_eq!(unknown(&values).collect::<Vec<_>>(), ["nonsense"]);
    }
}
