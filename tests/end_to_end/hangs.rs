//! A protocol that does not return, or late, is its own trouble.

use std::time::{Duration, Instant};

use kuzzle_tests::{Client, Finished};
use serde_json::json;

use super::containment::{NOW, PUBLISH, Panicky, SUBSCRIBE};

impl Panicky {
    /// `line` publishes until the host has suspended `panicky` because of this function, and each
    /// answer comes at once; afterwards too.
    fn ends_with_panicky_suspended_because_of(mut self, function: &str) -> Finished {
        self.host.wait_log("panicky hangs in");
        let began = Instant::now();
        let mut longest = Duration::ZERO;
        while !self.host.log().contains("the protocol is suspended") {
            assert!(began.elapsed().as_secs() < 60, "it is never suspended");
            let asked = Instant::now();
            self.line.send_text(PUBLISH);
            assert_eq!(self.line.receive()["status"], 200);
            longest = longest.max(asked.elapsed());
        }
        assert!(longest.as_secs() < 3, "a publisher waited for {longest:?}");
        let suspended = self.host.wait_log("the protocol is suspended");
        assert!(
            suspended.contains("protocol=panicky") && suspended.contains(&format!("function={function}")),
            "{suspended}"
        );
        self.line.is_served();
        let info = self.line.request(&json!({ "controller": "server", "action": "info" }));
        let protocols = &info["result"]["serverInfo"]["kuzzle"]["protocols"];
        assert_eq!(protocols.as_array().unwrap().len(), 1, "{protocols}");
        assert_eq!(protocols[0]["name"], "line");
        let host = self.host.terminate();
        host.is_clean();
        assert!(host.took.as_secs() < 3, "the end waits for the protocol: {:?}", host.took);
        assert!(!host.log.contains("panicky is shut down"), "it is called again:\n{}", host.log);
        let slow = host.log.lines().nth(host.line_of("a slow call: it has not returned")).unwrap();
        assert!(
            slow.contains("protocol=panicky") && slow.contains(&format!("function={function}")),
            "{slow}"
        );
        host
    }
}

#[test]
fn a_broadcast_that_hangs_on_the_publishers_thread_suspends_its_protocol() {
    let test = "a_broadcast_that_hangs_on_the_publishers_thread_suspends_its_protocol";
    let Some(mut scene) = Panicky::with(test, &json!({ "hangIn": "broadcast" })) else { return };
    scene.client.subscribe("i", "c");
    scene.client.send_text(PUBLISH);
    scene.ends_with_panicky_suspended_because_of("broadcast");
}

#[test]
fn clients_of_a_suspended_protocol_leave_their_rooms() {
    let test = "clients_of_a_suspended_protocol_leave_their_rooms";
    let Some(mut scene) = Panicky::with(test, &json!({ "hangIn": "completion" })) else { return };
    scene.line.subscribe_with(&json!({ "index": "i", "collection": "c", "users": "all" }));
    scene.client.send_text(SUBSCRIBE);
    assert_eq!(scene.line.receive()["user"], "in");
    let left = scene.line.receive();
    assert_eq!((&left["user"], &left["result"]["count"]), (&json!("out"), &json!(1)));
    assert!(scene.host.log().contains("the protocol is suspended"));
    scene.host.terminate().is_clean();
}

#[test]
fn a_broadcast_that_hangs_because_of_others_suspends_its_protocol() {
    let test = "a_broadcast_that_hangs_because_of_others_suspends_its_protocol";
    let Some(mut scene) = Panicky::with(test, &json!({ "hangIn": "broadcast" })) else { return };
    scene.client.subscribe("i", "c");
    for _ in 0..2 {
        scene.line.send_text(PUBLISH);
        assert_eq!(scene.line.receive()["status"], 200);
    }
    scene.ends_with_panicky_suspended_because_of("broadcast");
}

#[test]
fn every_message_for_a_suspended_protocol_is_counted() {
    let test = "every_message_for_a_suspended_protocol_is_counted";
    let Some(mut scene) = Panicky::with(test, &json!({ "hangIn": "broadcast" })) else { return };
    scene.client.subscribe("i", "c");
    scene.line.subscribe("i", "c");
    let mut published = 0;
    let mut publish = |scene: &mut Panicky, messages: u64| {
        published += messages;
        for _ in 0..messages {
            scene.line.send_text(PUBLISH);
            assert_eq!(
                (scene.line.receive()["event"].clone(), scene.line.receive()["status"].clone()),
                (json!("publish"), json!(200))
            );
        }
    };
    publish(&mut scene, 50);
    scene.host.wait_log("the protocol is suspended");
    publish(&mut scene, 7);
    let metrics = scene.line.request(&json!({ "controller": "server", "action": "metrics" }));
    let counted = &metrics["result"]["protocols"]["panicky"];
    let number = |name: &str| counted[name].as_u64().unwrap();
    assert_eq!(number("notifications") + number("dropped"), published, "{counted}");
    assert!(number("dropped") >= 49 + 7 && counted["suspended"] == true, "{counted}");
    let told = scene.host.wait_log("messages for the protocol are dropped");
    assert!(told.contains("protocol=panicky"), "{told}");
}

#[test]
fn a_completion_that_hangs_suspends_its_protocol() {
    let test = "a_completion_that_hangs_suspends_its_protocol";
    let Some(mut scene) = Panicky::with(test, &json!({ "hangIn": "completion" })) else { return };
    scene.client.send_text(NOW);
    scene.ends_with_panicky_suspended_because_of("completion");
}

#[test]
fn a_slow_call_is_told_and_the_protocol_serves_on() {
    let test = "a_slow_call_is_told_and_the_protocol_serves_on";
    let Some(mut scene) = Panicky::with(test, &json!({ "slowIn": "broadcast" })) else { return };
    scene.client.subscribe("i", "c");
    scene.client.send_text(PUBLISH);
    assert_eq!(scene.client.receive()["status"], 200);
    let slow = scene.host.wait_log("a slow call: it has not returned for 100 ms");
    assert!(slow.contains("protocol=panicky") && slow.contains("function=broadcast"), "{slow}");
    let returned = scene.host.wait_log("a slow call has returned");
    assert!(returned.contains("protocol=panicky") && returned.contains("lasted_ms="), "{returned}");
    assert_eq!(scene.client.request(&json!({ "controller": "server", "action": "now" }))["status"], 200);
    let host = scene.host.terminate();
    assert!(!host.is_clean().log.contains("suspended"), "{}", host.log);
}
