-------------------------------- MODULE Pool --------------------------------
(* Threads that lease streams from a pool, wait for one, give up, and give  *)
(* it back.                                                                 *)
(*                                                                          *)
(* Shows: SP-1 LeaseExclusive, SP-2 Conservation, SP-7 CreateOnce, the      *)
(* order of SP-L1 and LK-3 as invariants; SP-L1 LeaseProgress as liveness;  *)
(* and that the pool refines the fair lock of Lease.tla, with its fairness. *)
(*                                                                          *)
(* Mirrors: pool/state.rs (State::apply: Lease, Enqueue, Abandon, Built,    *)
(* Retire, Return, Rebuild, Close; take_grant) and the steps of pool.rs     *)
(* (grant, wait, fit_stream, build, give_back), one lock at a time, as      *)
(* pool/state/spec.rs does. That search and this one have the same number   *)
(* of states where both are given the same threads.                         *)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Threads,
    Slots,      \* how many streams there may be
    Rounds,     \* how often each thread leases; 0 is for ever
    Failures,   \* how many streams may fail
    Hasty,      \* the threads whose deadline may pass
    Closes,     \* whether the pool may be closed
    Break       \* the rule that is off, or "nothing"

VARIABLES
    slots,      \* what each slot is, in the order of their making
    free,       \* the slots to lease, the last one returned at the end
    waiters,    \* tickets, the first come in front
    granted,    \* what was handed to a waiter that has not taken it yet
    nextTicket,
    closed,
    left,       \* how often each thread will still lease
    place,      \* where each thread is
    well,       \* how the stream of each slot is
    failuresLeft,
    servedBuild \* whether a waiter ever had to build

pool == <<slots, free, waiters, granted, nextTicket, closed>>
vars == <<pool, left, place, well, failuresLeft, servedBuild>>

Range(q) == {q[i] : i \in DOMAIN q}
Last(q) == q[Len(q)]
Front(q) == SubSeq(q, 1, Len(q) - 1)

Outside == [at |-> "outside"]
Asleep(ticket, woken) == [at |-> "asleep", ticket |-> ticket, woken |-> woken]
At(name, slot) == [at |-> name, slot |-> slot]
Grant(kind, slot) == [kind |-> kind, slot |-> slot]
Holds(t) == place[t].at \in {"stream", "build", "building", "holding", "ending"}
IsAsleep(t) == place[t].at = "asleep"

Init ==
    /\ slots = <<>> /\ free = <<>> /\ waiters = <<>> /\ granted = <<>>
    /\ nextTicket = 0 /\ closed = FALSE
    /\ left = [t \in Threads |-> Rounds]
    /\ place = [t \in Threads |-> Outside]
    /\ well = [s \in 1..Slots |-> "none"]
    /\ failuresLeft = Failures
    /\ servedBuild = FALSE

-----------------------------------------------------------------------------
(* The pool, as plain data. *)

