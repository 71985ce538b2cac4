//! What the lesson's pane says of itself, in the lesson's language.

use super::status::Here;
use crate::lesson::Language;

pub struct Messages {
    /// The depths of a lesson's page, in their order.
    pub depths: [&'static str; 3],
    /// Those of a view's explanation.
    pub depths_of_view: [&'static str; 3],
    /// The key to the next depth of an explanation, and the one beneath its last.
    pub deeper: [&'static str; 2],
    /// Before the answer that was right.
    pub right: &'static str,
    /// Before an answer that was right in an earlier session and is right now.
    pub right_again: &'static str,
    /// After an answer that was right in an earlier session and is not now.
    pub no_longer: &'static str,
    /// The same, where another model was open.
    pub other_model: &'static str,
    pub done: &'static str,
    pub done_before: &'static str,
    pub answered_before: &'static str,
    /// Before an answer while it is typed.
    pub answer: &'static str,
    pub wrong: &'static str,
    pub not_yet: &'static str,
    /// Where more help is: while there are hints, and after that.
    pub hint: &'static str,
    pub solution: &'static str,
    /// A claim without words.
    pub claim: &'static str,
    /// A claim that does not hold, and what its filter gave.
    pub not_so: &'static str,
    pub gives: &'static str,
    /// The run is not done.
    pub running: &'static str,
    /// The page cannot be opened.
    pub nowhere: &'static str,
    /// An answer cannot be judged.
    pub unknown: &'static str,
    /// What form of answer is expected.
    pub number: &'static str,
    pub word: &'static str,
    pub choice: &'static str,
    /// A branch of a solution begins with this step, counted from 1.
    pub branch: fn(step: usize) -> String,
    /// A solution that asks for nothing new.
    pub again: &'static str,
    pub lessons: &'static str,
    /// How far a reader is, and how long a lesson takes.
    pub progress: fn(solved: usize, all: usize, minutes: u32) -> String,
    /// Short names of keys and of parts of a solution, where they differ from the English ones; `{}` is where a
    /// part's value stands, if it is not at the end.
    names: &'static [(&'static str, &'static str)],
    /// A lesson, a claim or an exercise is about one model, and another one is open.
    pub lesson_elsewhere: fn(about: &str, open: &str) -> String,
    pub about: fn(about: &str) -> String,
    /// What a claim comes to with the model that is open.
    pub claim_here: fn(open: &str, here: &Here) -> String,
    pub exercise_elsewhere: fn(about: &str, open: &str) -> String,
}

const ENGLISH: Messages = Messages {
    depths: ["idea", "mechanism", "maths"],
    depths_of_view: ["idea", "mechanism", "formula"],
    deeper: ["i deeper", "i closes"],
    right: "Right:",
    right_again: "Answered before, and right in this run:",
    no_longer: "was right before, and is not in this run.",
    other_model: "was right with another model, and is not with this one.",
    done: "Done.",
    done_before: "Done in an earlier sitting; do it again to see it.",
    answered_before: "Answered in an earlier sitting.",
    answer: "answer:",
    wrong: "is not it.",
    not_yet: "Not yet.",
    hint: "H gives a hint.",
    solution: "S shows the solution.",
    claim: "What this page says",
    not_so: "Not so in this run:",
    gives: "its filter gives",
    running: "The run is still going on; wait until it is done.",
    nowhere: "This page cannot take you there:",
    unknown: "It cannot be checked:",
    number: "a number is expected.",
    word: "a word is expected.",
    choice: "the number of a choice is expected.",
    branch: |step| format!("branch at step {step}:"),
    again: "the same request again",
    lessons: "Lessons",
    progress: |solved, all, minutes| format!("{solved}/{all} solved  {minutes:>2} min"),
    names: &[],
    lesson_elsewhere: |about, open| format!("This lesson speaks of {about}; {open} is open."),
    about: |about| format!("About {about}, and checked when that is open."),
    claim_here: |open, here| {
        let here = match here {
            Here::Holds => "it holds, too".to_owned(),
            Here::Fails => "it does not hold".to_owned(),
            Here::Is(value) => format!("it is {value}"),
            Here::Unknown => "it cannot be said".to_owned(),
        };
        format!("With {open} {here}.")
    },
    exercise_elsewhere: |about, open| {
        format!("Made for {about}; with {open} it may turn out otherwise.")
    },
};

const CHINESE: Messages = Messages {
    depths: ["直觉", "机制", "数学"],
    depths_of_view: ["直觉", "机制", "公式"],
    deeper: ["i 深入", "i 关闭"],
    right: "对了：",
    right_again: "以前答过，在这次运行里也对：",
    no_longer: "以前是对的，在这次运行里不对。",
    other_model: "用另一个模型时是对的，用现在的模型不对。",
    done: "完成了。",
    done_before: "以前完成过；想再看，就再做一遍。",
    answered_before: "以前答过。",
    answer: "回答：",
    wrong: "不对。",
    not_yet: "还没有完成。",
    hint: "按 H 看提示。",
    solution: "按 S 看答案。",
    claim: "本页的说法",
    not_so: "在这次运行里不成立：",
    gives: "过滤器给出",
    running: "运行还没有结束，请稍等。",
    nowhere: "本页无法打开：",
    unknown: "无法检查：",
    number: "请输入一个数。",
    word: "请输入一个词。",
    choice: "请输入选项的编号。",
    branch: |step| format!("在第 {step} 步分支："),
    again: "同样的请求再运行一次",
    lessons: "课程",
    progress: |solved, all, minutes| format!("完成 {solved}/{all}  {minutes:>2} 分钟"),
    names: &[
        ("next", "下一页"),
        ("back", "上一页"),
        ("answer", "回答"),
        ("check", "检查"),
        ("hint", "提示"),
        ("solution", "答案"),
        ("deeper", "深入"),
        ("fold", "收起"),
        ("reset", "重来"),
        ("leave", "离开"),
        ("scroll", "滚动"),
        ("view", "视图"),
        ("step", "第 {} 步"),
        ("token", "词元"),
        ("side", "哪段文本"),
        ("part", "部分"),
        ("text layer", "文本层"),
        ("channel", "通道"),
        ("scaled", "乘以 sigma"),
        ("curve", "曲线"),
        ("overlay", "叠加"),
        ("overlay's steps", "叠加的步数"),
        ("picture", "图"),
        ("layer", "层"),
        ("head", "头"),
        ("half", "哪一半"),
        ("small maps", "小图"),
        ("decoded", "解码"),
        ("prompt", "提示词"),
        ("negative prompt", "负面提示词"),
        ("seed", "种子"),
        ("steps", "步数"),
        ("guidance", "引导"),
        ("scheduler", "采样器"),
    ],
    lesson_elsewhere: |about, open| format!("本课讲的是 {about}；现在打开的是 {open}。"),
    about: |about| format!("说的是 {about}，打开它时才检查。"),
    claim_here: |open, here| {
        let here = match here {
            Here::Holds => "也成立".to_owned(),
            Here::Fails => "不成立".to_owned(),
            Here::Is(value) => format!("是 {value}"),
            Here::Unknown => "无法判断".to_owned(),
        };
        format!("用 {open} 时{here}。")
    },
    exercise_elsewhere: |about, open| {
        format!("这道题是为 {about} 出的；用 {open} 时，结果可能不同。")
    },
};

impl Messages {
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &ENGLISH,
            Language::Zh => &CHINESE,
        }
    }

    /// What a key does, or a part of a solution, by its English name.
    pub fn name(&self, english: &'static str) -> &'static str {
        let own = self.names.iter().find(|(known, _)| *known == english);
        own.map_or(english, |(_, name)| name)
    }
}
