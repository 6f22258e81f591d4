//! The arguments of `ps` that say what is shown. Which processes are shown is settled, so arguments that choose them are passed over.

use super::columns::{self, Field};
use crate::error::{Error, Kind, Result};

/// One column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) field: &'static Field,
    pub(super) title: String,
    /// Widest a name may be.
    pub(super) width: usize,
}

/// Names of users and groups are cut to this.
const NAME_WIDTH: usize = 8;
/// More is nobody's question.
const LONGEST: usize = 4096;

const PLAIN: &str = "pid,tname,time,ucmd";
const FULL: &str = "user=UID,pid,ppid,c,stime,tname,time,cmd";
const EXTRA_FULL: &str = "user=UID,pid,ppid,c,sz,rss,psr,stime,tname,time,cmd";
const LONG: &str = "f,s,uid,pid,ppid,c,opri,ni,addr,sz,wchan,tname,time,ucmd";
const LONG_FULL: &str = "f,s,user=UID,pid,ppid,c,opri,ni,addr,sz,wchan,stime,tname,time,cmd";
const LONG_EXTRA_FULL: &str = "f,s,user=UID,pid,ppid,c,opri,ni,addr,sz,wchan,rss,psr,stime,tname,time,cmd";
const JOBS: &str = "pid,pgid,sid,tname,time,ucmd";
const JOBS_FULL: &str = "user=UID,pid,ppid,pgid,sid,c,stime,tname,time,cmd";
const BSD: &str = "pid,tname,stat,bsdtime,args";
const BSD_USER: &str = "user,pid,pcpu,pmem,vsz,rss,tname,stat,start_time,bsdtime,args";
const BSD_LONG: &str = "f,uid,pid,ppid,priority,ni,vsz,rss,wchan,stat,tname,bsdtime,args";
const BSD_JOBS: &str = "ppid,pid,pgid,sid,tname,tpgid,stat,uid,bsdtime,args";

fn refused(text: String) -> Error {
    Error::new(Kind::Internal, text)
}

fn unsupported(word: &str) -> Error {
    refused(format!("ps: error: unsupported option ({word})"))
}

/// Docker's check: no column may pretend to be that of the pids.
pub(super) fn check(ps: &str) -> Result<()> {
    if ps.len() > LONGEST {
        return Err(Error::new(Kind::Invalid, "ps_args is too long"));
    }
    // A word behind a blank that ends in `=PID...`.
    for word in ps.split_ascii_whitespace().skip(usize::from(!ps.starts_with(char::is_whitespace))) {
        if let Some((key, value)) = word.rsplit_once('=')
            && value.starts_with("PID")
            && key != "pid"
        {
            return Err(refused(format!("specifying \"{key}={value}\" is not allowed")));
        }
    }
    Ok(())
}

/// What the letters ask for.
#[derive(Default)]
struct Asked {
    full: bool,
    extra_full: bool,
    long: bool,
    jobs: bool,
    label: bool,
    bsd: bool,
    bsd_user: bool,
    bsd_long: bool,
    bsd_jobs: bool,
    /// Lists after `-o`.
    lists: Vec<String>,
}

/// The columns that the arguments ask for.
pub(super) fn parse(ps: &str) -> Result<Vec<Column>> {
    let mut asked = Asked::default();
    let mut words = ps.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            match name {
                "format" => asked.lists.push(value.or_else(|| words.next()).ok_or_else(|| no_list(word))?.to_owned()),
                "deselect" | "cols" | "columns" | "width" | "rows" | "lines" | "sort" | "headers" => {
                    if value.is_none() && matches!(name, "cols" | "columns" | "width" | "rows" | "lines" | "sort") {
                        words.next();
                    }
                }
                "context" => asked.label = true,
                _ => return Err(refused(format!("ps: error: unknown gnu long option ({word})"))),
            }
        } else if word == "-aux" || word == "-auxw" || word == "-auxww" {
            // What people type who know the other dialect.
            asked.bsd = true;
            asked.bsd_user = true;
        } else if let Some(letters) = word.strip_prefix('-') {
            unix(letters, &mut asked, &mut words)?;
        } else {
            bsd(word, &mut asked, &mut words)?;
        }
    }
    columns(&asked)
}

fn no_list(word: &str) -> Error {
    refused(format!("ps: error: format specification must follow {word}"))
}

fn unix<'a>(letters: &str, asked: &mut Asked, words: &mut impl Iterator<Item = &'a str>) -> Result<()> {
    for (at, letter) in letters.char_indices() {
        match letter {
            'e' | 'A' | 'a' | 'd' | 'N' | 'w' | 'c' | 'P' => {}
            'f' => asked.full = true,
            'F' => asked.extra_full = true,
            'l' => asked.long = true,
            'j' => asked.jobs = true,
            'M' | 'Z' => asked.label = true,
            'o' => {
                let rest = &letters[at + 1..];
                let list = if rest.is_empty() { words.next().ok_or_else(|| no_list("-o"))? } else { rest };
                asked.lists.push(list.to_owned());
                return Ok(());
            }
            _ => return Err(unsupported(&format!("-{letters}"))),
        }
    }
    Ok(())
}

fn bsd<'a>(letters: &str, asked: &mut Asked, words: &mut impl Iterator<Item = &'a str>) -> Result<()> {
    asked.bsd = true;
    for (at, letter) in letters.char_indices() {
        match letter {
            'a' | 'x' | 'w' | 'g' | 'r' => {}
            'u' => asked.bsd_user = true,
            'l' => asked.bsd_long = true,
            'j' => asked.bsd_jobs = true,
            'Z' | 'M' => asked.label = true,
            'o' => {
                let rest = &letters[at + 1..];
                let list = if rest.is_empty() { words.next().ok_or_else(|| no_list("o"))? } else { rest };
                asked.lists.push(list.to_owned());
                return Ok(());
            }
            _ => return Err(unsupported(letters)),
        }
    }
    Ok(())
}

