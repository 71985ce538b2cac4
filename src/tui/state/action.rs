//! What a user can do, independent of the key that does it.

use std::time::Duration;

use crate::lesson::View;

/// One thing to do. Keys become actions in `keys`; [`super::App::update`] carries them out.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Leave the program; where runs would be lost, only when it is asked for twice.
    Quit,
    /// Put the program to sleep (`SIGTSTP`), as shells do on ctrl-z.
    Suspend,
    /// Show or hide the overlay with every key.
    Help,
    /// Show only those keys of it that have to do with a word.
    Search,
    /// Close what lies over the view: help, an error, the editor.
    Dismiss,
    NextView,
    PreviousView,
    Show(View),
    StepBack,
    /// One denoising step forward; makes the next one if the run is paused at the newest.
    StepForward,
    FirstStep,
    /// To the newest step, and follow the run from there.
    LastStep,
    /// To this step, counted from 0.
    GoTo(usize),
    Jump,
    /// Select what is above: a token, a layer, a channel, a field.
    Up,
    Down,
    /// Into what is selected: the network of the stage, a module, the attention of a line.
    Into,
    /// Out of it again, one depth.
    Out,
    /// Change the output of the selected module of the UNet.
    Patch,
    PreviousToken,
    NextToken,
    /// Another head of the attention layer: mean, 0, 1, …
    NextHead,
    /// Attention of the other half of guidance.
    OtherHalf,
    /// What else the view can show: the negative prompt's tokens, an embedding's parts, another curve, other small
    /// maps.
    Switch,
    /// What the matrix of heads has in its cells; what words are sorted by: their order in the prompt, their attention, what
    /// the picture loses with them.
    SwitchMeasure,
    /// The schedule's axis: linear or logarithmic.
    SwitchAxis,
    /// Lay the next scheduler's schedule over this run's.
    NextSchedule,
    /// Fewer steps for the schedule that lies over this run's; an attention map that covers the picture less.
    Less,
    More,
    /// Change how the picture attends to the selected word.
    Weight,
    /// Move over the picture to see what a place attends to, or stop doing so.
    Place,
    /// To this place of the picture: across and down, each from 0 to 1.
    PlaceAt(f32, f32),
    /// Run on, pause, or play back what was recorded.
    PlayPause,
    Cancel,
    /// Run the request once more, from its first stage.
    Run,
    Edit,
    /// Leave the run before the step that is looked at, with a request of its own.
    Branch,
    /// Show the runs of this session, or close them.
    Runs,
    /// Take what is selected in a list.
    Choose,
    /// Put another run beside the one on the screen, or take it away.
    Compare,
    /// Forget a run, and free its memory.
    Delete,
    /// Show the watch expressions, or close them.
    Watches,
    /// Make a watch expression a breakpoint, or an ordinary one again.
    Break,
    /// Explain the view: deeper each time, and then no more.
    Explain,
    /// Show the lessons, or close their list.
    Lessons,
    NextPage,
    PreviousPage,
    ScrollDown,
    ScrollUp,
    /// Ask whether the task is done, or for the answer to the question.
    Check,
    Hint,
    /// Show the solution, and do it.
    Solution,
    Reset,
    /// The lesson's prose, deeper; the surface again after the deepest.
    Depth,
    /// Fold the lesson's pane away, or unfold it.
    Fold,
    LeaveLesson,
    Mouse,
    /// Decode the predicted x0 of each visited step with the autoencoder, or stop doing so.
    Decode,
    Save,
    /// Show what can be written to a file from this view, or close the list.
    Export,
    /// Type into the field that has the cursor.
    Type(Typing),
    /// Time passed: so much since the start.
    Tick(Duration),
}

/// What can be done to a line of text, and to a form of such lines.
#[derive(Debug, Clone, PartialEq)]
pub enum Typing {
    Insert(String),
    Backspace,
    Delete,
    DeleteWord,
    DeleteToStart,
    /// One character to the left; the choice before.
    Left,
    Right,
    Start,
    End,
    NextField,
    PreviousField,
    Submit,
}
