//! Which key does what, a table for each thing that one is at.

use crossterm::event::KeyCode::{
    self, BackTab, Char, Delete, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab,
    Up,
};

use super::{Binding, Group};
use crate::lesson::Said;
use crate::tui::state::action::{Action, Typing};
use crate::tui::state::lesson::OpenLesson;
use crate::tui::state::{App, Cursor, View};

const fn key(
    keys: &'static str,
    group: Group,
    label: Said,
    works: fn(&App, View) -> bool,
    dispatch: &'static [(KeyCode, Action)],
    sentence: Said,
) -> Binding {
    Binding {
        keys,
        group,
        label,
        sentence,
        works,
        dispatch,
    }
}

/// A key of a table that is there only while one is at what the table is for.
const fn here(
    keys: &'static str,
    label: Said,
    dispatch: &'static [(KeyCode, Action)],
    sentence: Said,
) -> Binding {
    key(keys, Group::Here, label, always, dispatch, sentence)
}

fn always(_: &App, _: View) -> bool {
    true
}

fn has_others(app: &App, _: View) -> bool {
    !app.runs.others.is_empty()
}

fn has_run(app: &App, _: View) -> bool {
    app.run().is_some()
}

fn goes_through_steps(app: &App, _: View) -> bool {
    app.has_steps() || app.can_continue()
}

const UP_DOWN: &[(KeyCode, Action)] = &[(Up, Action::Up), (Down, Action::Down)];
const LEAVE: Said = ["leave everything as it was", "一切照旧"];

// The tables are laid out by hand, a binding in a few lines: keys, what for, label, when they work, actions, sentence.

