// Package outbox appends published messages to a store and sends them from there. It has
// the relay, which runs between Start and Stop, the gate that holds it back, asynchronous
// publishes, direct publishes that bypass the store, and the reports to hook, health and
// log. The functions that it needs of its client are in a [Link]; the stores are those of
// package event/outbox.
package outbox
