//! ListGroups, DescribeGroups and DeleteGroups.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::DeleteGroupsRequest;
use kafka_protocol::messages::DeleteGroupsResponse;
use kafka_protocol::messages::DescribeGroupsRequest;
use kafka_protocol::messages::DescribeGroupsResponse;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::ListGroupsRequest;
use kafka_protocol::messages::ListGroupsResponse;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::describe_groups_response::DescribedGroupMember;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::protocol::StrBytes;

use super::Api;
use super::Call;
use super::code;
use crate::groups::Group;
use crate::groups::member::Member;
use crate::wire::text;

/// The only kind of group that there is here.
const CLASSIC: &str = "classic";

impl Api for ListGroupsRequest {
    type Response = ListGroupsResponse;

    async fn handle(self, call: &Call) -> ListGroupsResponse {
        let version = call.version;
        let passes = |wanted: &[StrBytes], own: &str| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted.as_str().eq_ignore_ascii_case(own))
        };
        let cluster = call.shared.lock();
        let groups = cluster
            .groups
            .iter()
            .filter(|(_, group)| passes(&self.states_filter, group.phase().name()))
            .filter(|_| passes(&self.types_filter, CLASSIC))
            .map(|(name, group)| listed(name, group, version));
        ListGroupsResponse::default().with_groups(groups.collect())
    }

    fn refuse(self, error: ResponseError, _: i16) -> ListGroupsResponse {
        ListGroupsResponse::default().with_error_code(error.code())
    }
}

fn listed(name: &str, group: &Group, version: i16) -> ListedGroup {
    let since = |from: i16, value: &str| if version >= from { text(value) } else { StrBytes::default() };
    ListedGroup::default()
        .with_group_id(GroupId(text(name)))
        .with_protocol_type(text(group.protocol_type()))
        .with_group_state(since(4, group.phase().name()))
        .with_group_type(since(5, CLASSIC))
}

impl Api for DescribeGroupsRequest {
    type Response = DescribeGroupsResponse;

    async fn handle(self, call: &Call) -> DescribeGroupsResponse {
        let cluster = call.shared.lock();
        let mut seen = BTreeSet::new();
        // Once each: members make a short request into a long answer.
        let asked = self.groups.into_iter().filter(|name| seen.insert(name.to_string()));
        let groups = asked.map(|name| match cluster.groups.get(&name) {
            Some(group) => described(group, call.version).with_group_id(name),
            None => DescribedGroup::default().with_group_state(text("Dead")).with_group_id(name),
        });
        DescribeGroupsResponse::default().with_groups(groups.collect())
    }

    fn refuse(self, error: ResponseError, _: i16) -> DescribeGroupsResponse {
        let refused = |name| DescribedGroup::default().with_group_id(name).with_error_code(error.code());
        DescribeGroupsResponse::default().with_groups(self.groups.into_iter().map(refused).collect())
    }
}

fn described(group: &Group, version: i16) -> DescribedGroup {
    let member = |(id, member): (&String, &Member)| {
        DescribedGroupMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(member.instance.as_deref().filter(|_| version >= 4).map(text))
            .with_client_id(text(&member.client.id))
            .with_client_host(text(&member.client.host))
            .with_member_metadata(member.metadata(group.protocol()))
            .with_member_assignment(member.assignment.clone())
    };
    DescribedGroup::default()
        .with_group_state(text(group.phase().name()))
        .with_protocol_type(text(group.protocol_type()))
        .with_protocol_data(text(group.protocol()))
        .with_members(group.members().iter().map(member).collect())
}

impl Api for DeleteGroupsRequest {
    type Response = DeleteGroupsResponse;

    async fn handle(self, call: &Call) -> DeleteGroupsResponse {
        let mut cluster = call.shared.lock();
        delete(self, |name| cluster.groups.delete(name))
    }

    fn refuse(self, error: ResponseError, _: i16) -> DeleteGroupsResponse {
        delete(self, |_| Err(error))
    }
}

fn delete(
    request: DeleteGroupsRequest,
    mut delete_one: impl FnMut(&str) -> Result<(), ResponseError>,
) -> DeleteGroupsResponse {
    let results = request.groups_names.into_iter().map(|name| {
        let outcome = delete_one(&name);
        DeletableGroupResult::default().with_group_id(name).with_error_code(code(&outcome))
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}