/// Keys while looking around, the most needed ones first: where the footer is short, the last ones go.
#[rustfmt::skip]
pub const BROWSE: &[Binding] = &[
    key("←→", Group::Walk, ["step", "步"], goes_through_steps,
        &[(Left, Action::StepBack), (Right, Action::StepForward)],
        ["one denoising step back or forward; at the newest step of a paused run, make the next one",
         "后退或前进一个去噪步；运行暂停在最新一步时，再做一步"]),
    key("↑↓", Group::Look, ["select", "选择"], |app, view| app.shows(view, Cursor::can_select), UP_DOWN,
        ["select in this view: a token, a layer, a channel, a tensor", "在本视图里选择：词元、层、通道、张量"]),
    key("[]", Group::Look, ["token", "词元"], |app, view| app.shows(view, Cursor::shows_tokens),
        &[(Char('['), Action::PreviousToken), (Char(']'), Action::NextToken)],
        ["the token before or after", "上一个或下一个词元"]),
    key("v", Group::Look, ["switch", "切换"], |app, view| app.shows(view, Cursor::can_switch),
        &[(Char('v'), Action::Switch)],
        ["what else this view can show: the negative prompt, an embedding's token and position part, noise times \
          sigma, another curve; what the picture loses with each word; a picture from every layer of the text encoder; \
          guidance as arrows, the way through latent space; every step or run as a sheet; attention maps of every word, \
          or of the selected one at every step, in every layer or head; all heads; self-attention; a product by hand",
         "本视图还能显示的内容：负面提示词、嵌入的词元部分与位置部分、噪声乘以 sigma、另一条曲线；\
          去掉每个词后图片的变化；文本编码器每一层的图；引导的箭头、潜空间里的路径；每一步或每个运行排成一张；\
          每个词的注意力小图，或所选的词在每一步、每一层、每个头的小图；所有的头；自注意力；手算"]),
    key("z", Group::Look, ["figure", "指标"],
        |app, view| app.shows(view, |cursor, run| cursor.shows_matrix(run) || cursor.shows_effects()),
        &[(Char('z'), Action::SwitchMeasure)],
        ["of every head in the matrix another figure: the entropy, the share of the selected token, of start, of end, \
          of padding; what words are sorted by: the prompt's order, their share of attention, what the picture loses \
          without them",
         "矩阵里每个头的另一个指标：熵，所选词元、开头、结尾或填充的份额；词的排序：按提示词的顺序、注意力的份额、\
          去掉后图片的变化"]),
    key("o", Group::Look, ["overlay", "叠加"], |app, view| app.shows(view, Cursor::shows_schedule),
        &[(Char('o'), Action::NextSchedule)],
        ["lay another scheduler's schedule over this run's: one after the other, then none",
         "把另一个采样器的噪声调度叠在本次运行的上面：一个接一个，最后没有"]),
    key("-+", Group::Look, ["less/more", "少/多"], |app, view| app.shows(view, Cursor::can_adjust),
        &[(Char('-'), Action::Less), (Char('+'), Action::More), (Char('='), Action::More)],
        ["fewer or more steps for the schedule that lies over this run's; an attention map that covers the picture \
          less or more",
         "叠加的噪声调度用更少或更多的步数；注意力图盖住图片的程度"]),
    key("a", Group::Look, ["axis", "坐标轴"], |app, view| app.shows(view, Cursor::shows_schedule),
        &[(Char('a'), Action::SwitchAxis)],
        ["the schedule's axis: linear or logarithmic", "噪声调度的坐标轴：线性或对数"]),
    key("w", Group::Change, ["weight", "权重"], App::can_weigh, &[(Char('w'), Action::Weight)],
        ["what if the picture attended more or less to the selected word (a factor, 0 to 100), or to another word \
          in its place",
         "如果图片更多或更少地关注所选的词（倍数，0 到 100），或改为关注另一个词，会怎样"]),
    key("x", Group::Look, ["place", "位置"], App::shows_attention, &[(Char('x'), Action::Place)],
        ["move over the picture and see what that place attends to, or over all heads",
         "在图片上移动，看那个位置关注什么；或在所有的头上移动"]),
    key("h", Group::Look, ["head", "头"], |app, view| app.shows(view, Cursor::has_heads),
        &[(Char('h'), Action::NextHead)],
        ["another attention head: the mean of all, then one after the other; the UNet's are computed anew from the \
          step's latents",
         "另一个注意力头：先是所有头的平均，然后逐个；UNet 的头由这一步的潜变量重新算出"]),
    key("u", Group::Look, ["half", "哪一半"], App::shows_attention, &[(Char('u'), Action::OtherHalf)],
        ["attention without the prompt (the unconditional half of guidance, computed anew), or with it",
         "没有提示词时的注意力（引导的无条件一半，重新算出），或有提示词时的"]),
    key("tab", Group::Walk, ["stage", "阶段"], always, &[(Tab, Action::NextView), (BackTab, Action::PreviousView)],
        ["the next stage; shift-tab the one before", "下一个阶段；shift-tab 上一个"]),
    key("space", Group::Walk, ["play", "播放"],
        |app, _| app.is_running() || app.can_continue() || app.newest() > Some(0) || app.has_series(),
        &[(Char(' '), Action::PlayPause)],
        ["pause the run or let it go on; when it is done, play it back. Where pictures of its words or layers are shown, \
          make them, or stop",
         "暂停运行或让它继续；完成后从头播放。在显示各词或各层图片的地方，开始或停止生成它们"]),
    key("c", Group::Change, ["cancel", "中止"],
        |app, _| app.is_running() || app.is_looking() || app.variants.is_going(), &[(Char('c'), Action::Cancel)],
        ["stop a run that goes on at once; what was done is kept, and space goes on from there. Stop looking closer at \
          a step, where that takes long",
         "立刻停下正在进行的运行；已做的保留，按空格从那里继续。细看一步太久时，不再看"]),
    key("p", Group::Change, ["prompt", "提示词"], |app, _| app.can_edit(), &[(Char('p'), Action::Edit)],
        ["edit prompt, negative prompt, seed, steps, guidance, scheduler and model, and run again",
         "编辑提示词、负面提示词、种子、步数、引导、采样器和模型，再运行"]),
    key("b", Group::Change, ["branch", "分支"], |app, _| app.can_branch(), &[(Char('b'), Action::Branch)],
        ["what if: go on from before this step with another prompt, guidance, scheduler or seed",
         "如果：从这一步之前，用另外的提示词、引导、采样器或种子继续"]),
    key("t", Group::Keep, ["runs", "运行"], has_others, &[(Char('t'), Action::Runs)],
        ["the runs of this session, with their branches as a tree: look at another one, put it beside this one, \
          delete it",
         "本次会话的所有运行，分支画成树：查看另一个，放在一旁比较，或删除"]),
    key("y", Group::Keep, ["compare", "比较"], has_others, &[(Char('y'), Action::Compare)],
        ["another run beside this one, with their difference; a branch beside what it left",
         "把另一个运行放在旁边，显示差别；分支放在它离开的运行旁边"]),
    key("W", Group::Look, ["watch", "监视"], has_run, &[(Char('W'), Action::Watches)],
        ["watch expressions: filters with their value at every step, and breakpoints: a run waits where they are true",
         "监视表达式：过滤器和它在每一步的值；以及断点，在它为真的地方停下运行"]),
    key("i", Group::Learn, ["explain", "解释"], |app, _| !app.is_reading(), &[(Char('i'), Action::Explain)],
        ["explain this view: the idea, the mechanism, the formulas with their sources",
         "解释本视图：直觉、机制、公式和出处"]),
    key("d", Group::Look, ["decode", "解码"], |app, view| app.can_branch() && view.shows_pictures(),
        &[(Char('d'), Action::Decode)],
        ["show predicted pictures decoded by the autoencoder instead of the quick preview, or the preview again",
         "用自编码器解码预测的图片，代替快速预览，或换回预览"]),
    key("e", Group::Keep, ["export", "导出"],
        |app, view| app.shows(view, |_, run| run.newest().is_some() || run.trace.text.is_some()),
        &[(Char('e'), Action::Export)],
        ["write what this view shows to a file, under a name and in a place of your choice: a tensor, the step or \
          the whole run as JSON, a map or picture as PNG, a word's attention over the steps as GIF",
         "把本视图的内容写入文件，名字和位置自选：张量、这一步或整个运行为 JSON，图为 PNG，\
          一个词在各步的注意力为 GIF"]),
    key("s", Group::Keep, ["save", "保存"], |app, _| app.can_save(), &[(Char('s'), Action::Save)],
        ["save the picture as a PNG file in the current folder", "把图片存为当前文件夹里的 PNG 文件"]),
    key("r", Group::Change, ["run again", "再运行"], |app, _| app.can_run_again(), &[(Char('r'), Action::Run)],
        ["run the same request again from its first stage", "同样的请求从第一个阶段再运行一次"]),
    key("g", Group::Walk, ["go to", "跳到"], goes_through_steps, &[(Char('g'), Action::Jump)],
        ["go to a step by its number; a paused run goes on until it is done", "按编号跳到一步；暂停的运行会继续到那一步"]),
    key("home end", Group::Walk, ["first/last", "首/末"], |app, _| app.has_steps(),
        &[(Home, Action::FirstStep), (End, Action::LastStep)],
        ["the first step; the newest step, following the run from there", "第一步；最新一步，并从那里跟随运行"]),
    key("1-9", Group::Walk, ["stage", "阶段"], always,
        &[(Char('1'), Action::Show(View::Prompt)), (Char('2'), Action::Show(View::Tokens)),
          (Char('3'), Action::Show(View::Embedding)), (Char('4'), Action::Show(View::TextEncoder)),
          (Char('5'), Action::Show(View::Noise)), (Char('6'), Action::Show(View::Schedule)),
          (Char('7'), Action::Show(View::Denoising)), (Char('8'), Action::Show(View::Attention)),
          (Char('9'), Action::Show(View::Image))],
        ["a stage by its number", "按编号选择阶段"]),
    key("enter", Group::Change, ["open", "打开"],
        |app, view| view == View::Prompt && app.can_edit() || app.shows(view, Cursor::shows_matrix),
        &[(Enter, Action::Choose)],
        ["edit the selected field of the request; in the matrix of heads, the maps of the selected head",
         "编辑请求里所选的一项；在所有头的矩阵里，打开所选的头的图"]),
    key("esc", Group::Program, ["close", "关闭"],
        |app, _| app.notice.is_some() || app.explain.is_some() || app.runs.compared().is_some() || app.is_head_open(),
        &[(Esc, Action::Dismiss)],
        ["close a message, the explanation, the comparison; from a head back to the matrix that it was opened in",
         "关闭消息、解释或比较；从一个头回到打开它的矩阵"]),
    key("m", Group::Program, ["mouse", "鼠标"], always, &[(Char('m'), Action::Mouse)],
        ["give the mouse to the terminal, to select text with it, or take it back",
         "把鼠标交给终端，用来选取文字，或收回"]),
    #[cfg(unix)]
    key("ctrl-z", Group::Program, ["suspend", "挂起"], always, &[],
        ["put the program to sleep; the shell's fg brings it back", "让程序睡眠；在 shell 里用 fg 唤回"]),
];

