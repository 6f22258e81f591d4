//! TCP streams: between containers of the default network and of one of the user's own, and from outside through a published port.
//!
//! On a shared machine a stream's speed changes by a tenth from one moment to the next, for whoever it is that sends. So both engines'
//! streams are open at once and send by turns, for hundredths of a second each: what disturbs one disturbs the other. A round is a new pair
//! of streams and yields one ratio. The programs stay on processors of their own, the same for every engine.

use super::candidates::Candidate;
use super::netns::Netns;
use super::networks::{Host, ask};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Rounds of each way.
const ROUNDS: usize = 400;
/// Turns of each engine in a round, an even number.
const TURNS: usize = 8;
/// Of these, not counted: the windows open.
const WARM: usize = 2;
/// How long one turn sends, microseconds.
const TURN: &str = "15000";
/// The ways, where the server is, and how it is called from where the client is.
const WAYS: [(&str, &str); 3] = [
    ("two containers of the default network", "default"),
    ("two containers of a network of the user's, by name", "bench"),
    ("from another namespace through a published port", "world"),
];

/// What one engine sent in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Bytes in a second.
    pub(crate) rate: f64,
    /// Bytes in a second of the time of processors that both programs took, with the kernel's work for them.
    pub(crate) thrift: f64,
}

/// One way, and by candidate what it sent, in the order of the rounds.
#[derive(Debug)]
pub(crate) struct Way {
    /// In words.
    pub(crate) name: &'static str,
    /// By candidate.
    pub(crate) sent: Vec<Vec<Sent>>,
}

/// A client and its server.
struct Pair {
    /// Where the client is told what to do.
    control: PathBuf,
    /// Whom it sends to.
    address: String,
    /// The processes that work for it: both programs, and the kernel's for what arrives.
    processes: Vec<i32>,
}

/// A stream that is open.
struct Open<'a> {
    pair: &'a Pair,
    control: BufReader<UnixStream>,
}

impl Pair {
    fn open(&self) -> Result<Open<'_>> {
        let mut control = UnixStream::connect(&self.control).context("reach the client")?;
        writeln!(control, "{}", self.address).context("tell the client whom to send to")?;
        Ok(Open { pair: self, control: BufReader::new(control) })
    }

    /// Nanoseconds of processors so far.
    fn used(&self) -> Result<u64> {
        let one = |pid: &i32| -> Result<u64> {
            let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).context("read a program's time")?;
            text.split(' ').next().unwrap_or_default().parse().context("nanoseconds")
        };
        self.processes.iter().map(one).sum()
    }
}

impl Open<'_> {
    /// Bytes, nanoseconds, and nanoseconds of processors of one turn.
    fn turn(&mut self) -> Result<[f64; 3]> {
        let before = self.pair.used()?;
        self.control.get_mut().write_all(format!("{TURN}\n").as_bytes()).context("tell the client to send")?;
        let mut line = String::new();
        self.control.read_line(&mut line).context("hear from the client")?;
        let used = self.pair.used()? - before;
        let Some((bytes, nanos)) = line.trim().split_once(' ') else { bail!("the client's stream to {} broke", self.pair.address) };
        let (bytes, nanos): (f64, f64) = (bytes.parse().context("bytes")?, nanos.parse().context("nanoseconds")?);
        Ok([bytes, nanos, used as f64])
    }
}

/// A program of this side, ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Measures all ways.
pub(crate) fn all(hosts: &[Host], scratch: &Path, program: &Path) -> Result<Vec<Way>> {
    println!("measuring streams");
    let mut pairs: Vec<Vec<Pair>> = WAYS.iter().map(|_| Vec::new()).collect();
    let mut clients = Vec::new();
    for host in hosts {
        let engine = host.engine.as_ref();
        let control = scratch.join(format!("c-{}", engine.name()));
        std::fs::create_dir_all(&control).context("make a directory for the clients' sockets")?;
        let (of_host, client) = prepare(engine, &host.world, &control, program)?;
        clients.push(client);
        pairs.iter_mut().zip(of_host).for_each(|(all, pair)| all.push(pair));
    }
    let mut ways = Vec::new();
    for ((name, _), pairs) in WAYS.iter().zip(&pairs) {
        let mut sent = vec![Vec::new(); pairs.len()];
        for round_number in 0..ROUNDS {
            for (all, one) in sent.iter_mut().zip(round(pairs, round_number).with_context(|| format!("a stream: {name}"))?) {
                all.push(one);
            }
        }
        ways.push(Way { name, sent });
    }
    for host in hosts {
        ask(host.engine.as_ref(), &["rm", "-f", "server-default", "client-default", "server-bench", "client-bench"])?;
        ask(host.engine.as_ref(), &["network", "rm", "bench"])?;
    }
    Ok(ways)
}

