//! Sends numbered packets at a constant rate over loopback and receives them, or passes them through the model alone.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use area_net::clock::Clock;
use area_net::impair::{ImpairedSocket, Impairment, LinkModel, Rules};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use quinn::udp::Transmit;
use quinn::{AsyncUdpSocket, Runtime as _, TokioRuntime};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rustix::thread::{ClockId as SleepClock, clock_nanosleep_absolute};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::netem::figures::{Arrival, Expected, Figure, Figures, Run, expected, figures};
use crate::netem::scenario::Scenario;

/// The smallest packet: its number, the time it was due, the time it was sent, and a checksum.
const LEAST_BYTES: usize = 4 + 8 + 8 + 4;
/// A receiver stops after this time without a packet once the sender is done. No line here has a longer pause.
const SILENCE: Duration = Duration::from_millis(700);
/// The receive buffer, in bytes. It holds the packets that arrive while the receiver has to wait.
const RECEIVE_BUFFER: usize = 8 << 20;
/// The number of runs of the model. They are cheap because they run in virtual time.
const MODEL_RUNS: u64 = 100;
/// The headers of Ethernet (loopback has one too), IPv6 and UDP, in bytes.
const HEADERS: usize = 14 + 40 + 8;

/// Returns the time of the system's clock.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec))
        .expect("it counts from the machine's start")
}

fn sleep_until(ns: u64) {
    let until = Timespec {
        tv_sec: i64::try_from(ns / 1_000_000_000).expect("an age"),
        tv_nsec: i64::try_from(ns % 1_000_000_000).expect("less than a second"),
    };
    // An error is ignored: if a signal wakes it early, the packet is only sent early.
    clock_nanosleep_absolute(SleepClock::Monotonic, &until).ok();
}

/// Returns the FNV-1a hash, which is enough to detect one flipped bit.
fn checksum(bytes: &[u8]) -> u32 {
    let fold = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, fold)
}

fn packet(number: u32, planned_ns: u64, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0x55; bytes.max(LEAST_BYTES)];
    packet[..4].copy_from_slice(&number.to_be_bytes());
    packet[4..12].copy_from_slice(&planned_ns.to_be_bytes());
    packet[12..20].copy_from_slice(&now_ns().to_be_bytes());
    let end = packet.len() - 4;
    let sum = checksum(&packet[..end]);
    packet[end..].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// Returns the arrival of a packet, or `None` if it is not intact.
fn arrival(packet: &[u8], packets: u32) -> Option<Arrival> {
    let received_ns = now_ns();
    let (body, sum) = packet.split_last_chunk::<4>()?;
    let (number, rest) = body.split_first_chunk::<4>()?;
    let (planned, rest) = rest.split_first_chunk::<8>()?;
    let (sent, _) = rest.split_first_chunk::<8>()?;
    let number = u32::from_be_bytes(*number);
    let intact = checksum(body) == u32::from_be_bytes(*sum) && number < packets;
    intact.then_some(Arrival {
        number,
        planned_ns: u64::from_be_bytes(*planned),
        sent_ns: u64::from_be_bytes(*sent),
        received_ns,
    })
}

/// Sends the scenario's packets to ourselves, over a socket with the scenario's impairment if `impaired`, else over a plain one.
pub(crate) fn run(scenario: &Scenario, impaired: bool) -> Result<Figures> {
    let socket = UdpSocket::bind("[::1]:0").context("can't listen at ::1")?;
    // Root may exceed the system's limit.
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER).context("no receive buffer")?;
    }
    let to = socket.local_addr()?;
    let before = damaged_packets()?;
    let all_sent = AtomicBool::new(false);
    let (sent, received) = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&socket, scenario.packets, &all_sent));
        let sent = send(to, scenario, impaired);
        all_sent.store(true, Ordering::Relaxed);
        (sent, receiver.join())
    });
    sent?;
    let (arrivals, damaged) = received.expect("a receiver doesn't panic")?;
    Ok(figures(&Run {
        packets: scenario.packets,
        bytes: scenario.bytes + HEADERS,
        arrivals,
        damaged: damaged + damaged_packets()?.saturating_sub(before),
    }))
}

/// Returns how many UDP packets the kernel dropped for their checksum in this namespace.
fn damaged_packets() -> Result<u64> {
    let counters = fs::read_to_string("/proc/self/net/snmp6").context("no counters of IPv6")?;
    let line = counters
        .lines()
        .find_map(|line| line.strip_prefix("Udp6InCsumErrors"));
    let count = line.context("no count of checksums")?;
    count.trim().parse().context("that count is a number")
}