/// Keys of stepping into a network and walking in it: they come before those of looking around.
#[rustfmt::skip]
pub const NETWORK: &[Binding] = &[
    key("enter", Group::Walk, ["into", "进入"], App::can_step_into, &[(Enter, Action::Into)],
        ["into the network of this stage: the UNet from Denoising, a layer of the text encoder, the decoder from Image; \
          then into a module's lines, and from attention to the prompt to the stage Attention",
         "进入本阶段的网络：从“去噪”进入 UNet，从“文本编码器”进入所选的层，从“图片”进入解码器；\
          再进入一个模块的各行；从对提示词的注意力进入“注意力”阶段"]),
    key("esc", Group::Walk, ["out", "出去"],
        |app, view| app.is_inside(view) && !app.has_something_to_close(), &[(Esc, Action::Out)],
        ["out of the module or the network again, one depth", "退出模块或网络，一次一层"]),
    key("↑↓", Group::Walk, ["module", "模块"], App::is_inside, UP_DOWN,
        ["the module before or after, in the order of a forward pass; within a module, its lines",
         "上一个或下一个模块，按前向传播的顺序；在模块里是它的各行"]),
    key("[]", Group::Walk, ["block", "块"], App::is_inside,
        &[(Char('['), Action::PreviousToken), (Char(']'), Action::NextToken)],
        ["the block before or after; within a module, the module before or after that has lines",
         "上一块或下一块；在模块里，上一个或下一个有各行的模块"]),
    key("v", Group::Look, ["features", "特征"], App::is_inside, &[(Char('v'), Action::Switch)],
        ["features as three principal components in colour, as one channel, or as their norm at each place",
         "特征画成三个主成分的颜色、单个通道，或每个位置的范数"]),
    key("-+", Group::Look, ["channel", "通道"], App::is_inside,
        &[(Char('-'), Action::Less), (Char('+'), Action::More), (Char('='), Action::More)],
        ["the channel before or after", "上一个或下一个通道"]),
    key("P", Group::Change, ["patch", "改模块"], |app, _| app.can_patch(), &[(Char('P'), Action::Patch)],
        ["what if this module's output were off, or multiplied: runs it so from the first step on, beside the run as it was",
         "如果关闭这个模块的输出，或乘以一个数，会怎样：从第一步起这样运行，放在原来的运行旁边"]),
    key("u", Group::Look, ["half", "哪一半"], App::is_inside, &[(Char('u'), Action::OtherHalf)],
        ["the half of guidance without the prompt, or with it; of the text encoder, the negative prompt",
         "引导中没有提示词的一半，或有提示词的一半；在文本编码器里是负面提示词"]),
    key("c", Group::Change, ["cancel", "中止"], |app, _| app.is_probing() && !app.is_running(),
        &[(Char('c'), Action::Cancel)],
        ["stop looking into the network, where that takes long", "不再查看网络内部（需要很久时）"]),
];

