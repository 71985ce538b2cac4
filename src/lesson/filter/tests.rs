use super::*;

fn input() -> Input {
    let json = br#"{
        "tokens": {"prompt": [
            {"piece": "<|startoftext|>", "special": true}, {"piece": "a</w>", "special": false},
            {"piece": "dream", "special": false}, {"piece": "beach</w>", "special": false},
            {"piece": "<|endoftext|>", "special": true}
        ]},
        "steps": [{"sigma": 14.5}, {"sigma": 2}],
        "tensors": {"x": {"shape": [2, 3], "file": "tensors/x.json"}},
        "text": "red"
    }"#;
    let mut tensors = Tensors::default();
    let tensor = Tensor {
        name: "x".into(),
        shape: vec![2, 3],
        data: [0.1, 2.0, 2.0, 3.0, 0.0, 4.0].into(),
    };
    tensors.insert("tensors/x.json".into(), tensor);
    Input::new(json, tensors).unwrap()
}

fn ask(code: &str) -> Result<Value, FilterError> {
    Filter::parse(code)
        .unwrap_or_else(|bad| panic!("{code}: {bad}"))
        .run(&input())
}

fn number(code: &str) -> f64 {
    match ask(code) {
        Ok(Value::Number(number)) => number,
        other => panic!("{code}: {other:?}"),
    }
}

#[test]
fn questions_about_a_document_are_answered() {
    for code in [
        ".steps | length == 2",
        ".steps[0].sigma > 14",
        "[.steps[].sigma] | add == 16.5 and max == 14.5 and min == 2",
        r#".tokens.prompt | map(.piece) | any(. == "dream")"#,
        r"[.tokens.prompt[] | select(.special | not)] | length == 3",
        r#".text | ascii_upcase == "RED" and startswith("r") and contains("ed")"#,
        r".missing == null and (.missing // 5) == 5",
        r#""\(.text)-\(1 + 1)" == "red-2""#,
        r"[1, [2, [3]]] | flatten == [1, 2, 3]",
        r#"{a: 1, b: 2} | to_entries | map("\(.key)\(.value)") | join(",") == "a1,b2""#,
        "[3, 1, 2] | sort == [1, 2, 3] and sort_by(-.) == [3, 2, 1] and unique == [1, 2, 3]",
        "[range(5)] | map(select(. > 2)) == [3, 4]",
        "reduce range(1; 11) as $i (0; . + $i) == 55",
        "[limit(3; range(100))] == [0, 1, 2] and first(range(7; 9)) == 7",
        r#"try error("no") catch . == "no""#,
        "def double: . * 2; 4 | double | double == 16",
        "[.steps[] | .sigma as $s | if $s > 3 then 1 else 0 end] == [1, 0]",
        "[[1, 2], [3, 4]] | transpose == [[1, 3], [2, 4]]",
        "(nan | isnan) and (-1 | abs == 1) and (2.5 | floor == 2) and ([1,2] | mean == 1.5)",
        r#""12" | tonumber == 12"#,
        r#"["a", "b"] | index("b") == 1"#,
        "[1, 2, 3][1:] == [2, 3] and ([1,2] | has(1)) and ({a: 1} | has(\"b\") | not)",
    ] {
        assert_eq!(ask(code), Ok(Value::Bool(true)), "{code}");
    }
}

