// Package due has the rules about delayed entries that the stores of package outbox share.
package due

import "time"

// Milli returns a time in milliseconds since 1970, rounded up: nothing is due too early.
func Milli(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

// Room is how full the waiting entries of a store are.
type Room struct {
	Entries, MaxEntries int
	Bytes, MaxBytes     int64
}

// First is one of the first delayed entries: when it is due, in milliseconds since 1970, and
// its size.
type First struct{ Due, Size int64 }

// Movable returns how many of the first entries may join the waiting ones now: those that are
// due, until half of the room is used. next is when the following one is due, if it is among
// them.
func (r Room) Movable(first []First, now time.Time, limit int) (n int, next time.Time) {
	entries, bytes := r.MaxEntries/2-r.Entries, r.MaxBytes/2-r.Bytes
	for n < len(first) && n < limit && n < entries && bytes > 0 && first[n].Due <= now.UnixMilli() {
		bytes -= first[n].Size
		n++
	}
	if n < len(first) {
		next = time.UnixMilli(first[n].Due)
	}
	return n, next
}
