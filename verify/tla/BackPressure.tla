---------------------------- MODULE BackPressure ----------------------------
(* Threads that submit to streams with a limit on what is in flight. The    *)
(* work of each stream waits for earlier work of the other.                 *)
(*                                                                          *)
(* Shows: CB-8 InFlightBounded and CB-11 NoUncommittedDependency as         *)
(* invariants; LV-1 Completion, LV-3 SyncReturns and LV-4 BackpressureSafe  *)
(* as liveness: a thread at the limit goes on, because everything in        *)
(* flight depends on what is committed.                                     *)
(*                                                                          *)
(* Mirrors: StreamRef::issue and Section::attempt (stream/submit.rs);       *)
(* commit_for, commit_soon, make_room, try_commit, wait_for (stream.rs);    *)
(* Timeline::wait_room; may_pass (stream/outbox.rs). The hand-over is one   *)
(* step here; stream/outbox/state/spec.rs has the rest of it.               *)
(*                                                                          *)
(* The device is the hardest that its contract allows: one queue for all    *)
(* streams. A lazy one runs only what a waiting thread asks for.            *)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Last,       \* the streams are 1..Last
    Programs,   \* of each thread: what it calls, in turn
    Limit,      \* command buffers of a stream that may be in flight
    Full,       \* commands in a full buffer
    Lazy,       \* whether the device has to be asked
    Break       \* the rule that is off, or "nothing"

Streams == 1..Last
Threads == DOMAIN Programs

VARIABLES
    issued, committed, reached, \* of each stream: values
    open,       \* of each stream: commands in the open buffer, and what it waits for
    clock,      \* of each stream: what is ordered before its next command
    outbox,     \* of each stream: buffers that are committed and not handed over
    device,     \* buffers in the order in which they were handed over
    asked,      \* of each stream: up to which value a thread has asked for it
    soon,       \* of each stream: values whose end commits what is open
    thread      \* of each thread: at, call, marks, on, next

stream == <<issued, committed, open, clock, outbox>>
vars == <<stream, reached, device, asked, soon, thread>>

Mark(s, value) == [on |-> s, value |-> value]
NoMark == Mark(1, 0)

Init ==
    /\ issued = [s \in Streams |-> 0]
    /\ committed = [s \in Streams |-> 0]
    /\ reached = [s \in Streams |-> 0]
    /\ open = [s \in Streams |-> [count |-> 0, waits |-> {}]]
    /\ clock = [s \in Streams |-> [p \in Streams |-> 0]]
    /\ outbox = [s \in Streams |-> <<>>]
    /\ device = <<>>
    /\ asked = [s \in Streams |-> 0]
    /\ soon = [s \in Streams |-> {}]
    /\ thread = [t \in Threads |->
            [at |-> "outside", call |-> 1, marks |-> {}, mark |-> NoMark, next |-> 0]]

Call(t) == Programs[t][thread[t].call]
Max(a, b) == IF a < b THEN b ELSE a

OnDevice(s) == Cardinality({i \in DOMAIN device : device[i].on = s})
InFlight(s) == Len(outbox[s]) + OnDevice(s)
HasRoom(s) == InFlight(s) < Limit
Handed(s) == IF outbox[s] = <<>> THEN committed[s] ELSE outbox[s][1].first - 1

-----------------------------------------------------------------------------
(* Committing. *)

Parcel(s) ==
    [first |-> committed[s] + 1, value |-> issued[s], waits |-> open[s].waits]
Committed(s) == [outbox EXCEPT ![s] = Append(@, Parcel(s))]

\* Section::try_commit, where there is room or nothing is open
TryCommit(s) ==
    IF committed[s] = issued[s]
    THEN UNCHANGED stream
    ELSE /\ outbox' = Committed(s)
         /\ committed' = [committed EXCEPT ![s] = issued[s]]
         /\ open' = [open EXCEPT ![s] = [count |-> 0, waits |-> {}]]
         /\ UNCHANGED <<issued, clock>>
MayCommit(s) == committed[s] = issued[s] \/ HasRoom(s)

-----------------------------------------------------------------------------
(* Submitting. *)

Goes(t, at) == [thread EXCEPT ![t].at = at]
Returned(t) == [thread EXCEPT
    ![t] = [at |-> "outside", call |-> @.call + 1, marks |-> {}, mark |-> NoMark, next |-> 0]]

On(t) == Call(t).on

\* What the call waits for is what the other streams have been given until now.
Earlier(t) == {Mark(p, issued[p]) : p \in {q \in Call(t).after : reached[q] < issued[q]}}
Begin(t) ==
    /\ thread[t].at = "outside" /\ thread[t].call <= Len(Programs[t])
    /\ thread' = [thread EXCEPT
            ![t].at = IF Call(t).do = "submit" THEN "try" ELSE "commit",
            ![t].marks = IF Call(t).do = "submit" THEN Earlier(t) ELSE {},
            ![t].mark = IF Call(t).do = "submit" THEN NoMark ELSE Mark(On(t), issued[On(t)])]
    /\ UNCHANGED <<stream, reached, device, asked, soon>>