#[test]
fn a_tensors_values_are_those_of_its_file() {
    assert!(
        ask(r#"tensor("x") | .shape == [2, 3] and .name == "x" and .dtype == "float32""#)
            == Ok(Value::Bool(true))
    );
    // As the shortest digits are read, not as f32 widened.
    assert!((number(r#"tensor("x").data[0]"#) - 0.1).abs() == 0.0);
    assert_eq!(
        ask(r#"tensor("x") | row(1) == [3, 0, 4] and (row(1) | norm == 5)"#),
        Ok(Value::Bool(true))
    );
    assert!((number(r#"tensor("x") | cosine(row(1); row(1))"#) - 1.0).abs() < 1e-12);
    assert!(matches!(ask(r#"tensor("y")"#), Err(FilterError::Error(_))));
    assert!(matches!(
        ask(r#"{file: "/etc/passwd"} | tensor"#),
        Err(FilterError::Error(message)) if message.contains("no tensor")
    ));
}

#[test]
fn a_word_of_several_pieces_is_found_by_its_first() {
    assert!((number(r#"position("a")"#) - 1.0).abs() == 0.0);
    assert!((number(r#"position("DreamBeach")"#) - 2.0).abs() == 0.0);
    assert!(matches!(
        ask(r#"position("beach")"#),
        Err(FilterError::Error(_))
    ));
}

#[test]
fn hostile_filters_are_stopped() {
    for code in [
        "[range(1e12)] | length",
        "last(range(1e15))",
        "[range(infinite)] | length",
        "range(0; 1; 0) | select(. > 0)",
        "reduce range(60) as $i ([1]; . + .) | length",
        r#"reduce range(60) as $i ("x"; . + .) | length"#,
        "reduce range(1000000) as $i (null; [.]) | length",
        "reduce range(60) as $i ([1]; [., .]) | length",
        "reduce range(60) as $i ({}; {a: ., b: .}) | length",
        "def a: ., .; def b: a | a | a | a; def c: b | b | b | b; def d: c | c | c | c; [1 | d | d] | length",
        "[range(30000) as $i | range(30000)] | length",
        "[(range(1000)) + (range(1000)) + (range(1000)) + (range(1000))] | length",
        "[range(1000000)] | [.[] | try (tojson? // error(1)) catch .] | length",
        "[limit(1e12; range(1e13))] | length",
        "isempty(range(1e15) | select(. < 0))",
        "[range(400000)] as $x | [range(10000) | $x == ($x + [])] | length",
    ] {
        let Ok(filter) = Filter::parse(code) else {
            assert!(code.contains("tojson"), "{code}");
            continue;
        };
        let start = std::time::Instant::now();
        let answer = filter.run(&input());
        assert!(
            matches!(answer, Err(FilterError::Limit(_))),
            "{code}: {answer:?}"
        );
        assert!(
            start.elapsed().as_secs() < 25,
            "{code}: {:?}",
            start.elapsed()
        );
    }
    // What would be large at once is refused at once.
    for code in [
        r#""x" * 1000000000000"#,
        "reduce range(64) as $i (10; . * .) | . * [1]",
        r"[1] | tostring",
        ". as $x | \"\\($x)\"",
        "[1, 2] | .[[1]]",
    ] {
        let answer = ask(code);
        assert!(
            matches!(answer, Err(FilterError::Error(_))),
            "{code}: {answer:?}"
        );
    }
    assert_eq!(
        ask("reduce range(64) as $i (10; . * .) | isinfinite"),
        Ok(Value::Bool(true))
    );
}

#[test]
fn what_reads_or_never_ends_is_not_to_be_had() {
    for (code, expected) in [
        ("def f: f; f", "calls itself"),
        ("def f: 1 + f; f", "calls itself"),
        ("def f(g): def h: f(g); h; f(1)", "calls itself"),
        (
            "def f($n): if $n > 0 then f($n - 1) else . end; f(9)",
            "calls itself",
        ),
        ("the_filter_of_the_lesson", "calls itself"),
        ("input", "no filter `input`"),
        ("env", "no filter `env`"),
        ("$ENV", "no variable `$ENV`"),
        ("debug", "no filter `debug`"),
        ("now", "no filter `now`"),
        ("halt", "no filter `halt`"),
        ("repeat(.)", "no filter `repeat` with 1"),
        ("until(. > 5; . + 1)", "no filter `until`"),
        ("recurse(.)", "no filter `recurse`"),
        ("[.[] | tojson]", "no filter `tojson`"),
        ("fromjson", "no filter `fromjson`"),
        ("getpath([1])", "no filter `getpath`"),
        (".a = 1", "assignments"),
        (".a |= 1", "assignments"),
        ("@base64", "no filter `@base64`"),
        ("@json \"\\(.)\"", "formats"),
        ("include \"x\"; .", "expected"),
        ("import \"x\" as x; .", "expected"),
    ] {
        let bad = Filter::parse(code).expect_err(code);
        assert!(bad.message.contains(expected), "{code}: {}", bad.message);
    }
}

#[test]
fn deep_brackets_and_long_chains_are_no_danger() {
    let deep = format!("{}1{}", "(".repeat(1900), ")".repeat(1900));
    assert!(Filter::parse(&deep).is_err() || ask(&deep).is_ok());
    let lists = format!("{}{}", "[".repeat(1900), "]".repeat(1900));
    let _ = Filter::parse(&lists).map(|filter| filter.run(&input()));
    let pipes = format!("1{}", "|.".repeat(1900));
    assert_eq!(ask(&pipes), Ok(Value::Number(1.0)));
    let sums = format!("1{}", "+1".repeat(1900));
    assert_eq!(ask(&sums), Ok(Value::Number(1901.0)));
    let long = format!("1{}", " ".repeat(5000));
    assert!(Filter::parse(&long).unwrap_err().message.contains("4000"));
}

#[test]
fn a_filter_that_cannot_be_read_says_where() {
    for (code, at, expected) in [
        (".a |", 4, "expected term, found its end"),
        (".a + ?", 5, "expected"),
        (".tokens | lenght", 10, "no filter `lenght`"),
        ("[1, 2", 5, "closing bracket"),
        ("if . then 1", 11, "else or end"),
    ] {
        let bad = Filter::parse(code).expect_err(code);
        assert_eq!(bad.at, at, "{code}: {}", bad.message);
        assert!(bad.message.contains(expected), "{code}: {}", bad.message);
    }
}

#[test]
fn one_value_is_expected() {
    assert_eq!(ask("empty"), Err(FilterError::Count("none")));
    assert_eq!(ask("1, 2"), Err(FilterError::Count("several")));
    assert_eq!(ask("[1]"), Ok(Value::Other("array")));
    assert!(matches!(ask(".text.a"), Err(FilterError::Error(message)) if message.len() < 300));
}

#[test]
fn a_second_document_brings_its_tensors() {
    let json = br#"{
        "tensors": {"x": {"file": "x"}},
        "compared": {"tensors": {"x": {"file": "other/x"}}}
    }"#;
    let mut tensors = Tensors::default();
    for (file, data) in [("x", [0.0, 2.0]), ("other/x", [7.0, 0.0])] {
        let tensor = Tensor {
            name: "x".into(),
            shape: vec![2],
            data: data.into(),
        };
        tensors.insert(file.into(), tensor);
    }
    let both = Input::new(json, tensors).unwrap();
    let filter =
        Filter::parse(r#"(.compared | tensor("x").data[0]) == 7 and tensor("x").data[1] == 2"#);
    assert_eq!(filter.unwrap().run(&both), Ok(Value::Bool(true)));
}
