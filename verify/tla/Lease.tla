------------------------------- MODULE Lease -------------------------------
(* A fair first-come, first-served lock with several holders: what a pool   *)
(* of streams is to those who lease, and no more.                           *)
(*                                                                          *)
(* Shows: SP-1 and SP-2 as Bounded, SP-L1 as Served. Whoever leaves hands   *)
(* over to the first in the queue in one step, so nobody overtakes.         *)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Threads,
    Places,     \* how many may hold at once
    Patient,    \* those who never leave the queue by themselves
    Break       \* the rule that is off, or "nothing"

VARIABLES queue, holders

vars == <<queue, holders>>

Queued == {queue[i] : i \in DOMAIN queue}

Init == queue = <<>> /\ holders = {}

Enter(t) ==
    /\ t \notin holders /\ t \notin Queued
    /\ IF queue = <<>> /\ Cardinality(holders) < Places
         THEN holders' = holders \cup {t} /\ queue' = queue
         ELSE holders' = holders /\ queue' = Append(queue, t)

Last(q) == q[Len(q)]
Front(q) == SubSeq(q, 1, Len(q) - 1)

Leave(t) ==
    /\ t \in holders
    /\ IF queue = <<>>
         THEN holders' = holders \ {t} /\ queue' = queue
         ELSE IF Break = "the last comes first"
           THEN holders' = (holders \ {t}) \cup {Last(queue)} /\ queue' = Front(queue)
           ELSE holders' = (holders \ {t}) \cup {Head(queue)} /\ queue' = Tail(queue)

GiveUp(t) ==
    /\ t \in Queued \ Patient
    /\ queue' = SelectSeq(queue, LAMBDA q : q # t)
    /\ holders' = holders

\* The end of the pool: everybody in the queue is sent away.
Close == queue # <<>> /\ Patient = {} /\ queue' = <<>> /\ holders' = holders

Next == Close \/ \E t \in Threads : Enter(t) \/ Leave(t) \/ GiveUp(t)

\* Who holds leaves in the end. Nothing is asked of those who might enter.
Fairness == \A t \in Threads : WF_vars(Leave(t))

Spec == Init /\ [][Next]_vars /\ Fairness

Bounded == Cardinality(holders) <= Places /\ holders \cap Queued = {}

\* Nobody waits while there is room.
NoIdling == queue = <<>> \/ Cardinality(holders) = Places

Holding(t) == t \in holders
Waiting(t) == t \in Queued

\* What the fairness says: leaving is all that ends a hold.
Leaves == \A t \in Threads : Holding(t) ~> ~Holding(t)

Served == \A t \in Patient : Waiting(t) ~> Holding(t)
=============================================================================
