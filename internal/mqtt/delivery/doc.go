// Package delivery determines when a received message is done and in what order
// acknowledgements are sent.
//
// It has three parts, each usable alone:
//
//   - [Ledger] keeps the receive order of one connection and releases
//     acknowledgements in that order.
//   - [Scheduler] runs tasks on a bounded pool of workers, one at a time and in
//     order per key.
//   - [Attempts] runs the handler of one subscription for a message: deadline,
//     panic recovery, retry within a budget, dead letter.
//
// A session adds each received message to the ledger, creates one [Delivery]
// per matching subscription, which share the ledger's [Entry], and submits
// them. The message is acknowledged once every handler is done and
// every older message of the connection is acknowledged.
//
// The package does not depend on sockets, client libraries or frames.
package delivery