/// Keys of a lesson that is being read: they come before those of looking around, and stand at the bottom of its pane.
#[rustfmt::skip]
pub const LESSON: &[Binding] = &[
    key("n", Group::Learn, ["next", "下一页"], |app, _| reading(app, OpenLesson::has_next),
        &[(Char('n'), Action::NextPage)],
        ["the next page; N the page before", "下一页；N 上一页"]),
    key("N", Group::Learn, ["back", "上一页"], |app, _| reading(app, |reading| reading.page > 0),
        &[(Char('N'), Action::PreviousPage)],
        ["the page before", "上一页"]),
    key("k", Group::Learn, ["answer", "回答"],
        |app, _| reading(app, |reading| reading.is_open() && reading.is_question()),
        &[(Char('k'), Action::Check)],
        ["answer the question", "回答问题"]),
    key("k", Group::Learn, ["check", "检查"],
        |app, _| reading(app, |reading| reading.is_open() && !reading.is_question()),
        &[(Char('k'), Action::Check)],
        ["is the task done? It is looked after by itself, too", "任务完成了吗？不按也会自动检查"]),
    key("H", Group::Learn, ["hint", "提示"], |app, _| reading(app, OpenLesson::has_hints),
        &[(Char('H'), Action::Hint)],
        ["a hint, and then another one", "一个提示，然后再一个"]),
    key("S", Group::Learn, ["solution", "答案"],
        |app, _| reading(app, |reading| reading.is_open() && !reading.solution),
        &[(Char('S'), Action::Solution)],
        ["show the solution, and do it", "显示答案，并照着做"]),
    key("i", Group::Learn, ["deeper", "深入"], |app, _| app.is_reading(), &[(Char('i'), Action::Depth)],
        ["the page at another depth: idea, mechanism, mathematics", "换一个深度读本页：直觉、机制、数学"]),
    key("f", Group::Learn, ["fold", "收起"], |app, _| app.is_reading(), &[(Char('f'), Action::Fold)],
        ["fold the lesson away, to see the view in full, or unfold it", "收起课程，完整地看视图，或展开"]),
    key("R", Group::Learn, ["reset", "重来"], |app, _| app.is_reading(), &[(Char('R'), Action::Reset)],
        ["open the page anew: its run and its place, and the exercise from the start",
         "重新打开本页：它的运行、位置和练习"]),
    key("L", Group::Learn, ["leave", "离开"], |app, _| app.is_reading(), &[(Char('L'), Action::LeaveLesson)],
        ["close the lesson; it goes on at this page another time", "关闭课程；下次从本页继续"]),
    key("pgdn", Group::Learn, ["scroll", "滚动"], |app, _| app.is_reading(),
        &[(PageDown, Action::ScrollDown), (PageUp, Action::ScrollUp)],
        ["further down in the page; page-up further up", "页内向下；pgup 向上"]),
];

