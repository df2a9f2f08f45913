-------------------------------- MODULE Warm --------------------------------
(* Streams that stay with the thread that returned them, and threads that   *)
(* look for one.                                                            *)
(*                                                                          *)
(* Shows: SP-1 LeaseExclusive and SP-2 Conservation over what is warm, and  *)
(* that no stream stays warm while somebody waits, as invariants; SP-L1     *)
(* LeaseProgress as liveness.                                               *)
(*                                                                          *)
(* Mirrors: pool.rs (grant, take_warm, recall, wait, give_back, keep_warm), *)
(* one lock at a time; the state of the pool is that of Pool.tla, without   *)
(* what builds, fails, closes and gives up. Each thread has a stripe of its *)
(* own. The number of seekers is read relaxed: whoever reads it under the   *)
(* lock of a stripe sees the seekers who have been there, and maybe others. *)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Threads,    \* 1..n, and so are their stripes
    Streams,    \* 1..m
    Rounds,     \* how often each thread leases
    Break       \* the rule that is off, or "nothing"

VARIABLES
    free,       \* streams that the state has as free
    warm,       \* for each stripe a stream, or 0
    waiters,    \* threads, the first come in front
    granted,    \* for each thread the stream that it was served, or 0
    lock,       \* the thread that has the lock of the state, or 0
    place,      \* where each thread is
    held,       \* the stream of each thread, or 0
    visited,    \* how many stripes each thread has visited as a seeker; 0 for those who are none
    left        \* how often each thread will still lease

vars == <<free, warm, waiters, granted, lock, place, held, visited, left>>

Stripes == Threads
IsSeeker(t) == place[t] \in {"seeks", "asks", "asleep"}
Go(t, to) == place' = [place EXCEPT ![t] = to]

Init ==
    /\ free = Streams /\ warm = [s \in Stripes |-> 0]
    /\ waiters = <<>> /\ granted = [t \in Threads |-> 0]
    /\ lock = 0
    /\ place = [t \in Threads |-> "outside"]
    /\ held = [t \in Threads |-> 0]
    /\ visited = [t \in Threads |-> 0]
    /\ left = [t \in Threads |-> Rounds]

Hold(t, s) == held' = [held EXCEPT ![t] = s] /\ Go(t, "holding")

\* StreamPool::take_warm
TakeWarm(t) ==
    /\ place[t] = "outside" /\ 0 < left[t]
    /\ \/ warm[t] # 0 /\ Hold(t, warm[t]) /\ warm' = [warm EXCEPT ![t] = 0]
       \/ warm[t] = 0 /\ Go(t, "asking") /\ UNCHANGED <<held, warm>>
    /\ UNCHANGED <<free, waiters, granted, lock, visited, left>>

CanTake == free # {} /\ waiters = <<>>
Least(set) == CHOOSE s \in set : \A o \in set : s <= o
TakeFree(t) == Hold(t, Least(free)) /\ free' = free \ {Least(free)}

\* The first Action::Lease of StreamPool::grant: without a stream the thread is a seeker, and keeps
\* the lock.
Ask(t) ==
    /\ place[t] = "asking" /\ lock = 0
    /\ \/ CanTake /\ TakeFree(t) /\ UNCHANGED lock
       \/ ~CanTake /\ Go(t, "seeks") /\ lock' = t /\ UNCHANGED <<held, free>>
    /\ UNCHANGED <<warm, waiters, granted, visited, left>>

\* Action::Return: the first waiter has the stream, or it lies free.
Serve(s) == granted' = [granted EXCEPT ![Head(waiters)] = s] /\ waiters' = Tail(waiters)
Return(s) ==
    \/ waiters # <<>> /\ Serve(s) /\ UNCHANGED free
    \/ waiters = <<>> /\ free' = free \cup {s} /\ UNCHANGED <<granted, waiters>>

