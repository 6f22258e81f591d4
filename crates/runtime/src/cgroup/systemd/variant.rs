//! Values of a unit's properties as annotations have them, in the text form of GVariant: `true`, `5`, `uint64 5`, `'word'`, `['a', 'b']`, `@as []`.
//! Pure.

use super::message::Writer;

/// Names of types in front of a value, and their signatures.
const TYPES: [(&str, char); 10] = [
    ("byte", 'y'),
    ("int16", 'n'),
    ("uint16", 'q'),
    ("int32", 'i'),
    ("uint32", 'u'),
    ("int64", 'x'),
    ("uint64", 't'),
    ("double", 'd'),
    ("objectpath", 'o'),
    ("signature", 'g'),
];
/// What nests deeper is nobody's property.
const DEEPEST: usize = 4;

/// A value with its type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Variant {
    Bool(bool),
    /// The signature of a kind of whole number, and the number, which fits.
    Whole(char, i128),
    Double(f64),
    /// `s`, `o` or `g`.
    Text(char, String),
    /// The elements' signature.
    List(String, Vec<Variant>),
}

/// Reads a whole text; `None` where it is none.
pub(super) fn parse(text: &str) -> Option<Variant> {
    let (value, rest) = value(text, None, DEEPEST)?;
    rest.trim_start().is_empty().then_some(value)
}

fn value<'t>(text: &'t str, wanted: Option<&str>, depth: usize) -> Option<(Variant, &'t str)> {
    let text = text.trim_start();
    if let Some(rest) = text.strip_prefix('@') {
        let (signature, rest) = rest.split_once(char::is_whitespace)?;
        return value(rest, Some(signature), depth);
    }
    let word: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
    if let Some((name, signature)) = TYPES.iter().find(|(name, _)| *name == word) {
        return value(&text[name.len()..], Some(&signature.to_string()), depth);
    }
    match (text.chars().next()?, wanted) {
        ('[', wanted) => list(&text[1..], wanted, depth.checked_sub(1)?),
        (quote @ ('\'' | '"'), None | Some("s" | "o" | "g")) => {
            let (words, rest) = quoted(&text[1..], quote)?;
            Some((Variant::Text(wanted.and_then(|signature| signature.chars().next()).unwrap_or('s'), words), rest))
        }
        ('t' | 'f', None | Some("b")) => {
            let yes = word.parse().ok()?;
            Some((Variant::Bool(yes), &text[word.len()..]))
        }
        (_, wanted) => number(text, wanted),
    }
}

fn list<'t>(mut text: &'t str, wanted: Option<&str>, depth: usize) -> Option<(Variant, &'t str)> {
    let mut signature = match wanted {
        Some(wanted) => Some(wanted.strip_prefix('a')?.to_owned()),
        None => None,
    };
    let mut all = Vec::new();
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix(']') {
            // Of an empty one without a type nobody knows what it is empty of.
            return Some((Variant::List(signature?, all), rest));
        }
        if !all.is_empty() {
            text = text.strip_prefix(',')?;
        }
        let (one, rest) = value(text, signature.as_deref(), depth)?;
        if signature.as_ref().is_some_and(|signature| *signature != one.signature()) {
            return None;
        }
        signature = Some(one.signature());
        all.push(one);
        text = rest;
    }
}

fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let (mut words, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '\0' => return None,
            c if escaped => {
                words.push(match c {
                    'n' => '\n',
                    't' => '\t',
                    c => c,
                });
                escaped = false;
            }
            '\\' => escaped = true,
            c if c == quote => return Some((words, &text[at + c.len_utf8()..])),
            c => words.push(c),
        }
    }
    None
}

fn number<'t>(text: &'t str, wanted: Option<&str>) -> Option<(Variant, &'t str)> {
    let end = text.find([',', ']', ' ']).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let hexadecimal = digits.strip_prefix("0x").map(|digits| i128::from_str_radix(digits, 16));
    let whole = hexadecimal.unwrap_or_else(|| digits.parse()).ok();
    let kind = match wanted {
        Some(wanted) => wanted.chars().next().filter(|_| wanted.len() == 1)?,
        None if whole.is_none() => 'd',
        None => 'i',
    };
    let range = match kind {
        'd' => return digits.parse().ok().filter(|number: &f64| number.is_finite()).map(|number| (Variant::Double(number), rest)),
        'y' => 0..=i128::from(u8::MAX),
        'n' => i128::from(i16::MIN)..=i128::from(i16::MAX),
        'q' => 0..=i128::from(u16::MAX),
        'i' => i128::from(i32::MIN)..=i128::from(i32::MAX),
        'u' => 0..=i128::from(u32::MAX),
        'x' => i128::from(i64::MIN)..=i128::from(i64::MAX),
        't' => 0..=i128::from(u64::MAX),
        _ => return None,
    };
    whole.filter(|number| range.contains(number)).map(|number| (Variant::Whole(kind, number), rest))
}