/// One round: everybody's stream is open, and they send by turns, forwards and backwards.
fn round(pairs: &[Pair], number: usize) -> Result<Vec<Sent>> {
    let mut streams = pairs.iter().map(Pair::open).collect::<Result<Vec<_>>>()?;
    let mut sums = vec![[0.0; 3]; pairs.len()];
    for turn in 0..WARM + TURNS {
        for place in 0..streams.len() {
            let backwards = (turn + number) % 2 == 1;
            let index = if backwards { streams.len() - 1 - place } else { place };
            let part = streams[index].turn()?;
            if turn >= WARM {
                sums[index].iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
        }
    }
    Ok(sums.into_iter().map(|[bytes, nanos, used]| Sent { rate: bytes / nanos * 1e9, thrift: bytes / used.max(1.0) * 1e9 }).collect())
}

/// Starts servers and clients of an engine: its pairs, in the order of the ways, and the client outside.
fn prepare(engine: &dyn Candidate, world: &Netns, control: &Path, program: &Path) -> Result<(Vec<Pair>, Running)> {
    let (stream, sockets) = (format!("{}:/stream:ro", program.display()), format!("{}:/control", control.display()));
    ask(engine, &["network", "create", "bench"])?;
    let several = std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
    let on = |client: bool| if client && several { "1" } else { "0" };
    let start = |network: &str, client: bool, more: &[&str], words: &[&str]| -> Result<(String, i32)> {
        let name = format!("{}-{network}", if client { "client" } else { "server" });
        let head = ["run", "-d", "--name", &name, "--network", network, "--cpuset-cpus", on(client), "-v", &stream, "-v", &sockets];
        ask(engine, &[&head[..], more, &["busybox", "/stream"], words].concat())?;
        let pid = ask(engine, &["inspect", "-f", "{{.State.Pid}}", &name])?;
        Ok((name, pid.trim().parse().context("a process id")?))
    };
    let kernel = of_the_kernel();
    let pair =
        |control: PathBuf, address: String, programs: [i32; 2]| Pair { control, address, processes: [&programs[..], &kernel].concat() };
    let mut pairs = Vec::new();
    let mut server = 0;
    for (network, published) in [("default", &[][..]), ("bench", &["-p", "5001:5001"])] {
        let name;
        (name, server) = start(network, false, published, &["serve", "5001"])?;
        let (_, client) = start(network, true, &[], &["obey", &format!("/control/{network}")])?;
        // Names are known in networks of the user's alone.
        let field = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = if network == "default" { ask(engine, &["inspect", "-f", field, &name])?.trim().to_owned() } else { name };
        pairs.push(pair(control.join(network), format!("{address}:5001"), [server, client]));
    }
    let mut client = world.command(Path::new("taskset"));
    client.args(["-c", on(true)]).arg(program).arg("obey").arg(control.join("world")).stdin(Stdio::null());
    let client = Running(client.spawn().context("start the client outside")?);
    pairs.push(pair(control.join("world"), "198.51.100.1:5001".into(), [server, client.0.id() as i32]));
    let end = Instant::now() + Duration::from_secs(10);
    while WAYS.iter().any(|(_, socket)| !control.join(socket).exists()) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((pairs, client))
}

/// The kernel's threads that do what interrupts leave to be done.
fn of_the_kernel() -> Vec<i32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_one = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("ksoftirqd/"));
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_one).collect()
}

/// The median of the ratios of these pairs, and between which values it lies with at least 95 % certainty, by the sign test: no distribution
/// is assumed. `None` where there are too few.
pub(crate) fn ratio(pairs: impl Iterator<Item = (f64, f64)>) -> Option<[f64; 3]> {
    let mut ratios: Vec<f64> = pairs.map(|(ours, theirs)| ours / theirs).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let count = ratios.len();
    // The share of rows of as many coins that show so few heads or fewer.
    let (mut below, mut one) = (0.0, 0.5_f64.powi(i32::try_from(count).ok()?));
    let mut rank = 0;
    while rank < count && below + one <= 0.025 {
        below += one;
        one *= (count - rank) as f64 / (rank + 1) as f64;
        rank += 1;
    }
    let low = rank.checked_sub(1)?;
    Some([(ratios[(count - 1) / 2] + ratios[count / 2]) / 2.0, ratios[low], ratios[count - 1 - low]])
}

#[cfg(test)]
mod tests {
    use super::ratio;

    #[test]
    fn between_which_ranks_the_median_lies() {
        let check = |count: u32, expect: Option<[f64; 3]>| assert_eq!(ratio((1..=count).map(|n| (f64::from(n), 1.0))), expect, "{count}");
        // From tables of the sign test: the 40th of 100, and the 2nd of 10.
        check(100, Some([50.5, 40.0, 61.0]));
        check(10, Some([5.5, 2.0, 9.0]));
        check(6, Some([3.5, 1.0, 6.0]));
        check(5, None);
        check(0, None);
    }
}
