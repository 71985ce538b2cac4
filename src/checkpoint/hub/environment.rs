//! What the environment says of the hub: where its cache and the user's token lie, whether the network is allowed. The
//! variables, defaults and expansions are those of `huggingface_hub`'s `constants.py` (version 2).

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

/// The variables of an environment: those of the process, or of a test.
pub struct Environment<'a>(pub &'a dyn Fn(&str) -> Option<OsString>);

/// The variables of this process.
pub const PROCESS: Environment = Environment(&variable);

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

impl Environment<'_> {
    /// The folder of downloaded repositories: `$HF_HUB_CACHE`, else `$HUGGINGFACE_HUB_CACHE`, else `hub` in
    /// [`home`](Self::home). A variable that is set to nothing counts: it names the working directory.
    pub fn cache(&self) -> PathBuf {
        let named = (self.0)("HF_HUB_CACHE").or_else(|| (self.0)("HUGGINGFACE_HUB_CACHE"));
        let path = named.unwrap_or_else(|| self.home().join("hub").into_os_string());
        self.expanded(&path)
    }

    /// The file of the user's token: `$HF_TOKEN_PATH`, else `token` in [`home`](Self::home).
    fn token_path(&self) -> PathBuf {
        let named = (self.0)("HF_TOKEN_PATH");
        let path = named.unwrap_or_else(|| self.home().join("token").into_os_string());
        self.expanded(&path)
    }

    /// `$HF_HOME`, else `huggingface` in `$XDG_CACHE_HOME`, else in `~/.cache`.
    fn home(&self) -> PathBuf {
        let path = (self.0)("HF_HOME").unwrap_or_else(|| {
            let caches = (self.0)("XDG_CACHE_HOME");
            let caches =
                caches.map_or_else(|| self.expanded_user("~").join(".cache"), PathBuf::from);
            caches.join("huggingface").into_os_string()
        });
        self.expanded(&path)
    }

    /// The user's token, from the environment or from its file; none where it is not to be sent unasked.
    pub fn token(&self) -> Option<String> {
        let clean = |token: &str| {
            let token: String = token
                .chars()
                .filter(|c| !matches!(c, '\r' | '\n'))
                .collect();
            let token = token.trim();
            (!token.is_empty()).then(|| token.to_owned())
        };
        if self.is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            return None;
        }
        let named = self.text("HF_TOKEN");
        let named = named.or_else(|| self.text("HUGGING_FACE_HUB_TOKEN"));
        named
            .and_then(|token| clean(&token))
            .or_else(|| clean(&fs::read_to_string(self.token_path()).ok()?))
    }

    /// Has the user forbidden the network?
    pub fn is_offline(&self) -> bool {
        // The second counts only where the first is not set at all.
        let offline = self.text("HF_HUB_OFFLINE");
        let offline = offline.or_else(|| self.text("TRANSFORMERS_OFFLINE"));
        offline.is_some_and(|value| is_true(&value))
    }

    /// Is the variable set to a word for yes?
    pub fn is_true(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| is_true(&value))
    }

    /// The variable's text; `None` where it is not set, set to nothing, or no text.
    pub fn text(&self, name: &str) -> Option<String> {
        let value = (self.0)(name)?.into_string().ok()?;
        (!value.is_empty()).then_some(value)
    }

    /// A path with `~`, `~user`, `$NAME` and `${NAME}` replaced. What is not known stays as it is.
    fn expanded(&self, path: &OsStr) -> PathBuf {
        match path.to_str() {
            Some(text) => {
                let path = self.expanded_user(text);
                path.to_str()
                    .map(|text| self.expanded_variables(text))
                    .map_or(path.clone(), PathBuf::from)
            }
            None => PathBuf::from(path),
        }
    }

    /// Python's `os.path.expanduser`.
    fn expanded_user(&self, text: &str) -> PathBuf {
        let Some(rest) = text.strip_prefix('~') else {
            return PathBuf::from(text);
        };
        let (user, rest) = match rest.find(std::path::is_separator) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let home = if user.is_empty() {
            (self.0)("HOME").or_else(|| env::home_dir().map(PathBuf::into_os_string))
        } else {
            home_of(user).map(OsString::from)
        };
        let Some(home) = home else {
            return PathBuf::from(text);
        };
        let Some(home) = home.to_str() else {
            return Path::new(&home).join(rest.trim_start_matches(std::path::is_separator));
        };
        let whole = format!("{}{rest}", home.trim_end_matches('/'));
        PathBuf::from(if whole.is_empty() { "/" } else { &whole })
    }

    /// Python's `os.path.expandvars`.
    fn expanded_variables(&self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let (name, length) = if let Some(inner) = after.strip_prefix('{') {
                let end = inner.find('}');
                end.map_or(("", 0), |end| (&inner[..end], end + 2))
            } else {
                let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = after.find(|c| !is_word(c)).unwrap_or(after.len());
                (&after[..end], end)
            };
            // A name with these in it is none, and cannot be asked for.
            let is_name = !name.is_empty() && !name.contains(['=', '\0']);
            let value = is_name.then(|| (self.0)(name)).flatten();
            match value.and_then(|value| value.into_string().ok()) {
                Some(value) => expanded.push_str(&value),
                None => expanded.push_str(&rest[at..at + 1 + length]),
            }
            rest = &after[length..];
        }
        expanded.push_str(rest);
        expanded
    }
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

/// The home folder of a user of this machine, as its own list of users has it.
fn home_of(user: &str) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(4).map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        environment: HashMap<String, String>,
        cache: PathBuf,
        token: PathBuf,
        offline: bool,
    }

    // The golden is of a system with `/` between folders and a user named root.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        let goldens = include_str!("../../../tests/goldens/hub_paths.json");
        let goldens: Vec<Golden> = serde_json::from_str(goldens).unwrap();
        assert!(goldens.len() > 35);
        for golden in goldens {
            let get = |name: &str| match golden.environment.get(name) {
                None if name == "HOME" => Some("/home/me".into()),
                found => found.map(OsString::from),
            };
            let environment = Environment(&get);
            let named = &golden.environment;
            // As texts: paths that are written differently compare as equal.
            let text = |path: PathBuf| path.to_string_lossy().trim_end_matches('/').to_owned();
            assert_eq!(text(environment.cache()), text(golden.cache), "{named:?}");
            assert_eq!(
                text(environment.token_path()),
                text(golden.token),
                "{named:?}"
            );
            assert_eq!(environment.is_offline(), golden.offline, "{named:?}");
        }
    }

    #[test]
    fn a_token_is_taken_from_the_first_place_that_has_one() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, " from-file\n").unwrap();
        let token = |variables: &[(&str, &str)]| {
            let get = |name: &str| match variables.iter().find(|(known, _)| *known == name) {
                None if name == "HF_TOKEN_PATH" => Some(file.clone().into_os_string()),
                found => found.map(|(_, value)| OsString::from(value)),
            };
            Environment(&get).token()
        };
        assert_eq!(token(&[]).as_deref(), Some("from-file"));
        assert_eq!(token(&[("HF_TOKEN", "a\n")]).as_deref(), Some("a"));
        assert_eq!(token(&[("HF_TOKEN", " ")]).as_deref(), Some("from-file"));
        let older = [("HF_TOKEN", ""), ("HUGGING_FACE_HUB_TOKEN", "b")];
        assert_eq!(token(&older).as_deref(), Some("b"));
        let unasked = [("HF_TOKEN", "a"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "true")];
        assert_eq!(token(&unasked), None);
    }
}
