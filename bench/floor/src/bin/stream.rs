//! TCP streams for the benchmark of networks. `serve PORT` takes streams and throws them away. `obey SOCKET` sends zeros, as it is told at a
//! Unix socket, so that nothing of an engine is at work while a stream runs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the benchmark")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

static ZEROS: [u8; 128 << 10] = [0; 128 << 10];
/// What is sent before it is counted: the buffers are full then, as they are at the end.
const BEFORE: Duration = Duration::from_millis(3);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", port] => serve(port),
        ["obey", socket] => obey(socket),
        _ => Err("use: serve PORT | obey SOCKET".into()),
    };
    done.map_or_else(
        |error| {
            eprintln!("stream: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn serve(port: &str) -> Done {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    println!("ready");
    let mut part = vec![0_u8; ZEROS.len()];
    for stream in listener.incoming() {
        let mut stream = stream?;
        // A sender that goes away ends its stream, nothing more.
        while stream.read(&mut part).is_ok_and(|count| count > 0) {}
    }
    Ok(())
}

fn obey(socket: &str) -> Done {
    let listener = UnixListener::bind(socket)?;
    for asked in listener.incoming() {
        // What goes wrong ends the conversation, nothing more.
        if let Err(error) = answer(BufReader::new(asked?)) {
            eprintln!("stream: {error}");
        }
    }
    Ok(())
}

/// A conversation: the first line is an address, which one stream goes to until the end. Each further line is microseconds that it is to
/// send for; the answer is bytes and nanoseconds.
fn answer(mut asked: BufReader<UnixStream>) -> Done {
    let mut line = String::new();
    asked.read_line(&mut line)?;
    let mut stream = TcpStream::connect(line.trim())?;
    loop {
        line.clear();
        if asked.read_line(&mut line)? == 0 {
            return Ok(());
        }
        fill(&mut stream, BEFORE)?;
        let (bytes, nanos) = fill(&mut stream, Duration::from_micros(line.trim().parse()?))?;
        asked.get_mut().write_all(format!("{bytes} {nanos}\n").as_bytes())?;
    }
}

fn fill(stream: &mut TcpStream, time: Duration) -> Done<(u64, u128)> {
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < time {
        stream.write_all(&ZEROS)?;
        sent += ZEROS.len() as u64;
    }
    Ok((sent, start.elapsed().as_nanos()))
}
