//! The environment of a process.

use crate::model::Request;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Of the container's own process. `linked`: what its links tell it.
pub(crate) fn container(request: &Request, linked: &[String], home: &str) -> Vec<String> {
    with_home(base(request, linked, request.tty), home)
}

/// Of an exec: the container's rules again, then its own variables.
pub(crate) fn exec(request: &Request, linked: &[String], tty: bool, own: &[String], home: &str) -> Vec<String> {
    let mut env = base(request, linked, tty);
    overlay(&mut env, own);
    with_home(env, home)
}

fn base(request: &Request, linked: &[String], tty: bool) -> Vec<String> {
    let mut env = vec![PATH.to_owned(), format!("HOSTNAME={}", request.hostname)];
    if tty {
        env.push("TERM=xterm".into());
    }
    env.extend_from_slice(linked);
    overlay(&mut env, &request.env);
    env
}

/// Replaces variables of the same name in place, adds the others, and removes those that are named without a value.
pub(super) fn overlay(env: &mut Vec<String>, over: &[String]) {
    for entry in over {
        let name = name(entry);
        let place = env.iter().position(|e| self::name(e) == name);
        match (entry.contains('='), place) {
            (true, Some(at)) => env[at].clone_from(entry),
            (true, None) => env.push(entry.clone()),
            (false, Some(at)) => drop(env.remove(at)),
            (false, None) => {}
        }
    }
}

fn name(entry: &str) -> &str {
    entry.split('=').next().unwrap_or_default()
}

fn with_home(mut env: Vec<String>, home: &str) -> Vec<String> {
    if !env.iter().any(|e| name(e) == "HOME") {
        env.push(format!("HOME={home}"));
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn order_and_replacement() {
        let request = Request { hostname: "h".into(), env: words("A=1 PATH=/x B=2"), tty: true, ..Request::default() };
        let linked = words("DB_NAME=/x/db A=0");
        assert_eq!(container(&request, &[], "/root"), words("PATH=/x HOSTNAME=h TERM=xterm A=1 B=2 HOME=/root"));
        assert_eq!(container(&request, &linked, "/"), words("PATH=/x HOSTNAME=h TERM=xterm DB_NAME=/x/db A=1 B=2 HOME=/"));
        assert_eq!(exec(&request, &[], false, &words("A=2 B C=3"), "/"), words("PATH=/x HOSTNAME=h A=2 C=3 HOME=/"));
    }

    #[test]
    fn a_bare_name_removes() {
        let request = Request { hostname: "h".into(), env: words("PATH HOME=/mine"), ..Request::default() };
        assert_eq!(container(&request, &[], "/root"), words("HOSTNAME=h HOME=/mine"));
    }
}
