//! Groups of the host, from its own file: a static program has no name service.

use std::io;

/// Number of a group; `None` where there is none of this name. A number is its own answer.
pub(crate) fn find(name: &str) -> io::Result<Option<u32>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    Ok(parse(&std::fs::read_to_string("/etc/group")?, name))
}

fn parse(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup() {
        let text = "root:x:0:\ndocker:x:998:me,you\nbad:x:y:\n";
        assert_eq!(parse(text, "docker"), Some(998));
        assert_eq!(parse(text, "dock"), None);
        assert_eq!(parse(text, "bad"), None);
    }
}
