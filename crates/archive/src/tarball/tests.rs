//! What is written is read back; hostile bytes are refused.

use super::*;
use crate::{Error, Limits};
use proptest::prelude::*;

fn write(members: &[(Member, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    for (member, content) in members {
        writer.header(member).unwrap();
        writer.content(content).unwrap();
    }
    writer.finish().unwrap();
    out
}

fn read(data: &[u8], limits: Limits) -> Result<Vec<(Member, Vec<u8>)>, Error> {
    let mut source = data;
    let mut reader = Reader::new(&mut source, limits);
    let mut members = Vec::new();
    while let Some(member) = reader.next()? {
        let content = reader.read_all(1 << 20)?;
        members.push((member, content));
    }
    reader.finish()?;
    Ok(members)
}

fn file(name: &str, content: &[u8]) -> Member {
    let mut m = Member::new(Kind::Regular, name.as_bytes(), 0o644);
    m.size = content.len() as u64;
    m
}

#[test]
fn round_trip_of_everything() {
    let mut members = vec![(Member::new(Kind::Directory, b"etc/", 0o755), &b""[..]), (file("etc/passwd", b"root"), b"root")];
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
    members.push((file(&long, b""), b""));
    members.push((file(&"n".repeat(300), b"x"), b"x"));
    members.push((file("ünï", b""), b""));
    let mut odd = file("odd", b"12345");
    odd.uid = 3_000_000;
    odd.gid = u32::MAX - 1;
    odd.mode = 0o6755;
    odd.mtime = Time { seconds: -5, nanos: 7 };
    odd.xattrs = vec![(b"security.capability".to_vec(), vec![1, 0, b'\n', 0]), (b"user.a".to_vec(), vec![])];
    members.push((odd, b"12345"));
    let mut link = Member::new(Kind::Symlink, b"l", 0o777);
    link.link = vec![b'x'; 200];
    members.push((link, b""));
    let mut hard = Member::new(Kind::HardLink, b"h", 0o644);
    hard.link = b"etc/passwd".to_vec();
    members.push((hard, b""));
    let mut dev = Member::new(Kind::Char, b"null", 0o666);
    dev.device = (1, 300_000);
    members.push((dev, b""));
    members.push((Member::new(Kind::Fifo, b"p", 0o600), b""));
    let data = write(&members);
    assert_eq!(data.len() % BLOCK, 0);
    let back = read(&data, Limits::default()).unwrap();
    let expect: Vec<_> = members.into_iter().map(|(m, c)| (m, c.to_vec())).collect();
    assert_eq!(back, expect);
}

/// The `tar` crate reads what we write, and we read what it writes.
#[test]
fn agrees_with_the_tar_crate() {
    let data = write(&[(file(&"long/".repeat(40), b""), b""), (file("a", b"content"), b"content")]);
    let mut archive = tar::Archive::new(&data[..]);
    let names: Vec<_> = archive.entries().unwrap().map(|e| e.unwrap().path_bytes().to_vec()).collect();
    assert_eq!(names, ["long/".repeat(40).into_bytes(), b"a".to_vec()]);

    let mut builder = tar::Builder::new(Vec::new());
    let name = "x/".repeat(100) + "gnu";
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o600);
    builder.append_data(&mut header, &name, &b"abc"[..]).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "s", "t".repeat(150)).unwrap();
    let back = read(&builder.into_inner().unwrap(), Limits::default()).unwrap();
    assert_eq!((back[0].0.name.as_slice(), back[0].1.as_slice()), (name.as_bytes(), &b"abc"[..]));
    assert_eq!(back[1].0.link, "t".repeat(150).into_bytes());
}

#[track_caller]
fn refused(data: &[u8], limits: Limits, expect: &str) {
    let error = read(data, limits).unwrap_err().to_string();
    assert!(error.contains(expect), "{error}");
}

#[test]
fn class8_limits_hold_before_anything_is_allocated() {
    let limits = Limits::default();
    let mut bomb = file("x", b"");
    bomb.size = u64::MAX / 4;
    let mut out = Vec::new();
    Writer::new(&mut out).header(&bomb).unwrap();
    refused(&out, limits, "bytes");

    // An extended header that says it is huge.
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(1 << 33);
    header.set_cksum();
    refused(header.as_bytes(), limits, "extended headers");
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_cksum();
    refused(header.as_bytes(), limits, "extended headers");

    let many: Vec<_> = (0..10).map(|i| (file(&i.to_string(), b""), &b""[..])).collect();
    refused(&write(&many), Limits { entries: 9, ..limits }, "members");
    refused(&write(&[(file(&"n".repeat(5000), b""), b"")]), limits, "name");
}