fn columns(asked: &Asked) -> Result<Vec<Column>> {
    if !asked.lists.is_empty() {
        let mut all = Vec::new();
        for list in &asked.lists {
            all.extend(self::list(list)?);
        }
        // Without a single heading `ps` prints no line of headings.
        if all.iter().all(|column| column.title.is_empty()) {
            return Err(refused("Couldn't find PID field in ps output".to_owned()));
        }
        return Ok(all);
    }
    let text = match asked {
        Asked { bsd_user: true, .. } => BSD_USER,
        Asked { bsd_long: true, .. } => BSD_LONG,
        Asked { bsd_jobs: true, .. } => BSD_JOBS,
        Asked { long: true, extra_full: true, .. } => LONG_EXTRA_FULL,
        Asked { long: true, full: true, .. } => LONG_FULL,
        Asked { long: true, .. } => LONG,
        Asked { jobs: true, full: true, .. } | Asked { jobs: true, extra_full: true, .. } => JOBS_FULL,
        Asked { jobs: true, .. } => JOBS,
        Asked { extra_full: true, .. } => EXTRA_FULL,
        Asked { full: true, .. } => FULL,
        Asked { bsd: true, .. } => BSD,
        _ => PLAIN,
    };
    let mut columns = Vec::new();
    for item in text.split(',') {
        columns.push(one(item)?);
    }
    if asked.label {
        columns.insert(0, one("label")?);
    }
    Ok(columns)
}

/// `pid,user:20,comm=NAME`: what follows an equals sign is a heading up to the end.
fn list(text: &str) -> Result<Vec<Column>> {
    let empty = || refused("ps: error: empty format list".to_owned());
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let comma = rest.find(',').unwrap_or(rest.len());
        let item = match rest.find('=') {
            Some(equals) if equals < comma => std::mem::take(&mut rest),
            _ => {
                let item = &rest[..comma];
                rest = rest[comma..].strip_prefix(',').unwrap_or_default();
                item
            }
        };
        out.push(one(item)?);
    }
    if out.is_empty() { Err(empty()) } else { Ok(out) }
}

fn one(item: &str) -> Result<Column> {
    let (spec, title) = item.split_once('=').map_or((item, None), |(spec, title)| (spec, Some(title)));
    let (name, width) = match spec.split_once(':') {
        Some((name, width)) => (name, width.parse().ok().filter(|width| (1..=1024).contains(width))),
        None => (spec, Some(NAME_WIDTH)),
    };
    let unknown = || refused(format!("ps: error: unknown user-defined format specifier \"{spec}\""));
    let field = columns::find(name).ok_or_else(unknown)?;
    Ok(Column { field, title: title.unwrap_or(field.title).to_owned(), width: width.ok_or_else(unknown)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(ps: &str) -> std::result::Result<String, String> {
        check(ps)
            .and_then(|()| parse(ps))
            .map(|all| all.iter().map(|c| c.title.clone()).collect::<Vec<_>>().join(" "))
            .map_err(|e| e.message)
    }

    #[test]
    fn headings_as_ps_has_them() {
        let check = |ps: &str, expect: &str| assert_eq!(titles(ps).as_deref(), Ok(expect), "{ps}");
        check("-ef", "UID PID PPID C STIME TTY TIME CMD");
        check("-e -f -ww", "UID PID PPID C STIME TTY TIME CMD");
        check("-F", "UID PID PPID C SZ RSS PSR STIME TTY TIME CMD");
        check("-l", "F S UID PID PPID C PRI NI ADDR SZ WCHAN TTY TIME CMD");
        check("-j", "PID PGID SID TTY TIME CMD");
        check("-jf", "UID PID PPID PGID SID C STIME TTY TIME CMD");
        check("-Z", "LABEL PID TTY TIME CMD");
        check("-A", "PID TTY TIME CMD");
        for bsd in ["aux", "axu", "-aux", "auxww", "a u x"] {
            check(bsd, "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND");
        }
        check("ax", "PID TTY STAT TIME COMMAND");
        check("axl", "F UID PID PPID PRI NI VSZ RSS WCHAN STAT TTY TIME COMMAND");
        check("axj", "PPID PID PGID SID TTY TPGID STAT UID TIME COMMAND");
        check("-o pid,comm", "PID COMMAND");
        check("-eopid,user:20 -o args=WHAT,IT", "PID USER WHAT,IT");
        check("axo pid,etime", "PID ELAPSED");
        check("--format=pid,ni --sort -pid", "PID NI");
        check("-o pid=PID", "PID");
    }

    #[test]
    fn what_is_refused() {
        let check = |ps: &str, expect: &str| assert_eq!(titles(ps), Err(expect.to_owned()), "{ps}");
        check("-eo foo", "ps: error: unknown user-defined format specifier \"foo\"");
        check("-o pid,x=PID", "specifying \"pid,x=PID\" is not allowed");
        check("-o pid= -o x=PID", "specifying \"x=PID\" is not allowed");
        check("-o pid:0", "ps: error: unknown user-defined format specifier \"pid:0\"");
        check("-o", "ps: error: format specification must follow -o");
        check("-o pid=", "Couldn't find PID field in ps output");
        check("-eLf", "ps: error: unsupported option (-eLf)");
        check("axf", "ps: error: unsupported option (axf)");
        check("--bogus", "ps: error: unknown gnu long option (--bogus)");
    }
}
