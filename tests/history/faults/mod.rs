//! Faults to plant in right histories, each with the rule that has to find it.

mod delivered;
mod read;
mod recorded;
mod refused;
mod scene;
mod told;

pub(crate) use scene::Scene;

use crate::history::Rule;

/// A fault: what it is, how it is planted (where the history has a place for it), and by which
/// rule it is to be found.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) rule: Rule,
    /// Whether no other rule may be broken by it.
    pub(crate) alone: bool,
    pub(crate) plant: fn(&mut Scene) -> Option<()>,
}

macro_rules! faults {
    (@alone) => { false };
    (@alone alone) => { true };
    ($($family:ident::$name:ident => $rule:ident $($alone:ident)?,)+) => {
        pub(crate) const FAULTS: &[Fault] = &[$(Fault {
            name: stringify!($name),
            rule: Rule::$rule,
            alone: faults!(@alone $($alone)?),
            plant: $family::$name,
        },)+];
    };
}

faults! {
    recorded::lost_event => Lost,
    recorded::lost_end_of_the_log => Lost,
    recorded::lost_change_of_a_stream => Lost,
    recorded::doubled_event => IdTwice,
    recorded::forgotten_id => IdTwice,
    recorded::gap_in_positions => PositionGap alone,
    recorded::gap_in_versions => VersionGap,
    recorded::time_going_back => TimeBack,
    recorded::event_of_another_topic => WrongTopic alone,
    recorded::stream_that_grew_when_deleted => DeletedStreamGrew,
    recorded::swapped_appends => WrongReceipt,
    told::wrong_position_in_a_receipt => WrongReceipt alone,
    told::wrong_version_in_a_receipt => WrongReceipt alone,
    recorded::changed_byte => Changed,
    recorded::changed_metadata => Changed,
    recorded::changed_tag => Changed,
    recorded::changed_type => Changed,
    recorded::changed_unknown => Changed,
    recorded::split_append => Torn,
    recorded::unknown_half_there => Torn,
    recorded::invented_event => Invented alone,
    recorded::invented_deletion => Invented alone,
    recorded::refused_but_recorded => RefusedRecorded,
    told::winner_that_expected_other => ExpectedBroken,
    told::unknown_that_expected_other => ExpectedBroken alone,
    told::two_winners => TwoWinners,
    told::broken_condition => ConditionBroken alone,
    told::early_acknowledgement => RealTime,
    told::wrong_receipt_on_a_duplicate => WrongDuplicate alone,
    told::duplicate_though_the_key_had_more => WrongDuplicate,
    told::duplicate_of_nothing => DuplicateOfNothing alone,
    told::duplicate_taken_for_new => RecordedAgain,
    told::refused_retry => RetryRefused alone,
    refused::refusal_by_a_version_that_never_was => UnjustifiedVersion alone,
    refused::refusal_by_a_version_of_before => UnjustifiedVersion alone,
    refused::refusal_of_the_expected_version => UnjustifiedVersion alone,
    refused::refusal_by_another_event => UnjustifiedCondition alone,
    refused::refusal_by_an_event_to_come => UnjustifiedCondition alone,
    refused::refusal_without_deletion => UnjustifiedDeleted alone,
    refused::conflict_of_new_ids => UnjustifiedConflict alone,
    refused::conflict_of_the_same_append => UnjustifiedConflict alone,
    refused::sealed_without_a_move => SealedWithoutMove alone,
    refused::old_state => WrongState alone,
    refused::unchanged_stream => WrongState alone,
    refused::stream_not_found => UnjustifiedNotFound,
    read::foreign_event_read => SeenForeign alone,
    read::other_bytes_read => SeenChanged alone,
    read::other_bytes_read_before_a_move => ChangedByMove alone,
    read::read_from_the_future => SeenEarly,
    read::read_beyond_the_filter => ReadUnasked alone,
    read::read_beyond_the_limit => ReadUnasked alone,
    read::read_out_of_order => ReadOrder alone,
    read::read_with_a_hole => ReadHole alone,
    read::read_of_half_an_append => ReadPart alone,
    read::stale_read => ReadStale alone,
    read::stale_head => ReadStale alone,
    read::head_that_goes_back => HeadWentBack alone,
    read::looked_too_far => WrongLookedTo alone,
    read::read_of_a_deleted_stream => ReadOfDeleted alone,
    read::deletion_that_was_not => ReadOfDeleted alone,
    delivered::double_delivery => DeliveryTwice alone,
    delivered::missed_delivery => DeliveryMissed alone,
    delivered::missed_last_delivery => DeliveryMissed alone,
    delivered::reordered_delivery => DeliveryOrder alone,
    delivered::delivery_beyond_the_filter => DeliveryUnasked alone,
    delivered::delivery_from_before_the_start => DeliveryUnasked alone,
    delivered::now_that_was_before => WrongStart alone,
    delivered::checkpoint_before_a_delivery => WrongCheckpoint alone,
    delivered::checkpoint_in_the_future => WrongCheckpoint alone,
    delivered::subscription_that_stands_still => NotReached alone,
    told::call_that_ends_before_it_begins => BadRecord,
    told::call_noted_twice => BadRecord alone,
    told::topic_without_a_log => BadRecord,
    read::head_from_the_future => SeenEarly alone,
    read::read_beyond_its_versions => ReadUnasked alone,
    read::read_beyond_its_end => ReadUnasked alone,
    read::backward_read_that_ends_early => ReadHole alone,
    read::looked_too_little => ReadStale alone,
    read::looked_to_the_future => WrongLookedTo alone,
    read::looked_past_what_it_did_not_give => WrongLookedTo alone,
    read::looked_to_half_an_append => ReadPart alone,
    read::looked_behind_what_it_gave => WrongLookedTo alone,
    delivered::delivery_from_the_future => SeenEarly,
    delivered::other_bytes_delivered => SeenChanged alone,
    delivered::silence_from_now_on => DeliveryMissed alone,
    refused::version_of_a_deleted_stream => UnjustifiedVersion alone,
    refused::refusal_that_tells_another_expectation => UnjustifiedVersion alone,
    refused::condition_told_instead_of_the_version => UnjustifiedCondition alone,
    refused::conflict_of_ids_to_come => UnjustifiedConflict alone,
    refused::other_version_of_a_change => WrongState,
    told::wrong_version_on_a_duplicate => WrongDuplicate alone,
    told::duplicate_before_the_first => DuplicateOfNothing,
}
