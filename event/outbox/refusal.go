package outbox

import "time"

// Refusal is what a broker that refuses an entry means for it. The entry is
// tried again until it was refused for After, counted from its first refusal in
// this process, or Attempts times, whichever comes first; then it is
// quarantined, and the entries of its key that wait behind it go on. Zero is no
// limit of that kind, and both zero mean at once.
type Refusal struct {
	// Reason names the kind, as "NOT_AUTHORIZED": refusals are told once a minute
	// for each.
	Reason   string
	After    time.Duration
	Attempts int
}

// ClosedKey is a key that waits because its first entry failed, or, where a
// refusal is told, the key that it closed.
type ClosedKey struct {
	// Key is that of [Entry.Order]; Topic, ID and Seq are those of the first
	// entry. Topic and ID are shortened to 256 bytes.
	Key, Topic, ID string
	Seq            uint64
	// Since is when the key was closed, Attempts how often the entry was tried in
	// vain since then.
	Since    time.Time
	Attempts int
	// Err is the last failure, and Reason that of its [Refusal]; "" for a
	// failure that is none.
	Err    error
	Reason string
	// Behind is set when entries of the key are known to wait behind the first.
	Behind bool
}
