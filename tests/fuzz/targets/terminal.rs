//! What a terminal sends.

use std::time::{Duration, Instant};

use super::facts::Facts;
use super::input::Input;
use super::parser::Parser;

/// Bytes from a terminal, keys, pasted text and replies: at once, and one by one. How they are cut may change what they mean (an
/// escape alone is a key), and nothing else: nothing is waited for without end, and what comes out does not outgrow them.
pub(crate) fn replies(data: &[u8]) {
    let now = Instant::now();
    let mut whole = Parser::default();
    whole.feed(data, now);
    let mut single = Parser::default();
    for byte in data {
        single.feed(std::slice::from_ref(byte), now);
    }
    let mut facts = Facts::new(now);
    for mut parser in [whole, single] {
        parser.expire(now + Duration::from_mins(1));
        assert_eq!(
            parser.deadline(),
            None,
            "something is waited for without end"
        );
        let mut taken = 0;
        while let Some(input) = parser.next() {
            taken += match input {
                // A byte that is no text becomes a character of three.
                Input::Paste(text) => text.len().div_ceil(3),
                Input::Key(_) | Input::Mouse(_) => 1,
                Input::Reply(reply) => {
                    let _ = facts.take(reply, (80, 24));
                    let _ = facts.limits((80, 24));
                    1
                }
            };
        }
        assert!(taken <= data.len(), "{taken} of {} bytes", data.len());
    }
}
