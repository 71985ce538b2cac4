//! What became of a claim or an exercise.

/// How a claim or an exercise stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It is not known yet; an exercise is to be done.
    Open,
    /// It holds; it is solved.
    Good,
    /// An exercise that was solved in an earlier session.
    Before,
    /// A claim that does not hold: why.
    Bad(String),
    /// A claim about another model than the one that is open.
    Elsewhere(Here),
}

/// What a claim about another model comes to with the one that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Here {
    Holds,
    Fails,
    /// What it speaks of is this.
    Is(String),
    /// It cannot be said.
    Unknown,
}
