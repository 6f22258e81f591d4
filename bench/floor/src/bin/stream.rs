//! One TCP stream for the benchmark of networks: `serve PORT` takes streams and throws them away, `send ADDRESS SECONDS` sends zeros and
//! prints how many bytes went in a second.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the benchmark")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const PART: usize = 128 << 10;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", port] => serve(port),
        ["send", address, seconds] => send(address, seconds),
        _ => Err("use: serve PORT | send ADDRESS SECONDS".into()),
    };
    done.map_or_else(
        |error| {
            eprintln!("stream: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn serve(port: &str) -> Done {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    println!("ready");
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut part = vec![0_u8; PART];
        // A sender that goes away ends its stream, nothing more.
        while stream.read(&mut part).is_ok_and(|count| count > 0) {}
    }
    Ok(())
}

fn send(address: &str, seconds: &str) -> Done {
    let mut stream = TcpStream::connect(address)?;
    let part = vec![0_u8; PART];
    let (start, time) = (Instant::now(), Duration::from_secs(seconds.parse()?));
    let mut sent = 0_u64;
    while start.elapsed() < time {
        stream.write_all(&part)?;
        sent += PART as u64;
    }
    println!("{}", (sent as f64 / start.elapsed().as_secs_f64()) as u64);
    Ok(())
}