impl Variant {
    pub(super) fn signature(&self) -> String {
        match self {
            Self::Bool(_) => "b".to_owned(),
            Self::Whole(kind, _) | Self::Text(kind, _) => kind.to_string(),
            Self::Double(_) => "d".to_owned(),
            Self::List(of, _) => format!("a{of}"),
        }
    }

    /// Seconds as microseconds; `None` for what is no time.
    pub(super) fn micros(&self) -> Option<Self> {
        const MILLION: i128 = 1_000_000;
        let micros = match self {
            Self::Whole(_, seconds) => seconds.checked_mul(MILLION)?,
            Self::Double(seconds) if *seconds >= 0.0 && *seconds < 1e12 => (seconds * 1e6) as i128,
            _ => return None,
        };
        u64::try_from(micros).ok().map(|micros| Self::Whole('t', micros.into()))
    }

    pub(super) fn write(&self, body: &mut Writer) {
        match self {
            Self::Bool(yes) => body.bool(*yes).end(),
            Self::Double(number) => body.u64(number.to_bits()).end(),
            Self::Text('g', text) => body.signature(text).end(),
            Self::Text(_, text) => body.text(text).end(),
            Self::List(of, all) => {
                let align = match of.chars().next() {
                    Some('y' | 'g') => 1,
                    Some('n' | 'q') => 2,
                    Some('x' | 't' | 'd') => 8,
                    _ => 4,
                };
                body.list(align, |list| all.iter().for_each(|one| one.write(list))).end();
            }
            // Each was read within the bounds of its kind, whose bits these are.
            Self::Whole('y', number) => body.bytes.push(*number as u8),
            Self::Whole('n' | 'q', number) => body.u16(*number as u16).end(),
            Self::Whole('i' | 'u', number) => body.u32(*number as u32).end(),
            Self::Whole(_, number) => body.u64(*number as u64).end(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let check = |text: &str, expect: Variant| assert_eq!(parse(text), Some(expect), "{text}");
        let text = |text: &str| Variant::Text('s', text.to_owned());
        check("true", Variant::Bool(true));
        check(" false ", Variant::Bool(false));
        check("5", Variant::Whole('i', 5));
        check("-5", Variant::Whole('i', -5));
        check("0x10", Variant::Whole('i', 16));
        check("uint64 18446744073709551615", Variant::Whole('t', u64::MAX.into()));
        check("@t 5", Variant::Whole('t', 5));
        check("byte 0xff", Variant::Whole('y', 255));
        check("2.5", Variant::Double(2.5));
        check("'a \\' b'", text("a ' b"));
        check("\"it's\"", text("it's"));
        check("objectpath '/a'", Variant::Text('o', "/a".to_owned()));
        check("['a', \"b\"]", Variant::List("s".to_owned(), vec![text("a"), text("b")]));
        check("@as []", Variant::List("s".to_owned(), Vec::new()));
        check("[uint32 1, 2]", Variant::List("u".to_owned(), vec![Variant::Whole('u', 1), Variant::Whole('u', 2)]));
        for text in ["", "yes", "'a", "[1, 'a']", "[]", "uint16 65536", "5 6", "byte -1", "@as ['a', 1]", "[[[[[1]]]]]", "nan", "@b 1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(parse("3").unwrap().micros(), Some(Variant::Whole('t', 3_000_000)));
        assert_eq!(parse("1.5").unwrap().micros(), Some(Variant::Whole('t', 1_500_000)));
        assert_eq!((parse("-1").unwrap().micros(), parse("'a'").unwrap().micros()), (None, None));
    }

    #[test]
    fn at_their_alignment() {
        let mut body = Writer::default();
        body.bytes.push(1);
        parse("uint16 2").unwrap().write(&mut body);
        parse("[uint64 3]").unwrap().write(&mut body);
        assert_eq!(body.bytes, [1, 0, 2, 0, 8, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_breaks_it(text: String) {
            if let Some(value) = parse(&text) {
                value.write(&mut Writer::default());
            }
        }
    }
}