/// Receives until no more packets come. Returns the intact ones and the number of damaged ones.
fn receive(
    socket: &UdpSocket,
    packets: u32,
    all_sent: &AtomicBool,
) -> io::Result<(Vec<Arrival>, u64)> {
    socket.set_read_timeout(Some(SILENCE))?;
    let mut arrivals = Vec::with_capacity(packets as usize);
    let mut damaged = 0;
    let mut buffer = [0; 2048];
    loop {
        let ended = all_sent.load(Ordering::Relaxed);
        match socket.recv(&mut buffer) {
            Ok(length) => match arrival(&buffer[..length], packets) {
                Some(arrival) => arrivals.push(arrival),
                None => damaged += 1,
            },
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut if ended => {
                    return Ok((arrivals, damaged));
                }
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {}
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
}

fn send(to: SocketAddr, scenario: &Scenario, impaired: bool) -> Result<()> {
    let rules: Rules = if impaired {
        scenario.words.parse()?
    } else {
        Rules::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || runtime.block_on(stopped).ok());
    let here = handle.enter();
    let plain = TokioRuntime.wrap_udp_socket(UdpSocket::bind("[::1]:0")?)?;
    let seed = seed(scenario.words, MODEL_RUNS);
    let clock = Clock::new(Arc::new(TokioRuntime));
    let socket = Arc::new(ImpairedSocket::new(plain, clock, rules, seed));
    let start = now_ns() + 50_000_000;
    for number in 0..scenario.packets {
        let planned_ns = start + u64::from(number) * scenario.spacing_us * 1000;
        sleep_until(planned_ns);
        let contents = packet(number, planned_ns, scenario.bytes);
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: &contents,
            segment_size: None,
            src_ip: None,
        };
        while let Err(error) = socket.try_send(&transmit) {
            // A full netem queue drops the packet, and the kernel may report that.
            if error.raw_os_error() == Some(Errno::ENOBUFS as i32) {
                break;
            }
            if error.kind() != io::ErrorKind::WouldBlock {
                bail!("can't send: {error}");
            }
            sleep_until(now_ns() + 100_000);
        }
    }
    handle.block_on(socket.drained());
    drop(here);
    stop.send(()).ok();
    thread.join().ok();
    Ok(())
}

/// Returns the random seed for an impairment and a run.
fn seed(words: &str, run: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&checksum(words.as_bytes()).to_be_bytes());
    seed[4..12].copy_from_slice(&run.to_be_bytes());
    seed
}

/// Returns the distribution of the figures over the model's runs, in virtual time.
pub(crate) fn model(scenario: &Scenario) -> Result<BTreeMap<Figure, Expected>> {
    let impairment: Arc<Impairment> = Arc::new(scenario.words.parse()?);
    let runs: Vec<Figures> = (0..MODEL_RUNS)
        .map(|run| model_run(scenario, &impairment, run))
        .collect();
    Ok(expected(&runs))
}

fn model_run(scenario: &Scenario, impairment: &Arc<Impairment>, run: u64) -> Figures {
    let mut rng = ChaCha8Rng::from_seed(seed(scenario.words, run));
    let mut link = LinkModel::new(impairment.clone(), &mut rng);
    let bytes = scenario.bytes + HEADERS;
    let mut deliveries = Vec::new();
    let mut damaged = 0;
    for number in 0..scenario.packets {
        let now = Duration::from_micros(u64::from(number) * scenario.spacing_us);
        for delivery in link.handle_packet(now, bytes, &mut rng) {
            if delivery.flip.is_none() {
                deliveries.push((delivery.at, number, now));
            } else {
                damaged += 1;
            }
        }
    }
    // The sort is stable, so packets that leave at the same time leave in the order in which they came in.
    deliveries.sort_by_key(|(at, _, _)| *at);
    let ns = |time: Duration| u64::try_from(time.as_nanos()).expect("minutes");
    let arrivals = deliveries.into_iter().map(|(at, number, sent)| Arrival {
        number,
        planned_ns: ns(sent),
        sent_ns: ns(sent),
        received_ns: ns(at),
    });
    figures(&Run {
        packets: scenario.packets,
        bytes,
        arrivals: arrivals.collect(),
        damaged,
    })
}
