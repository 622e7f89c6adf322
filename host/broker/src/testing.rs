//! A broker without a server, for unit tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;

use crate::api::Call;
use crate::builder::Builder;
use crate::clock::Clock;
use crate::clock::Millis;
use crate::cluster::Shared;
use crate::groups::offsets::Committed;
use crate::log::batch::BatchHeader;
use crate::log::batch::Outcome;
use crate::log::testing::BatchBuilder;
use crate::topics::config::TopicConfig;

/// A topic `items` of two partitions that holds a record and an aborted transaction, and a group `readers`
/// with a committed offset and no members.
pub(crate) fn shared() -> Arc<Shared> {
    let builder = Builder::new().initial_rebalance_delay(Duration::ZERO);
    let address = SocketAddr::from(([127, 0, 0, 1], 9092));
    let shared = Arc::new(Shared::new(address, builder.settings, builder.limits, Clock::System));
    let mut cluster = shared.lock();
    cluster.topics.create("items", 2, TopicConfig::default(), &shared.limits).unwrap();
    let group = cluster.groups.get_or_create("readers", &shared.limits).unwrap();
    let committed = Committed { offset: 1, leader_epoch: 0, metadata: Some("note".into()) };
    group.offsets.commit(("items".into(), 0), committed);
    let log = cluster.topics.partition_mut("items", 0).unwrap();
    let plain = BatchBuilder::new().record("k", "v");
    for batch in [plain.clone(), plain.transactional(9, 0, 0)] {
        let bytes = batch.build();
        log.append(&bytes, &BatchHeader::parse(&bytes).unwrap()).unwrap();
    }
    log.append_marker(9, 0, Outcome::Abort, Millis(0));
    drop(cluster);
    shared
}

/// A call of a version, from a client on this machine.
pub(crate) fn call(shared: &Arc<Shared>, api: ApiKey, version: i16) -> Call {
    let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
    Call { shared: Arc::clone(shared), api, version, client_id: "test".to_owned(), peer }
}