fn reading(app: &App, test: impl Fn(&OpenLesson) -> bool) -> bool {
    app.lesson.open.as_ref().is_some_and(test)
}

/// Keys that stand at the right end of the footer, at every width; the first one while looking around only.
#[rustfmt::skip]
pub const ALWAYS: &[Binding] = &[
    key("l", Group::Learn, ["lesson", "课程"], |app, _| !app.recorded,
        &[(Char('l'), Action::Lessons)],
        ["the lessons: choose one, and read it beside the run", "课程：选一课，在运行旁边阅读"]),
    key("?", Group::Program, ["keys", "按键"], always,
        &[(Char('?'), Action::Help)], ["show or hide this list", "显示或关闭本列表"]),
    key("q", Group::Program, ["quit", "退出"], always,
        &[(Char('q'), Action::Quit)],
        ["leave; it asks first where runs would be lost. ctrl-c does so too, and twice it always leaves",
         "退出；有运行会丢失时先询问。ctrl-c 也一样，按两次总会退出"]),
];

/// What the mouse does. Nothing here is a key.
#[rustfmt::skip]
pub const MOUSE: &[Binding] = &[
    key("click", Group::Mouse, ["select", "选择"], |app, _| app.mouse, &[],
        ["a stage at the left, a step on the line at the bottom, a place of the attention's picture",
         "左边的阶段，底部线上的一步，注意力图片上的位置"]),
    key("wheel", Group::Mouse, ["move", "移动"], |app, _| app.mouse, &[], ["as ↑ and ↓ do", "同 ↑ 和 ↓"]),
    key("shift", Group::Mouse, ["select text", "选取文字"], always, &[],
        ["to select and copy text, hold shift while dragging (in iTerm2 option, in Apple's Terminal fn); or press m, \
          and the mouse is the terminal's alone",
         "要选取并复制文字，按住 shift 再拖动（iTerm2 用 option，Apple 的“终端”用 fn）；或按 m，把鼠标完全交给终端"]),
];

