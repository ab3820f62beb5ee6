package deadletter

import "context"

// Grouper is an optional part of a [Store] that has an index of fingerprints: its List reads
// only the letters of a [Query] with a Fingerprint, and it counts letters without reading them.
// It is safe for concurrent use.
type Grouper interface {
	// Groups returns the causes of the letters in a state whose fingerprint comes after a text,
	// up to limit, ordered by fingerprint. Its duration does not grow with the number of
	// letters, so that large groups may not be counted to the end.
	Groups(ctx context.Context, state State, after string, limit int) ([]GroupCount, error)
}

// GroupCount is the number of letters with the same fingerprint.
type GroupCount struct {
	// Fingerprint is that of [Letter.Fingerprint].
	Fingerprint string
	// Count is how many letters have it; there are more if AtLeast is set.
	Count   int
	AtLeast bool
	// FirstID and LastID are the ids of the oldest and the newest of them.
	FirstID, LastID string
}
