//! What systemd is told, at a real socket.

use std::os::unix::net::UnixDatagram;

use kuzzle_tests::{DEADLINE, Host, Installation, UdpClient};

/// What stands where systemd would listen.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn start(installation: &Installation, variables: &[(&str, &str)]) -> (Self, Host) {
        let path = installation.home().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let host = Host::spawn_with(installation, |command| {
            command.env("NOTIFY_SOCKET", &path).envs(variables.iter().copied())
        });
        (Self { socket }, host)
    }

    fn next(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.socket.recv(&mut buffer).expect("the host tells something in time");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The next message that is no sign of life.
    fn next_change(&self) -> String {
        loop {
            let message = self.next();
            if message.trim() != "WATCHDOG=1" {
                return message;
            }
        }
    }
}

fn lines(message: &str) -> Vec<&str> {
    message.lines().collect()
}

#[test]
fn systemd_is_told_when_the_host_serves_reloads_and_ends() {
    let installation = Installation::new();
    installation.udp();
    let (manager, mut host) = Manager::start(&installation, &[]);
    assert_eq!(lines(&manager.next()), ["READY=1", "STATUS=Serving udp"]);
    assert!(host.wait_ready().is_object(), "told after the ready file was written");
    host.signal("HUP");
    let reloading = manager.next();
    let since = lines(&reloading)[1].strip_prefix("MONOTONIC_USEC=").map(str::parse::<u64>);
    assert!(lines(&reloading)[0] == "RELOADING=1" && matches!(since, Some(Ok(_))), "{reloading}");
    assert_eq!(lines(&manager.next())[0], "READY=1");
    host.terminate().is_clean();
    assert_eq!(lines(&manager.next()), ["STOPPING=1", "STATUS=Shutting down"]);
}

#[test]
fn a_protocol_that_is_stopped_is_shown() {
    let installation = Installation::new();
    installation.udp().rust("panicky", "kuzzle_fixture_panicky");
    installation.options("panicky", &serde_json::json!({ "panicIn": "completion" }));
    let (manager, mut host) = Manager::start(&installation, &[]);
    assert_eq!(lines(&manager.next()), ["READY=1", "STATUS=Serving panicky, udp"]);
    UdpClient::connect(host.address("panicky")).send_bytes(b"{\"controller\":\"server\",\"action\":\"now\"}");
    assert_eq!(lines(&manager.next()), ["STATUS=Serving udp; not: panicky"]);
    host.terminate().is_clean();
}

#[test]
fn a_socket_that_nobody_reads_does_not_hold_up_the_end() {
    let installation = Installation::new();
    let (manager, mut host) = Manager::start(&installation, &[]);
    host.wait_ready();
    for _ in 0..400 {
        host.signal("HUP");
    }
    let host = host.terminate();
    host.is_clean();
    assert!(host.took.as_secs() < 3, "{:?}", host.took);
    drop(manager);
}

#[test]
fn signs_of_life_are_given_as_long_as_the_host_serves() {
    let installation = Installation::new();
    installation.udp();
    let (manager, mut host) = Manager::start(&installation, &[("WATCHDOG_USEC", "100000")]);
    assert!(manager.next_change().starts_with("READY=1"));
    for _ in 0..5 {
        assert_eq!(manager.next().trim(), "WATCHDOG=1");
    }
    // They are nobody's requests.
    let mut udp = UdpClient::connect(host.address("udp"));
    let asked = serde_json::json!({ "controller": "server", "action": "getLastStats" });
    let stats = kuzzle_tests::Client::request(&mut udp, &asked);
    assert_eq!(stats["result"]["completedRequests"], serde_json::json!({}), "{stats}");
    // Not `terminate`: somebody has to read, or the socket is full at some time.
    host.signal("TERM");
    assert!(manager.next_change().starts_with("STOPPING=1"));
    host.wait().is_clean();
}

#[test]
fn without_a_wish_for_signs_of_life_there_are_none() {
    let installation = Installation::new();
    let variables = [("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let (manager, host) = Manager::start(&installation, &variables);
    assert_eq!(lines(&manager.next()), ["READY=1", "STATUS=Serving no protocol"]);
    host.terminate().is_clean();
    assert!(manager.next().starts_with("STOPPING=1"), "the signs of life are meant for another process");
}