/// Out of what is typed; the keys that always work are letters there, and do not.
const BACK: Binding = here("esc", ["back", "返回"], &[(Esc, Action::Dismiss)], LEAVE);
const CLEAR: Binding = here(
    "ctrl-u",
    ["clear", "清除"],
    &[],
    [
        "delete everything before the cursor; ctrl-w deletes a word",
        "删除光标前的全部内容；ctrl-w 删除一个词",
    ],
);
const MOVE: Binding = here(
    "←→",
    ["move", "移动"],
    &[],
    ["move in the text", "在文字里移动"],
);

#[rustfmt::skip]
pub const EDIT: &[Binding] = &[
    here("enter", ["run", "运行"], &[(Enter, Action::Type(Typing::Submit))],
        ["run what the form says", "按表单运行"]),
    here("tab ↑↓", ["field", "换项"],
        &[(Tab, Action::Type(Typing::NextField)), (BackTab, Action::Type(Typing::PreviousField)),
          (Down, Action::Type(Typing::NextField)), (Up, Action::Type(Typing::PreviousField))],
        ["the next or the previous field", "下一项或上一项"]),
    here("←→", ["move", "移动"], &[], ["move in the text; choose the scheduler", "在文字里移动；选择采样器"]),
    CLEAR,
    BACK,
];

#[rustfmt::skip]
pub const JUMP: &[Binding] = &[
    here("enter", ["go", "跳到"], &[(Enter, Action::Type(Typing::Submit))], ["go there", "跳到那里"]),
    BACK,
];

#[rustfmt::skip]
pub const WEIGHT: &[Binding] = &[
    here("0.5 2", ["factor", "倍数"], &[],
        ["the word's attention is multiplied by this, 0 to 100", "该词的注意力乘以这个数，0 到 100"]),
    here("abc", ["swap", "交换"], &[],
        ["another word of the prompt: the two change places", "提示词里的另一个词：两者交换"]),
    here("enter", ["run", "运行"], &[(Enter, Action::Type(Typing::Submit))],
        ["run it so from the first step on, beside the run as it was", "这样从第一步起运行，放在原来的运行旁边"]),
    BACK,
];

#[rustfmt::skip]
pub const PATCH: &[Binding] = &[
    here("off", ["off", "关闭"], &[], ["the module gives zeros", "模块输出零"]),
    here("0.5 2", ["factor", "倍数"], &[],
        ["its output is multiplied by this, -100 to 100; by 1 it is as it was", "它的输出乘以这个数，-100 到 100；1 就是原样"]),
    here("enter", ["run", "运行"], &[(Enter, Action::Type(Typing::Submit))],
        ["run it so from the first step on, beside the run as it was", "这样从第一步起运行，放在原来的运行旁边"]),
    BACK,
];

