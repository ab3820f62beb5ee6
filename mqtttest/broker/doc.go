// Package broker is an MQTT broker in this process, for development, tests and
// faults. It speaks MQTT 3.1.1 and 5, loses nothing on its own, has a bound for all
// that it keeps, and counts what it had to drop at one.
//
// [Listen] starts a broker in any program; a test uses mqtttest.InProcess. It is
// not for production: it trusts everybody who reaches it ([WithUsers] admits only
// some), and so it listens on loopback only.
//
// # What it keeps
//
// Sessions and retained messages are in memory, or in a file that outlives the
// process ([WithFile]). [Broker.Kill] and [Broker.Start] act like a crash and a
// restart, also with what was saved until then only ([SaveEvery], [SaveAfter]).
// [Broker.Stats], [Broker.Counts] and $SYS show what it has and did.
//
// # Faults
//
// A [Fault] is injected while the broker runs, or from the start with
// [WithFaults]. It matches packets by direction, type, client and topic, spares
// the first ones, hits as many as wanted, for a time or by chance, and chooses what
// happens to them: [Refuse], [Drop], [Delay], [CutBefore], [CutAfter], [End],
// [Rewrite], [Replay], [HalfOpen], [StopReading], [Call]. Other faults act at once:
// [Broker.Cut], [Broker.Freeze], [Broker.HalfOpen], [Broker.Refuse]. With the
// same seed ([WithSeed]) the same packets are chosen. [Broker.Faults] counts what
// really happened, by kind.
//
// # Witness
//
// [Broker.Observe] shows every packet in both directions. The codec shares
// nothing with the client of this module: a mistake cannot hide by being made
// twice.
//
// # Where things are
//
// [Broker] is three parts, and its methods do little but ask them; those of the
// faults are in inject, all others in broker:
//
//   - listeners: the addresses, and the connections that come from them. Each
//     connection is a conn on top of a stream, which reads, writes and ends.
//   - core: the sessions (session, delivery), the routes of messages (route,
//     tree, shared), retained messages (retained) and $SYS (sys, stats). What is to be
//     kept of them goes by the recorder to the journal, whose records are in
//     record and which recover reads again; save keeps snapshots without a file.
//   - script: which fault hits a packet (fault), and what it does to it (action,
//     script).
//
// A packet goes from stream and frame to handle, the first one to welcome, then to
// core and session, and out again by send and out. The codec is in cursor,
// property, connect, publish, subscribe and ack.
//
// # Locks
//
// There is one order: the mutex of core, then that of listeners, then one of these,
// which are held for a few lines and never two at a time: of the journal, of the
// faults, of what waits to be written (out), of a gate. The sessions and all parts of
// core have no mutex of their own. No lock is held while the network or the disk is
// waited for; what writes has a goroutine of its own. Only Start, Stop and Kill, which
// go one after the other, wait for each other's files and sockets.
//
// Functions of the user that decide about a packet run under a lock, so that their
// order is that of the packets: an observer and [Rewrite] under that of core, the
// conditions of a [Fault] under that of the faults. This is why they must not call the
// broker. Authentication and [Call] run without one.
package broker
