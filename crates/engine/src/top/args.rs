//! The arguments of `ps`: which columns are shown, and which of the container's processes.

use super::columns::{self, Field};
use super::select::Selection;
use crate::error::{Error, Kind, Result};

/// One column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) field: &'static Field,
    pub(super) title: String,
    /// Widest a name may be.
    pub(super) width: usize,
}

/// What is to be shown.
#[derive(Debug)]
pub(super) struct View {
    pub(super) columns: Vec<Column>,
    /// A row for each thread.
    pub(super) threads: bool,
    /// Children below their parents.
    pub(super) forest: bool,
    pub(super) selection: Selection,
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
const LONG_JOBS: &str = "f,s,uid,pid,ppid,pgid,sid,c,opri,ni,addr,sz,wchan,tname,time,ucmd";
const JOBS: &str = "pid,pgid,sid,tname,time,ucmd";
const JOBS_FULL: &str = "user=UID,pid,ppid,pgid,sid,c,stime,tname,time,cmd";
const BSD: &str = "pid,tname,stat,bsdtime,args";
const BSD_USER: &str = "user,pid,pcpu,pmem,vsz,rss,tname,stat,start_time,bsdtime,args";
const BSD_LONG: &str = "f,uid,pid,ppid,priority,ni,vsz,rss,wchan,stat,tname,bsdtime,args";
const BSD_JOBS: &str = "ppid,pid,pgid,sid,tname,tpgid,stat,uid,bsdtime,args";
const BSD_SIGNALS: &str = "uid,pid,pending,blocked,ignored,caught,stat,tname,bsdtime,args";
const BSD_MEMORY: &str = "pid,tname,stat,bsdtime,maj_flt,trs,drs,rss,pmem,args";

fn refused(text: &str) -> Error {
    Error::new(Kind::Internal, format!("ps: error: {text}"))
}

/// What Docker says of an answer in which it does not know the processes.
pub(super) fn no_pids() -> Error {
    Error::new(Kind::Internal, "Couldn't find PID field in ps output")
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
            return Err(Error::new(Kind::Internal, format!("specifying \"{key}={value}\" is not allowed")));
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
    class: bool,
    cpu: bool,
    no_flags: bool,
    lwp: bool,
    spid: bool,
    threads: bool,
    forest: bool,
    bsd: bool,
    bsd_user: bool,
    bsd_long: bool,
    bsd_jobs: bool,
    bsd_signals: bool,
    bsd_memory: bool,
    /// Lists after `-o`.
    lists: Vec<String>,
    selection: Selection,
}

/// Words of the arguments that were not looked at yet.
type Words<'a> = std::str::SplitAsciiWhitespace<'a>;

/// What the arguments ask for.
pub(super) fn parse(ps: &str) -> Result<View> {
    let mut asked = Asked::default();
    let mut words = ps.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if word == "-" || word == "--" {
            return Err(refused("garbage option"));
        } else if let Some(long) = word.strip_prefix("--") {
            gnu(long, &mut asked, &mut words)?;
        } else if word == "-aux" || word == "-auxw" || word == "-auxww" {
            // What people type who know the other dialect.
            asked.bsd = true;
            asked.bsd_user = true;
        } else if let Some(letters) = word.strip_prefix('-') {
            unix(letters, &mut asked, &mut words)?;
        } else if word.starts_with(|c: char| c.is_ascii_digit()) {
            asked.selection.pids(word)?;
        } else {
            bsd(word, &mut asked, &mut words)?;
        }
    }
    if asked.lwp && asked.spid {
        return Err(refused("thread flags conflict; can't use both -L and -T"));
    }
    if asked.no_flags && !asked.long {
        return Err(refused("modifier -y without format -l makes no sense"));
    }
    let columns = columns(&asked)?;
    let threads = asked.lwp || asked.spid || asked.threads;
    Ok(View { columns, threads, forest: asked.forest, selection: asked.selection })
}

/// The list that must follow an option: the rest of its word, or the next one.
fn list<'a>(rest: &'a str, words: &mut Words<'a>, missing: &str) -> Result<&'a str> {
    let found = if rest.is_empty() { words.next() } else { Some(rest) };
    found.ok_or_else(|| refused(missing))
}