#[rustfmt::skip]
pub const RUNS: &[Binding] = &[
    here("↑↓", ["select", "选择"], UP_DOWN, ["the run before or after", "上一个或下一个运行"]),
    here("enter", ["look at it", "查看"], &[(Enter, Action::Choose)], ["put it on the screen", "放到屏幕上"]),
    here("y", ["compare", "比较"], &[(Char('y'), Action::Compare)],
        ["put it beside the one on the screen, or take it away", "放在屏幕上的运行旁边，或拿走"]),
    here("d", ["delete", "删除"], &[(Char('d'), Action::Delete), (Delete, Action::Delete)],
        ["delete it, and free its memory; where nothing of it was saved, d once more", 
         "删除它，释放内存；没有保存过的，再按一次 d"]),
    here("esc", ["back", "返回"], &[(Esc, Action::Dismiss), (Char('t'), Action::Runs)], LEAVE),
];

#[rustfmt::skip]
pub const EXPORT: &[Binding] = &[
    here("↑↓", ["select", "选择"], UP_DOWN, ["the offer before or after", "上一项或下一项"]),
    here("enter", ["write it", "写入"], &[(Enter, Action::Choose)],
        ["go on to its name and place", "接着选择名字和位置"]),
    here("esc", ["back", "返回"], &[(Esc, Action::Dismiss), (Char('e'), Action::Export)],
        ["write nothing", "什么也不写"]),
];

#[rustfmt::skip]
pub const DESTINATION: &[Binding] = &[
    here("enter", ["write", "写入"], &[(Enter, Action::Type(Typing::Submit))],
        ["write the file; one that is there is left alone, and the new one gets a number",
         "写入文件；已有的文件不动，新文件加上编号"]),
    MOVE,
    CLEAR,
    here("esc", ["back", "返回"], &[(Esc, Action::Dismiss)], ["back to what can be written", "回到可以写入的内容"]),
];

#[rustfmt::skip]
pub const WATCHES: &[Binding] = &[
    here("↑↓", ["select", "选择"], UP_DOWN, ["the expression before or after", "上一个或下一个表达式"]),
    here("n", ["new", "新建"], &[(Char('n'), Action::Edit)],
        ["watch another one: a filter in the language of jq over run.json, as far as the run has come",
         "监视另一个表达式：用 jq 的语言写的过滤器，作用于到目前为止的 run.json"]),
    here("b", ["breakpoint", "断点"], &[(Char('b'), Action::Break)],
        ["stop runs after the step at which it is true, or no longer", "在它为真的那一步之后停下运行，或不再停下"]),
    here("d", ["delete", "删除"], &[(Char('d'), Action::Delete), (Delete, Action::Delete)],
        ["watch it no longer", "不再监视"]),
    here("esc", ["close", "关闭"], &[(Esc, Action::Dismiss), (Char('W'), Action::Watches)],
        ["close the list; they stay", "关闭列表；表达式保留"]),
];

#[rustfmt::skip]
pub const WATCH: &[Binding] = &[
    here("enter", ["watch it", "监视"], &[(Enter, Action::Type(Typing::Submit))],
        ["ask it about every step, also of what was run already", "对每一步提问，包括已经运行的"]),
    MOVE,
    CLEAR,
    BACK,
];

#[rustfmt::skip]
pub const LESSONS: &[Binding] = &[
    here("↑↓", ["select", "选择"], UP_DOWN, ["the lesson before or after", "上一课或下一课"]),
    here("enter", ["begin", "开始"], &[(Enter, Action::Choose)], ["read it, from where it was left", "从上次的地方开始读"]),
    here("v", ["language", "语言"], &[(Char('v'), Action::Switch)],
        ["the lessons, and the words of keys and messages, in the other language", "课程、按键和消息换成另一种语言"]),
    here("esc", ["back", "返回"], &[(Esc, Action::Dismiss), (Char('l'), Action::Lessons)], LEAVE),
];

#[rustfmt::skip]
pub const ANSWER: &[Binding] = &[
    here("enter", ["answer", "回答"], &[(Enter, Action::Type(Typing::Submit))], ["that is the answer", "这就是答案"]),
    MOVE,
    here("esc", ["back", "返回"], &[(Esc, Action::Dismiss)], ["answer later", "以后再答"]),
];

