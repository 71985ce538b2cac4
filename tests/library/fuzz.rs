//! Bytes from outside: seeded changes of small files, to each reader of such files, for a few seconds.
//!
//! A panic, an overflow or a broken promise is a failure, and so is a reader that takes long. `cargo fuzz` does the same for
//! hours, led by what code is reached (`tests/README.md`); what it found stands in `tests/fuzz/seeds`, and is read here as it is.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use diffuscope::fuzz::TARGETS;
use rand_mt::Mt64;

/// For each reader.
const TIME: Duration = Duration::from_millis(500);
/// At least so many cases, on however slow a machine.
const CASES: usize = 50;
/// A case that takes longer hangs. The machine may be busy.
const LONGEST: Duration = Duration::from_secs(20);

/// Bits that readers know and that chance does not make: numbers at the edge, brackets, names, control sequences.
const WORDS: &[&[u8]] = &[
    b"0",
    b"-1",
    b"1e308",
    b"1e999",
    b"18446744073709551616",
    b"9007199254740993",
    b"0.1",
    b"null",
    b"true",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"[",
    b"]",
    b"{",
    b"}",
    b"[[[[[[[[[[[[[[[[",
    b"\"\"",
    b"\\u0000",
    b"\\ud800",
    b"\x1b[2J",
    b"\xc2\x9b",
    b"\xe2\x80\xae",
    b"\xff\xfe",
    b"\xf0\x9f\x8d\x8e",
    b"\xe8\x8b\xb9",
    b"../",
    b"/etc/passwd",
    b"\0",
    b"\n",
    b"```claim\n",
    b"+++\n",
    b"<|endoftext|>",
    b"</w>",
];

#[test]
fn no_bytes_from_outside_break_a_reader() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    for (number, (name, target)) in TARGETS.iter().enumerate() {
        let mut files: Vec<_> = fs::read_dir(seeds.join(name))
            .unwrap_or_else(|error| panic!("seeds of {name}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let seeds: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
        let mut random = Mt64::new(number as u64);
        let begun = Instant::now();
        let mut case = 0;
        while case < seeds.len() + CASES || begun.elapsed() < TIME {
            let bytes = match seeds.get(case) {
                Some(seed) => seed.clone(),
                None => changed(&seeds, &mut random),
            };
            let started = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            let shown = || format!("{name}, case {case}: {:?}", String::from_utf8_lossy(&bytes));
            assert!(outcome.is_ok(), "a panic: {}", shown());
            assert!(
                started.elapsed() < LONGEST,
                "it took {:?}: {}",
                started.elapsed(),
                shown()
            );
            case += 1;
        }
        println!("{name}: {case} cases");
    }
}

/// One of the seeds with some changes.
fn changed(seeds: &[Vec<u8>], random: &mut Mt64) -> Vec<u8> {
    let mut below = |most: usize| (random.next_u64() % most.max(1) as u64) as usize;
    let mut bytes = seeds[below(seeds.len())].clone();
    for _ in 0..=below(4) {
        let at = below(bytes.len() + 1);
        let end = at + below((bytes.len() - at).min(16) + 1);
        match below(7) {
            // A bit turned over.
            0 if at < bytes.len() => bytes[at] ^= 1 << below(8),
            // Any byte.
            1 if at < bytes.len() => bytes[at] = below(256) as u8,
            // Something left out.
            2 => drop(bytes.drain(at..end)),
            // Something twice.
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            // A word that is known, in place of what was there or beside it.
            4 | 5 => {
                let word = WORDS[below(WORDS.len())].iter().copied();
                let end = if below(2) == 0 { at } else { end };
                bytes.splice(at..end, word);
            }
            // The rest of another seed.
            _ => {
                let other = &seeds[below(seeds.len())];
                let from = below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}
