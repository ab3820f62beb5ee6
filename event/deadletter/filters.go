package deadletter

import "context"

// FilterMemory is an optional part of a [Store] that remembers the topic filters of a service.
// The broker keeps the subscriptions of a persistent session, even those that a new version of
// the service no longer uses, and MQTT has no way to list them. So the service remembers its
// filters here, and unsubscribes those that it no longer uses.
//
// The filters stored under a client id with the suffix " (after start)" are those that were
// registered after Start. After a restart, messages for them are kept until the filter is
// registered again, while messages for other filters that are no longer registered become dead
// letters at once.
//
// All methods are safe for concurrent use. If no filters are remembered, or the store fails,
// nothing is unsubscribed and no message is lost.
type FilterMemory interface {
	// Filters returns the remembered topic filters of a client id, sorted; empty for an
	// unknown client id.
	Filters(ctx context.Context, clientID string) ([]string, error)
	// SetFilters replaces the remembered filters of a client id, and returns nil once they are
	// durable. An empty list forgets the client id.
	SetFilters(ctx context.Context, clientID string, filters []string) error
}
