//! `login`.

use std::io::{Read, Write};

use dhow_api::client::{Client, Request};
use serde::Deserialize;
use serde_json::json;

use crate::app::App;
use crate::command::{Arity, Command};
use crate::credentials::{self, Credentials};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string, switch};
use crate::output::{say, warn};
use crate::terminal;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["login"],
    usage: "[OPTIONS] [SERVER]",
    short: "Log in to a registry, Docker Hub if none is named",
    flags: FLAGS,
    arity: Arity::AtMost(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    string("password", "Password or access token").short('p'),
    switch("password-stdin", "Read the password from standard input"),
    string("username", "Name of the user").short('u'),
];

/// Longest password that is read.
const PASSWORD_MAX: u64 = 64 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    status: String,
    #[serde(default)]
    identity_token: String,
}

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let username = parsed.value("username").unwrap_or_default().trim().to_owned();
    let mut password = parsed.value("password").unwrap_or_default().to_owned();
    check(parsed, &username)?;
    if parsed.given("password") {
        warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    if parsed.is("password-stdin") {
        password = read_password(&mut std::io::stdin())?;
    }
    let config = app.config()?;
    let key = credentials::key(parsed.args.first().map_or("", String::as_str));
    app.block_on(async {
        let client = app.client().await?;
        if username.is_empty() && password.is_empty() {
            let kept = credentials::get(config, &key)?;
            if !kept.is_empty() && again(client, &key, &kept).await? {
                return Ok(());
            }
        }
        let given = ask(username, password)?;
        let answer = attempt(client, &key, &given).await?;
        let kept = match answer.identity_token.as_str() {
            "" => given,
            token => Credentials { identity_token: token.to_owned(), password: String::new(), ..given },
        };
        if credentials::store(config, &key, &kept)? {
            warn(&format!(
                "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this warning. See\n\
                 https://docs.docker.com/go/credential-store/\n",
                config.path().display()
            ));
        }
        say(&format!("{}\n", answer.status))
    })
}

fn check(parsed: &Parsed, username: &str) -> Result<(), Error> {
    if !parsed.is("password-stdin") {
        return Ok(());
    }
    if parsed.given("password") {
        return Err(Error::new("conflicting options: cannot specify both --password and --password-stdin"));
    }
    if username.is_empty() {
        return Err(Error::new("the --password-stdin option requires --username to be set"));
    }
    Ok(())
}

/// All of it but the end of the line.
fn read_password(input: &mut dyn Read) -> Result<String, Error> {
    let mut text = String::new();
    input.take(PASSWORD_MAX).read_to_string(&mut text).map_err(|error| Error::new(format!("reading the password: {error}")))?;
    Ok(text.trim_end_matches('\n').trim_end_matches('\r').to_owned())
}

/// Tries what is kept; where it is not right any more, the person is asked.
async fn again(client: &Client, key: &str, kept: &Credentials) -> Result<bool, Error> {
    let who = if kept.username.is_empty() { String::new() } else { format!(" [Username: {}]", kept.username) };
    warn(&format!("Authenticating with existing credentials...{who}"));
    match attempt(client, key, kept).await {
        Ok(answer) => {
            warn("\n Info -> To login with a different account, run 'docker logout' followed by 'docker login'\n\n");
            say(&format!("{}\n", answer.status))?;
            Ok(true)
        }
        Err(error) => {
            warn(&format!("Login did not succeed, error: {error}"));
            Ok(false)
        }
    }
}

async fn attempt(client: &Client, key: &str, given: &Credentials) -> Result<Answer, Error> {
    let mut body = json!({ "username": given.username, "password": given.password, "serveraddress": key });
    if !given.identity_token.is_empty() {
        body["identitytoken"] = given.identity_token.as_str().into();
    }
    Ok(client.json(Request::post("/auth").json(&body)?).await?)
}

/// What is missing is asked for, where somebody can answer.
fn ask(mut username: String, mut password: String) -> Result<Credentials, Error> {
    if (username.is_empty() || password.is_empty()) && !terminal::stdin_is_terminal() {
        return Err(Error::new("Error: Cannot perform an interactive login from a non TTY device"));
    }
    if username.is_empty() {
        username = prompt("Username: ", terminal::read_line)?.trim().to_owned();
        if username.is_empty() {
            return Err(Error::new("Error: Non-null Username Required"));
        }
    }
    if password.is_empty() {
        password = prompt("Password: ", terminal::read_secret)?;
        if password.is_empty() {
            return Err(Error::new("Error: Password Required"));
        }
    }
    Ok(Credentials { username, password, identity_token: String::new() })
}

fn prompt(words: &str, read: fn() -> std::io::Result<String>) -> Result<String, Error> {
    let mut out = std::io::stdout();
    out.write_all(words.as_bytes()).and_then(|()| out.flush()).map_err(Error::output)?;
    read().map_err(|error| Error::new(format!("reading standard input: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_end_with_the_line() {
        for (input, expect) in [("p\n", "p"), ("p\r\n", "p"), (" p w ", " p w "), ("", ""), ("a\nb\n", "a\nb")] {
            assert_eq!(read_password(&mut input.as_bytes()).unwrap(), expect);
        }
    }
}
