//! The names of tensors, and which of them are exported.

/// What the names of cross-attention begin with.
pub(super) const ATTENTION: &str = "attention/";

/// The tensors of a step, in the order in which they are computed.
pub(super) const STEP_TENSORS: [&str; 6] = [
    "latents",
    "noise_uncond",
    "noise_text",
    "noise_guided",
    "latents_next",
    "x0",
];

/// Which tensors are exported, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TensorSelection {
    /// Patterns in which `*` stands for any characters; `None` for every tensor but the text encoder's own attention.
    patterns: Option<Vec<Pattern>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// As the user wrote it.
    written: String,
    /// With shorthands expanded.
    pattern: String,
}

impl TensorSelection {
    /// The tensors that `names` ask for: names, `*` for any characters, or a shorthand: `attention` for
    /// `attention/*`, `layers` for `text_model.encoder.layers.*`, `all` for everything. Empty names are left out.
    pub fn of<I>(names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let patterns = names
            .into_iter()
            .map(|name| name.as_ref().trim().to_owned())
            .filter(|name| !name.is_empty())
            .map(|written| Pattern {
                pattern: match written.as_str() {
                    "attention" => "attention/*".into(),
                    "layers" => "text_model.encoder.layers.*".into(),
                    "all" => "*".into(),
                    _ => written.clone(),
                },
                written,
            });
        Self {
            patterns: Some(patterns.collect()),
        }
    }

    /// Is the tensor called `name` exported?
    pub fn contains(&self, name: &str) -> bool {
        match &self.patterns {
            None => !name.ends_with(".self_attn"),
            Some(patterns) => patterns
                .iter()
                .any(|pattern| matches(&pattern.pattern, name)),
        }
    }

    /// The first name, as the user wrote it, that asks for none of `names`.
    pub fn unknown(&self, names: &[String]) -> Option<&str> {
        let patterns = self.patterns.as_ref()?;
        patterns
            .iter()
            .find(|pattern| !names.iter().any(|name| matches(&pattern.pattern, name)))
            .map(|pattern| pattern.written.as_str())
    }
}

/// The names that tensors of a run can have, in the order in which they are computed, for a model with `text_layers`
/// layers in its text encoder and cross-attention at the module paths `cross_attention`.
pub fn tensor_names<'a>(
    text_layers: usize,
    cross_attention: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let layers = || (0..text_layers).map(|layer| format!("text_model.encoder.layers.{layer}"));
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let before: Vec<String> = owned(&["token_embedding", "position_embedding"]);
    let after: Vec<String> = owned(&[
        "prompt_embedding",
        "negative_prompt_embedding",
        "initial_noise",
    ]);
    before
        .into_iter()
        .chain(layers())
        .chain(layers().map(|layer| layer + ".self_attn"))
        .chain(after)
        .chain(STEP_TENSORS.map(str::to_owned))
        .chain(
            cross_attention
                .into_iter()
                .map(|path| format!("{ATTENTION}{path}")),
        )
        .collect()
}

/// Does `name` match `pattern`, in which `*` stands for any characters, also none?
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    // The leftmost place for each part leaves the most room for those after it.
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(matches("latents", "latents"));
        assert!(!matches("latents", "latents_next"));
        assert!(!matches("latents", "initial_latents"));
        assert!(matches("latents*", "latents"));
        assert!(matches("latents*", "latents_next"));
        assert!(matches("noise_*", "noise_text"));
        assert!(!matches("noise_*", "initial_noise"));
        assert!(matches("*noise*", "initial_noise"));
        assert!(matches("attention/*.1.*.attn2", "attention/up.1.x.attn2"));
        assert!(!matches("a*a", "a"));
        assert!(matches("*", ""));
    }

    #[test]
    fn by_default_everything_but_the_text_encoders_own_attention() {
        let selection = TensorSelection::default();
        for name in tensor_names(2, ["mid_block.attentions.0"]) {
            assert_eq!(
                selection.contains(&name),
                !name.contains("self_attn"),
                "{name}"
            );
        }
    }

    #[test]
    fn shorthands_and_spaces_are_understood() {
        let selection = TensorSelection::of(["attention", " x0 ", ""]);
        assert!(selection.contains("attention/mid_block"));
        assert!(selection.contains("x0"));
        assert!(!selection.contains("latents"));
        assert!(TensorSelection::of(["all"]).contains("text_model.encoder.layers.0.self_attn"));
        assert!(TensorSelection::of(["layers"]).contains("text_model.encoder.layers.0"));
        assert!(!TensorSelection::of([""]).contains("x0"));
    }

    #[test]
    fn a_name_that_no_tensor_has_is_found() {
        let names = tensor_names(1, ["mid_block"]);
        let unknown = |list: &[&str]| TensorSelection::of(list).unknown(&names).map(str::to_owned);
        assert_eq!(unknown(&["latents", "x_0"]).as_deref(), Some("x_0"));
        assert_eq!(unknown(&["attention", "noise_*", "layers"]), None);
        let without = tensor_names(1, []);
        let selection = TensorSelection::of(["attention"]);
        assert_eq!(selection.unknown(&without), Some("attention"));
    }
}
