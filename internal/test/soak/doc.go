// Package soak sends messages through the whole product while it injects faults everywhere,
// and then determines what happened to each message:
//
//	publishers ─ outbox file ─ proxy ─ broker ─ proxy ─ consumers ─ dead letters
//
// Publishers and consumers are separate processes, so that they can be killed. Each writes
// one line to its own log for every message that was accepted or handled. The verdict is
// based on these logs, on the dead letters and on the contents of the outboxes, after every
// process has ended, and never on a counter of the code under test.
package soak
