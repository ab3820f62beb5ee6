package deadletter

import "context"

// FilterMemory is what a [Store] implements too when it can remember topic
// filters. A persistent session keeps its subscriptions at the broker, also
// those that a new version of the service does not have any more: MQTT has no
// way to ask for them, so their names are kept where the service keeps its
// letters, and what is remembered and not wanted is unsubscribed.
//
// What is remembered for a client id with " (after start)" behind it are those of
// its filters that were registered after Start: their messages are waited for
// after a restart, those of other filters that are not registered any more are
// dead letters at once.
//
// All methods are safe for concurrent use. A process that finds nothing, or a
// store that fails, unsubscribes nothing: it loses no message by that.
type FilterMemory interface {
	// Filters returns the topic filters that were remembered last for a client
	// id, sorted; none for one that is not known.
	Filters(ctx context.Context, clientID string) ([]string, error)
	// SetFilters replaces what is remembered for a client id, and returns nil
	// once that is durable. No filters forget the client id.
	SetFilters(ctx context.Context, clientID string, filters []string) error
}
