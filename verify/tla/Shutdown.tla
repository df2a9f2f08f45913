------------------------------ MODULE Shutdown ------------------------------
(* The end of a device, between clients that submit and register callbacks, *)
(* the device that runs them, and several shutdowns at once.                *)
(*                                                                          *)
(* Shows: SH-1 Linearizable, SH-2 DrainsFirst, SH-3 Idempotent, SH-4        *)
(* NoLateCallback, SH-5 LateHandlesInert, EP-5 at the end; SH-L1 Terminates *)
(* as liveness: if commands and callbacks end, or else by the deadline.     *)
(*                                                                          *)
(* Mirrors: Gate::check, close, finish and wait_finished (gate.rs);         *)
(* Device::shutdown and drain (device/shutdown.rs); the section of          *)
(* StreamRef::issue; Timeline::finish, on_reach, run and end_callbacks.     *)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Last,       \* the streams are 1..Last, and each has a client
    Calls,      \* what each client calls, in turn: "submit" or "callback"
    Shutdowns,  \* the threads that shut the device down
    Hasty,      \* those of them whose deadline may pass
    Break       \* the rule that is off, or "nothing"

Streams == 1..Last

VARIABLES
    gateClosed,
    outcome,    \* of the shutdown: "none", "ok" or "late"
    stream,     \* of each stream: closed, issued, committed
    line,       \* of each stream: the command buffers with the device
    time,       \* of each stream: reached, calling, callsEnded
    callbacks,  \* of each stream: the values that callbacks wait for
    deviceCalls,\* of each stream: the callbacks that the device runs
    client,     \* of each client: at, next (call), late (asked a closed gate)
    closer      \* of each shutdown: at, stream, timedOut, result

clients == <<stream, line, time, callbacks, deviceCalls, client>>
vars == <<gateClosed, outcome, clients, closer>>

Init ==
    /\ gateClosed = FALSE
    /\ outcome = "none"
    /\ stream = [s \in Streams |-> [closed |-> FALSE, issued |-> 0, committed |-> 0]]
    /\ line = [s \in Streams |-> <<>>]
    /\ time = [s \in Streams |-> [reached |-> 0, calling |-> 0, callsEnded |-> FALSE]]
    /\ callbacks = [s \in Streams |-> <<>>]
    /\ deviceCalls = [s \in Streams |-> 0]
    /\ client = [s \in Streams |-> [at |-> "outside", next |-> 1, late |-> FALSE]]
    /\ closer = [d \in Shutdowns |->
            [at |-> "outside", stream |-> 1, timedOut |-> FALSE, result |-> "none"]]

-----------------------------------------------------------------------------
(* The clients. Each has a stream of its own, and the same name. *)

Call(c) == Calls[client[c].next]
Moved(c, at) == [client EXCEPT ![c].at = at]
Returned(c) == [client EXCEPT ![c].at = "outside", ![c].next = @ + 1]

\* Gate::check at the head of a call
IsRefused == gateClosed /\ Break # "the gate stays open"
Ask(c) ==
    /\ client[c].at = "outside" /\ client[c].next <= Len(Calls)
    /\ client' = IF IsRefused
         THEN Returned(c)
         ELSE [client EXCEPT ![c].at = "passed", ![c].late = gateClosed]
    /\ UNCHANGED <<gateClosed, outcome, stream, line, time, callbacks, deviceCalls, closer>>

\* and the section behind it, in which a command is numbered.
Accepts(c) == ~stream[c].closed \/ Break = "a section does not look at the close"
Submit(c) ==
    /\ client[c].at = "passed" /\ Call(c) = "submit"
    /\ stream' = IF Accepts(c) THEN [stream EXCEPT ![c].issued = @ + 1] ELSE stream
    /\ client' = Returned(c)
    /\ UNCHANGED <<gateClosed, outcome, line, time, callbacks, deviceCalls, closer>>

LineWithOpen(s) ==
    IF stream[s].committed < stream[s].issued
    THEN [line EXCEPT ![s] = Append(@, stream[s].issued)] ELSE line

\* Stream::on_complete: what is open is committed,
Register(c) ==
    /\ client[c].at = "passed" /\ Call(c) = "callback"
    /\ stream' = [stream EXCEPT ![c].committed = stream[c].issued]
    /\ line' = LineWithOpen(c)
    /\ client' = Moved(c, "reach")
    /\ UNCHANGED <<gateClosed, outcome, time, callbacks, deviceCalls, closer>>

\* and Timeline::on_reach decides when the callback runs:
Later(c) ==
    /\ time[c].reached < stream[c].issued
    /\ callbacks' = [callbacks EXCEPT ![c] = Append(@, stream[c].issued)]
    /\ client' = Returned(c)
    /\ UNCHANGED time