fn gnu<'a>(long: &'a str, asked: &mut Asked, words: &mut Words<'a>) -> Result<()> {
    let (name, value) = long.split_once('=').map_or((long, ""), |(name, value)| (name, value));
    match name {
        "format" => asked.lists.push(list(value, words, "format specification must follow --format")?.to_owned()),
        "pid" => asked.selection.pids(list(value, words, "list of process IDs must follow --pid")?)?,
        "ppid" => asked.selection.parents(list(value, words, "list of process IDs must follow --ppid")?)?,
        "user" => asked.selection.users(list(value, words, "list of user names must follow --user")?, true),
        "User" => asked.selection.users(list(value, words, "list of user names must follow --User")?, false),
        "sort" => drop(list(value, words, "long sort specification must follow --sort")?),
        "cols" | "columns" | "width" => drop(list(value, words, "number of columns must follow --cols, --width, or --columns")?),
        "rows" | "lines" => drop(list(value, words, "number of rows must follow --rows or --lines")?),
        "headers" | "cumulative" => {}
        "forest" => asked.forest = true,
        "context" => asked.label = true,
        "help" | "version" | "info" => return Err(no_pids()),
        _ => return Err(refused("unknown gnu long option")),
    }
    Ok(())
}

fn unix<'a>(letters: &'a str, asked: &mut Asked, words: &mut Words<'a>) -> Result<()> {
    for (at, letter) in letters.char_indices() {
        let rest = letters.get(at + letter.len_utf8()..).unwrap_or_default();
        match letter {
            'e' | 'A' => asked.selection.all(),
            'a' | 'd' | 'w' => {}
            'c' => asked.class = true,
            'P' => asked.cpu = true,
            'f' => asked.full = true,
            'F' => asked.extra_full = true,
            'l' => asked.long = true,
            'j' => asked.jobs = true,
            'y' => asked.no_flags = true,
            'M' | 'Z' => asked.label = true,
            'L' => asked.lwp = true,
            'T' => asked.spid = true,
            'H' => asked.forest = true,
            'V' => return Err(no_pids()),
            'o' => return push(asked, list(rest, words, "format specification must follow -o")?),
            'p' => return asked.selection.pids(list(rest, words, "list of process IDs must follow -p")?),
            'q' => return asked.selection.pids(list(rest, words, "List of process IDs must follow -q.")?),
            'C' => return commands(asked, list(rest, words, "list of command names must follow -C")?),
            'u' => return users(asked, list(rest, words, "list of users must follow -u")?, true),
            'U' => return users(asked, list(rest, words, "list of real users must follow -U")?, false),
            _ => return Err(refused("unsupported SysV option")),
        }
    }
    Ok(())
}

fn push(asked: &mut Asked, list: &str) -> Result<()> {
    asked.lists.push(list.to_owned());
    Ok(())
}

fn commands(asked: &mut Asked, list: &str) -> Result<()> {
    asked.selection.commands(list);
    Ok(())
}

fn users(asked: &mut Asked, list: &str, effective: bool) -> Result<()> {
    asked.selection.users(list, effective);
    Ok(())
}

fn bsd<'a>(letters: &'a str, asked: &mut Asked, words: &mut Words<'a>) -> Result<()> {
    asked.bsd = true;
    for (at, letter) in letters.char_indices() {
        let rest = letters.get(at + letter.len_utf8()..).unwrap_or_default();
        match letter {
            'a' | 'x' | 'w' | 'g' | 'r' | 'c' | 'n' | 'S' => {}
            'u' => asked.bsd_user = true,
            'l' => asked.bsd_long = true,
            'j' => asked.bsd_jobs = true,
            's' => asked.bsd_signals = true,
            'v' => asked.bsd_memory = true,
            'f' => asked.forest = true,
            'H' => asked.threads = true,
            'Z' | 'M' => asked.label = true,
            'o' => return push(asked, list(rest, words, "format specification must follow o")?),
            'p' => return asked.selection.pids(list(rest, words, "list of process IDs must follow p")?),
            'U' => return users(asked, list(rest, words, "list of users must follow U")?, true),
            _ => return Err(refused("unsupported option (BSD syntax)")),
        }
    }
    Ok(())
}

