//! Neither tokens nor values are shown: not in refusals, not in metrics, not in faults.

use super::house::{PUT, SCHEMA, Setup, TOKEN};
use crate::event::registry;

const VALUE: &str = "hunter2-is-private";

#[test]
fn shows_neither_tokens_nor_values() {
    let house = Setup::new().with_schema(SCHEMA).start();
    let mut shown = String::new();

    for value in [
        format!("{{\"{VALUE}\":"),
        format!("\"{VALUE}\""),
        format!("{{\"minimumDeliveryTime\":\"{VALUE}\"}}"),
    ] {
        let reply = house.put("a", "", &value);
        assert!(reply.status >= 400);
        shown += &String::from_utf8(reply.body).unwrap();
    }
    for request in ["PUT /ingest/classes/a/b", "PATCH /ingest/classes", "GET /openapi.json"] {
        shown += &String::from_utf8(house.request(&format!("{request}\n{PUT}"), b"1").body).unwrap();
    }
    let wrong = format!("PUT /ingest/classes/a\nAuthorization: Bearer {TOKEN}-{VALUE}");
    shown += &String::from_utf8(house.request(&wrong, b"1").body).unwrap();
    shown += &format!("{:?}", registry().samples());

    assert!(shown.contains("gristmill_ingest_http_requests_total"));
    assert!(!shown.contains(TOKEN) && !shown.contains(VALUE), "{shown}");
}