\* Section::attempt
IsNeeded(s, m) == clock[s][m.on] < m.value /\ reached[m.on] < m.value
Waits(t) == {m \in thread[t].marks : IsNeeded(On(t), m)}
LeftOpen(t) == {m \in Waits(t) : committed[m.on] < m.value}
FirstOpen(t) == CHOOSE m \in LeftOpen(t) : \A o \in LeftOpen(t) : m.on <= o.on
NeedsProducers(t) == LeftOpen(t) # {} /\ Break # "producers are left open"
MustCommit(t) == Waits(t) # {} \/ Full <= open[On(t)].count

Producers(t) ==
    /\ NeedsProducers(t)
    /\ thread' = [thread EXCEPT ![t].at = "commit", ![t].mark = FirstOpen(t)]
    /\ UNCHANGED stream

NoRoom(t) ==
    /\ ~NeedsProducers(t) /\ MustCommit(t) /\ ~MayCommit(On(t))
    /\ thread' = [thread EXCEPT ![t].at = "room", ![t].mark = NoMark]
    /\ UNCHANGED stream

\* The open buffer that the command comes into.
Commits(t) == MustCommit(t) /\ committed[On(t)] < issued[On(t)]
Before(t) == IF Commits(t) THEN [count |-> 0, waits |-> {}] ELSE open[On(t)]
After(t) == [count |-> Before(t).count + 1, waits |-> Before(t).waits \cup Waits(t)]
Raised(s, marks) == [p \in Streams |->
    IF \E m \in marks : m.on = p
    THEN Max(clock[s][p], (CHOOSE m \in marks : m.on = p).value) ELSE clock[s][p]]
Issue(t) ==
    /\ ~NeedsProducers(t) /\ (MustCommit(t) => MayCommit(On(t)))
    /\ outbox' = IF Commits(t) THEN Committed(On(t)) ELSE outbox
    /\ committed' = IF Commits(t) THEN [committed EXCEPT ![On(t)] = issued[On(t)]] ELSE committed
    /\ issued' = [issued EXCEPT ![On(t)] = @ + 1]
    /\ open' = [open EXCEPT ![On(t)] = After(t)]
    /\ clock' = [clock EXCEPT ![On(t)] = Raised(On(t), Waits(t))]
    /\ thread' = IF After(t).count = Full THEN Goes(t, "look") ELSE Returned(t)

Try(t) ==
    /\ thread[t].at = "try"
    /\ Producers(t) \/ NoRoom(t) \/ Issue(t)
    /\ UNCHANGED <<reached, device, asked, soon>>

\* StreamRef::commit_soon reads how far the stream is,
Look(t) ==
    /\ thread[t].at = "look"
    /\ thread' = [thread EXCEPT ![t].at = "soon", ![t].next = reached[On(t)] + 1]
    /\ UNCHANGED <<stream, reached, device, asked, soon>>
\* then tries, and leaves a callback.
Soon(t) ==
    /\ thread[t].at = "soon" /\ MayCommit(On(t))
    /\ TryCommit(On(t))
    /\ thread' = Returned(t)
    /\ UNCHANGED <<reached, device, asked, soon>>
NotSoon(t) ==
    /\ thread[t].at = "soon" /\ ~MayCommit(On(t))
    /\ soon' = IF Break = "nobody commits what is full" THEN soon
               ELSE [soon EXCEPT ![On(t)] = @ \cup {thread[t].next}]
    /\ thread' = Returned(t)
    /\ UNCHANGED <<stream, reached, device, asked>>

\* The callback is StreamRef::commit_soon again.
Due(s) == {value \in soon[s] : value <= reached[s]}
CallBack(s) ==
    /\ Due(s) # {} /\ MayCommit(s)
    /\ TryCommit(s)
    /\ soon' = [soon EXCEPT ![s] = @ \ Due(s)]
    /\ UNCHANGED <<reached, device, asked, thread>>
CallAgain(s) ==
    /\ Due(s) # {} /\ ~MayCommit(s)
    /\ soon' = [soon EXCEPT ![s] = (@ \ Due(s)) \cup {reached[s] + 1}]
    /\ UNCHANGED <<stream, reached, device, asked, thread>>

-----------------------------------------------------------------------------
(* Waiting. *)

\* StreamRef::commit_for, of a producer or of what is waited for
IsDone(t) == thread[t].mark.value <= committed[thread[t].mark.on]
Behind(t) ==
    IF Call(t).do = "submit"
    THEN [thread EXCEPT ![t].at = "try", ![t].mark = NoMark] ELSE Goes(t, "wait")
Commit(t) ==
    /\ thread[t].at = "commit" /\ (IsDone(t) \/ HasRoom(thread[t].mark.on))
    /\ IF IsDone(t) \/ Break = "the waiter does not commit"
         THEN UNCHANGED stream ELSE TryCommit(thread[t].mark.on)
    /\ thread' = Behind(t)
    /\ UNCHANGED <<reached, device, asked, soon>>
CommitLater(t) ==
    /\ thread[t].at = "commit" /\ ~IsDone(t) /\ ~HasRoom(thread[t].mark.on)
    /\ thread' = Goes(t, "room")
    /\ UNCHANGED <<stream, reached, device, asked, soon>>

