// Package broker is an MQTT broker whose every step a test or a fault run
// decides. It speaks MQTT 3.1.1 and 5, keeps sessions, loses nothing on its own,
// counts what it had to drop, and makes faults on demand.
//
// [Listen] starts a broker in any program; a test uses mqtttest.InProcess. It
// keeps everything in memory. [Broker.Kill] and [Broker.Start] act like a crash
// and a restart, with what was saved until then ([SaveEvery], [SaveAfter]).
//
// # Faults
//
// A [Fault] is injected while the broker runs, or from the start with
// [WithFaults]. It matches packets by direction, type, client and topic, spares
// the first ones, hits as many as wanted, for a time or by chance, and says what
// happens to them: [Refuse], [Drop], [Delay], [CutBefore], [CutAfter], [End],
// [Rewrite], [Replay], [HalfOpen], [StopReading], [Do]. Other faults act at once:
// [Broker.Cut], [Broker.Freeze], [Broker.HalfOpen], [Broker.Refuse]. With the
// same seed ([WithSeed]) the same packets are chosen. [Broker.Faults] counts what
// really happened, by kind.
//
// # Witness
//
// [Broker.Observe] shows every packet in both directions. The codec shares
// nothing with the engine of this module: a mistake cannot hide by being made
// twice.
package broker
