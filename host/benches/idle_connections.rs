//! What an idle connection costs the host in memory, without what its protocol keeps.

#![allow(missing_docs, reason = "a benchmark has no public items")]

mod library;

use std::env;
use std::process::Command;

use kuzzle_protocol_abi::raw::kuzzle_str;

/// The memory of this process in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this benchmark needs Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it names its memory");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
    kib * 1024
}

/// Bytes for each of so many connections. Once in a process: memory is not given back.
fn measure(connections: usize, with_address: bool, subscribed: bool) -> usize {
    const SUBSCRIBE: &[u8] =
        br#"{"controller":"realtime","action":"subscribe","index":"i","collection":"c","body":{}}"#;
    let (host, [library]) = library::serve(["bench"]);
    let ip = [kuzzle_str::new("192.168.100.100")];
    let before = memory();
    for _ in 0..connections {
        let connection = library.connect_from(if with_address { &ip } else { &[] });
        if subscribed {
            library.execute(connection, SUBSCRIBE);
        }
    }
    assert_eq!(host.connections.len(), connections);
    (memory() - before) / connections
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, connections, with_address, subscribed] = &arguments[..] {
        println!(
            "{} B",
            measure(connections.parse().expect("a number"), with_address == "y", subscribed == "y")
        );
        return;
    }
    println!("{:>12} {:>8} {:>14} {:>16}", "connections", "bare", "with address", "and subscribed");
    for connections in [100_000, 250_000, 1_000_000] {
        let [bare, with_address, subscribed] = [["n", "n"], ["y", "n"], ["y", "y"]].map(|case| {
            let mut itself = Command::new(&arguments[0]);
            let output = itself.arg(connections.to_string()).args(case).output().expect("it runs already");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        });
        println!("{connections:>12} {bare:>8} {with_address:>14} {subscribed:>16}");
    }
}
