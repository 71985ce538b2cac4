//! What the lesson's pane says of itself, in the lesson's language.

use crate::lesson::{Depth, Language};

/// The pane's own words.
pub struct Words {
    /// The depths, in their order.
    pub depths: [&'static str; 3],
    /// Before the answer that was right.
    pub right: &'static str,
    /// A task that was done.
    pub done: &'static str,
    /// An answer that is not right.
    pub wrong: &'static str,
    /// A task that is not done.
    pub not_yet: &'static str,
    /// Where more help is.
    pub help: &'static str,
    /// Solved in an earlier sitting.
    pub before: &'static str,
    /// A claim without words.
    pub claim: &'static str,
    /// A claim that does not hold.
    pub not_so: &'static str,
    /// The run is not done.
    pub running: &'static str,
    /// The page cannot be opened.
    pub nowhere: &'static str,
    /// An answer cannot be judged.
    pub unknown: &'static str,
    /// A number is expected.
    pub number: &'static str,
    /// A word is expected.
    pub word: &'static str,
    /// The number of a choice is expected.
    pub choice: &'static str,
}

const ENGLISH: Words = Words {
    depths: ["idea", "mechanism", "maths"],
    right: "Right:",
    done: "Done.",
    wrong: "is not it.",
    not_yet: "Not yet.",
    help: "H gives a hint.",
    before: "solved before",
    claim: "What this page says",
    not_so: "not so in this run:",
    running: "The run is still going on; wait until it is done.",
    nowhere: "This page cannot take you there:",
    unknown: "It cannot be checked:",
    number: "a number is expected.",
    word: "a word is expected.",
    choice: "the number of a choice is expected.",
};

const CHINESE: Words = Words {
    depths: ["直觉", "机制", "数学"],
    right: "对了：",
    done: "完成了。",
    wrong: "不对。",
    not_yet: "还没有完成。",
    help: "按 H 看提示。",
    before: "以前做过",
    claim: "本页的说法",
    not_so: "在这次运行里不成立：",
    running: "运行还没有结束，请稍等。",
    nowhere: "本页无法打开：",
    unknown: "无法检查：",
    number: "请输入一个数。",
    word: "请输入一个词。",
    choice: "请输入选项的编号。",
};

impl Words {
    /// Those of `language`.
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &ENGLISH,
            Language::Zh => &CHINESE,
        }
    }

    /// The name of `depth`.
    pub fn depth(&self, depth: Depth) -> &'static str {
        self.depths[depth as usize]
    }
}
