//! Recorded byte streams of terminals, cut at every place: no reply is ever a key, and every key is one.

use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEventKind};

use super::input::Input;
use super::parser::Parser;
use super::reply::Reply;

/// What terminals answer, to whomever.
const REPLIES: &[(&str, &[u8])] = &[
    ("OSC 11, ended by ST", b"\x1b]11;rgb:1c1c/2b2b/3e3e\x1b\\"),
    ("OSC 10, ended by BEL", b"\x1b]10;rgb:ffff/ffff/ffff\x07"),
    ("OSC 4", b"\x1b]4;1;rgb:cccc/0000/0000\x07"),
    (
        "OSC 4 with alpha",
        b"\x1b]4;255;rgba:eeee/eeee/eeee/ffff\x1b\\",
    ),
    ("OSC 12", b"\x1b]12;#c0c0c0\x07"),
    ("OSC 52, the clipboard", b"\x1b]52;c;cXVpdCBxIHEK\x1b\\"),
    ("OSC 1337", b"\x1b]1337;ReportCellSize=17.0;8.0;2.0\x1b\\"),
    ("OSC 99", b"\x1b]99;i=1:p=?;a=focus,report\x1b\\"),
    ("the window's title", b"\x1b]lq \xe7\x8c\xab quit\x1b\\"),
    ("the icon's title", b"\x1b]Lquit\x1b\\"),
    ("OSC in 8 bits", b"\x9d11;rgb:1c1c/2b2b/3e3e\x9c"),
    (
        "OSC with C1 in UTF-8",
        b"\xc2\x9d11;rgb:1c1c/2b2b/3e3e\xc2\x9c",
    ),
    ("DA1 of xterm", b"\x1b[?64;1;2;6;9;15;16;17;18;21;22;28c"),
    ("DA1 with sixel", b"\x1b[?62;4;6;22c"),
    ("DA1 of Linux", b"\x1b[?6c"),
    ("DA1 of screen", b"\x1b[?1;2c"),
    ("DA1 in 8 bits", b"\x9b?62;4;22c"),
    ("DA2", b"\x1b[>41;354;0c"),
    ("DA2 of tmux", b"\x1b[>84;0;0c"),
    ("DA3", b"\x1bP!|00000000\x1b\\"),
    (
        "XTVERSION of WezTerm",
        b"\x1bP>|WezTerm 20240203-110809-5046fc22\x1b\\",
    ),
    ("XTVERSION of kitty", b"\x1bP>|kitty(0.26.5)\x1b\\"),
    ("XTVERSION of foot", b"\x1bP>|foot(1.13.1)\x1b\\"),
    ("XTGETTCAP", b"\x1bP1+r544e=787465726d2d6b69747479\x1b\\"),
    ("XTGETTCAP refused", b"\x1bP0+r544e\x1b\\"),
    ("DECRQSS", b"\x1bP1$r0m\x1b\\"),
    ("DECRQSS of the cursor", b"\x1bP1$r2 q\x1b\\"),
    ("DECCKSR", b"\x1bP1!~4242\x1b\\"),
    ("kitty's pictures", b"\x1b_Gi=31;OK\x1b\\"),
    (
        "kitty's pictures refused",
        b"\x1b_Gi=31;ENOTSUPPORTED:q quit\x1b\\",
    ),
    ("kitty's picture of another", b"\x1b_Gi=7,p=2;OK\x1b\\"),
    ("a privacy message", b"\x1b^quit\x1b\\"),
    ("a start of string", b"\x1bXquit\x1b\\"),
    ("the size of a cell", b"\x1b[6;17;8t"),
    ("the size of the window", b"\x1b[4;800;1200t"),
    ("the size in characters", b"\x1b[8;40;120t"),
    ("the window's state", b"\x1b[1t"),
    ("a resize in band", b"\x1b[48;40;120;800;1200t"),
    ("the cursor's place", b"\x1b[12;40R"),
    ("the cursor's place in the corner", b"\x1b[1;1R"),
    ("the cursor's place, DEC's", b"\x1b[?12;40;1R"),
    ("the status", b"\x1b[0n"),
    ("the printer", b"\x1b[?13n"),
    ("a colour scheme", b"\x1b[?997;1n"),
    ("DECRPM", b"\x1b[?2026;2$y"),
    ("DECRPM of ANSI", b"\x1b[4;2$y"),
    ("DECREQTPARM", b"\x1b[2;1;1;128;128;1;0x"),
    ("keyboard flags", b"\x1b[?0u"),
    ("modifyOtherKeys", b"\x1b[>4;2m"),
    ("sixel colours", b"\x1b[?1;0;256S"),
    ("sixel size", b"\x1b[?2;0;1000;1000S"),
    ("the focus in", b"\x1b[I"),
    ("the focus out", b"\x1b[O"),
    ("a stray end of pasting", b"\x1b[201~"),
];

