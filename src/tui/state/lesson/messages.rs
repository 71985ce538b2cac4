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
    pub claim: &'static str,
    /// A claim that does not hold, and what its filter gave.
    pub not_so: &'static str,
    pub gives: &'static str,
    pub running: &'static str,
    pub nowhere: &'static str,
    pub unknown: &'static str,
    pub number: &'static str,
    pub word: &'static str,
    pub choice: &'static str,
    /// A branch of a solution begins with this step, counted from 1.
    pub branch: fn(step: usize) -> String,
    pub again: &'static str,
    pub lessons: &'static str,
    /// How far a reader is, and how long a lesson takes.
    pub progress: fn(solved: usize, all: usize, minutes: u32) -> String,
    names: &'static [(&'static str, &'static str)],
    /// A lesson, a claim or an exercise is about one model, and another one is open.
    pub lesson_elsewhere: fn(about: &str, open: &str) -> String,
    pub about: fn(about: &str) -> String,
    /// What a claim comes to with the model that is open.
    pub claim_here: fn(open: &str, here: &Here) -> String,
    pub exercise_elsewhere: fn(about: &str, open: &str) -> String,
}

/// Names of the parts of a solution, where they differ from the English ones; `{}` is where a part's value stands, if it
/// is not at the end.
const CHINESE_NAMES: &[(&str, &str)] = &[
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
    ("guidance only in steps", "只在这些步里引导"),
    ("guidance rescale", "引导重缩放"),
    ("scheduler", "采样器"),
];

const ENGLISH: Messages = messages(Language::En);
const CHINESE: Messages = messages(Language::Zh);

const fn messages(language: Language) -> Messages {
    use Language::{En, Zh};
    let at = language as usize;
    Messages {
        depths: [["idea", "mechanism", "maths"], ["直觉", "机制", "数学"]][at],
        depths_of_view: [["idea", "mechanism", "formula"], ["直觉", "机制", "公式"]][at],
        deeper: [["i deeper", "i closes"], ["i 深入", "i 关闭"]][at],
        right: ["Right:", "对了："][at],
        right_again: [
            "Answered before, and right in this run:",
            "以前答过，在这次运行里也对：",
        ][at],
        no_longer: [
            "was right before, and is not in this run.",
            "以前是对的，在这次运行里不对。",
        ][at],
        other_model: [
            "was right with another model, and is not with this one.",
            "用另一个模型时是对的，用现在的模型不对。",
        ][at],
        done: ["Done.", "完成了。"][at],
        done_before: [
            "Done in an earlier session; do it again to see it.",
            "以前完成过；想再看，就再做一遍。",
        ][at],
        answered_before: ["Answered in an earlier session.", "以前答过。"][at],
        answer: ["answer:", "回答："][at],
        wrong: ["is not it.", "不对。"][at],
        not_yet: ["Not yet.", "还没有完成。"][at],
        hint: ["H gives a hint.", "按 H 看提示。"][at],
        solution: ["S shows the solution.", "按 S 看答案。"][at],
        claim: ["What this page says", "本页的说法"][at],
        not_so: ["Not so in this run:", "在这次运行里不成立："][at],
        gives: ["its filter gives", "过滤器给出"][at],
        running: [
            "The run is still going on; wait until it is done.",
            "运行还没有结束，请稍等。",
        ][at],
        nowhere: ["This page cannot take you there:", "本页无法打开："][at],
        unknown: ["It cannot be checked:", "无法检查："][at],
        number: ["a number is expected.", "请输入一个数。"][at],
        word: ["a word is expected.", "请输入一个词。"][at],
        choice: ["the number of a choice is expected.", "请输入选项的编号。"][at],
        again: ["the same request again", "同样的请求再运行一次"][at],
        lessons: ["Lessons", "课程"][at],
        names: [&[], CHINESE_NAMES][at],
        branch: match language {
            En => |step| format!("branch at step {step}:"),
            Zh => |step| format!("在第 {step} 步分支："),
        },
        progress: match language {
            En => |solved, all, minutes| format!("{solved}/{all} solved  {minutes:>2} min"),
            Zh => |solved, all, minutes| format!("完成 {solved}/{all}  {minutes:>2} 分钟"),
        },
        lesson_elsewhere: match language {
            En => |about, open| format!("This lesson speaks of {about}; {open} is open."),
            Zh => |about, open| format!("本课讲的是 {about}；现在打开的是 {open}。"),
        },
        about: match language {
            En => |about| format!("About {about}, and checked when that is open."),
            Zh => |about| format!("说的是 {about}，打开它时才检查。"),
        },
        claim_here: match language {
            En => |open, here| match here {
                Here::Holds => format!("With {open} it holds, too."),
                Here::Fails => format!("With {open} it does not hold."),
                Here::Is(value) => format!("With {open} it is {value}."),
                Here::Unknown => format!("With {open} it cannot be said."),
            },
            Zh => |open, here| match here {
                Here::Holds => format!("用 {open} 时也成立。"),
                Here::Fails => format!("用 {open} 时不成立。"),
                Here::Is(value) => format!("用 {open} 时是 {value}。"),
                Here::Unknown => format!("用 {open} 时无法判断。"),
            },
        },
        exercise_elsewhere: match language {
            En => |about, open| format!("Made for {about}; with {open} it may turn out otherwise."),
            Zh => |about, open| format!("这道题是为 {about} 出的；用 {open} 时，结果可能不同。"),
        },
    }
}

impl Messages {
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &ENGLISH,
            Language::Zh => &CHINESE,
        }
    }

    /// A part of a solution, by its English name.
    pub fn name(&self, english: &'static str) -> &'static str {
        let own = self.names.iter().find(|(known, _)| *known == english);
        own.map_or(english, |(_, name)| name)
    }
}