Used == {s \in DOMAIN slots : slots[s] # "empty"}
Empty == DOMAIN slots \ Used
CanTake == free # <<>> \/ Cardinality(Used) < Slots

\* State::take_free, as what is taken and what the slots are then.
Taken ==
    IF free # <<>> THEN Grant("stream", Last(free))
    ELSE IF Empty # {} THEN Grant("build", CHOOSE s \in Empty : \A o \in Empty : s <= o)
    ELSE Grant("build", Len(slots) + 1)
SlotsTaken ==
    LET g == Taken IN
    IF Len(slots) < g.slot THEN Append(slots, "building")
    ELSE [slots EXCEPT ![g.slot] = IF g.kind = "build" THEN "building" ELSE "leased"]
FreeTaken ==
    IF free = <<>> \/ Break = "what is free is not marked" THEN free ELSE Front(free)

\* A ticket is a name. Where leases go on for ever, names are used again.
Names == 0..Cardinality(Threads)
IsFresh(n) == n \notin Range(waiters) /\ \A g \in Range(granted) : g.ticket # n
Ticket ==
    IF Rounds # 0 THEN nextTicket
    ELSE CHOOSE n \in Names : IsFresh(n) /\ \A m \in Names : IsFresh(m) => n <= m

NextTicket == IF Rounds = 0 THEN 0 ELSE nextTicket + 1

Woken(places, tickets) ==
    [t \in Threads |->
        IF places[t].at = "asleep" /\ places[t].ticket \in tickets
        THEN [places[t] EXCEPT !.woken = TRUE] ELSE places[t]]

First == IF Break = "the last comes first" THEN Last(waiters) ELSE Head(waiters)
Later == IF Break = "the last comes first" THEN Front(waiters) ELSE Tail(waiters)

\* The first waiter gets `grant`, and is woken. Outside of it all is as in `places`.
Serve(places, grant) ==
    /\ granted' = Append(granted, [ticket |-> First, kind |-> grant.kind, slot |-> grant.slot])
    /\ waiters' = Later
    /\ place' = IF Break = "served in silence" THEN places ELSE Woken(places, {First})

LayFree(places, s) ==
    /\ slots' = [slots EXCEPT ![s] = "free"]
    /\ free' = Append(free, s)
    /\ place' = IF waiters = <<>> THEN places ELSE Woken(places, {First})
    /\ UNCHANGED <<waiters, granted>>

\* State::give_back: the first waiter has the stream, or it lies free.
HandsOver == waiters # <<>> /\ Break # "freed, not handed over"
Return(places, s) ==
    \/ HandsOver /\ Serve(places, Grant("stream", s)) /\ UNCHANGED <<slots, free>>
    \/ ~HandsOver /\ LayFree(places, s)

\* Action::Retire: the slot is empty; the first waiter, if there is one, builds in the first such.
FirstEmpty(s) == CHOOSE e \in Empty \cup {s} : \A o \in Empty \cup {s} : e <= o
PassesOn == waiters # <<>> /\ Break # "the place of the dead is not passed on"
ServeBuild(places, s) ==
    /\ slots' = [slots EXCEPT ![s] = "empty", ![FirstEmpty(s)] = "building"]
    /\ Serve(places, Grant("build", FirstEmpty(s)))
LeaveEmpty(places, s) ==
    /\ slots' = [slots EXCEPT ![s] = "empty"]
    /\ place' = places
    /\ UNCHANGED <<waiters, granted>>
Retire(places, s) ==
    /\ \/ PassesOn /\ ServeBuild(places, s)
       \/ ~PassesOn /\ LeaveEmpty(places, s)
    /\ UNCHANGED free

-----------------------------------------------------------------------------
(* The threads. *)

Wants(t) == place[t] = Outside /\ (Rounds = 0 \/ 0 < left[t])
Spent(t) == IF Rounds = 0 THEN left ELSE [left EXCEPT ![t] = @ - 1]
Overtakes == Break = "freed, not handed over"

Take(t) ==
    /\ CanTake
    /\ place' = [place EXCEPT ![t] = At(Taken.kind, Taken.slot)]
    /\ slots' = SlotsTaken
    /\ free' = FreeTaken
    /\ UNCHANGED <<granted, nextTicket, closed, left, well, failuresLeft, servedBuild>>

Enqueue(t) ==
    /\ place' = [place EXCEPT ![t] = Asleep(Ticket, FALSE)]
    /\ waiters' = Append(waiters, Ticket)
    /\ nextTicket' = NextTicket
    /\ UNCHANGED <<slots, free, granted, closed, left, well, failuresLeft, servedBuild>>

GoOut(t) ==
    /\ place' = [place EXCEPT ![t] = Outside]
    /\ left' = Spent(t)
    /\ UNCHANGED <<pool, well, failuresLeft, servedBuild>>

\* StreamPool::grant, and StreamPool::wait up to the sleep.
MayTake == (waiters = <<>> \/ Overtakes) /\ CanTake
Ask(t) ==
    /\ Wants(t)
    /\ \/ closed /\ GoOut(t)
       \/ ~closed /\ MayTake /\ Take(t) /\ UNCHANGED waiters
       \/ ~closed /\ ~MayTake /\ Enqueue(t)

HasGrant(t) == \E i \in DOMAIN granted : granted[i].ticket = place[t].ticket
GrantOf(t) == CHOOSE i \in DOMAIN granted : granted[i].ticket = place[t].ticket
LeaveQueue(t) == waiters' = SelectSeq(waiters, LAMBDA w : w # place[t].ticket)

\* State::take_grant: the last grant fills the gap.
TakeGrant(t) ==
    LET grant == granted[GrantOf(t)] IN
    /\ place' = [place EXCEPT ![t] = At(grant.kind, grant.slot)]
    /\ granted' = Front([granted EXCEPT ![GrantOf(t)] = Last(granted)])
    /\ servedBuild' = (servedBuild \/ grant.kind = "build")
    /\ UNCHANGED <<slots, free, waiters, nextTicket, closed, left, well, failuresLeft>>

SleepOn(t) ==
    /\ place' = [place EXCEPT ![t].woken = FALSE]
    /\ UNCHANGED <<pool, left, well, failuresLeft, servedBuild>>

\* The end of the sleep in StreamPool::wait.
Wake(t) ==
    /\ IsAsleep(t) /\ place[t].woken
    /\ \/ HasGrant(t) /\ TakeGrant(t)
       \/ ~HasGrant(t) /\ closed /\ GoOut(t)
       \/ ~HasGrant(t) /\ ~closed /\ Overtakes /\ Take(t) /\ LeaveQueue(t)
       \/ ~HasGrant(t) /\ ~closed /\ ~(Overtakes /\ CanTake) /\ SleepOn(t)

Abandon(t) ==
    /\ place' = [place EXCEPT ![t] = Outside]
    /\ left' = Spent(t)
    /\ LeaveQueue(t)
    /\ UNCHANGED <<slots, free, granted, nextTicket, closed, well, failuresLeft, servedBuild>>

\* The deadline passes; a grant that came in time is taken all the same.
TakesLate(t) == HasGrant(t) /\ Break # "who gives up leaves the grant"
TimeOut(t) ==
    /\ t \in Hasty /\ IsAsleep(t)
    /\ \/ TakesLate(t) /\ TakeGrant(t)
       \/ ~TakesLate(t) /\ Abandon(t)

\* StreamPool::fit_stream: a stream that has failed since is built anew.
Rebuild(t) ==
    /\ place[t].at = "stream" /\ well[place[t].slot] = "failed"
    /\ slots' = [slots EXCEPT ![place[t].slot] = "building"]
    /\ well' = [well EXCEPT ![place[t].slot] = "none"]
    /\ place' = [place EXCEPT ![t] = At("building", place[t].slot)]
    /\ UNCHANGED <<free, waiters, granted, nextTicket, closed, left, failuresLeft, servedBuild>>
Accept(t) ==
    /\ place[t].at = "build" \/ (place[t].at = "stream" /\ well[place[t].slot] # "failed")
    /\ LET next == IF place[t].at = "build" THEN "building" ELSE "holding"
       IN place' = [place EXCEPT ![t] = At(next, place[t].slot)]
    /\ UNCHANGED <<pool, left, well, failuresLeft, servedBuild>>
Fit(t) == Rebuild(t) \/ Accept(t)

\* StreamPool::build, which succeeds
Built(t) ==
    /\ place[t].at = "building"
    /\ slots' = [slots EXCEPT ![place[t].slot] = "leased"]
    /\ well' = [well EXCEPT ![place[t].slot] = "well"]
    /\ place' = [place EXCEPT ![t] = At("holding", place[t].slot)]
    /\ UNCHANGED <<free, waiters, granted, nextTicket, closed, left, failuresLeft, servedBuild>>

\* or fails.
NotBuilt(t) ==
    /\ place[t].at = "building"
    /\ Retire(OneOut(t), place[t].slot)
    /\ left' = Spent(t)
    /\ UNCHANGED <<nextTicket, closed, well, failuresLeft, servedBuild>>

OneOut(t) == [place EXCEPT ![t] = Outside]
EndWell(t) == Return(OneOut(t), place[t].slot) /\ UNCHANGED well
EndFailed(t) ==
    Retire(OneOut(t), place[t].slot) /\ well' = [well EXCEPT ![place[t].slot] = "none"]

\* The first lock of StreamPool::give_back
Release(t) ==
    /\ place[t].at = "holding"
    /\ place' = [place EXCEPT ![t] = At("ending", place[t].slot)]
    /\ UNCHANGED <<pool, left, well, failuresLeft, servedBuild>>

\* and the second one.
End(t) ==
    /\ place[t].at = "ending"
    /\ IF well[place[t].slot] = "well" THEN EndWell(t) ELSE EndFailed(t)
    /\ left' = Spent(t)
    /\ UNCHANGED <<nextTicket, closed, failuresLeft, servedBuild>>

StreamFails(s) ==
    /\ 0 < failuresLeft /\ well[s] = "well"
    /\ well' = [well EXCEPT ![s] = "failed"]
    /\ failuresLeft' = failuresLeft - 1
    /\ UNCHANGED <<pool, left, place, servedBuild>>

Close ==
    /\ Closes /\ ~closed
    /\ closed' = TRUE /\ waiters' = <<>>
    /\ place' = [t \in Threads |->
            IF IsAsleep(t) THEN [place[t] EXCEPT !.woken = TRUE] ELSE place[t]]
    /\ UNCHANGED <<slots, free, granted, nextTicket, left, well, failuresLeft, servedBuild>>

\* All leases are over: the only state in which nothing has to happen.
Rest == (\A t \in Threads : place[t] = Outside /\ ~Wants(t)) /\ UNCHANGED vars

\* What a thread does by itself, once nothing keeps it.
GoOn(t) == Wake(t) \/ Fit(t) \/ Built(t) \/ Release(t) \/ End(t)

Next ==
    \/ \E t \in Threads : Ask(t) \/ GoOn(t) \/ NotBuilt(t) \/ TimeOut(t)
    \/ \E s \in 1..Slots : StreamFails(s)
    \/ Close
    \/ Rest

\* A3 and A4 of the semantics: a thread that may go on does. Nobody has to ask, no deadline has to
\* pass, no stream has to fail.
Fairness == \A t \in Threads : WF_vars(GoOn(t))

Spec == Init /\ [][Next]_vars /\ Fairness

-----------------------------------------------------------------------------
(* Safety. *)

Granted == {granted[i].slot : i \in DOMAIN granted}

Exclusive ==
    /\ \A t, u \in Threads : Holds(t) /\ Holds(u) /\ place[t].slot = place[u].slot => t = u
    /\ \A t \in Threads : Holds(t) => place[t].slot \notin Granted
    /\ Cardinality(Granted) = Len(granted)

\* free + leased + building = created <= cap, and each has whom it should have.
Conserved ==
    /\ Cardinality(Used) <= Slots
    /\ Range(free) = {s \in DOMAIN slots : slots[s] = "free"}
    /\ Cardinality(Range(free)) = Len(free)
    /\ {s \in DOMAIN slots : slots[s] \in {"leased", "building"}} =
         {place[t].slot : t \in {u \in Threads : Holds(u)}} \cup Granted

BuiltOnce == \A t \in Threads : place[t].at = "building" => well[place[t].slot] = "none"

NoIdling == waiters # <<>> => free = <<>> /\ Cardinality(Used) = Slots

InOrder ==
    Rounds # 0 => \A i \in DOMAIN granted, j \in DOMAIN waiters : granted[i].ticket < waiters[j]

-----------------------------------------------------------------------------
(* Progress. *)

\* SP-L1. Patient threads do not give up, and the pool is not closed.
InQueue(t) == IsAsleep(t) /\ place[t].ticket \in Range(waiters)
Progress == \A t \in Threads \ Hasty : InQueue(t) ~> (Holds(t) \/ closed)

-----------------------------------------------------------------------------
(* The lock that this is. A waiter holds from the moment that it is served. *)

ThreadOf(ticket) == CHOOSE t \in Threads : IsAsleep(t) /\ place[t].ticket = ticket

Lock == INSTANCE Lease WITH
    Break <- "nothing",
    Places <- Slots,
    Patient <- IF Closes THEN {} ELSE Threads \ Hasty,
    queue <- [i \in DOMAIN waiters |-> ThreadOf(waiters[i])],
    holders <- {t \in Threads : Holds(t) \/ (IsAsleep(t) /\ HasGrant(t))}

\* The steps are compared with --check-refinement Lock. The fairness of the lock and what comes of
\* it are written out, because the checker takes no temporal formula from another module.
LockLeaves == \A t \in Threads : Lock!Holding(t) ~> ~Lock!Holding(t)
LockServed == \A t \in Threads \ Hasty : Lock!Waiting(t) ~> (Lock!Holding(t) \/ closed)
=============================================================================