\* StreamRef::make_room, for the producer or for the own stream, asks for the next buffer,
Crowded(t) == IF thread[t].mark = NoMark THEN On(t) ELSE thread[t].mark.on
Room(t) ==
    /\ thread[t].at = "room"
    /\ thread' = [thread EXCEPT ![t].at = "crowded", ![t].next = reached[Crowded(t)] + 1]
    /\ asked' = [asked EXCEPT ![Crowded(t)] = Max(@, reached[Crowded(t)] + 1)]
    /\ UNCHANGED <<stream, reached, device, soon>>
\* and Timeline::wait_room sleeps until there is room, or until that buffer has ended.
MayLookAgain(t) ==
    \/ HasRoom(Crowded(t))
    \/ thread[t].next <= reached[Crowded(t)] /\ Break # "waits for room that it does not need"
GoOn(t) ==
    /\ thread[t].at = "crowded" /\ MayLookAgain(t)
    /\ thread' = [thread EXCEPT
            ![t].at = IF thread[t].mark = NoMark THEN "try" ELSE "commit", ![t].next = 0]
    /\ UNCHANGED <<stream, reached, device, asked, soon>>

\* StreamCore::wait_for
Lend(t) ==
    /\ thread[t].at = "wait"
    /\ asked' = [asked EXCEPT ![On(t)] = Max(@, thread[t].mark.value)]
    /\ thread' = Goes(t, "asleep")
    /\ UNCHANGED <<stream, reached, device, soon>>
Wake(t) ==
    /\ thread[t].at = "asleep" /\ thread[t].mark.value <= reached[On(t)]
    /\ thread' = Returned(t)
    /\ UNCHANGED <<stream, reached, device, asked, soon>>

-----------------------------------------------------------------------------
(* The outbox and the device. *)

\* The head is held back until what it waits for has been handed over.
MayPass(s) ==
    \/ \A m \in outbox[s][1].waits : m.value <= Handed(m.on)
    \/ Break = "handed over at once"
HandOver(s) ==
    /\ outbox[s] # <<>> /\ MayPass(s)
    /\ device' = Append(device,
            [on |-> s, value |-> outbox[s][1].value, waits |-> outbox[s][1].waits])
    /\ outbox' = [outbox EXCEPT ![s] = Tail(@)]
    /\ UNCHANGED <<issued, committed, open, clock, reached, asked, soon, thread>>

IsAsked == ~Lazy \/ \E i \in DOMAIN device : reached[device[i].on] < asked[device[i].on]
Run ==
    /\ device # <<>> /\ IsAsked
    /\ \A m \in device[1].waits : m.value <= reached[m.on]
    /\ reached' = [reached EXCEPT ![device[1].on] = device[1].value]
    /\ device' = Tail(device)
    /\ UNCHANGED <<stream, asked, soon, thread>>

-----------------------------------------------------------------------------

Step(t) ==
    \/ Begin(t) \/ Try(t) \/ Look(t) \/ Soon(t) \/ NotSoon(t) \/ Commit(t) \/ CommitLater(t)
    \/ Room(t) \/ GoOn(t) \/ Lend(t) \/ Wake(t)
Hand(s) == HandOver(s) \/ CallBack(s) \/ CallAgain(s)

\* All calls have returned, and nothing is left that the device would run.
Rest ==
    /\ \A t \in Threads : thread[t].at = "outside" /\ Len(Programs[t]) < thread[t].call
    /\ \A s \in Streams : outbox[s] = <<>> /\ Due(s) = {}
    /\ device = <<>> \/ ~IsAsked
    /\ UNCHANGED vars

Next ==
    \/ \E t \in Threads : Step(t)
    \/ \E s \in Streams : Hand(s)
    \/ Run
    \/ Rest

\* A1 to A4 of the semantics: commands end, the queue goes on, threads and callbacks run.
Spec ==
    /\ Init
    /\ [][Next]_vars
    /\ \A t \in Threads : WF_vars(Step(t))
    /\ \A s \in Streams : WF_vars(Hand(s))
    /\ WF_vars(Run)

-----------------------------------------------------------------------------

\* CB-8
Bounded == \A s \in Streams : InFlight(s) <= Limit /\ open[s].count <= Full

\* CB-11: nothing in flight waits for what is not committed.
AreCommitted(marks) == \A m \in marks : m.value <= committed[m.on]
CommittedOnly ==
    /\ \A s \in Streams : AreCommitted(open[s].waits)
    /\ \A s \in Streams : \A i \in DOMAIN outbox[s] : AreCommitted(outbox[s][i].waits)
    /\ \A i \in DOMAIN device : AreCommitted(device[i].waits)

\* LV-1: what is committed ends, and what is full is committed.
Completes ==
    /\ \A s \in Streams : (0 < InFlight(s)) ~> (InFlight(s) = 0)
    /\ \A s \in Streams : (open[s].count = Full) ~> (open[s].count < Full)

\* LV-3, LV-4: every call returns.
Returns == \A t \in Threads : (thread[t].at # "outside") ~> (thread[t].at = "outside")
=============================================================================
