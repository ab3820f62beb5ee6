// Package soak sends messages through the whole product while it breaks
// everything around it, and counts afterwards what became of them:
//
//	publishers ─ outbox file ─ proxy ─ broker ─ proxy ─ consumers ─ dead letters
//
// Publishers and consumers are processes of their own, so that they can be
// killed. Each writes one line to a log of its own for every message that was
// accepted or handled; the verdict is made of these logs, of the dead letters
// and of what is left in the outboxes, after every process has ended, and never
// of a counter of the code under test.
package soak