#[rustfmt::skip]
pub const PLACE: &[Binding] = &[
    here("←→↑↓", ["move", "移动"],
        &[(Left, Action::StepBack), (Right, Action::StepForward), (Up, Action::Up), (Down, Action::Down)],
        ["move over the picture, or over the matrix of heads", "在图片上移动，或在所有头的矩阵里移动"]),
    here("v", ["switch", "切换"], &[(Char('v'), Action::Switch)],
        ["what the place attends to: words, the picture itself, one word by hand; the matrix of heads",
         "这个位置关注什么：词、图片自己、手算一个词；所有头的矩阵"]),
    here("z", ["figure", "指标"], &[(Char('z'), Action::SwitchMeasure)],
        ["another figure in the matrix of heads", "矩阵里的另一个指标"]),
    here("[]", ["token", "词元"], &[(Char('['), Action::PreviousToken), (Char(']'), Action::NextToken)],
        ["the token before or after", "上一个或下一个词元"]),
    here("h", ["head", "头"], &[(Char('h'), Action::NextHead)], ["another attention head", "另一个注意力头"]),
    here("u", ["half", "哪一半"], &[(Char('u'), Action::OtherHalf)],
        ["attention without the prompt, or with it", "没有提示词时的注意力，或有提示词时的"]),
    here("enter", ["open", "打开"], &[(Enter, Action::Choose)],
        ["the maps of the head that is selected in the matrix; elsewhere, stop moving", "矩阵里所选的头的图；在别处，停止移动"]),
    here("esc", ["done", "完成"],
        &[(Esc, Action::Dismiss), (Char('x'), Action::Place), (Tab, Action::NextView),
          (BackTab, Action::PreviousView), (Char(' '), Action::PlayPause)],
        ["stop moving over the picture", "不再在图片上移动"]),
];

#[rustfmt::skip]
pub const HELP: &[Binding] = &[
    here("↑↓", ["line", "行"], UP_DOWN, ["a line up or down", "上一行或下一行"]),
    here("pgup pgdn", ["page", "页"],
        &[(PageUp, Action::ScrollUp), (PageDown, Action::ScrollDown), (Char(' '), Action::ScrollDown)],
        ["a page up or down; space goes down, too", "上一页或下一页；空格也向下"]),
    here("/", ["search", "搜索"], &[(Char('/'), Action::Search)],
        ["only keys that have something to do with a word", "只看与一个词有关的按键"]),
    here("esc", ["close", "关闭"], &[(Esc, Action::Dismiss)], ["close the help", "关闭帮助"]),
    here("home end", ["top/end", "首/末"], &[(Home, Action::FirstStep), (End, Action::LastStep)],
        ["the beginning or the end of the list", "列表的开头或末尾"]),
];

#[rustfmt::skip]
pub const SEARCH: &[Binding] = &[
    here("enter", ["done", "完成"], &[(Enter, Action::Type(Typing::Submit))],
        ["keep what was found, and scroll in it", "保留找到的内容，在其中滚动"]),
    here("↑↓", ["line", "行"], UP_DOWN, ["a line up or down", "上一行或下一行"]),
    here("esc", ["all keys", "全部按键"], &[(Esc, Action::Dismiss)], ["show all keys again", "重新显示全部按键"]),
];

#[rustfmt::skip]
pub const QUIT: &[Binding] = &[
    here("q", ["quit", "退出"], &[(Char('q'), Action::Quit), (Char('y'), Action::Quit)],
        ["quit, and lose them", "退出，不再保留"]),
    here("t", ["runs", "运行"], &[(Char('t'), Action::Runs)], ["look at the runs", "查看这些运行"]),
    here("esc", ["stay", "留下"], &[(Esc, Action::Dismiss), (Char('n'), Action::Dismiss)], LEAVE),
];
