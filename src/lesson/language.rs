//! The languages of the lessons and of the inspector.

/// What is said in English and in Chinese; [`Language::choose`] takes one of the two.
pub type Said = [&'static str; 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Language {
    #[default]
    En,
    Zh,
}

impl Language {
    pub const ALL: [Self; 2] = [Self::En, Self::Zh];

    /// Its code: the name of its folder.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// What is said in this language, of what is said in each.
    pub fn choose<T>(self, [english, chinese]: [T; 2]) -> T {
        match self {
            Self::En => english,
            Self::Zh => chinese,
        }
    }

    /// The language of the user's locale; English where there are no lessons in it.
    pub fn of_locale() -> Self {
        sys_locale::get_locale().map_or(Self::En, |locale| Self::of(&locale))
    }

    /// The language of a locale such as `zh-CN` or `en_US.UTF-8`.
    pub fn of(locale: &str) -> Self {
        let code = locale.split(['-', '_', '.']).next().unwrap_or_default();
        let is = |language: &Self| language.code().eq_ignore_ascii_case(code);
        Self::ALL.into_iter().find(is).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_names_a_language() {
        assert_eq!(Language::of("zh-CN"), Language::Zh);
        assert_eq!(Language::of("zh_TW.UTF-8"), Language::Zh);
        assert_eq!(Language::of("en-GB"), Language::En);
        assert_eq!(Language::of("de_DE.UTF-8"), Language::En);
        assert_eq!(Language::of("C"), Language::En);
    }
}