fn columns(asked: &Asked) -> Result<Vec<Column>> {
    if !asked.lists.is_empty() {
        let mut all = Vec::new();
        for list in &asked.lists {
            all.extend(format(list)?);
        }
        // Without a single heading `ps` prints no line of headings.
        if all.iter().all(|column| column.title.is_empty()) {
            return Err(no_pids());
        }
        return Ok(all);
    }
    let bsd = [asked.bsd_user, asked.bsd_long, asked.bsd_jobs, asked.bsd_signals, asked.bsd_memory];
    if bsd.iter().filter(|one| **one).count() > 1 {
        return Err(refused("conflicting format options"));
    }
    let mut items: Vec<&str> = layout(asked).split(',').collect();
    insert(asked, &mut items);
    items.into_iter().map(one).collect()
}

/// The columns of a format by its letters.
fn layout(asked: &Asked) -> &'static str {
    match asked {
        Asked { bsd_user: true, .. } => BSD_USER,
        Asked { bsd_long: true, .. } => BSD_LONG,
        Asked { bsd_jobs: true, .. } => BSD_JOBS,
        Asked { bsd_signals: true, .. } => BSD_SIGNALS,
        Asked { bsd_memory: true, .. } => BSD_MEMORY,
        Asked { long: true, extra_full: true, .. } => LONG_EXTRA_FULL,
        Asked { long: true, full: true, .. } => LONG_FULL,
        Asked { long: true, jobs: true, .. } => LONG_JOBS,
        Asked { long: true, .. } => LONG,
        Asked { jobs: true, full: true, .. } | Asked { jobs: true, extra_full: true, .. } => JOBS_FULL,
        Asked { jobs: true, .. } => JOBS,
        Asked { extra_full: true, .. } => EXTRA_FULL,
        Asked { full: true, .. } => FULL,
        Asked { bsd: true, .. } => BSD,
        _ => PLAIN,
    }
}

/// Letters that add columns to a format, or exchange some.
fn insert(asked: &Asked, items: &mut Vec<&str>) {
    let find = |items: &[&str], names: &[&str]| names.iter().find_map(|name| items.iter().position(|item| item == name));
    if asked.no_flags {
        items.retain(|item| *item != "f");
        items.iter_mut().filter(|item| **item == "addr").for_each(|item| *item = "rss");
    }
    if asked.class {
        let at = find(items, &["c"]).or_else(|| find(items, &["pid"]).map(|at| at + 1)).unwrap_or(0);
        items.retain(|item| !matches!(*item, "c" | "opri" | "ni"));
        items.splice(at..at, ["cls", "pri"]);
    }
    if asked.cpu && !items.contains(&"psr") {
        let at = find(items, &["ppid", "pid"]).map_or(0, |at| at + 1);
        items.insert(at, "psr");
    }
    if asked.lwp {
        if asked.full || asked.extra_full || asked.bsd_user {
            let at = find(items, &["c", "pcpu"]).map_or(items.len(), |at| at + 1);
            items.insert(at, "nlwp");
        }
        let at = find(items, &["sid", "ppid", "pid"]).map_or(0, |at| at + 1);
        items.insert(at, "lwp");
    }
    if asked.spid {
        let at = find(items, &["pid"]).map_or(0, |at| at + 1);
        items.insert(at, "spid");
    }
    if asked.label {
        items.insert(0, "label");
    }
}

/// `pid,user:20,comm=NAME`: what follows an equals sign is a heading up to the end.
fn format(text: &str) -> Result<Vec<Column>> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let comma = rest.find(',').unwrap_or(rest.len());
        let item = match rest.find('=') {
            Some(equals) if equals < comma => std::mem::take(&mut rest),
            _ => {
                let (item, after) = rest.split_at(comma);
                rest = after.strip_prefix(',').unwrap_or_default();
                item
            }
        };
        if item.is_empty() {
            return Err(refused("improper format list"));
        }
        out.push(one(item)?);
    }
    Ok(out)
}

