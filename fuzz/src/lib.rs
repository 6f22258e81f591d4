//! What the targets share.

use std::path::PathBuf;

/// An archive whose check sums are right: a random one never gets past its first header. The first byte of the input decides, so that
/// wrong sums are tried as well.
pub fn archive(input: &[u8]) -> Vec<u8> {
    let Some((mode, rest)) = input.split_first() else { return Vec::new() };
    let mut tar = rest.to_vec();
    if mode & 1 == 0 {
        repair(&mut tar);
    }
    tar
}

fn repair(tar: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..at + 512) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let text: String = header[124..136].iter().map(|byte| char::from(*byte)).take_while(|c| c.is_digit(8)).collect();
        let size = usize::from_str_radix(&text, 8).unwrap_or(0);
        let Some(next) = size.checked_next_multiple_of(512).and_then(|size| at.checked_add(512 + size)) else { return };
        at = next;
    }
}

/// A directory for one run: in memory, where layers are unpacked, or on a disk, where they are kept as their tars.
pub fn scratch(place: &str) -> tempfile::TempDir {
    let place = PathBuf::from(place);
    let place = if place.is_dir() { place } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("dhow-fuzz").tempdir_in(place).expect("a directory")
}
