//! Graphs: capture, launch, replay.

use super::{Property, property};

pub(super) const GRAPHS: &[Property] = &[
    property("GR-1 CaptureRunsNothing", "No captured command has an effect before a launch.")
        .guarded_in("rt/stream/state.rs")
        .checked_by(&["rt/graph/tests.rs: gr_1_a_capture_runs_nothing"]),
    property(
        "GR-2 Isolation",
        "No edge connects captured and uncaptured work, and two captures never merge.",
    )
    .asserted_in("rt/graph.rs")
    .checked_by(&[
        "rt/graph/tests.rs: gr_2_a_capturing_stream_refuses_what_a_graph_cannot_have, \
         gr_2_operands_of_another_capture_are_refused",
        "rt/pool/tests.rs: sp_9_a_capture_ends_with_its_lease",
    ]),
    property("GR-4 ThreadRule", "Only the owner thread ends a non-relaxed capture.")
        .held_by_type_in("rt/graph.rs")
        .checked_by(&["rt/graph.rs: compile_fail"])
        .without("nothing but the compiler"),
    property(
        "GR-5 AllocatorFirst",
        "The allocator is in capture scope before the first captured command and after the last.",
    )
    .guarded_in("rt/device.rs")
    .checked_by(&["rt/graph/tests.rs: gr_2_a_capturing_stream_refuses_what_a_graph_cannot_have"]),
    property(
        "GR-6 Unwind",
        "An abandoned or failed capture leaves streams, scopes, counters and references as before \
         begin.",
    )
    .asserted_in("rt/stream/section.rs")
    .checked_by(&["rt/graph/tests.rs: gr_6_an_abandoned_capture_leaves_no_trace"]),
    property("GR-7 SingleFlight", "Two instances of one executable never overlap.")
        .asserted_in("rt/graph/launch.rs")
        .checked_by(&[
            "rt/graph/tests.rs: gr_7_executables_of_one_graph_are_independent",
            "rt/graph/tests.rs: gr_7_launches_of_one_executable_never_overlap",
        ]),
    property("GR-8 StreamOrder", "A launch behaves as one command of its stream.")
        .asserted_in("rt/graph/launch.rs")
        .checked_by(&["rt/graph/tests.rs: gr_8_a_launch_is_one_command_of_its_stream"]),
    property(
        "GR-9 ReplayEqualsEager",
        "For any inputs, replay gives the result of eager execution in captured order.",
    )
    .asserted_in("rt/graph/launch.rs")
    .checked_by(&[
        "rt/graph/tests.rs: gr_9_a_pinned_buffer_is_not_a_parameter_too, \
         gr_9_a_replay_equals_eager_execution, gr_9_parameters_are_bound_anew_and_may_be_parts",
        "rt/tests/programs.rs: a_device_that_dawdles_computes_the_same, \
         a_device_that_runs_in_any_order_computes_the_same, the_processor_computes_the_same, \
         threads_that_share_streams_compute_the_same",
    ])
    .within("random programs, compared byte for byte with a sequential interpreter"),
    property(
        "GR-10 PoolPrivate",
        "No address used by a live graph is given to anyone outside its declared sharers.",
    )
    .asserted_in("rt/graph.rs")
    .checked_by(&[
        "rt/graph/tests.rs: gr_10_gr_12_memory_of_a_graph_is_its_own_for_as_long_as_it_is_used",
        "rt/graph/tests.rs: gr_10_private_regions_lie_apart",
    ]),
    property(
        "GR-12 OutputsSurvive",
        "Live outputs stay valid after graph and executable are dropped.",
    )
    .held_by_type_in("rt/lib.rs")
    .checked_by(&[
        "rt/graph/tests.rs: gr_10_gr_12_memory_of_a_graph_is_its_own_for_as_long_as_it_is_used",
    ]),
];
