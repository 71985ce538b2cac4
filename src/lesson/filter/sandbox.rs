//! Makes a filter harmless, before it is compiled.
//!
//! The language lets a program recurse, repeat and build what it likes. Here a filter is taken apart after it was
//! parsed, and put together again so that
//! - no definition calls itself, so that every chain of calls ends;
//! - every value that any part of it gives is counted, and every value that any part makes is weighed (see
//!   [`Meter`](super::meter::Meter)): nothing goes on for ever, and nothing grows for ever;
//! - what makes a value much larger at once, such as a text times a number, is done by a native filter that refuses.
//!
//! Which filters there are is decided elsewhere: what is not in the library cannot be called.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

/// The native filter that counts a value.
pub const COUNT: &str = "!count";
/// The native filter that weighs a value.
pub const WEIGH: &str = "!weigh";
/// The native filter that lets through what can be a key.
pub const KEY: &str = "!key";
/// The native filter that makes a text of a number, a text, true, false or null.
pub const TEXT: &str = "tostring";
/// The native filter that multiplies.
pub const TIMES: &str = "!times";

/// What a filter must not have: the place in its text, and what is wrong.
pub type Forbidden<'s> = (&'s str, String);

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meaning {
    /// A definition whose body we are in.
    Open,
    /// A definition that is complete.
    Closed,
    /// A parameter of a definition.
    Parameter,
}

#[derive(Debug, Default)]
pub struct Sandbox<'s> {
    /// Names with their number of arguments, the innermost last.
    scope: Vec<(&'s str, usize, Meaning)>,
}

impl<'s> Sandbox<'s> {
    /// `definition`, made harmless.
    pub fn definition(&mut self, definition: Def<&'s str>) -> Result<Def<&'s str>, Forbidden<'s>> {
        let Def { name, args, body } = definition;
        let outside = self.scope.len();
        self.scope.push((name, args.len(), Meaning::Open));
        let parameters = args.iter().map(|name| (*name, 0, Meaning::Parameter));
        self.scope.extend(parameters);
        let body = self.term(body)?;
        self.scope.truncate(outside);
        self.scope.push((name, args.len(), Meaning::Closed));
        Ok(Def { name, args, body })
    }

    fn term(&mut self, term: Term<&'s str>) -> Result<Term<&'s str>, Forbidden<'s>> {
        Ok(match term {
            // What gives one value that is there already costs nothing.
            Term::Id | Term::Num(_) | Term::Var(_) | Term::Break(_) | Term::Arr(None) => term,
            Term::Recurse => then(term, COUNT),
            Term::Str(Some(format), _) => {
                return Err((
                    format,
                    "formats such as @json are not to be had here".into(),
                ));
            }
            Term::Str(None, parts) => {
                let is_plain = !parts.iter().any(|part| matches!(part, StrPart::Term(_)));
                let parts: Result<_, Forbidden<'s>> = parts
                    .into_iter()
                    .map(|part| match part {
                        StrPart::Term(term) => Ok(StrPart::Term(then(self.term(term)?, TEXT))),
                        StrPart::Str(text) => Ok(StrPart::Str(text)),
                        StrPart::Char(c) => Ok(StrPart::Char(c)),
                    })
                    .collect();
                let text = Term::Str(None, parts?);
                if is_plain { text } else { then(text, WEIGH) }
            }
            Term::Arr(Some(items)) => then(Term::Arr(Some(self.boxed(*items)?)), WEIGH),
            Term::Obj(members) => {
                let members: Result<_, Forbidden<'s>> = members
                    .into_iter()
                    .map(|(key, value)| {
                        let value = value.map(|value| self.term(value)).transpose()?;
                        let key = match (key, &value) {
                            // A bare `$x` is key and value in one.
                            (Term::Var(name), None) => Term::Var(name),
                            (key, _) => self.key(key)?,
                        };
                        Ok((key, value))
                    })
                    .collect();
                then(Term::Obj(members?), WEIGH)
            }
            Term::Neg(term) => then(Term::Neg(self.boxed(*term)?), COUNT),
            Term::BinOp(left, operator, right) => self.operation(*left, operator, *right)?,
            Term::Label(name, term) => then(Term::Label(name, self.boxed(*term)?), COUNT),
            Term::Fold(kind, items, pattern, arguments) => {
                let items = self.boxed(*items)?;
                let pattern = self.pattern(pattern)?;
                let arguments = self.terms(arguments)?;
                then(Term::Fold(kind, items, pattern, arguments), COUNT)
            }
            Term::TryCatch(term, catch) => {
                let term = self.boxed(*term)?;
                let catch = catch.map(|catch| self.boxed(*catch)).transpose()?;
                then(Term::TryCatch(term, catch), COUNT)
            }
            Term::IfThenElse(cases, otherwise) => {
                let cases: Result<_, Forbidden<'s>> = cases
                    .into_iter()
                    .map(|(test, then)| Ok((self.term(test)?, self.term(then)?)))
                    .collect();
                let otherwise = otherwise.map(|term| self.boxed(*term)).transpose()?;
                then(Term::IfThenElse(cases?, otherwise), COUNT)
            }
            Term::Def(definitions, term) => {
                let outside = self.scope.len();
                let definitions: Result<_, Forbidden<'s>> = definitions
                    .into_iter()
                    .map(|definition| self.definition(definition))
                    .collect();
                let term = Term::Def(definitions?, self.boxed(*term)?);
                self.scope.truncate(outside);
                term
            }
            Term::Call(name, arguments) => {
                self.check_call(name, arguments.len())?;
                then(Term::Call(name, self.terms(arguments)?), WEIGH)
            }
            Term::Path(term, Path(parts)) => {
                let term = self.boxed(*term)?;
                let is_slice = |(part, _): &(Part<_>, _)| matches!(part, Part::Range(from, to) if from.is_some() || to.is_some());
                let guard = if parts.iter().any(is_slice) {
                    WEIGH
                } else {
                    COUNT
                };
                let parts: Result<_, Forbidden<'s>> = parts
                    .into_iter()
                    .map(|(part, optional)| Ok((self.part(part)?, optional)))
                    .collect();
                then(Term::Path(term, Path(parts?)), guard)
            }
        })
    }