Refused(c) ==
    /\ time[c].reached = stream[c].issued
    /\ time[c].callsEnded /\ Break # "a callback begins after the end"
    /\ client' = Returned(c)
    /\ UNCHANGED <<time, callbacks>>
Count == IF Break = "callbacks are not counted" THEN 0 ELSE 1
Now(c) ==
    /\ time[c].reached = stream[c].issued
    /\ ~time[c].callsEnded \/ Break = "a callback begins after the end"
    /\ time' = [time EXCEPT ![c].calling = @ + Count]
    /\ client' = Moved(c, "calling")
    /\ UNCHANGED callbacks
Reach(c) ==
    /\ client[c].at = "reach"
    /\ Later(c) \/ Refused(c) \/ Now(c)
    /\ UNCHANGED <<gateClosed, outcome, stream, line, deviceCalls, closer>>

Called(c) ==
    /\ client[c].at = "calling"
    /\ time' = [time EXCEPT ![c].calling = @ - Count]
    /\ client' = Returned(c)
    /\ UNCHANGED <<gateClosed, outcome, stream, line, callbacks, deviceCalls, closer>>

-----------------------------------------------------------------------------
(* The device. It reports nothing while it calls back for a stream. *)

Due(s) == SelectSeq(callbacks[s], LAMBDA value : value <= line[s][1])
Finish(s) ==
    /\ line[s] # <<>> /\ deviceCalls[s] = 0 /\ outcome # "ok"
    /\ time' = [time EXCEPT ![s].reached = Head(line[s]), ![s].calling = @ + Len(Due(s))]
    /\ line' = [line EXCEPT ![s] = Tail(@)]
    /\ deviceCalls' = [deviceCalls EXCEPT ![s] = Len(Due(s))]
    /\ callbacks' = [callbacks EXCEPT ![s] = SelectSeq(@, LAMBDA v : Head(line[s]) < v)]
    /\ UNCHANGED <<gateClosed, outcome, stream, client, closer>>

\* A callback ends by itself: it is refused to wait for the shutdown.
DeviceCalled(s) ==
    /\ 0 < deviceCalls[s]
    /\ Break = "a callback may shut down" => outcome # "none"
    /\ time' = [time EXCEPT ![s].calling = @ - deviceCalls[s]]
    /\ deviceCalls' = [deviceCalls EXCEPT ![s] = 0]
    /\ UNCHANGED <<gateClosed, outcome, stream, line, callbacks, client, closer>>

-----------------------------------------------------------------------------
(* The shutdowns. *)

To(d, at, s) == [closer EXCEPT ![d].at = at, ![d].stream = s]
Done(d, result) == [closer EXCEPT ![d].at = "returned", ![d].result = result]

\* The next stream in this loop, or the next line.
Then(d, at, next) ==
    IF closer[d].stream < Last THEN To(d, at, closer[d].stream + 1) ELSE To(d, next, 1)

\* Gate::close: one closes, the others wait for it.
Begin(d) ==
    /\ closer[d].at = "outside"
    /\ gateClosed' = TRUE
    /\ closer' = IF ~gateClosed THEN To(d, "close", 1)
                 ELSE IF Break = "the second does not wait" THEN Done(d, "ok")
                 ELSE To(d, "look", 1)
    /\ UNCHANGED <<outcome, clients>>

\* Section::close
CloseStream(d) ==
    /\ closer[d].at = "close"
    /\ LET s == closer[d].stream IN
       /\ stream' = [stream EXCEPT ![s].closed = TRUE, ![s].committed = stream[s].issued]
       /\ line' = LineWithOpen(s)
    /\ closer' = Then(d, "close", "wait")
    /\ UNCHANGED <<gateClosed, outcome, time, callbacks, deviceCalls, client>>

Ended(s) == stream[s].issued <= time[s].reached \/ Break = "the shutdown does not drain"
WaitForWork(d) ==
    /\ closer[d].at = "wait" /\ Ended(closer[d].stream)
    /\ closer' = Then(d, "wait", "end calls")
    /\ UNCHANGED <<gateClosed, outcome, clients>>

\* Timeline::end_callbacks
EndCalls(d) ==
    /\ closer[d].at = "end calls"
    /\ time' = [time EXCEPT ![closer[d].stream].callsEnded = TRUE]
    /\ closer' = To(d, "wait calls", closer[d].stream)
    /\ UNCHANGED <<gateClosed, outcome, stream, line, callbacks, deviceCalls, client>>

WaitForCalls(d) ==
    /\ closer[d].at = "wait calls" /\ time[closer[d].stream].calling = 0
    /\ closer' = Then(d, "end calls", "finish")
    /\ UNCHANGED <<gateClosed, outcome, clients>>

