//! Patterns of sites' paths.

/// Does `path` match `pattern`, in which every `*` stands for any characters, or none?
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == path;
    };
    path.strip_prefix(start).is_some_and(|path| {
        let mut ends = (0..=path.len()).filter(|&end| path.is_char_boundary(end));
        ends.any(|end| matches(rest, &path[end..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let path = "down_blocks.0.attentions.1.transformer_blocks.0.attn2";
        for pattern in [path, "*", "*.attn2", "down_blocks.*", "down_*.1.*attn*"] {
            assert!(matches(pattern, path), "{pattern}");
        }
        for pattern in ["", "attn2", "down_blocks", "*.attn1", "up_*", "*.attn2.*"] {
            assert!(!matches(pattern, path), "{pattern}");
        }
    }
}