const SHORT: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_secs(3);

/// Feeds pieces with pauses between them; what is read in the end.
fn read(pieces: &[&[u8]], pause: Duration) -> Vec<Input> {
    let mut parser = Parser::default();
    let mut now = Instant::now();
    for piece in pieces {
        parser.feed(piece, now);
        now += pause;
        parser.expire(now);
    }
    parser.expire(now + LONG);
    std::iter::from_fn(|| parser.next()).collect()
}

fn keys(read: &[Input]) -> Vec<KeyCode> {
    let key = |input: &Input| match input {
        Input::Key(key) => Some(key.code),
        _ => None,
    };
    read.iter().filter_map(key).collect()
}

#[test]
fn no_reply_is_a_key_wherever_it_is_cut_and_however_late_its_rest_comes() {
    for (name, reply) in REPLIES {
        for pause in [Duration::ZERO, SHORT, LONG] {
            for cut in 0..=reply.len() {
                let (first, rest) = reply.split_at(cut);
                let got = read(&[first, rest, b"x"], pause);
                let after_escape = first == b"\x1b" && pause == LONG;
                let typed = keys(&got);
                let wanted: &[KeyCode] = match typed.first() {
                    // For so long an escape is a key; yet nothing that follows it is.
                    Some(KeyCode::Esc) if after_escape => &[KeyCode::Esc, KeyCode::Char('x')],
                    _ => &[KeyCode::Char('x')],
                };
                // A lone letter after a long time is a key, be it the end of a reply.
                let is_lone = rest.len() == 1 && pause == LONG && !first.contains(&b'?');
                assert!(
                    typed == wanted || is_lone,
                    "{name}, {cut}, {pause:?}: {got:?}"
                );
            }
        }
    }
}

#[test]
fn no_reply_is_a_key_when_every_byte_comes_alone_or_two_cuts_are_made() {
    for (name, reply) in REPLIES {
        let bytes: Vec<&[u8]> = reply.chunks(1).collect();
        assert_eq!(keys(&read(&bytes, SHORT)), [], "{name}");
        for first in 1..reply.len() {
            for second in first..reply.len() {
                let pieces = [
                    &reply[..first],
                    &reply[first..second],
                    &reply[second..],
                    b"x",
                ];
                let typed = keys(&read(&pieces, SHORT));
                assert_eq!(typed, [KeyCode::Char('x')], "{name}, {first}, {second}");
            }
        }
    }
}

#[test]
fn replies_between_keys_leave_the_keys_alone() {
    let all: Vec<u8> = REPLIES
        .iter()
        .flat_map(|(_, reply)| [b"a", *reply, b"\x1b[A"].concat())
        .collect();
    for size in [1, 2, 3, 7, 64, 4096] {
        let pieces: Vec<&[u8]> = all.chunks(size).collect();
        let typed = keys(&read(&pieces, Duration::from_millis(5)));
        assert_eq!(typed.len(), 2 * REPLIES.len(), "{size}");
        for pair in typed.chunks(2) {
            assert_eq!(pair, [KeyCode::Char('a'), KeyCode::Up]);
        }
    }
}

#[test]
fn the_replies_that_are_wanted_are_understood() {
    let replies = |bytes: &[u8]| -> Vec<Reply> {
        let reply = |input| match input {
            Input::Reply(reply) => Some(reply),
            _ => None,
        };
        read(&[bytes], SHORT)
            .into_iter()
            .filter_map(reply)
            .collect()
    };
    let all =
        b"\x1b_Gi=31;OK\x1b\\\x1b[6;17;8t\x1b[4;680;640t\x1b[?1;0;16S\x1b[?2;0;640;480S\x1b[?62;4c";
    let wanted = [
        Reply::Graphics(true),
        Reply::Cell(8, 17),
        Reply::Window(640, 680),
        Reply::SixelColours(16),
        Reply::SixelSize(640, 480),
        Reply::Attributes(vec![62, 4]),
    ];
    assert_eq!(replies(all), wanted);
    assert_eq!(
        replies(b"\x1b_Gi=31;EINVAL:no\x1b\\"),
        [Reply::Graphics(false)]
    );
    assert_eq!(replies(b"\x1b_Gi=5;OK\x1b\\\x1b[99999999999;1t"), []);
}