    fn boxed(&mut self, term: Term<&'s str>) -> Result<Box<Term<&'s str>>, Forbidden<'s>> {
        Ok(Box::new(self.term(term)?))
    }

    fn terms(&mut self, terms: Vec<Term<&'s str>>) -> Result<Vec<Term<&'s str>>, Forbidden<'s>> {
        terms.into_iter().map(|term| self.term(term)).collect()
    }

    fn operation(
        &mut self,
        left: Term<&'s str>,
        operator: BinaryOp<&'s str>,
        right: Term<&'s str>,
    ) -> Result<Term<&'s str>, Forbidden<'s>> {
        let left = self.term(left)?;
        if let BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt =
            operator
        {
            let what = "assignments such as = and |= are not to be had here; did you mean ==?";
            return Err(("", what.into()));
        }
        let operator = match operator {
            BinaryOp::Pipe(Some(pattern)) => BinaryOp::Pipe(Some(self.pattern(pattern)?)),
            other => other,
        };
        let right = self.term(right)?;
        Ok(match operator {
            BinaryOp::Math(Math::Mul) => then(Term::Call(TIMES, vec![left, right]), WEIGH),
            BinaryOp::Math(_) => then(operate(left, operator, right), WEIGH),
            // Lists are compared part by part.
            BinaryOp::Cmp(_) => {
                let (left, right) = (weighed(left), weighed(right));
                then(operate(left, operator, right), COUNT)
            }
            _ => then(operate(left, operator, right), COUNT),
        })
    }

    fn pattern(&mut self, pattern: Pattern<&'s str>) -> Result<Pattern<&'s str>, Forbidden<'s>> {
        Ok(match pattern {
            Pattern::Var(name) => Pattern::Var(name),
            Pattern::Arr(items) => {
                let items: Result<_, Forbidden<'s>> =
                    items.into_iter().map(|item| self.pattern(item)).collect();
                Pattern::Arr(items?)
            }
            Pattern::Obj(members) => {
                let members: Result<_, Forbidden<'s>> = members
                    .into_iter()
                    .map(|(key, value)| Ok((self.key(key)?, self.pattern(value)?)))
                    .collect();
                Pattern::Obj(members?)
            }
        })
    }

    fn part(&mut self, part: Part<Term<&'s str>>) -> Result<Part<Term<&'s str>>, Forbidden<'s>> {
        Ok(match part {
            Part::Index(index) => Part::Index(self.key(index)?),
            Part::Range(from, to) => {
                let from = from.map(|from| self.key(from)).transpose()?;
                let to = to.map(|to| self.key(to)).transpose()?;
                Part::Range(from, to)
            }
        })
    }

    /// A key: of an object a text, of a list a number. A list as a key would search through a list for a list.
    fn key(&mut self, key: Term<&'s str>) -> Result<Term<&'s str>, Forbidden<'s>> {
        let key = self.term(key)?;
        Ok(match key {
            Term::Num(_) | Term::Str(..) => key,
            key => then(key, KEY),
        })
    }

    fn check_call(&self, name: &'s str, arguments: usize) -> Result<(), Forbidden<'s>> {
        let meant = self
            .scope
            .iter()
            .rev()
            .find(|(known, count, _)| (*known, *count) == (name, arguments));
        match meant {
            Some((_, _, Meaning::Open)) => Err((
                name,
                format!("the definition of `{name}` calls itself, which is not to be had here"),
            )),
            _ => Ok(()),
        }
    }
}

/// `term | filter`.
fn then<'s>(term: Term<&'s str>, filter: &'static str) -> Term<&'s str> {
    operate(term, BinaryOp::Pipe(None), Term::Call(filter, Vec::new()))
}

fn operate<'s>(
    left: Term<&'s str>,
    operator: BinaryOp<&'s str>,
    right: Term<&'s str>,
) -> Term<&'s str> {
    Term::BinOp(Box::new(left), operator, Box::new(right))
}

/// What is not a plain number or text could be large.
fn weighed(term: Term<&str>) -> Term<&str> {
    match term {
        Term::Num(_) | Term::Str(..) => term,
        term => then(term, WEIGH),
    }
}
