// Package parking keeps the messages that no handler took. A dead letter is one that
// no retry helps: it goes to the store, and with a topic for them also there. A parked
// message is handled again later, and whatever arrives for its key waits behind it in
// the store. Nothing is acknowledged before the store has it.
package parking