/// Every key that the inspector knows, as terminals send it.
#[test]
fn keys_are_keys() {
    let none = KeyModifiers::NONE;
    let control = KeyModifiers::CONTROL;
    for (bytes, code, modifiers) in [
        (&b"q"[..], KeyCode::Char('q'), none),
        (b"N", KeyCode::Char('N'), KeyModifiers::SHIFT),
        ("猫".as_bytes(), KeyCode::Char('猫'), none),
        ("é".as_bytes(), KeyCode::Char('é'), none),
        ("🍎".as_bytes(), KeyCode::Char('🍎'), none),
        (b"\r", KeyCode::Enter, none),
        (b"\t", KeyCode::Tab, none),
        (b"\x1b[Z", KeyCode::BackTab, KeyModifiers::SHIFT),
        (b"\x7f", KeyCode::Backspace, none),
        (b"\x08", KeyCode::Char('h'), control),
        (b"\x03", KeyCode::Char('c'), control),
        (b"\x1a", KeyCode::Char('z'), control),
        (b"\x15", KeyCode::Char('u'), control),
        (b"\x1b", KeyCode::Esc, none),
        (b"\x1b[A", KeyCode::Up, none),
        (b"\x1bOB", KeyCode::Down, none),
        (b"\x1b[1;5C", KeyCode::Right, control),
        (b"\x1b[D", KeyCode::Left, none),
        (b"\x1b[H", KeyCode::Home, none),
        (b"\x1bOF", KeyCode::End, none),
        (b"\x1b[1~", KeyCode::Home, none),
        (b"\x1b[4~", KeyCode::End, none),
        (b"\x1b[5~", KeyCode::PageUp, none),
        (b"\x1b[6~", KeyCode::PageDown, none),
        (b"\x1b[3~", KeyCode::Delete, none),
        (b"\x1b[[A", KeyCode::F(1), none),
        (b"\x1b[15~", KeyCode::F(5), none),
        (b"\x1b[27u", KeyCode::Esc, none),
        (b"\x1b[97;5u", KeyCode::Char('a'), control),
        (b"\x1b[27;5;122~", KeyCode::Char('z'), control),
    ] {
        let pieces = |size| bytes.chunks(size).collect::<Vec<_>>();
        for size in [1, bytes.len()] {
            let got = read(&pieces(size), Duration::from_millis(20));
            let wanted = KeyEvent::new(code, modifiers);
            assert_eq!(got, [Input::Key(wanted)], "{bytes:?} by {size}");
        }
    }
}

#[test]
fn the_escape_key_is_known_after_a_tenth_of_a_second_and_not_before() {
    let mut parser = Parser::default();
    let now = Instant::now();
    parser.feed(b"\x1b", now);
    assert!(parser.next().is_none());
    let due = parser.deadline().unwrap();
    assert!(due <= now + Duration::from_millis(100));
    parser.expire(due);
    assert_eq!(parser.next(), Some(Input::Key(KeyCode::Esc.into())));
    assert_eq!(parser.deadline(), None);
    // With alt, and a key that follows it at once.
    let alt = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT);
    assert_eq!(read(&[b"\x1bq"], SHORT), [Input::Key(alt)]);
    let two = [KeyCode::Esc, KeyCode::Char('q')];
    assert_eq!(keys(&read(&[b"\x1b", b"q"], Duration::ZERO)), two);
    // Twice, and keys that were typed after it.
    assert_eq!(
        keys(&read(&[b"\x1b\x1b"], LONG)),
        [KeyCode::Esc, KeyCode::Esc]
    );
    for typed in [&b"["[..], b"]", b"q", b"[[", b"P"] {
        let got = keys(&read(&[b"\x1b", typed], LONG));
        assert_eq!(got.len(), 1 + typed.len(), "{typed:?}: {got:?}");
    }
}

#[test]
fn a_string_without_an_end_takes_no_key_for_long() {
    for start in [
        &b"\x1b]11;rgb:"[..],
        b"\x1bP>|",
        b"\x1b_Gi=31;",
        b"\x1b[?62;4",
        b"\x1b]",
        b"\x1b^a",
    ] {
        // A key that no reply has in it, at once.
        for (key, code) in [
            (b"\r", KeyCode::Enter),
            (b"\x03", KeyCode::Char('c')),
            (b"\t", KeyCode::Tab),
        ] {
            assert_eq!(
                keys(&read(&[start, key], Duration::ZERO)),
                [code],
                "{start:?}"
            );
        }
        // Any key, after a while.
        assert_eq!(
            keys(&read(&[start, b"q"], LONG)),
            [KeyCode::Char('q')],
            "{start:?}"
        );
    }
    // With alt, and no reply.
    assert_eq!(
        keys(&read(&[b"\x1b]", b"q"], Duration::ZERO)),
        [KeyCode::Char('q')]
    );
    assert_eq!(
        keys(&read(&[b"\x1bP", b"q"], Duration::ZERO)),
        [KeyCode::Char('q')]
    );
}

