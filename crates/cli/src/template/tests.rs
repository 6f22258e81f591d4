//! Templates as Docker's client 28 fills them.

use serde_json::json;

use super::*;

fn check(text: &str, expect: &str) {
    let value = json!({
        "Id": "abc", "Names": ["/web", "/db"], "Labels": {"b": "2", "a": "1"}, "Size": 12, "Up": true, "None": null,
        "State": {"Running": false, "Pid": 7}, "Text": "a,b", "Html": "<a>",
    });
    let got = Template::parse("", text).and_then(|template| template.render(&value, Missing::Entry));
    assert_eq!(got.unwrap_or_else(|error| error), expect, "{text}");
}

#[test]
fn fields_and_text() {
    check("{{.Id}}-{{ .State.Pid }}", "abc-7");
    check("{{.ID}}", "abc");
    check("a {{- .Id -}} b", "aabcb");
    check("{{/* note */}}x", "x");
    check("{{.Labels}} {{.Names}} {{.None}} {{.Up}}", "map[a:1 b:2] [/web /db] <nil> true");
    check("{{\"x\\t\"}}|{{`raw\\t`}}", "x\t|raw\\t");
}

#[test]
fn functions() {
    check("{{json .Labels}} {{json .Html}}", r#"{"b":"2","a":"1"} "<a>""#);
    check("{{upper .Id}} {{.Id | upper | lower | title}}", "ABC Abc");
    check("{{join .Names \", \"}} {{split .Text \",\"}}", "/web, /db [a b]");
    check("{{truncate .Id 2}}|{{pad .Id 1 2}}|{{len .Names}}", "ab| abc  |2");
    check("{{index .Names 1}} {{index .Labels \"a\"}} {{index .Labels \"zz\"}}", "/db 1 ");
    check("{{printf \"%-5s|%5s|%q|%d|%05d|%.2f\" .Id .Id .Id .Size .Size 1.5}}", "abc  |  abc|\"abc\"|12|00012|1.50");
    check("{{println .Id 1}}", "abc 1\n");
    check("{{eq .Id \"x\" \"abc\"}} {{ne 1 2}} {{lt 1 2}} {{not .Up}} {{and .Up .Size}} {{or .None .Id}}", "true true true false 12 abc");
    check("{{slice .Id 1}} {{(index .Names 0)}}", "bc /web");
}

#[test]
fn control() {
    check("{{range .Names}}<{{.}}>{{end}}", "</web></db>");
    check("{{range $i, $n := .Names}}{{$i}}={{$n}} {{end}}", "0=/web 1=/db ");
    check("{{range $k, $v := .Labels}}{{$k}}{{$v}}{{end}}", "a1b2");
    check("{{range .None}}x{{else}}none{{end}}", "none");
    check("{{if .State.Running}}up{{else if .Up}}mid{{else}}down{{end}}", "mid");
    check("{{with .State}}{{.Pid}}{{$.Id}}{{end}}", "7abc");
    check("{{$x := .Id}}{{if true}}{{$x = \"y\"}}{{end}}{{$x}}", "y");
    check("{{range .Names}}{{if eq . \"/db\"}}{{break}}{{end}}{{.}}{{end}}", "/web");
    check("{{range .Names}}{{if eq . \"/web\"}}{{continue}}{{end}}{{.}}{{end}}", "/db");
}

#[test]
fn errors() {
    check("{{foo}}", "template: :1: function \"foo\" not defined");
    check("{{.Id", "template: :1: unclosed action");
    check("{{range .X}}", "template: :1: unexpected EOF");
    check("{{upper}}", "template: :1:2: executing \"\" at <upper>: wrong number of args for upper: want 1 got 0");
    check("{{.Id | lower .Text}}", "template: :1:8: executing \"\" at <lower>: wrong number of args for lower: want 1 got 2");
    check("{{and}}", "template: :1:2: executing \"\" at <and>: wrong number of args for and: want at least 1 got 0");
    check("{{index .Names 5}}", "template: :1:2: executing \"\" at <index .Names 5>: error calling index: index out of range: 5");
    let wrong = "wrong type for value; expected string; got";
    check("{{upper .State}}", &format!("template: :1:8: executing \"\" at <.State>: {wrong} map[string]interface {{}}"));
    check("{{split .Size \",\"}}", &format!("template: :1:8: executing \"\" at <.Size>: {wrong} json.Number"));
    check("{{.Bogus}}", "template: :1:2: executing \"\" at <.Bogus>: map has no entry for key \"Bogus\"");
    check("{{end}}", "template: :1: unexpected {{end}}");
    check("{{.Id.X}}", "template: :1:5: executing \"\" at <.Id.X>: can't evaluate field X in type string");
    check("{{.None.X}}", "template: :1:7: executing \"\" at <.None.X>: nil pointer evaluating interface {}.X");
    let typed = Template::parse("", "{{.Bogus}}").unwrap().render(&json!({}), Missing::Type("*formatter.ContainerContext"));
    assert_eq!(
        typed.unwrap_err(),
        "template: :1:2: executing \"\" at <.Bogus>: can't evaluate field Bogus in type *formatter.ContainerContext"
    );
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000));
    assert!(Template::parse("", &deep).is_err());
    let blocks = "{{if true}}".repeat(5000);
    assert!(Template::parse("", &blocks).is_err());
}
