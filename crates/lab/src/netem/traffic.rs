//! Numbered packets, sent at an even pace over loopback and taken in again; or put through the model alone.

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

/// Number, time to be sent, time of sending, and a checksum at the end.
const LEAST_BYTES: usize = 4 + 8 + 8 + 4;
/// After the sender's end and so long without a packet there come no more: no line here has a longer pause.
const SILENCE: Duration = Duration::from_millis(700);
/// What a receiver that has to wait has room for.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Runs of the model; they cost nothing.
const MODEL_RUNS: u64 = 100;
/// Headers of Ethernet, which loopback has too, of IPv6 and of UDP.
const HEADERS: usize = 14 + 40 + 8;

/// The system's clock.
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
    // Woken early, it only sends early.
    clock_nanosleep_absolute(SleepClock::Monotonic, &until).ok();
}

/// FNV-1a: enough to see one bit.
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

/// What arrived, if it is as it was sent.
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

/// Sends the scenario's packets to ourselves, over a socket with the scenario's impairment or over a plain one.
pub(crate) fn run(scenario: &Scenario, impaired: bool) -> Result<Figures> {
    let socket = UdpSocket::bind("[::1]:0").context("can't listen at ::1")?;
    // Root may have more than the system's bound.
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

/// How many UDP packets the kernel threw away for their checksum, in this namespace.
fn damaged_packets() -> Result<u64> {
    let counters = fs::read_to_string("/proc/self/net/snmp6").context("no counters of IPv6")?;
    let line = counters
        .lines()
        .find_map(|line| line.strip_prefix("Udp6InCsumErrors"));
    let count = line.context("no count of checksums")?;
    count.trim().parse().context("that count is a number")
}

/// Receives until nothing comes any more: what is intact, and how many packets were not.
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
            // A full queue of netem's drops the packet, and may say so.
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

/// A seed for each impairment and run.
fn seed(words: &str, run: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&checksum(words.as_bytes()).to_be_bytes());
    seed[4..12].copy_from_slice(&run.to_be_bytes());
    seed
}

/// What the model's runs come to, in virtual time.
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
    // Those that leave at one time leave in the order in which they came in.
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
