// Package outbox has what is published taken into a store, and sent from there: the
// relay between Start and Stop, the gate that holds it back, publishes that wait for
// nobody, the way past the store, and what an operator is told. What it needs of the
// client it belongs to is a [Link] of functions; stores are those of package
// event/outbox.
package outbox