\* Gate::finish wakes whoever sleeps.
Result(d) == IF closer[d].timedOut THEN "late" ELSE "ok"
FinishGate(d) ==
    /\ closer[d].at = "finish"
    /\ outcome' = Result(d)
    /\ closer' = [e \in Shutdowns |->
            IF e = d THEN [closer[e] EXCEPT !.at = "returned", !.result = Result(d)]
            ELSE IF closer[e].at = "asleep" THEN [closer[e] EXCEPT !.at = "look"]
            ELSE closer[e]]
    /\ UNCHANGED <<gateClosed, clients>>

\* Gate::wait_finished looks and falls asleep in one step.
Falls == IF Break = "looks outside of the lock" THEN "falls asleep" ELSE "asleep"
Look(d) ==
    /\ closer[d].at = "look"
    /\ closer' = IF outcome = "none" THEN To(d, Falls, 1) ELSE Done(d, outcome)
    /\ UNCHANGED <<gateClosed, outcome, clients>>
FallAsleep(d) ==
    /\ closer[d].at = "falls asleep"
    /\ closer' = To(d, "asleep", 1)
    /\ UNCHANGED <<gateClosed, outcome, clients>>

\* The deadline passes: what is left to do is looked at, and not waited for.
TimeOut(d) ==
    /\ d \in Hasty /\ Break # "no deadline passes"
    /\ \/ /\ closer[d].at = "asleep"
          /\ closer' = Done(d, "late")
       \/ /\ closer[d].at = "wait" /\ ~Ended(closer[d].stream)
          /\ closer' = [Then(d, "wait", "end calls") EXCEPT ![d].timedOut = TRUE]
       \/ /\ closer[d].at = "wait calls" /\ time[closer[d].stream].calling # 0
          /\ closer' = [Then(d, "end calls", "finish") EXCEPT ![d].timedOut = TRUE]
    /\ UNCHANGED <<gateClosed, outcome, clients>>

-----------------------------------------------------------------------------

Serve(d) ==
    \/ CloseStream(d) \/ WaitForWork(d) \/ EndCalls(d) \/ WaitForCalls(d)
    \/ FinishGate(d) \/ Look(d) \/ FallAsleep(d)
Run(s) == Finish(s) \/ DeviceCalled(s)

\* All calls have returned: the only state in which nothing has to happen.
Rest ==
    /\ \A c \in Streams : client[c].at = "outside" /\ Len(Calls) < client[c].next
    /\ \A d \in Shutdowns : closer[d].at = "returned"
    /\ UNCHANGED vars

Next ==
    \/ \E c \in Streams : Ask(c) \/ Submit(c) \/ Register(c) \/ Reach(c) \/ Called(c) \/ Run(c)
    \/ \E d \in Shutdowns : Begin(d) \/ Serve(d) \/ TimeOut(d)
    \/ Rest

\* A1 to A4 of the semantics: commands and callbacks end, and a thread that may go on does. Clients
\* need not go on, apart from the end of a callback, and deadlines need not pass.
Spec ==
    /\ Init
    /\ [][Next]_vars
    /\ \A d \in Shutdowns : WF_vars(Serve(d))
    /\ \A s \in Streams : WF_vars(Run(s))
    /\ \A c \in Streams : WF_vars(Called(c))

\* The device may stop for ever, and so may a callback, but deadlines pass.
StuckSpec ==
    /\ Init
    /\ [][Next]_vars
    /\ \A d \in Shutdowns : WF_vars(Serve(d))
    /\ \A d \in Shutdowns : WF_vars(TimeOut(d))

-----------------------------------------------------------------------------

\* SH-1, SH-5: who asked behind the close is not let in.
NotLetIn == \A c \in Streams : client[c].at # "outside" => ~client[c].late

\* SH-1, as a rule for steps: a stream that is closed numbers nothing.
NothingAfterClose ==
    [][\A s \in Streams : stream[s].closed => stream'[s].issued = stream[s].issued]_vars

\* SH-2, SH-4, EP-5: behind a good end there is nothing left, and nothing runs.
Quiet ==
    outcome = "ok" => \A s \in Streams :
        /\ stream[s].issued = time[s].reached
        /\ line[s] = <<>> /\ callbacks[s] = <<>>
        /\ time[s].calling = 0 /\ deviceCalls[s] = 0
        /\ client[s].at # "calling"

\* SH-3
Together == \A d \in Shutdowns : closer[d].result = "ok" => outcome = "ok"

\* SH-L1
Terminates == \A d \in Shutdowns : closer[d].at # "outside" ~> closer[d].at = "returned"
=============================================================================
