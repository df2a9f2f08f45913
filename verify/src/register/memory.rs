//! Memory: blocks, buffers, and who may use them when.

use super::{Property, property};

pub(super) const MEMORY: &[Property] = &[
    property("AL-1 NoOverlap", "Live and pending ranges never intersect.")
        .asserted_in("rt/memory/state.rs")
        .checked_by(&[
            "rt/memory/state/tests.rs: al_2_no_early_reuse_al_13_accounting_exact",
            "rt/memory/tests.rs: al_1_buffers_do_not_overlap_and_are_aligned, \
         model_al_1_a_block_has_one_owner",
        ]),
    property(
        "AL-2 NoEarlyReuse",
        "A buffer freed on its home stream is not handed out to another stream before all uses \
         recorded on every stream have completed or are ordered before the new owner's first \
         command.",
    )
    .asserted_in("rt/memory/state.rs")
    .checked_by(&[
        "rt/memory/state/tests.rs: al_2_no_early_reuse_al_13_accounting_exact",
        "rt/memory/tests.rs: al_2_a_block_used_elsewhere_waits_for_its_users",
        "rt/stream/tests/orders.rs: al_2_a_writer_that_never_ran_orders_nothing_by_having_ended",
    ]),
    property(
        "AL-3 HomeImmediate",
        "If all uses are on the home stream, a later allocation on that stream may get the block \
         at once, without host wait.",
    )
    .held_by_type_in("rt/memory/state.rs")
    .checked_by(&[
        "rt/memory/state/tests.rs: al_2_no_early_reuse_al_13_accounting_exact",
        "rt/memory/tests.rs: al_3_a_block_comes_home_at_once",
    ]),
    property(
        "AL-4 FullDominance",
        "Reuse by order requires the requester's clock to be ≥ the block's use clock on every \
         stream.",
    )
    .asserted_in("rt/memory/arena.rs")
    .checked_by(&[
        "rt/frontier/tests.rs: al_4_dominance_needs_every_stream",
        "rt/memory/state/tests.rs: al_2_no_early_reuse_al_13_accounting_exact",
        "rt/memory/tests.rs: al_2_a_block_used_elsewhere_waits_for_its_users, \
         al_4_a_reused_block_carries_its_users_to_the_next_owner",
        "rt/stream/tests/orders.rs: al_4_a_reset_stream_forgets_what_it_was_to_wait_for, \
         ev_10_streams_of_two_devices_with_one_number_are_two, \
         hazards_reach_over_readers",
    ]),
    property(
        "AL-5 UsesComplete",
        "Every command that names a buffer extends its use clock before the submit returns.",
    )
    .asserted_in("rt/memory/usage.rs")
    .checked_by(&[
        "rt/memory/state/tests.rs: al_2_no_early_reuse_al_13_accounting_exact",
        "rt/memory/tests.rs: al_5_uses_are_recorded_before_the_submit_returns",
    ]),
    property(
        "AL-6 NoUseAfterFree",
        "No command starts on a range whose owner at submit time is not the naming buffer.",
    )
    .held_by_type_in("rt/lib.rs")
    .checked_by(&[
        "rt/graph/tests.rs: gr_10_gr_12_memory_of_a_graph_is_its_own_for_as_long_as_it_is_used",
        "rt/memory/tests.rs: al_4_a_reused_block_carries_its_users_to_the_next_owner, \
         al_5_uses_are_recorded_before_the_submit_returns",
    ]),
    property(
        "AL-7 HostNotInFlight",
        "Host-writable memory is never handed out while a device command may still read or write \
         it.",
    )
    .asserted_in("rt/memory/arena.rs")
    .checked_by(&[
        "rt/memory/tests.rs: al_3_a_block_comes_home_at_once",
        "rt/memory/tests.rs: al_7_the_host_never_gets_memory_in_flight",
        "rt/memory/tests.rs: al_7_staging_memory_in_flight_is_nobody_elses",
    ]),
    property(
        "AL-8 MergeQuiescent",
        "Only free blocks with empty use clock are merged, split or returned natively.",
    )
    .asserted_in("rt/memory/state.rs")
    .checked_by(&[
        "rt/memory/state/tests.rs: al_2_no_early_reuse_al_13_accounting_exact",
        "rt/memory/tests.rs: al_13_statistics_return_to_the_baseline",
        "rt/memory/tests/buffers.rs: bu_1_a_command_in_flight_keeps_what_it_names",
    ]),
    property(
        "AL-9 NoHeadOfLine",
        "A pending block whose uses are complete becomes reusable even if older pending blocks of \
         other streams are not.",
    )
    .asserted_in("rt/memory/state.rs")
    .checked_by(&[
        "rt/memory/state/tests.rs: al_2_no_early_reuse_al_13_accounting_exact",
        "rt/memory/state/tests.rs: al_9_a_slow_stream_holds_nobody_back",
    ]),
    property(
        "AL-10 PendingDrains",
        "Every pending block eventually becomes free if its streams complete, even when no \
         further alloc happens before a trim, stats or shutdown call.",
    )
    .asserted_in("rt/memory/state.rs")
    .checked_by(&[
        "rt/memory/state/tests.rs: al_2_no_early_reuse_al_13_accounting_exact",
        "rt/memory/tests.rs: al_2_a_block_used_elsewhere_waits_for_its_users, \
         al_5_uses_are_recorded_before_the_submit_returns",
        "rt/memory/tests/buffers.rs: bu_frozen_buffers_are_read_freely_and_never_written",
    ]),
    property(
        "AL-11 OomExhaustive",
        "OOM is reported only after own cache, pending blocks that can finish by the deadline, \
         and idle caches were tried.",
    )
    .guarded_in("rt/memory.rs")
    .checked_by(&[
        "rt/memory/tests/pressure.rs: al_11_a_deadline_bounds_the_wait_for_memory",
        "rt/memory/tests/pressure.rs: al_11_memory_pressure_is_relieved_before_it_is_reported, \
         al_11_small_blocks_of_another_arena_are_taken_where_there_is_no_room_for_more",
        "rt/memory/tests/pressure.rs: model_al_14_the_limit_is_hard_and_room_is_found",
    ]),
    property(
        "AL-12 OomClean",
        "After OOM all invariants hold, no partial block leaks, a smaller request may succeed, no \
         device error stays set.",
    )
    .asserted_in("rt/memory.rs")
    .checked_by(&[
        "rt/memory/tests/pressure.rs: al_12_a_native_refusal_is_survived",
        "rt/memory/tests/pressure.rs: al_12_an_error_changes_nothing",
    ]),
    property(
        "AL-13 AccountingExact",
        "live + pending + cached = reserved, equals the sum over blocks, at every consistent cut, \
         and returns to the baseline after all frees and a trim.",
    )
    .asserted_in("rt/memory/state.rs")
    .checked_by(&[
        "rt/memory/state/tests.rs: al_2_no_early_reuse_al_13_accounting_exact",
        "rt/memory/tests.rs: al_13_statistics_return_to_the_baseline",
        "rt/tests/programs.rs: a_device_that_dawdles_computes_the_same, \
         a_device_that_runs_in_any_order_computes_the_same, the_processor_computes_the_same, \
         threads_that_share_streams_compute_the_same",
    ]),
    property("AL-14 LimitHard", "reserved ≤ limit at every step, also with concurrent growth.")
        .asserted_in("rt/memory.rs")
        .checked_by(&["rt/memory/tests/pressure.rs: model_al_14_the_limit_is_hard_and_room_is_found"])
        .without("memory that a device takes beyond what it was asked for"),
    property(
        "AL-15 NoWaitUnderLock",
        "No allocator lock is held at a native alloc/free, device wait, callback or log hook.",
    )
    .asserted_in("rt/memory.rs")
    .checked_by(&[
        "rt/memory/tests/pressure.rs: al_15_memory_is_looked_at_from_wherever_it_is_made_or_given_up",
    ])
    .within("debug builds on real threads; the locks of the kernel, not those of devices"),
    property(
        "AL-16 FreeAnywhere",
        "Free is legal from any thread, callback, after stream retirement and after shutdown, and \
         never blocks.",
    )
    .held_by_type_in("rt/lib.rs")
    .checked_by(&["rt/memory/tests.rs: al_16_buffers_may_be_dropped_anywhere_and_late"]),
    property(
        "AL-17 OneOwner",
        "Each address maps to at most one live buffer; lookups by raw address include a \
         generation.",
    )
    .asserted_in("rt/memory/state.rs")
    .checked_by(&["rt/memory/state/tests.rs: al_2_no_early_reuse_al_13_accounting_exact"]),
    property(
        "AL-19 UseClockBounded",
        "A block's use clock has at most one entry per stream; memory used for bookkeeping is \
         O(streams) per block.",
    )
    .asserted_in("rt/frontier.rs")
    .checked_by(&[
        "rt/frontier/tests.rs: al_19_a_clock_names_each_stream_once_and_the_finished_ones_never",
    ]),
    property(
        "AL-20 ClockOverflowSafe",
        "If clocks are truncated, the block is treated as used everywhere.",
    )
    .asserted_in("rt/memory/arena.rs")
    .checked_by(&["rt/memory/tests/buffers.rs: bu_frozen_buffers_are_read_freely_and_never_written"]),
    property(
        "BU-1 ViewPins",
        "A range is not freed while any view, map, export, graph or command refers to it.",
    )
    .asserted_in("rt/memory/arena.rs")
    .checked_by(&[
        "rt/graph/tests.rs: gr_10_gr_12_memory_of_a_graph_is_its_own_for_as_long_as_it_is_used",
        "rt/memory/tests/buffers.rs: bu_1_a_command_in_flight_keeps_what_it_names, \
         bu_1_views_keep_their_buffer",
    ]),
    property("BU-3 MapExclusive", "No device command writes a mapped range.")
        .asserted_in("rt/memory/usage.rs")
        .checked_by(&[
            "rt/memory/tests/buffers.rs: bu_3_commands_and_the_host_stay_out_of_each_others_way",
            "rt/stream/tests/orders.rs: al_2_a_writer_that_never_ran_orders_nothing_by_having_ended",
        ]),
    property(
        "BU-4 PoisonVisible",
        "Reading a buffer whose last writer failed gives an error, not data.",
    )
    .guarded_in("rt/memory/usage.rs")
    .checked_by(&[
        "rt/memory/tests/buffers.rs: bu_4_a_launch_makes_valid_only_what_it_covers, \
         bu_4_the_caller_may_take_the_risk, \
         bu_4_what_a_failed_command_was_to_write_is_not_read, \
         bu_4_writing_in_place_reads",
        "rt/stream/outbox/tests.rs: model_bu_4_poison_is_seen_whenever_it_comes",
        "rt/stream/tests/failures.rs: ev_12_a_failure_travels_along_buffers",
    ]),
];
