//! The arguments of `ps`: which columns are shown, of which processes, in which order.

use crate::columns::{self, Field};
use crate::error::{Refused, Result, refused};
use crate::select::Selection;

/// One column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) field: &'static Field,
    pub(crate) title: String,
    /// What has more letters is cut, or pushes what follows.
    pub(crate) width: usize,
}

/// What is to be shown.
#[derive(Debug)]
pub struct View {
    pub(crate) columns: Vec<Column>,
    /// A row for each thread.
    pub(crate) threads: bool,
    /// Children below their parents.
    pub(crate) forest: bool,
    pub(crate) selection: Selection,
    /// What rows are ordered by, each with whether the largest comes first.
    pub(crate) keys: Vec<(&'static Field, bool)>,
}

impl View {
    /// Whether there is a column with this heading.
    pub fn has(&self, title: &str) -> bool {
        self.columns.iter().any(|column| column.title == title)
    }
}

const PLAIN: &str = "pid,tname,time,ucmd";
const FULL: &str = "user=UID,pid,ppid,c,stime,tname,time,cmd";
const EXTRA_FULL: &str = "user=UID,pid,ppid,c,sz,rss,psr,stime,tname,time,cmd";
const LONG: &str = "f,s,uid,pid,ppid,c,opri,ni,addr_1,sz,wchan,tname,time,ucmd";
const LONG_FULL: &str = "f,s,user=UID,pid,ppid,c,opri,ni,addr_1,sz,wchan,stime,tname,time,cmd";
const LONG_EXTRA_FULL: &str = "f,s,user=UID,pid,ppid,c,opri,ni,addr_1,sz,wchan,rss,psr,stime,tname,time,cmd";
const LONG_JOBS: &str = "f,s,uid,pid,ppid,pgid,sid,c,opri,ni,addr_1,sz,wchan,tname,time,ucmd";
const JOBS: &str = "pid,pgid,sid,tname,time,ucmd";
const JOBS_FULL: &str = "user=UID,pid,ppid,pgid,sid,c,stime,tname,time,cmd";
const BSD: &str = "pid,tname,stat,bsdtime,args";
const BSD_USER: &str = "user,pid,pcpu,pmem,vsz,rss,tname,stat,start_time,bsdtime,args";
const BSD_LONG: &str = "f,uid,pid,ppid,priority,ni,vsz,rss,wchan,stat,tname,bsdtime,args";
const BSD_JOBS: &str = "ppid,pid,pgid,sid,tname,tpgid,stat,uid,bsdtime,args";
const BSD_SIGNALS: &str = "uid,pid,pending,blocked,ignored,caught,stat,tname,bsdtime,args";
const BSD_MEMORY: &str = "pid,tname,stat,bsdtime,maj_flt,trs,drs,rss,pmem,args";

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
    no_headings: bool,
    /// Lists after `-o`.
    lists: Vec<String>,
    selection: Selection,
    keys: Vec<(&'static Field, bool)>,
}

/// Words of the arguments that were not looked at yet.
type Words<'a> = std::iter::Copied<std::slice::Iter<'a, &'a str>>;

/// What the arguments ask for.
///
/// # Errors
/// What `ps` would refuse, and what nobody here understands of its arguments.
pub fn parse(words: &[&str]) -> Result<View> {
    let mut asked = Asked::default();
    let mut words = words.iter().copied();
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
    // Without a single heading `ps` prints no line of headings.
    if asked.no_headings || columns.iter().all(|column| column.title.is_empty()) {
        return Err(Refused::NoTable);
    }
    let threads = asked.lwp || asked.spid || asked.threads;
    Ok(View { columns, threads, forest: asked.forest, selection: asked.selection, keys: asked.keys })
}

/// The list that must follow an option: the rest of its word, or the next one.
fn list<'a>(rest: &'a str, words: &mut Words<'a>, missing: &str) -> Result<&'a str> {
    let found = if rest.is_empty() { words.next() } else { Some(rest) };
    found.ok_or_else(|| refused(missing))
}

fn gnu<'a>(long: &'a str, asked: &mut Asked, words: &mut Words<'a>) -> Result<()> {
    let (name, value) = long.split_once('=').unwrap_or((long, ""));
    match name {
        "format" => asked.lists.push(list(value, words, "format specification must follow --format")?.to_owned()),
        "pid" => asked.selection.pids(list(value, words, "list of process IDs must follow --pid")?)?,
        "ppid" => asked.selection.parents(list(value, words, "list of process IDs must follow --ppid")?)?,
        "user" => asked.selection.users(list(value, words, "list of user names must follow --user")?, true),
        "User" => asked.selection.users(list(value, words, "list of user names must follow --User")?, false),
        "group" => asked.selection.groups(list(value, words, "list of effective groups must follow --group")?, true),
        "Group" => asked.selection.groups(list(value, words, "list of real groups must follow --Group")?, false),
        "sid" => asked.selection.sessions(list(value, words, "some sid thing(s) must follow --sid")?)?,
        "tty" => asked.selection.terminals(list(value, words, "list of terminals must follow --tty")?),
        "sort" => asked.keys = keys(list(value, words, "long sort specification must follow --sort")?)?,
        "deselect" => asked.selection.invert(),
        "no-headers" | "no-heading" | "no-headings" | "noheader" | "noheaders" | "noheading" | "noheadings" => asked.no_headings = true,
        "cols" | "columns" | "width" => drop(list(value, words, "number of columns must follow --cols, --width, or --columns")?),
        "rows" | "lines" => drop(list(value, words, "number of rows must follow --rows or --lines")?),
        "headers" | "cumulative" => {}
        "forest" => asked.forest = true,
        "context" => asked.label = true,
        "help" | "version" | "info" => return Err(Refused::NoTable),
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
            'N' => asked.selection.invert(),
            'V' => return Err(Refused::NoTable),
            'o' => return push(asked, list(rest, words, "format specification must follow -o")?),
            'O' => return preloaded(asked, list(rest, words, "format or sort specification must follow -O")?),
            's' => return asked.selection.sessions(list(rest, words, "list of sessions must follow -s")?),
            'g' => return sessions_or_groups(asked, list(rest, words, "list of session leaders OR effective group names must follow -g")?),
            'G' => return groups(asked, list(rest, words, "list of real groups must follow -G")?),
            't' => return terminals(asked, list(rest, words, "list of terminals (pty, tty...) must follow -t")?),
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

/// Columns between those that are always there.
fn preloaded(asked: &mut Asked, list: &str) -> Result<()> {
    push(asked, &format!("pid,{list}"))?;
    push(asked, "s,tname,time,args")
}

fn terminals(asked: &mut Asked, list: &str) -> Result<()> {
    asked.selection.terminals(list);
    Ok(())
}

fn groups(asked: &mut Asked, list: &str) -> Result<()> {
    asked.selection.groups(list, false);
    Ok(())
}

/// A number is a session, anything else a group.
fn sessions_or_groups(asked: &mut Asked, list: &str) -> Result<()> {
    if asked.selection.sessions(list).is_err() {
        asked.selection.groups(list, true);
    }
    Ok(())
}

/// `+pid,-rss`.
fn keys(list: &str) -> Result<Vec<(&'static Field, bool)>> {
    let key = |word: &str| {
        let falling = word.starts_with('-');
        let name = word.strip_prefix(['+', '-']).unwrap_or(word);
        columns::find(name).map(|field| (field, falling)).ok_or_else(|| refused("unknown sort specifier"))
    };
    list.split(',').map(key).collect()
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
            'h' => asked.no_headings = true,
            'k' => {
                asked.keys = keys(list(rest, words, "long sort specification must follow k")?)?;
                return Ok(());
            }
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
        items.iter_mut().filter(|item| **item == "addr_1").for_each(|item| *item = "rss");
    }
    if asked.class {
        let at = find(items, &["c"]).or_else(|| find(items, &["pid"]).map(|at| at + 1)).unwrap_or(0);
        items.retain(|item| !matches!(*item, "c" | "opri" | "ni"));
        items.splice(at..at, ["class", "pri"]);
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

/// `pid,user:20,comm=NAME`, also with blanks for commas.
fn format(text: &str) -> Result<Vec<Column>> {
    let text = text.strip_suffix([',', ' ', '\t']).unwrap_or(text);
    let column = |item: &str| if item.is_empty() { Err(refused("improper format list")) } else { one(item) };
    text.split([',', ' ', '\t']).map(column).collect()
}

fn one(item: &str) -> Result<Column> {
    let (spec, title) = item.split_once('=').map_or((item, None), |(spec, title)| (spec, Some(title)));
    let (name, width) = match spec.split_once(':') {
        Some((name, width)) => {
            let width = width.parse().ok().filter(|width| (1..=1024).contains(width));
            (name, Some(width.ok_or_else(|| refused("column widths must be unsigned decimal numbers"))?))
        }
        None => (spec, None),
    };
    let field = columns::find(name).ok_or_else(|| refused(&format!("unknown user-defined format specifier \"{spec}\"")))?;
    let width = width.unwrap_or_else(|| field.width.max(title.map_or(0, |title| title.chars().count())));
    Ok(Column { field, title: title.unwrap_or(field.title).to_owned(), width })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(ps: &str) -> std::result::Result<String, String> {
        parse(&ps.split_ascii_whitespace().collect::<Vec<_>>())
            .map(|view| view.columns.iter().map(|c| c.title.clone()).collect::<Vec<_>>().join(" "))
            .map_err(|e| e.to_string())
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
        check("-eopid,user:20 -o args=WHAT,comm=", "PID USER WHAT ");
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
        check("-O ni,rss", "PID NI RSS S TTY TIME COMMAND");
        check("-g 1 -g www -G www -s 5 -t pts/0 -N --deselect", "PID TTY TIME CMD");
        check("axk -rss", "PID TTY STAT TIME COMMAND");
    }

    #[test]
    fn words_with_blanks() {
        let view = parse(&["-o", "pid comm=A-VERY-LONG-HEADING,vsz:1"]).unwrap();
        let columns: Vec<_> = view.columns.iter().map(|column| (column.title.as_str(), column.width)).collect();
        assert_eq!(columns, [("PID", 5), ("A-VERY-LONG-HEADING", 19), ("VSZ", 1)]);
        assert!(view.has("PID") && !view.has("COMMAND"));
        let view = parse(&["-o", "uid=LONGERTITLE", "-oargs", "--sort", "-pid,user"]).unwrap();
        assert_eq!((view.columns[0].width, view.keys.len(), view.keys[0].1, view.keys[1].1), (11, 2, true, false));
    }

    #[test]
    fn what_is_refused() {
        let check = |ps: &str, expect: &str| assert_eq!(titles(ps), Err(expect.to_owned()), "{ps}");
        check("-eo foo", "error: unknown user-defined format specifier \"foo\"");
        check("-o pid:0", "error: column widths must be unsigned decimal numbers");
        check("-o", "error: format specification must follow -o");
        check("-o pid=", "no table");
        check("-eY", "error: unsupported SysV option");
        check("axz", "error: unsupported option (BSD syntax)");
        check("aux;ls", "error: unsupported option (BSD syntax)");
        check("--bogus", "error: unknown gnu long option");
        check("--", "error: garbage option");
        check("-LT", "error: thread flags conflict; can't use both -L and -T");
        check("-y", "error: modifier -y without format -l makes no sense");
        check("axu l", "error: conflicting format options");
        check("-o ,pid", "error: improper format list");
        check("-o pid,,comm", "error: improper format list");
        check("-o args=WHAT,IT", "error: unknown user-defined format specifier \"IT\"");
        check("--sort foo", "error: unknown sort specifier");
        check("-ef --no-headers", "no table");
        check("-q", "error: List of process IDs must follow -q.");
        check("p", "error: list of process IDs must follow p");
        check("-p x", "error: process ID list syntax error");
        check("--help", "no table");
        check("-é", "error: unsupported SysV option");
    }
}
