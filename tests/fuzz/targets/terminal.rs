//! What a terminal sends.

use std::time::{Duration, Instant};

use super::facts::Facts;
use super::input::Input;
use super::parser::Parser;

/// Bytes from a terminal: keys, pasted text and replies. The same whether they come at once or one by one, and every reply is
/// taken in.
pub(crate) fn replies(data: &[u8]) {
    let now = Instant::now();
    let mut whole = Parser::default();
    whole.feed(data, now);
    let mut single = Parser::default();
    for byte in data {
        single.feed(std::slice::from_ref(byte), now);
    }
    let later = now + Duration::from_secs(60);
    let mut facts = Facts::new(now);
    for parser in [&mut whole, &mut single] {
        parser.expire(later);
        assert_eq!(
            parser.deadline(),
            None,
            "something is waited for without end"
        );
    }
    loop {
        let (input, same) = (whole.next(), single.next());
        assert_eq!(input, same);
        match input {
            Some(Input::Reply(reply)) => {
                let _ = facts.take(reply, (80, 24));
                let _ = facts.limits((80, 24));
            }
            Some(Input::Paste(text)) => assert!(text.len() <= 3 * data.len(), "grown by pasting"),
            Some(Input::Key(_) | Input::Mouse(_)) => {}
            None => return,
        }
    }
}
