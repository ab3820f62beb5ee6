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
// [Broker.Stats], [Broker.Counts] and $SYS tell what it has and did.
//
// # Faults
//
// A [Fault] is injected while the broker runs, or from the start with
// [WithFaults]. It matches packets by direction, type, client and topic, spares
// the first ones, hits as many as wanted, for a time or by chance, and says what
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
// The way of a packet: listener, conn, frame, handle (first: welcome), then route
// and session, and out again by send and out. The codec is in cursor, property,
// connect, publish, subscribe and ack. What outlives the process is in journal
// (the file), record (what is in it) and recover (how it is read). Scripts are apart
// from all that: script has the two places where the core asks them, fault and
// action say what they do, immediate has those that act at once.
package broker