#[test]
fn truncation_and_damage() {
    let data = write(&[(file("a", b"0123456789"), b"0123456789")]);
    refused(&data[..300], Limits::default(), "unexpected EOF");
    refused(&data[..515], Limits::default(), "unexpected EOF");
    refused(&data[..600], Limits::default(), "unexpected EOF");
    assert!(read(&data[..1024], Limits::default()).is_ok());
    let mut damaged = data.clone();
    damaged[3] ^= 1;
    refused(&damaged, Limits::default(), "invalid tar header");
    refused(b"this is not a tar archive, not even nearly", Limits::default(), "unexpected EOF");
    refused(&[7; 2048], Limits::default(), "invalid tar header");
}

#[test]
fn names_with_nul_and_owners_beyond_32_bits() {
    let pax = |key: &[u8], value: &[u8]| {
        let mut records = Vec::new();
        pax::push(&mut records, key, value);
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_size(records.len() as u64);
        header.set_cksum();
        records.resize(512, 0);
        [header.as_bytes().to_vec(), records, write(&[(file("a", b""), b"")])].concat()
    };
    refused(&pax(b"path", b"a\0b"), Limits::default(), "NUL");
    refused(&pax(b"uid", b"4294967296"), Limits::default(), "invalid owner");
    refused(&pax(b"gid", b"4294967295"), Limits::default(), "invalid owner");
}

#[test]
fn sparse_in_all_forms() {
    // GNU old: header entries, realsize.
    let mut header = tar::Header::new_gnu();
    header.set_path("s").unwrap();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(6);
    let field = header.as_mut_bytes();
    number::write(&mut field[386..398], 512);
    number::write(&mut field[398..410], 6);
    number::write(&mut field[483..495], 1000);
    for range in [100..108, 108..116, 116..124, 136..148] {
        number::write(&mut header.as_mut_bytes()[range], 0);
    }
    header.set_cksum();
    let mut data = header.as_bytes().to_vec();
    data.extend_from_slice(b"sparse");
    data.resize(2048 + 512, 0);
    let back = read(&data, Limits::default()).unwrap();
    assert_eq!((back[0].0.size, &back[0].0.sparse, back[0].1.as_slice()), (1000, &Some(vec![(512, 6)]), &b"sparse"[..]));

    // Pax 1.0: the map lies in front of the data.
    let mut records = Vec::new();
    for (k, v) in [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "real"), ("GNU.sparse.realsize", "700")] {
        pax::push(&mut records, k.as_bytes(), v.as_bytes());
    }
    let mut content = b"1\n100\n3\n".to_vec();
    content.resize(512, 0);
    content.extend_from_slice(b"abc");
    let mut x = tar::Header::new_ustar();
    x.set_entry_type(tar::EntryType::XHeader);
    x.set_size(records.len() as u64);
    x.set_cksum();
    records.resize(512, 0);
    let data = [x.as_bytes().to_vec(), records, write(&[(file("GNUSparseFile.0/real", &content), &content)])].concat();
    let back = read(&data, Limits::default()).unwrap();
    assert_eq!((back[0].0.name.as_slice(), back[0].0.size, &back[0].0.sparse), (&b"real"[..], 700, &Some(vec![(100, 3)])));
    assert_eq!(back[0].1, b"abc");
}

proptest! {
    #[test]
    fn any_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let _ = read(&data, Limits::default());
    }

    #[test]
    fn any_damage_never_panics(at in 0usize..2000, value in any::<u8>(), sum in any::<bool>()) {
        let mut hard = Member::new(Kind::HardLink, "ä".repeat(80).as_bytes(), 0o644);
        hard.link = b"a".to_vec();
        let mut data = write(&[(file("a", b"0123456789"), b"0123456789"), (hard, b"")]);
        let at = at % data.len();
        data[at] = value;
        if sum {
            let block = at / BLOCK * BLOCK;
            data[block + 148..block + 156].fill(b' ');
            let total: u64 = data[block..block + BLOCK].iter().map(|&b| u64::from(b)).sum();
            number::write(&mut data[block + 148..block + 155], total);
        }
        let _ = read(&data, Limits::default());
    }
}
