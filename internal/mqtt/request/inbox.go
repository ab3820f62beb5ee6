package request

import (
	"strings"

	"github.com/google/uuid"
)

// InboxPrefix is what the topic for replies of a client begins with. It is not that
// of the response topics that access rules bind to a device: a client and a device
// may have the same name.
const InboxPrefix = "inbox/"

// InboxOf returns what the topics for replies of each process with a client id have in
// front of something random.
func InboxOf(clientID string) string { return InboxPrefix + level(clientID) + "/" }

// FormerInboxOf returns what they had in earlier versions.
func FormerInboxOf(clientID string) string { return "reply/" + level(clientID) + "/" }

// level makes one level of a client id, whatever is in it.
func level(id string) string {
	return strings.NewReplacer("%", "%25", "/", "%2F", "+", "%2B", "#", "%23").Replace(id)
}

// isInbox reports whether a response topic is one that a client of ours makes up:
// inbox/<client id>/<random UUID>. Nobody is told of it but the repliers of that
// client, so that it needs no binding: a stranger who names one hits nobody.
func isInbox(response string) bool {
	client, ok := strings.CutPrefix(response, InboxPrefix)
	client, name, found := strings.Cut(client, "/")
	if !ok || !found || client == "" || len(name) != 36 {
		return false
	}
	id, err := uuid.Parse(name)
	return err == nil && id.Version() == 4
}