\* StreamPool::recall, one stripe after the other.
Stripe(t) == visited[t] + 1
Kept(stripe) == IF Break = "what is warm is not recalled" THEN 0 ELSE warm[stripe]
Recall(stripe) == Return(warm[stripe]) /\ warm' = [warm EXCEPT ![stripe] = 0]
Visit(t) ==
    /\ place[t] = "seeks"
    /\ visited' = [visited EXCEPT ![t] = Stripe(t)]
    /\ Go(t, IF Stripe(t) = Cardinality(Stripes) THEN "asks" ELSE "seeks")
    /\ \/ Kept(Stripe(t)) # 0 /\ Recall(Stripe(t))
       \/ Kept(Stripe(t)) = 0 /\ UNCHANGED <<free, granted, waiters, warm>>
    /\ UNCHANGED <<lock, held, left>>

SeekNoMore(t) == visited' = [visited EXCEPT ![t] = 0]
Queue(t) == Go(t, "asleep") /\ waiters' = Append(waiters, t)

\* The second Action::Lease, or Action::Enqueue.
AskAgain(t) ==
    /\ place[t] = "asks"
    /\ lock' = 0
    /\ \/ CanTake /\ TakeFree(t) /\ SeekNoMore(t) /\ UNCHANGED waiters
       \/ ~CanTake /\ Queue(t) /\ UNCHANGED <<held, free, visited>>
    /\ UNCHANGED <<warm, granted, left>>

\* The end of StreamPool::wait.
Wake(t) ==
    /\ place[t] = "asleep" /\ granted[t] # 0 /\ lock = 0
    /\ Hold(t, granted[t])
    /\ granted' = [granted EXCEPT ![t] = 0]
    /\ SeekNoMore(t)
    /\ UNCHANGED <<free, warm, waiters, lock, left>>

\* Whom a thread at a stripe sees for sure: the lock of the stripe orders it behind them.
Seen(stripe) ==
    IF Break = "the count is raised behind the visits"
    THEN {t \in Threads : place[t] = "asleep"}
    ELSE {t \in Threads : IsSeeker(t) /\ stripe <= visited[t]}
Counted == {t \in Threads : IsSeeker(t)}
MayKeep(t) == warm[t] = 0 /\ (Seen(t) = {} \/ Break = "seekers are not looked at")
MayPass(t) == warm[t] # 0 \/ Counted # {}

\* StreamPool::keep_warm, in StreamPool::give_back,
Keep(t) ==
    /\ place[t] = "holding" /\ MayKeep(t)
    /\ warm' = [warm EXCEPT ![t] = held[t]]
    /\ held' = [held EXCEPT ![t] = 0]
    /\ left' = [left EXCEPT ![t] = @ - 1]
    /\ Go(t, "outside")
    /\ UNCHANGED <<free, waiters, granted, lock, visited>>

\* or not,
Pass(t) ==
    /\ place[t] = "holding" /\ MayPass(t)
    /\ Go(t, "returning")
    /\ UNCHANGED <<free, warm, waiters, granted, lock, held, visited, left>>

\* and then the lock of the state.
GiveBack(t) ==
    /\ place[t] = "returning" /\ lock = 0
    /\ Return(held[t])
    /\ held' = [held EXCEPT ![t] = 0]
    /\ left' = [left EXCEPT ![t] = @ - 1]
    /\ Go(t, "outside")
    /\ UNCHANGED <<warm, lock, visited>>

Rest == (\A t \in Threads : place[t] = "outside" /\ left[t] = 0) /\ UNCHANGED vars

GoOn(t) ==
    Ask(t) \/ Visit(t) \/ AskAgain(t) \/ Wake(t) \/ Keep(t) \/ Pass(t) \/ GiveBack(t)

Next == (\E t \in Threads : TakeWarm(t) \/ GoOn(t)) \/ Rest

Fairness == \A t \in Threads : WF_vars(GoOn(t))

Spec == Init /\ [][Next]_vars /\ Fairness

-----------------------------------------------------------------------------

\* How many places each stream has: exactly one.
Count(s) ==
    Cardinality({t \in Threads : held[t] = s}) + Cardinality({t \in Threads : warm[t] = s})
    + Cardinality({t \in Threads : granted[t] = s}) + (IF s \in free THEN 1 ELSE 0)
Conserved == \A s \in Streams : Count(s) = 1

NothingKept == waiters # <<>> => (free = {} /\ \A s \in Stripes : warm[s] = 0)

Progress == \A t \in Threads : place[t] = "asleep" ~> place[t] = "holding"
=============================================================================
