//! The grammar and its error texts, as Docker's client 28 has them.

use super::*;

static FLAGS: &[Flag] = &[
    switch("rm", "remove it"),
    switch("interactive", "keep stdin open").short('i'),
    switch("tty", "terminal").short('t'),
    list("env", "variable").short('e'),
    bytes("memory", "limit").short('m'),
    string("name", "name").default("x"),
    int("stop-timeout", "seconds"),
    string("old", "gone").hidden(),
];

fn check(words: &str, expect: &str) {
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    let got = match parse(FLAGS, &words, true) {
        Ok(parsed) => format!("{:?} {:?}{}", parsed.values(), parsed.args, if parsed.help { " help" } else { "" }),
        Err(FlagError(text)) => text,
    };
    assert_eq!(got, expect, "{words:?}");
}

#[test]
fn grammar() {
    check("-it --rm img -x", r#"[("interactive", "true"), ("tty", "true"), ("rm", "true")] ["img", "-x"]"#);
    check("-eA=1 -e B --name=n --rm=false x", r#"[("env", "A=1"), ("env", "B"), ("name", "n"), ("rm", "false")] ["x"]"#);
    check("-ie A x", r#"[("interactive", "true"), ("env", "A")] ["x"]"#);
    check("-e=A x", r#"[("env", "A")] ["x"]"#);
    check("-- -it", r#"[] ["-it"]"#);
    check("- x", r#"[] ["-", "x"]"#);
    check("--rm --help --bogus", r#"[("rm", "true")] [] help"#);
    check("-th", r#"[("tty", "true")] [] help"#);
}

#[test]
fn refusals() {
    check("--bogus", "unknown flag: --bogus");
    check("-z", "unknown shorthand flag: 'z' in -z");
    check("-tzq", "unknown shorthand flag: 'z' in -zq");
    check("--name", "flag needs an argument: --name");
    check("-e", "flag needs an argument: 'e' in -e");
    check("--=x", "bad flag syntax: --=x");
    check("-m abc", r#"invalid argument "abc" for "-m, --memory" flag: invalid size: 'abc'"#);
    check("--rm=foo", r#"invalid argument "foo" for "--rm" flag: strconv.ParseBool: parsing "foo": invalid syntax"#);
    check("--stop-timeout a", r#"invalid argument "a" for "--stop-timeout" flag: strconv.ParseInt: parsing "a": invalid syntax"#);
}

#[test]
fn help_lines() {
    insta::assert_snapshot!(flag_usages(FLAGS, 40), @r#"
      -e, --env list           variable
      -i, --interactive        keep stdin open
      -m, --memory bytes       limit
          --name string        name (default "x")
          --rm                 remove it
          --stop-timeout int   seconds
      -t, --tty                terminal
    "#);
}