#[test]
fn nothing_grows_without_bound() {
    for (start, end) in [
        (&b"\x1b]11;"[..], &b"\x1b\\"[..]),
        (b"\x1bP1$r", b"\x1b\\"),
        (b"\x1b_G", b"\x1b\\"),
        (b"\x1b[1", b"c"),
        (b"\x1b[200~", b"\x1b[201~"),
    ] {
        let mut parser = Parser::default();
        let now = Instant::now();
        parser.feed(start, now);
        let many = vec![b'1'; 65536];
        for _ in 0..300 {
            parser.feed(&many, now);
        }
        let size = format!("{parser:?}").len();
        assert!(size < 40 << 20, "{start:?}: {size}");
        parser.feed(end, now);
        while let Some(input) = parser.next() {
            match input {
                Input::Paste(text) => assert!(text.len() <= 4 << 20),
                other => panic!("{other:?}"),
            }
        }
        parser.feed(b"q", now);
        assert_eq!(parser.next(), Some(Input::Key(KeyCode::Char('q').into())));
    }
}

#[test]
fn pasted_text_is_text_wherever_it_is_cut() {
    let text = "a red\napple q \x03 \x1b[A 猫 \x1b[20";
    let pasted = format!("\x1b[200~{text}\x1b[201~");
    for pause in [Duration::ZERO, SHORT, Duration::from_secs(2)] {
        for cut in 2..pasted.len() {
            let (first, rest) = pasted.as_bytes().split_at(cut);
            let got = read(&[first, rest, b"x"], pause);
            if cut < 6 && pause > LONG {
                continue;
            }
            let wanted = [
                Input::Paste(text.to_owned()),
                Input::Key(KeyCode::Char('x').into()),
            ];
            // A mark that is cut and late is a mark no more, and the text typed: no key does harm among it.
            let is_mark = cut < 6 && pause > SHORT;
            assert!(is_mark || got == wanted, "{cut}, {pause:?}: {got:?}");
        }
    }
    // Without an end, what is there is delivered.
    let got = read(&[b"\x1b[200~red"], Duration::from_secs(6));
    assert_eq!(got, [Input::Paste("red".to_owned())]);
}

#[test]
fn the_mouse_is_known_in_every_way_that_it_is_reported() {
    for bytes in [&b"\x1b[<0;12;4M"[..], b"\x1b[32;12;4M", b"\x1b[M \x2c\x24"] {
        let got = read(&[bytes], SHORT);
        let [Input::Mouse(mouse)] = got[..] else {
            panic!("{bytes:?}: {got:?}");
        };
        assert_eq!(mouse.kind, MouseEventKind::Down(MouseButton::Left));
        assert_eq!((mouse.column, mouse.row), (11, 3));
    }
    let kind = |bytes: &[u8]| match read(&[bytes], SHORT)[..] {
        [Input::Mouse(mouse)] => Some(mouse.kind),
        _ => None,
    };
    assert_eq!(kind(b"\x1b[<64;1;1M"), Some(MouseEventKind::ScrollUp));
    assert_eq!(kind(b"\x1b[<65;1;1M"), Some(MouseEventKind::ScrollDown));
    assert_eq!(
        kind(b"\x1b[<32;1;1M"),
        Some(MouseEventKind::Drag(MouseButton::Left))
    );
    assert_eq!(
        kind(b"\x1b[<0;1;1m"),
        Some(MouseEventKind::Up(MouseButton::Left))
    );
    // No place on a screen.
    assert_eq!(kind(b"\x1b[<0;0;0M"), None);
}

/// What sequences are made of.
const LIKELY: &[u8] =
    b"\x1b\x1b\x1b[]P_OXM\\;0123456789?><=~cRtuyn\x07\x18\x9b\x9d\x9c\xc2\xe7\x8c<m";

/// Random bytes, in random pieces: nothing panics, and the parser comes back to keys.
#[test]
fn hostile_bytes_do_no_harm() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..20_000 {
        let mut parser = Parser::default();
        let mut now = Instant::now();
        for _ in 0..=random(6) {
            let piece: Vec<u8> = (0..random(24))
                .map(|_| match random(4) {
                    0 => random(256) as u8,
                    _ => LIKELY[random(LIKELY.len())],
                })
                .collect();
            parser.feed(&piece, now);
            now += Duration::from_millis(random(2000) as u64);
            parser.expire(now);
        }
        while parser.next().is_some() {}
        parser.expire(now + Duration::from_mins(2));
        while parser.next().is_some() {}
        parser.feed(b"q", now + Duration::from_mins(4));
        let typed = parser.next();
        assert_eq!(typed, Some(Input::Key(KeyCode::Char('q').into())));
    }
}
