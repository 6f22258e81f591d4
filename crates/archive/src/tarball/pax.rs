//! Pax extended headers: `LENGTH KEY=VALUE\n` records, read by length, so that binary values survive.

use super::Time;

/// What the records of one extended header say.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: SparseRecords,
}

/// GNU's sparse formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    pub(super) map: Vec<u64>,
    pub(super) has_map: bool,
    pub(super) version: (Option<u64>, Option<u64>),
}

const XATTR: &[u8] = b"SCHILY.xattr.";

/// Parses all records. The error says what is wrong with them.
pub(super) fn parse(mut data: &[u8]) -> Result<Records, &'static str> {
    let mut records = Records::default();
    while !data.is_empty() {
        let (key, value, rest) = split(data).ok_or("malformed extended header")?;
        data = rest;
        take(&mut records, key, value)?;
    }
    Ok(records)
}

/// One record: key, value, and what follows it.
fn split(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = data.iter().take(20).position(|&b| b == b' ')?;
    let length: usize = std::str::from_utf8(&data[..blank]).ok()?.parse().ok()?;
    let record = data.get(..length)?;
    let body = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|&b| b == b'=')?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    (!key.is_empty() && !key.contains(&0)).then_some((key, value, &data[length..]))
}

fn take(records: &mut Records, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
    let bad = "malformed extended header";
    // An empty value takes an earlier one back.
    let number = || -> Result<Option<u64>, &'static str> { if value.is_empty() { Ok(None) } else { decimal(value).map(Some).ok_or(bad) } };
    let text = || -> Result<Option<Vec<u8>>, &'static str> {
        if value.contains(&0) {
            return Err("a name with a NUL");
        }
        Ok((!value.is_empty()).then(|| value.to_vec()))
    };
    match key {
        b"path" => records.path = text()?,
        b"linkpath" => records.linkpath = text()?,
        b"size" => records.size = number()?,
        b"uid" => records.uid = number()?,
        b"gid" => records.gid = number()?,
        b"mtime" => records.mtime = if value.is_empty() { None } else { Some(time(value).ok_or(bad)?) },
        b"GNU.sparse.name" => records.sparse.name = text()?,
        b"GNU.sparse.major" => records.sparse.version.0 = number()?,
        b"GNU.sparse.minor" => records.sparse.version.1 = number()?,
        b"GNU.sparse.size" | b"GNU.sparse.realsize" => records.sparse.real_size = number()?,
        b"GNU.sparse.numblocks" => records.sparse.has_map = true,
        b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => records.sparse.map.push(decimal(value).ok_or(bad)?),
        b"GNU.sparse.map" => {
            records.sparse.has_map = true;
            records.sparse.map = value.split(|&b| b == b',').filter(|n| !n.is_empty()).map(decimal).collect::<Option<_>>().ok_or(bad)?;
        }
        _ => {
            if let Some(name) = key.strip_prefix(XATTR) {
                records.xattrs.retain(|(known, _)| known != name);
                records.xattrs.push((name.to_vec(), value.to_vec()));
            }
        }
    }
    Ok(())
}

fn decimal(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `[-]SECONDS[.FRACTION]`, cut to nanoseconds.
pub(super) fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|&b| b == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b""[..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok().filter(|_| !whole.is_empty())?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = (0..9).fold(0, |n, i| n * 10 + fraction.get(i).map_or(0, |d| u32::from(d - b'0')));
    Some(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos },
        (true, _) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

/// A time as pax writes it, shortest form.
pub(super) fn show_time(t: Time) -> String {
    if t.nanos == 0 {
        return t.seconds.to_string();
    }
    let (sign, seconds, nanos) = if t.seconds < 0 { ("-", -(t.seconds + 1), 1_000_000_000 - t.nanos) } else { ("", t.seconds, t.nanos) };
    let text = format!("{sign}{seconds}.{nanos:09}");
    text.trim_end_matches('0').to_owned()
}

/// Appends one record; its length counts itself.
pub(super) fn push(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body + digits(body);
    if digits(length) != digits(body) {
        length = body + digits(length);
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn digits(n: usize) -> usize {
    n.checked_ilog10().map_or(1, |d| d as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records() {
        let mut data = Vec::new();
        push(&mut data, b"path", "ä/b".as_bytes());
        push(&mut data, b"SCHILY.xattr.security.capability", b"\x01\0\n=\n9 x=y\n");
        push(&mut data, b"mtime", b"1.5");
        push(&mut data, b"uid", b"70000");
        push(&mut data, b"unknown", b"x");
        let r = parse(&data).unwrap();
        assert_eq!(r.path.as_deref(), Some("ä/b".as_bytes()));
        assert_eq!(r.xattrs, [(b"security.capability".to_vec(), b"\x01\0\n=\n9 x=y\n".to_vec())]);
        assert_eq!((r.mtime, r.uid), (Some(Time { seconds: 1, nanos: 500_000_000 }), Some(70000)));
    }

    #[test]
    fn malformed() {
        for bad in [
            &b"x"[..],
            b"5 a=b",
            b"6 a=b\nz",
            b"99 a=b\n",
            b"6 =ab\n",
            b"6 abc\n",
            b"0 a=b\n",
            b"-6 a=b\n",
            b"12 path=a\0b\n",
            b"9 uid=-1\n",
        ] {
            assert!(parse(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn times() {
        for (text, seconds, nanos) in
            [("0", 0, 0), ("1.000000001", 1, 1), ("1.5", 1, 500_000_000), ("-1.5", -2, 500_000_000), ("-3", -3, 0)]
        {
            let t = Time { seconds, nanos };
            assert_eq!((time(text.as_bytes()), show_time(t)), (Some(t), text.to_owned()));
        }
        assert_eq!(time(b"1.0000000019"), Some(Time { seconds: 1, nanos: 1 }));
        for bad in ["", ".", ".5", "1.x", "a", "--1", "99999999999999999999"] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_value_comes_back(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 0..4)) {
            let mut data = Vec::new();
            for (i, v) in values.iter().enumerate() {
                push(&mut data, format!("SCHILY.xattr.user.{i}").as_bytes(), v);
            }
            let back: Vec<_> = parse(&data).unwrap().xattrs.into_iter().map(|(_, v)| v).collect();
            prop_assert_eq!(back, values);
        }

        #[test]
        fn junk_never_panics(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&data);
            let _ = time(&data);
        }
    }
}
