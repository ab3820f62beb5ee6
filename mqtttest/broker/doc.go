// Package broker is an in-process MQTT broker for development, tests and fault
// injection. It supports MQTT 3.1.1 and 5, loses no messages on its own, limits
// everything that it stores, and counts everything that it drops at a limit.
//
// [Listen] starts a broker in any program; tests use mqtttest.InProcess. It is
// not for production: it trusts every client that can reach it (except with
// [WithUsers]), and therefore listens on loopback only.
//
// # State
//
// Sessions and retained messages are kept in memory, or in a file that outlives the
// process ([WithFile]). [Broker.Kill] and [Broker.Start] simulate a crash and a
// restart, also with only the state that was saved before ([SaveEvery], [SaveAfter]).
// [Broker.Stats], [Broker.Counts] and $SYS report its state and activity.
//
// With [WithNodes] the broker is a cluster of nodes that can be killed one by one, with rules for
// where sessions are and who in a shared group receives a message; package cluster has presets.
//
// # Faults
//
// A [Fault] is injected while the broker runs, or from the start with
// [WithFaults]. It selects packets by direction, type, client and topic, lets
// the first ones pass, hits a number of them, for a time or by chance, and applies
// an action to them: [Refuse], [Drop], [Delay], [CutBefore], [CutAfter], [End],
// [Rewrite], [Replay], [HalfOpen], [StopReading], [Call]. These faults act at once:
// [Broker.Cut], [Broker.Freeze], [Broker.HalfOpen], [Broker.Refuse]. With the
// same seed ([WithSeed]) the same packets are chosen. [Broker.Faults] counts the
// applied faults, by kind.
//
// # Observing packets
//
// [Broker.Observe] shows every packet in both directions. The codec shares
// no code with the client of this module, so that the same mistake cannot be in
// both.
//
// # Structure
//
// [Broker] has three parts, and its methods mostly call them. The methods for
// faults are in inject.go, all others in broker.go:
//
//   - listeners: the addresses, and the connections that come from them. Each
//     connection is a conn on top of a stream, which reads, writes and ends.
//   - core: the sessions (session, delivery), the routes of messages (route,
//     tree, shared), what nodes do not share at once (cluster), retained messages (retained) and $SYS (sys, stats). The recorder
//     writes their changes to the journal, whose records are defined in record and
//     read by recover; save keeps snapshots without a file.
//   - script: which fault hits a packet (fault), and what it does to it (action,
//     script).
//
// A packet goes from stream and frame to handle, the first one to welcome, then to
// core and session, and out again by send and out. The codec is in cursor,
// property, connect, publish, subscribe and ack.
//
// # Locks
//
// Locks are taken in one order: the mutex of core, then that of listeners, then one
// of the following, which are held for a few lines and never two at a time: that of the
// journal, of the faults, of an output queue (out), of a gate. The sessions and all parts of
// core have no mutex of their own. No lock is held while waiting for the network or the
// disk; separate goroutines write. Only Start, Stop and Kill, which
// run one after another, wait for each other's files and sockets.
//
// Functions of the user that decide about a packet run under a lock, so that their
// order is that of the packets: an observer and [Rewrite] under that of core, the
// conditions of a [Fault] under that of the faults. This is why they must not call the
// broker. Authentication and [Call] run without one.
package broker