fn one(item: &str) -> Result<Column> {
    let (spec, title) = item.split_once('=').map_or((item, None), |(spec, title)| (spec, Some(title)));
    let (name, width) = match spec.split_once(':') {
        Some((name, width)) => (name, width.parse().ok().filter(|width| (1..=1024).contains(width))),
        None => (spec, Some(NAME_WIDTH)),
    };
    let width = width.ok_or_else(|| refused("column widths must be unsigned decimal numbers"))?;
    let field = columns::find(name).ok_or_else(|| refused(&format!("unknown user-defined format specifier \"{spec}\"")))?;
    Ok(Column { field, title: title.unwrap_or(field.title).to_owned(), width })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(ps: &str) -> std::result::Result<String, String> {
        check(ps)
            .and_then(|()| parse(ps))
            .map(|view| view.columns.iter().map(|c| c.title.clone()).collect::<Vec<_>>().join(" "))
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
        check("-o pid,", "PID");
    }

    #[test]
    fn threads_and_other_additions() {
        let check = |ps: &str, expect: &str| assert_eq!(titles(ps).as_deref(), Ok(expect), "{ps}");
        check("-L", "PID LWP TTY TIME CMD");
        check("-eLf", "UID PID PPID LWP C NLWP STIME TTY TIME CMD");
        check("-LF", "UID PID PPID LWP C NLWP SZ RSS PSR STIME TTY TIME CMD");
        check("-Ll", "F S UID PID PPID LWP C PRI NI ADDR SZ WCHAN TTY TIME CMD");
        check("-Ljf", "UID PID PPID PGID SID LWP C NLWP STIME TTY TIME CMD");
        check("-T", "PID SPID TTY TIME CMD");
        check("-Tf", "UID PID SPID PPID C STIME TTY TIME CMD");
        check("-Tj", "PID SPID PGID SID TTY TIME CMD");
        check("aux -L", "USER PID LWP %CPU NLWP %MEM VSZ RSS TTY STAT START TIME COMMAND");
        check("axH", "PID TTY STAT TIME COMMAND");
        check("axs", "UID PID PENDING BLOCKED IGNORED CAUGHT STAT TTY TIME COMMAND");
        check("axv", "PID TTY STAT TIME MAJFL TRS DRS RSS %MEM COMMAND");
        check("-ly", "S UID PID PPID C PRI NI RSS SZ WCHAN TTY TIME CMD");
        check("-P", "PID PSR TTY TIME CMD");
        check("-PLf", "UID PID PPID LWP PSR C NLWP STIME TTY TIME CMD");
        check("-c", "PID CLS PRI TTY TIME CMD");
        check("-cl", "F S UID PID PPID CLS PRI ADDR SZ WCHAN TTY TIME CMD");
        check("-cf", "UID PID PPID CLS PRI STIME TTY TIME CMD");
        check("-lj", "F S UID PID PPID PGID SID C PRI NI ADDR SZ WCHAN TTY TIME CMD");
        check("-ef --forest", "UID PID PPID C STIME TTY TIME CMD");
        check("-p 1,2 -C sh -u root", "PID TTY TIME CMD");
    }

    #[test]
    fn what_is_refused() {
        let check = |ps: &str, expect: &str| assert_eq!(titles(ps), Err(expect.to_owned()), "{ps}");
        check("-eo foo", "ps: error: unknown user-defined format specifier \"foo\"");
        check("-o pid,x=PID", "specifying \"pid,x=PID\" is not allowed");
        check("-o pid= -o x=PID", "specifying \"x=PID\" is not allowed");
        check("-o pid:0", "ps: error: column widths must be unsigned decimal numbers");
        check("-o", "ps: error: format specification must follow -o");
        check("-o pid=", "Couldn't find PID field in ps output");
        check("-eY", "ps: error: unsupported SysV option");
        check("axz", "ps: error: unsupported option (BSD syntax)");
        check("aux;ls", "ps: error: unsupported option (BSD syntax)");
        check("--bogus", "ps: error: unknown gnu long option");
        check("--", "ps: error: garbage option");
        check("-LT", "ps: error: thread flags conflict; can't use both -L and -T");
        check("-y", "ps: error: modifier -y without format -l makes no sense");
        check("axu l", "ps: error: conflicting format options");
        check("-o ,pid", "ps: error: improper format list");
        check("-q", "ps: error: List of process IDs must follow -q.");
        check("p", "ps: error: list of process IDs must follow p");
        check("-p x", "ps: error: process ID list syntax error");
        check("--help", "Couldn't find PID field in ps output");
        check("-é", "ps: error: unsupported SysV option");
    }
}
