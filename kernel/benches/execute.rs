//! How long the two most frequent requests take, from document to answer.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kuzzle_kernel::{Caller, ConnectionId, Discard, Kernel, Request, Settings, SystemEnvironment};

const NOW: &str =
    r#"{"controller":"server","action":"now","requestId":"5f0c9c8e-3d0f-4c5c-9a3d-5b7d6f4f1a11"}"#;
const SUBSCRIBE: &str = r#"{"controller":"realtime","action":"subscribe","index":"nyc-open-data","collection":"yellow-taxi","body":{}}"#;
const PUBLISH: &str = r#"{"controller":"realtime","action":"publish","requestId":"5f0c9c8e-3d0f-4c5c-9a3d-5b7d6f4f1a11","index":"nyc-open-data","collection":"yellow-taxi","body":{"driver":{"name":"Sirkis","licence":"B"},"position":[48.85,2.35],"passengers":3},"volatile":{"sdkInstanceId":"0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0","sdkName":"js@7.17.1"}}"#;

fn kernel(subscribers: u64) -> Kernel {
    let kernel = Kernel::new(Settings::default(), Box::new(SystemEnvironment));
    for id in 0..=subscribers {
        kernel.add_connection(ConnectionId(id));
    }
    for id in 1..=subscribers {
        assert_eq!(execute(&kernel, id, SUBSCRIBE), 200);
    }
    kernel
}

fn execute(kernel: &Kernel, connection: u64, document: &str) -> u16 {
    let request = Request::parse(document.as_bytes()).expect("the document is a request");
    let caller = Caller {
        connection: Some(ConnectionId(connection)),
        uuid: None,
        protocol: "bench",
        headers: &[],
        connection_headers: &[],
    };
    kernel.execute(&request, &caller, &mut Discard).status
}

fn benches(criterion: &mut Criterion) {
    criterion.bench_function("parse publish", |bencher| {
        bencher.iter(|| Request::parse(black_box(PUBLISH.as_bytes())).is_ok());
    });
    for (name, document, subscribers) in [
        ("server:now", NOW, 0),
        ("realtime:publish, no subscriber", PUBLISH, 0),
        ("realtime:publish, 1 subscriber", PUBLISH, 1),
    ] {
        let kernel = kernel(subscribers);
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| execute(&kernel, 0, black_box(document)));
        });
    }
}

criterion_group!(group, benches);
criterion_main!(group);
