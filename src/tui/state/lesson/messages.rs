//! What the lesson's pane says of itself, in both languages.

use super::status::Here;
use crate::lesson::Said;

/// The depths of a lesson's page, in their order.
pub const DEPTHS: [[&str; 3]; 2] = [["idea", "mechanism", "maths"], ["直觉", "机制", "数学"]];
/// Those of a view's explanation.
pub const DEPTHS_OF_VIEW: [[&str; 3]; 2] =
    [["idea", "mechanism", "formula"], ["直觉", "机制", "公式"]];
/// The key to the next depth of an explanation, and the one beneath its last.
pub const DEEPER: Said = ["i deeper", "i 深入"];
pub const CLOSES: Said = ["i closes", "i 关闭"];
pub const RIGHT: Said = ["Right:", "对了："];
/// Before an answer that was right in an earlier session and is right now.
pub const RIGHT_AGAIN: Said = [
    "Answered before, and right in this run:",
    "以前答过，在这次运行里也对：",
];
/// After an answer that was right in an earlier session and is not now.
pub const NO_LONGER: Said = [
    "was right before, and is not in this run.",
    "以前是对的，在这次运行里不对。",
];
/// The same, where another model was open.
pub const OTHER_MODEL: Said = [
    "was right with another model, and is not with this one.",
    "用另一个模型时是对的，用现在的模型不对。",
];
pub const DONE: Said = ["Done.", "完成了。"];
pub const DONE_BEFORE: Said = [
    "Done in an earlier session; do it again to see it.",
    "以前完成过；想再看，就再做一遍。",
];
pub const ANSWERED_BEFORE: Said = ["Answered in an earlier session.", "以前答过。"];
/// Before an answer while it is typed.
pub const ANSWER: Said = ["answer:", "回答："];
pub const WRONG: Said = ["is not it.", "不对。"];
pub const NOT_YET: Said = ["Not yet.", "还没有完成。"];
/// Where more help is: while there are hints, and after that.
pub const HINT: Said = ["H gives a hint.", "按 H 看提示。"];
pub const SOLUTION: Said = ["S shows the solution.", "按 S 看答案。"];
pub const CLAIM: Said = ["What this page says", "本页的说法"];
/// A claim that does not hold, and what its filter gave.
pub const NOT_SO: Said = ["Not so in this run:", "在这次运行里不成立："];
pub const GIVES: Said = ["its filter gives", "过滤器给出"];
pub const RUNNING: Said = [
    "The run is still going on; wait until it is done.",
    "运行还没有结束，请稍等。",
];
pub const NOWHERE: Said = ["This page cannot take you there:", "本页无法打开："];
pub const UNKNOWN: Said = ["It cannot be checked:", "无法检查："];
pub const NUMBER: Said = ["a number is expected.", "请输入一个数。"];
pub const WORD: Said = ["a word is expected.", "请输入一个词。"];
pub const CHOICE: Said = ["the number of a choice is expected.", "请输入选项的编号。"];
pub const AGAIN: Said = ["the same request again", "同样的请求再运行一次"];
pub const LESSONS: Said = ["Lessons", "课程"];

/// A branch of a solution begins with this step, counted from 1.
pub fn branch(step: usize) -> [String; 2] {
    [
        format!("branch at step {step}:"),
        format!("在第 {step} 步分支："),
    ]
}

/// How far a reader is, and how long a lesson takes.
pub fn progress(solved: usize, all: usize, minutes: u32) -> [String; 2] {
    [
        format!("{solved}/{all} solved  {minutes:>2} min"),
        format!("完成 {solved}/{all}  {minutes:>2} 分钟"),
    ]
}

/// A lesson is about one model, and another one is open.
pub fn lesson_elsewhere(about: &str, open: &str) -> [String; 2] {
    [
        format!("This lesson speaks of {about}; {open} is open."),
        format!("本课讲的是 {about}；现在打开的是 {open}。"),
    ]
}

/// The same of a claim.
pub fn about(about: &str) -> [String; 2] {
    [
        format!("About {about}, and checked when that is open."),
        format!("说的是 {about}，打开它时才检查。"),
    ]
}

/// What a claim comes to with the model that is open.
pub fn claim_here(open: &str, here: &Here) -> [String; 2] {
    match here {
        Here::Holds => [
            format!("With {open} it holds, too."),
            format!("用 {open} 时也成立。"),
        ],
        Here::Fails => [
            format!("With {open} it does not hold."),
            format!("用 {open} 时不成立。"),
        ],
        Here::Is(value) => [
            format!("With {open} it is {value}."),
            format!("用 {open} 时是 {value}。"),
        ],
        Here::Unknown => [
            format!("With {open} it cannot be said."),
            format!("用 {open} 时无法判断。"),
        ],
    }
}

/// An exercise was made for one model, and another one is open.
pub fn exercise_elsewhere(about: &str, open: &str) -> [String; 2] {
    [
        format!("Made for {about}; with {open} it may turn out otherwise."),
        format!("这道题是为 {about} 出的；用 {open} 时，结果可能不同。"),
    ]
}
